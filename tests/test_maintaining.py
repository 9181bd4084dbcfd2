"""Contexts that are kept short by a policy, and budgets that make room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError

from support.counters import WordCounter
from tract import (
    AsyncTract,
    BudgetAction,
    BudgetExceededError,
    CompactionError,
    CompactionPolicy,
    CompactionRequest,
    CompactionTargetError,
    DialogueContent,
    HeadMovedError,
    Priority,
    TokenBudgetConfig,
    ToolIOContent,
    TractConfig,
    TractStore,
)

WORDS = "word " * 40
POLICY = CompactionPolicy(
    trigger_tokens=400, target_tokens=250, keep_recent=1, keep_results=1, clear_at_least=20
)


class Summary:
    """A summariser that counts its calls, and can be held."""

    def __init__(self, text: str = "the summary") -> None:
        self.calls = 0
        self.text = text
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, request: CompactionRequest) -> str:
        self.calls += 1
        self.begun.set()
        await self.go_on.wait()
        return self.text


@pytest_asyncio.fixture
async def store(target: Path | str) -> AsyncIterator[TractStore]:
    async with opened(target) as store:
        yield store


def opened(target: Path | str, **options: Any) -> Any:
    config = TractConfig(compaction=POLICY, **options)
    return TractStore.open(target, tokenizer=WordCounter(), config=config)


@pytest.fixture
def tract(store: TractStore) -> AsyncTract:
    return store.tract("t")


async def turn(tract: AsyncTract, number: int, *, result: str | None = None) -> None:
    async with tract.batch() as batch:
        batch.commit(DialogueContent(role="user", text=f"question {number} {WORDS}"))
        if result is not None:
            name: dict[str, Any] = {"tool_name": "look", "call_id": f"c{number}"}
            batch.commit(ToolIOContent(**name, direction="call", payload={}))
            batch.commit(ToolIOContent(**name, direction="result", payload=result))
        batch.commit(DialogueContent(role="assistant", text=f"answer {number} {WORDS}"))


async def tokens(tract: AsyncTract) -> int:
    return (await tract.compile()).token_count


async def test_a_context_below_the_trigger_is_left_alone(tract: AsyncTract) -> None:
    summarise = Summary()
    assert await tract.maintain(summarise) is None
    await turn(tract, 0)
    head = await tract.head()

    assert await tract.maintain(summarise) is None
    assert await tract.head() == head
    assert summarise.calls == 0


async def test_a_context_at_its_trigger_is_summarised_to_the_target(tract: AsyncTract) -> None:
    for number in range(5):
        await turn(tract, number)
    policy = POLICY.model_copy(update={"trigger_tokens": await tokens(tract)})

    done = await tract.maintain(Summary(), policy=policy)

    assert done is not None
    assert done.hidden
    assert await tokens(tract) == done.tokens_after <= POLICY.target_tokens


async def test_tool_results_are_cleared_first_and_alone_if_that_is_enough(
    tract: AsyncTract,
) -> None:
    summarise = Summary()
    for number in range(3):
        await turn(tract, number, result=WORDS * (2 - number))

    done = await tract.maintain(
        summarise, policy=POLICY.model_copy(update={"target_tokens": 390, "trigger_tokens": 391})
    )

    assert done is not None
    assert (len(done.cleared), done.hidden, summarise.calls) == (2, (), 0)
    assert await tokens(tract) == done.tokens_after <= 390


@pytest.mark.parametrize(
    "options",
    [{"tools_first": False}, {"clear_at_least": 10_000}, {"target_tokens": 200}],
    ids=["not first", "frees too little", "not enough"],
)
async def test_tool_results_stay_if_the_policy_says_so_or_clearing_them_is_not_enough(
    tract: AsyncTract, options: dict[str, Any]
) -> None:
    summarise = Summary()
    for number in range(3):
        await turn(tract, number, result=WORDS * (2 - number))

    done = await tract.maintain(
        summarise,
        policy=POLICY.model_copy(update={"target_tokens": 390, "trigger_tokens": 391, **options}),
    )

    assert done is not None
    assert (done.cleared, summarise.calls) == ((), 1)


@pytest.mark.parametrize("summarise", [None, Summary()], ids=["alone", "before a summary"])
async def test_no_clearing_makes_a_context_longer(
    tract: AsyncTract, summarise: Summary | None
) -> None:
    for number in range(6):
        await turn(tract, number, result="no")
    policy = POLICY.model_copy(update={"clear_at_least": 0})
    head, before = await tract.head(), await tokens(tract)

    done = await tract.maintain(summarise, policy=policy)

    if summarise is None:
        assert (done, await tract.head()) == (None, head)
    else:
        assert done is not None
        assert (done.cleared, done.tokens_after < before) == ((), True)


async def test_without_a_summariser_tool_results_are_cleared_as_far_as_that_goes(
    tract: AsyncTract,
) -> None:
    for number in range(6):
        await turn(tract, number, result="a few more words than the placeholder has")
    head = await tract.head()

    assert await tract.maintain() is None  # together they free fewer than 20
    assert await tract.head() == head

    policy = POLICY.model_copy(update={"clear_at_least": 0, "tools_first": False})
    for number in range(6, 9):
        await turn(tract, number, result=WORDS)
    done = await tract.maintain(policy=policy)

    assert done is not None
    assert len(done.cleared) == 8
    assert done.tokens_after > policy.target_tokens
    assert await tract.maintain(policy=policy) is None


async def test_the_tokens_that_an_api_reported_decide_and_the_target_is_in_them(
    tract: AsyncTract,
) -> None:
    summarise = Summary()
    for number in range(6):
        await turn(tract, number)
    counted = await tokens(tract)
    policy = CompactionPolicy(
        trigger_tokens=counted + 1_000, target_tokens=counted + 800, keep_recent=1
    )
    assert await tract.maintain(summarise, policy=policy) is None

    await tract.record_usage({"prompt_tokens": counted + 950, "completion_tokens": 1})
    assert await tract.maintain(summarise, policy=policy) is None
    await turn(tract, 6)
    done = await tract.maintain(summarise, policy=policy)

    assert done is not None
    assert summarise.calls == 1
    assert done.tokens_after + 950 <= policy.target_tokens
    assert await tract.maintain(summarise, policy=policy) is None


async def test_a_target_that_only_fewer_tokens_than_counted_would_meet_is_scaled(
    tract: AsyncTract,
) -> None:
    for number in range(6):
        await turn(tract, number)
    counted = await tokens(tract)
    await tract.record_usage({"prompt_tokens": counted * 3, "completion_tokens": 1})
    policy = CompactionPolicy(
        trigger_tokens=counted * 2, target_tokens=counted, keep_recent=1, tools_first=False
    )

    done = await tract.maintain(Summary(), policy=policy)

    assert done is not None
    assert done.tokens_after <= counted / 3


async def test_earlier_summaries_keep_their_bytes_until_the_target_needs_them(
    tract: AsyncTract,
) -> None:
    summarise = Summary("summary " * 30)
    shown: list[list[str]] = []
    for number in range(20):
        await turn(tract, number)
        if await tract.maintain(summarise) is not None:
            context = await tract.compile(aggregate_same_role=False)
            shown.append([each.content or "" for each in context.messages])

    assert max(sum("summary" in text for text in texts) for texts in shown) == 3
    assert sum("summary" in text for text in shown[-1]) <= 3
    assert await tokens(tract) < 400


async def test_earlier_summaries_stay_if_the_policy_says_so(tract: AsyncTract) -> None:
    policy = POLICY.model_copy(update={"roll_up": False})

    await tract.user("summary " * 60)
    await tract.assistant("fine")
    await tract.compact(Summary("summary " * 60), keep_recent=0)
    for number in range(6):
        await turn(tract, number)
        await tract.annotate(
            (await tract.entries())[-1].commit_hash, "pinned" if number < 2 else "normal"
        )
    with pytest.raises(CompactionTargetError, match="has to stay"):
        await tract.maintain(Summary(), policy=policy)

    assert await tract.maintain(Summary(), policy=POLICY) is not None


async def test_many_tasks_that_ask_at_once_have_the_work_done_once(tract: AsyncTract) -> None:
    summarise = Summary()
    for number in range(5):
        await turn(tract, number)

    done = await asyncio.gather(*(tract.maintain(summarise) for _ in range(20)))

    assert sum(each is not None for each in done) == 1
    assert summarise.calls == 1
    assert len(await tract.compactions()) == 1


async def test_branches_and_tracts_do_not_wait_for_each_other(store: TractStore) -> None:
    held, free = Summary(), Summary()
    held.go_on.clear()
    tract, other = store.tract("t"), store.tract("u")
    for each in (tract, other):
        for number in range(5):
            await turn(each, number)
    branch = await tract.fork("aside")
    waiting = asyncio.create_task(tract.maintain(held))
    await asyncio.wait_for(held.begun.wait(), 20)

    assert await branch.maintain(free) is not None
    assert await other.maintain(free) is not None

    held.go_on.set()
    assert await waiting is not None


async def test_a_cancelled_task_leaves_the_work_to_the_next(tract: AsyncTract) -> None:
    held, free = Summary(), Summary()
    held.go_on.clear()
    for number in range(5):
        await turn(tract, number)
    head = await tract.head()
    first = asyncio.create_task(tract.maintain(held))
    await asyncio.wait_for(held.begun.wait(), 20)
    second = asyncio.create_task(tract.maintain(free))
    third = asyncio.create_task(tract.maintain(free))
    await asyncio.sleep(0)

    first.cancel()
    third.cancel()
    await asyncio.wait([first, third])
    assert first.cancelled()
    assert third.cancelled()

    assert await second is not None
    assert free.calls == 1
    assert len(await tract.log(None)) == len([head]) + 10


async def test_a_summariser_that_fails_leaves_the_work_to_the_next(tract: AsyncTract) -> None:
    for number in range(5):
        await turn(tract, number)
    head = await tract.head()

    with pytest.raises(CompactionError):
        await tract.maintain(Summary(" "))

    assert await tract.head() == head
    assert await tract.maintain(Summary()) is not None


async def test_a_summariser_may_ask_for_its_own_branch_and_does_not_wait_for_itself(
    tract: AsyncTract,
) -> None:
    asked: list[object] = []

    async def summarise(request: CompactionRequest) -> str:
        asked.append(await tract.maintain(summarise))
        return "the summary"

    for number in range(5):
        await turn(tract, number)
    async with asyncio.timeout(20):
        done = await tract.maintain(summarise)

    assert done is not None
    assert asked == [None]


async def test_a_store_with_a_loop_of_its_own_has_the_same_turns(db_path: Path) -> None:
    asked: list[object] = []
    config = TractConfig(compaction=POLICY)
    async with TractStore.open(
        db_path, own_loop=True, tokenizer=WordCounter(), config=config
    ) as store:
        tract = store.tract("t")

        async def summarise(request: CompactionRequest) -> str:
            asked.append(await tract.maintain(summarise))
            return "the summary"

        for number in range(5):
            await turn(tract, number)
        async with asyncio.timeout(20):
            done = await asyncio.gather(*(tract.maintain(summarise) for _ in range(5)))

    assert sum(each is not None for each in done) == 1
    assert asked == [None]


async def test_a_task_that_a_summariser_left_behind_asks_like_any_other(
    tract: AsyncTract,
) -> None:
    left: list[asyncio.Task[Any]] = []
    over = asyncio.Event()

    async def later() -> object:
        await over.wait()
        return await tract.maintain(Summary())

    async def summarise(request: CompactionRequest) -> str:
        left.append(asyncio.create_task(later()))
        return "the summary"

    for number in range(5):
        await turn(tract, number)
    await tract.maintain(summarise)
    for number in range(5, 10):
        await turn(tract, number)
    over.set()

    assert await left[0] is not None


async def test_what_another_store_shortens_is_waited_for_and_not_shortened_again(
    target: Path | str,
) -> None:
    held, free = Summary(), Summary()
    held.go_on.clear()
    async with opened(target) as one, opened(target) as two:
        for number in range(5):
            await turn(one.tract("t"), number)
        slow = asyncio.create_task(one.tract("t").maintain(held))
        await asyncio.wait_for(held.begun.wait(), 20)
        asked = asyncio.create_task(two.tract("t").maintain(free))
        await asyncio.sleep(0.1)
        assert not asked.done()
        held.go_on.set()

        assert await slow is not None
        assert await asked is None
        assert (held.calls, free.calls) == (1, 0)


async def test_what_was_shortened_meanwhile_without_asking_is_not_shortened_again(
    target: Path | str,
) -> None:
    held = Summary()
    held.go_on.clear()
    async with opened(target) as one, opened(target) as two:
        for number in range(5):
            await turn(one.tract("t"), number)
        slow = asyncio.create_task(one.tract("t").maintain(held))
        await asyncio.wait_for(held.begun.wait(), 20)
        await two.tract("t").compact(Summary(), keep_recent=1)
        head = await two.tract("t").head()
        held.go_on.set()

        assert await slow is None
        assert (held.calls, await one.tract("t").head()) == (1, head)


async def test_a_cancelled_task_leaves_the_work_to_another_store_at_once(
    target: Path | str,
) -> None:
    held, free = Summary(), Summary()
    held.go_on.clear()
    async with opened(target) as one, opened(target) as two:
        for number in range(5):
            await turn(one.tract("t"), number)
        first = asyncio.create_task(one.tract("t").maintain(held))
        await asyncio.wait_for(held.begun.wait(), 10)
        asked = asyncio.create_task(two.tract("t").maintain(free))
        first.cancel()
        async with asyncio.timeout(10):  # a lease lapses later
            assert await asked is not None
        await asyncio.wait([first])

        assert first.cancelled()
        assert free.calls == 1


async def test_a_task_that_stops_waiting_holds_nothing(target: Path | str) -> None:
    held, free = Summary(), Summary()
    held.go_on.clear()
    async with opened(target) as one, opened(target) as two:
        for number in range(5):
            await turn(one.tract("t"), number)
        first = asyncio.create_task(one.tract("t").maintain(held))
        await asyncio.wait_for(held.begun.wait(), 10)
        for pause in (0, 0.001, 0.01, 0.05):
            asked = asyncio.create_task(two.tract("t").maintain(free))
            await asyncio.sleep(pause)
            asked.cancel()
            await asyncio.wait([asked])
            assert asked.cancelled()
        held.go_on.set()

        assert await first is not None
        for number in range(5, 10):
            await turn(one.tract("t"), number)
        async with asyncio.timeout(10):
            assert await one.tract("t").maintain(free) is not None


async def test_a_summariser_may_ask_for_its_branch_through_another_store(
    target: Path | str,
) -> None:
    asked: list[object] = []
    async with opened(target) as one, opened(target) as two:

        async def summarise(request: CompactionRequest) -> str:
            asked.append(await two.tract("t").maintain(Summary()))
            return "the summary"

        for number in range(5):
            await turn(one.tract("t"), number)
        async with asyncio.timeout(10):
            done = await one.tract("t").maintain(summarise)

    assert done is not None
    assert asked == [None]


async def test_a_policy_is_needed(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:
        with pytest.raises(ValueError, match="TractConfig"):
            await tract.maintain()


@pytest.mark.parametrize(
    "fields",
    [
        {"trigger_tokens": 10, "target_tokens": 10},
        {"trigger_tokens": 10, "target_tokens": 11},
        {"trigger_tokens": 10, "target_tokens": -1},
        {"trigger_tokens": 10, "target_tokens": 1, "keep_recent": -1},
        {"trigger_tokens": 10, "target_tokens": 1, "keep_results": True},
        {"trigger_tokens": 10, "target_tokens": 1, "clear_at_least": "1"},
        {"trigger_tokens": 10, "target_tokens": 1, "strange": 1},
        {"trigger_tokens": 10},
    ],
    ids=lambda fields: ",".join(f"{key}={value}" for key, value in fields.items()),
)
def test_a_policy_that_says_nothing_sensible_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CompactionPolicy(**fields)


# Budgets


def compacting(most: int, summarise: Summary | None, **policy: Any) -> TractConfig:
    budget = TokenBudgetConfig(
        max_tokens=most,
        action=BudgetAction.COMPACT,
        policy=POLICY.model_copy(update={"target_tokens": 150, **policy}),
        summarise=summarise,
    )
    return TractConfig(token_budget=budget)


def limited(target: Path | str, config: TractConfig) -> Any:
    return AsyncTract.open(target, tract_id="t", config=config, tokenizer=WordCounter())


async def test_a_commit_over_the_budget_has_the_context_shortened_first(
    target: Path | str,
) -> None:
    summarise = Summary()
    async with limited(target, compacting(250, summarise)) as tract:
        for number in range(9):
            await turn(tract, number)
            assert await tokens(tract) <= 250

        assert 1 <= summarise.calls < 9
        assert len(await tract.compactions()) == summarise.calls
        assert (await tract.compile()).messages[-1].content == f"answer 8 {WORDS}"


async def test_a_commit_that_still_does_not_fit_is_rejected(target: Path | str) -> None:
    summarise = Summary()
    async with limited(target, compacting(250, summarise)) as tract:
        await turn(tract, 0)
        head = await tract.head()
        with pytest.raises(BudgetExceededError):
            await tract.user(WORDS * 20)
        assert (await tract.head(), summarise.calls) == (head, 0)

        await tract.annotate((await tract.entries())[0].commit_hash, Priority.PINNED)
        await tract.annotate((await tract.entries())[1].commit_hash, Priority.PINNED)
        with pytest.raises(BudgetExceededError) as raised:
            await tract.user(WORDS * 6)
        assert isinstance(raised.value.__cause__, CompactionTargetError)


async def test_a_budget_without_a_summariser_clears_tool_results(target: Path | str) -> None:
    async with limited(target, compacting(350, None, clear_at_least=0)) as tract:
        await turn(tract, 0, result=WORDS)
        await turn(tract, 1, result=WORDS)
        assert (await tract.compactions()) == []
        await tract.user(WORDS * 2)

        (done,) = await tract.compactions()
        assert len(done.cleared) == 1
        with pytest.raises(BudgetExceededError):
            await tract.user(WORDS * 2)


async def test_many_commits_over_the_budget_share_the_work(target: Path | str) -> None:
    summarise = Summary()
    async with limited(target, compacting(250, summarise)) as tract:
        await turn(tract, 0)
        await turn(tract, 1)
        async with asyncio.timeout(20):
            await asyncio.gather(*(tract.assistant(f"note {n} word word") for n in range(30)))

        assert len(await tract.log(None)) == 4 + 30 + summarise.calls
        assert summarise.calls <= 3
        assert await tokens(tract) <= 250


async def test_a_summariser_that_commits_to_its_own_branch_does_not_wait_for_itself(
    target: Path | str,
) -> None:
    refused: list[BaseException] = []
    held: list[AsyncTract] = []

    class Committing(Summary):
        async def __call__(self, request: CompactionRequest) -> str:
            try:
                await held[0].user(WORDS * 5)
            except BudgetExceededError as error:
                refused.append(error)
            return "the summary"

    async with limited(target, compacting(250, Committing())) as tract:
        held.append(tract)
        await turn(tract, 0)
        await turn(tract, 1)
        async with asyncio.timeout(20):
            await turn(tract, 2)

    assert len(refused) == 1


async def test_an_expected_head_follows_the_commit_that_made_room(target: Path | str) -> None:
    async with limited(target, compacting(250, Summary())) as tract:
        await turn(tract, 0)
        await turn(tract, 1)
        expected = await tract.user("hm")
        assert len(await tract.compactions()) == 0
        last = await tract.user(WORDS * 2, expected_head=expected.commit_hash)

        assert len(await tract.compactions()) == 1
        assert await tract.head() == last.commit_hash
        with pytest.raises(HeadMovedError):
            await tract.user(WORDS * 3, expected_head=expected.commit_hash)


async def test_an_expected_head_does_not_follow_what_others_committed(target: Path | str) -> None:
    summarise = Summary()
    summarise.go_on.clear()
    async with limited(target, compacting(250, summarise)) as tract:
        await turn(tract, 0)
        await turn(tract, 1)
        expected = await tract.head()
        waiting = asyncio.create_task(tract.user(WORDS * 2, expected_head=expected))
        await asyncio.wait_for(summarise.begun.wait(), 20)
        await tract.user("hm")
        summarise.go_on.set()

        with pytest.raises(HeadMovedError):
            await waiting
        assert (await tract.compile()).messages[-1].content == "hm"


async def test_a_cancelled_commit_that_waits_for_room_commits_nothing(target: Path | str) -> None:
    summarise = Summary()
    async with limited(target, compacting(250, summarise)) as tract:
        await turn(tract, 0)
        await turn(tract, 1)
        head = await tract.head()
        summarise.go_on.clear()
        waiting = asyncio.create_task(turn(tract, 2))
        await asyncio.wait_for(summarise.begun.wait(), 20)

        waiting.cancel()
        await asyncio.wait([waiting])
        assert await tract.head() == head

        summarise.go_on.set()
        await turn(tract, 2)
        assert (await tract.compile()).messages[-1].content == f"answer 2 {WORDS}"


async def test_a_transaction_over_the_budget_has_its_branches_shortened_first(
    target: Path | str,
) -> None:
    config = compacting(250, Summary())
    async with TractStore.open(target, config=config, tokenizer=WordCounter()) as store:
        tracts = [store.tract("t"), store.tract("u")]
        for tract in tracts:
            await turn(tract, 0)
            await turn(tract, 1)
        heads = [await tract.head() for tract in tracts]
        async with store.transaction() as tx:
            for tract, head in zip(tracts, heads, strict=True):
                tx.on(tract, expected_head=head).commit(
                    DialogueContent(role="user", text=WORDS * 3)
                )

        for tract in tracts:
            assert len(await tract.compactions()) == 1
            assert await tokens(tract) <= 250


async def test_a_merge_over_the_budget_has_the_branch_shortened_first(target: Path | str) -> None:
    async with limited(target, compacting(250, Summary())) as tract:
        await turn(tract, 0)
        other = await tract.fork("other")
        await turn(tract, 1)
        await turn(other, 2)
        async with asyncio.timeout(20):
            await tract.merge("other")

        assert len(await tract.compactions()) == 1
        assert await tokens(tract) <= 250


@pytest.mark.parametrize(
    "options",
    [
        {"action": "compact"},
        {"action": "warn", "policy": POLICY},
        {"action": "reject", "summarise": Summary.__call__},
        {"action": "compact", "policy": POLICY, "max_tokens": 250},
        {"action": "compact", "policy": POLICY, "callback": print},
    ],
    ids=["no policy", "a policy for nothing", "a summariser for nothing", "too long", "a callback"],
)
def test_a_budget_that_cannot_make_room_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TokenBudgetConfig(**{"max_tokens": 300, **options})
