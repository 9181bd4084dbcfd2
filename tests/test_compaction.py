"""Shortening a context by a commit, and undoing that by another."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from pydantic import BaseModel

from support.counters import WordCounter
from support.meanwhile import Interruption
from tract import (
    AsyncTract,
    CommitNotFoundError,
    CommitStep,
    CompactionContent,
    CompactionError,
    CompactionRequest,
    CompactionTargetError,
    CompileSnapshot,
    ContentType,
    ContentValidationError,
    DefaultContextCompiler,
    DialogueContent,
    EditTargetError,
    ErasedContent,
    HeadMovedError,
    MediaPart,
    MergeConflict,
    MergeConflictError,
    MessageContent,
    NullTokenCounter,
    Priority,
    Summary,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolIOContent,
    ToolResultPart,
    TractStore,
    from_anthropic,
)

WORDS = "word " * 40


@pytest_asyncio.fixture
async def store(target: Path | str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        yield store


@pytest.fixture
def tract(store: TractStore) -> AsyncTract:
    return store.tract("t")


class Aside(BaseModel):
    content_type: Literal["aside"] = "aside"
    text: str


def look(direction: Literal["call", "result"], call_id: str, payload: Any) -> ToolIOContent:
    return ToolIOContent(tool_name="look", direction=direction, payload=payload, call_id=call_id)


async def turn(tract: AsyncTract, number: int, *, tools: bool = False) -> None:
    async with tract.batch() as batch:
        batch.commit(DialogueContent(role="user", text=f"question {number} {WORDS}"))
        if tools:
            batch.commit(look("call", f"c{number}", {"at": number}))
            batch.commit(look("result", f"c{number}", f"found {WORDS}"))
        batch.commit(DialogueContent(role="assistant", text=f"answer {number} {WORDS}"))


async def texts(tract: AsyncTract) -> list[str]:
    context = await tract.compile(aggregate_same_role=False)
    return [(message.content or "").removesuffix(f" {WORDS}") for message in context.messages]


async def short(request: CompactionRequest) -> str:
    return "the summary"


async def test_a_summary_stands_in_the_place_of_the_first_entry_that_it_hides(
    tract: AsyncTract,
) -> None:
    await tract.system("be brief")
    for number in range(4):
        await turn(tract, number)

    done = await tract.compact(short, keep_recent=1)

    assert done is not None
    assert await texts(tract) == ["be brief", "the summary", "question 3", "answer 3"]
    assert done.tokens_after == (await tract.compile()).token_count < done.tokens_before
    assert len(done.hidden) == 6


async def test_expanding_shows_the_same_bytes_again(tract: AsyncTract) -> None:
    for number in range(5):
        await turn(tract, number, tools=True)
    before = await tract.compile()
    done = await tract.compact(short, keep_recent=1)
    assert done is not None

    info = await tract.expand(done.commit_hash, reason="looked again")

    after = await tract.compile()
    assert info.operation == "expand"
    assert (after.messages, after.token_count) == (before.messages, before.token_count)
    assert after.commit_hashes == before.commit_hashes


async def test_only_what_the_target_needs_is_hidden(tract: AsyncTract) -> None:
    for number in range(10):
        await turn(tract, number)
    whole = (await tract.compile()).token_count

    done = await tract.compact(short, target_tokens=whole * 3 // 4, keep_recent=2)

    assert done is not None
    assert done.tokens_after <= whole * 3 // 4
    assert len(done.hidden) < 16
    assert (await texts(tract))[-1] == "answer 9"


async def test_a_context_that_is_short_enough_is_left_alone(tract: AsyncTract) -> None:
    assert await tract.compact(short) is None
    await turn(tract, 0)
    head = await tract.head()

    assert await tract.compact(short, target_tokens=100_000, keep_recent=0) is None
    assert await tract.head() == head


async def test_a_plan_writes_nothing_and_is_what_compacting_does(tract: AsyncTract) -> None:
    for number in range(5):
        await turn(tract, number)
    head = await tract.head()

    plan = await tract.plan_compaction(target_tokens=300, keep_recent=1)
    assert await tract.head() == head == plan.head_hash
    done = await tract.compact(short, plan=plan)

    assert done is not None
    assert done.hidden == plan.hides
    assert done.tokens_before == plan.tokens_before
    assert done.tokens_after <= 300


async def test_pins_instructions_and_what_is_kept_stay(tract: AsyncTract) -> None:
    await tract.system("be brief")
    for number in range(4):
        await turn(tract, number)
    entries = await tract.entries()
    await tract.annotate(entries[3].commit_hash, Priority.PINNED)
    kept = entries[6].commit_hash

    await tract.compact(short, keep_recent=0, keep=[kept])

    assert await texts(tract) == ["be brief", "the summary", "question 1", "answer 2"]


async def test_a_function_says_which_messages_stay(tract: AsyncTract) -> None:
    for number in range(4):
        await turn(tract, number)

    await tract.compact(
        short, keep_recent=0, keep=lambda message: "question 2" in (message.content or "")
    )

    assert await texts(tract) == ["the summary", "question 2"]


async def test_a_cut_never_goes_through_a_step(tract: AsyncTract) -> None:
    for number in range(4):
        await turn(tract, number, tools=True)

    await tract.compact(short, keep_recent=2)

    context = await tract.compile(aggregate_same_role=False)
    calls = {call.id for message in context.messages for call in message.tool_calls}
    results = {message.tool_call_id for message in context.messages} - {None}
    assert calls == results == {"c3"}


async def test_open_calls_stay(tract: AsyncTract) -> None:
    await turn(tract, 0)
    await tract.commit(
        ToolIOContent(tool_name="look", direction="call", payload={}, call_id="open")
    )
    await turn(tract, 1)

    await tract.compact(short, keep_recent=0)

    context = await tract.compile()
    assert [call.id for call in context.open_calls] == ["open"]


async def test_a_target_below_what_has_to_stay_names_the_floor(tract: AsyncTract) -> None:
    await tract.system("be brief " + WORDS)
    await turn(tract, 0)
    head = await tract.head()

    with pytest.raises(CompactionTargetError, match="has to stay costs") as caught:
        await tract.compact(short, target_tokens=10, keep_recent=0)

    assert caught.value.target_tokens == 10
    assert caught.value.floor > 10
    assert await tract.head() == head


async def test_a_summary_that_misses_the_target_is_not_written(tract: AsyncTract) -> None:
    for number in range(4):
        await turn(tract, number)
    head = await tract.head()

    async def long(request: CompactionRequest) -> str:
        return WORDS * 20

    with pytest.raises(CompactionTargetError, match="with its summary"):
        await tract.compact(long, target_tokens=200, keep_recent=0)
    assert await tract.head() == head


@pytest.mark.parametrize("returned", ["", " \n"])
async def test_an_empty_summary_is_refused(tract: AsyncTract, returned: str) -> None:
    await turn(tract, 0)
    head = await tract.head()

    async def nothing(request: CompactionRequest) -> str:
        return returned

    with pytest.raises(CompactionError, match="returned nothing"):
        await tract.compact(nothing, keep_recent=0)
    assert await tract.head() == head


@pytest.mark.parametrize("wanted", ["order 42", re.compile(r"order \d+")], ids=["text", "pattern"])
async def test_a_summary_without_what_it_must_hold_is_refused(
    tract: AsyncTract, wanted: str | re.Pattern[str]
) -> None:
    await turn(tract, 0)

    with pytest.raises(CompactionError, match="order"):
        await tract.compact(short, keep_recent=0, must_keep=[wanted])

    async def better(request: CompactionRequest) -> str:
        return "it is about order 42"

    assert await tract.compact(better, keep_recent=0, must_keep=[wanted]) is not None


async def test_what_a_summariser_raises_is_raised_and_nothing_is_written(tract: AsyncTract) -> None:
    await turn(tract, 0)
    head = await tract.head()

    async def fails(request: CompactionRequest) -> str:
        raise LookupError("no model")

    with pytest.raises(LookupError, match="no model"):
        await tract.compact(fails, keep_recent=0)
    assert await tract.head() == head


async def test_a_summary_that_cannot_be_stored_is_refused(tract: AsyncTract) -> None:
    await turn(tract, 0)

    async def strange(request: CompactionRequest) -> Summary:
        return Summary(12)  # type: ignore[arg-type]  # not a content

    with pytest.raises(ContentValidationError):
        await tract.compact(strange, keep_recent=0)


async def test_a_cancelled_compaction_writes_nothing(tract: AsyncTract) -> None:
    await turn(tract, 0)
    head, asked = await tract.head(), asyncio.Event()

    async def waits(request: CompactionRequest) -> str:
        asked.set()
        await asyncio.sleep(60)
        return "never"

    task = asyncio.create_task(tract.compact(waits, keep_recent=0))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await tract.head() == head


async def test_a_summariser_gets_what_it_shortens(tract: AsyncTract) -> None:
    await tract.system("be brief")
    for number in range(3):
        await turn(tract, number)
    seen: list[CompactionRequest] = []

    async def look(request: CompactionRequest) -> str:
        seen.append(request)
        return "first"

    await tract.compact(look, keep_recent=1)
    await turn(tract, 3)
    await tract.compact(look, target_tokens=160, summary_tokens=50, keep_recent=1, roll_up=True)

    [first, second] = seen
    assert [message.role for message in first.context.messages] == ["user", "assistant"] * 2
    assert first.context.to_anthropic()["messages"][0]["role"] == "user"
    assert first.previous_summary is None
    assert second.previous_summary == "first"
    assert second.target_tokens == 50
    assert [message.content for message in first.pinned] == ["be brief"]


async def test_a_summary_says_how_it_was_made(tract: AsyncTract) -> None:
    await turn(tract, 0)

    async def by_a_model(request: CompactionRequest) -> Summary:
        return Summary("text", generation_config={"model": "m"}, metadata={"cost": 1})

    done = await tract.compact(by_a_model, keep_recent=0, reason="too long")

    assert done is not None
    info = await tract.get_commit(done.commit_hash)
    assert info is not None
    assert (info.generation_config, info.metadata) == ({"model": "m"}, {"cost": 1})
    content = await tract.get_content(done.commit_hash, as_=CompactionContent)
    assert content.hides == [*done.hidden]
    assert content.reason == "too long"
    [found] = await tract.query_by_config("model", "=", "m")
    assert found.commit_hash == done.commit_hash


async def test_a_native_content_can_be_a_summary(tract: AsyncTract) -> None:
    await turn(tract, 0)
    item = {"role": "assistant", "content": [{"type": "compaction", "content": "short"}]}

    async def native(request: CompactionRequest) -> object:
        return from_anthropic([item])[0]

    await tract.compact(native, keep_recent=0)  # type: ignore[arg-type]  # mypy knows no native
    context = await tract.compile(aggregate_same_role=False)
    assert context.to_anthropic(open_calls="keep")["messages"] == [item]


async def test_without_a_summariser_entries_are_left_out(tract: AsyncTract) -> None:
    for number in range(3):
        await turn(tract, number)

    done = await tract.compact(None, keep_recent=1)

    assert done is not None
    assert await texts(tract) == ["question 2", "answer 2"]
    await tract.expand(done.commit_hash)
    assert len(await texts(tract)) == 6


async def test_what_is_committed_meanwhile_becomes_the_tail(tract: AsyncTract) -> None:
    for number in range(3):
        await turn(tract, number)

    async def slow(request: CompactionRequest) -> str:
        await turn(tract, 3)
        return "the summary"

    done = await tract.compact(slow, target_tokens=250, keep_recent=1)

    assert done is not None
    assert (await texts(tract))[-2:] == ["question 3", "answer 3"]
    assert (await texts(tract))[0] == "the summary"


async def test_writers_without_a_pause_keep_no_compaction_waiting(tract: AsyncTract) -> None:
    for number in range(6):
        await turn(tract, number, tools=number > 2)

    async def talk() -> None:
        while True:
            await tract.commit(DialogueContent(role="user", text=f"more {WORDS}"))

    writers = [asyncio.create_task(talk()) for _ in range(8)]
    try:
        async with asyncio.timeout(20):
            cleared = await tract.clear_tool_results(keep=1)
            hidden = await tract.compact(short, keep_recent=3)
            assert hidden is not None
            await tract.expand(hidden.commit_hash)
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    assert cleared is not None
    for done in (hidden, cleared):
        here = await tract.get_commit(done.commit_hash)
        assert here is not None
        assert here.parent_hash is not None
        before = await tract.compile(at_commit=here.parent_hash)
        after = await tract.compile(at_commit=here.commit_hash)
        assert done.tokens_before == before.token_count
        assert done.tokens_after == after.token_count


async def test_an_edit_of_what_is_summarised_has_it_summarised_again(tract: AsyncTract) -> None:
    for number in range(2):
        await turn(tract, number)
    [first, *_] = await tract.entries()
    seen: list[str | None] = []

    async def slow(request: CompactionRequest) -> str:
        seen.append(request.context.messages[0].content)
        if len(seen) == 1:
            better = DialogueContent(role="user", text="edited")
            await tract.commit(better, operation="edit", edit_target=first.commit_hash)
        return "the summary"

    await tract.compact(slow, keep_recent=1)

    assert len(seen) == 2
    assert seen[1] == "edited"


async def test_an_outdated_plan_is_refused(tract: AsyncTract) -> None:
    for number in range(2):
        await turn(tract, number)
    plan = await tract.plan_compaction(keep_recent=1)
    await tract.annotate(plan.hides[0], Priority.SKIP)

    with pytest.raises(CompactionError, match="changed meanwhile"):
        await tract.compact(short, plan=plan)


async def test_a_plan_hides_nothing_that_was_pinned_since(tract: AsyncTract) -> None:
    for number in range(2):
        await turn(tract, number)
    plan = await tract.plan_compaction(keep_recent=1)
    await tract.annotate(plan.hides[0], Priority.PINNED)
    before = await texts(tract)

    with pytest.raises(CompactionError, match="Plan again"):
        await tract.compact(short, plan=plan)

    assert await texts(tract) == before


async def test_a_plan_that_cuts_through_a_step_is_refused(tract: AsyncTract) -> None:
    for number in range(2):
        await turn(tract, number, tools=True)
    plan = await tract.plan_compaction(keep_recent=1)
    half = plan.model_copy(update={"hides": plan.hides[:2]})
    head = await tract.head()

    with pytest.raises(CompactionError, match="Plan again"):
        await tract.compact(short, plan=half)

    assert await tract.head() == head


async def test_thinking_whose_message_may_yet_come_stays(tract: AsyncTract) -> None:
    await turn(tract, 0)
    thinking = ThinkingPart(text="I shall look")
    await tract.commit(MessageContent(role="assistant", parts=(thinking,)))

    async def slow(request: CompactionRequest) -> str:
        await tract.commit(look("call", "c1", {}))
        return "the summary"

    await tract.compact(slow, keep_recent=0)

    [_, thought, call] = (await tract.compile(aggregate_same_role=False)).messages
    assert thought.parts == (thinking,)
    assert call.tool_calls[0].id == "c1"


async def test_one_text_is_not_a_list_of_texts(tract: AsyncTract) -> None:
    await turn(tract, 0)
    for call in (
        tract.compact(short, keep_recent=0, must_keep="order"),
        tract.compact(short, keep_recent=0, must_keep=re.compile("order")),  # type: ignore[arg-type]
        tract.compact(short, keep_recent=0, keep="0" * 64),
        tract.clear_tool_results(exclude_tools="look"),
    ):
        with pytest.raises(ContentValidationError, match="give a list"):
            await call


async def test_what_is_kept_by_an_unknown_name_is_an_error(tract: AsyncTract) -> None:
    await turn(tract, 0)

    with pytest.raises(CommitNotFoundError):
        await tract.plan_compaction(keep=["nothing"])


@pytest.mark.parametrize(
    "content",
    [
        {"content_type": "state", "payload": {}},
        {"content_type": "tools", "api": "openai.chat", "tools": []},
        {"content_type": "annotation", "priority": "skip"},
        {"content_type": "compaction", "hides": []},
        {"content_type": "nonsense"},
    ],
    ids=lambda content: str(content["content_type"]),
)
async def test_what_shows_nothing_is_no_summary(tract: AsyncTract, content: dict[str, Any]) -> None:
    await turn(tract, 0)
    head = await tract.head()

    with pytest.raises((CompactionError, ContentValidationError)):
        await tract.compact(lambda request: content, keep_recent=0)

    assert await tract.head() == head


@pytest.mark.parametrize(
    "content",
    [
        DialogueContent(role="user", text=" \n"),
        MessageContent(role="user", parts=(TextPart(text="  "),)),
        MessageContent(role="assistant", parts=(ThinkingPart(text="What follows?"),)),
    ],
    ids=["blanks", "a part of blanks", "thinking"],
)
async def test_a_summary_that_says_nothing_is_refused(
    tract: AsyncTract, content: BaseModel
) -> None:
    await turn(tract, 0)
    head = await tract.head()

    with pytest.raises(CompactionError, match="returned nothing"):
        await tract.compact(lambda request: content, keep_recent=0)

    assert await tract.head() == head


async def test_a_summary_of_a_type_that_is_skipped_is_refused(target: Path | str) -> None:
    """What it stands for would be gone without a trace."""
    types = {"aside": ContentType(Aside, priority="skip")}
    async with AsyncTract.open(target, tokenizer=WordCounter(), content_types=types) as tract:
        await turn(tract, 0)
        head = await tract.head()

        with pytest.raises(CompactionError, match="skipped"):
            await tract.compact(lambda request: Aside(text="short"), keep_recent=0)

        assert await tract.head() == head


@pytest.mark.parametrize("wanted", [b"x", 5, re.compile(rb"x"), None])
async def test_what_no_summary_can_hold_is_refused_before_one_is_asked_for(
    tract: AsyncTract, wanted: Any
) -> None:
    await turn(tract, 0)

    with pytest.raises(ContentValidationError, match="must_keep"):
        await tract.compact(never, keep_recent=0, must_keep=["short", wanted])


@pytest.mark.parametrize("plan", [5, "plan", {}])
async def test_what_is_no_plan_is_refused(tract: AsyncTract, plan: Any) -> None:
    await turn(tract, 0)

    with pytest.raises(TypeError, match="plan_compaction"):
        await tract.compact(never, plan=plan)


async def never(request: CompactionRequest) -> str:
    raise AssertionError("it was asked for a summary")


async def test_an_undone_compaction_whose_summary_was_cleared_stays_undone(
    tract: AsyncTract,
) -> None:
    """Showing the results in the summary again makes nothing of it that can be undone."""
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    page = {"type": "web_search_result", "title": "ships", "url": "https://example.org"}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]}
    said = [use, found, {"type": "text", "text": "a summary"}]
    (content,) = from_anthropic([{"role": "assistant", "content": said}])
    await turn(tract, 0)
    await turn(tract, 1)
    done = await tract.compact(lambda request: content, keep_recent=1)
    cleared = await tract.clear_tool_results(keep=0)
    assert done is not None
    assert cleared is not None
    await tract.expand(done.commit_hash)

    await tract.expand(cleared.commit_hash)

    assert [each.undone for each in await tract.compactions()] == [True, True]
    with pytest.raises(EditTargetError, match="undone already"):
        await tract.expand(done.commit_hash)


async def test_a_call_that_is_shown_again_meanwhile_does_not_lose_its_result(
    tract: AsyncTract,
) -> None:
    """Its result stood alone when the plan was made."""
    call = await tract.commit(look("call", "c", {}))
    await tract.annotate(call.commit_hash, Priority.SKIP)
    await tract.commit(look("result", "c", f"found {WORDS}"))
    await turn(tract, 0)
    await turn(tract, 1)
    asked = list[list[str]]()

    async def summarise(request: CompactionRequest) -> str:
        asked.append([*request.context.commit_hashes])
        await tract.annotate(call.commit_hash, Priority.NORMAL)
        return "the summary"

    done = await tract.compact(summarise, keep_recent=1)

    assert done is not None
    assert [len(each) for each in asked] == [3, 4]
    assert call.commit_hash in done.hidden
    assert not (await tract.compile()).open_calls


async def test_a_result_that_comes_late_has_nothing_summarised_again(tract: AsyncTract) -> None:
    """Though all that is summarised was said between the call and that."""
    await tract.commit(look("call", "c", {}))
    await turn(tract, 0)
    await turn(tract, 1)
    asked = 0

    async def summarise(request: CompactionRequest) -> str:
        nonlocal asked
        asked += 1
        await tract.commit(look("result", "c", f"found {WORDS}"))
        return "the summary"

    done = await tract.compact(summarise, keep_recent=1)

    assert done is not None
    assert asked == 1
    assert not (await tract.compile()).open_calls


async def test_a_plan_that_names_an_entry_twice_hides_it_once(tract: AsyncTract) -> None:
    await turn(tract, 0)
    plan = await tract.plan_compaction(keep_recent=0)
    odd = plan.model_copy(update={"hides": (*reversed(plan.hides), plan.hides[0])})

    done = await tract.compact(short, plan=odd)

    assert done is not None
    assert done.hidden == plan.hides
    assert [each.hidden for each in await tract.compactions()] == [plan.hides]


@pytest.mark.parametrize("direction", ["call", "result"])
async def test_a_summary_leaves_no_call_and_no_result_alone(
    tract: AsyncTract, direction: Literal["call", "result"]
) -> None:
    await turn(tract, 0)
    head = await tract.head()

    with pytest.raises(CompactionError, match="not both"):
        await tract.compact(lambda request: look(direction, "c9", "x"), keep_recent=0)

    assert await tract.head() == head


async def test_a_placeholder_of_an_erased_entry_stays_hidden(tract: AsyncTract) -> None:
    await turn(tract, 0)
    [first, _] = await tract.entries()
    await tract.compact(short, keep_recent=0)
    await tract.erase([first.commit_hash], reason="asked")

    context = await tract.compile(include_erased=True)

    assert [message.content for message in context.messages] == ["the summary"]


async def test_pruning_keeps_what_undoing_shows(tract: AsyncTract) -> None:
    for number in range(3):
        await turn(tract, number, tools=True)
    before = await tract.compile()
    done = [await tract.clear_tool_results(keep=1), await tract.compact(short, keep_recent=1)]

    await tract.prune(keep=0, reason="old")

    for each in reversed(done):
        assert each is not None
        await tract.expand(each.commit_hash)
    assert (await tract.compile()).messages == before.messages
    assert (await tract.verify()).faults == ()


async def test_two_that_compact_at_once_hide_each_entry_once(tract: AsyncTract) -> None:
    for number in range(4):
        await turn(tract, number)

    async def after_the_other(request: CompactionRequest) -> str:
        await asyncio.sleep(0)
        return "the summary"

    done = await asyncio.gather(
        *(tract.compact(after_the_other, keep_recent=1) for _ in range(4)), return_exceptions=True
    )

    assert (await texts(tract)) == ["the summary", "question 3", "answer 3"]
    assert not [each for each in done if isinstance(each, BaseException)]


async def test_a_summary_is_an_entry_like_any_other(tract: AsyncTract) -> None:
    for number in range(3):
        await turn(tract, number)
    done = await tract.compact(short, keep_recent=1)
    assert done is not None
    better = DialogueContent(role="user", text="a better summary")

    await tract.commit(better, operation="edit", edit_target=done.commit_hash)
    assert (await texts(tract))[0] == "a better summary"
    await tract.annotate(done.commit_hash, Priority.SKIP)
    assert await texts(tract) == ["question 2", "answer 2"]
    await tract.annotate(done.commit_hash, Priority.PINNED)
    await tract.compact(short, keep_recent=0)
    assert await texts(tract) == ["a better summary", "the summary"]


async def test_earlier_summaries_stay_until_they_are_rolled_up(tract: AsyncTract) -> None:
    for number in range(2):
        await turn(tract, number)
    first = await tract.compact(short, keep_recent=0)
    await turn(tract, 2)
    await tract.compact(short, keep_recent=0)
    assert await texts(tract) == ["the summary"] * 2

    outer = await tract.compact(short, keep_recent=0, roll_up=True)

    assert await texts(tract) == ["the summary"]
    assert first is not None
    assert outer is not None
    await tract.expand(first.commit_hash)  # inside of what the outer hides
    assert await texts(tract) == ["the summary"]
    await tract.expand(outer.commit_hash)
    assert await texts(tract) == ["question 0", "answer 0", "question 1", "answer 1", "the summary"]


async def test_edits_of_hidden_entries_are_in_force_when_they_are_shown_again(
    tract: AsyncTract,
) -> None:
    await turn(tract, 0)
    [first, _] = await tract.entries()
    done = await tract.compact(short, keep_recent=0)
    assert done is not None
    better = DialogueContent(role="user", text="edited")
    await tract.commit(better, operation="edit", edit_target=first.commit_hash)
    assert await texts(tract) == ["the summary"]

    await tract.expand(done.commit_hash)

    assert await texts(tract) == ["edited", "answer 0"]


async def test_only_a_compaction_in_force_can_be_undone(tract: AsyncTract) -> None:
    await turn(tract, 0)
    [first, _] = await tract.entries()
    done = await tract.compact(short, keep_recent=0)
    assert done is not None

    with pytest.raises(EditTargetError, match="not a compaction"):
        await tract.expand(first.commit_hash)
    await tract.expand(done.commit_hash)
    with pytest.raises(EditTargetError, match="undone already"):
        await tract.expand(done.commit_hash)


async def test_a_compaction_of_another_tract_cannot_be_undone(store: TractStore) -> None:
    one, other = store.tract("one"), store.tract("other")
    await turn(one, 0)
    await turn(other, 0)
    done = await one.compact(short, keep_recent=0)
    assert done is not None

    with pytest.raises(Exception, match="No commit"):
        await other.expand(done.commit_hash)


async def test_time_travel_and_branches_know_compactions(tract: AsyncTract) -> None:
    for number in range(2):
        await turn(tract, number)
    head = await tract.head()
    before = await texts(tract)
    aside = await tract.fork("aside")
    done = await tract.compact(short, keep_recent=0)
    assert done is not None

    assert await texts(aside) == before
    past = await tract.compile(at_commit=head)
    assert len(past.messages) == 4
    merged = await aside.merge("main")
    assert merged.head_hash == done.commit_hash
    assert await texts(aside) == ["the summary"]


async def test_old_tool_results_are_cleared_and_shown_again(tract: AsyncTract) -> None:
    for number in range(5):
        await turn(tract, number, tools=True)
    before = await tract.compile()

    done = await tract.clear_tool_results(keep=2, placeholder="gone")

    assert done is not None
    context = await tract.compile(aggregate_same_role=False)
    results = [each.content for each in context.messages if each.role == "tool"]
    assert [text == "gone" for text in results] == [True] * 3 + [False] * 2
    assert done.tokens_after == (await tract.compile()).token_count < done.tokens_before
    assert context.open_calls == []
    assert await tract.clear_tool_results(keep=2) is None
    await tract.expand(done.commit_hash)
    after = await tract.compile()
    assert (after.messages, after.token_count) == (before.messages, before.token_count)


async def test_pinned_results_and_excluded_tools_are_not_cleared(tract: AsyncTract) -> None:
    for number in range(3):
        await turn(tract, number, tools=True)
    [first, *_] = [each for each in await tract.entries() if each.role == "tool"]
    await tract.annotate(first.commit_hash, Priority.PINNED)

    assert await tract.clear_tool_results(keep=0, exclude_tools=["look"]) is None
    done = await tract.clear_tool_results(keep=0)

    assert done is not None
    assert len(done.cleared) == 2


async def test_results_that_cost_no_more_than_the_placeholder_stay(tract: AsyncTract) -> None:
    for number, found in enumerate(["one", "one two three", f"much {WORDS}", "one two three four"]):
        await tract.commit(look("call", f"c{number}", {}))
        await tract.commit(look("result", f"c{number}", found))
    before = await tract.compile()
    short_ones = [each.content for each in before.messages if each.role == "tool"][:2]

    done = await tract.clear_tool_results(keep=0, placeholder="now three words")

    assert done is not None
    assert len(done.cleared) == 2
    after = await tract.compile()
    results = [each.content for each in after.messages if each.role == "tool"]
    assert results == [*short_ones, "now three words", "now three words"]
    assert done.tokens_before - done.tokens_after == len(f"much {WORDS}".split()) + 4 - 6
    head = await tract.head()
    assert await tract.clear_tool_results(keep=0, placeholder="now three words") is None
    assert await tract.head() == head


async def test_where_no_tokens_are_counted_a_result_longer_than_the_placeholder_is_cleared(
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:
        tract = store.tract("t")
        for number, found in enumerate(["a long result", "gone!"]):
            await tract.commit(look("call", f"c{number}", {}))
            await tract.commit(look("result", f"c{number}", found))
        done = await tract.clear_tool_results(keep=0, placeholder="[gone]")

        assert done is not None
        messages = (await tract.compile()).messages
        assert [each.content for each in messages if each.role == "tool"] == ["[gone]", "gone!"]


async def test_an_entry_with_several_results_is_cleared_whole_if_that_saves(
    tract: AsyncTract,
) -> None:
    for number, found in enumerate(["brief", WORDS]):
        names = (f"{number}a", f"{number}b")
        calls = tuple(ToolCallPart(id=id, name="look", arguments="{}") for id in names)
        await tract.commit(MessageContent(role="assistant", parts=calls))
        results = tuple(
            ToolResultPart(call_id=call.id, parts=(TextPart(text=text),))
            for call, text in zip(calls, ["brief", found], strict=True)
        )
        await tract.commit(MessageContent(role="user", parts=results))

    done = await tract.clear_tool_results(keep=0, placeholder="two words")

    assert done is not None
    assert len(done.cleared) == 1
    assert done.tokens_before - done.tokens_after == 1 + len(WORDS.split()) - 4


async def test_a_result_whose_tokens_nobody_counts_is_cleared(tract: AsyncTract) -> None:
    recording = MediaPart(kind="audio", media_type="audio/wav", url="https://example.org/a.wav")
    await tract.commit(look("call", "c0", {}))
    result = ToolResultPart(call_id="c0", parts=(recording,))
    await tract.commit(MessageContent(role="tool", parts=(result,)))

    done = await tract.clear_tool_results(keep=0)

    assert done is not None
    assert (await tract.compile()).uncounted == []


async def test_an_edit_of_a_cleared_result_is_shown(tract: AsyncTract) -> None:
    await turn(tract, 0, tools=True)
    [entry] = [each for each in await tract.entries() if each.role == "tool"]
    done = await tract.clear_tool_results(keep=0)
    assert done is not None
    new = ToolIOContent(tool_name="look", direction="result", payload="new", call_id="c0")

    await tract.commit(new, operation="edit", edit_target=entry.commit_hash)
    assert "new" in await texts(tract)
    await tract.expand(done.commit_hash)
    assert "new" in await texts(tract)


async def test_compactions_are_listed_with_what_became_of_them(tract: AsyncTract) -> None:
    assert await tract.compactions() == []
    for number in range(3):
        await turn(tract, number, tools=True)
    one = await tract.clear_tool_results(keep=1, reason="cheap")
    two = await tract.compact(short, keep_recent=1)
    assert one is not None
    assert two is not None
    await tract.expand(two.commit_hash)

    first, second = await tract.compactions()

    assert (first.commit_hash, first.undone, first.reason) == (one.commit_hash, False, "cheap")
    assert (second.commit_hash, second.undone) == (two.commit_hash, True)
    assert first.cleared == one.cleared
    assert second.hidden == two.hidden
    assert second.tokens_hidden > second.summary_tokens > 0
    assert [each.undone for each in await tract.compactions(at_commit=two.commit_hash)] == [
        False,
        False,
    ]


class Recording(DefaultContextCompiler):
    """Records on which threads steps were folded, by their operation."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.threads: defaultdict[str, set[threading.Thread]] = defaultdict(set)

    def _record(self, steps: Sequence[CommitStep]) -> None:
        for step in steps:
            self.threads[step.operation].add(threading.current_thread())

    def fold(self, snapshot: CompileSnapshot, steps: Sequence[CommitStep]) -> Any:
        self._record(steps)
        return super().fold(snapshot, steps)

    def fold_at_once(self, snapshot: CompileSnapshot, steps: Sequence[CommitStep]) -> Any:
        self._record(steps)
        return super().fold_at_once(snapshot, steps)


