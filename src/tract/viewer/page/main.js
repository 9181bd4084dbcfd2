// What is shown, and how it changes: one state, read from the address and kept in it.
import { el, fill } from "./dom.js";
import { PageSource } from "./embedded.js";
import { Graph } from "./graph.js";
import { comparePanel } from "./panels/compare.js";
import { commitPanel } from "./panels/commit.js";
import { contextPanel } from "./panels/context.js";
import { diffPanel } from "./panels/diff.js";
import { requestPanel } from "./panels/request.js";
import { searchPanel } from "./panels/search.js";
import { Refused, ServerSource } from "./served.js";
import { counted } from "./text.js";

const TABS = {
  commit: ["Commit", commitPanel],
  context: ["Context", contextPanel],
  request: ["Request", requestPanel],
  diff: ["Diff", diffPanel],
  compare: ["Branches", comparePanel],
  search: ["Search", searchPanel],
};
const KEPT = ["tract", "hash", "tab", "api", "from", "words"];
const KEYS = [
  ["↑ ↓ or j k", "the next or previous commit"],
  ["Page Up, Page Down, Home, End", "further"],
  ["1 to 6", "the views"],
  ["/", "search"],
  ["g", "the history"],
  ["m", "compare others with this commit"],
  ["t", "dark or light"],
  ["?", "these keys"],
];
const AGAIN = 2_000; // milliseconds, after which a server that is gone is looked for
const byId = (id) => document.getElementById(id);

class App {
  state = { tract: null, hash: null, tab: "commit", api: "openai", from: null, words: "" };
  #refs = { branches: [], tags: [] };
  #tracts = [];
  #ticket = 0;
  #opening = 0;
  #changing = Promise.resolve();
  #unwatch = () => {};

  constructor(source) {
    this.source = source;
    this.graph = new Graph(byId("commits"), {
      load: (before) => source.commits(this.state.tract, { before }),
      open: (hash) => this.show({ hash }),
      failed: (error) => tell(`The next commits could not be loaded: ${error.message}`),
    });
    this.media = (sha256) => source.media(this.tract, sha256);
  }

  get tract() { return this.state.tract; }
  get hash() { return this.state.hash; }
  get api() { return this.state.api; }
  get from() { return this.state.from; }
  get words() { return this.state.words; }

  labelsOf(hash) {
    return this.graph.labelsOf(hash);
  }

  /** Return all names of commits. */
  names() {
    const { branches, tags } = this.#refs;
    const heads = branches.filter((each) => each.head).map(({ name, head }) => ({ name, kind: "branch", hash: head }));
    return [...heads, ...tags.map(({ name, target }) => ({ name, kind: "tag", hash: target }))];
  }

  parentOf(hash) {
    return this.graph.parentOf(hash);
  }

  select(hash) {
    this.show({ hash, tab: "commit" });
  }

  async start(wanted) {
    const { tracts, made } = await this.source.tracts();
    this.#tracts = tracts;
    this.made = made;
    if (!tracts.length) return tell("There are no tracts.");
    fill(byId("tract"), tracts.map((each) => optionOf(each.tract_id, each.title ?? each.tract_id)));
    const known = tracts.some((each) => each.tract_id === wanted.tract);
    const tract = known ? wanted.tract : tracts[0].tract_id;
    await this.open(tract, known ? wanted : { tab: wanted.tab });
  }

