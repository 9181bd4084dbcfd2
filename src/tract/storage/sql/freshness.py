"""What a store knows of its database without asking it, and while that holds.

What was read holds as long as the database stays in the same state. An engine that can tell
cheaply which state that is (see `StateIndex`) answers from here; one that cannot still knows the
commits that it has just written.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import NamedTuple, Protocol

from tract.protocols import CommitStep
from tract.storage.repositories import (
    BranchName,
    CommitDraft,
    CommitRow,
    Heads,
    Located,
    TractTimes,
)
from tract.storage.sql.ancestry.arrivals import heads_of
from tract.storage.sql.port import Connection
from tract.storage.sql.writing.tips import Tips
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.values import KnownHead

__all__ = ["Beginning", "Freshness", "NoIndex", "State", "StateIndex"]

_MOST_HEADS = 10_000
"""Branches that are known; one more, and all others are forgotten."""
_IN_A_ROW = 64
"""Answers without a wait after which other tasks get their turn."""
_NEAR = 64
"""Steps that are returned along with a head."""
_MAX_BYTES = 1_000_000
_MAX_BYTES_EACH = 16_000
_OVERHEAD = 1_000  # bytes of the objects that hold a commit, without its content

State = bytes
"""The state of a database, to be compared."""


class StateIndex(Protocol):
    """Says which state a database is in; any thread may ask."""

    def state(self) -> State | None:
        """Return the current state of the database; None if it is not known."""

    def is_now(self, header: State) -> bool:
        """Return True if the database is still in a state."""

    def is_next(self, before: State, after: State) -> bool:
        """Return True if exactly one commit lies between two states."""

    def disown(self) -> None:
        """Know no state from here on."""


class NoIndex:
    """The `StateIndex` of a database that must be asked which state it is in."""

    def state(self) -> None:
        return None

    def is_now(self, header: State) -> bool:
        return False

    def is_next(self, before: State, after: State) -> bool:
        return False

    def disown(self) -> None:
        pass


class Beginning(NamedTuple):
    """What is known when a transaction has the write lock; *alone* if all of it still holds."""

    state: State | None
    tips: Tips
    alone: bool


class _Written(NamedTuple):
    """What a transaction of this store did between two states, None if others wrote meanwhile."""

    before: State | None
    after: State | None
    moved: Mapping[BranchName, str | None]
    reported: Set[str]
    erasures: Mapping[str, int]
    erased: Set[str]


class _Recent(NamedTuple):
    """A commit that was just written, the last erasure of its tract then, and its size."""

    step: CommitStep
    parent: str | None
    erasures: int
    nbytes: int


class _Watched(NamedTuple):
    """Heads that were read last, and a state that they are no older than."""

    state: State | None = None
    branches: tuple[BranchName, ...] = ()
    found: Heads = Heads((), MappingProxyType({}))


class Freshness:
    """What one store knows of its database, and may answer without asking it.

    Heads belong to one state of the database, and so do the tips that a transaction leaves for the
    next. In another state neither is used; a transaction of this store carries them over if it is
    all that happened between two states. Commits just written are known in every state, until
    contents of their tract are erased.

    *remembers* is the switch: without it nothing is known, and every answer comes from the
    database.
    """

    def __init__(self, index: StateIndex | None = None, *, remembers: bool = True) -> None:
        self.index: StateIndex = index if index is not None and remembers else NoIndex()
        """Says which state the database is in."""
        self._state: State | None = None
        self._heads: dict[str, dict[str, KnownHead]] = {}
        self._count = 0
        self._answers = 0
        self._left: State | None = None
        """The state that the last transaction left, which its tips describe."""
        self._tips: Tips | None = None
        self._written: deque[_Written] = deque()
        self._recent: OrderedDict[tuple[str, str], _Recent] = OrderedDict()
        self._room = _MAX_BYTES if remembers else 0
        self._watched = _Watched()
        self._times: tuple[State | None, dict[tuple[str, ...], Mapping[str, TractTimes]]]
        self._times = (None, {})

    # what may be answered

    async def head(self, branch: BranchName) -> KnownHead | None:
        """Return where a branch points right now; None if the database must be asked.

        Now and then this yields to other tasks: one that never waits could be neither cancelled nor
        timed out.
        """
        found = self._head(branch)
        if found is not None:
            self._answers += 1
            if self._answers % _IN_A_ROW == 0:
                await asyncio.sleep(0)
                return self._head(branch)
        return found

    def way(self, tract_id: str, known: Set[str], head: KnownHead) -> Located | None:
        """Return how to reach a head from a known commit; None if steps must be read for that.

        Any thread may ask this.
        """
        if head.commit_hash in known:
            return Located(head.commit_hash, head.usage, head.commit_hash, (), head.erasures)
        steps: list[CommitStep] = []
        found = self._recent.get((tract_id, head.commit_hash))
        while found is not None and len(steps) < _NEAR:
            step, parent, erasures, _ = found
            if erasures != head.erasures:
                return None
            steps.append(step)
            if parent is None or parent in known:
                return Located(head.commit_hash, head.usage, parent, steps[::-1], erasures)
            found = self._recent.get((tract_id, parent))
        return None

    def watched(self, connection: Connection, branches: Sequence[BranchName]) -> Heads:
        """Return what `heads_of` does, read again only if something was written since.

        Call this on the connection's thread.
        """
        state, wanted, last = self.index.state(), tuple(branches), self._watched
        if state is not None and (state, wanted) == last[:2]:
            return last.found
        found = heads_of(connection, branches=branches)
        self._watched = _Watched(state, wanted, found)
        return found

    def times(self, tract_ids: Sequence[str]) -> Mapping[str, TractTimes] | None:
        """Return when tracts were begun and last erased, right now; None if not known."""
        state, found = self._times
        if state is None or not self.index.is_now(state):
            return None
        return found.get(tuple(tract_ids))

    # what was read and written

    def saw_times(
        self, tract_ids: Sequence[str], times: Mapping[str, TractTimes], state: State | None
    ) -> None:
        """Remember the times of tracts that were read in a state of the database."""
        if state != self._times[0]:
            self._times = (state, {})
        self._times[1][tuple(tract_ids)] = times

    def seen(self, branch: BranchName, head: KnownHead, state: State | None) -> None:
        """Remember a branch that was read in a state of the database."""
        if state is None:
            return
        if state != self._state:
            if self._state is not None and self.index.is_now(self._state):
                return  # the read is older than what is known
            self._forget(state)
        self._put(branch, head)

    def begin(self, connection: Connection) -> Beginning:
        """Return what a transaction may rely on that has just got the write lock."""
        state = self.index.state()
        alone = state is not None and state == self._left
        tips, self._tips = self._tips, None  # lost if the transaction fails
        return Beginning(state, tips if alone and tips else Tips(connection), alone)

    def committed(
        self,
        beginning: Beginning,
        transaction: WriteTransaction,
        others_have_written: Callable[[], bool],
    ) -> None:
        """Note what a transaction of this store has just committed; call this on its thread."""
        moved, erasures = transaction.tips.changed, {**transaction.tips.erasures}
        after = self._left = self._state_after(beginning.state, bool(moved), others_have_written)
        self._written.append(
            _Written(
                beginning.state, after, moved, transaction.reported, erasures, transaction.erased
            )
        )
        if transaction.erased:
            self._forget_recent(transaction.erased)
        for record, draft in transaction.made:
            if record.tract_id in transaction.erased:
                continue
            self._add(record, draft, erasures.get(record.tract_id, 0))
        if after is not None and transaction.tips.renew():
            self._tips = transaction.tips

    def landed(self) -> Set[BranchName]:
        """Take over what was committed, and return what `ArrivalRepository.on_move` reports.

        Call this on the event loop; again, if an interrupt has cut it short.
        """
        moved: set[BranchName] = set()
        while self._written:
            moved.update(self._written[0].moved)
            for tract_id in self._written[0].erased:
                moved.add(BranchName(tract_id, ""))
            self._take_over(self._written[0])
            self._written.popleft()
        return moved

    def _state_after(
        self, before: State | None, moved: bool, others_have_written: Callable[[], bool]
    ) -> State | None:
        """Return the state that a transaction left; None if another may have come since."""
        after = self.index.state()
        if before is None or after is None:
            return None
        if not moved:  # it may have written nothing, which leaves the state alone
            return after if after == before or not others_have_written() else None
        if after == before:  # for whatever reason, this is not the index of this database
            self.index.disown()
            return None
        return after if self.index.is_next(before, after) else None

    def _take_over(self, written: _Written) -> None:
        before, self._state = self._state, None  # an interrupt half-way must leave no stale head
        if written.before is None or written.after is None or written.before != before:
            self._forget(None)
        if written.after is None:
            return
        for branch, commit_hash in written.moved.items():
            if commit_hash is not None:
                erasures = written.erasures.get(branch.tract_id, 0)
                self._put(branch, KnownHead(commit_hash, None, erasures))
            else:
                self._drop(branch)
        for tract_id in written.reported:
            self._count -= len(self._heads.pop(tract_id, {}))
        self._state = written.after

    def _head(self, branch: BranchName) -> KnownHead | None:
        head = self._heads.get(branch.tract_id, {}).get(branch.branch)
        if head is None or self._state is None or not self.index.is_now(self._state):
            return None
        return head

    def _put(self, branch: BranchName, head: KnownHead) -> None:
        if self._count >= _MOST_HEADS:
            self._forget(self._state)
        of_tract = self._heads.setdefault(branch.tract_id, {})
        self._count += branch.branch not in of_tract
        of_tract[branch.branch] = head

    def _drop(self, branch: BranchName) -> None:
        of_tract = self._heads.get(branch.tract_id, {})
        if of_tract.pop(branch.branch, None) is not None:
            self._count -= 1
            if not of_tract:
                del self._heads[branch.tract_id]

    def _forget(self, state: State | None) -> None:
        self._heads.clear()
        self._count = 0
        self._state = state

    def _forget_recent(self, tracts: Set[str]) -> None:
        for key in [key for key in self._recent if key[0] in tracts]:
            self._room += self._recent.pop(key).nbytes

    def _add(self, record: CommitRow, draft: CommitDraft, erasures: int) -> None:
        """Remember a commit that was written, evicting the oldest to make room."""
        data, config = draft.step_data, record.generation_config_json
        nbytes = _OVERHEAD + len(data) + len(config or "")
        if nbytes > _MAX_BYTES_EACH or record.merge_parent is not None:
            return
        step = CommitStep(
            record.commit_hash,
            record.operation,
            record.edit_target,
            record.content_type,
            data,
            record.token_count,
            draft.token_source,
            config,
        )
        recent = _Recent(step, record.parent_hash, erasures, nbytes)
        self._recent[record.tract_id, record.commit_hash] = recent
        self._room -= nbytes
        while self._room < 0:
            _, oldest = self._recent.popitem(last=False)
            self._room += oldest.nbytes
