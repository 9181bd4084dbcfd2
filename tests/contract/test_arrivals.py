"""What arrives on branches: read after a cursor, looked for, and reported."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, annotation, draft
from support.repositories import UNKNOWN, Repositories, hashes, merge_of, say
from tract import CommitNotFoundError, TokenUsage
from tract.storage.repositories import (
    Arrivals,
    BranchName,
    CommitRow,
    Cursor,
    ExistingBranch,
    Marker,
    SpoolPart,
    StreamName,
    TakenBack,
    TractTimes,
)


async def test_what_goes_unreported_is_to_be_looked_for_within_seconds(
    store: Repositories,
) -> None:
    assert 0 < store.arrivals.interval < 5


async def test_the_next_look_is_due_after_the_same_time_on_every_opening(
    pair: tuple[Repositories, Repositories],
) -> None:
    one, two = pair

    assert one.arrivals.interval == two.arrivals.interval


async def line_of(store: Repositories, count: int) -> list[CommitRow]:
    return await store.commits.write(MAIN, [draft(str(number)) for number in range(count)])


async def read_all(store: Repositories, cursor: Cursor) -> list[CommitRow]:
    records: list[CommitRow] = []
    while True:
        page = await store.arrivals.read(MAIN, cursor)
        records += page.records
        cursor = page.cursor
        if cursor.is_at_head:
            return records


async def test_pages_follow_on_each_other(store: Repositories) -> None:
    records = await line_of(store, 700)
    await store.commits.write(OTHER_BRANCH, [draft("other")])

    assert await read_all(store, Cursor(None)) == records
    assert await read_all(store, Cursor(None, target=records[-1].commit_hash)) == records
    assert await read_all(store, Cursor(records[99].commit_hash)) == records[100:]
    assert await read_all(store, Cursor(records[-1].commit_hash)) == []
    assert await read_all(store, Cursor(None, target=records[9].commit_hash)) == records[:10]


async def test_a_branch_without_commits_has_nothing(store: Repositories) -> None:
    assert await store.arrivals.read(MAIN, Cursor(None)) == Arrivals(None, [], Cursor(None))


async def test_a_cursor_goes_on_with_what_comes_later(store: Repositories) -> None:
    records = await line_of(store, 2)
    page = await store.arrivals.read(MAIN, Cursor(None))
    assert page.records == records
    assert await store.arrivals.read(MAIN, page.cursor) == Arrivals(None, [], page.cursor)
    await say(store, OTHER_BRANCH, "beside")
    later = await line_of(store, 1)

    assert (await store.arrivals.read(MAIN, page.cursor)).records == later


async def test_what_a_merge_brought_comes_in_the_order_of_the_context(
    store: Repositories,
) -> None:
    [shared] = await say(store, MAIN, "shared")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    [theirs] = await say(store, OTHER_BRANCH, "theirs")
    [ours] = await say(store, MAIN, "ours")
    [merge] = hashes(await store.commits.write(MAIN, [merge_of(theirs)]))

    assert hashes(await read_all(store, Cursor(None))) == [shared, ours, theirs, merge]
    assert hashes(await read_all(store, Cursor(ours))) == [theirs, merge]
    assert hashes(await read_all(store, Cursor(merge))) == []


async def test_what_a_reset_took_back_is_told_with_what_came_after(store: Repositories) -> None:
    a, b, c = await say(store, MAIN, *"abc")
    await store.refs.move(MAIN, a, action="reset")
    [d] = await say(store, MAIN, "d")
    page = await store.arrivals.read(MAIN, Cursor(c))

    assert page.taken_back is not None
    assert (page.taken_back.new_hash, {*page.taken_back.dropped}) == (a, {b, c})
    assert hashes(page.records) == [d]
    assert page.cursor.is_at_head


async def test_all_is_taken_back_from_a_branch_that_was_emptied(store: Repositories) -> None:
    [a] = await say(store, MAIN, "a")
    await store.refs.move(MAIN, None, action="reset")
    page = await store.arrivals.read(MAIN, Cursor(a))

    assert (page.taken_back, page.records) == (TakenBack(None, (a,)), [])
    assert page.cursor.is_at_head


async def test_an_unknown_commit_is_told(store: Repositories) -> None:
    await line_of(store, 1)
    [foreign] = await say(store, OTHER_TRACT, "x")

    for unknown in (UNKNOWN, foreign):
        with pytest.raises(CommitNotFoundError):
            await store.arrivals.read(MAIN, Cursor(unknown))


async def test_heads_are_where_branches_point_whenever_they_are_asked_for(
    store: Repositories,
) -> None:
    both = [MAIN, OTHER_BRANCH]
    assert [*(await store.arrivals.heads(both)).heads] == [None, None]
    for number in range(6):
        [head] = await say(store, MAIN, str(number))
        assert [*(await store.arrivals.heads(both)).heads] == [head, None]
        assert [*(await store.arrivals.heads(both)).heads] == [head, None]
        assert [*(await store.arrivals.heads(both[::-1])).heads] == [None, head]

    await store.refs.move(MAIN, None, action="reset")
    assert [*(await store.arrivals.heads([MAIN])).heads] == [None]
    assert [*(await store.arrivals.heads([])).heads] == []


async def test_heads_are_those_that_another_opening_wrote(
    pair: tuple[Repositories, Repositories],
) -> None:
    here, there = pair
    for number in range(8):
        [head] = await say(there if number % 3 else here, MAIN, str(number))

        assert [*(await here.arrivals.heads([MAIN])).heads] == [head]


async def erased(store: Repositories, commit_hash: str) -> TractTimes:
    """Erase a commit; return the times of its tract from then on."""
    row = await store.commits.get(MAIN.tract_id, commit_hash)
    assert row is not None
    marked = {row.content_hash: Marker("ab" * 32, b"{}")}
    await store.erasures.erase(MAIN.tract_id, [commit_hash], marked)
    return (await store.erasures.times([MAIN.tract_id]))[MAIN.tract_id]


async def test_what_is_read_comes_with_the_times_of_the_tract_whoever_erased(
    pair: tuple[Repositories, Repositories],
) -> None:
    here, there = pair
    said = await say(here, MAIN, "a", "b", "c")
    for number, eraser in enumerate((here, there, there)):
        times = await erased(eraser, said[number])

        read = await here.arrivals.read(MAIN, Cursor(None))
        assert read.times == times
        for store in pair:
            assert (await store.arrivals.heads([MAIN, OTHER_TRACT])).times == {MAIN.tract_id: times}
            assert await store.erasures.times([MAIN.tract_id]) == {MAIN.tract_id: times}


async def test_an_erasure_is_told_of_the_tract(store: Repositories) -> None:
    [said] = await say(store, MAIN, "a")
    moved = await moves_of(store)
    await erased(store, said)

    assert moved == [{BranchName(MAIN.tract_id, "")}]


async def moves_of(store: Repositories) -> list[set[BranchName]]:
    """Return the moves that `on_move` reports from now on, one set per call."""
    moved: list[set[BranchName]] = []

    def on_move(branches: Iterable[BranchName]) -> None:
        moved.append({*branches})

    store.arrivals.on_move(on_move)
    return moved


async def test_each_write_tells_what_it_has_moved(store: Repositories) -> None:
    moved = await moves_of(store)
    [_, head] = await line_of(store, 2)
    with pytest.raises(CommitNotFoundError):
        await store.commits.write(MAIN, [annotation(UNKNOWN)])
    await store.commits.write(OTHER_BRANCH, [draft("x")])
    await store.commits.write(ExistingBranch(*MAIN), [draft("x")])
    assert moved == [{MAIN}, {OTHER_BRANCH}, {MAIN}]

    moved.clear()
    await store.refs.move(MAIN, head.commit_hash, action="reset")
    await store.refs.fork(MAIN, "side")
    await store.refs.delete(OTHER_BRANCH, force=True)
    assert moved == [{MAIN}, {BranchName("agent", "side")}, {OTHER_BRANCH}]


async def test_what_moves_no_branch_is_told_to_nobody(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    moved = await moves_of(store)
    await store.tags.tag(MAIN, "v1")
    await store.tags.untag(MAIN.tract_id, "v1")
    await store.usages.record(MAIN.tract_id, head, TokenUsage(1, 0, 1), "{}")
    await store.spools.save("me", [SpoolPart(StreamName(MAIN, "s"), 0, [])])
    await store.commits.create_config_index("t")
    await store.commits.write(MAIN, [])

    assert [branches for branches in moved if branches] == []


async def test_a_move_is_told_before_the_one_who_wrote_goes_on(store: Repositories) -> None:
    moved = await moves_of(store)
    for number in range(20):
        await say(store, MAIN, str(number))

        assert len(moved) == number + 1
