"""Token counts of contexts with media, thinking and tools: what is in them, what is named, what apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.pictures import API, in_base64, item_of, png, with_plain
from tract import (
    AsyncTract,
    BaseTokenCounter,
    BudgetExceededError,
    MediaPart,
    MessageContent,
    NativeContent,
    NullTokenCounter,
    TextPart,
    ThinkingPart,
    TiktokenCounter,
    TokenBudgetConfig,
    TokenCounter,
    TractConfig,
    Uncounted,
)

PICTURE = png(1024, 1024, b"x" * 1_000)
SHOWING = MessageContent(
    role="user", parts=(TextPart(text="look"), MediaPart(kind="image", data=PICTURE))
)
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


class Words:
    """A counter of somebody's own, without sums."""

    source = "words"

    def count_text(self, text: str) -> int:
        return len(text.split())

    def count_messages(self, messages: Sequence[dict[str, Any]]) -> int:
        return sum(self.count_text(message["content"] or "") for message in messages)


class Cheap(TiktokenCounter):
    """Knows what images cost its model."""

    def count_media(self, part: MediaPart, api: str | None = None) -> int | None:
        return 7 if part.kind in ("image", "audio") else None


COUNTERS = [TiktokenCounter(), Words(), Cheap(), NullTokenCounter()]


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: type(counter).__name__)
async def test_texts_alone_count_as_the_counter_counts_the_list(
    counter: TokenCounter, target: Path | str
) -> None:
    async with AsyncTract.open(target, tokenizer=counter) as tract:
        await tract.system("be brief")
        await tract.user("hello there")
        await tract.commit(MessageContent(role="user", parts=(TextPart(text="in parts"),)))
        await tract.user("again")
        for joining in (True, False):
            context = await tract.compile(aggregate_same_role=joining)

            assert context.token_count == counter.count_messages(context.to_dicts())
            assert (context.uncounted, context.tool_tokens) == ([], 0)


@pytest.mark.parametrize(
    ("counter", "image"),
    [(TiktokenCounter(), 765), (Words(), 765), (Cheap(), 7), (NullTokenCounter(), 0)],
    ids=lambda value: type(value).__name__,
)
async def test_images_and_thinking_are_added_to_the_count_of_the_list(
    counter: TokenCounter, image: int, target: Path | str
) -> None:
    thinking = ThinkingPart(text="let me see")
    async with AsyncTract.open(target, tokenizer=counter) as tract:
        await tract.user("hello")
        made = await tract.commit(SHOWING)
        await tract.commit(MessageContent(role="assistant", parts=(thinking, TextPart(text="a"))))
        added = image + counter.count_text("let me see")
        for joining in (True, False):
            context = await tract.compile(aggregate_same_role=joining)
            listed = counter.count_messages(context.to_dicts())

            assert context.token_count == listed + added
        assert made.token_count == image + counter.count_text("look")
        assert context.uncounted == []
        assert (await tract.verify()).faults == ()


async def test_a_skipped_or_edited_image_no_longer_counts(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=TiktokenCounter()) as tract:
        first = await tract.commit(SHOWING)
        second = await tract.commit(SHOWING)
        both = (await tract.compile()).token_count
        await tract.annotate(first.commit_hash, "skip")
        one = (await tract.compile()).token_count
        await tract.user("look", operation="edit", edit_target=second.commit_hash)
        none = await tract.compile()

    assert both - one == 765 + 1 + 4
    assert one - none.token_count == 765
    assert none.token_count == TiktokenCounter().count_messages(none.to_dicts())


async def test_base64_is_not_tokenised(target: Path | str) -> None:
    noise = {"role": "user", "text": "look", "media": [], "x": {"data": in_base64(PICTURE * 50)}}
    with with_plain():
        async with AsyncTract.open(target, tokenizer=TiktokenCounter()) as tract:
            await tract.commit(NativeContent(api=API, item=item_of("look", PICTURE)))
            await tract.commit(NativeContent(api=API, item=noise))
            context = await tract.compile()

    assert context.token_count == TiktokenCounter().count_messages(context.to_dicts()) + 765


async def test_what_has_no_formula_is_named_with_its_entry(target: Path | str) -> None:
    sound = MediaPart(kind="audio", data=b"RIFF")
    async with AsyncTract.open(target, tokenizer=TiktokenCounter()) as tract:
        first = await tract.commit(MessageContent(role="user", parts=(sound,)))
        second = await tract.commit(
            MessageContent(
                role="assistant",
                parts=(ThinkingPart(encrypted="x"), MediaPart(kind="image", url="https://x")),
            )
        )
        third = await tract.commit(NativeContent(api="of.nobody", item={"type": "novelty"}))
        skipped = await tract.commit(MessageContent(role="user", parts=(sound,)))
        await tract.annotate(skipped.commit_hash, "skip")
        context = await tract.compile()
        counted = await tract.record_usage({"prompt_tokens": 900, "completion_tokens": 1})

    assert context.uncounted == [
        Uncounted(first.commit_hash, "audio"),
        Uncounted(second.commit_hash, "thinking"),
        Uncounted(second.commit_hash, "image"),
        Uncounted(third.commit_hash, "novelty"),
    ]
    assert (counted.token_count, counted.uncounted) == (900, [])


async def test_a_counter_of_ones_own_counts_what_it_knows(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=Cheap()) as tract:
        parts = (MediaPart(kind="audio", data=b"RIFF"), MediaPart(kind="video", data=b"x"))
        made = await tract.commit(MessageContent(role="user", parts=parts))
        context = await tract.compile()

    assert made.token_count == 7
    assert context.uncounted == [Uncounted(made.commit_hash, "video")]


@pytest.mark.parametrize("counter", [TiktokenCounter(), Words()], ids=["sums", "own"])
async def test_tools_are_counted_by_their_json_and_apart(
    counter: TokenCounter, target: Path | str
) -> None:
    async with AsyncTract.open(target, tokenizer=counter) as tract:
        await tract.user("hello")
        before = (await tract.compile()).token_count
        content = {"content_type": "tools", "api": "openai.chat", "tools": TOOLS}
        made = await tract.commit(content)
        context = await tract.compile()
        await tract.commit({**content, "tools": []})
        none = await tract.compile()

    wanted = counter.count_text(json.dumps(TOOLS, separators=(",", ":"), sort_keys=True))
    assert (context.tool_tokens, made.token_count) == (wanted, wanted)
    assert context.token_count == before
    assert (none.tool_tokens, none.token_count) == (0, before)


async def test_a_budget_counts_images(target: Path | str) -> None:
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=700, action="reject"))
    async with AsyncTract.open(target, tokenizer=TiktokenCounter(), config=config) as tract:
        await tract.user("hello")
        with pytest.raises(BudgetExceededError):
            await tract.commit(SHOWING)


async def test_counts_of_media_are_the_same_after_reopening(target: Any) -> None:
    async with AsyncTract.open(target, tract_id="a", tokenizer=TiktokenCounter()) as tract:
        await tract.commit(SHOWING)
        counted = (await tract.compile()).token_count
    for counter in (TiktokenCounter(), Cheap()):
        async with AsyncTract.open(target, tract_id="a", tokenizer=counter) as tract:
            context = await tract.compile()

        assert context.token_count == (counted if type(counter) is TiktokenCounter else 15)


def test_a_counter_that_counts_media_otherwise_has_another_source() -> None:
    assert Cheap().source == "counter:Cheap"
    assert BaseTokenCounter.count_media is TiktokenCounter.count_media