async def test_what_touches_every_entry_is_not_folded_on_the_loop(target: Path | str) -> None:
    compiler = Recording(counter=WordCounter())
    async with AsyncTract.open(target, tract_id="t", compiler=compiler) as tract:
        for number in range(2):
            await turn(tract, number)
            await tract.compile()
        done = await tract.compact(short, keep_recent=0)
        assert done is not None
        await tract.compile()
        await tract.expand(done.commit_hash)
        await tract.compile()

    here = threading.current_thread()
    assert here in compiler.threads["append"]
    assert {*compiler.threads} >= {"compact", "expand"}
    assert here not in compiler.threads["compact"] | compiler.threads["expand"]


async def test_reopening_shows_the_same(tmp_path: Path) -> None:
    async with AsyncTract.open(tmp_path / "a.db", tract_id="t") as tract:
        for number in range(4):
            await turn(tract, number, tools=True)
        await tract.clear_tool_results(keep=1)
        await tract.compact(short, keep_recent=2)
        before = await tract.compile()
    async with AsyncTract.open(tmp_path / "a.db", tract_id="t") as tract:
        after = await tract.compile()
        assert (after.messages, after.token_count) == (before.messages, before.token_count)
        assert (await tract.verify()).faults == ()


async def test_an_erased_summary_goes_on_hiding(tract: AsyncTract) -> None:
    for number in range(2):
        await turn(tract, number)
    done = await tract.compact(short, keep_recent=1)
    assert done is not None

    await tract.erase([done.commit_hash], reason="asked for")

    assert await texts(tract) == ["question 1", "answer 1"]
    assert await tract.get_content(done.commit_hash, as_=ErasedContent)
    assert (await tract.verify()).faults == ()
    await tract.expand(done.commit_hash)
    assert await texts(tract) == ["question 0", "answer 0", "question 1", "answer 1"]


