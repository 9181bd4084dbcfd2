"""The contract of the repositories: what is written, refused, looked up and listed."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial

import pytest

from support.drafts import (
    MAIN,
    OTHER_BRANCH,
    OTHER_TRACT,
    annotation,
    draft,
    edit,
)
from support.repositories import Repositories, fork, none_known, say, steps_to
from tract import (
    CommitNotFoundError,
    EditTargetError,
    HeadMovedError,
    TokenUsage,
)
from tract.storage import statements as sql
from tract.storage.database import Database
from tract.storage.repositories import (
    CommitDraft,
    Located,
    Position,
)
from tract.storage.statement import Statement

MALFORMED = ["", "zz", "0" * 63, "0" * 65, "\u0660" * 64, "0 " * 32, "\ud800" * 64]
UNKNOWN = "0" * 64


def steps_of(statement: Statement, connection: sqlite3.Connection) -> int:
    """Return how many instructions of SQLite's machine a statement takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 1)
    try:
        statement.all(connection)
    finally:
        connection.set_progress_handler(None, 1)
    return steps


async def test_a_tract_without_commits_is_empty_in_every_view(store: Repositories) -> None:
    assert await store.refs.head(MAIN) is None
    assert await store.refs.heads(MAIN.tract_id) == []
    assert await store.refs.tract_ids() == []
    assert await store.commits.log(MAIN, limit=None) == []
    assert await store.commits.get(MAIN.tract_id, UNKNOWN) is None
    assert await store.commits.locate(MAIN, Position(), none_known) == Located(None, None, None, ())
    assert await store.commits.locate(MAIN, Position(at_time=5), none_known) == Located(
        None, None, None, ()
    )
    assert [batch async for batch in store.commits.stored(MAIN.tract_id, [])] == []


async def test_a_name_stands_for_a_commit_or_for_the_moment_before_the_first(
    store: Repositories,
) -> None:
    tract_id = MAIN.tract_id
    [first, second] = await store.commits.write(MAIN, [draft("a"), draft("b")])
    await store.refs.tag(MAIN, "v1", first.commit_hash)
    await store.refs.fork(MAIN, "empty", None)
    named = [await store.commits.resolve(tract_id, n) for n in (first.commit_hash, "v1", "main")]

    assert named == [first.commit_hash, first.commit_hash, second.commit_hash]
    assert await store.commits.resolve(tract_id, "empty") is None
    assert await store.commits.resolve("a tract of nothing", "main") is None
    for unknown in (UNKNOWN, "v2", *MALFORMED):
        with pytest.raises(CommitNotFoundError):
            await store.commits.resolve(tract_id, unknown)


async def test_a_commit_is_read_back_as_it_was_acknowledged(store: Repositories) -> None:
    first, second = await store.commits.write(
        MAIN, [draft("a", config='{"t":0.5}'), edit("b", target=0)]
    )

    assert await store.commits.get(MAIN.tract_id, first.commit_hash) == first
    assert await store.commits.get(MAIN.tract_id, second.commit_hash) == second
    assert (first.parent_hash, second.parent_hash) == (None, first.commit_hash)
    assert second.edit_target == first.commit_hash
    assert first.generation_config_json == '{"t":0.5}'
    assert await store.blobs.get(MAIN.tract_id, first.commit_hash) == (first, draft("a").data)
    assert await store.refs.head(MAIN) == second.commit_hash


async def test_every_write_goes_on_from_the_head(store: Repositories) -> None:
    hashes = [(await say(store, MAIN, text))[0] for text in "abc"]

    records = await store.commits.log(MAIN, limit=None)
    assert [record.commit_hash for record in records] == hashes[::-1]
    assert [record.parent_hash for record in records] == [hashes[1], hashes[0], None]


async def test_a_write_of_no_drafts_changes_nothing(store: Repositories) -> None:
    assert await store.commits.write(MAIN, []) == []
    assert await store.refs.head(MAIN) is None
    assert await store.refs.tract_ids() == []


async def test_content_is_stored_once_whoever_commits_it(
    store: Repositories, database: Database
) -> None:
    await say(store, MAIN, "same", "same")
    await say(store, OTHER_TRACT, "same")

    count = await database.read(lambda raw: raw.execute("SELECT count(*) FROM blobs").fetchone())
    assert count == (1,)


async def test_hashes_of_another_tract_are_not_found(store: Repositories) -> None:
    [foreign] = await say(store, OTHER_TRACT, "secret")
    await say(store, MAIN, "mine")

    assert await store.commits.get(MAIN.tract_id, foreign) is None
    for refused in (
        store.blobs.get(MAIN.tract_id, foreign),
        store.commits.locate(MAIN, Position(foreign), none_known),
        store.commits.log(MAIN, limit=1, before=foreign),
        store.commits.annotations(MAIN, foreign),
        steps_to(store, foreign),
        store.commits.write(MAIN, [annotation(foreign)]),
    ):
        with pytest.raises(CommitNotFoundError):
            await refused
    with pytest.raises(EditTargetError):
        await store.commits.write(MAIN, [edit("x", foreign)])
    assert [batch async for batch in store.commits.stored(MAIN.tract_id, [foreign])] == []


