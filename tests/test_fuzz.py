"""Hostile input: only errors of the library's come out, and where one did nothing was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.effort import examples
from support.hostile import HOSTILE
from torture.fuzzer import CORPUS
from torture.targets import (
    Rig,
    attempt,
    check_config,
    check_content,
    check_messages,
    check_query,
)
from tract import (
    AsyncTract,
    Batch,
    CommitNotFoundError,
    CommitOperation,
    ContentValidationError,
    EditTargetError,
    HeadMovedError,
    Priority,
    TokenUsage,
)

EDIT = CommitOperation.EDIT
SAID = {"content_type": "dialogue", "role": "user", "text": "said"}
TARGETS = ("config", "content", "from_openai", "query")
SAVED = sorted(path for path in CORPUS.rglob("*") if path.is_file())

Check = Callable[[AsyncTract, Any], Any]


def message(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "x", **fields}]


def call(**fields: Any) -> list[dict[str, Any]]:
    made = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, **fields}
    return [{"role": "assistant", "content": None, "tool_calls": [made]}]


def large(value: Any) -> dict[str, Any]:
    """Return what is copied first, and looked at on a thread."""
    return {"padding": ["x" * 20] * 2_000, "a": value}


PLACES: dict[str, Check] = {
    "config": lambda tract, bad: check_config(tract, bad, None),
    "metadata": lambda tract, bad: check_config(tract, None, bad),
    "in a config": lambda tract, bad: check_config(tract, {"a": [1, {"b": bad}]}, None),
    "in metadata": lambda tract, bad: check_config(tract, None, {"a": (bad, bad)}),
    "at a secret": lambda tract, bad: check_config(tract, {"a": {"api_key": bad}}, None),
    "in a large config": lambda tract, bad: check_config(tract, large(bad), None),
    "in large metadata": lambda tract, bad: check_config(tract, None, large({"api_key": [bad]})),
    "content": lambda tract, bad: check_content(tract, bad),
    "content type": lambda tract, bad: check_content(tract, {"content_type": bad, "text": "x"}),
    "text": lambda tract, bad: check_content(tract, {"content_type": "instruction", "text": bad}),
    "role": lambda tract, bad: check_content(
        tract, {"content_type": "dialogue", "role": bad, "text": "x"}
    ),
    "payload": lambda tract, bad: check_content(
        tract, {"content_type": "freeform", "payload": bad}
    ),
    "in a payload": lambda tract, bad: check_content(
        tract, {"content_type": "freeform", "payload": {"a": [bad]}}
    ),
    "in a large payload": lambda tract, bad: check_content(
        tract, {"content_type": "freeform", "payload": large(bad)}
    ),
    "arguments": lambda tract, bad: check_content(
        tract,
        {"content_type": "tool_io", "tool_name": "f", "direction": "call", "payload": bad},
    ),
    "message": lambda tract, bad: check_content(
        tract, {"content_type": "instruction", "text": "x"}, bad
    ),
    "extra field": lambda tract, bad: check_content(
        tract, {"content_type": "instruction", "text": "x", "more": bad}
    ),
    "field": lambda tract, bad: check_query(tract, bad, "=", 1, None),
    "in a field": lambda tract, bad: check_query(tract, ("a", bad), "=", 1, None),
    "operator": lambda tract, bad: check_query(tract, "a", bad, 1, None),
    "value": lambda tract, bad: check_query(tract, "a", "=", bad, None),
    "ordered value": lambda tract, bad: check_query(tract, "a", "<", bad, None),
    "in a value": lambda tract, bad: check_query(tract, "a", "!=", {"a": [bad]}, None),
    "values": lambda tract, bad: check_query(tract, "a", "in", bad, None),
    "in values": lambda tract, bad: check_query(tract, "a", "not in", [1, bad], None),
    "limit": lambda tract, bad: check_query(tract, "a", "=", 1, bad),
    "messages": check_messages,
    "one of the messages": lambda tract, bad: check_messages(tract, [*message(), bad]),
    "role of a message": lambda tract, bad: check_messages(tract, message(role=bad)),
    "content of a message": lambda tract, bad: check_messages(tract, message(content=bad)),
    "name of a message": lambda tract, bad: check_messages(tract, message(name=bad)),
    "refusal": lambda tract, bad: check_messages(tract, message(refusal=bad)),
    "tool calls": lambda tract, bad: check_messages(
        tract, [{"role": "assistant", "content": "x", "tool_calls": bad}]
    ),
    "tool call": lambda tract, bad: check_messages(
        tract, [{"role": "assistant", "content": "x", "tool_calls": [bad]}]
    ),
    "type of a call": lambda tract, bad: check_messages(tract, call(type=bad)),
    "id of a call": lambda tract, bad: check_messages(tract, call(id=bad)),
    "function": lambda tract, bad: check_messages(tract, call(function=bad)),
    "arguments of a call": lambda tract, bad: check_messages(
        tract, call(function={"name": "f", "arguments": bad})
    ),
}


ARGUMENTS: dict[str, Check] = {
    "get_commit": lambda tract, bad: tract.get_commit(bad),
    "get_content": lambda tract, bad: tract.get_content(bad),
    "at_commit": lambda tract, bad: tract.compile(at_commit=bad),
    "at_time": lambda tract, bad: tract.compile(at_time=bad),
    "before": lambda tract, bad: tract.log(before=bad),
    "limit": lambda tract, bad: tract.log(bad),
    "annotated": lambda tract, bad: tract.annotate(bad, Priority.SKIP),
    "priority": lambda tract, bad: tract.annotate("0" * 64, bad),
    "reason": lambda tract, bad: tract.annotate("0" * 64, Priority.SKIP, reason=bad),
    "annotations of": lambda tract, bad: tract.get_annotations(bad),
    "operation": lambda tract, bad: tract.user("x", operation=bad),
    "edited": lambda tract, bad: tract.user("x", operation=EDIT, edit_target=bad),
    "target": lambda tract, bad: tract.user("x", edit_target=bad),
    "expected head": lambda tract, bad: tract.user("x", expected_head=bad),
    "head of the usage": lambda tract, bad: tract.record_usage(TokenUsage(1), head_hash=bad),
    "reset to": lambda tract, bad: tract.reset(bad),
    "head of a reset": lambda tract, bad: tract.reset("main", expected_head=bad),
    "head of a merge": lambda tract, bad: tract.merge("main", expected_head=bad),
    "compared": lambda tract, bad: tract.diff(bad, bad),
    "origins of": lambda tract, bad: tract.origins(bad),
    "usage": lambda tract, bad: tract.record_usage(bad),
    "in a usage": lambda tract, bad: tract.record_usage(
        {"prompt_tokens": 1, "completion_tokens": 1, "more": bad}
    ),
    "count of a usage": lambda tract, bad: tract.record_usage(
        {"prompt_tokens": bad, "completion_tokens": 1}
    ),
    "staged": lambda tract, bad: staged(tract, lambda batch: batch.commit(SAID, metadata=bad)),
    "staged target": lambda tract, bad: staged(
        tract, lambda batch: batch.commit(SAID, operation=EDIT, edit_target=bad)
    ),
    "staged annotation": lambda tract, bad: staged(
        tract, lambda batch: batch.annotate(bad, Priority.SKIP)
    ),
}
REFUSALS = (
    *(CommitNotFoundError, ContentValidationError, EditTargetError, HeadMovedError, ValueError),
)


async def staged(tract: AsyncTract, stage: Callable[[Batch], Any]) -> None:
    async with tract.batch() as batch:
        batch.commit(SAID)
        stage(batch)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
def test_every_hostile_value_in_every_place(rig: Rig, place: str) -> None:
    for name, make in HOSTILE.items():
        try:
            rig.run(lambda tract, make=make: PLACES[place](tract, make()))  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"the value is: {name}")
            raise


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_hostile_value_as_every_argument(rig: Rig, argument: str) -> None:
    for name, make in HOSTILE.items():

        async def refused(tract: AsyncTract, make: Callable[[], Any] = make) -> None:
            await attempt(tract, ARGUMENTS[argument](tract, make()), *REFUSALS)

        try:
            rig.run(refused)
        except BaseException as error:
            error.add_note(f"the value is: {name}")
            raise


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_made_of_any_bytes(rig: Rig, target: str) -> None:
    @given(st.binary(max_size=200))
    @settings(max_examples=examples(150))
    def fuzzed(data: bytes) -> None:
        rig.targets[target](data)

    fuzzed()


@pytest.mark.parametrize("path", SAVED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_the_fuzzer_kept(rig: Rig, path: Path) -> None:
    rig.targets[path.parent.name](path.read_bytes())


def test_every_target_has_a_corpus(rig: Rig) -> None:
    assert {path.parent.name for path in SAVED} == set(rig.targets) == set(TARGETS)
