"""Items of the Responses API as parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

from tract.formats.common.values import as_text, objects, string
from tract.formats.format import Json, Reading
from tract.formats.openai_responses.blocks import blocks, native_of, source_of, texts_of
from tract.formats.openai_responses.kinds import (
    CLIENT_TOOLS,
    OUTPUTS,
    SERVER_TOOLS,
    is_for_client,
    is_fragment,
    kind_of,
)
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["read"]

_ROLES = {
    "additional_tools": "developer",
    "compaction_trigger": "user",
    "configuration_update": "developer",
    "local_shell_call_output": "tool",
    "mcp_approval_response": "user",
    "program_output": "tool",
}
"""Whose the items are that are not the model's, and do not say it."""


def read(item: Json, *, keep: bool = False) -> Reading:
    """Return an item as parts; with *keep*, each has its own JSON as `native`."""
    if is_fragment(item):
        return Reading("system", tuple(_instructions(item["instructions"])))
    kind, role = kind_of(item), item.get("role")
    if kind == "message":
        parts = tuple(blocks(item.get("content"), keep))
        return Reading(string(role) or "user", parts, string(item.get("name")))
    native = native_of(item)
    found = _parts(kind, item)
    if found is None:
        default = _ROLES.get(kind, "assistant")
        return Reading(string(role) or default, (NativePart(native=native),))
    parts = tuple(replace(part, native=native) for part in found) if keep else tuple(found)
    is_result = kind in OUTPUTS or _ROLES.get(kind) == "tool"
    return Reading("tool" if is_result else "assistant", parts)


def _instructions(given: Any) -> Iterator[Part]:
    if isinstance(given, str):
        yield TextPart(text=given)
    for item in objects(given):
        yield from read(item).parts


def _parts(kind: str, item: Json) -> list[Part] | None:
    """Return the parts of an item that is not a message; None if it is only the API's own."""
    if not is_for_client(item, item.get("call_id")):
        return _searched(item) if kind == "tool_search_call" else None
    if kind in _RESULTS:
        return [_result(kind, item)]
    reader = _READERS.get(kind)
    return None if reader is None else reader(item)


def _reasoning(item: Json) -> list[Part]:
    text = texts_of(item.get("content")) or texts_of(item.get("summary"))
    return [
        ThinkingPart(
            text="\n\n".join(text),
            encrypted=string(item.get("encrypted_content")),
            id=string(item.get("id")),
        )
    ]


def _call(kind: Literal["function", "custom"], key: str) -> Callable[[Json], list[Part]]:
    def reader(item: Json) -> list[Part]:
        call_id, name = string(item.get("call_id")), string(item.get("name")) or ""
        return [ToolCallPart(id=call_id, name=name, arguments=as_text(item.get(key)), kind=kind)]

    return reader


def _client_call(*keys: str) -> Callable[[Json], list[Part]]:
    def reader(item: Json) -> list[Part]:
        given = [item[key] for key in keys if item.get(key) is not None]
        called = given[0] if given and isinstance(given[0], dict) else {"actions": given}
        name = CLIENT_TOOLS[kind_of(item)]
        call_id = string(item.get("call_id"))
        return [ToolCallPart(id=call_id, name=name, arguments=as_text(called))]

    return reader


def _searched(item: Json) -> list[Part]:
    return [_server_call(item, "tool_search", item.get("arguments"))]


def _server_call(item: Json, name: str, arguments: Any) -> ToolCallPart:
    called = "null" if arguments is None else as_text(arguments)
    return ToolCallPart(id=string(item.get("id")), name=name, arguments=called, kind="server")


def _hosted(
    arguments: Callable[[Json], Any], results: Callable[[Json], Iterable[Part]]
) -> Callable[[Json], list[Part]]:
    """Return the reader of a call that holds its own result."""

    def reader(item: Json) -> list[Part]:
        name = string(item.get("name")) or SERVER_TOOLS[kind_of(item)]
        call = _server_call(item, name, arguments(item))
        parts = tuple(results(item))
        failed = item.get("status") == "failed"
        if not parts and not failed:
            return [call]
        done = ToolResultPart(
            call_id=call.id, parts=parts, name=name, is_error=failed, kind="server"
        )
        return [call, done]

    return reader


def _nothing(item: Json) -> Iterable[Part]:
    return ()


def _logs(item: Json) -> Iterator[Part]:
    for output in objects(item.get("outputs")):
        if isinstance(output.get("logs"), str):
            yield TextPart(text=output["logs"])
        else:
            yield from _medium("image", output.get("url"))


def _image(item: Json) -> Iterator[Part]:
    yield from _medium("image", item.get("result"), bare=True)


def _medium(kind: Any, value: Any, *, bare: bool = False) -> Iterator[Part]:
    source = source_of(value, bare=bare)
    if source:
        yield MediaPart(kind=kind, **source)


def _found(item: Json) -> Iterator[Part]:
    yield from (TextPart(text=text) for text in texts_of(item.get("results")))


def _output(item: Json) -> Iterator[Part]:
    for key in ("output", "error"):
        if item.get(key) is not None:
            yield TextPart(text=as_text(item[key]))


def _result(kind: str, item: Json) -> Part:
    failed = item.get("status") == "failed"
    return ToolResultPart(
        call_id=string(item.get("call_id")),
        parts=tuple(_RESULTS[kind](item)),
        name=string(item.get("name")),
        is_error=failed,
        kind="custom" if kind == "custom_tool_call_output" else "function",
    )


def _said(item: Json) -> Iterable[Part]:
    output = item.get("output")
    if output is None or isinstance(output, str | list | dict):
        return blocks(output, keep=False)
    return [TextPart(text=as_text(output))]


def _screenshot(item: Json) -> Iterator[Part]:
    shot = item.get("output")
    if isinstance(shot, dict):
        source = source_of(shot.get("image_url")) or source_of(None, shot.get("file_id"))
        if source:
            yield MediaPart(kind="image", **source)


def _printed(item: Json) -> Iterator[Part]:
    for printed in objects(item.get("output")):
        for key in ("stdout", "stderr"):
            if isinstance(printed.get(key), str) and printed[key]:
                yield TextPart(text=printed[key])


def _tools(item: Json) -> Iterator[Part]:
    yield TextPart(text=as_text(item.get("tools")) or "null")


_RESULTS: dict[str, Callable[[Json], Iterable[Part]]] = {
    "apply_patch_call_output": _output,
    "computer_call_output": _screenshot,
    "custom_tool_call_output": _said,
    "function_call_output": _said,
    "shell_call_output": _printed,
    "tool_search_output": _tools,
}

_READERS: dict[str, Callable[[Json], list[Part]]] = {
    "apply_patch_call": _client_call("operation"),
    "code_interpreter_call": _hosted(lambda item: {"code": item.get("code")}, _logs),
    "computer_call": _client_call("action", "actions"),
    "custom_tool_call": _call("custom", "input"),
    "file_search_call": _hosted(lambda item: {"queries": item.get("queries")}, _found),
    "function_call": _call("function", "arguments"),
    "image_generation_call": _hosted(lambda item: {"prompt": item.get("revised_prompt")}, _image),
    "local_shell_call": _hosted(lambda item: item.get("action"), _nothing),
    "mcp_call": _hosted(lambda item: item.get("arguments"), _output),
    "program": _hosted(lambda item: {"code": item.get("code")}, _nothing),
    "reasoning": _reasoning,
    "shell_call": _client_call("action"),
    "tool_search_call": _client_call("arguments"),
    "web_search_call": _hosted(lambda item: item.get("action"), _nothing),
}
