"""Listing the entries of a context, and many contents at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from pydantic import BaseModel

from tract.engine.compile.attachments import ContentLoader
from tract.engine.compile.entries import Entries, Entry
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader
from tract.engine.threads import Threads
from tract.exceptions import BlobNotFoundError, TractError
from tract.models.annotations import Priority
from tract.models.entries import EntryInfo
from tract.storage.repositories import BlobRepository, BranchName, Position, StoredContent

__all__ = ["EntryLister"]


class EntryLister:
    """Lists entries and contents of one store."""

    def __init__(
        self,
        contexts: ContextReader,
        blobs: BlobRepository,
        loader: ContentLoader,
        threads: Threads,
    ) -> None:
        self._contexts = contexts
        self._blobs = blobs
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
        found = await self._contexts.snapshot(branch, position)
        if not isinstance(found.snapshot, Snapshot):
            raise TractError(
                f"The compiler's snapshots, {type(found.snapshot).__name__}, have no entries. "
                "Use a DefaultContextCompiler, or one derived from it."
            )
        every = _ordered(found.snapshot.entries, newest=newest)
        left_out = None if include_skipped else Priority.SKIP
        shown = (entry for entry in every if entry.priority is not left_out)
        entries = list(islice(shown, limit))
        named = [entry.commit_hash for entry in entries]
        named += [entry.edited_by for entry in entries if entry.edited_by is not None]
        stored = await self._blobs.get_many(branch.tract_id, named)
        media = await self._media(branch.tract_id, stored)
        return await self._threads.run_if_long(_size(stored), self._infos, entries, stored, media)

    async def contents(self, tract_id: str, named: Sequence[str]) -> list[BaseModel]:
        """Return the contents of commits, in order; see `AsyncTract.get_contents`."""
        stored = await self._blobs.get_many(tract_id, named)
        media = await self._media(tract_id, stored)
        size = sum(len(item.data or b"") for item in stored) + sum(map(len, media.values()))
        return await self._threads.run_if_long(size + _size(stored), self._loaded, stored, media)

    async def _media(self, tract_id: str, stored: Sequence[StoredContent]) -> Mapping[str, bytes]:
        return await self._loader.media(
            tract_id, [(item.content_type, item.data) for item in stored]
        )

    def _infos(
        self, entries: list[Entry], stored: list[StoredContent], media: Mapping[str, bytes]
    ) -> list[EntryInfo]:
        load = partial(self._load, media)
        edits = iter(stored[len(entries) :])
        return [
            _info(entry, own, own if entry.edited_by is None else next(edits), load)
            for entry, own in zip(entries, stored, strict=False)
        ]

    def _loaded(self, stored: list[StoredContent], media: Mapping[str, bytes]) -> list[BaseModel]:
        return [self._load(media, item) for item in stored]

    def _load(self, media: Mapping[str, bytes], item: StoredContent) -> BaseModel:
        if item.data is None:
            raise BlobNotFoundError(item.content_hash)
        return self._loader.made(item.content_type, item.data, media)


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
    )


def _ordered(entries: Entries, *, newest: bool) -> Iterator[Entry]:
    if not newest:
        return iter(entries)
    return (entries[position] for position in range(len(entries) - 1, -1, -1))


def _size(stored: Sequence[StoredContent]) -> int:
    """Return how much there is to make, as `run_if_long` takes it."""
    return 16 * len(stored)
