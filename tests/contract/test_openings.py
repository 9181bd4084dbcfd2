"""One database opened more than once: what each opening sees of the others, and after reopening."""

from __future__ import annotations

import asyncio

import pytest

from support.drafts import MAIN, OTHER_BRANCH, annotation, draft, edit, ticking
from support.repositories import (
    NONE_KNOWN,
    EngineUnderTest,
    Repositories,
    everything,
    hashes,
    merge_of,
    names,
    say,
)
from tract import BranchExistsError, HeadMovedError, TokenUsage
from tract.storage.repositories import Position, SpoolPart, StreamEnd, StreamName

Pair = tuple[Repositories, Repositories]
STREAM = StreamName(MAIN, "s")


async def filled(store: Repositories) -> None:
    """Write something of every kind."""
    first, *_ = await store.commits.write(MAIN, [draft("a", config='{"t":1}'), edit("b", 0)])
    await store.commits.write(MAIN, [annotation(first.commit_hash)])
    await store.refs.fork(MAIN, "other")
    [theirs] = await say(store, OTHER_BRANCH, "c")
    await say(store, MAIN, "d")
    [merge] = hashes(await store.commits.write(MAIN, [merge_of(theirs)]))
    await store.usages.record(MAIN.tract_id, merge, TokenUsage(1, 2, 3), "{}")
    await store.tags.tag(MAIN, "v1")
    await store.refs.move(OTHER_BRANCH, first.commit_hash, action="reset", note="why")
    await store.commits.create_config_index("t")
    await store.spools.save("somebody", [SpoolPart(STREAM, 0, [["text", "x"]])])


async def test_what_was_written_is_there_after_opening_again(
    shared: EngineUnderTest, place: str
) -> None:
    async with shared.opened(place, ticking()) as store:
        await filled(store)
        before = await everything(store)
        located = await store.histories.locate(MAIN, Position(), NONE_KNOWN)
    async with shared.opened(place, ticking()) as store:
        assert await everything(store) == before
        again = await store.histories.locate(MAIN, Position(), NONE_KNOWN)
        assert (again.head_hash, again.usage) == (located.head_hash, located.usage)
        assert await store.spools.fragments(STREAM) == [["text", "x"]]
        assert len(await store.commits.get_by_config("agent", "t", "=", 1)) == 1


async def test_one_opening_sees_at_once_what_the_other_has_written(pair: Pair) -> None:
    one, other = pair
    await filled(one)
    assert await everything(other) == await everything(one)
    await say(other, OTHER_BRANCH, "more")
    await other.refs.delete(OTHER_BRANCH, force=True)

    assert await everything(other) == await everything(one)


async def test_openings_that_write_in_turn_form_one_line(pair: Pair) -> None:
    """Between two of our commits lies one of theirs: all steps are there, in order."""
    made: list[str] = []
    for turn in range(12):
        here, there = pair[turn % 2], pair[1 - turn % 2]
        made += await say(here, MAIN, str(turn))
        for store in (there, here):
            assert await store.refs.head(MAIN) == made[-1]
            located = await store.histories.locate(MAIN, Position(), NONE_KNOWN)
            assert names(located.steps) == made


async def test_openings_that_write_at_once_form_one_line(pair: Pair) -> None:
    writes = [store.commits.write(MAIN, [draft(str(n))]) for n in range(40) for store in pair]
    acknowledged = [record for [record] in await asyncio.gather(*writes)]

    logs = [await store.histories.log(MAIN, limit=None) for store in pair]
    assert logs[0] == logs[1]
    assert sorted(logs[0]) == sorted(acknowledged)
    assert [record.parent_hash for record in logs[0]] == [*hashes(logs[0])[1:], None]
    times = [record.created_at for record in logs[0]]
    assert times == sorted(set(times), reverse=True)


async def test_of_writes_on_one_head_by_two_openings_one_lands(pair: Pair) -> None:
    [head] = await say(pair[0], MAIN, "a")
    results = await asyncio.gather(
        *(
            store.commits.write(MAIN, [draft(str(number))], expected_head=head)
            for number in range(4)
            for store in pair
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(result, list) for result in results) == 1
    assert sum(isinstance(result, HeadMovedError) for result in results) == 7


async def test_of_forks_and_claims_by_two_openings_one_is_granted(pair: Pair) -> None:
    await say(pair[0], MAIN, "a")
    await pair[0].spools.save("somebody", [SpoolPart(STREAM, 0, [])])
    forks = await asyncio.gather(
        *(store.refs.fork(MAIN, "side") for store in pair), return_exceptions=True
    )
    [spooled] = await pair[1].spools.spooled()
    ending = StreamEnd(STREAM, claim=spooled)
    claims = await asyncio.gather(
        *(store.commits.write(MAIN, [draft("said")], ending=ending) for store in pair)
    )

    assert sorted(isinstance(fork, BranchExistsError) for fork in forks) == [False, True]
    assert sorted(map(len, claims)) == [0, 1]


async def test_a_reset_by_one_opening_is_where_the_other_goes_on(pair: Pair) -> None:
    one, other = pair
    a, _ = await say(one, MAIN, "a", "b")
    await other.refs.move(MAIN, a, action="reset")
    [c] = await one.commits.write(MAIN, [draft("c")])

    assert c.parent_hash == a
    assert await other.refs.head(MAIN) == c.commit_hash


async def test_the_usage_that_the_other_opening_reported_holds(pair: Pair) -> None:
    one, other = pair
    [head] = await say(one, MAIN, "a")
    for reporting, reading, usage in (
        (other, one, TokenUsage(1, 0, 1)),
        (one, other, TokenUsage(2, 0, 2)),
    ):
        await reporting.usages.record(MAIN.tract_id, head, usage, "{}")
        located = await reading.histories.locate(MAIN, Position(), NONE_KNOWN)
        assert located.usage == usage


@pytest.mark.parametrize("rounds", [6])
async def test_readers_of_another_opening_see_whole_writes_alone(pair: Pair, rounds: int) -> None:
    one, other = pair

    async def write() -> None:
        for number in range(rounds):
            await say(one, MAIN, *(f"{number}.{item}" for item in range(5)))

    writing = asyncio.create_task(write())
    seen: list[int] = []
    while not writing.done():
        seen.append(len(await other.histories.log(MAIN, limit=None)))
        await asyncio.sleep(0)
    await writing

    assert {length % 5 for length in seen} == {0}
    assert seen == sorted(seen)
    assert len(await other.histories.log(MAIN, limit=None)) == 5 * rounds
