"""`Watch`: what callers iterate over, the commits of a branch with or without its resets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast

from tract.engine.watching.hub import Portion, WatchHub
from tract.engine.watching.trail import Trail
from tract.exceptions import CommitNotFoundError, TractError
from tract.models.commit import CommitInfo, microseconds, moment
from tract.models.refs import BranchReset
from tract.storage.repositories import BranchName, Cursor, TakenBack, TractTimes

__all__ = ["CommitsOnce", "Everything", "News", "Sieve", "Watch"]

Item = TypeVar("Item")
_NOTHING = dict.fromkeys(("message", "metadata", "generation_config", "key"))
"""What is left of a commit that was deleted."""


class News(NamedTuple):
    """What a watch has read: a reset, if any, with the commits it took back, then new commits."""

    reset: BranchReset | None
    dropped: Sequence[str]
    infos: Sequence[CommitInfo]


class Sieve(ABC, Generic[Item]):
    """Chooses what a watch yields."""

    tells_resets: bool

    @abstractmethod
    def pass_on(self, news: News) -> Iterable[Item]:
        """Return the items to yield for *news*; it is called in order."""


class Everything(Sieve[CommitInfo | BranchReset]):
    """Yields resets, and the commits that follow them even if they were yielded before."""

    tells_resets = True

    def pass_on(self, news: News) -> Iterable[CommitInfo | BranchReset]:
        """Return everything."""
        return news.infos if news.reset is None else [news.reset, *news.infos]


class CommitsOnce(Sieve[CommitInfo]):
    """Yields only commits, each once, even if a reset has taken it back."""

    tells_resets = False

    def __init__(self) -> None:
        self._taken_back: set[str] = set()

    def pass_on(self, news: News) -> Iterable[CommitInfo]:
        """Return the commits that were not yielded before."""
        self._taken_back.update(news.dropped)
        if not self._taken_back:
            return news.infos
        known = self._taken_back.intersection(info.commit_hash for info in news.infos)
        self._taken_back -= known
        return [info for info in news.infos if info.commit_hash not in known]


class Watch(Generic[Item]):
    """The commits of a branch as they are made; get one from `AsyncTract.watch`.

    Iterate over it: `async for commit in tract.watch()`. Each item is a `CommitInfo`, or with
    `resets=True` a `BranchReset`. A watch holds no resources, so the loop may be left in any way.
    Entering it (`async with tract.watch(after="head") as commits`) fixes its beginning before the
    block runs. A cancelled step, by a timeout for instance, loses nothing: continue iterating.
    """

    def __init__(
        self,
        hub: WatchHub,
        branch: BranchName,
        after: str | None,
        is_wanted: Callable[[], bool],
        clock: Callable[[], int],
        sieve: Sieve[Item],
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._branch = branch
        self._after = after
        self._is_wanted = is_wanted
        self._sieve = sieve
        self._cursor: Cursor | None = None
        self._trail = Trail()
        self._last: str | None = None
        self._last_time = 0
        """The time of the last commit that was read, even if it was taken back since."""
        self._items: deque[Item] = deque()
        self._read: tuple[Cursor, TractTimes | None] | None = None
        """Where the items were read, and the times of the tract then."""
        self._erasures: int | None = None
        """Those that the store knew of when the items were last known to be true; None if others
        may have come since."""
        self._busy = False
        self._left = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        if not self._items or self._erasures != self._hub.erasures:
            await self._step(self._fill)
        return self._items.popleft()

    def _doubt(self) -> None:
        """Ask again before an item is yielded: others may have erased it."""
        self._erasures = None

    async def aclose(self) -> None:
        """End the loop; this may be called from any task."""
        self._left = True
        self._items.clear()
        self._hub.recheck(self._branch)

    async def __aenter__(self) -> Self:
        await self._step(self._begin)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _step(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._busy:
            raise TractError("Another task waits for this watch. Call `watch()` once per task.")
        self._busy = True
        try:
            await step()
        finally:
            self._busy = False

    async def _begin(self) -> None:
        if self._cursor is None:
            cursor, time = await self._hub.begin(self._branch, self._after)
            self._cursor, self._last, self._last_time = cursor, cursor.base, time
            if cursor.base is not None:
                self._trail.add(cursor.base)

    async def _fill(self) -> None:
        erasures = self._hub.erasures
        if not self._left:
            await self._begin()
        if self._hub.closed:
            self._items.clear()  # nothing tells any more whether they were erased
        if self._items and self._read is not None:
            if not await self._hub.holds(self._branch, self._read[1]):
                await self._read_again(self._read[0])
        while not self._items:
            if self._left or self._hub.closed or not self._is_wanted():
                raise StopAsyncIteration
            assert self._cursor is not None
            try:
                portion = await self._hub.next_portion(self._branch, self._cursor)
            except CommitNotFoundError:
                await self._go_back()
            else:
                if portion is not None:
                    await self._take(portion)
        self._erasures = erasures
        self._hub.next_turn(self._doubt)  # while nothing else runs, nobody can tell of an erasure

    async def _take(self, portion: Portion) -> None:
        infos = await self._hub.infos(portion)
        if self._left:
            return
        assert self._cursor is not None
        self._read = self._cursor, portion.times
        if portion.taken_back is not None:
            self._take_back(portion.taken_back)
        self._mark(infos, portion.cursor)
        if infos:
            self._last = infos[-1].commit_hash
            self._last_time = max(self._last_time, microseconds(infos[-1].created_at))
        self._items.extend(self._sieve.pass_on(News(None, (), infos)))
        self._cursor = portion.cursor

    async def _read_again(self, cursor: Cursor) -> None:
        """Read the items that are left as they are now; of those that are gone, say nothing."""
        portion = await self._hub.again(self._branch, cursor)
        infos = [] if portion is None else await self._hub.infos(portion)
        self._read = cursor, None if portion is None else portion.times
        now = {info.commit_hash: info for info in infos}
        items = [*self._items]
        self._items.clear()
        for item in items:
            if isinstance(item, CommitInfo):
                item = cast(Item, now.get(item.commit_hash) or item.model_copy(update=_NOTHING))
            self._items.append(item)

    def _take_back(self, taken: TakenBack) -> None:
        now = moment(self._clock())
        reset = BranchReset(self._branch.branch, self._last, taken.new_hash, now)
        self._items.extend(self._sieve.pass_on(News(reset, taken.dropped, ())))
        self._trail.drop({*taken.dropped})
        self._last = taken.new_hash

    def _mark(self, infos: Sequence[CommitInfo], cursor: Cursor) -> None:
        """Mark the watch's new place, and each commit on the way if they follow each other."""
        trail = self._trail
        if trail.end == self._last:
            for info in infos:
                if info.parent_hash != trail.end or info.merge_parent is not None:
                    break
                trail.add(info.commit_hash)
        if not (cursor.skip or cursor.ahead or cursor.base in (None, trail.end)):
            trail.add(cursor.base)

    async def _go_back(self) -> None:
        """Go back to the last commit that the tract still has, after a backup was restored."""
        marks = self._trail.marks()
        left = await self._hub.newest_left(self._branch, marks)
        lost = marks if left is None else marks[marks.index(left) + 1 :]
        if left is None and not self._sieve.tells_resets:
            # Do not yield commits from before the watch began, or that it has yielded already.
            left = await self._hub.newest_by(self._branch, self._last_time)
        if self._left:
            return
        if self._last != left:
            self._take_back(TakenBack(left, lost))
        if left not in (None, self._trail.end):
            self._trail.add(left)
        self._cursor = Cursor(left)

    def __repr__(self) -> str:
        return f"<Watch of {self._branch.tract_id!r} on {self._branch.branch!r}>"
