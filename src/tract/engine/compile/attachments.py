"""The bytes of attachments, and contents with their media back in place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from pydantic import BaseModel

from tract.engine.compile.contents import ContentRegistry
from tract.engine.threads import Threads
from tract.exceptions import AttachmentNotFoundError, BlobNotFoundError
from tract.history.canonical import stored_json
from tract.history.media import Encoded, attachments_in, may_refer
from tract.storage.repositories import AttachmentRepository, StoredContent

__all__ = ["AttachmentReader", "ContentLoader", "loader"]


_WITH_MEDIA = frozenset({"compaction", "native", "state", "tool_io"})
"""Types of contents that callers get with their media back in place."""
_NODE = 16  # bytes' worth of work for each content, however short


class AttachmentReader:
    """Reads attachments of one store, and keeps the last used ones, up to *max_bytes*."""

    def __init__(self, attachments: AttachmentRepository, threads: Threads, max_bytes: int) -> None:
        self._attachments = attachments
        self._threads = threads
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._nbytes = 0
        self._forgotten = 0

    def forget(self, tract_id: str) -> None:
        """Keep no attachment of a tract, nor one that is being read."""
        self._forgotten += 1
        for key in [key for key in self._kept if key[0] == tract_id]:
            self._nbytes -= _memory(self._kept.pop(key))

    async def load(self, tract_id: str, hashes: Iterable[str]) -> dict[str, bytes]:
        """Return a tract's attachments by hash, in one trip at most; missing ones are left out."""
        found: dict[str, bytes] = {}
        wanted: list[str] = []
        for sha256 in hashes:
            kept = self._kept.get((tract_id, sha256))
            if kept is None:
                wanted.append(sha256)
            else:
                self._kept.move_to_end((tract_id, sha256))
                found[sha256] = kept
        if wanted:
            forgotten = self._forgotten
            read = await self._attachments.load(tract_id, wanted)
            if self._forgotten == forgotten:
                for sha256, data in read.items():
                    self._keep((tract_id, sha256), data)
            found |= read
        return found

    async def fresh(self, tract_id: str, sha256: str) -> bytes | None:
        """Return an attachment as it is in the database now; None if the tract does not have it."""
        return (await self._attachments.load(tract_id, [sha256])).get(sha256)

    async def load_encoded(self, tract_id: str, hashes: Iterable[str]) -> dict[str, bytes]:
        """Return what `load` does, with the base64 that requests take, made on a thread."""
        found = await self.load(tract_id, hashes)
        bare = {name: data for name, data in found.items() if not isinstance(data, Encoded)}
        if bare:
            size = sum(map(len, bare.values()))
            forgotten = self._forgotten
            made = await self._threads.run_if_long(size, _encoded, bare)
            if self._forgotten == forgotten:
                for sha256, data in made.items():
                    self._keep((tract_id, sha256), data)
            found |= made
        return found

    def _keep(self, key: tuple[str, str], data: bytes) -> None:
        """Keep bytes, or what is `Encoded` in place of them."""
        if _memory(data) > self._max_bytes or isinstance(self._kept.get(key), Encoded):
            return
        self._nbytes += _memory(data) - _memory(self._kept.pop(key, b""))
        self._kept[key] = data
        while self._nbytes > self._max_bytes:
            _, evicted = self._kept.popitem(last=False)
            self._nbytes -= _memory(evicted)


def _encoded(bare: Mapping[str, bytes]) -> dict[str, bytes]:
    return {sha256: Encoded.of(data) for sha256, data in bare.items()}


def _memory(data: bytes) -> int:
    return len(data) + (len(data.base64) if isinstance(data, Encoded) else 0)


class ContentLoader:
    """Makes content models of stored contents, native ones with their media."""

    def __init__(
        self, registry: ContentRegistry, attachments: AttachmentReader, threads: Threads
    ) -> None:
        self._registry = registry
        self._attachments = attachments
        self._threads = threads

    async def load(self, tract_id: str, content_type: str, data: bytes) -> BaseModel:
        """Return the content model of a stored content.

        Raises:
            AttachmentNotFoundError: media of it are missing from the store.
            and what `ContentRegistry.load` raises.
        """
        named = _named(content_type, data)
        media = await self._attachments.load(tract_id, named) if named else {}
        size = len(data) + sum(map(len, media.values()))
        return await self._threads.run_if_long(
            size, self._registry.load, content_type, data, loader(media)
        )

    async def load_all(self, tract_id: str, stored: Sequence[StoredContent]) -> list[BaseModel]:
        """Return the content models of many stored contents.

        Raises:
            BlobNotFoundError: one of them is missing from the store.
            and what `load` raises.
        """
        media, _ = await self.media(tract_id, stored)
        size = sum(_NODE + len(item.data or b"") for item in stored)
        make = partial(self.made, media)
        return await self._threads.run_if_long(
            size + sum(map(len, media.values())), lambda: [make(item) for item in stored]
        )

    async def media(
        self, tract_id: str, stored: Iterable[StoredContent]
    ) -> tuple[dict[str, bytes], bool]:
        """Return the media that belong into contents, in one trip at most, and if they are all."""
        named: dict[str, None] = {}
        for item in stored:
            named |= _named(item.content_type, item.data)
        media = await self._attachments.load(tract_id, named) if named else {}
        return media, len(media) == len(named)

    def made(self, media: Mapping[str, bytes], item: StoredContent) -> BaseModel:
        """Return the content model of a stored content whose media were read before."""
        if item.data is None:
            raise BlobNotFoundError(item.content_hash)
        return self._registry.load(item.content_type, item.data, loader(media))


def _named(content_type: str, data: bytes | None) -> dict[str, None]:
    """Return the media that belong into a content."""
    if content_type not in _WITH_MEDIA or data is None or not may_refer(data):
        return {}
    fields = stored_json(data, f"a content of type {content_type!r}")
    return dict.fromkeys(attachments_in(content_type, fields))


def loader(media: Mapping[str, bytes]) -> Callable[[str], bytes]:
    """Return a function that returns *media* by hash, and raises an AttachmentNotFoundError."""

    def load(sha256: str) -> bytes:
        data = media.get(sha256)
        if data is None:
            raise AttachmentNotFoundError(sha256)
        return data

    return load
