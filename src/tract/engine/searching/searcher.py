"""`Searcher`: finds commits by the words of their contents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set

from tract.engine.commit.infos import commit_info
from tract.engine.compile.entries import Entries
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader
from tract.engine.contents.registry import default_priority
from tract.engine.searching.ranking import Ranked, ranked, snippet
from tract.engine.searching.texts import text_of
from tract.engine.threads import Threads
from tract.exceptions import TractError
from tract.history.canonical import stored_json
from tract.history.words import words_of
from tract.models.annotations import Priority
from tract.models.erasure import ERASED
from tract.models.queries.searching import SearchCursor, SearchHit, SearchStatus, SearchTerm
from tract.storage.repositories import (
    BranchName,
    Found,
    SearchRepository,
    Standing,
    Unindexed,
)

__all__ = ["Searcher"]

_CANDIDATES = 200
"""The newest commits that have the words are ranked; then those before them."""
_MAIN = "main"
_NODE = 16  # bytes' worth of work for each entry
_HEAVY = 20  # ranking a byte takes as long as handling this many


class Searcher:
    """Keeps and asks the search index of one store."""

    def __init__(
        self, searches: SearchRepository, contexts: ContextReader, threads: Threads
    ) -> None:
        self._searches = searches
        self._contexts = contexts
        self._threads = threads
        self._indexing = asyncio.Lock()

    async def enable(self, progress: Callable[[int], object] | None, *, rebuild: bool) -> int:
        """Switch search on, and index all there is; return how many commits that were."""
        await self._searches.enable(rebuild=rebuild)
        return await self._catch_up(progress)

    async def disable(self) -> None:
        """Drop the index."""
        await self._searches.disable()

    async def search(
        self,
        terms: Sequence[SearchTerm],
        branch: BranchName | None,
        limit: int | None,
        cursor: SearchCursor | None,
        *,
        branch_only: bool = False,
    ) -> list[SearchHit]:
        """Return the hits in the tract of a branch, or in all tracts if *branch* is None."""
        await self._catch_up(None)
        hits: list[SearchHit] = []
        window: SearchCursor | None = cursor or SearchCursor()
        while window is not None and (limit is None or len(hits) < limit):
            page = await self._searches.find(
                terms, branch and branch.tract_id, window.top + 1, _CANDIDATES
            )
            bottom = window.bottom or page.bottom
            found = [each for each in page.found if each.number >= bottom]
            if found:
                window = window._replace(top=min(window.top, found[0].number), bottom=bottom)
            later = await self._threads.run_if_long(_size(found), _later, terms, found, window)
            room = None if limit is None else limit - len(hits)
            hits += await self._hits(terms, later, branch, room, window, branch_only=branch_only)
            window = SearchCursor(top=bottom - 1) if bottom else None
        return hits

    async def _catch_up(self, progress: Callable[[int], object] | None) -> int:
        """Index what has no words in the index yet, in slices."""
        number = 0
        async with self._indexing:
            while (batch := await self._searches.unindexed()) is not None:
                size = sum(len(each.data or b"") for each in batch.commits)
                words = await self._threads.run_if_long(size * _HEAVY, _words, batch)
                await self._searches.index(batch, words)
                number += len(batch.commits)
                if progress is not None:
                    progress(number)
        return number

    async def _hits(
        self,
        terms: Sequence[SearchTerm],
        later: Sequence[Ranked],
        branch: BranchName | None,
        room: int | None,
        window: SearchCursor,
        *,
        branch_only: bool,
    ) -> list[SearchHit]:
        looked_at = later if branch_only else later[:room]
        records = [each.found.record for each in looked_at]
        tracts = dict.fromkeys(record.tract_id for record in records)
        branches = [BranchName(tract_id, _MAIN) for tract_id in tracts]
        standings = await self._searches.standings([branch] if branch else branches, records)
        hits = [
            (each, standings[each.found.record.tract_id, each.found.record.commit_hash])
            for each in looked_at
        ]
        if branch_only:
            hits = [(each, standing) for each, standing in hits if standing.is_reached]
        hits = hits[:room]
        hidden: set[str] = set()
        for tract_id in {each.found.record.tract_id for each, which in hits if which.may_be_hidden}:
            hidden |= await self._hidden(branch or BranchName(tract_id, _MAIN))
        return [_hit(terms, each, _status(each, which, hidden), window) for each, which in hits]

    async def _hidden(self, branch: BranchName) -> set[str]:
        """Return the entries that compactions hide."""
        snapshot = (await self._contexts.snapshot(branch)).snapshot
        if not isinstance(snapshot, Snapshot):
            return set()
        entries = snapshot.entries
        return await self._threads.run_if_long(_NODE * len(entries), _hidden_of, entries)


def _hidden_of(entries: Entries) -> set[str]:
    return {entry.commit_hash for entry in entries if entry.hidden_by is not None}


def _size(found: Sequence[Found]) -> int:
    return sum(len(each.data or b"") for each in found) * _HEAVY


def _words(batch: Unindexed) -> dict[int, list[str]]:
    return {each.number: words_of(text_of(each.content_type, each.data)) for each in batch.commits}


def _later(
    terms: Sequence[SearchTerm], found: Sequence[Found], after: SearchCursor
) -> list[Ranked]:
    """Return what was found in order, without what earlier pages had."""
    place = -after.rank, -after.number
    return [each for each in ranked(terms, found) if (-each.rank, -each.found.number) > place]


def _hit(
    terms: Sequence[SearchTerm], each: Ranked, status: SearchStatus, window: SearchCursor
) -> SearchHit:
    piece, marks = snippet(terms, each.text)
    return SearchHit(
        commit=commit_info(each.found.record),
        snippet=piece,
        marks=marks,
        rank=each.rank,
        status=status,
        cursor=str(window._replace(rank=each.rank, number=each.found.number)),
    )


def _status(each: Ranked, standing: Standing, hidden: Set[str]) -> SearchStatus:
    record = each.found.record
    if not standing.is_reached:
        return SearchStatus.UNREACHABLE
    if not standing.is_current:
        return SearchStatus.EDITED
    is_hidden = (record.edit_target or record.commit_hash) in hidden
    is_skipped = _priority(standing) is Priority.SKIP
    return SearchStatus.HIDDEN if is_hidden or is_skipped else SearchStatus.SHOWN


def _priority(standing: Standing) -> Priority:
    try:
        fields = stored_json(standing.priority or b"", "")
        if standing.priority_type in ("annotation", ERASED):
            return Priority(fields.get("priority") or Priority.NORMAL)
        return default_priority(standing.priority_type, fields)
    except (TractError, AttributeError, ValueError):  # damaged; `verify()` says so
        return Priority.NORMAL
