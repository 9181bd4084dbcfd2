"""The spool: parts of open streams, added, listed, ended and deleted."""

from __future__ import annotations

import asyncio

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft
from support.repositories import NONE_KNOWN, UNKNOWN, Repositories, everything, hashes, say
from tract import UNSET, EditTargetError, HeadMovedError, StreamRecoveredError, TokenUsage
from tract.storage.repositories import (
    BranchName,
    Position,
    SpooledStream,
    SpoolPart,
    StreamEnd,
    StreamFate,
    StreamName,
)

STREAM = StreamName(MAIN, "s1")
OTHER = StreamName(OTHER_BRANCH, "s2")
ELSEWHERE = StreamName(BranchName("another tract", "main"), "s1")


OWNER = "somebody"


async def test_parts_are_read_in_order_and_by_stream(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [["text", "a"]])])
    await store.spools.save(
        OWNER,
        [SpoolPart(STREAM, 1, [["text", "b"], ["id", "x"]]), SpoolPart(OTHER, 0, [["text", "c"]])],
    )

    assert await store.spools.fragments(STREAM) == [["text", "a"], ["text", "b"], ["id", "x"]]
    assert await store.spools.fragments(OTHER) == [["text", "c"]]
    assert await store.spools.fragments(ELSEWHERE) == []


async def test_every_stream_is_listed_once_with_its_owner(store: Repositories) -> None:
    assert await store.spools.spooled() == []

    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, []), SpoolPart(STREAM, 1, [])])
    await store.spools.save(OWNER, [SpoolPart(ELSEWHERE, 0, [])])

    listed = await store.spools.spooled()
    assert [(item.stream, item.owner) for item in listed] == [
        (STREAM, "somebody"),
        (ELSEWHERE, "somebody"),
    ]


async def test_a_part_that_comes_again_takes_the_place_of_the_first(
    store: Repositories,
) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [["text", "a"]])])
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [["text", "ab"]])])

    assert await store.spools.fragments(STREAM) == [["text", "ab"]]


async def test_a_sign_of_life_is_noted(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, []), SpoolPart(OTHER, 0, [])])
    before = {item.stream: item.updated_at for item in await store.spools.spooled()}

    await store.spools.save(OWNER, [], [STREAM])

    after = {item.stream: item.updated_at for item in await store.spools.spooled()}
    assert after[STREAM] > before[STREAM]
    assert after[OTHER] == before[OTHER]


async def test_dropping_a_stream_leaves_the_others(store: Repositories) -> None:
    parts = [SpoolPart(stream, 0, [["text", "a"]]) for stream in (STREAM, OTHER, ELSEWHERE)]
    await store.spools.save(OWNER, parts)
    await store.spools.drop(STREAM)
    await store.spools.drop(STREAM)

    assert {item.stream for item in await store.spools.spooled()} == {OTHER, ELSEWHERE}


async def test_dropping_what_is_not_there_does_nothing(store: Repositories) -> None:
    await store.spools.drop(STREAM)

    assert await store.spools.spooled() == []
    assert await store.spools.fragments(STREAM) == []


async def test_saving_nothing_leaves_nothing(store: Repositories) -> None:
    await store.spools.save(OWNER, [])
    await store.spools.save(OWNER, [], [STREAM])

    assert await store.spools.spooled() == []


async def test_streams_are_listed_by_their_last_sign_oldest_first(store: Repositories) -> None:
    for stream in (STREAM, OTHER, ELSEWHERE):
        await store.spools.save(OWNER, [SpoolPart(stream, 0, [])])
    await store.spools.save(OWNER, [], [STREAM])

    listed = await store.spools.spooled()
    assert [item.stream for item in listed] == [OTHER, ELSEWHERE, STREAM]
    times = [item.updated_at for item in listed]
    assert times == sorted(times)


@pytest.mark.parametrize(
    "fragments", [[], [None], [0, 1.5, True], ["\u2028\U0001f600\0"], [{"a": [{"b": "c"}]}] * 3]
)
async def test_fragments_are_any_json_and_come_back_as_they_were(
    store: Repositories, fragments: list[object]
) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, fragments), SpoolPart(STREAM, 1, [1])])

    assert await store.spools.fragments(STREAM) == [*fragments, 1]


