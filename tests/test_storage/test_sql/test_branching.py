"""Whether a branch's commits stay within reach without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, ticking
from support.graphs import reachable
from support.working import Work
from tract.storage.repositories import BranchName, Origin
from tract.storage.sql.branching import is_kept
from tract.storage.sql.writing import ref_writes
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.migrations import migrate


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    with closing(sqlite3.connect(":memory:")) as raw:
        migrate(raw, ":memory:")
        yield SqliteConnection(raw)


@pytest.fixture
def transaction(connection: SqliteConnection) -> WriteTransaction:
    return WriteTransaction(connection, ticking())


def on(name: str) -> BranchName:
    return BranchName(MAIN.tract_id, name)


class Plan:
    """Does one thing after another to a few branches, and knows where they point."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._transaction = WriteTransaction(connection, ticking())
        self.heads: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.do("commit", "main", "main")

    def do(self, kind: str, name: str, other: str) -> None:
        """Do it where it can be done."""
        known = name in self.heads and other in self.heads
        if kind == "commit":
            self._commit(name)
        elif kind == "merge" and known and name != other:
            self._commit(name, self.heads[other])
        elif kind == "fork" and name in self.heads and other not in self.heads:
            ref_writes.fork(self._transaction, on(name), other)
            self.heads[other] = self.heads[name]
        elif kind == "back" and name in self.heads:
            self._move(name, self.parents[bytes.fromhex(self.heads[name])][0], "reset")
        elif kind == "forward" and known and self._reaches(other, name):
            self._move(name, bytes.fromhex(self.heads[other]), "fast-forward")
        elif kind == "tag" and name in self.heads:
            tag = f"tag-{len(self.tags)}"
            ref_writes.tag(self._transaction, on(name), tag)
            self.tags[tag] = self.heads[name]
        elif kind == "delete" and known and name != other:
            ref_writes.delete(self._transaction, on(name), force=True)
            del self.heads[name]
        self._transaction.finish()

    @property
    def parents(self) -> dict[bytes, tuple[bytes | None, bytes | None]]:
        """The graph as it is stored."""
        rows = self._connection.raw.execute(
            "SELECT commit_hash, parent_hash, merge_parent FROM commits"
        ).fetchall()
        return {row[0]: (row[1], row[2]) for row in rows}

    def _reaches(self, name: str, other: str) -> bool:
        reached = reachable(self.parents, [bytes.fromhex(self.heads[name])])
        return bytes.fromhex(self.heads[other]) in reached

    def _commit(self, name: str, merged: str | None = None) -> None:
        made = draft(operation="merge" if merged else "append")._replace(merge_parent=merged)
        [record] = self._transaction.commit(on(name), [made])
        self.heads[name] = record.commit_hash

    def _move(self, name: str, to: bytes | None, action: str) -> None:
        if to is not None:
            ref_writes.move(self._transaction, on(name), to.hex(), action=action, note=None)
            self.heads[name] = to.hex()


_NAMES = st.sampled_from(["main", "a", "b", "c"])
_KINDS = st.sampled_from(
    ["commit", "commit", "merge", "merge", "fork", "fork", "back", "forward", "tag", "delete"]
)


@given(st.lists(st.tuples(_KINDS, _NAMES, _NAMES), max_size=25))
def test_a_branch_is_kept_if_others_and_tags_reach_all_that_it_has_but_merges(
    deeds: list[tuple[str, str, str]],
) -> None:
    with closing(sqlite3.connect(":memory:")) as raw:
        migrate(raw, ":memory:")
        connection = SqliteConnection(raw)
        plan = Plan(connection)
        for deed in deeds:
            plan.do(*deed)

        for name, head in plan.heads.items():
            others = [other for named, other in plan.heads.items() if named != name]
            parents = plan.parents
            ends = [bytes.fromhex(end) for end in (*others, *plan.tags.values())]
            kept = reachable(parents, ends)
            own = reachable(parents, [bytes.fromhex(head)]) - kept
            only_merges = all(parents[commit][1] is not None for commit in own)
            assert is_kept(connection, on(name), head) is only_merges


def test_a_branch_is_kept_if_another_reaches_what_it_was_squashed_into(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    transaction.commit(MAIN, [draft("first")])
    ref_writes.fork(transaction, MAIN, OTHER_BRANCH.branch)
    [theirs] = transaction.commit(OTHER_BRANCH, [draft("second")])
    squash = draft("squash")._replace(origins=(Origin("squash", theirs.commit_hash),))
    [squashed] = transaction.commit(MAIN, [squash])
    transaction.finish()

    assert is_kept(connection, OTHER_BRANCH, theirs.commit_hash)
    assert not is_kept(connection, MAIN, squashed.commit_hash)


def test_whether_a_branch_is_kept_takes_no_walk_over_what_others_committed(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    transaction.commit(MAIN, [draft("first")])
    ref_writes.fork(transaction, MAIN, OTHER_BRANCH.branch)
    [theirs] = transaction.commit(OTHER_BRANCH, [draft("second")])
    transaction.commit(OTHER_TRACT, [draft(str(number)) for number in range(2000)])
    transaction.commit(MAIN, [draft(str(number)) for number in range(2000)])
    transaction.finish()
    work = Work()
    work.watch(connection.raw)

    assert not is_kept(connection, OTHER_BRANCH, theirs.commit_hash)
    assert work.steps < 500