  /** Show a tract from its newest commit, or from where the address says. */
  async open(tract, wanted = {}) {
    const opening = ++this.#opening;
    this.#ticket++; // what is being drawn is of the tract before
    this.#unwatch();
    byId("panel").setAttribute("aria-busy", "true");
    const { api, tab } = this.state;
    this.state = { tract, api, tab, hash: null, from: null, words: "", ...wanted, tract };
    byId("tract").value = tract;
    byId("words").value = this.state.words;
    this.graph.clear();
    try {
      const refs = await this.source.refs(tract);
      if (opening !== this.#opening) return; // another tract was opened
      this.#take(refs);
      const info = this.#tracts.find((each) => each.tract_id === tract);
      await this.graph.start(refs, info.commits);
    } catch (error) {
      if (opening === this.#opening) throw error;
    }
    if (opening !== this.#opening) return;
    this.show({ hash: this.state.hash ?? this.names()[0]?.hash ?? this.graph.newest });
    this.#tellCounts();
    if (this.source.live) this.#watch(opening);
  }

  #take(refs) {
    this.#refs = refs;
    fill(byId("refs"), optionOf("", "a branch or tag"), this.names().map(({ name, kind, hash }) => optionOf(hash, `${kind} ${name}`)));
  }

  /** Follow the tract that was opened, until another is; again and again if the server goes away. */
  #watch(opening) {
    const isWanted = () => opening === this.#opening;
    // One after the other: two at once would both put the same commits at the top.
    const told = (refs) => {
      const changed = this.#changing.then(() => isWanted() && this.#changed(isWanted, refs));
      this.#changing = changed.catch((error) => isWanted() && tell(error.message));
    };
    const lost = (error) => {
      if (error instanceof Refused) return tell("The server has another token now. Open the address that it printed.");
      tell("The server is gone. Trying again …");
      // Not setTimeout: nothing in this page calls what could run text.
      AbortSignal.timeout(AGAIN).addEventListener("abort", () => isWanted() && this.#watch(opening));
    };
    this.#unwatch = this.source.watch(this.tract, told, lost);
  }

  /** Show what is new: commits, and where branches and tags are now. */
  async #changed(isWanted, refs) {
    const atNewest = this.hash === this.graph.newest;
    const { commits, more } = await this.#since(this.graph.newest);
    if (!isWanted()) return;
    this.#take(refs);
    if (more) {
      await this.graph.start(refs, commits.length && this.graph.counts[1] + commits.length);
      if (!isWanted()) return;
      if (commits.length) this.graph.select(this.hash);
      else this.show({ hash: this.graph.newest });
      return this.#tellCounts();
    }
    this.graph.label(refs);
    if (commits.length) this.graph.prepend(commits);
    this.#tellCounts();
    if (!commits.length) return; // the list stays where it was scrolled to
    if (atNewest || this.hash === null) this.show({ hash: commits[0].hash });
    else this.graph.select(this.hash);
  }

  /** Return what came after a commit; none and more if that is not there any more, as in a tract erased. */
  async #since(newest) {
    try {
      return await this.source.commits(this.tract, { after: newest });
    } catch (error) {
      if (error.status !== 404) throw error;
      return { commits: [], more: true };
    }
  }

  #tellCounts() {
    const [, all] = this.graph.counts;
    tell(`${counted(all, "commit")}${this.source.live ? ", live" : `, as of ${this.made}`}`);
  }

  /** Change what is shown. */
  show(changes) {
    const before = this.state;
    this.state = { ...before, ...changes };
    if (!(this.state.tab in TABS)) this.state.tab = "commit";
    this.#keep();
    this.graph.select(this.hash);
    this.#tabs();
    this.#draw();
  }

  /** Keep the state in the address, from where a reload or a link takes it. */
  #keep() {
    const kept = KEPT.filter((each) => this.state[each]).map((each) => [each, this.state[each]]);
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  }

  #tabs() {
    const tab = ([name, [text]]) =>
      el(
        "button.tab",
        {
          type: "button",
          role: "tab",
          id: `tab-${name}`,
          "aria-selected": String(name === this.state.tab),
          "aria-controls": "panel",
          tabindex: name === this.state.tab ? 0 : -1,
          on: { click: () => this.show({ tab: name }) },
        },
        text,
      );
    const focused = byId("tabs").contains(document.activeElement);
    fill(byId("tabs"), Object.entries(TABS).map(tab));
    byId("panel").setAttribute("aria-labelledby", `tab-${this.state.tab}`);
    if (focused) byId(`tab-${this.state.tab}`).focus();
  }

  async #draw() {
    const ticket = ++this.#ticket;
    const panel = byId("panel");
    panel.setAttribute("aria-busy", "true");
    const [, made] = TABS[this.state.tab];
    const needsCommit = !["compare", "search"].includes(this.state.tab);
    let children;
    try {
      children = needsCommit && !this.hash ? [el("p.note", {}, "There are no commits yet.")] : await made(this);
    } catch (error) {
      children = [el("p.note", {}, error.message)];
    }
    if (ticket !== this.#ticket) return;
    fill(panel, children.flat(3));
    panel.scrollTop = 0;
    panel.removeAttribute("aria-busy");
  }
}

