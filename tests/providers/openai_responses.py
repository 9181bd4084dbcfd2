"""What the Responses API refuses of a request's input and tools.

The rules are from platform.openai.com/docs/api-reference/responses/create and from the API's own
error messages, which the comments quote. Recorded requests that were answered with success pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from providers.rules import (
    TOOL_NAME,
    Json,
    among,
    at,
    broken,
    is_blank,
    json_object,
    key,
    matching,
    media_url,
    problem,
    unique,
)

# "Invalid 'input[2].id': … Expected an ID that contains letters, numbers, underscores, or dashes",
# "string too long. Expected a string with maximum length 64" (can1357/oh-my-pi#284)
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# "Invalid 'input[95].call_id': string too long. Expected a string with maximum length 64"
_CALL_ID = re.compile(r".{1,64}", re.DOTALL)
_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})

# "Invalid 'input[91].id': 'fc_…'. Expected an ID that begins with 'ctc'."
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "reasoning": "rs",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "compaction": "cmp",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
}
_PREFIXED_BY = frozenset({"openai", "azure", "bedrock"})
"""Whose ids begin so; DeepSeek's are UUIDs."""
_OPEN_WEIGHTS = "gpt-oss"
"""Models whose ids begin in other ways, whoever runs them: thinking with `msg_` on Bedrock."""

_OFFICE = "application/vnd.openxmlformats-officedocument."
_FILES = frozenset(
    {
        *("application/pdf", "application/json", "application/vnd.ms-excel", "application/xml"),
        *(f"{_OFFICE}{kind}" for kind in ("presentationml.presentation", "spreadsheetml.sheet")),
        f"{_OFFICE}wordprocessingml.document",
        *("text/csv", "text/html", "text/markdown", "text/plain", "text/tab-separated-values"),
    }
)
"""The media types of files that developers.openai.com/api/docs/guides/file-inputs names."""
_ENDED = frozenset({"completed", "incomplete"})

_ANSWERS = {
    "function_call_output": {"function_call", "tool_search_call"},
    "custom_tool_call_output": {"custom_tool_call"},
    "computer_call_output": {"computer_call"},
    "shell_call_output": {"shell_call"},
    "apply_patch_call_output": {"apply_patch_call"},
    "tool_search_output": {"tool_search_call"},
    "program_output": {"program"},
}
"""What each output answers, by `call_id`."""
_CALLS = frozenset().union(*_ANSWERS.values())
_FROM_THE_MODEL = frozenset({*_PREFIXES, *_CALLS, "local_shell_call", "mcp_approval_request"}) - {
    "tool_search_output"
}
_KINDS = _FROM_THE_MODEL | {
    *_ANSWERS,
    "local_shell_call_output",
    "mcp_approval_response",
    "additional_tools",
    "configuration_update",
    "compaction_trigger",
    "item_reference",
}

_INPUT = frozenset({"input_text", "input_image", "input_file", "input_audio"})
# "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'."
_PARTS = {
    "user": _INPUT,
    "system": _INPUT,
    "developer": _INPUT,
    "assistant": frozenset({"output_text", "refusal"}),
}


def problems(request: Json, *, provider: str = "openai") -> list[str]:
    """Return what *provider* would refuse *request* for, each with its JSON path and rule."""
    rules = (_shape, _messages, _pairs, _programs, _ids, _reasoning, _calls, _media)
    found = broken(request, rules)
    prefixed = provider in _PREFIXED_BY and _OPEN_WEIGHTS not in str(request.get("model"))
    return found + broken(request, (_prefixes,)) if prefixed else found


def kind_of(item: Json) -> str:
    """Return an item's type; messages may go without."""
    return str(item.get("type") or "message")


def _items(request: Json, *kinds: str) -> list[tuple[str, Json]]:
    found = at("input", request.get("input"))
    return [(path, item) for path, item in found if not kinds or kind_of(item) in kinds]


def _shape(request: Json) -> Iterator[str]:
    given = request.get("input")
    continued = any(
        request.get(each) for each in ("previous_response_id", "conversation", "prompt")
    )
    if not given and not continued:
        # "Missing required parameter: 'input'."
        yield problem("input", "not-empty", "input is required")
    for path, item in _items(request):
        if kind_of(item) not in _KINDS:
            yield problem(path, "item-type", f"{kind_of(item)!r} is not a type of item")


def _messages(request: Json) -> Iterator[str]:
    for path, message in _items(request, "message"):
        role, content = message.get("role"), message.get("content")
        if not among(role, _PARTS):
            yield problem(f"{path}.role", "role", f"{role!r} is not a role of this API")
            continue
        if not isinstance(content, str | list) or content == []:
            yield problem(f"{path}.content", "content", "a message must have content")
        for where, part in at(f"{path}.content", content):
            if not among(part.get("type"), _PARTS[str(role)]):
                yield problem(where, "part-type", f"{part.get('type')!r} is not for a {role}")
            elif part["type"].endswith("_text") and not isinstance(part.get("text"), str):
                yield problem(where, "content", "a text part must have text")


