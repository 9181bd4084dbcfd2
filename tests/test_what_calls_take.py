"""What type checkers let through is taken: names for enums, SDK objects, and no usage report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel

from tract import (
    AsyncTract,
    BudgetAction,
    CommitNotFoundError,
    CompactionPolicy,
    CompactionRequest,
    ContentModel,
    ContentValidationError,
    DialogueContent,
    NullTokenCounter,
    Priority,
    Summary,
    TokenBudgetConfig,
    ToolIOContent,
)


class Ticket(BaseModel):
    number: int


class Definition(BaseModel):
    """A tool as an SDK's model."""

    type: str
    function: dict[str, Any]


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target) as opened:
        yield opened


async def test_names_do_as_well_as_members(tract: AsyncTract) -> None:
    entry = await tract.user("a")
    edit = await tract.user("b", operation="edit", edit_target=entry.commit_hash)
    annotation = await tract.annotate(entry.commit_hash, "pinned")
    async with tract.batch() as batch:
        batch.annotate(entry.commit_hash, "skip")
    history = await tract.get_annotations(entry.commit_hash)

    assert edit.edit_target == entry.commit_hash
    assert annotation.priority is Priority.PINNED
    assert [each.priority for each in history] == [Priority.PINNED, Priority.SKIP]
    assert TokenBudgetConfig(max_tokens=5, action="reject").action is BudgetAction.REJECT


async def test_no_usage_report_changes_nothing(tract: AsyncTract) -> None:
    await tract.user("a")
    await tract.record_usage({"prompt_tokens": 7, "completion_tokens": 1})
    context = await tract.compile()

    assert await tract.record_usage(None) == context
    assert await tract.record_usage(None, head_hash=context.head_hash) == context
    assert await tract.compile() == context


async def test_no_usage_report_needs_no_head(tract: AsyncTract) -> None:
    context = await tract.record_usage(None)

    assert context == await tract.compile()
    assert context.head_hash is None


async def test_no_usage_report_gives_the_context_of_its_head_though_others_committed(
    tract: AsyncTract,
) -> None:
    await tract.user("a")
    sent = await tract.compile()
    await tract.user("b")

    assert await tract.record_usage(None, head_hash=sent.head_hash) == sent
    with pytest.raises(CommitNotFoundError):
        await tract.record_usage({"prompt_tokens": 1, "completion_tokens": 1}, head_hash="0" * 64)
    with pytest.raises(CommitNotFoundError):
        await tract.record_usage(None, head_hash="0" * 64)


async def test_a_content_comes_as_the_model_that_is_asked_for(tract: AsyncTract) -> None:
    tract.register_content_type("ticket", Ticket)
    said = await tract.user("a")
    ticket = await tract.commit(Ticket(number=7))

    assert (await tract.get_content(said.commit_hash, as_=DialogueContent)).text == "a"
    assert (await tract.get_content(ticket.commit_hash, as_=Ticket)).number == 7
    assert await tract.get_content(said.commit_hash, as_=ContentModel) == DialogueContent(
        role="user", text="a"
    )


@pytest.mark.parametrize("model", [ToolIOContent, Ticket, ContentModel])
async def test_a_content_of_another_model_is_refused(
    tract: AsyncTract, model: type[BaseModel]
) -> None:
    """A custom model is none of the built-in ones, whatever its fields."""
    tract.register_content_type("ticket", Ticket)
    content: Any = {"content_type": "dialogue", "role": "user", "text": "a"}
    info = await tract.commit(Ticket(number=7) if model is ContentModel else content)
    with pytest.raises(ContentValidationError) as raised:
        await tract.get_content(info.commit_hash, as_=model)

    held = "Ticket" if model is ContentModel else "DialogueContent"
    assert raised.value.path == "as_"
    assert f"holds a {held}, not a {model.__name__}" in raised.value.problem


async def test_hashes_and_tools_come_in_any_iterable(tract: AsyncTract) -> None:
    definition = {"type": "function", "function": {"name": "look", "parameters": {}}}
    other = Definition(type="function", function={"name": "find", "parameters": {}})
    said = [await tract.user("a"), await tract.assistant("b")]
    made = await tract.tools(each for each in (definition, other))
    contents = await tract.get_contents(info.commit_hash for info in [*said, said[0]])
    [held] = await tract.get_contents({made.commit_hash})

    assert [content.model_dump()["text"] for content in contents] == ["a", "b", "a"]
    names = [each["function"]["name"] for each in held.model_dump()["tools"]]
    assert names == ["look", "find"]
    assert (await tract.compile()).tools == held.model_dump()["tools"]


