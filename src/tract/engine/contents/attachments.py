"""The bytes of attachments on their way out, the last used ones kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from tract.engine.threads import Threads
from tract.exceptions import AttachmentNotFoundError
from tract.history.media import Encoded
from tract.storage.repositories import AttachmentRepository

__all__ = ["AttachmentReader", "loader"]


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


def loader(media: Mapping[str, bytes]) -> Callable[[str], bytes]:
    """Return a function that returns *media* by hash, and raises an AttachmentNotFoundError."""

    def load(sha256: str) -> bytes:
        data = media.get(sha256)
        if data is None:
            raise AttachmentNotFoundError(sha256)
        return data

    return load
