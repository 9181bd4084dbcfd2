// The context at a commit: its entries in order, and how they fill the window.
import { choice, el, fill, texts } from "../dom.js";
import { isShown } from "../fold.js";
import { VirtualList } from "../list.js";
import { counted, number, oneLine, short } from "../text.js";
import { details, link } from "./commit.js";
import { messages } from "./parts.js";

const WINDOWS = [8_192, 32_768, 131_072, 200_000, 400_000, 1_000_000, 2_000_000];
const MOST_PIECES = 300;

export async function contextPanel(app) {
  const point = await app.source.point(app.tract, app.hash);
  const shown = point.entries.filter((each) => isShown(each) && each.role !== "$tools");
  const left = point.entries.filter((each) => !isShown(each)).length;
  const box = el("div.entries");
  const reader = el("div.reader", { role: "region", "aria-label": "Entry", "aria-live": "polite", tabindex: 0 });
  let newest = null;
  const most = Math.max(1, ...shown.map((each) => each.tokens));
  const list = new VirtualList(box, {
    label: `Entries of the context, ${counted(point.entries.length, "entry", "entries")}, oldest first`,
    row: (index) => entryRow(point.entries[index], most),
    open: async (index) => {
      const reading = (newest = read(app, reader, point.entries[index]));
      const children = await reading;
      if (reading !== newest) return; // another entry was opened
      fill(reader, children);
      reader.removeAttribute("aria-busy");
    },
  });
  list.set(point.entries.length);
  return [
    el("h2", {}, "Context at ", el("code", {}, short(app.hash))),
    el(
      "p",
      {},
      `${counted(shown.length, "entry", "entries")}, ${number(point.tokens)} tokens (${point.source})`,
      left > 0 && `; ${counted(left, "entry", "entries")} left out`,
    ),
    filling(app, shown, point),
    openCalls(app, point),
    box,
    reader,
    point.tools?.length > 0 &&
      details(`${counted(point.tools.length, "tool")} in force, ${counted(point.tool_tokens, "token")}`, point.tools.map((each) => texts(each, "code"))),
    point.uncounted?.length > 0 &&
      el("p.note", {}, `Not counted: ${point.uncounted.map((each) => each.what).join(", ")}`),
  ];
}

/** Return the bar that shows the window filling, one piece an entry, or some entries if many. */
function filling(app, shown, point) {
  const bar = el("div.window", { role: "img" });
  const sum = shown.reduce((total, each) => total + each.tokens, 0);
  const total = Math.max(point.tokens, sum);
  const fitting = WINDOWS.find((each) => each >= total) ?? WINDOWS.at(-1);
  const draw = (size) => {
    const used = Math.round((100 * total) / size);
    bar.setAttribute("aria-label", `${number(total)} of ${number(size)} tokens, ${used} %`);
    fill(bar, pieces(shown, Math.max(size, total)));
    fill(told, `${used} % of the window`);
  };
  const told = el("span");
  const options = WINDOWS.map((each) => [String(each), number(each)]);
  const chosen = app.chosen.window ?? fitting;
  const select = choice("Window", options, String(chosen), (value) => draw((app.chosen.window = Number(value))));
  draw(chosen);
  return el("div.filling", {}, bar, el("p.bar", {}, select, told));
}

function pieces(shown, size) {
  const per = Math.ceil(shown.length / MOST_PIECES);
  const made = [];
  for (let at = 0; at < shown.length; at += per) {
    const some = shown.slice(at, at + per);
    const piece = el(`span.piece.role-${roleOf(some[0])}`);
    piece.style.width = `${(100 * some.reduce((sum, each) => sum + each.tokens, 0)) / size}%`;
    made.push(piece);
  }
  return made;
}

const ROLES = new Set(["system", "developer", "user", "assistant", "model", "tool", "$tools"]);

function roleOf({ role }) {
  return ROLES.has(role) ? role.replace("$", "").replace("model", "assistant") : "other";
}

function entryRow(entry, most) {
  const states = statesOf(entry);
  const bar = el("span.cost", { "aria-hidden": "true" });
  bar.style.setProperty("--part", `${(100 * entry.tokens) / most}%`);
  const preview = oneLine(entry.preview || entry.kinds.join(", ") || entry.type);
  return {
    className: isShown(entry) ? "" : "left-out",
    label: [entry.role ?? entry.type, ...states, preview, `${number(entry.tokens)} tokens`].join(", "),
    children: [
      el(`span.op.role-${roleOf(entry)}`, {}, entry.role ?? entry.type),
      ...states.map((each) => el("span.state", {}, each)),
      ...entry.kinds.map((each) => el("span.kind", {}, each.replace("_", " "))),
      el("span.preview", { dir: "auto" }, preview),
      el("span.tokens", {}, number(entry.tokens)),
      bar,
    ],
  };
}

/** Return what has become of an entry, in words. */
export function statesOf(entry) {
  return [
    entry.erased && "erased",
    entry.priority !== "normal" && entry.priority,
    entry.shown !== entry.hash && "edited",
    entry.hidden_by && (entry.hidden_by === entry.hash ? "undone" : "hidden"),
    entry.cleared_by && "cleared",
  ].filter(Boolean);
}

async function read(app, reader, entry) {
  reader.setAttribute("aria-busy", "true");
  fill(reader, el("p.note", {}, "Reading …"));
  const told = await app.source.commit(app.tract, entry.shown).catch((error) => ({ error }));
  if (told.error) return [el("p.note", {}, told.error.message)];
  return [
    el(
      "p",
      {},
      "Added by ",
      link(app, entry.hash),
      entry.shown !== entry.hash && [", edited by ", link(app, entry.shown)].map(node),
      entry.hidden_by && [", hidden by ", link(app, entry.hidden_by)].map(node),
      entry.cleared_by && [", a model sees a placeholder since ", link(app, entry.cleared_by)].map(node),
    ),
    entry.erased ? el("p.note.erased", {}, `Erased: ${told.row.erased?.reason ?? ""}`) : messages(told.messages, app.media),
  ];
}

function node(each) {
  return typeof each === "string" ? document.createTextNode(each) : each;
}

function openCalls(app, point) {
  if (point.open_calls === null) {
    return el("p.note", {}, "A written page knows open calls only at the heads of branches and tags.");
  }
  if (!point.open_calls.length) return null;
  return el(
    "div.note.open-calls",
    {},
    el("p", {}, `${counted(point.open_calls.length, "tool call")} without a result:`),
    el(
      "ul",
      {},
      point.open_calls.map((each) =>
        el("li", {}, link(app, each.commit_hash, each.name), ` ${oneLine(each.arguments).slice(0, 200)}`),
      ),
    ),
  );
}