async def test_parts_come_in_order_of_their_numbers_however_many(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [0])])
    parts = [SpoolPart(STREAM, number, [number]) for number in range(1, 120)]
    await asyncio.gather(*(store.spools.save(OWNER, [part]) for part in reversed(parts)))

    assert await store.spools.fragments(STREAM) == [*range(120)]


# streams that end


async def test_ending_a_stream_commits_and_drops_it_and_keeps_its_usage(
    store: Repositories,
) -> None:
    [sent] = await say(store, MAIN, "sent")
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, []), SpoolPart(OTHER, 0, [])])
    usage = (TokenUsage(7, 2, 9), '{"prompt_tokens":7}')
    ending = StreamEnd(STREAM, head_hash=sent, usage=usage)
    records = await store.commits.write(MAIN, [draft("said"), draft("more")], ending=ending)

    assert [record.parent_hash for record in records] == [sent, records[0].commit_hash]
    assert [item.stream for item in await store.spools.spooled()] == [OTHER]
    located = await store.histories.locate(MAIN, Position(sent), NONE_KNOWN)
    assert located.usage == usage[0]


async def test_a_stream_that_comes_to_nothing_ends_all_the_same(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [])])

    assert await store.commits.write(MAIN, [], ending=StreamEnd(STREAM)) == []
    assert await store.spools.spooled() == []


async def test_ending_a_stream_that_fails_drops_nothing(store: Repositories) -> None:
    [sent] = await say(store, MAIN, "sent")
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [["text", "a"]])])
    before = await everything(store)
    ending = StreamEnd(STREAM, head_hash=sent, usage=(TokenUsage(7, 2, 9), "{}"))

    with pytest.raises(EditTargetError):
        await store.commits.write(MAIN, [draft("said", target=UNKNOWN)], ending=ending)
    with pytest.raises(HeadMovedError):
        await store.commits.write(MAIN, [draft("said")], expected_head=None, ending=ending)
    assert await everything(store) == before
    assert await store.spools.fragments(STREAM) == [["text", "a"]]
    assert (await store.histories.locate(MAIN, Position(), NONE_KNOWN)).usage is None


async def listed(store: Repositories) -> SpooledStream:
    [spooled] = await store.spools.spooled()
    return spooled


async def test_a_claim_on_what_is_there_commits_it(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [])])
    ending = StreamEnd(STREAM, claim=await listed(store))
    records = await store.commits.write(MAIN, [draft("said")], ending=ending)

    assert hashes(await store.histories.log(MAIN, limit=None)) == hashes(records)
    assert await store.spools.spooled() == []


async def test_a_claim_on_what_is_gone_commits_nothing(store: Repositories) -> None:
    [sent] = await say(store, MAIN, "sent")
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [])])
    claim = await listed(store)
    await store.spools.drop(STREAM)
    ending = StreamEnd(STREAM, claim=claim, head_hash=sent, usage=(TokenUsage(7, 2, 9), "{}"))

    assert await store.commits.write(MAIN, [draft("said")], ending=ending) == []
    assert hashes(await store.histories.log(MAIN, limit=None)) == [sent]
    assert (await store.histories.locate(MAIN, Position(), NONE_KNOWN)).usage is None


SIGNS = pytest.mark.parametrize(
    ("parts", "touched"), [([SpoolPart(STREAM, 1, [1])], []), ([], [STREAM])], ids=["part", "touch"]
)


@SIGNS
async def test_a_claim_on_what_has_had_a_sign_of_life_since_commits_and_drops_nothing(
    store: Repositories, parts: list[SpoolPart], touched: list[StreamName]
) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [0])])
    claim = await listed(store)
    assert await store.spools.save(OWNER, parts, touched) == []

    assert (
        await store.commits.write(MAIN, [draft("a")], ending=StreamEnd(STREAM, claim=claim)) == []
    )
    await store.spools.drop(STREAM, claim)

    assert await store.histories.log(MAIN, limit=None) == []
    assert await store.spools.fragments(STREAM) == [0, *([1] if parts else [])]

    await store.spools.drop(STREAM, await listed(store))
    assert await store.spools.spooled() == []


