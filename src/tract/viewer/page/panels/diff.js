// How the contexts at two commits differ, entry by entry, and line by line where one was edited.
import { choice, el, fill, growing, texts } from "../dom.js";
import { counted, oneLine, short } from "../text.js";
import { link, worded } from "./commit.js";

const MOST_LINES = 600;
const AT_A_TIME = 200;

export async function diffPanel(app) {
  const from = app.from;
  const head = [
    el("h2", {}, "Diff to ", el("code", {}, short(app.hash))),
    el(
      "p.bar",
      {},
      choice("From", pointsOf(app), from ?? "", (value) => app.show({ from: value || null })),
      el("button", { type: "button", on: { click: () => app.show({ from: app.hash }) } }, "Compare others with this commit"),
    ),
  ];
  const [before, after] = await Promise.all([entriesAt(app, from), entriesAt(app, app.hash)]);
  const changes = differences(before, after);
  const sum = (entries) => entries.reduce((total, each) => total + tokensOf(each), 0);
  const tokens = sum(after) - sum(before);
  const told = `${counted(changes.length, "entry differs", "entries differ")}, ${tokens >= 0 ? "+" : ""}${tokens} tokens`;
  return [...head, el("p", {}, told), listed(app, changes)];
}

function pointsOf(app) {
  const named = app.names().map(({ name, kind, hash }) => [hash, `${kind} ${name}`]);
  const parent = app.parentOf(app.hash);
  const known = [["", "the empty context"], ...(parent ? [[parent, "its parent"]] : []), ...named];
  const others = app.from && !known.some(([hash]) => hash === app.from) ? [[app.from, `commit ${short(app.from)}`]] : [];
  return [...known, ...others];
}

async function entriesAt(app, hash) {
  return hash ? (await app.source.point(app.tract, hash)).entries : [];
}

function tokensOf(entry) {
  return isLeftOut(entry) ? 0 : entry.tokens;
}

function isLeftOut(entry) {
  return entry.priority === "skip" || entry.hidden_by !== null || entry.erased;
}

/** Return what differs in the order of the second; what was removed follows what it followed. */
export function differences(before, after) {
  const former = new Map(before.map((each) => [each.hash, each]));
  const latter = new Set(after.map((each) => each.hash));
  const removed = new Map();
  let last = null;
  for (const entry of before) {
    if (latter.has(entry.hash)) last = entry.hash;
    else removed.set(last, [...(removed.get(last) ?? []), entry]);
  }
  const gone = (hash) => (removed.get(hash) ?? []).map((old) => ({ old, now: null, changes: ["removed"] }));
  return [
    ...gone(null),
    ...after.flatMap((now) => {
      const old = former.get(now.hash) ?? null;
      const changes = old === null ? ["added"] : changesOf(old, now);
      return [...(changes.length ? [{ old, now, changes }] : []), ...gone(now.hash)];
    }),
  ];
}

function changesOf(old, now) {
  return [
    old.shown !== now.shown && "edited",
    old.priority !== now.priority && `${old.priority} → ${now.priority}`,
    old.hidden_by !== now.hidden_by && (now.hidden_by ? "hidden" : "shown again"),
    old.cleared_by !== now.cleared_by && (now.cleared_by ? "cleared" : "no longer cleared"),
    old.erased !== now.erased && "erased",
    worded(old.config) !== worded(now.config) && "config",
  ].filter(Boolean);
}

function listed(app, changes) {
  let shown = 0;
  return growing(el("div.changes"), () => {
    const some = changes.slice(shown, shown + AT_A_TIME).map((each) => changeOf(app, each));
    shown += some.length;
    return [some, shown < changes.length && `${shown} of ${changes.length}`];
  });
}

function changeOf(app, { old, now, changes }) {
  const entry = now ?? old;
  const body = el("div.lines");
  const box = el(
    `details.change.${changes[0] === "added" ? "added" : changes[0] === "removed" ? "removed" : "changed"}`,
    { on: { toggle: () => box.open && !body.childNodes.length && unfold(app, body, old, now) } },
    el("summary", {}, el("b", {}, changes.join(", ")), ` ${entry.role ?? entry.type}: ${oneLine(entry.preview).slice(0, 160)}`),
    el("p", {}, "Entry ", link(app, entry.hash)),
    body,
  );
  return box;
}

async function unfold(app, body, old, now) {
  const textOf = async (entry) => (entry ? textIn((await app.source.commit(app.tract, entry.shown)).messages) : "");
  try {
    const [before, after] = await Promise.all([textOf(old), textOf(now)]);
    fill(body, linesOf(before, after));
  } catch (error) {
    fill(body, el("p.note", {}, error.message));
  }
}

function textIn(shown) {
  const inPart = (part) => [part.text, part.name, part.arguments, ...(part.parts ?? []).map(inPart)].filter(Boolean).join("\n");
  return shown.flatMap((message) => message.parts.map(inPart)).join("\n");
}

function linesOf(before, after) {
  const [old, now] = [before.split("\n"), after.split("\n")];
  if (old.length + now.length > MOST_LINES) return [texts(before, "code.gone"), texts(after, "code.new")];
  return compared(before === "" ? [] : old, after === "" ? [] : now).map(([kind, line]) =>
    el(`div.line.${kind}`, {}, { gone: "− ", new: "+ ", same: "  " }[kind], texts(line, "words")),
  );
}

/** Return the lines of both texts by their longest common subsequence. */
export function compared(old, now) {
  const length = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1));
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      length[i][j] = old[i] === now[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    }
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) lines.push(["same", old[i++]]), j++;
    else if (j >= now.length || (i < old.length && length[i + 1][j] >= length[i][j + 1])) lines.push(["gone", old[i++]]);
    else lines.push(["new", now[j++]]);
  }
  return lines;
}
