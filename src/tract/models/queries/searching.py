"""Text search: what is looked for, and what is found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from tract.exceptions import QueryError, shown
from tract.history.words import words_of
from tract.models.base import Value
from tract.models.commit import CommitInfo

__all__ = [
    "SearchCursor",
    "SearchHit",
    "SearchStatus",
    "SearchTerm",
    "checked_cursor",
    "search_terms",
]

_MOST_WORDS = 64
_TERM = re.compile(r'"([^"]*)"?(\*?)|([^\s"*]+)(\*?)')
_LAST = 2**62


class SearchStatus(StrEnum):
    """What has become of a commit in the context of a branch."""

    SHOWN = "shown"
    """The context of the branch's head shows it."""
    HIDDEN = "hidden"
    """Its entry's priority is SKIP, or a compaction hides it."""
    EDITED = "edited"
    """Its entry shows another content now, or none because that was erased."""
    UNREACHABLE = "unreachable"
    """It is not in the history of the branch."""


class SearchHit(Value):
    """A commit whose content was found.

    `snippet` is a piece of its text, and `marks` are the places of the words in it, as pairs of
    start and end. `rank` is higher the better it fits. `status` is that in the branch that was
    asked, or in `main` if the whole store was. `cursor` is where the next page begins.
    """

    commit: CommitInfo
    snippet: str
    marks: tuple[tuple[int, int], ...]
    rank: float
    status: SearchStatus
    cursor: str

    @property
    def tract_id(self) -> str:
        """The tract that has the commit."""
        return self.commit.tract_id


class SearchTerm(NamedTuple):
    """Words that must follow each other; with *prefix*, more may follow the letters of the last."""

    words: tuple[str, ...]
    prefix: bool = False

    def occurrences(self, words: Sequence[str]) -> list[int]:
        """Return where in *words* the term begins."""
        first, *others = self.words
        if not others and self.prefix:
            return [at for at, word in enumerate(words) if word.startswith(first)]
        found: list[int] = []
        at = -1
        for _ in range(words.count(first)):
            at = words.index(first, at + 1)
            if self._continues(words[at + 1 : at + 1 + len(others)]):
                found.append(at)
        return found

    def _continues(self, words: Sequence[str]) -> bool:
        *wanted, last = self.words[1:] or ("",)
        if len(words) < len(self.words) - 1:
            return False
        if len(self.words) == 1:
            return True
        ends = words[-1].startswith(last) if self.prefix else words[-1] == last
        return ends and [*words[:-1]] == wanted


def search_terms(text: object) -> tuple[SearchTerm, ...]:
    """Return the terms of a query, which must all be found.

    `word` is a word, `wor*` the beginning of one, `"two words"` a phrase; a word that has others in
    it, such as `get_weather`, is a phrase. All other characters only separate. Nothing is a syntax
    error.

    Raises:
        QueryError: it is not a string, has no word, or more than 64.
    """
    if not issubclass(type(text), str):
        raise QueryError(f"A search takes a string of words, not {shown(text)}.")
    terms: dict[SearchTerm, None] = {}
    for found in _TERM.finditer(str.__str__(text)):
        words = tuple(words_of(found[1] or found[3] or ""))
        if words:
            terms[SearchTerm(words, bool(found[2] or found[4]))] = None
    number = sum(len(term.words) for term in terms)
    if not number:
        raise QueryError(
            f"There is no word to search for in {shown(text)}. Give letters or digits."
        )
    if number > _MOST_WORDS:
        raise QueryError(f"A search takes up to {_MOST_WORDS} words, not {number}. Give fewer.")
    return tuple(terms)


class SearchCursor(NamedTuple):
    """Where a page begins: among the hits numbered from *top* down to *bottom*, after one of them."""

    top: int = _LAST
    bottom: int = 0
    rank: float = float("inf")
    number: int = _LAST

    def __str__(self) -> str:
        return f"{self.top}:{self.bottom}:{self.rank!r}:{self.number}"


def checked_cursor(value: object) -> SearchCursor | None:
    """Return where a page begins; None for the first.

    Raises:
        ValueError: it is not the `cursor` of a hit.
    """
    if value is None:
        return None
    parts = str.__str__(value).split(":") if issubclass(type(value), str) else []
    try:
        top, bottom, rank, number = parts
        whole = [int(each) for each in (top, bottom, number)]
        if all(0 <= each <= _LAST for each in whole) and all(map(str.isascii, parts)):
            return SearchCursor(whole[0], whole[1], float(rank), whole[2])
    except ValueError:
        pass
    raise ValueError(
        f"{shown(value)} is not the `cursor` of a SearchHit. Give that of the last hit."
    )
