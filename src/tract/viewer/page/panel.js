// The panel of a view. It is drawn again as commits come, but not under the eyes and hands of its reader.
import { fill } from "./dom.js";

const LETTING_GO = ["pointerup", "pointercancel", "focusout", "selectionchange", "scroll", "toggle"];
const OPEN = CSS.supports("selector(:open)") ? ":open" : ":active";

export class Panel {
  #box;
  #pressed = false;
  #waiting = false;

  /** *rested* is called when the reader has let go of what was held. */
  constructor(box, rested) {
    this.#box = box;
    const press = (event) => (this.#pressed = event.target instanceof Node && box.contains(event.target));
    const release = () => (this.#pressed = false);
    document.addEventListener("pointerdown", press, true);
    for (const each of ["pointerup", "pointercancel"]) document.addEventListener(each, release, true);
    for (const each of LETTING_GO) document.addEventListener(each, () => this.#look(rested), true);
  }

  /** Whether the reader points at, has selected, opened, focused or scrolled to something in it. */
  get isHeld() {
    const box = this.#box;
    const opened = box.querySelector("details[open]") !== null;
    return this.#pressed || box.scrollTop > 0 || opened || this.#hasSelection() || this.#hasFocus();
  }

  #hasSelection() {
    const selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(this.#box, true);
  }

  /** A select can be drawn again while it is closed, and keeps the focus. */
  #hasFocus() {
    const focused = document.activeElement;
    if (focused === this.#box || !this.#box.contains(focused)) return false;
    return focused.tagName !== "SELECT" || focused.matches(OPEN);
  }

  /** Look before the next frame, after the click that may come of a release. */
  #look(rested) {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      if (!this.isHeld) rested();
    });
  }

  /** Say that something else is on its way. */
  expect() {
    this.#box.setAttribute("aria-busy", "true");
  }

  /** Show other children, from the top; the focus stays on the same select, or in the panel. */
  draw(...children) {
    const box = this.#box;
    const focused = document.activeElement;
    const label = box.contains(focused) ? (labelOf(focused) ?? "") : null;
    fill(box, children);
    box.scrollTop = 0;
    box.removeAttribute("aria-busy");
    if (label === null) return;
    const again = label && [...box.querySelectorAll("select")].find((each) => labelOf(each) === label);
    (again || box).focus({ preventScroll: true });
  }
}

function labelOf(element) {
  return element.tagName === "SELECT" ? element.labels[0]?.firstChild?.data : null;
}
