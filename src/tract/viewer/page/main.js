// What is shown, and how it changes: one state, read from the address and kept in it.
import { el, fill, offer } from "./dom.js";
import { PageSource } from "./embedded.js";
import { Graph } from "./graph.js";
import { Panel } from "./panel.js";
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
const OF_ALL = ["compare", "search"]; // the views that are not of one commit
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
  #follows = false; // shows the newest commit, and the next one, too
  #drawn = null; // the newest commit when the panel was drawn
  chosen = {}; // in views, and kept for the next one

  constructor(source) {
    this.source = source;
    this.graph = new Graph(byId("commits"), {
      load: (before) => source.commits(this.state.tract, { before }),
      open: (hash) => this.show({ hash }),
      failed: (error) => tell(`The next commits could not be loaded: ${error.message}`),
    });
    this.panel = new Panel(byId("panel"), () => this.#follow());
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
    this.panel.expect();
    const { api, tab } = this.state;
    this.state = { tract, api, tab, hash: null, from: null, words: "", ...wanted, tract };
    byId("tract").value = tract;
    if (document.activeElement !== byId("words")) byId("words").value = this.state.words;
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
    offer(byId("refs"), [["", "a branch or tag"], ...this.names().map(({ name, kind, hash }) => [hash, `${kind} ${name}`])]);
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
    const { commits, more } = await this.#since(this.graph.newest);
    if (!isWanted()) return;
    this.#take(refs);
    if (more) {
      await this.graph.start(refs, commits.length && this.graph.counts[1] + commits.length);
      if (!isWanted()) return;
      if (commits.length) this.graph.select(this.hash);
      else this.show({ hash: this.graph.newest });
      return this.#tellCounts("off");
    }
    this.graph.label(refs);
    if (commits.length) this.graph.prepend(commits);
    this.#tellCounts(commits.length ? "off" : "polite");
    this.#follow();
  }

  /** Show the newest commit if that was shown before, once the reader holds nothing of the other. */
  #follow() {
    const newest = this.graph.newest;
    if (!this.#follows || newest === null || newest === this.#drawn || this.panel.isHeld) return;
    this.#show({ hash: newest }, this.state.tab !== "search");
    this.graph.mark(newest);
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

  /** Tell how many commits there are; those that come are not read aloud one by one. */
  #tellCounts(aloud = "polite") {
    const [, all] = this.graph.counts;
    byId("status").setAttribute("aria-live", aloud);
    said(`${counted(all, "commit")}${this.source.live ? ", live" : `, as of ${this.made}`}`);
  }

  /** Change what is shown, as its reader asked for. */
  show(changes) {
    this.#show(changes, true);
    if ("hash" in changes) this.#follows = this.hash === this.graph.newest;
    this.graph.select(this.hash);
  }

  #show(changes, isDrawn) {
    this.state = { ...this.state, ...changes };
    if (!(this.state.tab in TABS)) this.state.tab = "commit";
    if (byId("refs").value !== this.hash) byId("refs").value = "";
    this.#keep();
    this.#tabs();
    this.#drawn = this.graph.newest;
    if (isDrawn) this.#draw();
  }

  /** Keep the state in the address, from where a reload or a link takes it. */
  #keep() {
    const kept = KEPT.filter((each) => this.state[each]).map((each) => [each, this.state[each]]);
    const address = `#${new URLSearchParams(kept)}`;
    if (address === location.hash) return;
    try {
      history.replaceState(null, "", address);
    } catch {
      // Some browsers refuse more than a hundred in half a minute.
    }
  }

  /** Mark the tab that is shown. The tabs are made once: a button that is replaced loses its click. */
  #tabs() {
    const tabs = byId("tabs");
    if (!tabs.childElementCount) fill(tabs, Object.entries(TABS).map(([name, [text]]) => this.#tab(name, text)));
    for (const each of tabs.children) {
      const isShown = each.id === `tab-${this.state.tab}`;
      each.setAttribute("aria-selected", String(isShown));
      each.setAttribute("tabindex", isShown ? "0" : "-1");
    }
    byId("panel").setAttribute("aria-labelledby", `tab-${this.state.tab}`);
    if (tabs.contains(document.activeElement)) byId(`tab-${this.state.tab}`).focus();
  }

  #tab(name, text) {
    const click = () => this.show({ tab: name });
    const given = { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", on: { click } };
    return el("button.tab", given, text);
  }

  async #draw() {
    const ticket = ++this.#ticket;
    this.panel.expect();
    const [, made] = TABS[this.state.tab];
    const needsCommit = !OF_ALL.includes(this.state.tab);
    let children;
    try {
      children = needsCommit && !this.hash ? [el("p.note", {}, "There are no commits yet.")] : await made(this);
    } catch (error) {
      children = [el("p.note", {}, error.message)];
    }
    if (ticket === this.#ticket) this.panel.draw(children);
  }
}

function optionOf(value, text) {
  const option = el("option", {}, text);
  option.value = value;
  return option;
}

function tell(text) {
  byId("status").setAttribute("aria-live", "polite");
  said(text);
}

function said(text) {
  if (byId("status").textContent !== text) fill(byId("status"), text);
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
