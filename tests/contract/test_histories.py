"""Reading histories from any base to any head: steps, logs, annotations, all that heads reach."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, annotation, draft, edit, ticking
from support.repositories import (
    NONE_KNOWN,
    UNKNOWN,
    EngineUnderTest,
    Repositories,
    hashes,
    merge_of,
    names,
    say,
    steps_to,
    stored,
)
from tract import (
    BlobNotFoundError,
    BranchNotFoundError,
    CommitNotFoundError,
    CommitStep,
    TractError,
)
from tract.protocols import UNSET
from tract.storage.repositories import BranchName, ExistingBranch, Located, Position


async def test_the_log_pages_newest_first(store: Repositories) -> None:
    made = (await say(store, MAIN, *map(str, range(30))))[::-1]

    for limit in (0, 1, 4, 5, 29, 30, 31):
        page = await store.histories.log(MAIN, limit=limit)
        assert [record.commit_hash for record in page] == made[:limit]
    for before in (0, 7, 29):
        page = await store.histories.log(MAIN, limit=6, before=made[before])
        assert [record.commit_hash for record in page] == made[before + 1 : before + 7]


async def test_interleaved_branches_of_a_tract_each_see_their_own_history(
    store: Repositories,
) -> None:
    mine: list[str] = []
    other: list[str] = []
    for number in range(100):
        mine += await say(store, MAIN, f"m{number}")
        other += await say(store, OTHER_BRANCH, f"o{number}")

    for branch, made in ((MAIN, mine), (OTHER_BRANCH, other)):
        log = await store.histories.log(branch, limit=None)
        assert [record.commit_hash for record in log] == made[::-1]
        assert await steps_to(store, made[-1]) == ({None}, made)
        assert await steps_to(store, made[-1], made[30]) == ({made[30]}, made[31:])
        located = await store.histories.locate(branch, Position(), {made[80]})
        assert (located.base_hash, names(located.steps)) == (made[80], made[81:])


@pytest.mark.parametrize("count", [1, 2_001])
async def test_a_history_at_one_moment_is_whole_however_long(
    store: Repositories, count: int
) -> None:
    made = await say(store, MAIN, *map(str, range(count)))
    await say(store, OTHER_BRANCH, "not in it")
    await say(store, OTHER_TRACT, "nor this")

    for head in {made[0], made[count // 2], made[-1]}:
        batches = [
            batch async for batch in store.histories.history(MAIN.tract_id, head, NONE_KNOWN, None)
        ]
        assert [(base, names(steps)) for base, steps in batches] == [
            (None, made[: made.index(head) + 1])
        ]


async def test_a_history_at_one_moment_needs_its_commit(store: Repositories) -> None:
    for unknown in (MAIN, OTHER_TRACT):
        with pytest.raises(CommitNotFoundError):
            async for _ in store.histories.history(unknown.tract_id, UNKNOWN, NONE_KNOWN, None):
                pass


async def test_two_branches_written_in_one_group_stay_apart(store: Repositories) -> None:
    writes = [
        store.commits.write(branch, [draft(str(number))])
        for number in range(20)
        for branch in (MAIN, OTHER_BRANCH)
    ]
    records = [record for [record] in await asyncio.gather(*writes)]

    for branch, own in ((MAIN, records[::2]), (OTHER_BRANCH, records[1::2])):
        assert await store.histories.log(branch, limit=None) == own[::-1]


@pytest.mark.parametrize("length", [1, 4, 63, 64, 65, 200])
async def test_a_history_comes_whole_where_it_is_near_and_else_not_at_all(
    store: Repositories, length: int
) -> None:
    """An engine decides what is near; a few steps always are."""
    made = await say(store, MAIN, *map(str, range(length)))

    located = await store.histories.locate(MAIN, Position(), NONE_KNOWN)

    assert (located.head_hash, located.base_hash) == (made[-1], None)
    assert names(located.steps) in ([made] if length < 16 else [made, None])


async def test_the_nearest_known_ancestor_is_found_at_every_distance(store: Repositories) -> None:
    made = await say(store, MAIN, *map(str, range(200)))
    for distance in (0, 1, 3, 4, 5, 20, 63, 64, 65, 150):
        known = {made[199 - distance], made[199 - 160]}

        located = await store.histories.locate(MAIN, Position(), known)

        assert located.head_hash == made[-1]
        if located.steps is None:
            assert distance >= 16
            assert located.base_hash is None
        else:
            assert located.base_hash == made[199 - distance]
            assert names(located.steps) == made[200 - distance :]
        if distance:
            assert await steps_to(store, made[-1], *known) == (
                {made[199 - distance]},
                made[200 - distance :],
            )


async def test_that_the_head_itself_is_known_is_no_way_to_it(store: Repositories) -> None:
    first, second = await say(store, MAIN, "a", "b")

    assert await steps_to(store, second, first, second) == ({first}, [second])


async def test_a_commit_is_located_without_regard_to_the_branch(store: Repositories) -> None:
    made = await say(store, MAIN, *"abcdef")
    await say(store, OTHER_BRANCH, "x")

    located = await store.histories.locate(OTHER_BRANCH, Position(made[3]), NONE_KNOWN)

    assert (located.head_hash, names(located.steps)) == (made[3], made[:4])


async def test_steps_carry_what_the_fold_needs(store: Repositories) -> None:
    first, second = await store.commits.write(
        MAIN, [draft("a", config='{"t":1}'), edit("b", target=0)]
    )

    located = await store.histories.locate(MAIN, Position(), NONE_KNOWN)

    assert located.steps == [
        CommitStep(
            first.commit_hash, "append", None, "dialogue", draft("a").data, 7, "tests", '{"t":1}'
        ),
        CommitStep(
            second.commit_hash,
            "edit",
            first.commit_hash,
            "dialogue",
            draft("b").data,
            7,
            "tests",
            None,
        ),
    ]


async def test_a_history_of_thousands_comes_in_batches_complete_and_in_order(
    store: Repositories,
) -> None:
    made: list[str] = []
    for block in range(4):
        made += await say(store, MAIN, *(f"{block}.{number}" for number in range(800)))
        await say(store, OTHER_BRANCH, *(f"x{block}.{number}" for number in range(10)))

    assert await steps_to(store, made[-1]) == ({None}, made)
    assert await steps_to(store, made[-1], made[5]) == ({made[5]}, made[6:])
    log = await store.histories.log(MAIN, limit=None)
    assert [record.commit_hash for record in log] == made[::-1]
    batches = [batch async for batch in store.checks.stored(MAIN.tract_id, [made[-1], made[700]])]
    assert [item.record.commit_hash for batch in batches for item in batch] == made[::-1]
    assert len(batches) > 1


async def test_a_history_of_a_whole_number_of_batches_ends_there(store: Repositories) -> None:
    made = await say(store, MAIN, *map(str, range(2000)))

    assert await steps_to(store, made[-1]) == ({None}, made)
    batches = [batch async for batch in store.checks.stored(MAIN.tract_id, [made[-1]])]
    assert sum(map(len, batches)) == 2000


async def test_commits_a_microsecond_apart_are_all_met(engine: EngineUnderTest, place: str) -> None:
    async with engine.opened(place, ticking(step=1)) as store:
        made = await say(store, MAIN, *map(str, range(2100)))

        assert await steps_to(store, made[-1]) == ({None}, made)
        found = await stored(store, MAIN.tract_id, made[-1])
        assert [item.record.commit_hash for item in found] == made[::-1]


async def test_a_time_finds_the_newest_commit_of_the_branch_at_or_before_it(
    store: Repositories,
) -> None:
    a, b = await store.commits.write(MAIN, [draft("a"), draft("b")])
    [beside] = await store.commits.write(OTHER_BRANCH, [draft("x")])
    [c] = await store.commits.write(MAIN, [draft("c")])
    wanted = {-1: None, a.created_at - 1: None, 2**60: c.commit_hash}
    wanted |= {a.created_at: a.commit_hash, b.created_at - 1: a.commit_hash}
    wanted |= {b.created_at: b.commit_hash, beside.created_at: b.commit_hash}
    wanted |= {c.created_at - 1: b.commit_hash, c.created_at: c.commit_hash}

    found = {}
    for time in wanted:
        located = await store.histories.locate(MAIN, Position(at_time=time), NONE_KNOWN)
        found[time] = located.head_hash
    assert found == wanted


@pytest.mark.parametrize("beside", [0, 1, 30, 300])
async def test_a_time_is_found_however_far_the_branch_or_its_siblings_have_come_since(
    store: Repositories, beside: int
) -> None:
    """Even a time before the branch was forked."""
    texts = [draft(str(number)) for number in range(beside)]
    mine = await store.commits.write(MAIN, [draft(str(number)) for number in range(5)])
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    for _ in range(12):
        await store.commits.write(OTHER_BRANCH, texts)
        mine += await store.commits.write(MAIN, [draft("mine")])
    [theirs] = await store.commits.write(OTHER_BRANCH, [draft("theirs")])

    async def located(branch: BranchName, time: int) -> str | None:
        return await store.histories.find(branch, Position(at_time=time))

    for before, after in pairwise(mine):
        assert await located(MAIN, before.created_at) == before.commit_hash
        assert await located(MAIN, after.created_at - 1) == before.commit_hash
    assert await located(MAIN, mine[0].created_at - 1) is None
    assert await located(OTHER_BRANCH, mine[4].created_at) == mine[4].commit_hash
    assert await located(OTHER_BRANCH, theirs.created_at) == theirs.commit_hash


async def test_a_time_before_a_fork_finds_the_commits_of_its_origin(store: Repositories) -> None:
    a, b = await store.commits.write(MAIN, [draft("a"), draft("b")])
    await store.refs.fork(MAIN, OTHER_BRANCH.branch, b.commit_hash)
    [later] = await store.commits.write(MAIN, [draft("c")])
    position = Position(at_time=b.created_at - 1)
    unmoved = await store.histories.locate(OTHER_BRANCH, position, NONE_KNOWN)
    [own] = await store.commits.write(OTHER_BRANCH, [draft("d")])

    found = []
    for time in (a.created_at - 1, b.created_at - 1, b.created_at, later.created_at, 2**60):
        located = await store.histories.locate(OTHER_BRANCH, Position(at_time=time), NONE_KNOWN)
        found.append(located.head_hash)
    assert unmoved.head_hash == a.commit_hash
    reached = [a.commit_hash, b.commit_hash, b.commit_hash, own.commit_hash]
    assert found == [None, *reached]
    assert await store.histories.log(OTHER_BRANCH, limit=None) == [own, b, a]


async def test_annotations_come_oldest_first_and_from_the_branch_alone(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "a")
    [first] = await store.commits.write(MAIN, [annotation(entry, "one")])
    await store.refs.fork(MAIN, OTHER_BRANCH.branch, first.commit_hash)
    [second] = await store.commits.write(MAIN, [annotation(entry, "two"), edit("b", entry)][:1])
    [other] = await store.commits.write(OTHER_BRANCH, [annotation(entry, "three")])

    on_main = await store.histories.annotations(MAIN, entry)
    on_other = await store.histories.annotations(OTHER_BRANCH, entry)
    assert [item.record for item in on_main] == [first, second]
    assert [item.record for item in on_other] == [first, other]
    assert [item.data for item in on_main] == [draft("one").data, draft("two").data]


async def test_an_entry_without_annotations_has_none(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "a")
    await store.commits.write(MAIN, [edit("b", entry)])

    assert await store.histories.annotations(MAIN, entry) == []
    assert await store.histories.annotations(BranchName("agent", "never"), entry) == []


async def test_stored_gives_every_reachable_commit_once(store: Repositories) -> None:
    a, b = await say(store, MAIN, "a", "b")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch, b)
    [c] = await say(store, MAIN, "c")
    [d] = await say(store, OTHER_BRANCH, "d")
    [e] = hashes(await store.commits.write(MAIN, [merge_of(d)]))

    found = await stored(store, MAIN.tract_id, c, d)
    assert [item.record.commit_hash for item in found] == [d, c, b, a]
    assert [item.data for item in found] == [draft(text).data for text in "dcba"]
    assert {item.token_source for item in found} == {"tests"}
    merged = await stored(store, MAIN.tract_id, e)
    assert [item.record.commit_hash for item in merged] == [e, d, c, b, a]
    assert await stored(store, MAIN.tract_id) == []
    assert await stored(store, MAIN.tract_id, UNKNOWN) == []
    assert await stored(store, OTHER_TRACT.tract_id, e) == []


async def test_a_lost_blob_is_named_wherever_it_is_needed(store: Repositories) -> None:
    lost, kept = await store.commits.write(MAIN, [draft("lost"), draft("kept")])
    await store.damage.lose_blob(lost.content_hash)

    for needing in (
        store.blobs.get(MAIN.tract_id, lost.commit_hash),
        store.histories.steps(MAIN.tract_id, [lost.commit_hash]),
        steps_to(store, kept.commit_hash),
    ):
        with pytest.raises(BlobNotFoundError) as missing:
            await needing
        assert missing.value.content_hash == lost.content_hash
    found = await stored(store, MAIN.tract_id, kept.commit_hash)
    assert [item.data for item in found] == [draft("kept").data, None]


async def test_a_lost_blob_is_named_by_an_opening_that_remembers_nothing(
    shared: EngineUnderTest, place: str
) -> None:
    async with shared.opened(place, ticking()) as store:
        lost, _ = await store.commits.write(MAIN, [draft("lost"), draft("kept")])
        await store.damage.lose_blob(lost.content_hash)
    async with shared.opened(place, ticking()) as store:
        with pytest.raises(BlobNotFoundError) as missing:
            await store.histories.locate(MAIN, Position(), NONE_KNOWN)

    assert missing.value.content_hash == lost.content_hash


async def test_a_parent_that_is_not_there_ends_its_line(store: Repositories) -> None:
    made = await say(store, MAIN, "a", "b", "c", "d")
    await store.damage.lose_commit(made[1])

    found = await stored(store, MAIN.tract_id, made[3])
    assert [item.record.commit_hash for item in found] == [made[3], made[2]]


async def test_steps_of_commits_come_in_the_order_in_which_they_are_named(
    store: Repositories,
) -> None:
    a, b, c = await say(store, MAIN, *"abc")
    [foreign] = await say(store, OTHER_TRACT, "secret")

    assert names(await store.histories.steps(MAIN.tract_id, [c, a, b])) == [c, a, b]
    assert await store.histories.steps(MAIN.tract_id, []) == []
    located = await store.histories.locate(MAIN, Position(), NONE_KNOWN)
    assert await store.histories.steps(MAIN.tract_id, [a, b, c]) == located.steps
    with pytest.raises(TractError):
        await store.histories.steps(MAIN.tract_id, [foreign])


async def test_the_log_by_time_and_in_context_differ_where_a_merge_brought_older_commits(
    store: Repositories,
) -> None:
    [a] = await say(store, MAIN, "a")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    [theirs] = await say(store, OTHER_BRANCH, "theirs")
    [mine] = await say(store, MAIN, "mine")
    [merge] = hashes(await store.commits.write(MAIN, [merge_of(theirs)]))
    by_time, in_context = [merge, mine, theirs, a], [merge, theirs, mine, a]

    for limit in (None, 0, 1, 2, 3, 4, 5):
        newest = await store.histories.log(MAIN, limit=limit)
        assert hashes(newest) == by_time[:limit]
        last = await store.histories.log(MAIN, limit=limit, in_context=True)
        assert hashes(last) == in_context[:limit]
    for index, commit in enumerate(in_context):
        rest = await store.histories.log(MAIN, limit=None, before=commit, in_context=True)
        assert hashes(rest) == in_context[index + 1 :]
    assert await steps_to(store, merge) == ({None}, in_context[::-1])


@pytest.mark.parametrize("in_context", [False, True], ids=["by time", "in context"])
async def test_a_log_of_contents_is_the_log_with_the_content_of_each(
    store: Repositories, in_context: bool
) -> None:
    [a] = await say(store, MAIN, "a")
    await store.refs.fork(MAIN, "side", a)
    [_, lost] = await say(store, OTHER_BRANCH, "theirs", "lost")
    await say(store, MAIN, *(f"text {number}" for number in range(70)), "a")
    await store.commits.write(MAIN, [merge_of(lost)])
    await store.damage.lose_blob(draft("lost").content_hash)

    for limit, before in ((None, UNSET), (5, UNSET), (0, UNSET), (3, lost), (9, None)):
        log = await store.histories.log(MAIN, limit=limit, before=before, in_context=in_context)
        found = await store.histories.log_contents(
            MAIN, limit=limit, before=before, in_context=in_context
        )
        assert [row for row, _ in found] == log
        assert found == list(
            zip(log, await store.blobs.get_many(MAIN.tract_id, hashes(log)), strict=True)
        )
        assert [row.commit_hash for row, each in found if each.data is None] == [
            commit for commit in hashes(log) if commit == lost
        ]
    with pytest.raises(CommitNotFoundError):
        await store.histories.log_contents(MAIN, limit=1, before=UNKNOWN, in_context=in_context)


async def test_a_log_of_contents_is_that_of_its_own_tract_and_branch(store: Repositories) -> None:
    await say(store, MAIN, "ours")
    elsewhere = BranchName("another tract", MAIN.branch)
    await say(store, elsewhere, "theirs")

    for branch, texts in ((MAIN, ["ours"]), (elsewhere, ["theirs"])):
        found = await store.histories.log_contents(branch, limit=None)
        assert [each.data for _, each in found] == [draft(text).data for text in texts]
    assert await store.histories.log_contents(BranchName("none", "main"), limit=None) == []


async def test_nothing_is_before_the_moment_before_the_first(store: Repositories) -> None:
    [a] = await say(store, MAIN, "a")

    for before in (None, a):
        for in_context in (False, True):
            page = await store.histories.log(MAIN, limit=9, before=before, in_context=in_context)
            assert page == []
    with pytest.raises(CommitNotFoundError):
        await store.histories.log(MAIN, limit=9, before=UNKNOWN)


async def test_a_branch_that_has_to_be_there_is_missed_by_what_reads_it(
    store: Repositories,
) -> None:
    [entry] = await say(store, MAIN, "a")
    side = ExistingBranch(MAIN.tract_id, "side")

    for reading in (
        store.refs.head(side),
        store.histories.log(side, limit=1),
        store.histories.locate(side, Position(), NONE_KNOWN),
        store.histories.annotations(side, entry),
        store.queries.query(side, [], branch_only=True),
    ):
        with pytest.raises(BranchNotFoundError):
            await reading


async def test_what_is_known_is_not_given_again(store: Repositories) -> None:
    a, b, c = await say(store, MAIN, *"abc")

    located = await store.histories.locate(MAIN, Position(), {b, c})
    assert located == Located(c, None, c, ())
    located = await store.histories.locate(MAIN, Position(b), {a})
    assert (located.base_hash, names(located.steps)) == (a, [b])
    located = await store.histories.locate(MAIN, Position(None), NONE_KNOWN)
    assert located == Located(None, None, None, ())