@pytest.mark.parametrize("malformed", [*MALFORMED, "too long"])
async def test_a_malformed_hash_is_one_that_nothing_has(
    store: Repositories, malformed: str
) -> None:
    [known] = await say(store, MAIN, "a")
    malformed = f"{known}0" if malformed == "too long" else malformed

    assert await store.commits.get(MAIN.tract_id, malformed) is None
    for refused in (
        store.blobs.get(MAIN.tract_id, malformed),
        store.commits.locate(MAIN, Position(malformed), none_known),
        store.commits.log(MAIN, limit=1, before=malformed),
        store.commits.annotations(MAIN, malformed),
        steps_to(store, malformed),
        store.commits.write(MAIN, [annotation(malformed)]),
    ):
        with pytest.raises(CommitNotFoundError):
            await refused
    with pytest.raises(EditTargetError):
        await store.commits.write(MAIN, [edit("x", malformed)])
    with pytest.raises(HeadMovedError):
        await store.commits.write(MAIN, [draft()], expected_head=malformed)
    with pytest.raises(HeadMovedError):
        await store.usages.record(MAIN, TokenUsage(1), "{}", head_hash=malformed)
    assert [batch async for batch in store.commits.stored(MAIN.tract_id, [malformed])] == []
    assert await store.refs.head(MAIN) == known


async def test_a_write_on_the_expected_head_lands(store: Repositories) -> None:
    [first] = await store.commits.write(MAIN, [draft("a")], expected_head=None)
    [second] = await store.commits.write(MAIN, [draft("b")], expected_head=first.commit_hash)

    assert await store.refs.head(MAIN) == second.commit_hash


async def test_a_write_on_another_head_is_refused_and_leaves_nothing(
    store: Repositories, database: Database
) -> None:
    [head] = await say(store, MAIN, "a")

    for expected in (None, UNKNOWN):
        with pytest.raises(HeadMovedError) as refusal:
            await store.commits.write(MAIN, [draft("b")], expected_head=expected)
        assert (refusal.value.expected, refusal.value.actual) == (expected, head)
    count = await database.read(lambda raw: raw.execute("SELECT count(*) FROM blobs").fetchone())
    assert count == (1,)
    assert await store.refs.head(MAIN) == head


@pytest.mark.parametrize(
    "drafts",
    [
        [draft("a"), edit("b", 1)],
        [draft("a"), edit("b", -1)],
        [draft("a"), edit("b", 0), edit("c", 1)],
        [draft("a"), annotation(0), edit("c", 1)],
        [draft("a"), edit("b", UNKNOWN)],
    ],
    ids=[
        "itself",
        "before the call",
        "an edit of the call",
        "an annotation of the call",
        "unknown",
    ],
)
async def test_a_call_with_one_bad_target_leaves_nothing(
    store: Repositories, database: Database, drafts: list[CommitDraft]
) -> None:
    with pytest.raises(EditTargetError):
        await store.commits.write(MAIN, drafts)

    count = await database.read(lambda raw: raw.execute("SELECT count(*) FROM blobs").fetchone())
    assert count == (0,)
    assert await store.refs.head(MAIN) is None


async def test_only_an_entry_can_be_a_target(store: Repositories) -> None:
    _, edited, noted = await store.commits.write(MAIN, [draft("a"), edit("b", 0), annotation(0)])

    for target in (edited.commit_hash, noted.commit_hash):
        for change in (edit("x", target), annotation(target)):
            with pytest.raises(EditTargetError, match="not an entry"):
                await store.commits.write(MAIN, [change])


async def test_a_target_must_lie_in_the_history_of_the_branch(store: Repositories) -> None:
    [mine] = await say(store, MAIN, "a")
    [other] = await say(store, OTHER_BRANCH, "b")
    [later] = await say(store, MAIN, "c")

    for branch, target in ((MAIN, other), (OTHER_BRANCH, mine), (OTHER_BRANCH, later)):
        for change in (edit("x", target), annotation(target)):
            with pytest.raises(EditTargetError, match="history"):
                await store.commits.write(branch, [change])
    await store.commits.write(MAIN, [edit("x", mine), annotation(later)])
    await store.commits.write(OTHER_BRANCH, [edit("x", other)])