async def test_a_single_hash_is_no_list_of_them(tract: AsyncTract) -> None:
    info = await tract.user("a")
    with pytest.raises(ContentValidationError, match="get_content") as raised:
        await tract.get_contents(info.commit_hash)

    assert raised.value.path == "hashes"
    assert await tract.get_contents([]) == []
    with pytest.raises(ContentValidationError, match="list") as raised:
        await tract.reached_by(info.commit_hash)
    assert raised.value.path == "hashes"
    with pytest.raises(ContentValidationError, match="list") as raised:
        await tract.erase(info.commit_hash, reason="asked")
    assert raised.value.path == "hashes"
    with pytest.raises(ContentValidationError) as raised:
        await tract.erase([], reason=None)  # type: ignore[arg-type]
    assert raised.value.path == "reason"


def _returned(summary: Any, _: CompactionRequest) -> Any:
    return summary


async def test_a_summariser_is_any_function_and_returns_any_content(tract: AsyncTract) -> None:
    summaries: list[Any] = [
        "a text",
        {"content_type": "dialogue", "role": "user", "text": "fields"},
        DialogueContent(role="assistant", text="a model"),
        Summary("said how", generation_config={"model": "m"}),
    ]
    kept = await tract.user("kept")
    for summary in summaries:
        await tract.user("hidden")
        keep = (each for each in [kept.commit_hash])
        await tract.compact(partial(_returned, summary), keep_recent=0, keep=keep)

    shown = (await tract.compile(aggregate_same_role=False)).messages
    assert [each.content for each in shown] == ["kept", "a text", "fields", "a model", "said how"]


async def test_what_cannot_be_called_does_not_summarise(tract: AsyncTract) -> None:
    """Also before anything is looked at: of a tract without commits."""
    wrong: Any = "a summary"
    policy: Any = CompactionPolicy(trigger_tokens=10, target_tokens=5)

    with pytest.raises(TypeError, match="'a summary' cannot be called"):
        await tract.compact(wrong)
    with pytest.raises(TypeError, match="Give a policy as `policy=`"):
        await tract.maintain(policy)
    assert await tract.head() is None


async def test_entries_take_a_side_and_a_limit(tract: AsyncTract) -> None:
    a, b, c = [await tract.user(text) for text in "abc"]
    await tract.annotate(b.commit_hash, "skip")

    async def listed(**options: Any) -> list[str]:
        return [entry.commit_hash for entry in await tract.entries(**options)]

    assert await listed() == [a.commit_hash, c.commit_hash]
    assert await listed(limit=1) == [a.commit_hash]
    assert await listed(limit=1, newest=True) == [c.commit_hash]
    assert await listed(include_skipped=True, newest=True, limit=2) == [
        c.commit_hash,
        b.commit_hash,
    ]
    assert await listed(at_commit=a.commit_hash) == [a.commit_hash]
    assert await listed(at_commit=None) == await listed(limit=0) == []


async def test_a_nul_is_kept_in_contents_and_refused_in_a_message_of_a_commit(
    tract: AsyncTract,
) -> None:
    """Not every database can store one as text."""
    said = await tract.user("a\0b", metadata={"k\0": "\0"}, generation_config={"k\0": "\0"})
    calls = (
        tract.user("a", message="a\0"),
        tract.commit(DialogueContent(role="user", text="a"), message="\0"),
    )
    for call in calls:
        with pytest.raises(ContentValidationError, match="NUL") as raised:
            await call
        assert raised.value.path == "message"

    assert await tract.log() == [said]
    assert said.metadata == said.generation_config == {"k\0": "\0"}
    assert await tract.query_by_config("k\0", "=", "\0") == [said]
    assert (await tract.compile()).to_dicts() == [{"role": "user", "content": "a\0b"}]


async def test_a_counter_whose_source_cannot_be_stored_is_called_by_its_class(
    target: Path | str,
) -> None:
    class Odd(NullTokenCounter):
        source = "odd\0"

    async with AsyncTract.open(target, tract_id="t", tokenizer=Odd()) as tract:
        await tract.user("a")
        context = await tract.compile()

    assert context.token_source.endswith("Odd")
