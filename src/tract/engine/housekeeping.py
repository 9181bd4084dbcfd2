"""`info()` and `vacuum()`: what a store is, how much it holds, and giving free space back."""

from __future__ import annotations

import time
from collections.abc import Callable

from tract.models.store import CacheInfo, StoreInfo, VacuumReport
from tract.storage.repositories import ErasureRepository, StoreRepository

__all__ = ["Housekeeper"]


class Housekeeper:
    """One store as a whole; *path* names it without a password."""

    def __init__(
        self,
        stores: StoreRepository,
        erasures: ErasureRepository,
        path: str,
        cache_info: Callable[[], CacheInfo],
    ) -> None:
        self._stores = stores
        self._erasures = erasures
        self._path = path
        self._cache_info = cache_info

    async def info(self, *, exact: bool) -> StoreInfo:
        """See `TractStore.info`."""
        facts, counts = await self._stores.facts(), await self._stores.counts(exact=exact)
        return StoreInfo(
            path=self._path, cache=self._cache_info(), **facts._asdict(), **counts._asdict()
        )

    async def vacuum(self) -> VacuumReport:
        """See `TractStore.vacuum`."""
        before = await self._stores.facts()
        start = time.perf_counter()
        pending = await self._erasures.vacuum()
        seconds = time.perf_counter() - start
        after = await self._stores.facts()
        return VacuumReport(
            seconds=seconds, nbytes_before=before.nbytes, nbytes=after.nbytes, pending=pending
        )
