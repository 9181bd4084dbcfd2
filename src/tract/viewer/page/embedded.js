// The source of a written page: blocks of JSON in the page, parsed when they are needed.
import { fold, isShown, lineOf } from "./fold.js";

/** Thrown for what a page does not have; its text says so. */
export class Missing extends Error {}

export class PageSource {
  live = false;
  #blocks = new Map();
  #tracts = new Map();

  async tracts() {
    const { tracts, made } = this.#block("index");
    tracts.forEach((each, at) => this.#tracts.set(each.tract_id, new Pages(this.#reader(at), each)));
    return { tracts, made };
  }

  #reader(at) {
    return (name) => this.#block(`${at}-${name}`);
  }

  #block(name) {
    if (!this.#blocks.has(name)) {
      const element = document.getElementById(`data-${name}`);
      this.#blocks.set(name, element ? JSON.parse(element.textContent) : null);
      element?.remove();
    }
    return this.#blocks.get(name);
  }

  async refs(tract) {
    return this.#tracts.get(tract).block("refs");
  }

  /** Return the page of commits that follows *before*, newest first. */
  async commits(tract, { before = null } = {}) {
    return this.#tracts.get(tract).page(before);
  }

  async commit(tract, hash) {
    return this.#tracts.get(tract).commit(hash);
  }

  async point(tract, hash) {
    return this.#tracts.get(tract).point(hash);
  }

  async request(tract, hash, api) {
    return this.#tracts.get(tract).request(hash, api);
  }

  async compare(tract) {
    return this.#tracts.get(tract).block("compare");
  }

  async search(tract, text) {
    return this.#tracts.get(tract).search(text);
  }

  async media(tract, sha256) {
    return this.#tracts.get(tract).block("media")[sha256] ?? { why: "not in this page" };
  }
}

/** One tract: its blocks, and the rows of those that were parsed. */
class Pages {
  #rows = new Map();
  #changes = new Map();
  #ends = new Map();
  #parsed = 0;

  constructor(block, info) {
    this.block = block;
    this.info = info;
  }

  page(before) {
    const number = before === null ? 0 : this.#ends.get(before);
    const commits = (number === undefined ? null : this.#parse(number)) ?? [];
    return { commits, more: number !== undefined && number + 1 < this.info.blocks };
  }

  #parse(number) {
    const rows = this.block(`commits-${number}`);
    if (rows === null || number < this.#parsed) return rows;
    this.#parsed = number + 1;
    for (const row of rows) {
      this.#rows.set(row.hash, { row, number });
      for (const each of [row.target, ...(row.hides ?? []), ...(row.clears ?? [])]) {
        if (each) this.#changes.set(each, [row, ...(this.#changes.get(each) ?? [])]);
      }
    }
    this.#ends.set(rows.at(-1)?.hash, number + 1);
    return rows;
  }

  #found(hash) {
    while (!this.#rows.has(hash) && this.#parsed < this.info.blocks) this.#parse(this.#parsed);
    return this.#rows.get(hash);
  }

  commit(hash) {
    const found = this.#found(hash);
    if (found === undefined) throw new Missing("This page does not have that commit.");
    const { row, number } = found;
    const detail = this.block(`details-${number}`)[hash] ?? { messages: messageIn(row), raw: null };
    const known = this.block("usage");
    const heads = [hash, row.parents[0]].filter((each) => each in known);
    const usage = Object.fromEntries(heads.map((each) => [each, known[each]]));
    return { row, ...detail, changes: this.#changes.get(hash) ?? [], usage };
  }

  point(hash) {
    const entries = fold(lineOf(hash, (each) => this.#found(each)?.row));
    const tokens = entries.filter(isShown).reduce((sum, each) => sum + each.tokens, 0);
    const known = this.block("points")[hash];
    if (known !== undefined) return { hash, ...known, entries };
    return { hash, tokens, source: "the sum of the entries", entries, open_calls: null };
  }

  request(hash, api) {
    const requests = this.block("points")[hash]?.requests;
    if (requests === undefined) {
      throw new Missing(
        "A written page has requests only at the heads of branches and tags, and only short ones. " +
          "A served page has them at every commit.",
      );
    }
    const texts = this.block("texts");
    const { sections, losses } = requests[api];
    return { losses, sections: sections.map(([label, at]) => [label, texts[at]]) };
  }

  search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.#found(""); // parses all
    const hits = [];
    for (const { row, number } of words.length ? this.#rows.values() : []) {
      const detail = this.block(`details-${number}`)[row.hash];
      const whole = [row.preview, row.note ?? "", ...textsIn(detail?.messages)].join("\n").toLowerCase();
      if (words.every((word) => whole.includes(word))) hits.push({ ...row, status: null });
      if (hits.length === 100) return { hits, note: "These are the newest 100." };
    }
    return { hits, note: null };
  }
}

function messageIn(row) {
  if (row.role === null) return [];
  return [{ role: row.role, name: null, parts: [{ type: "text", text: row.preview }] }];
}

function* textsIn(parts) {
  for (const part of parts ?? []) {
    for (const name of ["text", "name", "arguments"]) if (part[name]) yield part[name];
    yield* textsIn(part.parts);
  }
}