async def test_an_edit_on_one_side_and_a_compaction_on_the_other_conflict(
    tract: AsyncTract,
) -> None:
    await turn(tract, 0)
    [first, _] = await tract.entries()
    aside = await tract.fork("aside")
    better = DialogueContent(role="user", text="edited")
    await aside.commit(better, operation="edit", edit_target=first.commit_hash)
    await tract.compact(short, keep_recent=0)

    with pytest.raises(MergeConflictError) as caught:
        await tract.merge("aside")
    [conflict] = caught.value.conflicts
    assert (conflict.kind, conflict.target_hash) == ("hidden", first.commit_hash)


@pytest.mark.parametrize("way", ["ours", "theirs"])
@pytest.mark.parametrize("compacted", ["ours", "theirs"])
async def test_such_a_conflict_is_decided_by_a_side(
    tract: AsyncTract, way: str, compacted: str
) -> None:
    await turn(tract, 0)
    [first, _] = await tract.entries()
    aside = await tract.fork("aside")
    better = DialogueContent(role="user", text="edited")
    edits, compacts = (aside, tract) if compacted == "ours" else (tract, aside)
    await edits.commit(better, operation="edit", edit_target=first.commit_hash)
    await compacts.compact(short, keep_recent=0)

    def decide(conflict: MergeConflict) -> str:
        return way

    await tract.merge("aside", on_conflict=decide)  # type: ignore[arg-type]  # a literal

    shown = ["the summary"] if way == compacted else ["edited", "answer 0"]
    assert await texts(tract) == shown


