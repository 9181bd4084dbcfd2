// What a search found.
import { el, fill } from "../dom.js";
import { whatOf } from "../graph.js";
import { counted, moment, oneLine, short } from "../text.js";

export async function searchPanel(app) {
  if (!app.words) return [el("h2", {}, "Search"), el("p.note", {}, "Type words at the top of the page.")];
  const { hits, note } = await app.source.search(app.tract, app.words);
  return [
    el("h2", {}, `${counted(hits.length, "commit")} with “${app.words}”`),
    note && el("p.note", {}, note),
    el(
      "ol.hits",
      {},
      hits.map((hit) =>
        el(
          "li",
          {},
          el(
            "button.hit",
            { type: "button", on: { click: () => app.show({ hash: hit.hash, tab: "commit" }) } },
            el("b", {}, `${whatOf(hit)} ${short(hit.hash)}`),
            hit.status && el("span.state", {}, hit.status),
            el("span.when", {}, moment(hit.at)),
            el("span.preview", { dir: "auto" }, oneLine(hit.preview)),
          ),
        ),
      ),
    ),
  ];
}
