// The source of a served page: what it asks the server for, with the token of its address.

/** Thrown if the token is missing or wrong. */
export class Refused extends Error {}

export class ServerSource {
  live = true;
  #token;

  constructor(token) {
    this.#token = token;
  }

  async tracts() {
    const listed = [];
    for (let after = null, more = true; more; after = listed.at(-1)?.cursor) {
      const page = await this.#ask("tracts", { after });
      listed.push(...page.tracts);
      more = page.more;
    }
    return { tracts: listed, made: null };
  }

  refs(tract) {
    return this.#ask("refs", { tract });
  }

  /** Return a page of commits, newest first: before one, or after one. */
  commits(tract, { before = null, after = null } = {}) {
    return this.#ask("commits", { tract, before, after });
  }

  commit(tract, hash) {
    return this.#ask("commit", { tract, hash });
  }

  point(tract, hash) {
    return this.#ask("point", { tract, hash });
  }

  request(tract, hash, api) {
    return this.#ask("request", { tract, hash, api });
  }

  compare(tract) {
    return this.#ask("compare", { tract });
  }

  search(tract, text) {
    return this.#ask("search", { tract, text });
  }

  media(tract, sha256) {
    return this.#ask("media", { tract, sha256 });
  }

  async #ask(name, values) {
    const answer = await this.#fetch(name, values);
    const told = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(told.error), { status: answer.status });
    return told;
  }

  async #fetch(name, values, signal) {
    const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
    const headers = { Authorization: `Bearer ${this.#token}` };
    const options = { headers, signal, cache: "no-store", redirect: "error" };
    const answer = await fetch(`api/${name}?${new URLSearchParams(given)}`, options);
    if (answer.status === 401) throw new Refused("The token is missing or wrong.");
    return answer;
  }

  /** Call *told* with the refs whenever they change, and *lost* once with what ended that; return an end. */
  watch(tract, told, lost) {
    const end = new AbortController();
    const ended = (error) => end.signal.aborted || lost(error);
    this.#follow(tract, told, end.signal).then(() => ended(null), ended);
    return () => end.abort();
  }

  async #follow(tract, told, signal) {
    const answer = await this.#fetch("events", { tract }, signal);
    if (!answer.ok) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      const events = (text + piece.value).split("\n\n");
      text = events.pop();
      for (const event of events) {
        if (event.startsWith("data: ")) told(JSON.parse(event.slice(6)));
      }
    }
  }
}
