"""Whole answers of Chat Completions APIs, and their messages as the next request wants them."""

from __future__ import annotations

import json
from typing import Any

from tract.formats.common.values import as_text, objects, string
from tract.formats.format import Json, Reply
from tract.formats.openai_chat.reading import read
from tract.formats.openai_chat.shapes import hollow
from tract.protocols.parts import NativePart, ToolCallPart

__all__ = ["read_reply", "reply_of", "sendable"]

TRUNCATING = frozenset(
    {
        "length",
        "max_tokens",
        "model_length",
        "content_filter",
        "error",
        "insufficient_system_resource",
    }
)
"""Finish reasons that may leave a call unfinished."""
_KNOWN_KEYS = frozenset(
    {
        "annotations",
        "audio",
        "content",
        "executed_tools",
        "extra_content",
        "function_call",
        "images",
        "prefix",
        "refusal",
        "thought_signature",
        "tool_calls",
        "provider_specific_fields",
        "thinking_blocks",
    }
)
"""Keys of messages that are known, though they have no neutral form."""


def read_reply(reply: Json) -> Reply | None:
    """Return a whole answer; of several choices the first is kept.

    An error in mid-answer may leave it without choices, or a choice without a message.
    """
    choices = objects(reply.get("choices"))
    choice = choices[0] if choices else {}
    if "message" not in choice and reply.get("object") != "chat.completion":
        return None
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {"role": "assistant", "content": ""}
    return reply_of(message, reply, string(choice.get("finish_reason")))


def reply_of(
    message: Json, said: Json, finish_reason: str | None, *, complete: bool = True
) -> Reply:
    """Return the reply of a message as it came.

    Args:
        message: the message, all of it that arrived.
        said: what the API says about it: `usage`, `model` and `id`.
        finish_reason: why it ended; None if nobody said.
        complete: whether it came to its end.
    """
    whole = complete and finish_reason is not None and finish_reason not in TRUNCATING
    item = sendable(message)
    unfinished = [] if whole else _take_unfinished(item)
    _take_nameless(item, unfinished)
    _give_content(item)
    usage = said.get("usage")
    return Reply(
        items=[item],
        usage=usage if isinstance(usage, dict) else None,
        model=string(said.get("model")),
        response_id=string(said.get("id")),
        finish_reason=finish_reason,
        unfinished=tuple(unfinished),
        unknown=_unknown(item),
    )


def sendable(message: Json) -> Json:
    """Return an answer's message as the next request takes it, without what says nothing.

    Answers have nulls, empty lists and hollow objects for all that is not there, and the places of
    calls in their list. The calls of some APIs lack their type. What an SDK parsed is not sent back.
    """
    item: Json = {"role": "assistant"}
    for key, value in message.items():
        empty = (
            key == "parsed"
            or value is None
            or value in ([], {})
            or (key in _HOLLOW and hollow(value))
        )
        if key in ("role", "content", "reasoning_content") or not empty:
            item[key] = value
    if item["role"] is None:
        item["role"] = "assistant"
    if isinstance(item.get("tool_calls"), list):
        item["tool_calls"] = [_sendable_call(call) for call in item["tool_calls"]]
    if not item.get("reasoning_content"):
        # DeepSeek wants it back with calls, be it empty.
        if item.get("reasoning_content") is None or "tool_calls" not in item:
            item.pop("reasoning_content", None)
    return item


_PARSED = "parsed_arguments"
"""What the SDK makes of a call's arguments; `parsed` is what it makes of a text."""
_HOLLOW = frozenset({"audio", "function_call", "reasoning", "refusal"})


def _sendable_call(call: Any) -> Any:
    if not isinstance(call, dict):
        return call
    made = {
        key: value
        for key, value in call.items()
        if key != "index" and not (key in ("custom", "function", "id") and hollow(value))
    }
    if not made.get("type"):
        made["type"] = "custom" if "custom" in made and "function" not in made else "function"
    if isinstance(made.get("function"), dict):
        function = {key: made["function"][key] for key in made["function"] if key != _PARSED}
        if isinstance(function.get("arguments"), dict):
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
        made["function"] = function
    return made


def _take_unfinished(item: Json) -> list[ToolCallPart]:
    """Take calls that may be cut off out of *item*, and return them."""
    unfinished: list[ToolCallPart] = []
    calls = _listed(item.get("tool_calls"))
    kept = []
    for n, call in enumerate(calls, 1):
        if _is_whole(call, last=n == len(calls)):
            kept.append(call)
        else:
            unfinished += _parts({"role": "assistant", "tool_calls": [call]})
    if calls:
        item["tool_calls"] = kept
    called = item.get("function_call")
    if isinstance(called, dict) and not is_object(called.get("arguments")):
        unfinished += _parts({"role": "assistant", "function_call": called})
        del item["function_call"]
    return unfinished


def _is_whole(call: Any, *, last: bool) -> bool:
    if not isinstance(call, dict):
        return True
    if call.get("type") == "custom":
        return not last  # its input is any text, so nothing shows where it ends
    function = call.get("function")
    return isinstance(function, dict) and is_object(function.get("arguments"))


def _take_nameless(item: Json, unfinished: list[ToolCallPart]) -> None:
    """Take calls without a name out of *item*: nobody can answer them."""
    calls = _listed(item.get("tool_calls"))
    named = []
    for call in calls:
        called = call.get(str(call.get("type"))) if isinstance(call, dict) else None
        if isinstance(called, dict) and not called.get("name"):
            arguments = called.get("arguments") or called.get("input") or ""
            call_id = string(call.get("id"))
            unfinished.append(ToolCallPart(id=call_id, name="", arguments=as_text(arguments)))
        else:
            named.append(call)
    if named:
        item["tool_calls"] = named
    elif isinstance(item.get("tool_calls"), list):
        del item["tool_calls"]


def _give_content(item: Json) -> None:
    """Give a message that says nothing an empty text, which requests want."""
    if item.get("content") is None:
        if any(key in item for key in ("tool_calls", "function_call", "refusal", "audio")):
            item["content"] = None
        else:
            item["content"] = ""


def is_object(arguments: Any) -> bool:
    """Return True for the text of a JSON object."""
    if not isinstance(arguments, str):
        return False
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _parts(item: Json) -> list[ToolCallPart]:
    return [part for part in read(item).parts if isinstance(part, ToolCallPart)]


def _unknown(item: Json) -> tuple[str, ...]:
    kinds = [part.kind for part in read(item).parts if isinstance(part, NativePart)]
    return tuple(dict.fromkeys(kind for kind in kinds if kind not in _KNOWN_KEYS))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