async def test_two_sides_that_compacted_the_same_show_one_summary(tract: AsyncTract) -> None:
    for number in range(2):
        await turn(tract, number)
    aside = await tract.fork("aside")
    for each in (tract, aside):
        await each.compact(short, keep_recent=0)

    await tract.merge("aside")

    assert await texts(tract) == ["the summary"]
    for info in await tract.compactions():
        if not info.undone:
            await tract.expand(info.commit_hash)
    assert await texts(tract) == ["question 0", "answer 0", "question 1", "answer 1"]


async def test_a_picked_compaction_hides_the_same_entries(tract: AsyncTract) -> None:
    await turn(tract, 0)
    aside = await tract.fork("aside")
    done = await tract.compact(short, keep_recent=0, reason="too long")
    assert done is not None
    await turn(aside, 1)

    [picked] = await aside.cherry_pick(done.commit_hash)

    assert await texts(aside) == ["the summary", "question 1", "answer 1"]
    [origin] = await aside.origins(picked.commit_hash)
    assert origin.source_hash == done.commit_hash
    [info] = await aside.compactions()
    assert (info.hidden, info.reason) == (done.hidden, "too long")
    await aside.expand(picked.commit_hash)
    assert await texts(aside) == ["question 0", "answer 0", "question 1", "answer 1"]


