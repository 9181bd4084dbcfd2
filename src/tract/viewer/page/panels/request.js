// What a model got: the request at a commit, for one API.
import { choice, el, growing, texts } from "../dom.js";
import { counted, short } from "../text.js";
import { details, link } from "./commit.js";

const APIS = [
  ["openai", "OpenAI Chat Completions"],
  ["responses", "OpenAI Responses"],
  ["anthropic", "Anthropic Messages"],
  ["google", "Google generateContent"],
];
const AT_A_TIME = 100;

export async function requestPanel(app) {
  const chosen = choice("API", APIS, app.api, (api) => app.show({ api }));
  const head = [el("h2", {}, "Request at ", el("code", {}, short(app.hash))), el("p.bar", {}, chosen)];
  try {
    const { sections, losses } = await app.source.request(app.tract, app.hash, app.api);
    return [...head, lossesOf(app, losses), sectionsOf(sections)];
  } catch (error) {
    return [...head, el("p.note", {}, error.message)];
  }
}

function lossesOf(app, losses) {
  if (!losses.length) return el("p", {}, "Nothing is left out or changed for this API.");
  const items = losses.map(({ commit_hash, what, why }) =>
    el("li", {}, commit_hash ? link(app, commit_hash) : "", ` ${what}: ${why}`),
  );
  return details(`${counted(losses.length, "thing")} left out or changed for this API`, el("ul", {}, items));
}

/** Return the sections in order; more of them when they are asked for. */
function sectionsOf(sections) {
  let shown = 0;
  return growing(el("div.sections"), () => {
    const some = sections.slice(shown, shown + AT_A_TIME);
    shown += some.length;
    const made = some.map(([label, text]) => el("section.section", {}, el("h3", {}, label), texts(text, "code")));
    return [made, shown < sections.length && `${shown} of ${sections.length}`];
  });
}
