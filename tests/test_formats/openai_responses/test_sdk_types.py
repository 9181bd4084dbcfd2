"""Whatever the SDK's types allow comes back as it was, a new release's types included."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import (
    CompactedResponse,
    Response,
    ResponseInputItemParam,
    ResponseOutputItem,
    ResponseStreamEvent,
    ToolParam,
)

from providers.validators import problems
from support.effort import effort
from support.responses_items import FORMAT, exactly, messages_of, rendered, same, sent
from support.sdk_types import Cases, cases, members, values
from tract import AsyncTract, from_responses, to_responses
from tract.formats.deltas import apply
from tract.formats.format import Writing, as_json
from tract.formats.openai_responses.kinds import ITEMS, kind_of
from tract.formats.sending import write_tools
from tract.protocols.parts import NativePart

API = "openai.responses"


def all_items() -> Cases:
    both = [cases(ResponseInputItemParam), cases(ResponseOutputItem)]
    names = frozenset(name for each in both for name in each.members)
    return Cases([value for each in both for value in each.values], names)


@pytest.mark.unmeasured
async def test_every_member_of_every_union_comes_back_from_a_store() -> None:
    found = all_items()
    kinds = {*members(ResponseInputItemParam), *members(ResponseOutputItem)}
    print(f"\n{len(found.values)} items, {len(found.members)} members, {len(kinds)} kinds of items")
    contents = from_responses(copy.deepcopy(found.values))

    async with AsyncTract.open() as tract:
        async with tract.batch() as batch:
            for content in contents:
                batch.commit(content)
        context = await tract.compile(aggregate_same_role=False)

    assert len(contents) == len(found.values)
    assert len(members(ResponseInputItemParam)) >= 33
    assert same(context.request(API, open_calls="keep"), {"input": found.values})


def test_every_kind_of_item_of_the_sdk_is_known() -> None:
    assert {kind_of(value) for value in all_items().values} == ITEMS


@pytest.mark.unmeasured
def test_an_item_of_any_type_can_be_sent() -> None:
    """Never an exception, whatever is in it, and the item stays as it was."""
    for value in all_items().values:
        before = copy.deepcopy(value)
        sent(messages_of(value))
        assert same(value, before)


@given(st.lists(values(ResponseInputItemParam), max_size=3))
def test_any_list_of_items_comes_back(items: list[Any]) -> None:
    assert same(exactly(messages_of(*items)), {"input": items})


@given(st.lists(values(ResponseInputItemParam), max_size=3))
def test_any_list_of_items_can_be_sent(items: list[Any]) -> None:
    sent(messages_of(*items))


def test_the_parts_of_an_item_are_the_same_with_their_own_json() -> None:
    for value in all_items().values:
        role, parts, _ = FORMAT.read(value)
        kept = FORMAT.read(value, keep=True)

        assert (role, len(parts)) == (kept.role, len(kept.parts))
        assert [type(part) for part in parts] == [type(part) for part in kept.parts]
        if isinstance(value.get("content"), list) and kind_of(value) == "message":
            natives = [part.native.item for part in kept.parts if part.native]
            assert same(natives, value["content"])
        elif kind_of(value) != "message":
            assert all(part.native and same(part.native.item, value) for part in kept.parts)


@given(values(ResponseInputItemParam), st.sampled_from(["user", "assistant", "tool", "critic"]))
def test_an_item_shown_in_another_role_can_be_sent(item: Any, role: str) -> None:
    (content,) = FORMAT.contents([item])
    sent(rendered([content], role=role))


def test_a_tool_of_any_type_comes_back() -> None:
    for value in cases(ToolParam).values:
        (content,) = from_responses([], tools=[copy.deepcopy(value)])
        given_tools = content.model_dump()["tools"]
        again = write_tools(FORMAT, given_tools, API, Writing())
        assert same(again, {"tools": [value]})
        FORMAT.read_tool(value)


@pytest.mark.unmeasured
@pytest.mark.parametrize("form", [Response, CompactedResponse])
def test_a_whole_reply_of_any_type_is_kept_as_dict_and_as_the_sdks_object(form: Any) -> None:
    for value in cases(form).values:
        reply = FORMAT.reply(value)
        assert reply is not None
        assert len(reply.items) + len(reply.unfinished) == len(value["output"])
        as_object = as_json(form.construct(**copy.deepcopy(value)))
        assert as_object is not None
        assert FORMAT.reply(dict(as_object)) is not None


def test_an_output_item_of_any_type_is_kept_as_the_next_request_takes_it() -> None:
    """All of it, except who made it, which no request says."""
    for value in cases(ResponseOutputItem).values:
        reply = FORMAT.reply({"object": "response", "status": "completed", "output": [value]})
        assert reply is not None
        expected = {key: each for key, each in value.items() if key != "created_by"}
        assert same(reply.items, [expected])
        assert reply.unknown == ()


def test_an_event_of_any_type_is_read() -> None:
    known: set[str] = set()
    for value in cases(ResponseStreamEvent).values:
        reader = FORMAT.events()
        root: dict[str, Any] = {}
        assert FORMAT.is_event(value)
        apply(root, json.loads(json.dumps(reader.feed(value))))
        reply = FORMAT.events().reply(root, complete=False)
        known |= {value["type"]} - set(reply.unknown)
    unheard = {f"response.audio.{each}" for each in ("delta", "done")}
    unheard |= {f"response.audio.transcript.{each}" for each in ("delta", "done")}
    assert {value["type"] for value in cases(ResponseStreamEvent).values} - known == unheard


@pytest.mark.parametrize("kind", ["hologram", None, 7])
def test_an_item_of_a_later_release_comes_back(kind: Any) -> None:
    item = {"type": kind, "depth": [1.0, {"a": None}]}
    (message,) = messages_of(item)

    assert same(exactly([message]), {"input": [item]})
    assert [type(part) for part in message.parts] == [NativePart]


ALL = all_items().values
BY_KIND = {kind: [item for item in ALL if kind_of(item) == kind] for kind in sorted(ITEMS)}
A_HELLO = {"role": "user", "content": "Hello"}


@st.composite
def conversations(draw: st.DrawFn) -> list[Any]:
    """Draw items of any kinds in any order; some calls and results have ids in common."""
    found = []
    for kind in draw(st.lists(st.sampled_from(sorted(BY_KIND)), max_size=8)):
        item = copy.deepcopy(draw(st.sampled_from(BY_KIND[kind])))
        if "call_id" in item:
            prefix = "program" if kind.startswith("program") else "call"
            item["call_id"] = f"{prefix}_{draw(st.integers(1, 3))}"
        if isinstance(item.get("caller"), dict) and "caller_id" in item["caller"]:
            item["caller"]["caller_id"] = f"program_{draw(st.integers(1, 3))}"
        if draw(st.booleans()):
            item.pop("id", None)
        found.append(item)
    return found


@pytest.mark.parametrize("how", ["error", "drop"])
@given(items=conversations())
def test_what_is_sent_of_any_items_is_accepted(how: Any, items: list[Any]) -> None:
    messages = messages_of(*items, A_HELLO)
    request: dict[str, Any] = {**to_responses(messages, open_calls=how, model="gpt-5.4")}

    assert problems(API, request) == []
    assert A_HELLO in request["input"]


@pytest.mark.long
@settings(max_examples=effort(500, 2000))
@given(items=conversations())
def test_what_is_sent_of_many_items_is_accepted(items: list[Any]) -> None:
    request: dict[str, Any] = {**to_responses(messages_of(*items, A_HELLO), model="gpt-5.4")}
    assert problems(API, request) == []
