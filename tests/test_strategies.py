"""What is hidden first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.counters import WordCounter
from tract import (
    AsyncTract,
    CompactionPolicy,
    Message,
    MessageGroup,
    Priority,
    Strategy,
    ToolIOContent,
)
from tract.strategies import by_importance, head_and_tail


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=WordCounter()) as tract:
        for number in range(4):
            await tract.user(f"q{number}")
            await tract.assistant(f"a{number}")
        yield tract


async def shown(tract: AsyncTract) -> list[str]:
    context = await tract.compile(aggregate_same_role=False)
    return [message.content or "" for message in context.messages]


def weight(message: Message) -> float:
    return 1 if message.content in ("q0", "a1", "a2") else 0


@pytest.mark.parametrize(
    ("strategy", "left"),
    [
        (head_and_tail(0), ["q3", "a3"]),
        (head_and_tail(1), ["q0", "a0", "q3", "a3"]),
        (head_and_tail(9), ["q0", "a0", "q1", "a1", "q2", "a2", "q3", "a3"]),
        (by_importance(weight), ["q3", "a3"]),
        (lambda groups: groups[1:3], ["q0", "a1", "q2", "a2", "q3", "a3"]),
        (lambda groups: [], ["q0", "a0", "q1", "a1", "q2", "a2", "q3", "a3"]),
        (lambda groups: iter(reversed(groups)), ["q3", "a3"]),
    ],
    ids=["no head", "head", "all head", "importance", "a slice", "nothing", "an iterator"],
)
async def test_what_a_strategy_leaves_out_stays(
    tract: AsyncTract, strategy: Strategy, left: list[str]
) -> None:
    await tract.compact(None, keep_recent=1, strategy=strategy)

    assert await shown(tract) == left


async def test_what_it_puts_first_is_hidden_first_until_the_target_is_met(
    tract: AsyncTract,
) -> None:
    counted = (await tract.compile()).token_count
    entry = counted // 8

    plan = await tract.plan_compaction(
        target_tokens=counted - 2 * entry + 1,
        summary_tokens=0,
        keep_recent=1,
        strategy=by_importance(weight),
    )
    await tract.compact(None, plan=plan)

    assert await shown(tract) == ["q0", "a1", "q2", "a2", "q3", "a3"]


async def test_it_sees_blocks_that_may_be_hidden_whole(tract: AsyncTract) -> None:
    seen: list[MessageGroup] = []
    name: dict[str, Any] = {"tool_name": "look", "call_id": "c"}
    call = await tract.commit(ToolIOContent(**name, direction="call", payload={}))
    result = await tract.commit(ToolIOContent(**name, direction="result", payload="r"))
    await tract.annotate((await tract.entries())[0].commit_hash, Priority.PINNED)
    await tract.commit(ToolIOContent(tool_name="look", direction="call", payload={}, call_id="o"))

    def strategy(groups: Sequence[MessageGroup]) -> Sequence[MessageGroup]:
        seen.extend(groups)
        return groups

    plan = await tract.plan_compaction(keep_recent=0, strategy=strategy)

    assert [each.is_step for each in seen] == [True, False, True, False, True, False, True, True]
    assert seen[-1].hashes == (call.commit_hash, result.commit_hash)
    assert [message.role for message in seen[-1].messages] == ["assistant", "tool"]
    assert plan.hides == tuple(each for group in seen for each in group.hashes)
    assert plan.tokens_hidden == sum(each.tokens for each in seen)


@pytest.mark.parametrize(
    "strategy",
    [
        lambda groups: [*groups, groups[0]],
        lambda groups: None,
        lambda groups: 5,
        lambda groups: [None],
        lambda groups: ["x"],
        lambda groups: [
            MessageGroup(hashes=("x",), messages=(), tokens=0, is_step=False),
        ],
    ],
    ids=["twice", "nothing", "a number", "none", "a text", "a group of its own"],
)
async def test_what_it_was_not_given_is_refused(tract: AsyncTract, strategy: Any) -> None:
    head = await tract.head()

    with pytest.raises(ValueError, match="groups that it was given"):
        await tract.compact(None, keep_recent=1, strategy=strategy)

    assert await tract.head() == head


async def test_what_it_raises_reaches_the_caller(tract: AsyncTract) -> None:
    def strategy(groups: Sequence[MessageGroup]) -> Sequence[MessageGroup]:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await tract.compact(None, strategy=strategy)


async def test_a_policy_has_one(tract: AsyncTract) -> None:
    counted = (await tract.compile()).token_count
    policy = CompactionPolicy(
        trigger_tokens=counted,
        target_tokens=counted - 5,
        keep_recent=1,
        strategy=head_and_tail(1),
    )

    async def summarise(request: object) -> str:
        return "s"

    assert await tract.maintain(summarise, policy=policy) is not None
    assert (await shown(tract))[:3] == ["q0", "a0", "s"]
