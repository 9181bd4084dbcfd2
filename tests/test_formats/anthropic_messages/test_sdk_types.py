"""Whatever the SDK's types allow comes back as it was, a new release's types included."""

from __future__ import annotations

import copy
import json
from typing import Any, get_type_hints

import pytest
from anthropic._models import construct_type
from anthropic.types import (
    ContentBlockParam,
    Message,
    MessageParam,
    RawMessageStreamEvent,
    ToolUnionParam,
)
from anthropic.types.beta import (
    BetaContentBlockParam,
    BetaMessage,
    BetaMessageParam,
    BetaRawMessageStreamEvent,
    BetaToolUnionParam,
)
from anthropic.types.beta.message_create_params import MessageCreateParamsBase
from hypothesis import given
from hypothesis import strategies as st

from support.anthropic_items import FORMAT, exactly, messages_of, rendered, same, sent, streamed
from support.sdk_types import Cases, cases, members, values
from tract import AsyncTract, ContentValidationError, from_anthropic
from tract.formats.deltas import apply
from tract.formats.format import Writing, as_json
from tract.formats.sending import write_tools
from tract.protocols.parts import NativePart

MESSAGES = [pytest.param(MessageParam, id="stable"), pytest.param(BetaMessageParam, id="beta")]
REPLIES = [pytest.param(Message, id="stable"), pytest.param(BetaMessage, id="beta")]


def all_messages() -> Cases:
    both = [cases(MessageParam), cases(BetaMessageParam)]
    names = frozenset(name for each in both for name in each.members)
    return Cases([value for each in both for value in each.values], names)


@pytest.mark.unmeasured
async def test_every_member_of_every_union_comes_back_from_a_store() -> None:
    found = all_messages()
    blocks = {*members(ContentBlockParam), *members(BetaContentBlockParam)}
    print(f"\n{len(found.values)} messages, {len(found.members)} members, {len(blocks)} blocks")
    contents = from_anthropic(copy.deepcopy(found.values))

    async with AsyncTract.open() as tract:
        async with tract.batch() as batch:
            for content in contents:
                batch.commit(content)
        context = await tract.compile(aggregate_same_role=False)

    assert len(contents) == len(found.values)
    assert len(members(BetaContentBlockParam)) >= 42
    assert same(context.to_anthropic(open_calls="keep"), {"messages": found.values})


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_any_type_can_be_sent(message: Any) -> None:
    """Never an exception, whatever is in it, and the item stays as it was."""
    for value in cases(message).values:
        before = copy.deepcopy(value)
        sent(messages_of(value))
        assert same(value, before)


@given(st.lists(values(BetaMessageParam), max_size=3))
def test_any_list_of_messages_comes_back(items: list[Any]) -> None:
    assert same(exactly(messages_of(*items)), {"messages": items})


@given(st.lists(values(BetaMessageParam), max_size=3))
def test_any_list_of_messages_can_be_sent(items: list[Any]) -> None:
    sent(messages_of(*items))


@pytest.mark.parametrize("message", MESSAGES)
def test_the_parts_of_an_item_are_the_same_with_their_own_json(message: Any) -> None:
    for value in cases(message).values:
        role, parts, _ = FORMAT.read(value)
        kept = FORMAT.read(value, keep=True)

        assert (role, len(parts)) == (kept.role, len(kept.parts))
        assert [type(part) for part in parts] == [type(part) for part in kept.parts]
        if isinstance(value.get("content"), list):
            natives = [part.native.item for part in kept.parts if part.native]
            assert same(natives, value["content"])


def test_a_system_prompt_of_any_type_comes_back() -> None:
    wanted = get_type_hints(MessageCreateParamsBase)["system"]
    for value in cases(wanted).values:
        contents = from_anthropic([], system=copy.deepcopy(value))
        assert same(exactly(rendered(contents)), {"system": value, "messages": []})


@pytest.mark.parametrize(
    "tool", [pytest.param(ToolUnionParam, id="stable"), pytest.param(BetaToolUnionParam, id="beta")]
)
def test_a_tool_of_any_type_comes_back(tool: Any) -> None:
    for value in cases(tool).values:
        (content,) = from_anthropic([], tools=[copy.deepcopy(value)])
        given_tools = content.model_dump()["tools"]
        again = write_tools(FORMAT, given_tools, "anthropic.messages", Writing())
        assert same(again, {"tools": [value]})
        FORMAT.read_tool(value)


@pytest.mark.parametrize("message", REPLIES)
def test_a_whole_reply_of_any_type_is_kept_as_dict_and_as_the_sdks_object(message: Any) -> None:
    for value in cases(message).values:
        reply = FORMAT.reply(value)
        assert reply is not None
        assert same(reply.items, [{"role": value["role"], "content": value["content"]}])
        as_object = as_json(message.construct(**copy.deepcopy(value)))
        assert as_object is not None
        assert FORMAT.reply(dict(as_object)) is not None


@pytest.mark.parametrize("message", REPLIES)
def test_a_reply_streamed_gives_the_items_of_the_whole_one(message: Any) -> None:
    for given_value in cases(message).values:
        value = {**given_value, "stop_reason": given_value.get("stop_reason") or "end_turn"}
        whole = FORMAT.reply(value)
        assert whole is not None
        again = streamed(as_stream(value))
        assert same(again.items, whole.items)
        assert again[2:] == whole[2:]