async def test_writers_without_a_pause_keep_no_picked_compaction_waiting(
    tract: AsyncTract,
) -> None:
    for number in range(4):
        await turn(tract, number, tools=True)
    side = await tract.fork("side")
    done = await side.compact(short, keep_recent=2)
    cleared = await side.clear_tool_results(keep=0)
    assert done is not None
    assert cleared is not None
    made, begun = list[str](), asyncio.Event()

    async def talk() -> None:
        while True:
            made.append((await tract.user("more")).commit_hash)
            begun.set()

    talking = [asyncio.create_task(talk()) for _ in range(24)]
    try:
        async with asyncio.timeout(10):
            await begun.wait()
            await tract.cherry_pick(done.commit_hash)
            await tract.cherry_pick(cleared.commit_hash)
    finally:
        for each in talking:
            each.cancel()
        await asyncio.wait(talking)

    context = await tract.compile(aggregate_same_role=False)
    assert {*made} <= {*context.commit_hashes}
    assert [len(each.hidden) for each in await tract.compactions()] == [len(done.hidden), 0]
    assert len([each for each in context.messages if "was cleared" in (each.content or "")]) == len(
        cleared.cleared
    )
    assert (await tract.verify()).faults == ()


async def test_an_edit_meanwhile_is_not_hidden_by_a_picked_compaction(tract: AsyncTract) -> None:
    for number in range(4):
        await turn(tract, number)
    side = await tract.fork("side")
    done = await side.compact(short, keep_recent=2)
    assert done is not None
    new = DialogueContent(role="user", text="edited")

    edit = tract.commit(new, operation="edit", edit_target=done.hidden[0])
    _, picked = await asyncio.gather(
        edit, tract.cherry_pick(done.commit_hash), return_exceptions=True
    )

    if isinstance(picked, BaseException):
        assert isinstance(picked, EditTargetError)
        assert "edited" in await texts(tract)
    else:  # it came before the edit
        assert [each.operation for each in await tract.log(2)] == ["edit", "compact"]


