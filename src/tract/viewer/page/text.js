// Texts come from agents and the web: whatever could hide or reorder them is made visible.

const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;

/** Return a text with its control and formatting characters shown as signs. */
export function visible(text) {
  return String(text).replace(/\r\n/g, "\n").replace(HIDDEN, sign);
}

function sign(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/** Return a text on one line. */
export function oneLine(text) {
  return String(text).replace(/\s+/g, " ").trim();
}

export function short(hash) {
  return hash ? hash.slice(0, 10) : "nothing";
}

export function number(value) {
  return Number(value).toLocaleString("en");
}

export function counted(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** Return a time in the reader's own zone. */
export function moment(iso) {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : time.toLocaleString();
}

/** Return a time in few characters. */
export function brief(iso) {
  const time = new Date(iso);
  const few = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  return Number.isNaN(time.getTime()) ? iso : time.toLocaleString(undefined, few);
}
