"""The snapshot cache: one per store, shared by all its handles.

A head hash identifies its context, so a snapshot goes stale only if contents of its tract are
erased. Snapshots are evicted, least recently used first, to bound the memory. They share most of what they hold; shared parts
are counted once, by reference.
"""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Set
from typing import NamedTuple

from tract.engine.compile.fold import Snapshot
from tract.models.store import CacheInfo
from tract.protocols import CompileSnapshot
from tract.running.waiting import one_of

__all__ = ["CacheKey", "SnapshotCache"]

_NO_HEADS: frozenset[str] = frozenset()
_OVERHEAD = 1600  # bytes of a cached snapshot without its entries: half a chunk, mostly


class CacheKey(NamedTuple):
    """A head. Hashes do not cover configs, so two tracts may share a hash but not the configs."""

    tract_id: str
    head_hash: str


class SnapshotCache:
    """Snapshots by head, bounded by bytes; at most one compile per head at a time."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._snapshots: OrderedDict[CacheKey, CompileSnapshot] = OrderedDict()
        self._flights: dict[CacheKey, asyncio.Task[CompileSnapshot]] = {}
        self._heads: dict[str, set[str]] = {}
        self._erasures: dict[str, int] = {}
        self._held = _Holdings()
        self._hits = self._folds = self._misses = self._evictions = 0

    def heads(self, tract_id: str) -> Set[str]:
        """Return the heads of a tract whose snapshots are cached or being made.

        The set changes with the cache; membership tests are safe on any thread.
        """
        return self._heads.get(tract_id, _NO_HEADS)

    def erasures(self, tract_id: str) -> int:
        """Return the last erasure of a tract that the cached snapshots take into account."""
        return self._erasures.get(tract_id, 0)

    def forget(self, tract_id: str, erasures: int) -> None:
        """Drop the snapshots of a tract, those being made included; *erasures* is its last erasure."""
        self._erasures[tract_id] = erasures
        for head_hash in [*self.heads(tract_id)]:
            key = CacheKey(tract_id, head_hash)
            self._flights.pop(key, None)
            snapshot = self._snapshots.pop(key, None)
            if snapshot is not None:
                self._held.remove(snapshot)
            self._strike(key)

    def _note(self, key: CacheKey) -> None:
        self._heads.setdefault(key.tract_id, set()).add(key.head_hash)

    def _strike(self, key: CacheKey) -> None:
        """Remove a head, unless its snapshot is cached or being made after all."""
        if key in self._snapshots or key in self._flights:
            return
        heads = self._heads.get(key.tract_id)
        if heads is not None:
            heads.discard(key.head_hash)
            if not heads:
                del self._heads[key.tract_id]

    async def get(self, key: CacheKey) -> CompileSnapshot | None:
        """Return a snapshot, waiting for the compile that is making it; None if there is none."""
        snapshot = self._snapshots.get(key)
        if snapshot is not None:
            self._snapshots.move_to_end(key)
            return snapshot
        flight = self._flights.get(key)
        return None if flight is None else await _landing(flight)

    def peek(self, key: CacheKey) -> CompileSnapshot | None:
        """Return a cached snapshot without counting that as a use of it."""
        return self._snapshots.get(key)

    async def hit(self, key: CacheKey) -> CompileSnapshot | None:
        """Return what `get` does, and count a hit if that is not None."""
        snapshot = await self.get(key)
        if snapshot is not None:
            self._hits += 1
        return snapshot

    def extend(
        self,
        key: CacheKey,
        base_key: CacheKey,
        fold: Callable[[CompileSnapshot], CompileSnapshot | None],
    ) -> CompileSnapshot | None:
        """Return the snapshot of *key*, made at once from a cached one by a quick *fold*.

        Return None if the base is not cached, the compile is under way, or *fold* returns None; use
        `make` then. A quick fold costs less than the task that `make` starts.
        """
        snapshot = self._snapshots.get(key)
        if snapshot is not None:
            self._hits += 1
            return snapshot
        base = self._snapshots.get(base_key)
        if base is None or key in self._flights:
            return None
        snapshot = fold(base)
        if snapshot is not None:
            self._folds += 1
            self._put(key, snapshot)
        return snapshot

    async def make(
        self, key: CacheKey, compile_head: Callable[[], Awaitable[CompileSnapshot]]
    ) -> CompileSnapshot:
        """Return the snapshot of *key*, made by *compile_head* once for all concurrent callers.

        The compile runs in a task of its own, so that it goes on if one of the callers is
        cancelled.
        """
        while True:
            snapshot = self._snapshots.get(key)
            if snapshot is not None:  # another compile has landed since the caller looked
                self._hits += 1
                return snapshot
            flight = self._flights.get(key)
            if flight is None or flight.done():
                flight = self._start(key, compile_head)
            else:
                self._hits += 1
            snapshot = await _landing(flight)
            if snapshot is not None:
                return snapshot

    def _start(
        self, key: CacheKey, compile_head: Callable[[], Awaitable[CompileSnapshot]]
    ) -> asyncio.Task[CompileSnapshot]:
        # As of now: the task begins later, with what was read before, and an erasure may come between.
        erasures = self.erasures(key.tract_id)
        flight = asyncio.create_task(self._fly(key, compile_head, erasures))
        self._flights[key] = flight
        self._note(key)
        flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    async def _fly(
        self, key: CacheKey, compile_head: Callable[[], Awaitable[CompileSnapshot]], erasures: int
    ) -> CompileSnapshot:
        snapshot = await compile_head()
        if self.erasures(key.tract_id) == erasures:
            self._put(key, snapshot)
        return snapshot

    def _landed(self, key: CacheKey, flight: asyncio.Task[CompileSnapshot]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
            self._strike(key)
        if not flight.cancelled():
            flight.exception()  # retrieved here, as every waiter may have been cancelled

    def count(self, *, folded: bool) -> None:
        """Count a compile that extended an ancestor, or one from the beginning."""
        if folded:
            self._folds += 1
        else:
            self._misses += 1

    def _put(self, key: CacheKey, snapshot: CompileSnapshot) -> None:
        if key in self._snapshots or _bytes_alone(snapshot) > self._max_bytes:
            return  # a snapshot over the limit by itself would evict all others in vain
        self._snapshots[key] = snapshot
        self._note(key)
        self._held.add(snapshot)
        while self._held.nbytes > self._max_bytes and self._snapshots:
            evicted, oldest = self._snapshots.popitem(last=False)
            self._held.remove(oldest)
            self._strike(evicted)
            self._evictions += 1

    async def drain(self) -> None:
        """Wait until no compile is under way."""
        while flights := [flight for flight in self._flights.values() if not flight.done()]:
            await one_of(*flights)

    def info(self) -> CacheInfo:
        """Return the counters."""
        return CacheInfo(
            self._hits,
            self._folds,
            self._misses,
            self._evictions,
            len(self._snapshots),
            self._held.nbytes,
            self._max_bytes,
        )


async def _landing(flight: asyncio.Task[CompileSnapshot]) -> CompileSnapshot | None:
    """Return a compile's result, or raise a copy of its error for this waiter.

    Return None if the compile was cancelled, as by a shutdown that cancels every task.
    """
    while not flight.done():
        await one_of(flight)
    if flight.cancelled():
        return None
    error = flight.exception()
    if error is not None:
        raise _own(error)
    return flight.result()


def _own(error: BaseException) -> BaseException:
    """Return a copy of *error*, so that tasks do not share its traceback and notes."""
    try:
        own = copy.copy(error)
    except Exception:  # an error of a caller's compiler that `copy` cannot rebuild
        return error
    own.__cause__ = error.__cause__
    return own


def _bytes_alone(snapshot: CompileSnapshot) -> int:
    """Return the memory that a snapshot would use if it were the only one."""
    nbytes = _OVERHEAD + int(getattr(snapshot, "nbytes", 0))
    return nbytes + 8 * len(snapshot.entries.full) if isinstance(snapshot, Snapshot) else nbytes


class _Held:
    """A part that snapshots share, with its size in the largest of them."""

    __slots__ = ("nbytes", "snapshots")

    def __init__(self) -> None:
        self.snapshots = 0
        self.nbytes = 0


class _Holdings:
    """The memory that the cached snapshots use together, each part counted once."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._parts: dict[int, _Held] = {}

    def add(self, snapshot: CompileSnapshot) -> None:
        self.nbytes += _OVERHEAD
        if not isinstance(snapshot, Snapshot):
            self.nbytes += int(getattr(snapshot, "nbytes", 0))
            return
        full, last = snapshot.entries.full, snapshot.entries.last
        if full and self._share(id(full), 8 * len(full)):
            for chunk in full:
                self._share(id(chunk.growth), chunk.nbytes)
        self._share(id(last.growth), last.nbytes)

    def remove(self, snapshot: CompileSnapshot) -> None:
        self.nbytes -= _OVERHEAD
        if not isinstance(snapshot, Snapshot):
            self.nbytes -= int(getattr(snapshot, "nbytes", 0))
            return
        full, last = snapshot.entries.full, snapshot.entries.last
        if full and self._leave(id(full)):
            for chunk in full:
                self._leave(id(chunk.growth))
        self._leave(id(last.growth))

    def _share(self, part: int, nbytes: int) -> bool:
        """Count one more snapshot with a part; return True if it is the first."""
        held = self._parts.get(part)
        if held is None:
            held = self._parts[part] = _Held()
        held.snapshots += 1
        if nbytes > held.nbytes:
            self.nbytes += nbytes - held.nbytes
            held.nbytes = nbytes
        return held.snapshots == 1

    def _leave(self, part: int) -> bool:
        """Count one snapshot less with a part; return True if it was the last."""
        held = self._parts[part]
        held.snapshots -= 1
        if held.snapshots:
            return False
        self.nbytes -= held.nbytes
        del self._parts[part]
        return True
