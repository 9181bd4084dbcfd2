from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from support.counters import WholeCounter, WordCounter
from tract import (
    AsyncTract,
    CommitOperation,
    ContentType,
    DefaultContextCompiler,
    EntryInfo,
    Message,
    NullTokenCounter,
    Priority,
    TiktokenCounter,
    TokenCounter,
    ToolCall,
    TractConfig,
)
from tract.engine.compile.entries import CHUNK_SIZE

COUNTER = TiktokenCounter()
CALL = {
    "content_type": "tool_io",
    "tool_name": "find flights",
    "direction": "call",
    "payload": "{}",
}


class Shout(BaseModel):
    text: str

    def to_text(self) -> str:
        return self.text.upper() * 5


class Whisper(BaseModel):
    text: str

    def to_text(self) -> str:
        return "psst"


class Mute(BaseModel):
    text: str


class Telegram(DefaultContextCompiler):
    """Shows everything its own way, tool calls with a text beside them."""

    def render(self, content_type: str, fields: Mapping[str, Any]) -> Message:
        message = super().render(content_type, fields)
        if message.tool_calls:
            call = ToolCall("1", "wire", "{}")
            return Message("assistant", "calling", None, (*message.tool_calls, call))
        return Message(message.role, f"{message.content} STOP", message.name)


class Echo(DefaultContextCompiler):
    """Shows everything as the default does, but by a method of its own."""

    def render(self, content_type: str, fields: Mapping[str, Any]) -> Message:
        return super().render(content_type, fields)


CONTENTS: list[dict[str, Any]] = [
    {"content_type": "instruction", "text": "You plan trips."},
    {"content_type": "dialogue", "role": "user", "text": "Oslo?", "name": "Ann"},
    {"content_type": "dialogue", "role": "assistant", "text": ""},
    {"content_type": "reasoning", "text": "By train\n\nor by ship."},
    {"content_type": "output", "text": "By train."},
    {"content_type": "artifact", "artifact_type": "note", "content": "A timetable", "role": "user"},
    {"content_type": "freeform", "payload": {"b": [1, None], "a": "é"}},
    {"content_type": "freeform", "payload": "plain"},
    CALL,
]


def facts_of(entry: EntryInfo) -> tuple[object, ...]:
    told = (entry.commit_hash, entry.message, entry.token_count, entry.priority)
    return (*told, entry.edited_by, entry.generation_config)


@pytest.mark.parametrize("roles", [None, {"output": "user", "dialogue": "assistant"}])
async def test_a_compiler_with_a_method_of_its_own_shows_what_the_default_does(
    target: Path | str, roles: Any
) -> None:
    """Contents of nothing but text take a shorter way if no subclass has a say in them."""
    config = TractConfig(type_to_role=roles or {})
    async with AsyncTract.open(target, tract_id="t", config=config) as tract:
        for content in CONTENTS:
            await tract.commit(dict(content), generation_config={"model": "m"})
        first = await tract.commit(CONTENTS[0])
        await tract.annotate(first.commit_hash, "normal")
        await tract.commit(CONTENTS[4], operation="edit", edit_target=first.commit_hash)
        usual = await tract.compile(), *map(facts_of, await tract.entries())

    echo = Echo(COUNTER, type_to_role=roles)
    async with AsyncTract.open(target, tract_id="t", compiler=echo) as tract:
        assert (await tract.compile(), *map(facts_of, await tract.entries())) == usual
        assert (await tract.verify()).faults == ()


@pytest.mark.parametrize("between", [1, CHUNK_SIZE, 2 * CHUNK_SIZE])
async def test_a_result_far_behind_its_call_is_sent_right_behind_it(
    target: Path | str, between: int
) -> None:
    """However many messages stand between, whole chunks of them included."""
    call = {**CALL, "tool_name": "find", "call_id": "c1"}
    async with AsyncTract.open(target, tract_id="t") as tract:
        async with tract.batch() as batch:
            say = (batch.user, batch.assistant)
            for number in range(CHUNK_SIZE - 1):
                say[number % 2](str(number))
            batch.commit(call)
            for number in range(between):
                say[number % 2](f"meanwhile {number}")
            batch.commit({**call, "direction": "result", "payload": "found"})
        sent = (await tract.compile()).to_openai()

    at = next(number for number, each in enumerate(sent) if each.get("tool_calls"))
    assert (sent[at + 1]["role"], sent[at + 1]["tool_call_id"]) == ("tool", "c1")
    assert len(sent) == CHUNK_SIZE + between + 1


async def assert_counted(tract: AsyncTract, counter: TokenCounter = COUNTER) -> None:
    for marks in (False, True):
        for joined in (False, True):
            context = await tract.compile(
                include_edit_annotations=marks, aggregate_same_role=joined
            )
            assert context.token_count == counter.count_messages(context.to_dicts())


@pytest.mark.parametrize("role", ["user", "system", "assistant"])
async def test_roles_that_change_between_openings_are_counted_as_shown(
    target: Path | str, role: Any
) -> None:
    """A tool call shown as text has other tokens than the call itself."""
    config = TractConfig(type_to_role={"tool_io": role, "instruction": "user"})
    for options in (None, config, None, config):
        async with AsyncTract.open(target, tract_id="t", config=options) as tract:
            await assert_counted(tract)
            await tract.commit(CALL)
            await tract.system("be kind")
            await assert_counted(tract)


