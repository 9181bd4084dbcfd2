r"""Texts that others wrote, made safe for a terminal.

Agents and web pages write what a store holds. A terminal obeys escape sequences in it, and shows
bidirectional overrides as another text than the one that is stored. So every character that is not
printable is shown as its escape, such as `\x1b` or `\u202e`.
"""

from __future__ import annotations

from unicodedata import category, east_asian_width

__all__ = ["block", "clipped", "line", "width"]

_JOINERS = "\u200c\u200d"
"""Formatting characters that scripts and emoji need, and that cannot reorder or hide text."""


def block(text: str) -> str:
    r"""Return *text* with everything escaped that is not printable, but line breaks and tabs."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text.replace("\r\n", "\n")))


def line(text: str, columns: int | None = None) -> str:
    """Return *text* on one line: white space is one space, the rest is escaped as by `block`.

    With *columns*, it is clipped to that many cells of a terminal. Only as much of a long text is
    looked at as could be shown.
    """
    if columns is not None:
        text = text[: 8 * columns + 8]
    return clipped(block(" ".join(text.split())), columns)


def clipped(text: str, columns: int | None) -> str:
    """Return as much of an escaped *text* as *columns* cells hold, with an ellipsis if it is less."""
    if columns is None or (len(text) <= columns and text.isascii()) or width(text) <= columns:
        return text
    used, kept = 1, 0
    for character in text:
        used += width(character)
        if used > columns:
            break
        kept += 1
    return f"{text[:kept]}…" if columns > 0 else ""


def width(text: str) -> int:
    """Return how many cells of a terminal an escaped *text* takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if category(character) in ("Mn", "Me") or character in _JOINERS:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def _shown(character: str) -> str:
    if character.isprintable() or character in "\n\t" or character in _JOINERS:
        return character
    if category(character) == "Zs":
        return character  # spaces of other widths
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
