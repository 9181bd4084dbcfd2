// One commit: what it holds, how it came about, and what changed it later.
import { el, table, texts } from "../dom.js";
import { whatOf } from "../graph.js";
import { counted, moment, number, oneLine, short } from "../text.js";
import { messages } from "./parts.js";

export async function commitPanel(app) {
  const told = await app.source.commit(app.tract, app.hash);
  const { row } = told;
  return [
    el("h2", {}, `${whatOf(row)} `, el("code", {}, short(row.hash))),
    row.erased && erasedNote(row.erased),
    row.unreadable && el("p.note", {}, "The content cannot be read: it is damaged, or its type is not registered."),
    facts(app, row),
    beside(row, told.usage),
    told.messages.length > 0 && !row.erased && el("h3", {}, "Content"),
    row.erased ? null : messages(told.messages, app.media),
    changed(app, row),
    told.raw && details("As it is stored", texts(told.raw, "code")),
    history(app, told.changes),
  ];
}

function erasedNote({ reason, at, of }) {
  return el("p.note.erased", {}, `This content, of type ${of}, was erased on ${moment(at)}: ${reason}`);
}

export function details(title, ...children) {
  return el("details", {}, el("summary", {}, title), children);
}

/** Return a button that goes to a commit. */
export function link(app, hash, text = short(hash)) {
  return el("button.link", { type: "button", on: { click: () => app.select(hash) } }, text);
}

function facts(app, row) {
  const labels = app.labelsOf(row.hash).map(({ name, kind }) => `${kind} ${name}`);
  const pairs = [
    ["Hash", el("code.hash", {}, row.hash)],
    ["Made", moment(row.at)],
    ["Type", row.type],
    row.role && ["Role", row.role],
    ["Tokens", number(row.tokens)],
    row.parents.length > 0 && ["Parents", el("span", {}, row.parents.map((each) => link(app, each)))],
    row.target && ["Changes", link(app, row.target)],
    row.note && ["Message", texts(row.note)],
    row.reason && ["Reason", texts(row.reason)],
    row.key && ["Key", row.key],
    labels.length > 0 && ["Names", labels.join(", ")],
  ].filter(Boolean);
  return el("dl.facts", {}, pairs.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** Return the config and the usage beside what they produced. */
function beside(row, usage) {
  const config = Object.entries(row.config ?? {});
  const metadata = Object.entries(row.metadata ?? {});
  const reports = Object.entries(usage);
  return el(
    "div.beside",
    {},
    config.length > 0 && pairsTable("Generation config", config),
    reports.length > 0 &&
      table(
        "Usage that the API reported",
        ["Context at", "Prompt", "Completion"],
        reports.map(([hash, [prompt, completion]]) => [short(hash), number(prompt), number(completion)]),
      ),
    metadata.length > 0 && pairsTable("Metadata", metadata),
  );
}

function pairsTable(caption, pairs) {
  return table(caption, ["Name", "Value"], pairs.map(([name, value]) => [name, texts(worded(value))]));
}

export function worded(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function changed(app, row) {
  const hides = row.hides ?? [];
  const clears = row.clears ?? [];
  const listed = (title, hashes) =>
    hashes.length > 0 && details(title, el("p.links", {}, hashes.slice(0, 500).map((each) => link(app, each))));
  return [
    listed(`Hides ${counted(hides.length, "entry", "entries")}`, hides),
    listed(`Clears the results of ${counted(clears.length, "entry", "entries")}`, clears),
  ];
}

function history(app, changes) {
  if (!changes.length) return null;
  const rows = changes.map((row) => [
    link(app, row.hash),
    whatOf(row),
    moment(row.at),
    oneLine(row.reason ?? row.note ?? row.preview),
  ]);
  return [el("h3", {}, "What changed it later"), table("On any branch, oldest first", ["Commit", "Change", "Made", "What"], rows)];
}
