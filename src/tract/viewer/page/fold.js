// The fold of docs/decisions/fold.md over rows: which entries a context has at a commit, and how.

/** Return the history of a commit in the order in which it is folded, oldest first. */
export function lineOf(head, rowOf) {
  const seen = new Set();
  const line = [];
  const stack = [chainOf(head, seen, rowOf)];
  while (stack.length) {
    const chain = stack.at(-1);
    const row = chain.at(-1);
    if (row === undefined) {
      stack.pop();
      continue;
    }
    const merged = row.parents[1];
    if (merged !== undefined && !seen.has(merged)) {
      const brought = chainOf(merged, seen, rowOf);
      if (brought.length) {
        stack.push(brought);
        continue;
      }
    }
    chain.pop();
    seen.add(row.hash);
    line.push(row);
  }
  return line;
}

/** Return a commit and its first parents, newest first, as far as they were not seen. */
function chainOf(head, seen, rowOf) {
  const chain = [];
  for (let hash = head; hash !== undefined && !seen.has(hash); ) {
    const row = rowOf(hash);
    if (row === undefined) break;
    chain.push(row);
    hash = row.parents[0];
  }
  return chain;
}

/** Return the entries after a line of commits; those that are left out say why. */
export function fold(line) {
  const state = { entries: [], byHash: new Map() };
  for (const row of line) STEPS[row.op]?.(state, row);
  return state.entries;
}

const STEPS = {
  append: (state, row) => {
    const entry = entryOf(row);
    state.entries.push(entry);
    state.byHash.set(row.hash, entry);
  },
  edit: (state, row) => {
    const entry = state.byHash.get(row.target);
    if (entry === undefined) return;
    Object.assign(entry, shownBy(row), { config: row.config ?? entry.config, cleared_by: null });
  },
  annotate: (state, row) => {
    const entry = state.byHash.get(row.target);
    if (entry !== undefined) entry.priority = row.priority ?? entry.priority;
  },
  compact: hide,
  expand: restore,
};

function entryOf(row) {
  const priority = row.op === "compact" ? "normal" : (row.priority ?? "normal");
  const config = row.config ?? {};
  const more = { hidden_by: null, cleared_by: null, priority, config, at: row.at };
  return { hash: row.hash, ...shownBy(row), ...more };
}

/** Return what an entry shows of a commit. */
function shownBy(row) {
  return {
    shown: row.hash,
    type: row.type,
    role: row.role,
    tokens: row.entry_tokens ?? row.tokens,
    preview: row.preview,
    kinds: row.kinds,
    erased: row.erased !== undefined,
  };
}

function hide(state, row) {
  const hides = new Set(row.hides);
  const clears = new Set(row.clears);
  const summary = entryOf(row);
  let place = null;
  state.entries.forEach((entry, at) => {
    if (entry.hidden_by !== null) return;
    if (hides.has(entry.hash)) {
      place ??= at;
      entry.hidden_by = row.hash;
    } else if (clears.has(entry.hash) && entry.cleared_by === null) {
      entry.cleared_by = row.hash;
    }
  });
  if (place === null || row.empty) summary.hidden_by = row.hash;
  state.entries.splice(place ?? state.entries.length, 0, summary);
  state.byHash.set(row.hash, summary);
}

function restore(state, row) {
  const summary = state.byHash.get(row.target);
  if (summary === undefined) return;
  const outer = summary.hidden_by === row.target ? null : summary.hidden_by;
  for (const entry of state.entries) {
    if (entry.hidden_by === row.target) entry.hidden_by = outer;
    if (entry.cleared_by === row.target) entry.cleared_by = null;
  }
  summary.hidden_by = row.target;
}

/** Return whether a model sees an entry. */
export function isShown(entry) {
  return entry.hidden_by === null && entry.priority !== "skip" && !entry.erased;
}
