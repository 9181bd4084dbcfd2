"""Calls that write again what was stored: what is erased before they have written stays erased."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from support.counters import WordCounter
from support.meanwhile import Interruption
from tract import (
    AsyncTract,
    CommitInfo,
    CommitNotFoundError,
    CompactionRequest,
    EditTargetError,
    MergeConflict,
    MergeKind,
    TractStore,
)

MARK = "xyzzy"


class Openings(NamedTuple):
    """A store that is open twice."""

    one: TractStore
    two: TractStore


@pytest.fixture
async def openings(target: Path | str) -> AsyncIterator[Openings]:
    async with (
        TractStore.open(target, tokenizer=WordCounter()) as one,
        TractStore.open(target, tokenizer=WordCounter()) as two,
    ):
        yield Openings(one, two)


async def everything_said(store: TractStore) -> str:
    """Return all that stands in the commits of a store, whatever branch has them."""
    said: list[object] = []
    for tract_id in await store.tract_ids():
        tract = store.tract(tract_id)
        infos = await tract.query()
        said += infos
        said += await tract.get_contents([info.commit_hash for info in infos])
    return repr(said)


def erasing(store: TractStore, *told: CommitInfo) -> Callable[[], Awaitable[object]]:
    """Return what erases commits through another opening."""
    hashes = [info.commit_hash for info in told]
    return lambda: store.tract("t").erase(hashes, reason="asked")


async def tell(tract: AsyncTract) -> CommitInfo:
    """Commit a secret, in all places."""
    secret = {"of": MARK}
    return await tract.user(MARK, message=MARK, metadata=secret, generation_config=secret)


async def talk(tract: AsyncTract) -> None:
    """Commit some turns, so that there is something to shorten."""
    for number in range(4):
        await tract.user(f"question {number}")
        await tract.assistant(f"answer {number}")


async def test_what_is_erased_before_a_pick_is_written_is_not_picked(openings: Openings) -> None:
    one, two = openings
    main = one.tract("t")
    await main.user("hello")
    told = await tell(await main.fork("side"))
    Interruption(one, erasing(two, told), "land")

    with pytest.raises(EditTargetError, match="was erased"):
        await main.cherry_pick(told.commit_hash)

    assert MARK not in await everything_said(one)
    assert len(await main.log()) == 1


async def test_a_pick_does_not_begin_a_tract_anew_that_was_erased(openings: Openings) -> None:
    one, two = openings
    main = one.tract("t")
    await main.user("hello")
    told = await tell(await main.fork("side"))
    Interruption(one, lambda: two.erase_tract("t", reason="asked"), "land")

    with pytest.raises(CommitNotFoundError):
        await main.cherry_pick(told.commit_hash)

    assert await one.tract_ids() == []


async def test_a_pick_of_a_compaction_does_not_bring_back_its_erased_summary(
    openings: Openings,
) -> None:
    one, two = openings
    main = one.tract("t")
    await talk(main)
    side = await main.fork("side")
    made = await side.compact(lambda _: MARK, keep_recent=1)
    assert made is not None
    summary = await main.get_commit(made.commit_hash)
    assert summary is not None
    Interruption(one, erasing(two, summary), "land_on")

    with pytest.raises(EditTargetError, match="was erased"):
        await main.cherry_pick(made.commit_hash)

    assert MARK not in await everything_said(one)


def ours(conflict: MergeConflict) -> str:
    return "ours"


@pytest.mark.parametrize("way", ["ours", ours], ids=["a word", "a function"])
async def test_a_merge_does_not_restate_what_is_erased_before_it_is_written(
    openings: Openings, way: object
) -> None:
    one, two = openings
    main = one.tract("t")
    entry = (await main.user("entry")).commit_hash
    side = await main.fork("side")
    config = {"of": MARK}
    told = await main.user(MARK, operation="edit", edit_target=entry, generation_config=config)
    await side.user("theirs", operation="edit", edit_target=entry)
    interruption = Interruption(one, erasing(two, told))

    merged = await main.merge("side", on_conflict=way)  # type: ignore[arg-type]

    assert interruption.attempts == 2
    assert merged.kind is MergeKind.MERGE
    assert MARK not in await everything_said(one)
    assert (await main.compile()).messages == []
    assert not (await main.verify()).faults


async def test_a_compaction_is_summarised_again_if_its_entries_are_erased_meanwhile(
    openings: Openings,
) -> None:
    one, two = openings
    main = one.tract("t")
    told = await main.user(MARK)
    await talk(main)
    requests: list[CompactionRequest] = []

    def repeat(request: CompactionRequest) -> str:
        requests.append(request)
        return request.context.messages[0].content or "nothing"

    Interruption(one, erasing(two, told))

    made = await main.compact(repeat, keep_recent=1)

    assert made is not None
    assert len(requests) == 2
    assert MARK not in await everything_said(one)


async def test_an_erasure_of_something_else_delays_a_merge_and_a_compaction_only(
    openings: Openings,
) -> None:
    one, two = openings
    main = one.tract("t")
    await talk(main)
    lost = await tell(await main.fork("lost"))
    side = await main.fork("side")
    await side.user("aside")
    await main.user("here")
    Interruption(one, erasing(two, lost))

    merged = await main.merge("side")

    assert merged.kind is MergeKind.MERGE
    another = await tell(main.on("lost"))
    Interruption(one, erasing(two, another))
    asked = 0

    def count(_: CompactionRequest) -> str:
        nonlocal asked
        asked += 1
        return "in short"

    assert await main.compact(count, keep_recent=1) is not None
    assert asked == 1
