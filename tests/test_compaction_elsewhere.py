"""Compacted histories in copies, at other times and after erasures, and summarisers that end badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from support.counters import WordCounter
from tract import (
    AsyncTract,
    CompactionRequest,
    CompactionResult,
    CompactionTargetError,
    StorageError,
    ToolIOContent,
    TractStore,
)

WORDS = "word " * 20


@pytest_asyncio.fixture
async def store(target: Path | str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        yield store


async def talk(tract: AsyncTract, *numbers: int) -> None:
    for number in numbers:
        look = ToolIOContent(tool_name="look", direction="call", payload={}, call_id=f"c{number}")
        result = {"direction": "result", "payload": f"found {WORDS}"}
        await tract.user(f"question {number} {WORDS}")
        await tract.commit(look)
        await tract.commit(look.model_copy(update=result))
        await tract.assistant(f"answer {number} {WORDS}")


async def short(request: CompactionRequest) -> str:
    return "the summary"


async def shortened(tract: AsyncTract) -> list[str]:
    """Compact, clear and roll up; return the commits that did it."""
    await talk(tract, *range(5))
    done = [
        await tract.compact(short, keep_recent=4),
        await tract.clear_tool_results(keep=0),
        await tract.compact(short, keep_recent=2, roll_up=True),
    ]
    return [each.commit_hash for each in done if each is not None]


async def test_a_watch_yields_compactions_and_what_undoes_them(
    store: TractStore, target: Path | str
) -> None:
    """Here and in another store of the file, from before they were made and afterwards."""
    tract = store.tract("t")
    await talk(tract, *range(5))
    before = await tract.head()
    made = await shortened(tract)
    undone = await tract.expand(made[-1])
    expected = [*reversed([each.commit_hash for each in await tract.log(None)])]
    from_there = expected[expected.index(str(before)) + 1 :]

    async with TractStore.open(target, tokenizer=WordCounter()) as beside:
        for watcher in (tract, beside.tract("t")):
            seen = []
            async with asyncio.timeout(10):
                async for info in watcher.watch(after=before):
                    seen.append(info.commit_hash)
                    if info.commit_hash == undone.commit_hash:
                        break
            assert seen == from_there
            assert {*made} <= {*seen}


async def test_a_time_shows_what_a_branch_showed_then(store: TractStore) -> None:
    tract = store.tract("t")
    await talk(tract, 0, 1, 2)
    seen = [await tract.compile()]
    done = await tract.compact(short, keep_recent=1)
    assert done is not None
    seen.append(await tract.compile())
    await tract.expand(done.commit_hash)
    seen.append(await tract.compile())

    log = [*reversed(await tract.log(3))]
    for info, context in zip(log, seen, strict=True):
        there = await tract.compile(at_time=info.created_at)
        assert (there.messages, there.token_count) == (context.messages, context.token_count)
    before = await tract.compile(at_time=log[1].created_at - timedelta(microseconds=1))
    assert before.messages == seen[0].messages


async def test_a_branch_between_a_compaction_and_its_expansion_can_expand_it_itself(
    store: TractStore,
) -> None:
    tract = store.tract("t")
    await talk(tract, 0, 1, 2)
    whole = (await tract.compile()).messages
    done = await tract.compact(short, keep_recent=1)
    assert done is not None
    await tract.expand(done.commit_hash)
    side = await tract.fork("side", at_commit=done.commit_hash)
    assert (await side.compile()).messages != whole

    for _ in range(2):
        await side.expand(done.commit_hash)
        assert (await side.compile()).messages == whole
        await side.reset(done.commit_hash)


@pytest.mark.parametrize("way", ["copied", "exported", "imported"])
async def test_a_copy_of_a_compacted_branch_shows_the_same_and_expands(
    store: TractStore, tmp_path: Path, way: str
) -> None:
    tract = store.tract("t")
    made = await shortened(tract)
    assert len(made) == 3
    if way == "copied":
        await check_copy(tract, await store.copy_tract("t", "copy"), made)
        return
    await store.export(tmp_path / "exported.db")
    place = tmp_path / ("exported.db" if way == "exported" else "imported.db")
    async with TractStore.open(place, tokenizer=WordCounter()) as other:
        if way == "imported":
            await other.import_(tmp_path / "exported.db")
        await check_copy(tract, other.tract("t"), made)


async def check_copy(tract: AsyncTract, copy: AsyncTract, made: list[str]) -> None:
    one, other = await tract.compile(), await copy.compile()
    assert (one.head_hash, one.messages) == (other.head_hash, other.messages)
    victim = (await copy.compactions())[0].hidden[0]
    await copy.erase([victim], reason="asked for")
    assert (await copy.compile()).messages == one.messages

    for commit_hash in reversed(made):
        await copy.expand(commit_hash)

    whole = await copy.compile(aggregate_same_role=False)
    assert len(whole.messages) == 19
    assert victim not in whole.commit_hashes
    assert whole.token_count == WordCounter().count_messages(whole.to_dicts())
    assert (await copy.verify()).faults == ()


async def test_a_difference_shows_a_compaction_as_one_entry(store: TractStore) -> None:
    tract = store.tract("t")
    await talk(tract, 0, 1, 2)
    before = await tract.head()
    assert before is not None
    done = await tract.compact(short, keep_recent=1)
    assert done is not None
    expanded = await tract.expand(done.commit_hash)

    there = await tract.diff(before, done.commit_hash)
    back = await tract.diff(done.commit_hash, expanded.commit_hash)

    [summary] = there.entries
    assert (summary.commit_hash, summary.changes) == (done.commit_hash, ("added", "compacted"))
    assert summary.hides == done.hidden
    assert there.token_difference == done.tokens_after - done.tokens_before
    [undone] = back.entries
    assert (undone.commit_hash, undone.changes) == (done.commit_hash, ("expanded",))
    assert undone.hides == done.hidden
    assert back.token_difference == -there.token_difference
    [removed] = (await tract.diff(done.commit_hash, before)).entries
    assert (removed.changes, removed.hides) == (("removed", "expanded"), done.hidden)


async def test_a_difference_of_a_clearing_shows_what_it_cleared(store: TractStore) -> None:
    tract = store.tract("t")
    await talk(tract, 0, 1)
    before = await tract.head()
    done = await tract.clear_tool_results(keep=1)
    assert before is not None
    assert done is not None

    difference = await tract.diff(before, done.commit_hash)

    assert {each.commit_hash: each.changes for each in difference.entries} == {
        done.cleared[0]: ("edited",),
        done.commit_hash: ("added", "compacted"),
    }


class OddError(BaseException):
    """No `Exception`."""


async def test_whatever_a_summariser_raises_writes_nothing(store: TractStore) -> None:
    tract = store.tract("t")
    await talk(tract, 0, 1, 2)
    head = await tract.head()

    async def fail(request: CompactionRequest) -> str:
        raise OddError

    with pytest.raises(OddError):
        await tract.compact(fail, keep_recent=1)
    assert await tract.head() == head
    assert isinstance(await tract.compact(short, keep_recent=1), CompactionResult)


async def test_a_summariser_cannot_close_its_store(store: TractStore) -> None:
    tract = store.tract("t")
    await talk(tract, 0, 1, 2)
    head = await tract.head()

    async def close(request: CompactionRequest) -> str:
        await store.aclose()
        return "never"

    with pytest.raises(StorageError):
        await tract.compact(close, keep_recent=1)
    assert await tract.head() == head


@pytest.mark.parametrize("keep_recent", [0, 1, 2, 6, 100])
async def test_the_floor_is_what_is_left_without_all_that_may_be_hidden(
    store: TractStore, keep_recent: int
) -> None:
    tract = store.tract("t")
    await tract.system("be good")
    await talk(tract, 0, 1, 2)

    with pytest.raises(CompactionTargetError) as caught:
        await tract.plan_compaction(target_tokens=0, keep_recent=keep_recent)

    await tract.compact(None, keep_recent=keep_recent)
    left = await tract.compile(aggregate_same_role=False)
    assert caught.value.floor == left.token_count
