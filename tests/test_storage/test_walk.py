"""Walking a history: every ancestor once, newest first, whatever lies in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, ticking
from tract.storage import statements as sql
from tract.storage.migrations import migrate
from tract.storage.repositories import BranchName
from tract.storage.transaction import WriteTransaction
from tract.storage.walk import Place, digest, find_place, is_ancestor, walk

HASH = "0123456789abcdef" * 4


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        migrate(connection, ":memory:")
        yield connection


@pytest.fixture
def transaction(connection: sqlite3.Connection) -> WriteTransaction:
    return WriteTransaction(connection, ticking())


def say(transaction: WriteTransaction, branch: BranchName, count: int = 1) -> list[str]:
    drafts = [draft(str(number)) for number in range(count)]
    return [record.commit_hash for record in transaction.commit(branch, drafts)]


def place(connection: sqlite3.Connection, commit_hash: str) -> Place:
    found = find_place(connection, MAIN.tract_id, commit_hash)
    assert found is not None
    return found


def walked(connection: sqlite3.Connection, head: str) -> list[str]:
    at = place(connection, head)
    rows = walk(connection, sql.WALK, MAIN.tract_id, at.commit_hash, at.created_at, 1, 2)
    return [row[0].hex() for row in rows]


def test_a_hash_is_64_small_hexadecimal_digits() -> None:
    assert digest(HASH) == bytes.fromhex(HASH)
    assert digest(None) is None


@pytest.mark.parametrize(
    "malformed", ["", "zz", HASH.upper(), HASH[1:], HASH + "0", "\u0661" * 64, " " + HASH[1:]]
)
def test_whatever_else_is_no_hash(malformed: str) -> None:
    assert digest(malformed) is None


def test_a_place_tells_time_segment_and_operation(
    connection: sqlite3.Connection, transaction: WriteTransaction
) -> None:
    [first] = say(transaction, MAIN)
    [other] = say(transaction, OTHER_BRANCH)

    assert place(connection, first) == (bytes.fromhex(first), 1000, 0, "append")
    assert place(connection, other) == (bytes.fromhex(other), 2000, 1, "append")
    assert find_place(connection, OTHER_TRACT.tract_id, first) is None


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("length", [1, 3, 4, 5, 20, 21, 84, 85, 500])
def test_a_walk_meets_every_ancestor_newest_first(
    connection: sqlite3.Connection, length: int, step: int
) -> None:
    hashes = say(WriteTransaction(connection, ticking(step=step)), MAIN, length)

    assert walked(connection, hashes[-1]) == hashes[::-1]
    assert walked(connection, hashes[length // 2]) == hashes[length // 2 :: -1]


def test_a_walk_passes_over_the_commits_of_other_branches(
    connection: sqlite3.Connection, transaction: WriteTransaction
) -> None:
    mine = say(transaction, MAIN, 10)
    other = say(transaction, OTHER_BRANCH, 200)
    mine += say(transaction, MAIN, 10)

    assert walked(connection, mine[-1]) == mine[::-1]
    assert walked(connection, other[-1]) == other[::-1]


def test_a_walk_ends_where_a_parent_is_missing(
    connection: sqlite3.Connection, transaction: WriteTransaction
) -> None:
    hashes = say(transaction, MAIN, 10)
    connection.execute("DELETE FROM commits WHERE commit_hash = ?", [bytes.fromhex(hashes[3])])

    assert walked(connection, hashes[-1]) == hashes[:3:-1]


def test_ancestry_holds_along_a_line_and_nowhere_else(
    connection: sqlite3.Connection, transaction: WriteTransaction
) -> None:
    first, second = (place(connection, item) for item in say(transaction, MAIN, 2))
    other = place(connection, say(transaction, OTHER_BRANCH)[0])
    third = place(connection, say(transaction, MAIN)[0])

    def ancestor(place: Place, head: Place) -> bool:
        return is_ancestor(connection, MAIN.tract_id, place, head)

    assert ancestor(first, first)
    assert ancestor(first, third)
    assert ancestor(second, third)
    assert not ancestor(third, second)
    assert not ancestor(other, third)
    assert not ancestor(first, other)