@pytest.mark.parametrize("which", [0, 1])
async def test_a_skip_of_what_either_of_two_picked_compactions_hides_is_seen(
    store: TractStore, which: int
) -> None:
    tract = store.tract("t")
    for number in range(6):
        await turn(tract, number)
    side = await tract.fork("side")
    made = [await side.compact(short, keep_recent=recent) for recent in (4, 1)]
    done = [each for each in made if each is not None]
    target = done[which].hidden[0]
    interruption = Interruption(store, lambda: tract.annotate(target, Priority.SKIP))

    with pytest.raises(EditTargetError):
        await tract.cherry_pick(*(each.commit_hash for each in done))
    assert interruption.happened
    assert "the summary" not in await texts(tract)


async def test_an_expected_head_holds_for_a_picked_compaction(tract: AsyncTract) -> None:
    for number in range(4):
        await turn(tract, number)
    head = await tract.head()
    side = await tract.fork("side")
    done = await side.compact(short, keep_recent=2)
    assert done is not None
    await tract.user("more")

    with pytest.raises(HeadMovedError):
        await tract.cherry_pick(done.commit_hash, expected_head=head)
    await tract.cherry_pick(done.commit_hash, expected_head=await tract.head())
    assert "the summary" in await texts(tract)


async def test_a_skip_on_one_side_of_what_the_other_hid_is_no_conflict(tract: AsyncTract) -> None:
    for number in range(4):
        await turn(tract, number)
    side = await tract.fork("side")
    done = await tract.compact(short, keep_recent=2)
    assert done is not None
    await side.annotate(done.hidden[0], Priority.SKIP)

    await tract.merge("side")

    assert (await texts(tract))[0] == "the summary"
    await tract.expand(done.commit_hash)
    assert (await texts(tract))[0] == "answer 0"