def test_an_event_of_any_type_is_read() -> None:
    reader, root = FORMAT.events(), dict[str, Any]()
    for value in cases(BetaRawMessageStreamEvent).values:
        assert FORMAT.is_event(value)
        if value["type"] == "message_start":
            reader, root = FORMAT.events(), {}
        apply(root, json.loads(json.dumps(reader.feed(value))))
        FORMAT.events().reply(root, complete=False)


@pytest.mark.parametrize("kind", ["hologram", None, 7])
def test_a_block_of_a_later_release_comes_back(kind: Any) -> None:
    item = {"role": "assistant", "content": [{"type": kind, "depth": [1.0, {"a": None}]}]}

    assert same(exactly(messages_of(item)), {"messages": [item]})
    assert same(sent(messages_of(item)), {"messages": [item]})
    assert isinstance(FORMAT.read(item).parts[0], NativePart)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)
keys = st.sampled_from(["role", "content", "type", "text", "source", "system", "input", "id"])
words = st.sampled_from(
    ["user", "assistant", "system", "text", "tool_use", "tool_result", "image", "thinking"]
)
like_items = st.recursive(
    any_json | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(keys, like_items, max_size=5))
def test_any_json_object_can_be_read_kept_and_sent(item: dict[str, Any]) -> None:
    FORMAT.read(item, keep=True)
    messages = messages_of(item)
    sent(messages)
    if "role" in item:
        assert same(exactly(messages), {"messages": [item]})


def as_stream(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events that a whole reply would have come as."""
    start = {**reply, "content": [], "stop_reason": None, "usage": reply["usage"]}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(reply["content"]):
        begun, deltas = apart(block)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    ended = {key: reply.get(key) for key in ("stop_reason", "stop_sequence")}
    usage = {"output_tokens": reply["usage"]["output_tokens"]}
    events.append({"type": "message_delta", "delta": ended, "usage": usage})
    return [*events, {"type": "message_stop"}]


def apart(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it starts, and what is then added to it."""
    match block["type"]:
        case "text":
            text = block["text"]
            deltas: list[dict[str, Any]] = [
                {"type": "text_delta", "text": piece} for piece in (text[:2], "", text[2:])
            ]
            citations = block.get("citations")
            if citations:
                cited = [{"type": "citations_delta", "citation": each} for each in citations]
                return {**block, "text": "", "citations": []}, [*cited, *deltas]
            return {**block, "text": ""}, deltas
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            text = json.dumps(block["input"])
            pieces = ("", text[:1], text[1:]) if block["input"] else ("",)
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            return {**block, "input": {}}, deltas
        case "compaction":
            given = {key: block.get(key) for key in ("content", "encrypted_content")}
            started = {key: None if key in given else value for key, value in block.items()}
            return started, [{"type": "compaction_delta", **given}]
    return block, []


LATER: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-z",
    "stop_reason": "bored",
    "content": [
        {"type": "hologram", "depth": {"a": [1]}},
        {"type": "text", "text": "hi", "citations": [{"type": "moon", "phase": 1}]},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "new"}},
        {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}, "trigger": {"why": 1}},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 3, "moons": [2]},
}


@pytest.mark.parametrize("message", REPLIES)
def test_the_sdks_objects_keep_what_its_types_do_not_know(message: Any) -> None:
    received = construct_type(type_=message, value=copy.deepcopy(LATER))

    assert same(as_json(received), LATER)


@pytest.mark.parametrize("event", [RawMessageStreamEvent, BetaRawMessageStreamEvent])
@pytest.mark.parametrize(
    "given_event",
    [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "hologram", "x": 1}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "mood", "x": [1]}},
        {"type": "aura", "x": {"y": 1}},
    ],
    ids=lambda given_event: given_event["type"],
)
def test_the_sdks_events_keep_what_its_types_do_not_know(event: Any, given_event: Any) -> None:
    received = construct_type(type_=event, value=copy.deepcopy(given_event))

    assert same(as_json(received), given_event)


def test_messages_with_the_sdks_objects_in_them_are_taken() -> None:
    reply = construct_type(type_=Message, value=copy.deepcopy(LATER))
    assert isinstance(reply, Message)
    (content,) = from_anthropic([{"role": "assistant", "content": reply.content}])

    assert content.model_dump()["item"] == {"role": "assistant", "content": LATER["content"]}
    assert content == from_anthropic([reply.to_param()])[0]


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([{"role": "user", "content": "a"}, "b"], "messages[1]"),
        ([{"role": "user", "content": [{"type": "text", "text": b"x"}]}], "messages[0].content[0]"),
        ([{"role": "user", "content": float("nan")}], "messages[0].content"),
        ([{7: "user"}], "messages[0]"),
        ({"role": "user"}, "messages"),
        ("hi", "messages"),
        (None, "messages"),
    ],
    ids=str,
)
def test_what_json_cannot_hold_is_refused_with_its_path(messages: Any, path: str) -> None:
    with pytest.raises(ContentValidationError) as caught:
        from_anthropic(messages)

    assert caught.value.path.startswith(path)
