"""What Chat Completions APIs refuse of a request's messages and tools, in every dialect.

The rules are from platform.openai.com/docs/api-reference/chat/create and from the API's own error
messages, which the comments quote. Recorded requests that were answered with success pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from providers.chat_dialects import Dialect, dialect_of
from providers.rules import (
    TOOL_NAME,
    Json,
    among,
    at,
    base64_text,
    broken,
    is_blank,
    items,
    json_object,
    key,
    matching,
    media_type,
    media_url,
    problem,
    unique,
)

# "Invalid 'messages[1].name': string does not match pattern. Expected a string that matches the
# pattern '^[a-zA-Z0-9_-]+$'"; newer models say '^[^\\s<|\\\\/>]+$'. What is here matches both.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_INSTRUCTING = ("system", "developer")


def problems(request: Json, *, provider: str = "openai") -> list[str]:
    """Return what *provider* would refuse *request* for, each with its JSON path and rule."""
    return broken(request, _Rules(dialect_of(provider)).all())


class _Rules:
    """The rules of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def all(self) -> tuple[Any, ...]:
        return (
            self.shape,
            self.order,
            self.pairs,
            self.calls,
            self.reasoning,
            self.names,
            self.media,
        )

    def shape(self, request: Json) -> Iterator[str]:
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages:
            # "Invalid 'messages': empty array. Expected an array with minimum length 1"
            yield problem("messages", "not-empty", "at least one message is required")
        for path, message in at("messages", messages):
            role = message.get("role")
            if not among(role, self._dialect.roles):
                yield problem(f"{path}.role", "role", f"{role!r} is not a role of this provider")
            yield from self._content(path, message, str(role))

    def _content(self, path: str, message: Json, role: str) -> Iterator[str]:
        content, where = message.get("content"), f"{path}.content"
        kinds = self._kinds(role)
        if content is None:
            # "Invalid value for 'content': expected a string, got null."
            instead = ("tool_calls", "function_call", "refusal", "audio", "reasoning_details")
            if role != "assistant" or not any(message.get(each) for each in instead):
                yield problem(where, "content", "a message must have content, or calls")
        elif content == [] and not self._dialect.empty_lists:
            # "Invalid 'messages[1].content': empty array. Expected … minimum length 1"
            yield problem(where, "not-empty", "empty array")
        elif not isinstance(content, str | list):
            yield problem(where, "content", "content is a string or a list of parts")
        for found, part in at(where, content):
            if not among(part.get("type"), kinds):
                # "Invalid value: '…'. Supported values are: …"
                yield problem(found, "part-type", f"{part.get('type')!r} is not for a {role}")
            elif part["type"] == "text" and not isinstance(part.get("text"), str):
                yield problem(found, "content", "a text part must have text")

    def _kinds(self, role: str) -> frozenset[str]:
        if role == "user":
            return self._dialect.parts
        if role == "assistant":
            extra = {"thinking"} if self._dialect.thinking_parts else set()
            return frozenset({"text", "refusal", *extra})
        return frozenset({"text"})

    def order(self, request: Json) -> Iterator[str]:
        messages = items(request.get("messages"))
        roles = [message.get("role") for message in messages]
        for n, (before, role) in enumerate(pairwise(roles), 1):
            if not self._dialect.user_after_tool and (before, role) == ("tool", "user"):
                yield problem(f"messages[{n}]", "role-order", "a user may not follow a tool")
        last = messages[-1] if messages else {}
        if not self._dialect.ends_with_assistant and last.get("role") == "assistant":
            if not last.get("prefix"):
                yield problem(f"messages[{len(messages) - 1}]", "last-role", "the assistant's")

    def pairs(self, request: Json) -> Iterator[str]:
        """Each call is answered by one of the tool messages right behind it."""
        open_calls: dict[Any, str] = {}
        answered: set[Any] = set()
        for path, message in [*at("messages", request.get("messages")), ("messages", {})]:
            if message.get("role") == "tool":
                called = key(message.get("tool_call_id"))
                if open_calls.pop(called, None) is None:
                    # "messages with role 'tool' must be a response to a preceeding message with
                    # 'tool_calls'"; "Duplicate value for 'tool_call_id'"
                    rule = "duplicate-result" if called in answered else "result-without-call"
                    yield problem(f"{path}.tool_call_id", rule, f"{called!r} is not an open call")
                answered.add(called)
                continue
            for where in open_calls.values():
                # "An assistant message with 'tool_calls' must be followed by tool messages
                # responding to each 'tool_call_id'."
                yield problem(where, "call-without-result", "no tool message responds to it")
            calls = at(f"{path}.tool_calls", message.get("tool_calls"))
            open_calls = {key(call.get("id")): where for where, call in calls}
            answered = set()

    def calls(self, request: Json) -> Iterator[str]:
        for path, message in at("messages", request.get("messages")):
            calls = message.get("tool_calls")
            if calls is not None and message.get("role") != "assistant":
                yield problem(f"{path}.tool_calls", "role", "only the assistant calls tools")
            if calls == [] and not self._dialect.empty_lists:
                # "Invalid 'messages[1].tool_calls': empty array."
                yield problem(f"{path}.tool_calls", "not-empty", "empty array")
            found = at(f"{path}.tool_calls", calls)
            yield from unique(((where, call.get("id")) for where, call in found), "duplicate-id")
            for where, call in found:
                yield from matching(
                    f"{where}.id", "id-pattern", call.get("id"), self._dialect.call_id
                )
                yield from self._call(where, call)

    def _call(self, path: str, call: Json) -> Iterator[str]:
        kind = str(call.get("type") or "function")
        given = {"function": "arguments", "custom": "input"}.get(kind)
        called = call.get(kind)
        if given is None or not isinstance(called, dict):
            yield problem(path, "call-type", f"{kind!r} is not a kind of call")
            return
        yield from matching(f"{path}.{kind}.name", "tool-name", called.get("name"), TOOL_NAME)
        if not isinstance(called.get(given), str):
            yield problem(f"{path}.{kind}.{given}", "arguments", "arguments are a JSON string")

    def reasoning(self, request: Json) -> Iterator[str]:
        """A thinking model gets back what it thought before it called tools."""
        wanting = self._dialect.reasoning_goes_back
        off = json_object(request.get("thinking")).get("type") == "disabled"
        if wanting is None or off or not wanting.match(str(request.get("model", ""))):
            return
        for path, message in at("messages", request.get("messages")):
            if message.get("tool_calls") and not isinstance(message.get("reasoning_content"), str):
                yield problem(path, "reasoning-dropped", "reasoning_content must be passed back")

    def names(self, request: Json) -> Iterator[str]:
        for path, message in at("messages", request.get("messages")):
            if message.get("role") == "function" and message.get("name") is None:
                # "Missing parameter 'name': messages with role 'function' must have a 'name'."
                yield problem(path, "function-name", "a function message names its function")
            if message.get("function_call") is not None:
                name = json_object(message["function_call"]).get("name")
                yield from matching(f"{path}.function_call.name", "tool-name", name, TOOL_NAME)
            if message.get("name") is not None:
                yield from matching(f"{path}.name", "name-pattern", message["name"], _NAME)
        for path, tool in at("tools", request.get("tools")):
            kind = str(tool.get("type"))
            if kind in ("function", "custom"):
                name = json_object(tool.get(kind)).get("name")
                yield from matching(f"{path}.{kind}.name", "tool-name", name, TOOL_NAME)

    def media(self, request: Json) -> Iterator[str]:
        for path, message in at("messages", request.get("messages")):
            for where, part in at(f"{path}.content", message.get("content")):
                if part.get("type") == "image_url":
                    url = json_object(part.get("image_url")).get("url")
                    yield from media_url(f"{where}.image_url.url", url, self._dialect.images)
                elif part.get("type") == "input_audio":
                    yield from _audio(f"{where}.input_audio", json_object(part.get("input_audio")))
                elif part.get("type") == "file":
                    yield from _file(f"{where}.file", json_object(part.get("file")))


def _audio(path: str, audio: Json) -> Iterator[str]:
    yield from media_type(f"{path}.format", audio.get("format"), frozenset({"wav", "mp3"}))
    data = str(audio.get("data"))
    if not data.startswith("https://"):  # OpenRouter's vLLM providers take URLs there
        yield from base64_text(f"{path}.data", data)


def _file(path: str, file: Json) -> Iterator[str]:
    if is_blank(file.get("file_id")) and is_blank(file.get("file_data")):
        yield problem(path, "media-source", "a file has a file_id or file_data")
    if file.get("file_data"):
        data_types = frozenset({"application/pdf", "text/plain"})
        yield from media_url(f"{path}.file_data", file["file_data"], data_types)