async def test_a_target_is_checked_against_the_branch_in_a_shared_transaction_too(
    store: Repositories,
) -> None:
    [other] = await say(store, OTHER_BRANCH, "a")

    landed, refused = await asyncio.gather(
        store.commits.write(MAIN, [draft("b")]),
        store.commits.write(MAIN, [edit("x", other)]),
        return_exceptions=True,
    )

    assert isinstance(refused, EditTargetError)
    assert isinstance(landed, list)
    assert await store.refs.head(MAIN) == landed[0].commit_hash


async def test_branches_that_begin_in_one_transaction_are_told_apart(store: Repositories) -> None:
    """A refused first write must not let two branches pass for one."""
    _, other, _ = await asyncio.gather(
        store.commits.write(MAIN, [draft()], expected_head=UNKNOWN),
        store.commits.write(OTHER_BRANCH, [draft("a")]),
        store.commits.write(MAIN, [draft("b")]),
        return_exceptions=True,
    )

    assert isinstance(other, list)
    with pytest.raises(EditTargetError, match="history"):
        await store.commits.write(MAIN, [edit("x", other[0].commit_hash)])


async def test_a_fork_reaches_what_its_origin_had_when_it_left_and_no_more(
    store: Repositories, database: Database
) -> None:
    before, at = await say(store, MAIN, "a", "b")
    await fork(database, at)
    [after] = await say(store, MAIN, "c")

    await store.commits.write(OTHER_BRANCH, [edit("x", before), annotation(at), draft("d")])
    with pytest.raises(EditTargetError, match="history"):
        await store.commits.write(OTHER_BRANCH, [edit("x", after)])


async def test_an_annotation_of_an_unknown_commit_is_not_found(store: Repositories) -> None:
    await say(store, MAIN, "a")

    with pytest.raises(CommitNotFoundError):
        await store.commits.write(MAIN, [annotation(UNKNOWN)])


async def test_usage_belongs_to_one_head_and_the_last_report_holds(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    await store.usages.record_at(MAIN.tract_id, head, TokenUsage(1, 2, 3), "{}")
    assert await store.usages.record(MAIN, TokenUsage(4, 5, 9), "{}", head_hash=head) == head
    [later] = await say(store, MAIN, "b")

    async def usage(position: Position) -> TokenUsage | None:
        return (await store.commits.locate(MAIN, position, none_known)).usage

    assert await usage(Position(head)) == TokenUsage(4, 5, 9)
    assert await usage(Position(at_time=1000)) == TokenUsage(4, 5, 9)
    assert await usage(Position()) is None
    assert await usage(Position(later)) is None

    await store.usages.record_at(MAIN.tract_id, head, TokenUsage(7, 0, 7), "{}")
    assert await usage(Position(head)) == TokenUsage(7, 0, 7)
    assert await usage(Position()) is None


async def test_usage_of_another_head_or_of_none_is_refused(store: Repositories) -> None:
    with pytest.raises(HeadMovedError):
        await store.usages.record(MAIN, TokenUsage(1), "{}", head_hash=UNKNOWN)
    first, _ = await say(store, MAIN, "a", "b")

    with pytest.raises(HeadMovedError):
        await store.usages.record(MAIN, TokenUsage(1), "{}", head_hash=first)


async def test_listing_tracts_reads_no_more_where_they_hold_more(
    store: Repositories, database: Database
) -> None:
    async def steps() -> int:
        return await database.read(partial(steps_of, sql.TRACT_IDS))

    await say(store, MAIN, "a")
    await say(store, OTHER_TRACT, "a")
    few = await steps()
    await say(store, MAIN, *map(str, range(300)))
    many = await steps()

    assert await store.refs.tract_ids() == ["agent", "rival"]
    assert many == few


async def test_heads_and_tracts_are_listed_sorted(store: Repositories) -> None:
    [theirs] = await say(store, OTHER_TRACT, "a")
    [other] = await say(store, OTHER_BRANCH, "b")
    [main] = await say(store, MAIN, "c")

    assert await store.refs.tract_ids() == ["agent", "rival"]
    assert await store.refs.heads("agent") == sorted([main, other])
    assert await store.refs.heads("rival") == [theirs]
    assert await store.refs.heads("nobody") == []


async def test_configs_are_queried_within_the_tract_oldest_first(store: Repositories) -> None:
    hot, _, hotter = await store.commits.write(
        MAIN, [draft("a", config='{"t":0.9}'), draft("b"), draft("c", config='{"t":1}')]
    )
    await store.commits.write(OTHER_TRACT, [draft("d", config='{"t":1}')])

    assert await store.commits.get_by_config("agent", "t", ">", 0.5) == [hot, hotter]
    assert await store.commits.get_by_config("agent", "t", ">", 0.5, limit=1) == [hot]
    assert await store.commits.get_by_config("agent", "t", ">", 0.5, limit=0) == []
