"""Streams become the items that the whole reply has, and wherever they end, what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.responses_items import FORMAT, messages_of, sent, streamed
from tract.formats.format import Reply
from tract.protocols.parts import ToolCallPart

pytestmark = pytest.mark.measured

Event = dict[str, Any]

THOUGHT: Event = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm, so"}],
    "encrypted_content": "gAAAA",
}
SAID: Event = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "text": '{"a": 1}', "annotations": [{"type": "file_path"}]},
        {"type": "refusal", "refusal": "No more."},
    ],
}
CALL: Event = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"a": 1}',
    "status": "completed",
}
CUSTOM: Event = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "call_2",
    "name": "sh",
    "input": "ls",
}
OUTPUT = [THOUGHT, SAID, CALL, CUSTOM]
USAGE = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
RESPONSE = {"id": "resp_1", "object": "response", "model": "gpt-5", "created_at": 1, "tools": []}


def events(output: list[Event] | None = None) -> Iterator[Event]:
    """Yield the events of a reply, as the API sends them."""
    items = OUTPUT if output is None else output
    yield event("created", response={**RESPONSE, "status": "in_progress", "output": []})
    for index, item in enumerate(items):
        for each in _READERS[item["type"]](item):
            yield {**each, "output_index": index, "item_id": item["id"]}
    yield event("completed", response=finished(items))


def finished(output: list[Event]) -> Event:
    return {**RESPONSE, "status": "completed", "usage": USAGE, "output": output}


def event(kind: str, **fields: Any) -> Event:
    return {"type": f"response.{kind}", "sequence_number": 0, **fields}


def grown(name: str, text: str, key: str = "text", **at: Any) -> Iterator[Event]:
    """Yield a text in two pieces, and whole."""
    for piece in (text[:3], text[3:]):
        yield event(f"{name}.delta", delta=piece, **at)
    yield event(f"{name}.done", **{key: text}, **at)


def _thought(item: Event) -> Iterator[Event]:
    yield event("output_item.added", item={**item, "summary": [], "encrypted_content": ""})
    for number, part in enumerate(item["summary"]):
        at: Event = {"summary_index": number}
        yield event("reasoning_summary_part.added", part={**part, "text": ""}, **at)
        yield from grown("reasoning_summary_text", part["text"], **at)
        yield event("reasoning_summary_part.done", part=part, **at)
    yield event("output_item.done", item=item)


def _said(item: Event) -> Iterator[Event]:
    yield event("output_item.added", item={**item, "content": [], "status": "in_progress"})
    text, refusal = item["content"]
    empty = {**text, "text": "", "annotations": []}
    yield event("content_part.added", part=empty, content_index=0)
    yield from grown("output_text", text["text"], content_index=0)
    for number, each in enumerate(text["annotations"]):
        at = {"content_index": 0, "annotation_index": number}
        yield event("output_text.annotation.added", annotation=each, **at)
    yield event("content_part.done", part=text, content_index=0)
    yield event("content_part.added", part={**refusal, "refusal": ""}, content_index=1)
    yield from grown("refusal", refusal["refusal"], "refusal", content_index=1)
    yield event("content_part.done", part=refusal, content_index=1)
    yield event("output_item.done", item=item)


def _called(item: Event) -> Iterator[Event]:
    yield event("output_item.added", item={**item, "arguments": "", "status": "in_progress"})
    yield from grown("function_call_arguments", item["arguments"], "arguments")
    yield event("output_item.done", item=item)


def _custom(item: Event) -> Iterator[Event]:
    yield event("output_item.added", item={**item, "input": ""})
    yield from grown("custom_tool_call_input", item["input"], "input")
    yield event("output_item.done", item=item)


_READERS = {
    "custom_tool_call": _custom,
    "function_call": _called,
    "message": _said,
    "reasoning": _thought,
}


def without(found: Iterator[Event], *ends: str) -> list[Event]:
    return [each for each in found if not each["type"].endswith(ends)]


def test_a_stream_gives_the_items_of_the_whole_reply() -> None:
    whole = FORMAT.reply(finished(OUTPUT))
    assert whole is not None
    assert whole.items == OUTPUT
    assert whole[1:5] == (USAGE, "gpt-5", "resp_1", "completed")
    assert streamed(events()) == whole


@pytest.mark.parametrize(
    "ends",
    [
        ("output_item.done",),
        ("content_part.done", "text.done", "part.done", "arguments.done", "refusal.done"),
        (".delta",),
        ("output_item.added", ".delta", ".part.added"),
        (".delta", ".done"),
        (".delta", ".done", ".added"),
    ],
    ids=" ".join,
)
def test_what_some_events_do_not_say_others_do(ends: tuple[str, ...]) -> None:
    assert streamed(without(events(), *ends)).items == OUTPUT


def test_pieces_alone_are_enough_but_for_what_only_the_whole_says() -> None:
    found = without(events(), ".done")
    found[-1] = event("completed", response=finished([]))
    thought = {**THOUGHT, "encrypted_content": ""}
    assert streamed(found).items == [thought, SAID, CALL, CUSTOM]


def test_a_whole_item_counts_more_than_the_list_at_the_end() -> None:
    other = [{**THOUGHT, "encrypted_content": "another"}, SAID, CALL, CUSTOM]
    found = [*list(events())[:-1], event("completed", response=finished(other))]
    assert streamed(found).items == OUTPUT


def test_pieces_that_come_again_after_the_whole_add_nothing() -> None:
    found = list(events())
    again = [each for each in found if each["type"].endswith(("delta", "part.added"))]
    assert streamed([*found[:-1], *again, found[-1]]).items == OUTPUT


def test_the_list_at_the_end_is_for_the_items_that_did_not_come_whole() -> None:
    other = [{**THOUGHT, "encrypted_content": "another"}, {**SAID, "status": "incomplete"}]
    found = without(events([THOUGHT, SAID]), "output_item.done", "completed")
    done = event("output_item.done", item=THOUGHT, output_index=0)
    end = event("completed", response=finished(other))
    assert streamed([*found, done, end]).items == [THOUGHT, other[1]]


def test_a_list_at_the_end_that_counts_otherwise_repeats_nothing() -> None:
    found = [{**each, "output_index": each.get("output_index", 0) + 3} for each in events([SAID])]
    found[-1] = event("completed", response=finished([{**SAID, "id": "msg_2"}]))
    assert streamed(found).items == [SAID]


def test_pieces_of_items_that_share_one_index_go_by_id() -> None:
    second = {**CALL, "id": "fc_2", "call_id": "call_2", "arguments": '{"b": 2}'}
    one, two = ([*events([call])][1:-2] for call in (CALL, second))
    mixed = [{**each, "output_index": 0} for pair in zip(one, two, strict=True) for each in pair]
    assert streamed(mixed, complete=False).items == [CALL, second]


def test_the_list_at_the_end_fills_in_what_did_not_come() -> None:
    found = [each for each in events() if each.get("output_index") not in (0, 2)]
    assert streamed(found).items == OUTPUT


def test_items_interleave() -> None:
    whole = list(events())
    one = [each for each in whole if each.get("output_index") in (0, 1)]
    two = [each for each in whole if each.get("output_index") in (2, 3)]
    mixed = [each for pair in zip(two, one, strict=False) for each in pair]
    mixed += one[len(two) :] + two[len(one) :]
    assert streamed([whole[0], *mixed, whole[-1]]).items == OUTPUT


@pytest.mark.parametrize("key", ["output_index", "item_id"])
def test_events_without_an_index_or_without_an_id_find_their_item(key: str) -> None:
    found = [{name: value for name, value in each.items() if name != key} for each in events()]
    assert streamed(found).items == OUTPUT


def test_calls_that_share_one_index_stay_two() -> None:
    second = {**CALL, "id": "fc_2", "call_id": "call_2"}
    found = [{**each, "output_index": 0} for each in events([CALL, second])][1:-1]
    assert streamed(found).items == [CALL, second]


def test_ids_that_change_from_event_to_event_are_of_one_item() -> None:
    found = list(events([SAID]))
    for number, each in enumerate(found):
        if "item" in each:
            each["item"] = {**each["item"], "id": f"msg_tmp_{number}"}
        each["item_id"] = "msg_tmp"
    (item,) = streamed(found).items
    assert {**item, "id": "msg_1"} == SAID


def test_a_stream_that_is_cut_off_anywhere_keeps_what_came() -> None:
    whole = list(events())
    said = ""
    for end, each in enumerate(whole):
        said += each.get("delta", "")
        reply = streamed(whole[: end + 1], complete=False)
        held = "".join(strings(reply))
        assert said in held
        assert reply.finish_reason == (None if end < len(whole) - 1 else "completed")
        sent(messages_of(*reply.items))


def strings(reply: Reply) -> Iterator[str]:
    for item in reply.items:
        for block in [*item.get("summary", ()), *item.get("content", ())]:
            yield block.get("text", "") + block.get("refusal", "")
        yield item.get("arguments", "") + item.get("input", "")
    yield from (part.arguments for part in reply.unfinished)


def test_a_call_that_is_cut_off_is_not_among_the_items() -> None:
    found = [each for each in events([CALL, CUSTOM]) if "done" not in each["type"]][:-1]
    reply = streamed(found, complete=False)
    assert reply.items == []
    assert reply.unfinished == (
        ToolCallPart(id="call_1", name="f", arguments='{"a": 1}'),
        ToolCallPart(id="call_2", name="sh", arguments="ls", kind="custom"),
    )


def test_a_call_whose_arguments_came_whole_is_whole() -> None:
    found = without(events([CALL]), "output_item.done", "completed")
    assert streamed(found, complete=False).items == [CALL]


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_reply_that_met_its_limit_keeps_the_call_that_it_cut_off_apart(is_streamed: bool) -> None:
    broken = {**CALL, "arguments": '{"a"', "status": "incomplete"}
    details = {"reason": "max_output_tokens"}
    end = {**finished([SAID, broken]), "status": "incomplete", "incomplete_details": details}
    reply = FORMAT.reply(end)
    if is_streamed:
        reply = streamed([*list(events([SAID, broken]))[:-1], event("incomplete", response=end)])
    assert reply is not None
    assert reply.items == [SAID]
    assert reply.finish_reason == "max_output_tokens"
    assert reply.usage == USAGE
    assert [part.arguments for part in reply.unfinished] == ['{"a"']


def test_a_reply_that_failed_says_so() -> None:
    end = {**RESPONSE, "status": "failed", "output": [], "error": {"code": "server_error"}}
    reply = streamed([next(events()), event("failed", response=end)])
    assert (reply.items, reply.finish_reason) == ([], "failed")
    error = {"type": "error", "code": "x", "message": "no", "param": None, "sequence_number": 1}
    assert streamed([next(events()), error]).finish_reason == "failed"


def test_a_text_whose_emoji_was_split_is_whole() -> None:
    at = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
    pieces = [event("output_text.delta", delta=half, **at) for half in ("\ud83d", "\ude00")]
    (item,) = streamed(pieces, complete=False).items
    assert item["content"] == [{"type": "output_text", "text": "😀"}]


def test_shells_and_patches_grow() -> None:
    shell = {"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {"commands": []}}
    patch = {"type": "apply_patch_call", "id": "ap_1", "call_id": "d", "operation": {"diff": ""}}
    found = [
        event("output_item.added", item=shell, output_index=0),
        event("shell_call_command.added", command="l", command_index=0, output_index=0),
        event("shell_call_command.delta", delta="s", command_index=0, output_index=0),
        event("output_item.added", item=patch, output_index=1),
        event("apply_patch_call_operation_diff.delta", delta="+a", output_index=1),
        event(
            "shell_call_output_content.delta",
            delta={"stdout": "a"},
            command_index=0,
            output_index=2,
        ),
    ]
    items = streamed(found, complete=False).items
    assert items[0]["action"] == {"commands": ["ls"]}
    assert items[1]["operation"] == {"diff": "+a"}
    assert items[2] == {"type": "shell_call_output", "output": [{"stdout": "a"}]}


def test_an_event_that_nobody_knows_is_named_once() -> None:
    odd = event("hologram.delta", delta="x")
    reply = streamed([*list(events())[:3], odd, odd, *list(events())[3:]])
    assert reply.items == OUTPUT
    assert reply.unknown == ("response.hologram.delta",)
    later = {"type": "hologram", "id": "h_1"}
    reply = FORMAT.reply(finished([later])) or reply
    assert (reply.items, reply.unknown) == ([later], ("hologram",))


def test_only_this_apis_replies_and_events_are_taken() -> None:
    replies: list[Event] = [
        {"object": "chat.completion", "choices": []},
        {"type": "message", "content": []},
        {"candidates": []},
        {},
    ]
    others: list[Event] = [
        {"object": "chat.completion.chunk", "choices": []},
        {"type": "message_start", "message": {}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "no"}},
        {"type": 7},
        {},
    ]
    assert [FORMAT.reply(each) for each in replies] == [None] * 4
    assert [FORMAT.is_event(each) for each in others] == [False] * 5
    assert FORMAT.is_event(next(events()))
    assert FORMAT.is_event({"type": "error", "code": "x", "message": "no", "sequence_number": 0})
