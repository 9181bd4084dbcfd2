"""What branches come to in figures: `diff` in tokens, `compare` and `stats`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.counters import WordCounter
from support.pictures import in_base64
from tract import (
    AsyncTract,
    BranchNotFoundError,
    CommitNotFoundError,
    ContextCompiler,
    DefaultContextCompiler,
    MediaPart,
    MessageContent,
    NativeContent,
    Priority,
    TextPart,
    TokenUsage,
    TractError,
    TractStore,
)


@pytest_asyncio.fixture
async def store(target: Path | str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        yield store


@pytest_asyncio.fixture
async def main(store: TractStore) -> AsyncTract:
    main = store.tract("t")
    await main.system("be brief", generation_config={"model": "shared"})
    await main.record_usage(TokenUsage(100, 10))
    return main


async def test_a_difference_in_tokens_is_that_of_the_compiled_contexts(main: AsyncTract) -> None:
    fork = await main.fork("experiment")
    await fork.user("one two three")
    await fork.assistant("four")
    await fork.record_usage(TokenUsage(9999))  # what is reported is not what is counted
    await main.tag("v1")
    difference = await main.diff("v1", "experiment")

    contexts = [(await tract.compile()).to_dicts() for tract in (main, fork)]
    shorter, longer = map(WordCounter().count_messages, contexts)
    assert difference.token_difference == longer - shorter > 0
    assert [entry.tokens_before for entry in difference.entries] == [None, None]
    back = await main.diff("experiment", "v1")
    assert back.token_difference == shorter - longer


async def test_hashes_tags_and_branches_can_be_compared_and_nothing_else(
    store: TractStore, main: AsyncTract
) -> None:
    head = await main.head()
    assert head is not None
    await main.tag("v1")
    foreign = await store.tract("other").user("x")

    assert (await main.diff(head, "v1")).entries == ()
    for unknown in ("nothing", "0" * 64, foreign.commit_hash):
        with pytest.raises(CommitNotFoundError):
            await main.diff("main", unknown)
        with pytest.raises(CommitNotFoundError):
            await main.diff(unknown, "main")


async def test_an_exploration_is_compared_since_it_parted(main: AsyncTract) -> None:
    warm, cold = await main.fork("warm"), await main.fork("cold")
    for tract, temperature, words in ((warm, 0.9, "so many words"), (cold, 0.1, "few")):
        config = {"model": "m", "temperature": temperature}
        await tract.assistant(words, generation_config=config)
        await tract.record_usage(TokenUsage(7, 3))
        await tract.user("thanks")
        await tract.assistant("bye", generation_config=config)
    one, other = await main.compare(["cold", "warm"])

    assert (one.branch, other.branch) == ("cold", "warm")
    assert [side.head_hash for side in (one, other)] == [await cold.head(), await warm.head()]
    assert (one.entries, other.entries) == (4, 4)
    assert other.token_count - one.token_count == 2
    assert one.token_count == (await cold.compile()).token_count
    assert one.generation_configs == ({"model": "m", "temperature": 0.1},)
    assert other.generation_configs == ({"model": "m", "temperature": 0.9},)
    assert one.usage == TokenUsage(107, 13, 120)
    assert one.usage_since_fork == TokenUsage(7, 3, 10)
    assert one.last_message is not None
    assert one.last_message.content == "bye"


async def test_a_comparison_sees_what_a_merge_brought(main: AsyncTract) -> None:
    side, fork = await main.fork("side"), await main.fork("fork")
    await side.user("x", generation_config={"n": 1})
    await main.user("y", generation_config={"n": 2})
    await main.merge("side")
    merged, alone = await main.compare(["main", "fork"])

    assert [config["n"] for config in merged.generation_configs] == [1, 2]
    assert merged.entries == 3
    assert alone.generation_configs == ()
    assert alone.head_hash == await fork.head()


async def test_a_branch_alone_is_seen_since_it_parted_from_the_one_that_asks(
    main: AsyncTract,
) -> None:
    await main.user("shared", generation_config={"n": 0})
    side = await main.fork("side")
    await side.user("own", generation_config={"n": 1})

    [seen_from_main] = await main.compare(["side"])
    assert seen_from_main.generation_configs == ({"n": 1},)
    [seen_from_itself] = await side.compare(["side"])
    assert {"n": 0} in seen_from_itself.generation_configs
    assert {"n": 1} in seen_from_itself.generation_configs


async def test_compared_branches_are_counted_alike_whatever_an_api_reported(
    main: AsyncTract,
) -> None:
    side = await main.fork("side")
    await side.user("a few words")
    counted = (await side.compile()).token_count
    await side.record_usage(TokenUsage(100_000, 1))

    assert (await side.compile()).token_count == 100_000
    assert [one.token_count for one in await main.compare(["side", "side"])] == [counted] * 2


async def test_nothing_and_what_is_not_there_are_compared(
    store: TractStore, main: AsyncTract
) -> None:
    assert await main.compare([]) == []
    with pytest.raises(BranchNotFoundError):
        await main.compare(["main", "nothing"])
    with pytest.raises(BranchNotFoundError):
        await store.tract("empty").compare(["nothing"])


async def test_a_main_without_commits_is_compared_as_empty(store: TractStore) -> None:
    [alone] = await store.tract("empty").compare(["main"])

    assert alone.head_hash is None
    assert alone.token_count == 0


async def test_a_callers_change_to_a_comparison_reaches_nobody(main: AsyncTract) -> None:
    await main.fork("warm")
    await main.user("a", generation_config={"stop": ["x"]})
    [first, _] = await main.compare(["main", "warm"])
    first.generation_configs[0]["stop"].append("y")

    [again, _] = await main.compare(["main", "warm"])
    assert again.generation_configs == ({"stop": ["x"]},)


async def test_the_size_of_a_branch_counts_each_blob_once(main: AsyncTract) -> None:
    first = await main.user("same")
    await main.user("same")
    await main.annotate(first.commit_hash, Priority.SKIP)
    side = await main.fork("side")
    await side.user("more")
    await main.user("other")
    await main.merge("side")
    stats = await main.stats()
    contents = {info.content_hash for info in await main.log(None)}
    context = await main.compile()

    assert (stats.commits, stats.blobs) == (7, len(contents))
    assert stats.blobs == 6
    assert (stats.entries, stats.tokens) == (context.commit_count, context.token_count)
    assert (await side.stats()).commits == 5
    assert stats.bytes > (await side.stats()).bytes > 0


async def test_the_size_of_a_branch_has_its_attachments_apart(main: AsyncTract) -> None:
    picture, other = b"picture" * 1000, b"other" * 1000
    side = await main.fork("side")
    shown = MediaPart(kind="image", data=picture)
    first = await main.commit(MessageContent(role="user", parts=(shown,)))
    await main.commit(MessageContent(role="user", parts=(shown, TextPart(text="again"))))
    bare = await main.stats()
    item = {"type": "input_image", "image_url": f"data:image/png;base64,{in_base64(other)}"}
    await main.commit(
        NativeContent(api="openai.responses", item={"role": "user", "content": [item]}),
        operation="edit",
        edit_target=first.commit_hash,
    )
    stats = await main.stats()

    assert (bare.attachments, bare.attachment_bytes) == (1, len(picture))
    assert (stats.attachments, stats.attachment_bytes) == (2, len(picture) + len(other))
    assert stats.bytes < 2000
    assert (await side.stats()).attachments == 0


async def test_an_empty_branch_has_no_size(store: TractStore) -> None:
    stats = await store.tract("empty").stats()

    assert (stats.commits, stats.entries, stats.blobs, stats.bytes) == (0, 0, 0, 0)


class Plain:
    """A compiler of the protocol alone, with snapshots of its own kind."""

    def __init__(self) -> None:
        self._inner = DefaultContextCompiler(WordCounter())

    def empty(self) -> Any:
        return _Wrapped(self._inner.empty())

    def fold(self, snapshot: Any, steps: Any) -> Any:
        return _Wrapped(self._inner.fold(snapshot.inner, steps))

    def view(self, snapshot: Any, usage: Any = None, **options: Any) -> Any:
        return self._inner.view(snapshot.inner, usage, **options)


class _Wrapped:
    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.head_hash = inner.head_hash
        self.nbytes = inner.nbytes


async def test_a_compiler_without_entries_is_told_what_it_cannot_do(target: Path | str) -> None:
    """It can fork, fast-forward, squash, pick, compare and count all the same."""
    compiler: ContextCompiler = Plain()
    async with TractStore.open(target, compiler=compiler) as store:
        main = store.tract("t")
        await main.user("a")
        fork = await main.fork("fork")
        await fork.user("b")
        with pytest.raises(TractError, match="default compiler"):
            await main.diff("main", "fork")
        await main.user("c")
        before = await main.head()
        with pytest.raises(TractError, match="default compiler"):
            await main.merge("fork")
        assert await main.head() == before

        await main.merge("fork", squash={"content_type": "freeform", "payload": 1})
        await main.cherry_pick("fork")
        [compared, _] = await main.compare(["main", "fork"])
        assert compared.entries == (await main.stats()).entries == 4
        await (await main.fork("ahead")).user("d")
        await main.merge("ahead")
        assert (await main.compile()).commit_count == 5


async def test_reports_for_other_branches_do_not_count_however_many_there_are(
    store: TractStore, main: AsyncTract
) -> None:
    side = await main.fork("side")
    await side.user("one")
    await side.record_usage(TokenUsage(1, 2))
    for number in range(12):
        await main.user(str(number))
        await main.record_usage(TokenUsage(1000))

    [compared] = await side.compare(["side"])
    assert compared.usage == TokenUsage(101, 12, 113)
