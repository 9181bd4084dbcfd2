"""The snapshot cache: one per store, shared by all its handles.

A head hash names its context, so a snapshot never goes stale; it is only evicted, least
recently used first, to keep the bytes bounded. Snapshots share most of what they hold, so
shared parts are counted once, by reference.
"""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from typing import NamedTuple

import anyio

from tract.engine.compile.fold import Snapshot
from tract.protocols import CompileSnapshot
from tract.waiting import one_of

__all__ = ["CacheInfo", "CacheKey", "SnapshotCache"]

_NO_HEADS: frozenset[str] = frozenset()
_OVERHEAD = 1600  # bytes of a cached snapshot itself, its entries aside: half a chunk, mostly


class CacheKey(NamedTuple):
    """A head; hashes leave configs out, so that two tracts may share one and differ in them."""

    tract_id: str
    head_hash: str


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What the snapshot cache has done and holds.

    Attributes:
        hits: compiles answered by a cached snapshot.
        folds: compiles that extended a cached ancestor.
        misses: compiles from the beginning of a history.
        evictions: snapshots dropped to stay within `max_bytes`.
        snapshots: snapshots held now.
        bytes: about how much memory they hold together.
        max_bytes: the bound, `TractConfig.cache_max_bytes`.
    """

    hits: int
    folds: int
    misses: int
    evictions: int
    snapshots: int
    bytes: int
    max_bytes: int


class SnapshotCache:
    """Snapshots by head, bounded by bytes; at most one compile per head at a time."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = anyio.Lock(fast_acquire=True)
        self._snapshots: OrderedDict[CacheKey, CompileSnapshot] = OrderedDict()
        self._flights: dict[CacheKey, asyncio.Task[CompileSnapshot]] = {}
        self._heads: dict[str, set[str]] = {}
        self._held = _Holdings()
        self._hits = self._folds = self._misses = self._evictions = 0

    def heads(self, tract_id: str) -> Set[str]:
        """Return the heads of a tract whose snapshots are there or being made.

        It goes on changing with the cache; whether it has a member may be asked on any thread.
        """
        return self._heads.get(tract_id, _NO_HEADS)

    def _note(self, key: CacheKey) -> None:
        self._heads.setdefault(key.tract_id, set()).add(key.head_hash)

    def _strike(self, key: CacheKey) -> None:
        """Take a head off, unless its snapshot is there or being made after all."""
        if key in self._snapshots or key in self._flights:
            return
        heads = self._heads.get(key.tract_id)
        if heads is not None:
            heads.discard(key.head_hash)
            if not heads:
                del self._heads[key.tract_id]

    async def get(self, key: CacheKey) -> CompileSnapshot | None:
        """Return a snapshot, waiting for the compile that is making it; None if there is none."""
        async with self._lock:
            snapshot = self._snapshots.get(key)
            if snapshot is not None:
                self._snapshots.move_to_end(key)
                return snapshot
            flight = self._flights.get(key)
        return None if flight is None else await _landing(flight)

    async def hit(self, key: CacheKey) -> CompileSnapshot | None:
        """Return what `get` does, and count a hit where there is something."""
        snapshot = await self.get(key)
        if snapshot is not None:
            self._hits += 1
        return snapshot

    async def extend(
        self,
        key: CacheKey,
        base_key: CacheKey,
        fold: Callable[[CompileSnapshot], CompileSnapshot | None],
    ) -> CompileSnapshot | None:
        """Return the snapshot of *key*, made on the spot from a cached one by a quick *fold*.

        None where the base is not there, the compile is under way, or *fold* gives None; `make`
        does all of these. A task of its own would cost more than what it does.
        """
        async with self._lock:
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
        """Return the snapshot of *key*, made by *compile_head* once for all who ask meanwhile.

        The compile runs in a task of its own: whoever of the callers is cancelled, it goes on for
        the others.
        """
        while True:
            async with self._lock:
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
        flight = asyncio.create_task(self._fly(key, compile_head))
        self._flights[key] = flight
        self._note(key)
        flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    async def _fly(
        self, key: CacheKey, compile_head: Callable[[], Awaitable[CompileSnapshot]]
    ) -> CompileSnapshot:
        snapshot = await compile_head()
        async with self._lock:
            self._put(key, snapshot)
        return snapshot

    def _landed(self, key: CacheKey, flight: asyncio.Task[CompileSnapshot]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
            self._strike(key)
        if not flight.cancelled():
            flight.exception()  # seen here, where every waiter may have been cancelled

    def count(self, *, folded: bool) -> None:
        """Count a compile that extended an ancestor, or one from the beginning."""
        if folded:
            self._folds += 1
        else:
            self._misses += 1

    def _put(self, key: CacheKey, snapshot: CompileSnapshot) -> None:
        if key in self._snapshots or _bytes_alone(snapshot) > self._max_bytes:
            return  # one that is over the bound by itself would drive out all others in vain
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
    """Return a compile's result, or raise its error anew for this waiter alone.

    None where the compile was cancelled, as a shutdown does that cancels every task.
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
    """Return a copy of *error*: a traceback and notes would be shared between tasks."""
    try:
        own = copy.copy(error)
    except Exception:  # an error of somebody's compiler, made from more than its arguments
        return error
    own.__cause__ = error.__cause__
    return own


def _bytes_alone(snapshot: CompileSnapshot) -> int:
    """Return what a snapshot would hold if it were the only one."""
    nbytes = _OVERHEAD + int(getattr(snapshot, "nbytes", 0))
    return nbytes + 8 * len(snapshot.entries.full) if isinstance(snapshot, Snapshot) else nbytes


class _Held:
    """A part that snapshots share, and what it weighs where the largest of them has it."""

    __slots__ = ("nbytes", "snapshots")

    def __init__(self) -> None:
        self.snapshots = 0
        self.nbytes = 0


class _Holdings:
    """What the cached snapshots hold together, each part counted once."""

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
        """Count one more snapshot with a part and tell whether it is the first."""
        held = self._parts.get(part)
        if held is None:
            held = self._parts[part] = _Held()
        held.snapshots += 1
        if nbytes > held.nbytes:
            self.nbytes += nbytes - held.nbytes
            held.nbytes = nbytes
        return held.snapshots == 1

    def _leave(self, part: int) -> bool:
        """Count one snapshot less and tell whether it was the last."""
        held = self._parts[part]
        held.snapshots -= 1
        if held.snapshots:
            return False
        self.nbytes -= held.nbytes
        del self._parts[part]
        return True
