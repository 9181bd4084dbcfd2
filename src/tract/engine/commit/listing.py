"""Listing the entries of a context, and many contents at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from pydantic import BaseModel

from tract.engine.compile.entries import Entries, Entry
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader, settled
from tract.engine.contents.recent import RecentContents
from tract.engine.contents.registry import ContentLoader
from tract.engine.threads import Threads
from tract.exceptions import TractError
from tract.models.annotations import Priority
from tract.models.commit import EntryInfo
from tract.models.erasure import ERASED
from tract.storage.repositories import BlobRepository, BranchName, Position, StoredContent

__all__ = ["EntryLister"]

_NODE = 16  # bytes' worth of work for each entry


class EntryLister:
    """Lists entries and contents of one store."""

    def __init__(
        self,
        contexts: ContextReader,
        blobs: BlobRepository,
        recent: RecentContents,
        loader: ContentLoader,
        threads: Threads,
    ) -> None:
        self._contexts = contexts
        self._blobs = blobs
        self._recent = recent
        self._loader = loader
        self._threads = threads

    async def entries(
        self,
        branch: BranchName,
        position: Position,
        limit: int | None,
        *,
        include_skipped: bool,
        newest: bool,
    ) -> list[EntryInfo]:
        """Return the entries of a context; see `AsyncTract.entries`.

        Raises:
            CommitNotFoundError: *position* names a commit that the tract does not have.
            TractError: the store's compiler keeps no entries.
        """
        read = partial(self._entries, include_skipped=include_skipped, newest=newest)
        look = partial(settled, partial(read, branch, position, limit))
        found, is_whole = await look()
        return found if is_whole else (await look())[0]

    async def _entries(
        self,
        branch: BranchName,
        position: Position,
        limit: int | None,
        *,
        include_skipped: bool,
        newest: bool,
    ) -> tuple[list[EntryInfo], bool]:
        """Return entries, and False if contents of them may have been erased since the first trip."""
        found = await self._contexts.snapshot(branch, position)
        if not isinstance(found.snapshot, Snapshot):
            raise TractError(
                f"The compiler's snapshots, {type(found.snapshot).__name__}, have no entries. "
                "Use a DefaultContextCompiler, or one derived from it."
            )
        every = _ordered(found.snapshot.entries, newest=newest)
        shown = (
            entry
            for entry in every
            if include_skipped
            or (entry.priority is not Priority.SKIP and not entry.erased and not entry.hidden_by)
        )
        entries = list(islice(shown, limit))
        named = [entry.commit_hash for entry in entries]
        named += [entry.edited_by for entry in entries if entry.edited_by is not None]
        stored = await self._recent.get_many(branch.tract_id, named)
        media, is_whole = await self._loader.media(branch.tract_id, stored)
        load = partial(self._loader.made, media)
        size = _NODE * len(stored)
        infos = await self._threads.run_if_long(size, _infos, entries, stored, load)
        erased = any(
            info.content_type == ERASED and not entry.erased
            for entry, info in zip(entries, infos, strict=False)
        )
        return infos, is_whole and not erased

    async def contents(self, tract_id: str, named: Sequence[str]) -> list[BaseModel]:
        """Return the contents of commits, in order; see `AsyncTract.get_contents`."""
        return await settled(partial(self._contents, tract_id, named))

    async def _contents(self, tract_id: str, named: Sequence[str]) -> list[BaseModel]:
        stored = await self._blobs.get_many(tract_id, named)
        return await self._loader.load_all(tract_id, stored)


def _infos(
    entries: list[Entry],
    stored: list[StoredContent],
    load: Callable[[StoredContent], BaseModel],
) -> list[EntryInfo]:
    """Return entries with the rows of their own commits, which those of edits follow."""
    edits = iter(stored[len(entries) :])
    return [
        _info(entry, own, own if entry.edited_by is None else next(edits), load)
        for entry, own in zip(entries, stored, strict=False)
    ]


def _info(
    entry: Entry,
    own: StoredContent,
    source: StoredContent,
    load: Callable[[StoredContent], BaseModel],
) -> EntryInfo:
    """Return an entry with the rows of its own commit and of the one whose content it shows."""
    return EntryInfo(
        entry.commit_hash,
        entry.edited_by,
        source.content_type,
        entry.message,
        entry.priority,
        entry.message_tokens,
        own.created_at,
        entry.config_json,
        own.metadata_json,
        source,
        load,
        entry.more,
        entry.hidden_by,
    )


def _ordered(entries: Entries, *, newest: bool) -> Iterator[Entry]:
    if not newest:
        return iter(entries)
    return (entries[position] for position in range(len(entries) - 1, -1, -1))