async def test_picked_cleared_results_are_cleared(tract: AsyncTract) -> None:
    await turn(tract, 0, tools=True)
    aside = await tract.fork("aside")
    done = await tract.clear_tool_results(keep=0, placeholder="gone")
    assert done is not None

    await aside.cherry_pick(done.commit_hash)

    assert (await texts(aside))[2] == "gone"


@pytest.mark.parametrize("change", ["edit", "pin", "hide", "leave out"])
async def test_a_compaction_is_not_picked_where_its_entries_are_not_as_they_were(
    tract: AsyncTract, change: str
) -> None:
    first = await tract.user("a")
    aside = await tract.fork("aside")
    await turn(tract, 0)
    if change != "leave out":
        await aside.merge("main")
    done = await tract.compact(short, keep_recent=0)
    assert done is not None
    if change == "edit":
        await aside.user("b", operation="edit", edit_target=first.commit_hash)
    elif change == "pin":
        await aside.annotate(first.commit_hash, Priority.PINNED)
    elif change == "hide":
        await aside.compact(short, keep_recent=0)
    before = await aside.head()

    with pytest.raises(EditTargetError, match="COMPACT"):
        await aside.cherry_pick(done.commit_hash)
    assert await aside.head() == before


async def test_a_search_says_what_a_compaction_hides(store: TractStore) -> None:
    await store.enable_search()
    tract, other = store.tract("t"), store.tract("other")
    for each in (tract, other):
        await each.user("a zebra")
        await each.assistant("it has stripes")
    done = await tract.compact(short, keep_recent=0)
    assert done is not None

    assert [hit.status for hit in await tract.search("zebra")] == ["hidden"]
    assert [hit.status for hit in await tract.search("summary")] == ["shown"]
    found = {hit.commit.tract_id: hit.status for hit in await store.search("zebra")}
    assert found == {"t": "hidden", "other": "shown"}
    await tract.expand(done.commit_hash)
    assert [hit.status for hit in await tract.search("zebra")] == ["shown"]
    assert [hit.status for hit in await tract.search("summary")] == ["hidden"]


async def test_a_reset_takes_a_compaction_back(tract: AsyncTract) -> None:
    await turn(tract, 0)
    head = await tract.head()
    await tract.compact(short, keep_recent=0)

    await tract.reset(head)

    assert await texts(tract) == ["question 0", "answer 0"]
    assert await tract.compactions() == []
