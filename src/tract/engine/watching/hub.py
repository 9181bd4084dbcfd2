"""Where watchers wait: this process's commits notify them; other processes' are polled for.

The hub knows a watcher only while it waits. So leaving the loop, in any way, leaves nothing
behind, and a slow watcher delays no writer and no other watcher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tract.engine.commit.infos import commit_infos
from tract.engine.threads import Threads
from tract.exceptions import CommitNotFoundError, StoreClosedError
from tract.models.commit import CommitInfo
from tract.protocols import UNSET, UnsetType
from tract.running.lifecycle import CallGate
from tract.running.waiting import Waiter
from tract.storage.repositories import (
    BranchName,
    CommitRow,
    Cursor,
    Position,
    Repositories,
    TakenBack,
    TractTimes,
)

__all__ = ["Portion", "WatchHub"]

_AT_ONCE = 8  # watchers notified in one turn of the event loop: see `storage.sql.grouping`
_REST = 12  # times what notifying took, for writers that are faster than that
_LONGEST_REST = 0.05  # seconds
_LOST_AFTER = 1.0  # seconds between checks whether an interrupt has lost a callback


_Key = tuple[str | None, int, str | None, int]


class Beginning(NamedTuple):
    """Where a watch begins, and the time of the commit just before."""

    cursor: Cursor
    time: int


class Portion(NamedTuple):
    """The next commits after a cursor; `infos` is set only if all watchers may share them."""

    taken_back: TakenBack | None
    records: Sequence[CommitRow]
    infos: Sequence[CommitInfo] | None
    cursor: Cursor
    times: TractTimes | None
    """When the tract was begun and last erased, as the commits were read."""
    number: int
    """Counts the reads of a hub, in the order in which they began."""


_Told = Portion | Exception | None
"""What a watcher is notified with; None asks it to check whether it should still wait."""

_Future = Waiter[_Told]


class _Reading(NamedTuple):
    """A read that serves several watchers: the task that makes it, and the others."""

    task: asyncio.Task[Any] | None
    others: list[_Future]


class _Topic:
    """A watched branch."""

    def __init__(self, branch: BranchName) -> None:
        self.branch = branch
        self.waiters: dict[str | None, set[_Future]] = {}
        """The waiting watchers, by the head that they know."""
        self.head: str | UnsetType | None = UNSET
        """The head; UNSET if it may have changed since it was read."""
        self.version = 0
        """Counts what may have changed the head."""
        self.serving = False
        self.waiting: set[_Future] = set()
        """All waiting watchers, also those that are being notified."""
        self.steps = 0
        """Counts the steps of serving: an interrupt has lost one if they stop."""
        self.task: asyncio.Task[None] | None = None
        """The newest task that reads for waiting watchers."""
        self.ticks_alone = 0
        self.kept: tuple[_Key, Portion] | None = None
        """The last portion that a watcher behind the head has read, for others with its cursor."""
        self.reading: dict[_Key, _Reading] = {}

    def is_stale(self) -> bool:
        """Return True if a waiting watcher may have something to read."""
        return any(self.head is UNSET or base != self.head for base in self.waiters)


class WatchHub:
    """Where the watchers of one store wait. It does nothing while there are none."""

    def __init__(
        self,
        storage: Repositories,
        threads: Threads,
        gate: CallGate,
    ) -> None:
        self._storage = storage
        self._threads = threads
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._topics: dict[BranchName, _Topic] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looking = False
        self._looked = 0.0
        self._guard: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed: bool = False
        self.erasures: int = 0
        """Erasures that this store has made or noticed."""
        self.on_times: Callable[[str, TractTimes | None], object] = _nothing
        """Called with the times of watched tracts, as they are read now and then."""
        self.on_moves: Callable[[Iterable[BranchName]], object] = _nothing
        """Called with the branches that this store has moved, whether or not they are watched."""
        self._reads = 0
        storage.arrivals.on_move(self._moved)

    async def begin(self, branch: BranchName, after: str | None) -> Beginning:
        """Return the cursor just after *after*; see `AsyncTract.watch`.

        Raises:
            CommitNotFoundError: the tract has no such commit.
        """
        with self._gate.call():
            head = await self._storage.refs.head(branch)
            named = head if after == "head" else after
            record = (
                None if named is None else await self._storage.commits.get(branch.tract_id, named)
            )
            if record is None and after is not None and after != "head":
                await self._storage.commits.resolve(
                    branch.tract_id, after
                )  # it may be an empty branch
        time = 0 if record is None else record.created_at
        if after == "head":
            return Beginning(Cursor(head), time)
        base = None if record is None else record.commit_hash  # a tag was given, perhaps
        return Beginning(Cursor(base, target=None if head == base else head), time)

    async def newest_left(self, branch: BranchName, marks: Sequence[str]) -> str | None:
        """Return the last of *marks* that the tract still has; each is an ancestor of the next."""
        low, high = 0, len(marks)
        with self._gate.call():
            while low < high:
                middle = (low + high) // 2
                if await self._storage.commits.get(branch.tract_id, marks[middle]) is None:
                    high = middle
                else:
                    low = middle + 1
        return marks[low - 1] if low else None

    async def newest_by(self, branch: BranchName, time: int) -> str | None:
        """Return a branch's newest commit at or before *time*, not counting merged ones."""
        branch = BranchName(*branch)
        with self._gate.call():
            return await self._storage.histories.find(branch, Position(at_time=time))

    async def next_portion(self, branch: BranchName, cursor: Cursor) -> Portion | None:
        """Wait until the branch has something after *cursor*, and return it.

        It shows nothing that was erased before this was called. Return None when the watcher should
        check whether to go on waiting.

        Raises:
            CommitNotFoundError: the tract no longer has a commit that the cursor names.
        """
        branch = BranchName(*branch)  # `begin` has checked that it exists if it must
        topic = self._topics.get(branch) or self._add_topic(branch)
        reads = self._reads
        told = await (self._wait if cursor.is_at_head else self._read)(topic, cursor)
        if isinstance(told, Exception):
            raise told.with_traceback(None)  # other watchers raise it, too
        try:
            if told is None or told.number > reads or await self.holds(branch, told.times):
                return told
            return await self._load(branch, cursor)
        except StoreClosedError:
            return None

    async def infos(self, portion: Portion) -> Sequence[CommitInfo]:
        """Return the commits of a portion for one watcher, with dicts of its own."""
        if portion.infos is not None:
            return portion.infos
        return await commit_infos(self._threads, portion.records)

    def forget(self, tract_id: str) -> None:
        """Have what was read before read again, because contents of a tract were erased."""
        self.erasures += 1

    async def holds(self, branch: BranchName, times: TractTimes | None) -> bool:
        """Return True if nothing was erased since commits were read; see `Portion.times`."""
        with self._gate.call():
            found = await self._storage.erasures.times([branch.tract_id])
        return found.get(branch.tract_id) == times

    def next_turn(self, callback: Callable[[], object]) -> None:
        """Call *callback* before any task goes on that waits for something."""
        self._loop.call_soon(callback)

    async def again(self, branch: BranchName, cursor: Cursor) -> Portion | None:
        """Return the commits after *cursor* as they are now; None if the tract lost its place."""
        try:
            return await self._load(BranchName(*branch), cursor)
        except CommitNotFoundError:
            return None

    def recheck(self, branch: BranchName) -> None:
        """Make all watchers that wait for a branch check whether they should go on waiting."""
        topic = self._topics.get(branch)
        if topic is not None:
            _tell([*topic.waiting], None)

    def close(self) -> None:
        """End all waits. Reads under way are calls, which closing the store waits for."""
        self.closed = True
        for timer in (self._timer, self._guard):
            if timer is not None:
                timer.cancel()
        for branch in [*self._topics]:
            self.recheck(branch)

    def _add_topic(self, branch: BranchName) -> _Topic:
        topic = self._topics[branch] = _Topic(branch)
        if self._guard is None and not self.closed:
            self._guard_again({})
        if not self._looking and not self.closed:
            self._looking = True
            self._look_again()
        return topic

    async def _wait(self, topic: _Topic, cursor: Cursor) -> _Told:
        """Wait until there is more than the known head; one read serves all that wait for it."""
        future: _Future = Waiter(loop=self._loop)
        topic.waiters.setdefault(cursor.base, set()).add(future)
        topic.ticks_alone = 0
        self._see_to(topic)
        try:
            return await self._told(topic, future)
        finally:
            waiters = topic.waiters.get(cursor.base)
            if waiters is not None:
                waiters.discard(future)
                if not waiters:
                    del topic.waiters[cursor.base]

    async def _told(self, topic: _Topic, future: _Future) -> _Told:
        topic.waiting.add(future)
        try:
            return await future
        finally:
            topic.waiting.discard(future)

    async def _read(self, topic: _Topic, cursor: Cursor) -> _Told:
        """Return the next portion of a known history; one read serves all with this cursor.

        The portion is the same even if the branch moves meanwhile.
        """
        key = cursor.key
        kept = topic.kept
        if kept is not None and kept[0] == key:
            return kept[1]
        reading = topic.reading.get(key)
        if reading is not None:
            future: _Future = Waiter(loop=self._loop)
            reading.others.append(future)
            return await self._told(topic, future)
        reading = topic.reading[key] = _Reading(asyncio.current_task(), [])
        portion: Portion | None = None
        try:
            portion = await self._load(topic.branch, cursor)
            topic.kept = key, portion
        finally:  # if this watcher is cancelled or fails, one of the others reads
            _tell(reading.others, portion)
            del topic.reading[key]  # last: the guard sees to what an interrupt leaves
        return portion

    async def _load(self, branch: BranchName, cursor: Cursor) -> Portion:
        self._reads = number = self._reads + 1
        with self._gate.call():
            taken_back, records, behind, times = await self._storage.arrivals.read(branch, cursor)
            infos = None
            if not any(item.metadata_json or item.generation_config_json for item in records):
                infos = await commit_infos(self._threads, records)
        return Portion(taken_back, records, infos, behind, times, number)

    def _moved(self, branches: Iterable[BranchName]) -> None:
        branches = [*branches]
        self.on_moves(branches)
        if self._topics:
            erased = set[str]()
            for branch in branches:
                topic = self._topics.get(branch)
                if topic is not None:
                    self._touch(topic)
                elif not branch.branch:
                    erased.add(branch.tract_id)
            if not erased.isdisjoint(branch.tract_id for branch in self._topics):
                self._spawn(self._look(), _nothing)

    def _touch(self, topic: _Topic) -> None:
        topic.version += 1
        topic.head = UNSET
        self._see_to(topic)

    def _see_to(self, topic: _Topic, rest: float = 0.0) -> None:
        """Schedule a read for watchers that may have something to read, and for later ones."""
        if topic.serving or self.closed or not topic.is_stale():
            return
        topic.serving = True
        if rest > 0:
            self._loop.call_later(rest, self._start, topic)
        else:
            self._loop.call_soon(self._start, topic)

    def _start(self, topic: _Topic) -> None:
        if self.closed:
            return
        topic.steps += 1
        woken: list[tuple[_Future, _Told]] = []
        began = self._loop.time()
        then = partial(self._wake, topic, woken, began)
        topic.task = self._spawn(self._serve(topic, woken), then)

    def _spawn(
        self, work: Coroutine[Any, Any, None], then: Callable[[], None]
    ) -> asyncio.Task[None]:
        """Run *work* in a task, and call *then* afterwards, even if every task was cancelled."""
        task = self._loop.create_task(work)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            then()

        task.add_done_callback(ended)
        return task

    async def _serve(self, topic: _Topic, woken: list[tuple[_Future, _Told]]) -> None:
        """Read once per known head, and add its watchers to *woken* if there is more."""
        for base in [*topic.waiters]:
            told = await self._news(topic, base)
            if not isinstance(told, Portion) or told.records or told.taken_back:
                woken += [(future, told) for future in topic.waiters.get(base, ())]
                topic.waiters.pop(base, None)  # last: an interrupt must leave them in one of both

    async def _news(self, topic: _Topic, base: str | None) -> _Told:
        version = topic.version
        try:
            portion = await self._load(topic.branch, Cursor(base))
        except StoreClosedError:
            return None
        except Exception as error:  # any error is passed to the waiting watchers
            return error
        if portion.cursor.is_at_head and topic.version == version:
            topic.head = portion.cursor.base
        return portion

    def _wake(self, topic: _Topic, woken: Sequence[tuple[_Future, _Told]], began: float) -> None:
        """Notify some watchers, the rest in the next turns of the loop; then let writers run."""
        topic.steps += 1
        for future, told in woken[:_AT_ONCE]:
            _tell([future], told)
        if woken:
            self._loop.call_soon(self._wake, topic, woken[_AT_ONCE:], began)
            return
        topic.serving = False
        took = self._loop.time() - began
        # Commits made in the meantime come from a writer that does not wait for watchers.
        self._see_to(topic, min(_REST * took, _LONGEST_REST))

    def _tick(self) -> None:
        for topic in [*self._topics.values()]:
            busy = topic.waiting or topic.serving or topic.reading
            topic.ticks_alone = 0 if busy else topic.ticks_alone + 1
            if topic.ticks_alone > 1:
                del self._topics[topic.branch]
        self._timer = None
        self._looking = bool(self._topics) and not self.closed
        if self._looking:
            self._spawn(self._look(), self._look_again)

    def _look_again(self) -> None:
        self._looked = self._loop.time()
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed:
            self._timer = self._loop.call_later(self._storage.arrivals.interval, self._tick)

    def _guard_again(self, before: Mapping[_Topic, int]) -> None:
        """See to watchers if an interrupt has lost a callback since the steps *before*."""
        steps = {topic: topic.steps for topic in self._topics.values()}
        guard = partial(self._guard_again, steps)  # first: another interrupt may come
        self._guard = self._loop.call_later(_LOST_AFTER, guard) if steps else None
        overdue = self._loop.time() - self._looked > _LOST_AFTER + self._storage.arrivals.interval
        if self._looking and overdue and all(task.done() for task in self._tasks):
            self._look_again()
        for topic in steps:
            for future in [*topic.waiting]:
                if future.done():
                    future.settle()  # its task was not woken
            for key, (task, others) in [*topic.reading.items()]:
                if task is None or task.done():
                    del topic.reading[key]
                    _tell(others, None)
            at_work = topic.task is not None and not topic.task.done()
            if topic.serving and not at_work and before.get(topic) == topic.steps:
                topic.serving, topic.head = False, UNSET
                _tell([*topic.waiting], None)

    async def _look(self) -> None:
        """Check whether other processes have moved a watched branch, or erased what is cached."""
        topics = [*self._topics.values()]
        try:
            with self._gate.call():
                found = await self._storage.arrivals.heads([topic.branch for topic in topics])
        except Exception:  # any error will be raised again when the watchers read
            self._moved([topic.branch for topic in topics])
            return
        for topic, head in zip(topics, found.heads, strict=True):
            if topic.head is not UNSET and topic.head != head:
                self._touch(topic)
        for tract_id in {topic.branch.tract_id for topic in topics}:
            self.on_times(tract_id, found.times.get(tract_id))


def _nothing(*_: object) -> None:
    """Do nothing."""


def _tell(waiters: Iterable[_Future], told: _Told) -> None:
    for future in waiters:
        if not future.done():
            future.settle(told)
