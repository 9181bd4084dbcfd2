"""Every call of `AsyncTract`, as a caller meets it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from anthropic.types import Usage
from openai.types import CompletionUsage
from pydantic import BaseModel, ValidationError

from support.opening import COUNTER, engine_of
from support.probes import probe
from tract import (
    ArtifactContent,
    AsyncTract,
    CommitInfo,
    CommitOperation,
    ContentModel,
    ContentValidationError,
    DialogueContent,
    EditTargetError,
    FreeformContent,
    HeadMovedError,
    InstructionContent,
    OutputContent,
    Priority,
    ReasoningContent,
    TiktokenCounter,
    TokenUsage,
    ToolIOContent,
    TractConfig,
    TractStore,
)

EDIT = CommitOperation.EDIT
CONTENTS: list[ContentModel] = [
    InstructionContent(text="Be brief."),
    DialogueContent(role="user", text="Hello", name="ada"),
    ToolIOContent(tool_name="search", direction="call", payload='{"q": "x"}', call_id="c1"),
    ReasoningContent(text="Let me think."),
    ArtifactContent(artifact_type="code", content="print(1)", language="python"),
    OutputContent(text="# Done", format="markdown"),
    FreeformContent(payload={"any": [1, 2.5, None, True, {"deep": "ø"}]}),
]


class Note(BaseModel):
    """A custom content."""

    title: str
    stars: int = 0


class Quote(BaseModel):
    """A custom content that says how it reads."""

    who: str
    words: str

    def to_text(self) -> str:
        """Return what a model sees."""
        return f"{self.who}: {self.words}"


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tract_id="t") as opened:
        yield opened


def texts(context: Any) -> list[str | None]:
    return [message["content"] for message in context.to_dicts()]


# commit


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content.content_type)
@pytest.mark.parametrize("as_dict", [False, True], ids=["model", "dict"])
async def test_every_content_type_comes_back_as_it_was_given(
    tract: AsyncTract, content: ContentModel, as_dict: bool
) -> None:
    info = await tract.commit(content.model_dump() if as_dict else content)

    assert info.content_type == content.model_dump()["content_type"]
    assert await tract.get_content(info.commit_hash) == content
    assert type(await tract.get_content(info.commit_hash)) is type(content)


async def test_a_model_and_its_dict_are_the_same_content(tract: AsyncTract) -> None:
    one = await tract.commit(CONTENTS[1])
    other = await tract.commit({"content_type": "dialogue", **CONTENTS[1].model_dump()})

    assert one.content_hash == other.content_hash
    assert one.commit_hash != other.commit_hash


async def test_commit_returns_everything_that_was_given(tract: AsyncTract) -> None:
    first = await tract.user("a")
    before = datetime.now(UTC)
    info = await tract.commit(
        DialogueContent(role="assistant", text="b"),
        message="a note",
        metadata={"k": [1, {"n": None}]},
        generation_config={"model": "m", "stop": ["x"], "logit_bias": {"50256": -100}},
        expected_head=first.commit_hash,
    )

    assert info.tract_id == "t"
    assert info.parent_hash == first.commit_hash
    assert info.operation is CommitOperation.APPEND
    assert info.edit_target is None
    assert info.message == "a note"
    assert info.metadata == {"k": [1, {"n": None}]}
    assert info.generation_config == {"model": "m", "stop": ["x"], "logit_bias": {"50256": -100}}
    assert info.token_count == TiktokenCounter().count_text("b")
    assert before <= info.created_at <= datetime.now(UTC)
    assert info.created_at.utcoffset() == timedelta(0)


async def test_what_was_not_given_is_none(tract: AsyncTract) -> None:
    info = await tract.user("a")

    assert (info.parent_hash, info.message, info.metadata, info.generation_config) == (
        None,
        None,
        None,
        None,
    )


async def test_an_empty_object_is_not_none(tract: AsyncTract) -> None:
    info = await tract.user("a", metadata={}, generation_config={})
    again = await tract.get_commit(info.commit_hash)

    assert (info.metadata, info.generation_config) == ({}, {})
    assert again == info


async def test_a_commit_is_frozen(tract: AsyncTract) -> None:
    info = await tract.user("a")

    with pytest.raises(ValidationError):
        info.message = "changed"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("verb", "content"),
    [
        ("system", InstructionContent(text="x")),
        ("user", DialogueContent(role="user", text="x")),
        ("assistant", DialogueContent(role="assistant", text="x")),
    ],
)
async def test_the_shorthands_commit_their_content_with_all_keywords(
    tract: AsyncTract, verb: str, content: ContentModel
) -> None:
    call = getattr(tract, verb)
    info = await call(
        "x",
        message="m",
        metadata={"a": 1},
        generation_config={"t": 0},
        expected_head=None,
    )
    edit = await call(
        "x", operation=EDIT, edit_target=info.commit_hash, expected_head=info.commit_hash
    )

    assert await tract.get_content(info.commit_hash) == content
    assert (info.message, info.metadata, info.generation_config) == ("m", {"a": 1}, {"t": 0})
    assert (edit.operation, edit.edit_target) == (EDIT, info.commit_hash)


async def test_a_speaker_may_have_a_name(tract: AsyncTract) -> None:
    await tract.user("hi", name="ada")
    await tract.assistant("ho", name="bot")

    assert (await tract.compile()).to_dicts() == [
        {"role": "user", "content": "hi", "name": "ada"},
        {"role": "assistant", "content": "ho", "name": "bot"},
    ]


async def test_expected_head_none_means_no_commit_yet(tract: AsyncTract) -> None:
    first = await tract.user("a", expected_head=None)
    with pytest.raises(HeadMovedError) as caught:
        await tract.user("b", expected_head=None)

    assert (caught.value.expected, caught.value.actual) == (None, first.commit_hash)


async def test_an_operation_may_be_given_by_its_value(tract: AsyncTract) -> None:
    info = await tract.user("a")
    edit = await tract.user(
        "b",
        operation="edit",
        edit_target=info.commit_hash,
    )

    assert edit.operation is EDIT


async def test_content_is_stored_once_whoever_commits_it(db_path: Path) -> None:
    async with TractStore.open(db_path) as store:
        for name in ("a", "b", "a"):
            await store.tract(name).user("the same")
    with sqlite3.connect(db_path) as connection:
        count = connection.execute("SELECT count(*) FROM blobs").fetchone()
    connection.close()

    assert count == (1,)


async def test_one_content_under_two_configs_differs_in_parent_and_time_alone(
    tract: AsyncTract,
) -> None:
    one = await tract.assistant("x", generation_config={"t": 0})
    two = await tract.assistant("x", generation_config={"t": 1})

    assert one.content_hash == two.content_hash
    assert one.commit_hash != two.commit_hash


# custom content


async def test_custom_content_is_committed_compiled_and_loaded(tract: AsyncTract) -> None:
    tract.register_content_type("note", Note)
    tract.register_content_type("quote", Quote)
    note = await tract.commit(Note(title="Milk", stars=2))
    await tract.commit({"content_type": "quote", "who": "Ada", "words": "Hm."})

    assert note.content_type == "note"
    assert await tract.get_content(note.commit_hash) == Note(title="Milk", stars=2)
    assert texts(await tract.compile()) == ['{"stars":2,"title":"Milk"}\n\nAda: Hm.']


async def test_custom_content_needs_registering_after_every_opening(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        tract.register_content_type("note", Note)
        info = await tract.commit(Note(title="Milk"))
    async with AsyncTract.open(target, tract_id="t") as tract:
        with pytest.raises(ContentValidationError, match="register_content_type"):
            await tract.compile()
        with pytest.raises(ContentValidationError, match="register_content_type"):
            await tract.get_content(info.commit_hash)
        tract.register_content_type("note", Note)
        context = await tract.compile()

    assert context.commit_count == 1


@pytest.mark.parametrize("name", ["dialogue", "annotation", "", "x" * 256])
async def test_a_taken_or_impossible_type_name_is_refused(tract: AsyncTract, name: str) -> None:
    with pytest.raises(ValueError, match="content type"):
        tract.register_content_type(name, Note)


async def test_a_type_name_cannot_be_taken_twice_but_repeated(tract: AsyncTract) -> None:
    tract.register_content_type("note", Note)
    tract.register_content_type("note", Note)

    with pytest.raises(ValueError, match="choose another name"):
        tract.register_content_type("note", Quote)


# head, get_commit, get_content, log


async def test_head_follows_every_commit(tract: AsyncTract) -> None:
    assert await tract.head() is None
    info = await tract.user("a")
    assert await tract.head() == info.commit_hash
    annotation = await tract.annotate(info.commit_hash, Priority.SKIP)
    assert await tract.head() == annotation.commit_hash


async def test_get_commit_returns_what_commit_returned(tract: AsyncTract) -> None:
    info = await tract.user("a", message="m", metadata={"a": [1]}, generation_config={"b": {}})

    assert await tract.get_commit(info.commit_hash) == info


@pytest.mark.parametrize("unknown", ["0" * 64, "", "no hash", "é", "A" * 63])
async def test_get_commit_returns_none_for_what_it_does_not_have(
    tract: AsyncTract, unknown: str
) -> None:
    await tract.user("a")

    assert await tract.get_commit(unknown) is None


async def test_get_content_shows_an_annotation_too(tract: AsyncTract) -> None:
    info = await tract.user("a")
    annotation = await tract.annotate(info.commit_hash, Priority.SKIP, reason="long")
    content = await tract.get_content(annotation.commit_hash)

    assert content.model_dump() == {
        "content_type": "annotation",
        "priority": "skip",
        "reason": "long",
    }


async def test_log_is_newest_first_and_ten_long(tract: AsyncTract) -> None:
    infos = [await tract.user(str(n)) for n in range(12)]

    assert await tract.log() == infos[::-1][:10]


async def test_log_limits(tract: AsyncTract) -> None:
    infos = [await tract.user(str(n)) for n in range(12)]

    assert await tract.log(0) == []
    assert await tract.log(1) == [infos[-1]]
    assert await tract.log(limit=None) == infos[::-1]
    assert await tract.log(1000) == infos[::-1]


async def test_log_of_an_empty_tract_is_empty(tract: AsyncTract) -> None:
    assert await tract.log() == []
    assert await tract.log(None) == []


async def test_log_pages_with_before(tract: AsyncTract) -> None:
    infos = [await tract.user(str(n)) for n in range(11)]
    pages: list[CommitInfo] = []
    page = await tract.log(4)
    while page:
        pages += page
        page = await tract.log(4, before=page[-1].commit_hash)

    assert pages == infos[::-1]


async def test_log_before_the_first_commit_is_empty(tract: AsyncTract) -> None:
    first = await tract.user("a")
    await tract.user("b")

    assert await tract.log(before=first.commit_hash) == []
    assert await tract.log(0, before=first.commit_hash) == []


async def test_log_goes_beyond_one_read_of_the_walk(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        for n in range(1500):
            batch.commit({"content_type": "freeform", "payload": n})

    assert await tract.log(None) == batch.commits[::-1]


# annotate


async def test_annotate_returns_what_it_set(tract: AsyncTract) -> None:
    info = await tract.user("a")
    annotation = await tract.annotate(info.commit_hash, Priority.PINNED, reason="keep")

    assert annotation.target_hash == info.commit_hash
    assert annotation.priority is Priority.PINNED
    assert annotation.reason == "keep"
    assert annotation.commit_hash == await tract.head()
    assert annotation.created_at > info.created_at


async def test_annotations_are_told_oldest_first(tract: AsyncTract) -> None:
    info, other = await tract.user("a"), await tract.user("b")
    given: list[tuple[Any, str | None]] = [
        (Priority.SKIP, "x"),
        (Priority.PINNED, None),
        ("normal", ""),
    ]
    made = [await tract.annotate(info.commit_hash, what, reason=why) for what, why in given]
    await tract.annotate(other.commit_hash, Priority.SKIP)

    assert await tract.get_annotations(info.commit_hash) == made
    assert [item.priority for item in made] == [Priority.SKIP, Priority.PINNED, Priority.NORMAL]
    assert [item.reason for item in made] == ["x", None, ""]


async def test_an_entry_without_annotation_has_none(tract: AsyncTract) -> None:
    info = await tract.system("pinned by default")

    assert await tract.get_annotations(info.commit_hash) == []


async def test_annotations_are_in_the_log_and_not_in_the_count(tract: AsyncTract) -> None:
    info = await tract.user("a")
    await tract.annotate(info.commit_hash, Priority.PINNED)
    log = await tract.log()
    context = await tract.compile()

    assert [item.operation for item in log] == [CommitOperation.ANNOTATE, CommitOperation.APPEND]
    assert log[0].edit_target == info.commit_hash
    assert context.commit_count == 1
    assert context.commit_hashes == [info.commit_hash]


async def test_skip_leaves_an_entry_out_until_it_is_set_otherwise(tract: AsyncTract) -> None:
    await tract.user("a", generation_config={"n": 1})
    info = await tract.assistant("b", generation_config={"n": 2})
    full = await tract.compile()
    await tract.annotate(info.commit_hash, Priority.SKIP)
    without = await tract.compile()
    await tract.annotate(info.commit_hash, Priority.NORMAL)
    again = await tract.compile()

    assert (texts(without), without.generation_configs) == (["a"], [{"n": 1}])
    assert without.commit_count == 1
    assert (texts(again), again.token_count) == (texts(full), full.token_count)


async def test_time_travel_sees_the_priority_of_that_moment(tract: AsyncTract) -> None:
    await tract.user("a")
    info = await tract.assistant("b")
    skipped = await tract.annotate(info.commit_hash, Priority.SKIP)
    await tract.annotate(info.commit_hash, Priority.NORMAL)

    assert texts(await tract.compile(at_commit=info.commit_hash)) == ["a", "b"]
    assert texts(await tract.compile(at_commit=skipped.commit_hash)) == ["a"]
    assert texts(await tract.compile(at_time=skipped.created_at)) == ["a"]
    assert texts(await tract.compile()) == ["a", "b"]


async def test_even_an_instruction_can_be_skipped(tract: AsyncTract) -> None:
    info = await tract.system("rules")
    await tract.annotate(info.commit_hash, Priority.SKIP)
    context = await tract.compile()

    assert (context.messages, context.token_count, context.commit_count) == ([], 0, 0)
    assert context.head_hash == await tract.head()


# edits


async def test_the_last_edit_wins_and_keeps_its_place(tract: AsyncTract) -> None:
    info = await tract.user("one")
    await tract.assistant("two")
    await tract.user("ONE", operation=EDIT, edit_target=info.commit_hash)
    await tract.user("uno", operation=EDIT, edit_target=info.commit_hash)
    context = await tract.compile()

    assert texts(context) == ["uno", "two"]
    assert context.commit_count == 2
    assert context.commit_hashes[0] == info.commit_hash


@pytest.mark.parametrize(
    ("config", "expected"), [(None, {"t": 1}), ({}, {}), ({"t": 2}, {"t": 2})], ids=str
)
async def test_an_edit_inherits_or_replaces_the_config(
    tract: AsyncTract, config: dict[str, Any] | None, expected: dict[str, Any]
) -> None:
    info = await tract.assistant("a", generation_config={"t": 1})
    edit = await tract.assistant(
        "b", operation=EDIT, edit_target=info.commit_hash, generation_config=config
    )
    original = await tract.get_commit(info.commit_hash)

    assert (await tract.compile()).generation_configs == [expected]
    assert edit.generation_config == config
    assert original is not None
    assert original.generation_config == {"t": 1}


async def test_a_skipped_entry_can_be_edited_and_stays_skipped(tract: AsyncTract) -> None:
    await tract.user("a")
    info = await tract.assistant("b")
    await tract.annotate(info.commit_hash, Priority.SKIP)
    await tract.assistant("c", operation=EDIT, edit_target=info.commit_hash)
    hidden = await tract.compile()
    await tract.annotate(info.commit_hash, Priority.NORMAL)

    assert texts(hidden) == ["a"]
    assert texts(await tract.compile()) == ["a", "c"]


async def test_an_edit_may_change_the_type(tract: AsyncTract) -> None:
    info = await tract.user("a")
    await tract.commit(
        ToolIOContent(tool_name="f", direction="result", payload="r", call_id="1"),
        operation=EDIT,
        edit_target=info.commit_hash,
    )

    assert (await tract.compile()).to_dicts() == [
        {"role": "tool", "content": "r", "tool_call_id": "1"}
    ]


async def test_edits_can_be_marked(tract: AsyncTract) -> None:
    info = await tract.user("a")
    await tract.assistant("b")
    await tract.user("A", operation=EDIT, edit_target=info.commit_hash)
    marked = await tract.compile(include_edit_annotations=True)

    assert texts(marked) == ["A [edited]", "b"]
    assert marked.token_count == TiktokenCounter().count_messages(marked.to_dicts())
    assert texts(await tract.compile()) == ["A", "b"]


# compile


async def test_an_empty_tract_compiles_to_nothing(tract: AsyncTract) -> None:
    context = await tract.compile()

    assert context.messages == []
    assert context.to_openai() == []
    assert (context.token_count, context.commit_count, context.head_hash) == (0, 0, None)
    assert (context.generation_configs, context.commit_hashes) == ([], [])


async def test_messages_of_one_role_are_joined_unless_asked_not_to(tract: AsyncTract) -> None:
    infos = [await tract.user("a"), await tract.user("b")]
    joined = await tract.compile()
    apart = await tract.compile(aggregate_same_role=False)

    assert texts(joined) == ["a\n\nb"]
    assert texts(apart) == ["a", "b"]
    assert joined.commit_hashes == apart.commit_hashes == [info.commit_hash for info in infos]
    assert joined.generation_configs == [{}, {}]
    assert apart.token_count == TiktokenCounter().count_messages(apart.to_dicts())


async def test_at_commit_compiles_that_commit_as_the_head(tract: AsyncTract) -> None:
    contexts = []
    for n in range(4):
        await tract.commit({"content_type": "freeform", "payload": n})
        contexts.append(await tract.compile())

    for context in contexts:
        assert await tract.compile(at_commit=context.head_hash) == context


async def test_at_time_compiles_the_newest_commit_at_or_before(tract: AsyncTract) -> None:
    one, two = await tract.user("a"), await tract.assistant("b")
    tick = timedelta(microseconds=1)

    assert (await tract.compile(at_time=one.created_at - tick)).head_hash is None
    assert (await tract.compile(at_time=one.created_at)).head_hash == one.commit_hash
    assert (await tract.compile(at_time=two.created_at - tick)).head_hash == one.commit_hash
    assert (await tract.compile(at_time=two.created_at)).head_hash == two.commit_hash
    assert (await tract.compile(at_time=two.created_at + tick)).head_hash == two.commit_hash


@pytest.mark.parametrize("moment", [datetime.max, datetime.min], ids=["max", "min"])
async def test_at_time_may_be_as_far_off_as_datetimes_go(
    tract: AsyncTract, moment: datetime
) -> None:
    info = await tract.user("a")
    context = await tract.compile(at_time=moment.replace(tzinfo=UTC))

    assert context.head_hash == (info.commit_hash if moment == datetime.max else None)


async def test_at_time_takes_any_time_zone(tract: AsyncTract) -> None:
    info = await tract.user("a")
    await tract.user("b")
    abroad = info.created_at.astimezone(timezone(timedelta(hours=9)))

    assert (await tract.compile(at_time=abroad)).head_hash == info.commit_hash


async def test_roles_by_type_can_be_overridden(target: Path | str) -> None:
    config = TractConfig(type_to_role={"reasoning": "system"})
    async with AsyncTract.open(target, config=config) as tract:
        await tract.commit(ReasoningContent(text="hm"))
        context = await tract.compile()

    assert context.to_dicts() == [{"role": "system", "content": "hm"}]


async def test_tool_arguments_given_as_text_are_kept_to_the_byte(tract: AsyncTract) -> None:
    arguments = '{ "b": 1,\t"a": 1.0, "é": "\\u00e9" }\n'
    await tract.commit(
        ToolIOContent(tool_name="f", direction="call", payload=arguments, call_id="1")
    )
    (message,) = (await tract.compile()).to_openai(open_calls="keep")

    assert message["tool_calls"][0]["function"]["arguments"] == arguments


# generation configs on every path


async def test_configs_are_right_on_every_path(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        await tract.user("a")
        info = await tract.assistant("b", generation_config={"t": 1, "deep": {"k": [1]}})
        full = (await tract.compile()).generation_configs
        last = await tract.assistant("c", generation_config={"t": 2})
        extended = (await tract.compile()).generation_configs
        await tract.assistant("B", operation=EDIT, edit_target=info.commit_hash)
        edited = (await tract.compile()).generation_configs
        await tract.annotate(last.commit_hash, Priority.SKIP)
        annotated = (await tract.compile()).generation_configs
        used = (await tract.record_usage(TokenUsage(9))).generation_configs
    async with AsyncTract.open(target, tract_id="t") as tract:
        reopened = (await tract.compile()).generation_configs

    one, two = {"t": 1, "deep": {"k": [1]}}, {"t": 2}
    assert full == [{}, one]
    assert extended == edited == [{}, one, two]
    assert annotated == used == reopened == [{}, one]


# usage


@pytest.mark.parametrize(
    "usage",
    [
        TokenUsage(30, 4),
        {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34},
        {"input_tokens": 30, "output_tokens": 4},
        CompletionUsage(prompt_tokens=30, completion_tokens=4, total_tokens=34),
        Usage(input_tokens=30, output_tokens=4),
    ],
    ids=["ours", "chat", "messages", "openai", "anthropic"],
)
async def test_usage_replaces_count_and_source_and_nothing_else(
    tract: AsyncTract, usage: Any
) -> None:
    await tract.user("a", generation_config={"t": 1})
    counted = await tract.compile()
    reported = await tract.record_usage(usage, head_hash=counted.head_hash)

    assert (reported.token_count, reported.token_source) == (30, "api:30+4")
    assert counted.token_source == "tiktoken:o200k_base"
    assert reported.messages == counted.messages
    assert reported.generation_configs == counted.generation_configs
    assert reported.head_hash == counted.head_hash == await tract.head()
    assert await tract.compile() == reported


async def test_usage_survives_reopening_and_keeps_what_the_api_said(db_path: Path) -> None:
    report = {"prompt_tokens": 7, "completion_tokens": 1, "details": {"cached": 3}}
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        await tract.user("a")
        context = await tract.record_usage(report)
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        again = await tract.compile()
    with sqlite3.connect(db_path) as connection:
        (raw,) = connection.execute("SELECT raw_json FROM usage").fetchone()
    connection.close()

    assert again == context
    assert json.loads(raw) == report


async def test_usage_holds_for_its_head_alone(tract: AsyncTract) -> None:
    first = await tract.user("a")
    await tract.record_usage(TokenUsage(1000))
    await tract.assistant("b")
    counted = await tract.compile()
    before = await tract.compile(at_commit=first.commit_hash)

    assert counted.token_source == "tiktoken:o200k_base"
    assert counted.token_count == TiktokenCounter().count_messages(counted.to_dicts())
    assert before.token_source == "api:1000+0"


async def test_the_last_report_holds(tract: AsyncTract) -> None:
    await tract.user("a")
    await tract.record_usage(TokenUsage(1))
    context = await tract.record_usage(TokenUsage(2, 3))

    assert context.token_source == "api:2+3"


async def test_usage_recorded_by_another_store_is_seen(target: Path | str) -> None:
    async with (
        AsyncTract.open(target, tract_id="t") as one,
        AsyncTract.open(target, tract_id="t") as other,
    ):
        await one.user("a")
        await other.compile()
        await one.record_usage(TokenUsage(5, 6))
        seen = await other.compile()

    assert seen.token_source == "api:5+6"


async def test_usage_does_not_change_a_commit(tract: AsyncTract) -> None:
    info = await tract.assistant("a", generation_config={"t": 1})
    await tract.record_usage(TokenUsage(5))

    assert await tract.log() == [info]


# queries


async def test_a_query_finds_this_tracts_commits_oldest_first(tract: AsyncTract) -> None:
    found = [await tract.assistant(str(n), generation_config={"n": n}) for n in range(4)]
    await tract.user("none")

    assert await tract.query_by_config("n", ">", 0) == found[1:]
    assert await tract.query_by_config("n", ">=", 0, limit=2) == found[:2]
    assert await tract.query_by_config("n", "in", [3, 0]) == [found[0], found[3]]
    assert await tract.query_by_config("n", "in", []) == []
    assert await tract.query_by_config("n", "not in", []) == found
    assert await tract.query_by_config("n", "=", 1, limit=0) == []
    assert await tract.query_by_config(("n",), "!=", "1") == found


# batch


async def test_a_batch_lands_together_in_order(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        staged = [batch.commit({"content_type": "freeform", "payload": n}) for n in range(3)]
        assert await tract.head() is None
        assert batch.commits == []

    assert await tract.log(None) == batch.commits[::-1]
    assert [item.info for item in staged] == batch.commits


async def test_a_batch_edits_its_own_commits(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        first = batch.commit(DialogueContent(role="user", text="a"))
        batch.commit(DialogueContent(role="user", text="b"), operation=EDIT, edit_target=first)

    assert batch.commits[1].edit_target == batch.commits[0].commit_hash
    assert texts(await tract.compile()) == ["b"]


# names


async def test_a_tract_without_id_gets_one_of_its_own() -> None:
    async with AsyncTract.open() as one, AsyncTract.open() as other:
        names = {one.tract_id, other.tract_id}

    assert len(names) == 2
    assert all(names)


@pytest.mark.parametrize("name", ["", "x" * 1_025, "é" * 513, 5, None, "\udc80"])
async def test_an_impossible_tract_name_is_refused(name: Any, target: Path | str) -> None:
    async with TractStore.open(target) as store:
        with pytest.raises(ValueError, match="tract_id"):
            store.tract(name)


@pytest.mark.parametrize(
    "name", ["a b", "é🧵", "../x", "'; DROP TABLE refs; --", "\n", "x" * 1_024]
)
async def test_any_other_name_is_a_name(name: str, target: Path | str) -> None:
    async with TractStore.open(target) as store:
        info = await store.tract(name).user("a")
        found = await store.tract_ids()

    assert found == [name]
    assert info.tract_id == name


def longest(seed: int) -> str:
    """Return a name of as many bytes as a name may have, which compresses badly."""
    random = Random(seed)
    return "".join(chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(341)) + "x"


async def test_names_as_long_as_they_may_be_fit_into_every_index(target: Path | str) -> None:
    name, branch, key = longest(1), longest(2), longest(3) + longest(4)
    async with TractStore.open(target) as store, TractStore.open(target) as other:
        await store.enable_search()
        tract = store.tract(name)
        await store.create_config_index("model")
        await tract.user("begins", generation_config={"model": longest(5) * 2})
        side = await tract.fork(branch)
        await side.tag(longest(6))
        watch = other.tract(name, branch=branch).watch(after="head")
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0.05)
        made = await side.user("long", key=key[:1_024], metadata={"n": 1})
        async with side.stream() as stream:
            await stream.write("piece")
        await side.annotate(made.commit_hash, Priority.PINNED, reason="long")
        await tract.merge(branch)

        assert await waiting == made
        assert [each.tract_id for each in await store.tracts(prefix=name[:300])] == [name]
        assert (await store.search("long"))[0].commit == made
        assert {each.branch for each in await tract.reflog()} == {"main", branch}
        await side.erase([made.commit_hash], reason="asked")
        assert (await tract.verify()).faults == ()


async def test_a_handle_tells_what_it_is_on(tract: AsyncTract) -> None:
    assert (tract.tract_id, tract.branch) == ("t", "main")
    assert "'t'" in repr(tract)
    assert "'main'" in repr(tract)


# handles on one branch


async def test_two_handles_on_one_branch_see_each_other_at_once(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        one, other = store.tract("t"), store.tract("t")
        info = await one.user("a")
        assert await other.head() == info.commit_hash
        reply = await other.assistant("b")
        log = await one.log()
        contexts = [await one.compile(), await other.compile()]

    assert log == [reply, info]
    assert reply.parent_hash == info.commit_hash
    assert contexts[0] == contexts[1]


async def test_two_stores_on_one_file_see_each_other_at_their_next_call(target: Path | str) -> None:
    async with (
        AsyncTract.open(target, tract_id="t") as one,
        AsyncTract.open(target, tract_id="t") as other,
    ):
        for n in range(5):
            writer, reader = (one, other) if n % 2 else (other, one)
            info = await writer.user(str(n))
            assert await reader.head() == info.commit_hash
            assert (await reader.compile()).head_hash == info.commit_hash
            assert (await reader.log(1))[0] == info
        report = await other.verify()

    assert (report.checked, report.faults) == (5, ())


async def test_branches_of_a_tract_are_apart(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        main, other = store.tract("t"), store.tract("t", branch="other")
        info = await main.user("a")
        await other.user("b")

        assert texts(await main.compile()) == ["a"]
        assert texts(await other.compile()) == ["b"]
        with pytest.raises(EditTargetError, match="not in this branch's history"):
            await other.user("c", operation=EDIT, edit_target=info.commit_hash)
        with pytest.raises(EditTargetError, match="not in this branch's history"):
            await other.annotate(info.commit_hash, Priority.SKIP)


# trips to the connections' threads, or to the server: what each verb costs

_AT_A_SERVER = {
    **dict.fromkeys(("commit", "fold", "hit", "unjoined", "fold of an edit"), 1),
    **dict.fromkeys(("fold of an annotation", "head", "get_commit", "get_content"), 1),
    **dict.fromkeys(("branches", "tags", "origins"), 1),
    **dict.fromkeys(("edit", "annotate", "at_commit", "log", "query", "by a name"), 2),
    **{"fork": 2, "tag": 2, "reset": 2, "delete_branch": 3, "reflog": 3},
    **{"at_time": 4, "get_annotations": 5, "delete_tag": 5},
}


async def trips(tract: AsyncTract, call: Any) -> int:
    before = probe(tract).trips
    await call
    return probe(tract).trips - before


async def test_every_verb_costs_one_trip_and_what_is_known_costs_none(
    tract: AsyncTract, target: Path | str
) -> None:
    """To a server a few cost more, and nothing is known without asking."""
    info = await tract.user("a", generation_config={"t": 1})
    await tract.compile()
    content = DialogueContent(role="user", text="x")
    entry = info.commit_hash
    calls = {
        "commit": tract.commit(content),
        "fold": tract.compile(),
        "hit": tract.compile(),
        "at_commit": tract.compile(at_commit=entry),
        "at_time": tract.compile(at_time=info.created_at),
        "unjoined": tract.compile(aggregate_same_role=False),
        "edit": tract.commit(content, operation=EDIT, edit_target=entry),
        "fold of an edit": tract.compile(),
        "annotate": tract.annotate(entry, Priority.PINNED),
        "fold of an annotation": tract.compile(),
        "head": tract.head(),
        "log": tract.log(),
        "get_commit": tract.get_commit(entry),
        "get_content": tract.get_content(entry),
        "get_annotations": tract.get_annotations(entry),
        "query": tract.query_by_config("t", "=", 1),
        "fork": tract.fork("side"),
        "tag": tract.tag("v1"),
        "by a name": tract.compile(at_commit="v1"),
        "branches": tract.branches(),
        "tags": tract.tags(),
        "reset": tract.reset("v1"),
        "reflog": tract.reflog(),
        "origins": tract.origins(),
        "delete_tag": tract.delete_tag("v1"),
        "delete_branch": tract.delete_branch("side"),
    }
    costs = {name: await trips(tract, call) for name, call in calls.items()}
    known = {"fold", "hit", "unjoined", "fold of an edit", "fold of an annotation", "head"}

    if engine_of(target) == "postgres":
        assert costs == _AT_A_SERVER
    else:
        assert costs == {name: int(name not in known) for name in calls}


@pytest.mark.parametrize("verb", ["fork", "tag", "reset", "delete_branch", "delete_tag"])
async def test_a_move_in_a_tract_of_which_nothing_is_known_costs_five_trips_at_most(
    verb: str, target: Path | str
) -> None:
    calls: dict[str, Callable[[AsyncTract], Coroutine[Any, Any, Any]]] = {
        "fork": lambda tract: tract.fork("new", at_commit="v1"),
        "tag": lambda tract: tract.tag("v2", target_hash=first),
        "reset": lambda tract: tract.reset("v1"),
        "delete_branch": lambda tract: tract.delete_branch("side"),
        "delete_tag": lambda tract: tract.delete_tag("v1"),
    }
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        first = (await tract.user("a")).commit_hash
        await tract.tag("v1")
        await tract.user("b")
        for name in ("side", "another"):
            await tract.fork(name)
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        assert await trips(tract, calls[verb](tract)) <= 5


async def test_a_batch_of_fifty_costs_one_trip(tract: AsyncTract, target: Path | str) -> None:
    await tract.user("so that a server's tract is known")

    async def batch_of_fifty() -> None:
        async with tract.batch() as batch:
            for n in range(50):
                batch.commit({"content_type": "freeform", "payload": n})

    assert await trips(tract, batch_of_fifty()) == 1
    assert await trips(tract, tract.compile()) == int(engine_of(target) == "postgres")


async def test_an_empty_batch_costs_no_trip(tract: AsyncTract) -> None:
    async def empty_batch() -> None:
        async with tract.batch():
            pass

    assert await trips(tract, empty_batch()) == 0


async def test_recording_usage_costs_few_trips(tract: AsyncTract, target: Path | str) -> None:
    await tract.user("a")
    await tract.compile()

    assert await trips(tract, tract.record_usage(TokenUsage(1))) <= (
        5 if engine_of(target) == "postgres" else 2
    )


async def test_concurrent_commits_share_trips(tract: AsyncTract) -> None:
    await tract.user("a")

    assert await trips(tract, asyncio.gather(*(tract.user(str(n)) for n in range(64)))) <= 3


@pytest.mark.unmeasured
async def test_a_long_history_is_compiled_in_few_trips(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract, tract.batch() as batch:
        for n in range(2500):
            batch.commit({"content_type": "freeform", "payload": n})
    async with AsyncTract.open(target, tract_id="t") as tract:
        assert await trips(tract, tract.compile()) <= (14 if engine_of(target) == "postgres" else 6)
