// A list of any length that has only the rows in sight, as a listbox for keyboards and readers.
import { el, fill } from "./dom.js";

const BEYOND = 10; // rows
let lists = 0;

export class VirtualList {
  #box;
  #space;
  #row;
  #open;
  #near;
  #prefix = `list-${++lists}`;
  #count = 0;
  #selected = -1;
  #height = 28;
  #waiting = false;
  #above = 0; // rows that came above those in sight

  /** *row* fills the row of an index, *open* is told what was selected, *near* of the last in sight. */
  constructor(box, { label, row, open, near = () => {} }) {
    this.#row = row;
    this.#open = open;
    this.#near = near;
    this.#space = el("div.space", { role: "presentation" });
    this.#box = el(
      "div.list",
      {
        role: "listbox",
        tabindex: 0,
        "aria-label": label,
        on: {
          scroll: () => this.refresh(),
          keydown: (event) => this.#key(event),
          // At once, as a row that is drawn again while the button is down never gets its click.
          mousedown: (event) => event.button === 0 && this.#choose(event),
          click: (event) => event.detail === 0 && this.#choose(event), // made by a screen reader
        },
      },
      this.#space,
    );
    fill(box, this.#box);
    new ResizeObserver(() => this.refresh()).observe(this.#box);
  }

  get element() {
    return this.#box;
  }

  /** Show so many rows. */
  set(count, selected = this.#selected) {
    this.#count = count;
    this.#selected = selected;
    this.refresh();
  }

  /** Show so many more rows above the others; those in sight stay there unless they are the first. */
  grow(more) {
    this.#above += more;
    this.set(this.#count + more, this.#selected + more);
  }

  /** Select a row and leave the list where it is scrolled to. */
  mark(index) {
    this.set(this.#count, index);
  }

  /** Draw again what is in sight, once before the next frame. */
  refresh() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#draw();
    });
  }

  #draw() {
    this.#height = Math.round(parseFloat(getComputedStyle(document.documentElement).fontSize) * 1.9);
    this.#space.style.height = `${this.#count * this.#height}px`;
    if (this.#above && this.#box.scrollTop > 0) this.#box.scrollTop += this.#above * this.#height;
    this.#above = 0;
    const first = Math.max(0, Math.floor(this.#box.scrollTop / this.#height) - BEYOND);
    const inSight = Math.ceil(this.#box.clientHeight / this.#height) + 2 * BEYOND;
    const last = Math.min(this.#count, first + inSight);
    const rows = [];
    for (let index = first; index < last; index++) rows.push(this.#option(index));
    fill(this.#space, rows);
    this.#tellActive(first, last);
    this.#near(last);
  }

  #tellActive(first, last) {
    const inSight = this.#selected >= first && this.#selected < last;
    if (inSight) this.#box.setAttribute("aria-activedescendant", this.#id(this.#selected));
    else this.#box.removeAttribute("aria-activedescendant");
  }

  #id(index) {
    return `${this.#prefix}-${index}`;
  }

  #option(index) {
    const { children, label, className = "" } = this.#row(index);
    const option = el(
      "div",
      {
        id: this.#id(index),
        class: `row ${className}`,
        role: "option",
        "aria-label": label,
        "aria-selected": String(index === this.#selected),
        "aria-setsize": this.#count,
        "aria-posinset": index + 1,
      },
      children,
    );
    option.style.top = `${index * this.#height}px`;
    option.style.height = `${this.#height}px`;
    return option;
  }

  /** Select a row and bring it into sight; *told* says whether `open` hears of it. */
  select(index, told = true) {
    if (!this.#count) return;
    this.#selected = Math.max(0, Math.min(this.#count - 1, index));
    const top = this.#selected * this.#height;
    const bottom = top + this.#height - this.#box.clientHeight;
    if (this.#box.scrollTop > top) this.#box.scrollTop = top;
    else if (this.#box.scrollTop < bottom) this.#box.scrollTop = bottom;
    this.refresh();
    if (told) this.#open(this.#selected);
  }

  #choose(event) {
    const option = event.target.closest("[role=option]");
    if (option) this.select(Number(option.getAttribute("aria-posinset")) - 1);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.#box.clientHeight / this.#height) - 1);
    const moves = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page };
    const ends = { Home: -this.#count, End: this.#count };
    const by = moves[event.key] ?? ends[event.key];
    if (by === undefined) return;
    event.preventDefault();
    this.select(this.#selected + by);
  }
}
