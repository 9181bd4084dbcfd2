"""Writing commits: on which head, at what time, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count, pairwise

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, edit, ticking
from support.repositories import (
    MALFORMED,
    UNKNOWN,
    EngineUnderTest,
    Repositories,
    everything,
    hashes,
    merge_of,
    say,
)
from tract import (
    BranchNotFoundError,
    EditTargetError,
    HeadMovedError,
    StoreReadOnlyError,
    TokenUsage,
    TractError,
)
from tract.history.hashing import commit_hash
from tract.storage.repositories import CommitDraft, ExistingBranch, Origin, StreamName


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


async def test_a_commit_is_named_by_its_draft_once_its_place_is_known(store: Repositories) -> None:
    [before] = await say(store, MAIN, "before")
    [theirs] = await say(store, OTHER_BRANCH, "theirs")
    drafts = [draft("a"), edit("b", before), merge_of(theirs)]
    records = await store.commits.write(MAIN, drafts)

    for made, record in zip(drafts, records, strict=True):
        assert record.commit_hash == commit_hash(
            parent=record.parent_hash,
            content_hash=made.content_hash,
            content_type=made.content_type,
            operation=made.operation,
            timestamp=record.created_at,
            target=record.edit_target,
            merge_parent=record.merge_parent,
        )
        assert record[3:6] == (made.content_hash, made.content_type, made.operation)
        assert (record.message, record.metadata_json) == (made.message, made.metadata_json)
        assert (record.token_count, record.tract_id) == (made.token_count, MAIN.tract_id)
    assert records[2].merge_parent == theirs


async def test_every_write_goes_on_from_the_head(store: Repositories) -> None:
    made = [(await say(store, MAIN, text))[0] for text in "abc"]

    records = await store.histories.log(MAIN, limit=None)
    assert hashes(records) == made[::-1]
    assert [record.parent_hash for record in records] == [made[1], made[0], None]


async def test_a_write_of_no_drafts_changes_nothing(store: Repositories) -> None:
    assert await store.commits.write(MAIN, []) == []
    assert await store.refs.head(MAIN) is None
    assert await store.refs.branches(MAIN.tract_id) == []
    assert await store.tracts.ids() == []


async def test_a_write_of_no_drafts_needs_the_expected_head_all_the_same(
    store: Repositories,
) -> None:
    [head] = await say(store, MAIN, "a")

    assert await store.commits.write(MAIN, [], expected_head=head) == []
    with pytest.raises(HeadMovedError):
        await store.commits.write(MAIN, [], expected_head=None)


async def test_tracts_that_say_the_same_are_apart(store: Repositories) -> None:
    mine, theirs = await say(store, MAIN, "same"), await say(store, OTHER_TRACT, "same")

    assert hashes(await store.histories.log(MAIN, limit=None)) == mine
    assert hashes(await store.histories.log(OTHER_TRACT, limit=None)) == theirs


@pytest.mark.parametrize(
    "ticks",
    [lambda n: 0, lambda n: 10**15 - n, lambda n: 10**15 + n // 3, lambda n: 10**15 * (n % 2)],
    ids=["standing", "backwards", "coarse", "jumping"],
)
async def test_times_strictly_increase_within_a_tract_whatever_the_clock_does(
    engine: EngineUnderTest, place: str, ticks: Callable[[int], int]
) -> None:
    """Across all its branches, and after reopening."""
    looks = count()
    times: list[int] = []
    for _ in range(2):
        async with engine.opened(place, lambda: ticks(next(looks))) as store:
            for branch in (MAIN, OTHER_BRANCH, MAIN):
                records = await store.commits.write(branch, [draft("a"), draft("b")])
                times += [record.created_at for record in records]
        if not engine.is_shared:
            break

    assert all(earlier < later for earlier, later in pairwise(times))


async def test_a_write_on_the_expected_head_lands(store: Repositories) -> None:
    [first] = await store.commits.write(MAIN, [draft("a")], expected_head=None)
    [second] = await store.commits.write(MAIN, [draft("b")], expected_head=first.commit_hash)

    assert await store.refs.head(MAIN) == second.commit_hash


async def test_the_expected_head_may_be_named_as_any_commit_may(store: Repositories) -> None:
    [first] = await say(store, MAIN, "a")
    await store.tags.tag(MAIN, "v1", first)
    [second] = hashes(await store.commits.write(MAIN, [draft("b")], expected_head="v1"))
    [third] = hashes(await store.commits.write(MAIN, [draft("c")], expected_head=second[:10]))
    [fourth] = hashes(await store.commits.write(MAIN, [draft("d")], expected_head="main"))

    assert await store.refs.head(MAIN) == fourth
    assert hashes(await store.histories.log(MAIN, limit=None)) == [fourth, third, second, first]
    with pytest.raises(HeadMovedError):
        await store.commits.write(MAIN, [draft("e")], expected_head="v1")


async def test_a_write_on_another_head_is_refused_and_leaves_nothing(
    store: Repositories, subtests: pytest.Subtests
) -> None:
    [head] = await say(store, MAIN, "a")
    before = await everything(store)
    for expected in (None, UNKNOWN, *MALFORMED):
        with subtests.test(expected=expected):
            with pytest.raises(HeadMovedError) as refusal:
                await store.commits.write(MAIN, [draft("b")], expected_head=expected)
            assert (refusal.value.expected, refusal.value.actual) == (expected, head)
            assert await everything(store) == before


async def test_of_many_writes_on_one_expected_head_one_lands(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    writes = [
        store.commits.write(MAIN, [draft(str(number))], expected_head=head) for number in range(10)
    ]
    results = await asyncio.gather(*writes, return_exceptions=True)

    [landed] = [result for result in results if isinstance(result, list)]
    assert sum(isinstance(result, HeadMovedError) for result in results) == 9
    assert hashes(await store.histories.log(MAIN, limit=None)) == [*hashes(landed), head]


async def test_writes_that_come_at_once_form_one_line_and_each_gets_its_own(
    store: Repositories,
) -> None:
    writes = [store.commits.write(MAIN, [draft(str(number))]) for number in range(50)]
    results = await asyncio.gather(*writes)

    assert [record.message for [record] in results] == [f"says {number}" for number in range(50)]
    log = await store.histories.log(MAIN, limit=None)
    assert sorted(log) == sorted(record for [record] in results)
    assert [record.parent_hash for record in log] == [*hashes(log)[1:], None]


async def test_a_refused_write_among_others_fails_alone(store: Repositories) -> None:
    writes = [
        store.commits.write(MAIN, [draft("before"), edit(str(number), UNKNOWN)])
        if number % 3 == 1
        else store.commits.write(MAIN, [draft(str(number))])
        for number in range(12)
    ]
    results = await asyncio.gather(*writes, return_exceptions=True)

    assert [type(result) for result in results] == [list, EditTargetError, list] * 4
    assert len(await store.histories.log(MAIN, limit=None)) == 8


async def test_a_write_that_is_cancelled_at_any_step_lands_whole_or_not_at_all(
    store: Repositories,
) -> None:
    """A later acknowledged write settles which of the two it was."""
    wanted = 0
    for step in range(25):
        write = asyncio.create_task(store.commits.write(MAIN, [draft("a"), draft("b")]))
        for _ in range(step):
            await asyncio.sleep(0)
        if step > 15:
            await asyncio.sleep((step - 15) / 2000)
        write.cancel()
        await asyncio.wait([write])
        await say(store, MAIN, "later")
        log = await store.histories.log(MAIN, limit=None)

        assert len(log) in ((wanted + 1, wanted + 3) if write.cancelled() else (wanted + 3,))
        assert [record.parent_hash for record in log] == [*hashes(log)[1:], None]
        wanted = len(log)


def test_that_a_branch_must_exist_is_no_part_of_its_name() -> None:
    there = ExistingBranch(*MAIN)

    assert there == MAIN
    assert {there: 1}[MAIN] == {MAIN: 1}[there]
    assert [*there] == [MAIN.tract_id, MAIN.branch]


async def test_a_branch_that_must_exist_is_not_made_by_its_first_commit(
    store: Repositories,
) -> None:
    await say(store, MAIN, "a")
    side = ExistingBranch(MAIN.tract_id, "side")

    with pytest.raises(BranchNotFoundError):
        await store.commits.write(side, [draft("b")])
    await store.refs.fork(MAIN, "side")
    await store.commits.write(side, [draft("b")])
    assert len(await store.histories.log(side, limit=None)) == 2


async def test_what_a_commit_came_from_is_kept_with_it(store: Repositories) -> None:
    [source, other] = await say(store, OTHER_BRANCH, "a", "b")
    origins = (Origin("cherry-pick", source), Origin("squash", other))
    [made] = await store.commits.write(MAIN, [draft("c")._replace(origins=origins)])

    found = await store.histories.origins(MAIN.tract_id, made.commit_hash)
    assert sorted(found) == sorted((made.commit_hash, origin) for origin in origins)


@pytest.mark.parametrize(
    "drafts",
    [
        [draft("a"), edit("b", 1)],
        [draft("a"), edit("b", 0), edit("c", 1)],
        [draft("a"), draft("b"), edit("c", UNKNOWN)],
    ],
)
async def test_a_refused_write_leaves_nothing(
    store: Repositories, drafts: list[CommitDraft]
) -> None:
    empty = await everything(store)

    with pytest.raises(TractError):
        await store.commits.write(MAIN, drafts)
    assert await everything(store) == empty


async def test_what_can_be_written_says_so(store: Repositories) -> None:
    store.commits.check_writable()
    await say(store, MAIN, "a")
    store.commits.check_writable()


async def test_what_was_opened_read_only_says_so_before_and_is_read_as_ever(
    shared: EngineUnderTest, place: str
) -> None:
    async with shared.opened(place, ticking()) as writing:
        [head] = await say(writing, MAIN, "a")
    async with shared.opened(place, ticking(), read_only=True) as reading:
        before = await everything(reading)
        with pytest.raises(StoreReadOnlyError):
            reading.commits.check_writable()
        for refused in (
            partial(reading.commits.write, MAIN, [draft("b")]),
            partial(reading.commits.create_config_index, "t"),
            partial(reading.refs.fork, MAIN, "side"),
            partial(reading.tags.tag, MAIN, "v1"),
            partial(reading.usages.record, MAIN.tract_id, head, TokenUsage(1, 0, 1), "{}"),
            partial(reading.spools.drop, StreamName(MAIN, "s")),
        ):
            with pytest.raises(StoreReadOnlyError):
                await refused()
        assert await everything(reading) == before
