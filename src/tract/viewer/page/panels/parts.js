// Messages with their parts: texts, thinking, tool calls and results, media.
import { el, fill, picture, texts } from "../dom.js";

const NAMES = {
  thinking: "Thinking",
  refusal: "Refusal",
  tool_call: "Tool call",
  tool_result: "Tool result",
  media: "Media",
  native: "Item of one API",
};

/** Return messages; *media* returns an attachment as a picture, or why it is not one. */
export function messages(shown, media) {
  return shown.map(({ role, name, parts }) =>
    el(
      "article.message",
      {},
      el("p.role", {}, name ? `${role} (${name})` : role),
      parts.map((each) => part(each, media)),
    ),
  );
}

function part(shown, media) {
  if (shown.type === "text") return texts(shown.text);
  return el(
    `div.part.${NAMES[shown.type] ? shown.type : "native"}`,
    {},
    el("p.kind", {}, titleOf(shown)),
    inside(shown, media),
  );
}

function titleOf(shown) {
  const name = NAMES[shown.type] ?? "Part";
  if (shown.type === "tool_call") return `${name}: ${shown.name}${idOf(shown.id)}`;
  if (shown.type === "tool_result") {
    return `${name}${shown.name ? `: ${shown.name}` : ""}${idOf(shown.call_id)}${shown.is_error ? ", an error" : ""}`;
  }
  if (shown.type === "media") return [`Media: ${shown.kind}`, shown.media_type, shown.name].filter(Boolean).join(", ");
  if (shown.type === "native") return `${name}: ${shown.kind}`;
  return shown.sealed ? `${name}, sealed by the API` : name;
}

function idOf(id) {
  return id ? ` (${id})` : "";
}

function inside(shown, media) {
  if (shown.type === "tool_call") return texts(indented(shown.arguments), "code");
  if (shown.type === "tool_result") return shown.parts.map((each) => part(each, media));
  if (shown.type === "media") return mediaOf(shown, media);
  return texts(shown.text ?? "", shown.type === "native" ? "code" : "text");
}

/** Return JSON with line breaks; anything else, and what would lose digits, as it is. */
function indented(text) {
  try {
    const value = JSON.parse(text);
    const again = JSON.stringify(value);
    return again === text.replace(/\s+(?=(?:[^"]*"[^"]*")*[^"]*$)/g, "") ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}

function mediaOf(shown, media) {
  const size = shown.width ? `, ${shown.width} × ${shown.height} pixels` : "";
  const box = el("div.media", {});
  const show = ({ url, why }) =>
    fill(box, url ? picture(url, `${shown.kind}${size}`) : el("p.note", {}, `Not shown: ${why}`));
  if (shown.url || shown.why) show(shown);
  else if (shown.attachment) media(shown.attachment).then(show, (error) => show({ why: error.message }));
  else show({ why: `it is elsewhere, at ${shown.elsewhere ?? "an unknown place"}` });
  return box;
}