async def test_of_many_claims_at_once_one_is_granted(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [])])
    ending = StreamEnd(STREAM, claim=await listed(store))
    claims = [
        store.commits.write(MAIN, [draft(str(number))], ending=ending) for number in range(10)
    ]

    assert sorted(map(len, await asyncio.gather(*claims))) == [0] * 9 + [1]


# owners


async def test_of_what_another_owns_nothing_is_saved(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, ["ours"]), SpoolPart(OTHER, 0, [])])
    before = await store.spools.spooled()
    theirs = [SpoolPart(STREAM, 0, ["x"]), SpoolPart(STREAM, 1, ["y"]), SpoolPart(ELSEWHERE, 0, [])]

    assert await store.spools.save("another", theirs, [OTHER]) == [STREAM, STREAM, OTHER]
    assert [*await store.spools.spooled()][:2] == before
    assert await store.spools.fragments(STREAM) == ["ours"]
    assert {item.stream: item.owner for item in await store.spools.spooled()} == {
        STREAM: OWNER,
        OTHER: OWNER,
        ELSEWHERE: "another",
    }


@SIGNS
async def test_of_what_is_gone_nothing_is_saved(
    store: Repositories, parts: list[SpoolPart], touched: list[StreamName]
) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [])])
    await store.spools.drop(STREAM)

    assert await store.spools.save(OWNER, parts, touched) == [STREAM]
    assert await store.spools.spooled() == []


async def test_its_owner_ends_a_stream_once(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [])])
    ending = StreamEnd(STREAM, OWNER)
    records = await store.commits.write(MAIN, [draft("said")], ending=ending)

    with pytest.raises(StreamRecoveredError):
        await store.commits.write(MAIN, [draft("said")], ending=ending)
    assert hashes(await store.histories.log(MAIN, limit=None)) == hashes(records)


async def test_another_cannot_end_a_stream_without_a_claim(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, ["text"])])

    with pytest.raises(StreamRecoveredError) as caught:
        await store.commits.write(MAIN, [draft("said")], ending=StreamEnd(STREAM, "another"))
    assert (caught.value.tract_id, caught.value.branch) == MAIN[:2]
    assert await store.histories.log(MAIN, limit=None) == []
    assert await store.spools.fragments(STREAM) == ["text"]


async def test_what_its_owner_releases_is_nobodys(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, []), SpoolPart(STREAM, 1, [])])
    await store.spools.save(OWNER, [SpoolPart(OTHER, 0, [])])
    await store.spools.release("another", [STREAM, OTHER])
    await store.spools.release(OWNER, [STREAM, ELSEWHERE])
    await store.spools.release(OWNER, [])

    owners = [(item.stream, item.owner) for item in await store.spools.spooled()]
    assert owners == [(STREAM, ""), (OTHER, OWNER)]
    assert await store.spools.save(OWNER, [SpoolPart(STREAM, 2, [])]) == [STREAM]


async def test_a_spool_makes_no_branch_and_no_tract(store: Repositories) -> None:
    await store.spools.save(OWNER, [SpoolPart(StreamName(OTHER_TRACT, "s"), 0, ["text"])])

    assert await store.tracts.ids() == []
    assert await store.refs.branches(OTHER_TRACT.tract_id) == []


async def test_a_stream_that_was_given_up_is_no_longer_its_owners_to_write(
    store: Repositories,
) -> None:
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [0])])
    await store.spools.release(OWNER, [STREAM])

    assert await store.spools.save(OWNER, [SpoolPart(STREAM, 1, [1])]) == [STREAM]
    assert await store.spools.fragments(STREAM) == [0]


# fates


