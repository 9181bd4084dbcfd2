// Elements are only made here: strings become text nodes, and no markup is ever parsed.
import { visible } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const PICTURE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*$/;
const ATTRIBUTES =
  /^(id|class|role|type|value|for|tabindex|open|scope|selected|disabled|colspan|dir|aria-[a-z]+)$/;
const DRAWN = /^(class|d|cx|cy|r|x|y|x1|x2|y1|y2|width|height|viewBox|text-anchor|transform|aria-[a-z]+|role)$/;

/** Return a new element, `tag` or `tag.class`, with attributes, listeners (`on`) and children. */
export function el(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  return filled(element, ATTRIBUTES, attributes, children);
}

/** Return a new SVG element. */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), DRAWN, attributes, children);
}

function filled(element, allowed, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (!allowed.test(name)) {
      throw new Error(`attribute ${name}`);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : visible(value));
    }
  }
  element.append(...children.flat(Infinity).filter(isThere).map(node));
  return element;
}

function isThere(child) {
  return child !== null && child !== undefined && child !== false;
}

function node(child) {
  return child instanceof Node ? child : document.createTextNode(visible(child));
}

/** Put children in the place of what an element has. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(isThere).map(node));
}

/** Return a picture; only of a `data:` URL of a raster format. */
export function picture(url, alternative) {
  if (!PICTURE.test(url)) return el("span.note", {}, "not a picture");
  const image = document.createElement("img");
  image.alt = visible(alternative);
  image.src = url;
  return image;
}

const AT_FIRST = 20_000;
const MORE = 50_000;
const RUN = /(\S{2000})/u;

/** Return a text as it is, the beginning of a long one. */
export function texts(text, className = "text") {
  let shown = 0;
  return growing(el(`div.${className}`, { dir: "auto" }), () => {
    const piece = text.slice(shown, shown + (shown ? MORE : AT_FIRST));
    shown += piece.length;
    const left = text.length - shown;
    return [broken(piece), left > 0 && `${left.toLocaleString("en")} characters`];
  });
}

/** Return a box that grows by a button: *next* returns further nodes, and what is left, if anything is. */
export function growing(box, next) {
  const more = el("button", { type: "button", on: { click: grow } });
  function grow() {
    const [nodes, left] = next();
    if (more.isConnected) more.before(...nodes);
    else box.append(...nodes);
    if (left) {
      fill(more, `Show more (${left})`);
      return more.isConnected || box.append(more);
    }
    if (document.activeElement === more) {
      box.setAttribute("tabindex", "-1");
      box.focus({ preventScroll: true });
    }
    more.remove();
  }
  grow();
  return box;
}

/** Return a text in nodes; browsers take the square of the length of a word that has no end. */
function broken(text) {
  return text.split(RUN).map((each, at) => (at % 2 ? el("span.run", {}, each) : node(each)));
}

/** Return a table; each cell is a string or an element. */
export function table(caption, heads, rows) {
  const cells = (row) =>
    row.map((each, at) => (at ? el("td", {}, each) : el("th", { scope: "row" }, each)));
  return el(
    "div.wide",
    { tabindex: 0, role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, heads.map((each) => el("th", { scope: "col" }, each)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, cells(row)))),
    ),
  );
}

/** Offer other `[value, text]` pairs in a select; what was chosen by its text stays so. */
export function offer(select, options) {
  const chosen = select.selectedOptions[0]?.text;
  options.forEach(([value, text], at) => {
    const option = select.options[at] ?? select.appendChild(el("option"));
    const shown = visible(text);
    if (option.text !== shown) fill(option, shown);
    option.value = value;
  });
  while (select.options.length > options.length) select.options[options.length].remove();
  select.selectedIndex = Math.max(0, [...select.options].findIndex((each) => each.text === chosen));
}

/** Return a select of `[value, text]` pairs. */
export function choice(label, options, chosen, change) {
  const select = el("select", { on: { change: () => change(select.value) } });
  for (const [value, text] of options) {
    const option = el("option", { value }, text);
    option.value = value;
    option.selected = value === chosen;
    select.append(option);
  }
  return el("label.field", {}, `${label} `, select);
}
