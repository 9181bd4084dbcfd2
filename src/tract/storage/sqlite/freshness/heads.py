"""Known heads: valid for as long as no other connection writes to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from tract.storage.repositories import BranchName
from tract.storage.sqlite.freshness.wal_index import Header, WalIndex
from tract.storage.values import KnownHead

__all__ = ["KnownHeads", "Written"]

_MOST = 10_000
"""Branches that are remembered; those used longest ago are evicted."""
_IN_A_ROW = 64
"""Answers without a wait after which other tasks get their turn."""


class Written(NamedTuple):
    """What a transaction of this store did, between two states of the database.

    `moved` maps the branches that it wrote to the commit that it made there, or to None if the
    branch points to an earlier commit or is gone. `reported` are the tracts for which it recorded
    usage. `after` is None if another connection may have written since.
    """

    before: Header | None
    after: Header | None
    moved: Mapping[BranchName, str | None]
    reported: frozenset[str] = frozenset()


class KnownHeads:
    """Heads as of one state of the database; use this on the event loop.

    Once the database is in another state, `find` returns None. A transaction of this store carries
    the heads over if it is all that happened between two states.
    """

    def __init__(self, index: WalIndex, most: int = _MOST) -> None:
        self._index = index
        self._most = most
        self._state: Header | None = None
        self._heads: dict[tuple[str, str], KnownHead] = {}
        self._of_tract: dict[str, set[str]] = {}
        self._answers = 0

    def find(self, branch: BranchName) -> KnownHead | None:
        """Return where a branch points right now; None if the database must be asked."""
        head = self._heads.get(branch[:2])
        if head is None or self._state is None or not self._index.is_now(self._state):
            return None
        return head

    async def give_way(self) -> None:
        """Yield to other tasks now and then; await this for every answer from here.

        A task that never waits could be neither cancelled nor timed out.
        """
        self._answers += 1
        if self._answers % _IN_A_ROW == 0:
            await asyncio.sleep(0)

    def seen(self, branch: BranchName, head: KnownHead, state: Header | None) -> None:
        """Remember a branch that was read in a state of the database."""
        if state is None:
            return
        if state != self._state:
            if self._state is not None and self._index.is_now(self._state):
                return  # the read is older than what is known
            self._forget()
            self._state = state
        self._put(branch, head)

    def written(self, written: Written) -> None:
        """Go on to the state that a transaction of this store left."""
        before, self._state = self._state, None  # an interrupt half-way must leave no stale head
        if written.before is None or written.before != before:
            self._forget()
        if written.after is None:
            self._forget()
            return
        for branch, commit_hash in written.moved.items():
            if commit_hash is None:
                self._drop(branch[:2])
            else:
                self._put(branch, KnownHead(commit_hash, None))
        for tract_id in written.reported:
            for name in list(self._of_tract.get(tract_id, ())):
                self._drop((tract_id, name))
        self._state = written.after

    def _put(self, branch: BranchName, head: KnownHead) -> None:
        key = branch[:2]
        if self._heads.pop(key, None) is None:
            self._of_tract.setdefault(key[0], set()).add(key[1])
        self._heads[key] = head  # the last to be evicted
        if len(self._heads) > self._most:
            self._drop(next(iter(self._heads)))

    def _drop(self, key: tuple[str, str]) -> None:
        if self._heads.pop(key, None) is not None:
            names = self._of_tract[key[0]]
            names.remove(key[1])
            if not names:
                del self._of_tract[key[0]]

    def _forget(self) -> None:
        self._heads.clear()
        self._of_tract.clear()
        self._state = None
