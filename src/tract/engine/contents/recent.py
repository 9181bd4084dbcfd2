"""The contents that were listed last, as they are stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from tract.storage.repositories import BlobRepository, StoredContent

__all__ = ["RecentContents"]

_OVERHEAD = 700  # bytes of a row's objects, without its texts


class RecentContents:
    """Reads contents of one store, and keeps those of the last used tracts, up to *max_bytes*.

    Agents list a context at each turn, of which a turn changes the end: nearly all is kept.
    """

    def __init__(self, blobs: BlobRepository, max_bytes: int) -> None:
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, dict[str, StoredContent]] = OrderedDict()
        self._nbytes = 0
        self._forgotten = 0

    def forget(self, tract_id: str) -> None:
        """Keep no content of a tract, nor one that is being read."""
        self._forgotten += 1
        self._evict(tract_id)

    async def get_many(self, tract_id: str, named: Sequence[str]) -> list[StoredContent]:
        """Return what `BlobRepository.get_many` does, by full hashes, in one trip at most."""
        kept = self._kept.get(tract_id, {})
        missing = [name for name in named if name not in kept]
        if not missing:
            if tract_id in self._kept:
                self._kept.move_to_end(tract_id)
            return [kept[name] for name in named]
        forgotten = self._forgotten
        rows = await self._blobs.get_many(tract_id, missing)
        read = {row.commit_hash: row for row in rows}
        if self._forgotten == forgotten:
            self._keep(tract_id, read)
        return [read.get(name) or kept[name] for name in named]

    def _keep(self, tract_id: str, read: Mapping[str, StoredContent]) -> None:
        kept = self._kept.get(tract_id, {})
        new = {name: row for name, row in read.items() if name not in kept and row.data is not None}
        if not new:
            return
        kept.update(new)
        self._kept[tract_id] = kept
        self._kept.move_to_end(tract_id)
        self._nbytes += sum(map(_memory, new.values()))
        while self._nbytes > self._max_bytes:
            self._evict(next(iter(self._kept)))

    def _evict(self, tract_id: str) -> None:
        self._nbytes -= sum(map(_memory, self._kept.pop(tract_id, {}).values()))


def _memory(row: StoredContent) -> int:
    return _OVERHEAD + len(row.data or b"") + len(row.metadata_json or "")
