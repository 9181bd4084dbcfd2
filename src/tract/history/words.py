"""The words of a text, as search compares them: the same for every engine, and for queries.

A word is a run of letters, digits and the marks that belong to them, in lower case and without
diacritics. Where a script sets no spaces between words, each character is one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["MOST", "Word", "words_in", "words_of"]

MOST: int = 16_000
"""Words of one text that are looked at; what comes later is not found."""
_LONGEST = 64  # characters of a word; the rest is cut off, in queries, too
_ENCODED = "[A-Za-z0-9+/=_-]{256,}"
"""Data such as base64, in which nobody looks for words."""
_CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
    "\ufe20-\ufe2f"
)
_PLAIN = re.compile(f"{_ENCODED}|([A-Za-z0-9]+)")
_ANY = re.compile(f"{_ENCODED}|((?:[^\\W_]|[{_MARKS}])+)")
_PIECE = re.compile(f"[{_CHARACTERS}]|[^{_CHARACTERS}]+")
_DIACRITIC = 10  # combining classes from here on; those below make another letter in Indic scripts


class Word(NamedTuple):
    """A word, and where it is in its text."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order."""
    if text.isascii():
        return [word[:_LONGEST] for word in _PLAIN.findall(text.lower()) if word][:MOST]
    return [word.text for word in words_in(text)]


def words_in(text: str) -> list[Word]:
    """Return the words of a text, in order, each with its place."""
    found: list[Word] = []
    for word in _found(text):
        found.append(word)
        if len(found) == MOST:
            break
    return found


def _found(text: str) -> Iterator[Word]:
    for run in (_PLAIN if text.isascii() else _ANY).finditer(text):
        whole = run.group(1)
        if whole is None:
            continue
        if whole.isascii():
            yield Word(whole.lower()[:_LONGEST], run.start(), run.end())
            continue
        for piece in _PIECE.finditer(whole):
            folded = _folded(piece.group())
            if folded:
                start = run.start() + piece.start()
                yield Word(folded[:_LONGEST], start, start + len(piece.group()))


def _folded(word: str) -> str:
    """Return a word without case, diacritics, and forms that only look different."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    bare = "".join(each for each in apart if unicodedata.combining(each) < _DIACRITIC)
    return "".join(_ANY.findall(unicodedata.normalize("NFC", bare)))
