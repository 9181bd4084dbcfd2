"""Where watchers wait: this process's commits wake them, and others' are looked for.

The hub knows of a watcher only while it waits. So leaving the loop, however it is left, leaves
nothing behind, and a slow watcher holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from tract.engine.commit.infos import commit_infos
from tract.engine.threads import Threads
from tract.exceptions import StoreClosedError
from tract.lifecycle import CallGate
from tract.models.commit import CommitInfo
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import (
    BranchName,
    CommitRow,
    Cursor,
    Position,
    Repositories,
    TakenBack,
)
from tract.waiting import Waiter

__all__ = ["Page", "WatchHub"]

_INTERVAL = 0.05  # seconds between two looks for the commits of other processes
_AT_ONCE = 8  # watchers that one turn of the loop wakes: see `storage.sqlite.thread.groups`
_REST = 12  # times what waking took, for writers who are faster than that
_LONGEST_REST = 0.05  # seconds

Place = tuple[str | None, int, str | None, int]


class Beginning(NamedTuple):
    """Where a watch begins, and the time of the commit that it stands behind."""

    cursor: Cursor
    time: int


class Page(NamedTuple):
    """The next commits behind a cursor; `infos` only where all watchers may share them."""

    taken_back: TakenBack | None
    records: Sequence[CommitRow]
    infos: Sequence[CommitInfo] | None
    cursor: Cursor


_Told = Page | Exception | None
"""What a watcher is woken with; None: to ask whether it should wait on."""

_Future = Waiter[_Told]


class _Topic:
    """A branch that is watched."""

    def __init__(self, branch: BranchName) -> None:
        self.branch = branch
        self.waiters: dict[str | None, set[_Future]] = {}
        """Who waits for more, by the head that they know."""
        self.head: str | UnsetType | None = UNSET
        """The head, where it is known that nothing has changed it."""
        self.version = 0
        """Counts what may have changed the head."""
        self.serving = False
        self.ticks_alone = 0
        self.kept: tuple[Place, Page] | None = None
        """What those who lag behind have read last, for others who do."""
        self.reading: dict[Place, list[_Future]] = {}

    def is_stale(self) -> bool:
        """Tell whether somebody waits who may have something to read."""
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
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed: bool = False
        storage.arrivals.on_move(self._moved)

    async def begin(self, branch: BranchName, after: str | None) -> Beginning:
        """Return the place behind *after*; see `AsyncTract.watch`.

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
        """Return the newest commit of a branch, none that a merge brought, that is of *time* at most."""
        branch = BranchName(*branch)
        with self._gate.call():
            return await self._storage.histories.find(branch, Position(at_time=time))

    async def next_page(self, branch: BranchName, cursor: Cursor) -> Page | None:
        """Return what the branch has behind *cursor*, once there is something.

        None where it is time to ask whether to wait on.

        Raises:
            CommitNotFoundError: the tract has no longer what the cursor names.
        """
        branch = BranchName(*branch)  # whether it must, `begin` has asked
        topic = self._topics.get(branch) or self._add_topic(branch)
        told = await (self._wait if cursor.is_at_head else self._read)(topic, cursor)
        if isinstance(told, Exception):
            raise told.with_traceback(None)  # it is raised by others, too
        return told

    async def infos(self, page: Page) -> Sequence[CommitInfo]:
        """Return the commits of a page for one watcher, dicts that are its own included."""
        if page.infos is not None:
            return page.infos
        return await commit_infos(self._threads, page.records)

    def recheck(self, branch: BranchName) -> None:
        """Have everybody who waits for a branch ask whether they still should."""
        topic = self._topics.get(branch)
        if topic is not None:
            for waiters in topic.waiters.values():
                _tell(waiters, None)

    def close(self) -> None:
        """End the waiting; what is being read is within calls, for which closing waits."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for branch in [*self._topics]:
            self.recheck(branch)

    def _add_topic(self, branch: BranchName) -> _Topic:
        topic = self._topics[branch] = _Topic(branch)
        if not self._looking and not self.closed:
            self._looking = True
            self._look_again()
        return topic

    async def _wait(self, topic: _Topic, cursor: Cursor) -> _Told:
        """Wait for more than the head that is known, together with all who do."""
        future: _Future = Waiter(loop=self._loop)
        topic.waiters.setdefault(cursor.base, set()).add(future)
        topic.ticks_alone = 0
        self._see_to(topic)
        try:
            return await future
        finally:
            waiters = topic.waiters.get(cursor.base)
            if waiters is not None:
                waiters.discard(future)
                if not waiters:
                    del topic.waiters[cursor.base]

    async def _read(self, topic: _Topic, cursor: Cursor) -> _Told:
        """Return the next page of what is known to be there, together with others who ask.

        It is the same whatever becomes of the branch meanwhile.
        """
        place = cursor.place
        if topic.kept is not None and topic.kept[0] == place:
            return topic.kept[1]
        others = topic.reading.get(place)
        if others is not None:
            future: _Future = Waiter(loop=self._loop)
            others.append(future)
            return await future
        others = topic.reading[place] = []
        page: Page | None = None
        try:
            page = await self._load(topic.branch, cursor)
            topic.kept = place, page
        finally:  # where this one is cancelled or fails, another of them reads
            del topic.reading[place]
            _tell(others, page)
        return page

    async def _load(self, branch: BranchName, cursor: Cursor) -> Page:
        with self._gate.call():
            taken_back, records, behind = await self._storage.arrivals.read(branch, cursor)
            infos = None
            if not any(item.metadata_json or item.generation_config_json for item in records):
                infos = await commit_infos(self._threads, records)
        return Page(taken_back, records, infos, behind)

    def _moved(self, branches: Iterable[BranchName]) -> None:
        if self._topics:
            for branch in branches:
                topic = self._topics.get(branch)
                if topic is not None:
                    self._touch(topic)

    def _touch(self, topic: _Topic) -> None:
        topic.version += 1
        topic.head = UNSET
        self._see_to(topic)

    def _see_to(self, topic: _Topic, rest: float = 0.0) -> None:
        """Have those served who may have something to read, together with all who come by then."""
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
        woken: list[tuple[_Future, _Told]] = []
        began = self._loop.time()
        self._spawn(self._serve(topic, woken), partial(self._wake, topic, woken, began))

    def _spawn(self, work: Coroutine[Any, Any, None], then: Callable[[], None]) -> None:
        """Run *work* in a task, and *then* go on, even if somebody has cancelled every task."""
        task = self._loop.create_task(work)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            then()

        task.add_done_callback(ended)

    async def _serve(self, topic: _Topic, woken: list[tuple[_Future, _Told]]) -> None:
        """Read once for all who know the same head, and add them to *woken* if there is more."""
        for base in [*topic.waiters]:
            told = await self._news(topic, base)
            if not isinstance(told, Page) or told.records or told.taken_back:
                woken += [(future, told) for future in topic.waiters.pop(base, ())]

    async def _news(self, topic: _Topic, base: str | None) -> _Told:
        version = topic.version
        try:
            page = await self._load(topic.branch, Cursor(base))
        except StoreClosedError:
            return None
        except Exception as error:  # whatever it is, those who wait must hear of it
            return error
        if page.cursor.is_at_head and topic.version == version:
            topic.head = page.cursor.base
        return page

    def _wake(self, topic: _Topic, woken: Sequence[tuple[_Future, _Told]], began: float) -> None:
        """Wake some, and the others in the next turns of the loop; then let writers write."""
        for future, told in woken[:_AT_ONCE]:
            _tell([future], told)
        if woken:
            self._loop.call_soon(self._wake, topic, woken[_AT_ONCE:], began)
            return
        topic.serving = False
        took = self._loop.time() - began
        # What came in the meantime came from somebody who does not wait for those who watch.
        self._see_to(topic, min(_REST * took, _LONGEST_REST))

    def _tick(self) -> None:
        for topic in [*self._topics.values()]:
            busy = topic.waiters or topic.serving or topic.reading
            topic.ticks_alone = 0 if busy else topic.ticks_alone + 1
            if topic.ticks_alone > 1:
                del self._topics[topic.branch]
        self._timer = None
        self._looking = bool(self._topics) and not self.closed
        if self._looking:
            self._spawn(self._look(), self._look_again)

    def _look_again(self) -> None:
        if not self.closed:
            self._timer = self._loop.call_later(_INTERVAL, self._tick)

    async def _look(self) -> None:
        """See whether others have moved a branch that is watched."""
        topics = [*self._topics.values()]
        try:
            with self._gate.call():
                heads = await self._storage.arrivals.heads([topic.branch for topic in topics])
        except Exception:  # whatever it is, who waits will meet it
            self._moved([topic.branch for topic in topics])
            return
        for topic, head in zip(topics, heads, strict=True):
            if topic.head is not UNSET and topic.head != head:
                self._touch(topic)


def _tell(waiters: Iterable[_Future], told: _Told) -> None:
    for future in waiters:
        if not future.done():
            future.settle(told)
