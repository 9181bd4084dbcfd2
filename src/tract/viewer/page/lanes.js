// Where the graph draws each commit: commits come newest first, and each lane waits for one.

/** Columns beyond this are not drawn. */
export const WIDEST = 24;

export class Lanes {
  #open = []; // the hash that each lane waits for; null if it is free

  /** Return the column of the next commit, and the lines through its row as pairs of columns. */
  place(row) {
    const into = [];
    const past = [];
    this.#open.forEach((hash, lane) => {
      if (hash === row.hash) into.push(lane);
      else if (hash !== null && lane < WIDEST) past.push(lane);
    });
    const column = into.length ? into[0] : this.#free();
    for (const lane of into) this.#open[lane] = null;
    const out = row.parents.map((parent, at) => this.#wait(parent, at === 0 ? column : null));
    while (this.#open.length && this.#open.at(-1) === null) this.#open.pop();
    return { column, into, past, out };
  }

  #wait(hash, column) {
    if (column === null) {
      const there = this.#open.indexOf(hash);
      if (there >= 0) return there;
    }
    const lane = column ?? this.#free();
    this.#open[lane] = hash;
    return lane;
  }

  #free() {
    const lane = this.#open.indexOf(null);
    if (lane >= 0) return lane;
    this.#open.push(null);
    return this.#open.length - 1;
  }
}
