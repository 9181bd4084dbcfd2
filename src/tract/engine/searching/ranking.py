"""Ranking what was found, and the pieces of text that show it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tract.engine.searching.texts import text_of
from tract.history.words import words_in, words_of
from tract.models.searching import SearchTerm
from tract.storage.repositories import Found

__all__ = ["Ranked", "ranked", "snippet"]

_SATURATION, _SHORT, _USUAL = 1.2, 0.25, 200
"""As in BM25: how soon more of a word counts no more, what an empty text weighs, and the number of
words of a usual text. How many texts have a word does not count: a rank tells nothing of others."""
_BEFORE, _AFTER = 60, 140  # characters around the best place


class Ranked(NamedTuple):
    """A hit with its text and rank."""

    rank: float
    found: Found
    text: str


def ranked(terms: Sequence[SearchTerm], found: Iterable[Found]) -> list[Ranked]:
    """Return what meets all *terms*, the best first, and of equals the newest."""
    hits: list[Ranked] = []
    for each in found:
        text = text_of(each.content_type, each.data)
        words = words_of(text)
        numbers = [len(term.occurrences(words)) for term in terms]
        if all(numbers):
            weight = _SATURATION * (_SHORT + (1 - _SHORT) * len(words) / _USUAL)
            rank = round(sum(number / (number + weight) for number in numbers), 6)
            hits.append(Ranked(rank, each, text))
    return sorted(hits, key=lambda hit: (-hit.rank, -hit.found.number))


def snippet(terms: Sequence[SearchTerm], text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return a piece of a text with as many of the terms as possible, and their places in it."""
    words = words_in(text)
    plain = [word.text for word in words]
    marks = sorted(
        (words[at].start, words[at + len(term.words) - 1].end, number)
        for number, term in enumerate(terms)
        for at in term.occurrences(plain)
    )
    best = (
        max(range(len(marks)), key=lambda at: (_variety(marks, at), -at), default=None)
        if marks
        else None
    )
    around = marks[best][0] if best is not None else 0
    start = max(0, around - _BEFORE)
    if start:
        start = min((word.start for word in words if word.start >= start), default=start)
    end = min(len(text), around + _AFTER)
    if end < len(text):
        end = max((word.end for word in words if word.end <= end), default=end)
    inside = {(a - start, b - start) for a, b, _ in marks if start <= a and b <= end}
    return text[start:end], tuple(sorted(inside))


def _variety(marks: Sequence[tuple[int, int, int]], at: int) -> int:
    """Return how many different terms a piece that begins at a mark has."""
    seen: set[int] = set()
    for start, _, number in marks[at:]:
        if start > marks[at][0] + _AFTER:
            break
        seen.add(number)
    return len(seen)
