"""What providers are sent for a context: worked out naively, and checked with official types."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from tract import AnthropicArguments, Message

OPENAI = TypeAdapter(list[ChatCompletionMessageParam])
ANTHROPIC = TypeAdapter(list[MessageParam])


def openai_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return what `to_openai()` must return if it keeps everything as it was committed."""
    sent: list[dict[str, Any]] = []
    for message in messages:
        plain = message.to_dict()
        for call in plain.get("tool_calls", []):
            if call["id"] is None:
                del call["id"]
        joins = message.content is None and bool(sent) and sent[-1]["role"] == "assistant"
        if joins:
            sent[-1].setdefault("tool_calls", []).extend(plain["tool_calls"])
        else:
            sent.append(plain)
    return sent


def check_openai(sent: list[dict[str, Any]]) -> None:
    """Check a message list with the official types; their iterables validate when read."""
    for message in OPENAI.validate_python(sent, strict=True):
        if message["role"] == "assistant":
            list(message.get("tool_calls", ()))


def check_anthropic(sent: AnthropicArguments, messages: Sequence[Message]) -> None:
    """Check arguments with the official types, and that nothing of *messages* is lost."""
    for message in ANTHROPIC.validate_python(sent["messages"]):
        list(message["content"])
    roles = [message["role"] for message in sent["messages"]]
    blocks = [block for message in sent["messages"] for block in _blocks(message["content"])]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    results = [block for block in blocks if block["type"] == "tool_result"]
    told = [m for m in messages if m.role != "system"]
    texts = [m.content for m in told if m.role != "tool" and (m.content or "").strip()]
    system = [m.content for m in messages if m.role == "system" and (m.content or "").strip()]
    all_calls = [call for message in messages for call in message.tool_calls]

    _same("sides in turn", [pair for pair in pairwise(roles) if pair[0] == pair[1]], [])
    _same("system", sent.get("system"), "\n\n".join(map(str, system)) or None)
    _same(
        "texts",
        Counter(block["text"].rstrip() for block in blocks if block["type"] == "text"),
        Counter(str(text).rstrip() for text in texts),  # a last one must not end with white space
    )
    names = [block["name"] for block in calls]
    _same("names that do not fit", [name for name in names if not _NAME.fullmatch(name)], [])
    fitting = [
        call.name if _NAME.fullmatch(call.name) else name
        for call, name in zip(all_calls, names, strict=True)
    ]
    _same("names", names, fitting)
    _same("ids of calls", len({block["id"] for block in calls}), len(calls))
    _same("inputs", [block["input"] for block in calls], [_input(c.arguments) for c in all_calls])
    wanted = [(m.content, m.is_error) for m in told if m.role == "tool"]
    _same("results", [(r["content"], r.get("is_error", False)) for r in results], wanted)


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _input(arguments: str) -> dict[str, Any]:
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError:
        parsed = {} if not arguments.strip() else None
    return parsed if isinstance(parsed, dict) else {"arguments": arguments}


_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""The names of tools that the API takes; others are made to fit."""


def _same(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} is not {wanted!r}")