function optionOf(value, text) {
  const option = el("option", {}, text);
  option.value = value;
  return option;
}

function tell(text) {
  fill(byId("status"), text);
}

function failed(error) {
  tell(error.message);
  fill(byId("panel"), el("p.note", {}, error.message));
  byId("panel").removeAttribute("aria-busy");
}

// Theme ------------------------------------------------------------------------------------------

function themed(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  fill(byId("theme"), dark ? "Light" : "Dark");
  byId("theme").setAttribute("aria-label", dark ? "Switch to light" : "Switch to dark");
}

function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

function switchTheme() {
  themed(!isDark());
}

// Keys -------------------------------------------------------------------------------------------

function listen(app) {
  byId("tract").addEventListener("change", (event) => app.open(event.target.value).catch(failed));
  byId("refs").addEventListener("change", (event) => event.target.value && app.show({ hash: event.target.value }));
  byId("theme").addEventListener("click", switchTheme);
  byId("keys").addEventListener("click", help);
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    app.show({ words: byId("words").value.trim(), tab: "search" });
  });
  byId("tabs").addEventListener("keydown", (event) => moveTab(app, event));
  document.addEventListener("keydown", (event) => onKey(app, event));
}

function moveTab(app, event) {
  const names = Object.keys(TABS);
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  app.show({ tab: names[(names.indexOf(app.state.tab) + by + names.length) % names.length] });
}

function onKey(app, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog")) return;
  const tab = Object.keys(TABS)[Number(event.key) - 1];
  const does = {
    "/": () => byId("words").focus(),
    g: () => app.graph.element.focus(),
    m: () => app.show({ from: app.hash, tab: "diff" }),
    t: switchTheme,
    "?": help,
  }[event.key];
  if (does === undefined && tab === undefined) return;
  event.preventDefault();
  if (does) does();
  else app.show({ tab });
}

function help() {
  const close = el("button", { type: "button", on: { click: () => byId("help").close() } }, "Close");
  const keys = KEYS.map(([key, does]) => [el("dt", {}, key), el("dd", {}, does)]);
  fill(byId("help"), el("h2", { id: "help-title" }, "Keys"), el("dl.facts", {}, keys), close);
  byId("help").showModal();
}

// Start ------------------------------------------------------------------------------------------

function askForToken(begin) {
  const input = el("input", { type: "password", id: "token" });
  const submit = (event) => {
    event.preventDefault();
    event.target.querySelector("button").disabled = true; // the page begins once
    begin(input.value);
  };
  const form = el(
    "form",
    { on: { submit } },
    el("p", {}, "The server prints an address with a token when it starts. Open that, or type the token."),
    el("label.field", { for: "token" }, "Token ", input),
    el("button", {}, "Show"),
  );
  fill(byId("panel"), form);
}

async function run() {
  themed(matchMedia("(prefers-color-scheme: dark)").matches);
  const wanted = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const live = document.documentElement.dataset.source === "server";
  const { token, ...state } = wanted;
  const begin = async (token) => {
    const app = new App(live ? new ServerSource(token) : new PageSource());
    try {
      await app.start(Object.fromEntries(KEPT.filter((each) => each in state).map((each) => [each, state[each]])));
      document.documentElement.dataset.ready = String(Math.round(performance.now()));
    } catch (error) {
      failed(error);
      if (error instanceof Refused) return askForToken(begin);
    }
    if (live) keepToken(token);
    listen(app); // after an error, too: another tract may be there
  };
  await begin(live ? (token ?? keptToken()) : null);
}

/** Keep the token for a reload of this tab; the address loses it. */
function keepToken(token) {
  try {
    sessionStorage.setItem("token", token);
  } catch {
    // Without storage, a reload asks for it.
  }
}

function keptToken() {
  try {
    return sessionStorage.getItem("token") ?? "";
  } catch {
    return "";
  }
}

run();