async def test_a_fate_tells_what_was_committed_of_a_stream(store: Repositories) -> None:
    fate = StreamFate()
    with pytest.raises(HeadMovedError):
        await store.commits.write(
            MAIN, [draft("said")], expected_head=UNKNOWN, ending=StreamEnd(STREAM, fate=fate)
        )
    assert (fate.saved, fate.ended) == (None, False)
    assert await store.spools.save(OWNER, [SpoolPart(STREAM, 1, [], fate)]) == [STREAM]
    assert (fate.saved, fate.ended) == (None, False)

    parts = [SpoolPart(STREAM, number, ["a"] * number, fate) for number in range(3)]
    await store.spools.save(OWNER, parts[:1])
    assert (fate.saved, fate.ended) == (parts[0], False)
    await store.spools.save(OWNER, parts[1:])
    assert (fate.saved, fate.ended) == (parts[2], False)
    await store.commits.write(MAIN, [draft("said")], ending=StreamEnd(STREAM, OWNER, fate=fate))
    assert (fate.saved, fate.ended) == (parts[2], True)


async def test_of_a_stream_that_has_ended_nothing_is_saved(store: Repositories) -> None:
    fate = StreamFate()
    await store.commits.write(MAIN, [draft("said")], ending=StreamEnd(STREAM, OWNER, fate=fate))
    parts = [SpoolPart(STREAM, 0, ["said"], fate), SpoolPart(OTHER, 0, ["x"], StreamFate())]

    assert await store.spools.save(OWNER, parts) == []
    assert [item.stream for item in await store.spools.spooled()] == [OTHER]


@pytest.mark.parametrize("refused", [False, True], ids=["committed", "refused"])
@pytest.mark.parametrize("saved", [0, 1], ids=["unsaved", "saved"])
async def test_a_stream_is_either_ended_or_saved_wherever_its_end_is_cancelled(
    store: Repositories, saved: int, refused: bool
) -> None:
    expected = UNKNOWN if refused else UNSET
    for turns in range(12):
        fate = StreamFate()
        stream = StreamName(BranchName(f"tract {turns}", "main"), f"s{turns}")
        parts = [SpoolPart(stream, number, [number], fate) for number in range(saved + 1)]
        await store.spools.save(OWNER, parts[:saved])
        ending = StreamEnd(stream, OWNER, fate=fate)
        writing = asyncio.create_task(
            store.commits.write(
                stream.branch, [draft("said")], expected_head=expected, ending=ending
            )
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        assert await store.spools.save(OWNER, parts[saved:]) == []

        made = await store.histories.log(stream.branch, limit=None)
        kept = await store.spools.fragments(stream)
        assert (len(made), kept) == ((1, []) if fate.ended else (0, [*range(saved + 1)])), turns
        assert not (refused and fate.ended)


async def test_a_save_that_was_cancelled_comes_again_and_takes_its_place(
    store: Repositories,
) -> None:
    for turns in range(12):
        stream, fate = StreamName(MAIN, f"s{turns}"), StreamFate()
        saving = asyncio.create_task(store.spools.save(OWNER, [SpoolPart(stream, 0, ["a"], fate)]))
        for _ in range(turns):
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait([saving])
        again = SpoolPart(stream, 0, ["a", "b"], fate)
        if fate.saved and turns % 2:  # it was recovered meanwhile
            await store.spools.drop(stream)
            assert await store.spools.save(OWNER, [again]) == [stream]
            assert await store.spools.fragments(stream) == []
        else:
            assert await store.spools.save(OWNER, [again]) == []
            assert await store.spools.fragments(stream) == ["a", "b"]


async def test_an_owner_must_still_own_what_the_fate_says_was_saved(store: Repositories) -> None:
    fate = StreamFate()
    await store.spools.save(OWNER, [SpoolPart(STREAM, 0, [], fate)])
    await store.spools.drop(STREAM)

    with pytest.raises(StreamRecoveredError):
        await store.commits.write(MAIN, [draft("said")], ending=StreamEnd(STREAM, OWNER, fate=fate))
    assert not fate.ended
    assert await store.histories.log(MAIN, limit=None) == []
