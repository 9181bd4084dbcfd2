"""Faults in requests to Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from providers.mutations.table import Request, Table, first, lists, put

TABLE = Table()
Block = dict[str, Any]


def _blocks(request: Request, *kinds: str) -> Iterator[Block]:
    for content in lists(request, "messages", "content"):
        yield from (block for block in content if block.get("type") in kinds)


def _in_lists(request: Request, kind: str) -> Iterator[tuple[list[Block], int]]:
    for content in lists(request, "messages", "content"):
        yield from ((content, n) for n, block in enumerate(content) if block.get("type") == kind)


def _has_result(content: list[Block], call_id: str) -> bool:
    return any(block.get("tool_use_id") == call_id for block in content)


def _rename(request: Request, new: str) -> bool:
    old = next((block["id"] for block in _blocks(request, "tool_use")), None)
    for block in _blocks(request, "tool_use", "tool_result"):
        block.update({key: new for key in ("id", "tool_use_id") if block.get(key) == old})
    return old is not None


def _say(request: Request, role: str, text: str, model: str) -> bool:
    request["model"] = model
    request["messages"].append({"role": role, "content": [{"type": "text", "text": text}]})
    return True


@TABLE.breaks("call-without-result")
def drop_a_result(request: Request) -> bool:
    return first(_in_lists(request, "tool_result"), lambda found: found[0].pop(found[1]))


@TABLE.breaks("call-without-result")
def user_speaks_before_the_result(request: Request) -> bool:
    for n, message in enumerate(request["messages"]):
        if any(b.get("type") == "tool_result" for b in message["content"] if isinstance(b, dict)):
            late = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
            request["messages"][n:n] = late
            return True
    return False


@TABLE.breaks("result-without-call")
def drop_a_call(request: Request) -> bool:
    return first(_in_lists(request, "tool_use"), lambda found: found[0].pop(found[1]))


@TABLE.breaks("result-without-call")
def drop_a_call_of_a_server_tool(request: Request) -> bool:
    found = _in_lists(request, "server_tool_use")
    finished = (pair for pair in found if _has_result(pair[0], pair[0][pair[1]]["id"]))
    return first(finished, lambda pair: pair[0].pop(pair[1]))


@TABLE.breaks("results-first")
def text_before_a_result(request: Request) -> bool:
    text = {"type": "text", "text": "First of all:"}
    return first(_in_lists(request, "tool_result"), lambda found: found[0].insert(found[1], text))


@TABLE.breaks("duplicate-id")
def one_id_for_two_calls(request: Request) -> bool:
    calls = list(_blocks(request, "tool_use"))
    if len(calls) > 1:
        calls[1]["id"] = calls[0]["id"]
    return len(calls) > 1


@TABLE.breaks("duplicate-result")
def one_result_twice(request: Request) -> bool:
    return first(
        _in_lists(request, "tool_result"),
        lambda found: found[0].insert(found[1], dict(found[0][found[1]])),
    )


@TABLE.breaks("id-pattern")
def id_of_another_api(request: Request) -> bool:
    return _rename(request, "call_1|fc_1")


@TABLE.breaks("id-pattern")
def id_of_a_server_tool_without_its_prefix(request: Request) -> bool:
    return first(_blocks(request, "server_tool_use"), put(id="call_1"))


@TABLE.breaks("tool-name")
def call_of_a_tool_with_a_dot_in_its_name(request: Request) -> bool:
    return first(_blocks(request, "tool_use"), put(name="fs.read file"))


@TABLE.breaks("tool-name")
def tool_with_129_letters(request: Request) -> bool:
    return first(iter(request.get("tools") or ()), put(name="x" * 129))


@TABLE.breaks("duplicate-tool")
def one_tool_twice(request: Request) -> bool:
    return first(iter(request.get("tools") or ()), lambda tool: request["tools"].append(dict(tool)))


@TABLE.breaks("tool-input")
def input_as_text(request: Request) -> bool:
    return first(_blocks(request, "tool_use"), put(input="{}"))


@TABLE.breaks("blank-text")
def blank_block(request: Request) -> bool:
    return first(_blocks(request, "text"), put(text=" \n"))


@TABLE.breaks("blank-text")
def blank_message(request: Request) -> bool:
    return first(iter(request["messages"]), put(content=" "))


@TABLE.breaks("not-empty")
def message_without_blocks(request: Request) -> bool:
    return first(iter(request["messages"]), put(content=[]))


@TABLE.breaks("not-empty")
def no_messages(request: Request) -> bool:
    request["messages"] = []
    return True


@TABLE.breaks("content")
def content_as_an_object(request: Request) -> bool:
    return first(iter(request["messages"]), put(content={"type": "text", "text": "hi"}))


@TABLE.breaks("trailing-whitespace")
def space_after_the_last_word(request: Request) -> bool:
    return _say(request, "assistant", "Well, ", "claude-sonnet-4-5")


@TABLE.breaks("prefill")
def assistant_speaks_last(request: Request) -> bool:
    return _say(request, "assistant", "Well", "claude-opus-4-8")


@TABLE.breaks("system-model")
def system_message_for_an_older_model(request: Request) -> bool:
    return _say(request, "system", "Be brief.", "claude-sonnet-4-5-20250929")


@TABLE.breaks("system-place")
def system_message_first(request: Request) -> bool:
    request["model"] = "claude-opus-4-8"
    request["messages"].insert(0, {"role": "system", "content": "Be brief."})
    return True


@TABLE.breaks("system-place")
def two_system_messages(request: Request) -> bool:
    return all(_say(request, "system", text, "claude-opus-4-8") for text in ("Be brief.", "Now."))


@TABLE.breaks("role")
def role_of_another_api(request: Request) -> bool:
    return first(iter(request["messages"]), put(role="developer"))


@TABLE.breaks("block-type")
def block_of_another_api(request: Request) -> bool:
    return first(_blocks(request, "text"), put(type="input_text"))


@TABLE.breaks("signature")
def stripped_signature(request: Request) -> bool:
    return first(_blocks(request, "thinking"), lambda block: block.pop("signature"))


@TABLE.breaks("signature")
def empty_signature(request: Request) -> bool:
    return first(_blocks(request, "thinking"), put(signature=""))


@TABLE.breaks("base64")
def cut_signature(request: Request) -> bool:
    return first(_blocks(request, "thinking"), lambda b: put(signature=b["signature"][:-1])(b))


@TABLE.breaks("signature")
def empty_redacted_thinking(request: Request) -> bool:
    return first(_blocks(request, "redacted_thinking"), put(data=""))


@TABLE.breaks("thinking-text")
def thinking_without_text(request: Request) -> bool:
    return first(_blocks(request, "thinking"), lambda block: block.pop("thinking"))


@TABLE.breaks("thinking-first")
def thinking_dropped_in_a_tool_loop(request: Request) -> bool:
    last = request["messages"][-1]["content"]
    looped = any(isinstance(b, dict) and b.get("type") == "tool_result" for b in last)
    enabled = (request.get("thinking") or {}).get("type") == "enabled"
    found = _in_lists(request, "thinking")
    return looped and enabled and first(found, lambda pair: pair[0].pop(pair[1]))


@TABLE.breaks("thinking-last")
def thinking_at_the_end(request: Request) -> bool:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    answers = [m["content"] for m in request["messages"][:-1] if m["role"] == "assistant"]
    return first((c for c in answers if isinstance(c, list)), lambda c: c.append(thinking))


@TABLE.breaks("cache-points")
def thinking_as_a_cache_point(request: Request) -> bool:
    return first(_blocks(request, "thinking"), put(cache_control={"type": "ephemeral"}))


@TABLE.breaks("cache-points")
def five_cache_points(request: Request) -> bool:
    text = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
    request["messages"].append({"role": "user", "content": [text] * 5})
    return True


@TABLE.breaks("error-content")
def error_that_says_nothing(request: Request) -> bool:
    return first(_blocks(request, "tool_result"), put(is_error=True, content=[]))


@TABLE.breaks("media-type")
def image_of_no_web_format(request: Request) -> bool:
    images = (b["source"] for b in _blocks(request, "image") if b["source"]["type"] == "base64")
    return first(images, put(media_type="image/tiff"))


@TABLE.breaks("base64")
def image_data_as_a_data_url(request: Request) -> bool:
    images = (b["source"] for b in _blocks(request, "image") if b["source"]["type"] == "base64")
    return first(images, put(data="data:image/png;base64,AAAA"))


@TABLE.breaks("url")
def image_at_a_path(request: Request) -> bool:
    return first(_blocks(request, "image"), put(source={"type": "url", "url": "file:///cat.png"}))


@TABLE.breaks("media-source")
def image_from_nowhere(request: Request) -> bool:
    return first(_blocks(request, "image"), put(source={"type": "image_url"}))
