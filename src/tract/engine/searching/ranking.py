"""Ranking what was found, and the pieces of text that show it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tract.engine.searching.texts import text_of
from tract.history.words import words_in, words_of
from tract.models.queries.searching import SearchTerm
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
    best = max((_closeness(marks, at) for at in range(len(marks))), default=None)
    around = 0 if best is None else marks[-best[2]][0]
    start, end = max(0, around - _BEFORE), min(len(text), around + _AFTER)
    if start:
        start = min(word.start for word in words if word.start >= start)
    if end < len(text):
        end = max((word.end for word in words if word.end <= end), default=end)
    inside = [(a - start, b - start) for a, b, _ in marks if start <= a and b <= end]
    return text[start:end], tuple(_apart(inside))


def _closeness(marks: Sequence[tuple[int, int, int]], at: int) -> tuple[int, int, int]:
    """Return how many terms a piece that begins at a mark has, and how close; the more the better."""
    seen: set[int] = set()
    first = last = marks[at][0]
    for start, _, number in marks[at:]:
        if start > first + _AFTER:
            break
        if number not in seen:
            seen.add(number)
            last = start
    return len(seen), first - last, -at


def _apart(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield sorted places, those that overlap as one."""
    start = end = -1
    for first, last in places:
        if first <= end:
            end = max(end, last)
            continue
        if end > 0:
            yield start, end
        start, end = first, last
    if end > 0:
        yield start, end
