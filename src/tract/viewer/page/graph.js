// The history: commits of all branches, newest first, with the lines between them.
import { drawn, el } from "./dom.js";
import { Lanes, WIDEST } from "./lanes.js";
import { VirtualList } from "./list.js";
import { brief, number, oneLine, short } from "./text.js";

const STEP = 14;
const TALL = 28;
const HUES = 8;
const MOST_LABELS = 3;

export class Graph {
  #rows = [];
  #places = [];
  #index = new Map();
  #labels = new Map();
  #lanes = new Lanes();
  #list;
  #load;
  #loading = null; // the load that goes on, a new one for each tract
  #failed;
  #more = false;
  #total = 0;

  /**
   * *load* returns a page of commits before one; *open* is told the commit that was selected, *failed* why
   * a further page could not be loaded, which is tried again when the list is scrolled.
   */
  constructor(box, { load, open, failed }) {
    this.#load = load;
    this.#failed = failed;
    this.#list = new VirtualList(box, {
      label: "Commits, newest first",
      row: (index) => this.#row(index),
      open: (index) => open(this.#rows[index]?.hash),
      near: (last) => this.#near(last),
    });
  }

  get element() {
    return this.#list.element;
  }

  get newest() {
    return this.#rows[0]?.hash ?? null;
  }

  /** Begin anew with the first page of a tract of *total* commits; throws what loading it throws. */
  async start(refs, total) {
    this.clear();
    this.#more = true;
    this.#total = total;
    this.label(refs);
    await this.#next();
  }

  /** Show nothing, and forget what is being loaded. */
  clear() {
    this.#rows = [];
    this.#begin();
    this.#more = false;
    this.#loading = null;
    this.#total = 0;
    this.#list.set(0, -1);
  }

  #begin() {
    this.#places = [];
    this.#index = new Map();
    this.#lanes = new Lanes();
  }

  /** Put new commits before those that are there. */
  prepend(rows) {
    const all = [...rows, ...this.#rows];
    this.#total += rows.length;
    this.#rows = [];
    this.#begin();
    this.#place(all);
    this.#list.grow(rows.length);
  }

  #append(rows) {
    this.#place(rows);
    this.#list.set(this.#rows.length);
  }

  #place(rows) {
    for (const row of rows) {
      this.#index.set(row.hash, this.#rows.length);
      this.#rows.push(row);
      this.#places.push(this.#lanes.place(row));
    }
  }

  async #next() {
    if (this.#loading !== null || !this.#more) return;
    const loading = (this.#loading = this.#load(this.#rows.at(-1)?.hash ?? null));
    let page;
    try {
      page = await loading;
    } catch (error) {
      if (this.#loading !== loading) return; // another tract was opened
      this.#loading = null;
      throw error;
    }
    if (this.#loading !== loading) return;
    this.#loading = null;
    const { commits, more } = page;
    this.#more = more;
    this.#append(commits);
  }

  #near(last) {
    if (this.#rows.length && last >= this.#rows.length - 50) this.#next().catch(this.#failed);
  }

  /** How many commits are shown, and of how many. */
  get counts() {
    return [this.#rows.length, Math.max(this.#total, this.#rows.length)];
  }

  /** Show the names of branches and tags at their commits. */
  label(refs) {
    this.#labels = new Map();
    const add = (hash, name, kind) => {
      if (hash) this.#labels.set(hash, [...(this.#labels.get(hash) ?? []), { name, kind }]);
    };
    for (const each of refs.branches) add(each.head, each.name, "branch");
    for (const each of refs.tags) add(each.target, each.name, "tag");
    this.#list.refresh();
  }

  /** Return the first parent of a commit, if it is among those that were loaded. */
  parentOf(hash) {
    return this.#rows[this.#index.get(hash)]?.parents[0] ?? null;
  }

  labelsOf(hash) {
    return this.#labels.get(hash) ?? [];
  }

  /** Mark a commit as selected, wherever the list is scrolled to. */
  mark(hash) {
    const index = this.#index.get(hash);
    if (index !== undefined) this.#list.mark(index);
  }

  /** Select a commit and bring it into sight, if it is among those that were loaded. */
  select(hash) {
    const index = this.#index.get(hash);
    if (index !== undefined) this.#list.select(index, false);
  }

  #row(index) {
    const row = this.#rows[index];
    const labels = this.labelsOf(row.hash);
    const what = whatOf(row);
    const preview = oneLine(row.preview || row.note || row.type);
    const names = labels.map(({ name, kind }) => `${kind} ${name}`);
    return {
      className: row.erased ? "erased" : "",
      label: [...names, what, preview, `${number(row.tokens)} tokens`, short(row.hash)].join(", "),
      children: [
        graphOf(row, this.#places[index]),
        ...labels.slice(0, MOST_LABELS).map(({ name, kind }) => el(`span.label.${kind}`, {}, name)),
        labels.length > MOST_LABELS && el("span.label", {}, `+${labels.length - MOST_LABELS}`),
        el(`span.op.${row.op}`, {}, what),
        el("span.preview", { dir: "auto" }, preview),
        row.tokens > 0 && el("span.tokens", {}, number(row.tokens)),
        el("span.when", {}, brief(row.at)),
      ],
    };
  }
}

/** Return what a commit does, in a word. */
export function whatOf(row) {
  if (row.op === "append") return row.erased ? "erased" : (row.role ?? row.type);
  if (row.op === "annotate") return row.priority ?? "annotate";
  return row.op;
}

function x(column) {
  return (Math.min(column, WIDEST) + 0.75) * STEP;
}

function graphOf(row, { column, into, past, out }) {
  const middle = TALL / 2;
  const columns = Math.min(WIDEST, Math.max(column, ...into, ...past, ...out)) + 1;
  const line = (lane, d) => drawn("path", { class: `lane hue-${lane % HUES}`, d });
  const lines = [
    ...past.map((lane) => line(lane, `M${x(lane)} 0V${TALL}`)),
    ...into.map((lane) => line(lane, curve(x(lane), 0, x(column), middle))),
    ...out.map((lane) => line(lane, curve(x(column), middle, x(lane), TALL))),
  ];
  const width = (columns + 0.5) * STEP;
  const box = { class: "graph", viewBox: `0 0 ${width} ${TALL}`, width, height: TALL };
  return drawn("svg", { ...box, "aria-hidden": "true" }, lines, mark(row, x(column), middle, column));
}

function curve(fromX, fromY, toX, toY) {
  if (fromX === toX) return `M${fromX} ${fromY}V${toY}`;
  const half = (fromY + toY) / 2;
  return `M${fromX} ${fromY}C${fromX} ${half} ${toX} ${half} ${toX} ${toY}`;
}

/** Return the mark of a commit: a diamond for compactions, a square for changes, else a dot. */
function mark(row, cx, cy, column) {
  const className = `mark ${row.op} hue-${column % HUES}`;
  if (row.op === "compact" || row.op === "expand") {
    return drawn("path", { class: className, d: `M${cx} ${cy - 6}l6 6l-6 6l-6 -6Z` });
  }
  if (row.op === "edit" || row.op === "annotate") {
    return drawn("path", { class: className, d: `M${cx - 4} ${cy - 4}h8v8h-8Z` });
  }
  return drawn("circle", { class: className, cx, cy, r: row.op === "merge" ? 6 : 4.5 });
}