def _pairs(request: Json) -> Iterator[str]:
    """Each call has its output behind it, and each output its call before it."""
    elsewhere = any(request.get(each) for each in ("previous_response_id", "conversation"))
    elsewhere = elsewhere or bool(_items(request, "item_reference"))
    open_calls: dict[Any, tuple[str, str]] = {}
    for path, item in _items(request):
        kind, call_id = kind_of(item), key(item.get("call_id"))
        if item.get("execution") == "server" or call_id is None:
            continue
        if kind in _CALLS:
            open_calls[call_id] = kind, path
        elif kind in _ANSWERS:
            called, _ = open_calls.pop(call_id, ("", ""))
            if called not in _ANSWERS[kind] and not (elsewhere and not called):
                # "No tool call found for function call output with call_id …"
                yield problem(path, "result-without-call", f"no open call {call_id!r} before it")
    running = {caller for _, caller in _callers(request)}
    for call_id, (_, path) in open_calls.items():
        if call_id not in running:  # a program goes on once its calls have results
            # "No tool output found for function call …"
            yield problem(path, "call-without-result", "no output behind it")


def _callers(request: Json) -> Iterator[tuple[str, str | None]]:
    """Yield the path of each item that a program caused, and the program's `call_id`."""
    for path, item in _items(request):
        caller = json_object(item.get("caller"))
        if caller.get("type") == "program":
            yield f"{path}.caller", key(caller.get("caller_id"))


def _programs(request: Json) -> Iterator[str]:
    """A program comes back as it was: "program replay fingerprint that must be round-tripped"."""
    elsewhere = any(request.get(each) for each in ("previous_response_id", "conversation"))
    for path, item in _items(request, "program"):
        for each in ("code", "fingerprint"):
            if is_blank(item.get(each)):
                yield problem(f"{path}.{each}", "program", "it must be as it came")
    for path, item in _items(request, "program_output"):
        if not isinstance(item.get("result"), str) or not among(item.get("status"), _ENDED):
            yield problem(path, "program-output", "it has a result, and a terminal status")
    known = {key(item.get("call_id")) for _, item in _items(request, "program")}
    for path, caller in _callers(request):
        if caller not in known and not elsewhere:
            yield problem(path, "caller", f"there is no program {caller!r}")


def _ids(request: Json) -> Iterator[str]:
    found = [(path, item["id"]) for path, item in _items(request) if item.get("id") is not None]
    for path, value in found:
        yield from matching(f"{path}.id", "id-pattern", value, _ID)
    # "Duplicate item found with id rs_…. Remove duplicate items from your input and try again."
    yield from unique(found, "duplicate-id")
    calls = [(path, item.get("call_id")) for path, item in _items(request, "function_call")]
    yield from unique(calls, "duplicate-call-id")


def _prefixes(request: Json) -> Iterator[str]:
    for path, item in _items(request):
        prefix = _PREFIXES.get(kind_of(item))
        if prefix and item.get("id") is not None and not str(item["id"]).startswith(prefix):
            yield problem(f"{path}.id", "id-prefix", f"expected an ID that begins with {prefix!r}")


def _reasoning(request: Json) -> Iterator[str]:
    """What the model thought stands right before what it then said or called."""
    listed = _items(request)
    for (path, item), (_, after) in zip(listed, [*listed[1:], ("", {})], strict=False):
        if kind_of(item) != "reasoning":
            continue
        said = kind_of(after) if after else ""
        if said not in _FROM_THE_MODEL or (said == "message" and after.get("role") != "assistant"):
            # "Item 'rs_…' of type 'reasoning' was provided without its required following item."
            yield problem(path, "reasoning-alone", "its required following item is missing")
        if not isinstance(item.get("summary"), list):
            yield problem(f"{path}.summary", "reasoning-summary", "a list, be it empty")
        if "encrypted_content" in item and item["encrypted_content"] == "":
            yield problem(f"{path}.encrypted_content", "signature", "it is empty")
    for path, item in _items(request, "compaction"):
        if is_blank(item.get("encrypted_content")):
            yield problem(path, "signature", "a compaction has its encrypted content")


def _calls(request: Json) -> Iterator[str]:
    for path, item in _items(request, "function_call", "custom_tool_call"):
        given = "arguments" if kind_of(item) == "function_call" else "input"
        yield from matching(f"{path}.name", "tool-name", item.get("name"), TOOL_NAME)
        if not isinstance(item.get(given), str):
            yield problem(f"{path}.{given}", "arguments", "arguments are a JSON string")
        yield from matching(f"{path}.call_id", "call-id", item.get("call_id"), _CALL_ID)
    for path, item in _items(request, "function_call_output", "custom_tool_call_output"):
        yield from matching(f"{path}.call_id", "call-id", item.get("call_id"), _CALL_ID)
        if not isinstance(item.get("output"), str | list):
            yield problem(f"{path}.output", "output", "an output is a string or a list of parts")
        for where, part in at(f"{path}.output", item.get("output")):
            if not among(part.get("type"), _INPUT):
                yield problem(where, "part-type", f"{part.get('type')!r} is not for an output")
    for path, tool in at("tools", request.get("tools")):
        if tool.get("type") in ("function", "custom"):
            yield from matching(f"{path}.name", "tool-name", tool.get("name"), TOOL_NAME)


def _media(request: Json) -> Iterator[str]:
    for path, item in _items(request):
        for field in ("content", "output"):
            for where, part in at(f"{path}.{field}", item.get(field)):
                if part.get("type") == "input_image":
                    yield from _source(where, part, "image_url", _IMAGES)
                elif part.get("type") == "input_file" and not part.get("file_url"):
                    yield from _source(where, part, "file_data", _FILES)


def _source(path: str, part: Json, given: str, accepted: frozenset[str]) -> Iterator[str]:
    if is_blank(part.get("file_id")):
        yield from media_url(f"{path}.{given}", part.get(given), accepted)
