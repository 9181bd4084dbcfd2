"""Walking a history: every ancestor once, newest first, whatever lies in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, ticking
from support.graphs import chain, reachable
from support.working import Work
from tract import StoreCorruptError
from tract.storage.repositories import BranchName
from tract.storage.sql.ancestry.walk import Place, find_place, is_ancestor, lineage, walk_all
from tract.storage.sql.naming import digest
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.writing import ref_writes
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.migrations import migrate

HASH = "0123456789abcdef" * 4


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    with closing(sqlite3.connect(":memory:")) as raw:
        migrate(raw, ":memory:")
        yield SqliteConnection(raw)


@pytest.fixture
def transaction(connection: SqliteConnection) -> WriteTransaction:
    return WriteTransaction(connection, ticking())


def say(transaction: WriteTransaction, branch: BranchName, count: int = 1) -> list[str]:
    drafts = [draft(str(number)) for number in range(count)]
    return [record.commit_hash for record in transaction.commit(branch, drafts)]


def place(connection: SqliteConnection, commit_hash: str) -> Place:
    found = find_place(connection, MAIN.tract_id, commit_hash)
    assert found is not None
    return found


def walked(connection: SqliteConnection, head: str) -> list[str]:
    """Return what both walks give, which is the same where there are no merges."""
    at = place(connection, head)
    rows = lineage(connection, sql.WALK, MAIN.tract_id, at.commit_hash, at.created_at)
    line = [row[0].hex() for row in rows]
    assert [row[0].hex() for row in walk_all(connection, sql.WALK, MAIN.tract_id, [at])] == line
    return line


def merged(transaction: WriteTransaction, into: BranchName, head: str) -> str:
    """Commit a merge of *head* and return its hash."""
    made = draft("merge", operation="merge")._replace(merge_parent=head)
    [record] = transaction.commit(into, [made])
    return record.commit_hash


def test_a_hash_is_64_hexadecimal_digits() -> None:
    assert digest(HASH) == digest(HASH.upper()) == bytes.fromhex(HASH)
    assert digest(None) is None


@pytest.mark.parametrize(
    "malformed", ["", "zz", HASH[1:], HASH + "0", "\u0661" * 64, " " + HASH[1:], HASH[:62] + "  "]
)
def test_whatever_else_is_no_hash(malformed: str) -> None:
    assert digest(malformed) is None


def test_a_place_tells_time_segment_and_operation(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    [first] = say(transaction, MAIN)
    [other] = say(transaction, OTHER_BRANCH)

    assert place(connection, first) == (bytes.fromhex(first), 1000, 0, "append")
    assert place(connection, other) == (bytes.fromhex(other), 2000, 1, "append")
    assert find_place(connection, OTHER_TRACT.tract_id, first) is None


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("length", [1, 3, 4, 5, 20, 21, 84, 85, 500])
def test_a_walk_meets_every_ancestor_newest_first(
    connection: SqliteConnection, length: int, step: int
) -> None:
    hashes = say(WriteTransaction(connection, ticking(step=step)), MAIN, length)

    assert walked(connection, hashes[-1]) == hashes[::-1]
    assert walked(connection, hashes[length // 2]) == hashes[length // 2 :: -1]


def test_a_walk_passes_over_the_commits_of_other_branches(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    mine = say(transaction, MAIN, 10)
    other = say(transaction, OTHER_BRANCH, 200)
    mine += say(transaction, MAIN, 10)

    assert walked(connection, mine[-1]) == mine[::-1]
    assert walked(connection, other[-1]) == other[::-1]


def test_a_walk_tells_of_a_parent_that_is_missing(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    hashes = say(transaction, MAIN, 10)
    connection.raw.execute("DELETE FROM commits WHERE commit_hash = ?", [bytes.fromhex(hashes[3])])
    at = place(connection, hashes[-1])

    for rows in (
        lineage(connection, sql.WALK, MAIN.tract_id, at.commit_hash, at.created_at),
        walk_all(connection, sql.WALK, MAIN.tract_id, [at]),
    ):
        found: list[str] = []
        with pytest.raises(StoreCorruptError, match=hashes[3]):
            found.extend(row[0].hex() for row in rows)
        assert found == hashes[:3:-1]


def test_a_walk_follows_both_parents_and_a_lineage_the_first(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    mine = say(transaction, MAIN, 3)
    other = say(transaction, OTHER_BRANCH, 3)
    mine += say(transaction, MAIN, 1)
    top = merged(transaction, MAIN, other[1])
    at = place(connection, top)

    rows = walk_all(connection, sql.WALK, MAIN.tract_id, [at])
    assert [row[0].hex() for row in rows] == [top, mine[3], other[1], other[0], *mine[2::-1]]
    line = lineage(connection, sql.WALK, MAIN.tract_id, at.commit_hash, at.created_at)
    assert [row[0].hex() for row in line] == [top, *mine[::-1]]


def test_a_walk_from_several_heads_meets_each_commit_once(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    mine = say(transaction, MAIN, 3)
    ref_writes.fork(transaction, MAIN, "other", mine[1])
    other = say(transaction, OTHER_BRANCH, 2)
    heads = [place(connection, mine[-1]), place(connection, other[-1])]

    rows = walk_all(connection, sql.WALK, MAIN.tract_id, heads)
    assert [row[0].hex() for row in rows] == [*other[::-1], *mine[::-1]]
    assert list(walk_all(connection, sql.WALK, MAIN.tract_id, [])) == []


def test_what_a_merge_brought_is_an_ancestor_of_what_follows(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    say(transaction, MAIN, 3)
    other = say(transaction, OTHER_BRANCH, 3)
    before = place(connection, say(transaction, MAIN)[0])
    merged(transaction, MAIN, other[1])
    after = place(connection, say(transaction, MAIN)[0])

    for hash_, brought in zip(other, (True, True, False), strict=True):
        at = place(connection, hash_)
        assert is_ancestor(connection, MAIN.tract_id, at, after) is brought
        assert not is_ancestor(connection, MAIN.tract_id, at, before)


def test_ancestry_holds_along_a_line_and_nowhere_else(
    connection: SqliteConnection, transaction: WriteTransaction
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


@pytest.mark.parametrize("beside", [0, 1, 3, 10, 100, 3000])
def test_a_walk_reads_what_the_history_holds(
    connection: SqliteConnection, transaction: WriteTransaction, beside: int
) -> None:
    """Steps of SQLite for each ancestor, whatever lies between them: 9 where nothing does."""
    mine: list[str] = []
    for _ in range(min(100, 12_000 // (beside + 1))):
        mine += say(transaction, MAIN)
        if beside:
            say(transaction, OTHER_BRANCH, beside)
    work = Work()
    work.watch(connection.raw)

    assert walked(connection, mine[-1]) == mine[::-1]
    assert work.steps < 2 * 60 * len(mine) + 500


@pytest.mark.unmeasured
def test_a_walk_reads_in_vain_no_more_than_a_share_of_what_it_meets(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    """Long runs of one branch, each behind a longer one of another."""
    mine: list[str] = []
    for _ in range(10):
        mine += say(transaction, MAIN, 300)
        say(transaction, OTHER_BRANCH, 3000)
    work = Work()
    work.watch(connection.raw)

    assert walked(connection, mine[-1]) == mine[::-1]
    assert work.steps < 2 * 60 * len(mine)


def test_a_walk_among_others_meets_what_both_sides_of_a_merge_have_once(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    beside = BranchName(MAIN.tract_id, "beside")
    hashes = say(transaction, MAIN, 3)
    ref_writes.fork(transaction, MAIN, "other")
    for branch in (MAIN, OTHER_BRANCH):
        say(transaction, beside, 30)
        hashes += say(transaction, branch)
    say(transaction, beside, 30)
    hashes.append(merged(transaction, MAIN, hashes[-1]))

    rows = walk_all(connection, sql.WALK, MAIN.tract_id, [place(connection, hashes[-1])])
    assert [row[0].hex() for row in rows] == hashes[::-1]


@pytest.mark.long
@given(
    runs=st.lists(
        st.tuples(
            st.sampled_from(["main", "main", "a", "b"]),
            st.integers(1, 40) | st.just(200),
            st.sampled_from([None, None, "main", "a", "b"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_a_walk_meets_the_ancestors_whatever_was_merged_and_lies_between(
    runs: list[tuple[str, int, str | None]],
) -> None:
    with closing(sqlite3.connect(":memory:")) as raw:
        migrate(raw, ":memory:")
        connection = SqliteConnection(raw)
        transaction = WriteTransaction(connection, ticking())
        heads: dict[str, str] = {}
        for name, count, other in runs:
            branch = BranchName(MAIN.tract_id, name)
            if other in heads and name in heads and other != name:
                heads[name] = merged(transaction, branch, heads[other])
            heads[name] = say(transaction, branch, count)[-1]
        links = connection.raw.execute(
            "SELECT commit_hash, parent_hash, merge_parent, created_at FROM commits"
        ).fetchall()
        parents = {row[0]: row[1:3] for row in links}
        times = {row[0]: row[3] for row in links}

        for head in heads.values():
            at = place(connection, head)
            rows = [row[0] for row in walk_all(connection, sql.WALK, MAIN.tract_id, [at])]
            assert rows == sorted(
                reachable(parents, [at.commit_hash]), key=times.__getitem__, reverse=True
            )
            line = lineage(connection, sql.WALK, MAIN.tract_id, at.commit_hash, at.created_at)
            assert [*(row[0] for row in line), None] == chain(parents, at.commit_hash)


@pytest.mark.parametrize("damage", ["DELETE FROM commits", "UPDATE commits SET created_at = 10**9"])
def test_a_walk_among_others_tells_of_a_parent_that_is_not_where_it_should_be(
    connection: SqliteConnection, transaction: WriteTransaction, damage: str
) -> None:
    mine: list[str] = []
    for _ in range(10):
        mine += say(transaction, MAIN)
        say(transaction, OTHER_BRANCH, 50)
    damage = damage.replace("10**9", str(10**9))
    connection.raw.execute(f"{damage} WHERE commit_hash = ?", [bytes.fromhex(mine[3])])
    at = place(connection, mine[-1])

    for rows in (
        lineage(connection, sql.WALK, MAIN.tract_id, at.commit_hash, at.created_at),
        walk_all(connection, sql.WALK, MAIN.tract_id, [at]),
    ):
        found: list[str] = []
        with pytest.raises(StoreCorruptError, match=mine[3]):
            found.extend(row[0].hex() for row in rows)
        assert found == mine[:3:-1]


@pytest.mark.parametrize(
    ("column", "value"), [("created_at", "never"), ("created_at", b"0"), ("parent_hash", "none")]
)
def test_a_value_that_cannot_have_been_stored_ends_a_walk_as_a_missing_parent_does(
    connection: SqliteConnection, transaction: WriteTransaction, column: str, value: object
) -> None:
    mine = say(transaction, MAIN, 3)
    say(transaction, OTHER_BRANCH, 50)
    mine += say(transaction, MAIN)
    damaged = bytes.fromhex(mine[2])
    connection.raw.execute(
        f"UPDATE commits SET {column} = ? WHERE commit_hash = ?", [value, damaged]
    )
    at = place(connection, mine[-1])

    with pytest.raises(StoreCorruptError):
        [*walk_all(connection, sql.WALK, MAIN.tract_id, [at])]