async def test_models_that_change_between_openings_are_counted_as_shown(target: Path | str) -> None:
    for model in (Shout, Whisper, Mute, Shout):
        async with AsyncTract.open(target, tract_id="t") as tract:
            tract.register_content_type("noise", model)
            await assert_counted(tract)
            await tract.commit(model(text="hello world"))
            await assert_counted(tract)


def test_a_type_that_is_registered_later_is_counted_as_it_is_shown_from_then_on() -> None:
    compiler = DefaultContextCompiler(COUNTER)
    before = compiler.source_of("noise")
    compiler.registry.register("noise", ContentType(Shout))

    assert (before, compiler.source_of("noise")) == (COUNTER.source, "")


async def test_compilers_that_change_between_openings_are_counted_as_shown(
    target: Path | str,
) -> None:
    for compiler in (None, Telegram(COUNTER), None, Telegram(COUNTER)):
        async with AsyncTract.open(target, tract_id="t", compiler=compiler) as tract:
            await assert_counted(tract)
            await tract.user("hello")
            await tract.assistant("yes?")
            await tract.commit(CALL)
            await tract.commit(CALL)
            await tract.assistant("done")
            await assert_counted(tract)


async def test_counters_that_change_between_openings_count_for_themselves(
    target: Path | str,
) -> None:
    counters: list[TokenCounter] = [
        COUNTER,
        WordCounter(),
        TiktokenCounter("cl100k_base"),
        NullTokenCounter(),
        WholeCounter(),
        COUNTER,
    ]
    for counter in counters:
        async with AsyncTract.open(target, tract_id="t", tokenizer=counter) as tract:
            await assert_counted(tract, counter)
            await tract.user("ça va? \n 中文")
            await tract.commit(CALL)
            await assert_counted(tract, counter)


async def test_reopening_counts_nothing_again(target: Path | str) -> None:
    """Tokens are counted once per blob, as rendered."""
    async with AsyncTract.open(target, tract_id="t", tokenizer=WordCounter()) as tract:
        for number in range(10):
            await tract.user(f"message {number}")
            await tract.assistant(f"answer {number}")
    counter = WordCounter()
    async with AsyncTract.open(target, tract_id="t", tokenizer=counter) as tract:
        await tract.compile()

    assert counter.texts == []


async def test_every_edited_text_is_marked_once(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:
        infos = [await tract.user(text) for text in ("a", "b", "c")]
        call = await tract.commit(CALL)
        for info in (infos[0], infos[2], infos[2]):
            content = {"content_type": "dialogue", "role": "user", "text": "new"}
            await tract.commit(
                content, operation=CommitOperation.EDIT, edit_target=info.commit_hash
            )
        await tract.commit(CALL, operation=CommitOperation.EDIT, edit_target=call.commit_hash)
        marked = await tract.compile(include_edit_annotations=True)
        plain = await tract.compile()

        assert marked.to_dicts()[0]["content"] == "new [edited]\n\nb\n\nnew [edited]"
        assert marked.to_dicts()[1] == plain.to_dicts()[1]
        assert plain.to_dicts()[0]["content"] == "new\n\nb\n\nnew"
        assert marked.token_count == COUNTER.count_messages(marked.to_dicts())


async def test_skipped_entries_are_in_no_list(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:
        infos = [await tract.user(text, generation_config={"t": text}) for text in "abc"]
        await tract.annotate(infos[1].commit_hash, Priority.SKIP)
        context = await tract.compile()

        assert context.commit_hashes == [infos[0].commit_hash, infos[2].commit_hash]
        assert context.generation_configs == [{"t": "a"}, {"t": "c"}]
        assert context.commit_count == 2
        assert context.to_dicts() == [{"role": "user", "content": "a\n\nc"}]


async def test_a_context_of_skipped_entries_makes_no_call(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:
        info = await tract.user("a")
        await tract.annotate(info.commit_hash, Priority.SKIP)
        context = await tract.compile()

        assert (context.token_count, context.messages) == (0, [])
        assert context.head_hash != info.commit_hash


async def test_a_repr_tells_head_size_and_source(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:
        info = await tract.user("hello")
        context = await tract.compile()

        assert repr(context) == (
            f"<SnapshotContext head={info.commit_hash[:12]} entries=1 tokens=8 "
            "(tiktoken:o200k_base)>"
        )


@pytest.mark.parametrize("before", range(CHUNK_SIZE - 3, CHUNK_SIZE + 2))
async def test_texts_and_a_call_that_follows_join_wherever_they_stand(
    before: int, target: Path | str
) -> None:
    """Entries are kept in chunks, each with its messages joined; what meets at an edge joins too."""
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        async with tract.batch() as batch:
            for number in range(before):
                batch.commit({"content_type": "freeform", "payload": number})
            for text in ("a plan", "a reason"):
                batch.commit({"content_type": "reasoning", "text": text})
            call = {"tool_name": "f", "direction": "call", "payload": "{}", "call_id": "c"}
            batch.commit({"content_type": "tool_io", **call})
        context = await tract.compile()

    assert [(message.role, len(message.tool_calls)) for message in context.messages] == [
        ("assistant", 1)
    ]
    assert len(context.to_openai(open_calls="keep")) == 1
    assert context.token_count == COUNTER.count_messages(context.to_dicts())
