"""How a head is reached: the way to it, read in portions on the connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, ticking
from support.working import Work
from tract import StoreCorruptError
from tract.storage.repositories import BranchName, CommitRow, Located, Position
from tract.storage.sql.ancestry import history, listing
from tract.storage.sql.ancestry.history import Span
from tract.storage.sql.freshness import Freshness
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.migrations import migrate
from tract.storage.values import KnownHead


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    with closing(sqlite3.connect(":memory:")) as raw:
        migrate(raw, ":memory:")
        yield SqliteConnection(raw)


@pytest.fixture
def transaction(connection: SqliteConnection) -> WriteTransaction:
    return WriteTransaction(connection, ticking())


def say(transaction: WriteTransaction, branch: BranchName, count: int = 1) -> list[CommitRow]:
    records = transaction.commit(branch, [draft(str(number)) for number in range(count)])
    transaction.finish()
    return records


def nothing(head: KnownHead) -> None:
    """Return what is remembered of the way to a head."""


def span(connection: SqliteConnection, head: CommitRow, *known: CommitRow) -> Span:
    names = {record.commit_hash for record in known}
    return history.span(
        connection,
        tract_id=head.tract_id,
        head_hash=head.commit_hash,
        known=names,
    )


def test_a_line_of_its_own_needs_no_names(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    records = say(transaction, MAIN, 5)
    say(transaction, OTHER_TRACT, 5)

    assert span(connection, records[4]) == Span(None, 0, 5000, 5, None)
    assert span(connection, records[4], records[1]) == Span(
        records[1].commit_hash, 2000, 5000, 3, None
    )


def test_a_line_among_others_names_its_members(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    [first] = say(transaction, MAIN)
    say(transaction, OTHER_BRANCH)
    [second, third] = say(transaction, MAIN, 2)

    members = {bytes.fromhex(record.commit_hash) for record in (first, second, third)}
    assert span(connection, third) == Span(None, 0, 4000, len(members), frozenset(members))
    assert span(connection, third, second) == Span(second.commit_hash, 3000, 4000, 1, None)


def test_a_line_among_far_more_others_is_read_by_its_own_order(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    mine = say(transaction, MAIN)
    for _ in range(9):
        say(transaction, OTHER_BRANCH, 9)
        mine += say(transaction, MAIN)
    way = span(connection, mine[-1])

    order = [bytes.fromhex(record.commit_hash) for record in mine]
    assert way == Span(None, 0, len(order), len(order), None, order)
    assert span(connection, mine[-1], mine[-3]).order == order[-2:]
    steps, reached, _ = history.portion(
        connection, tract_id=MAIN.tract_id, span=way, after=4, limit=3
    )
    assert [step.commit_hash for step in steps] == [record.commit_hash for record in mine[4:7]]
    assert reached == 7


@pytest.mark.parametrize("step", [1, 1000])
def test_portions_of_any_size_add_up_to_the_whole_way(
    connection: SqliteConnection, step: int
) -> None:
    transaction = WriteTransaction(connection, ticking(step=step))
    mine: list[CommitRow] = []
    for _ in range(4):
        mine += say(transaction, MAIN, 2)
        say(transaction, OTHER_BRANCH, 3)
    way = span(connection, mine[-1])

    for limit in (1, 2, 3, 7, 100):
        hashes: list[str] = []
        after = way.after
        while after < way.through:
            steps, after, _ = history.portion(
                connection, tract_id=MAIN.tract_id, span=way, after=after, limit=limit
            )
            assert len(steps) <= limit
            hashes += [step.commit_hash for step in steps]
        assert hashes == [record.commit_hash for record in mine]


@pytest.mark.parametrize("length", [5, 100])
def test_a_history_with_a_hole_is_never_taken_for_a_shorter_one(
    connection: SqliteConnection, transaction: WriteTransaction, length: int
) -> None:
    records = say(transaction, MAIN, length)
    hole = bytes.fromhex(records[2].commit_hash)
    connection.raw.execute("DELETE FROM commits WHERE commit_hash = ?", [hole])

    def locate() -> Located:
        known = frozenset[str]()
        position = Position()
        return history.locate(
            connection, branch=MAIN, position=position, known=known, at_once=nothing
        )

    if length < 64:
        with pytest.raises(StoreCorruptError, match=records[2].commit_hash):
            locate()
    else:
        assert locate() == Located(records[-1].commit_hash, None, None, None)
    with pytest.raises(StoreCorruptError, match=records[2].commit_hash):
        span(connection, records[-1])
    assert span(connection, records[-1], records[3]).base_hash == records[3].commit_hash


@pytest.mark.parametrize("length", [63, 64, 65])
def test_as_many_as_64_steps_are_read_at_once(
    connection: SqliteConnection, transaction: WriteTransaction, length: int
) -> None:
    """Whether what lies beyond is the beginning, or a commit that the caller knows."""
    records = say(transaction, MAIN, length + 1)

    def locate(*known: str) -> Located:
        return history.locate(
            connection,
            branch=MAIN,
            position=Position(),
            known=frozenset(known),
            at_once=nothing,
        )

    located, whole = locate(records[0].commit_hash), locate()
    assert (located.steps is None) == (length > 64)
    assert (whole.steps is None) == (length + 1 > 64)


def test_what_the_caller_knows_is_asked_no_further_than_needed(
    connection: SqliteConnection, transaction: WriteTransaction
) -> None:
    records = say(transaction, MAIN, 10)
    asked: list[object] = []

    class Known(frozenset[str]):
        def __contains__(self, commit_hash: object) -> bool:
            asked.append(commit_hash)
            return super().__contains__(commit_hash)

    known = Known([records[7].commit_hash])
    located = history.locate(
        connection,
        branch=MAIN,
        position=Position(),
        known=known,
        at_once=partial(Freshness().way, MAIN.tract_id, known),
    )

    assert located.base_hash == records[7].commit_hash
    assert asked == [record.commit_hash for record in records[:6:-1]]


@pytest.mark.parametrize("merges", [1, 60])
def test_a_page_of_the_log_is_read_from_its_place_though_others_merge(
    connection: SqliteConnection, transaction: WriteTransaction, merges: int
) -> None:
    mine = say(transaction, MAIN, 50)
    [brought] = say(transaction, MAIN._replace(branch="brought"))
    say(transaction, OTHER_BRANCH)
    made = draft("merge", operation="merge")._replace(merge_parent=brought.commit_hash)
    transaction.commit(OTHER_BRANCH, [made] * merges)
    mine += say(transaction, MAIN, 950)
    work = Work()
    work.watch(connection.raw)

    page = listing.log(
        connection, branch=MAIN, limit=5, before=mine[45].commit_hash, in_context=False
    )
    assert page == mine[40:45][::-1]
    assert work.steps < 1_200
