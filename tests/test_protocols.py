"""Shared values: messages, contexts as equals, and the mark for what was not given."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from tract import (
    UNSET,
    AsyncTract,
    CommitStep,
    CompiledContext,
    DefaultContextCompiler,
    Message,
    NullTokenCounter,
    TiktokenCounter,
    TokenCounter,
    TokenUsage,
    ToolCall,
    Unset,
)


def test_a_message_as_a_dict_has_only_the_keys_that_are_there() -> None:
    assert Message("user", "hi").to_dict() == {"role": "user", "content": "hi"}
    assert Message("assistant").to_dict() == {"role": "assistant", "content": None}
    assert Message("tool", "1", tool_call_id="c", tool_name="f", is_error=True).to_dict() == {
        "role": "tool",
        "content": "1",
        "tool_call_id": "c",
    }


def test_a_message_as_a_dict_keeps_arguments_to_the_byte() -> None:
    call = ToolCall("c", "f", '{"a" :  1.50}')

    assert Message("assistant", "x", name="ann", tool_calls=(call,)).to_dict() == {
        "role": "assistant",
        "content": "x",
        "name": "ann",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a" :  1.50}'}}
        ],
    }


def test_an_empty_name_is_still_a_name() -> None:
    assert Message("user", "", name="", tool_call_id="").to_dict() == {
        "role": "user",
        "content": "",
        "name": "",
        "tool_call_id": "",
    }


def test_every_dict_of_a_message_is_new() -> None:
    message = Message("assistant", tool_calls=(ToolCall("c", "f", "{}"),))
    message.to_dict()["tool_calls"][0]["function"]["name"] = "other"

    assert message.to_dict()["tool_calls"][0]["function"]["name"] == "f"


@pytest.mark.parametrize("value", [Message("user"), ToolCall(None, "f", ""), TokenUsage(1)])
def test_shared_values_are_frozen_and_hashable(value: Any) -> None:
    field = value.__dataclass_fields__.copy().popitem()[0]
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, 1)

    assert {value: 1}[copy.copy(value)] == 1
    assert pickle.loads(pickle.dumps(value)) == value


def test_unset_stays_itself_and_says_its_name() -> None:
    assert repr(UNSET) == "UNSET"
    assert copy.deepcopy(UNSET) is UNSET
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET
    assert list(Unset) == [UNSET]


@pytest.mark.parametrize("counter", [NullTokenCounter(), TiktokenCounter()])
def test_the_counters_are_of_the_protocol(counter: object) -> None:
    assert isinstance(counter, TokenCounter)


async def test_a_context_equals_itself_compiled_again(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        await tract.user("hi")
        first = await tract.compile()

        assert first == await tract.compile()
        assert first != await tract.record_usage({"prompt_tokens": 3, "completion_tokens": 0})
        assert first != first.to_dicts()


def view(*configs: str) -> CompiledContext:
    """Return the context of a history that depends on nothing but *configs*."""
    compiler = DefaultContextCompiler(NullTokenCounter())
    data = b'{"content_type":"output","format":"text","text":"hi"}'
    steps = [
        CommitStep(str(number), "append", None, "output", data, 0, "", config)
        for number, config in enumerate(configs)
    ]
    return compiler.view(compiler.fold(compiler.empty(), steps))


def test_contexts_with_other_configs_are_not_equal() -> None:
    assert view('{"a":1}') == view('{"a":1}')
    assert view('{"a":1}') != view('{"a":2}')


def test_a_context_cannot_be_a_key() -> None:
    context = view("{}")
    with pytest.raises(TypeError, match="unhashable"):
        hash(context)


def test_a_context_shows_its_head_and_size() -> None:
    assert repr(view("{}", "{}")).startswith("<SnapshotContext head=1 entries=2 tokens=")
    assert "head=None entries=0 tokens=0" in repr(view())


async def test_what_a_caller_changes_in_a_context_no_other_sees(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        await tract.user("hi", generation_config={"stop": ["a"]})
        one, two = await tract.compile(), await tract.compile()
        one.generation_configs[0]["stop"].append("b")
        one.messages.clear()
        one.commit_hashes.clear()

        assert two.generation_configs == [{"stop": ["a"]}]
        assert len(two.messages) == len(two.commit_hashes) == 1
        assert (await tract.compile()) == two
