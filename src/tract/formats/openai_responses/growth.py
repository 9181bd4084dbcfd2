"""How the events of a stream make an item grow."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tract.formats.deltas import Delta
from tract.formats.format import Json

__all__ = ["GROWTH", "Grown", "number_of", "status_of"]

_STATUSES = frozenset(
    {"completed", "failed", "generating", "in_progress", "incomplete", "interpreting", "searching"}
)


@dataclass(frozen=True, kw_only=True)
class Grown:
    """What one kind of event changes.

    Args:
        kind: the type of item.
        path: where, from the item.
        given: the key of the event that holds what is new.
        verb: `text` appends to what is there, `set` replaces it.
        list_key: the key of the event that says which element of the list at *path* it is.
        leaf: the key of that element which holds the text.
        block: the type of that element.
        inner: a list in that element, and the key of the event that says which of its elements.
        tells: the whole of a call's arguments is there now.
    """

    kind: str
    path: tuple[str, ...]
    given: str
    verb: Literal["text", "set"]
    list_key: str | None = None
    leaf: str | None = None
    block: str | None = None
    inner: tuple[str, str] | None = None
    tells: bool = False

    def deltas(self, place: list[Any], event: Json) -> Iterator[Delta]:
        """Yield what *event* changes at *place*."""
        value = event.get(self.given)
        at = place if self.leaf is None else [*place, self.leaf]
        if self.inner is not None:
            at = [*place, self.inner[0], number_of(event.get(self.inner[1]))]
        if self.verb == "text" and isinstance(value, dict):  # a shell's streams
            for key, text in value.items():
                if isinstance(text, str) and text:
                    yield ("text", [*at, key], text)
        elif self.verb == "text" and isinstance(value, str):
            if value:
                yield ("text", at, value)
        elif self.verb == "set" and value is not None:
            yield ("set", at, copy.deepcopy(value))


def number_of(index: Any) -> int:
    """Return an index that an event names, which must not make a list of any length."""
    return index if isinstance(index, int) and 0 <= index < 10_000 else 0


def status_of(word: str) -> str | None:
    """Return the status of the provider's tool that an event reports, such as `searching`."""
    named, _, status = word.partition(".")
    is_call = named.endswith("_call") and status in _STATUSES
    return status if is_call else None


def _of_string(kind: str, name: str, key: str, *path: str) -> dict[str, Grown]:
    """Return the events of a string of an item, which comes in pieces and then whole."""
    where = (*path, key)
    done = Grown(kind=kind, path=where, given=key, verb="set", tells=True)
    return {
        f"{name}.delta": Grown(kind=kind, path=where, given="delta", verb="text"),
        f"{name}.done": done,
    }


def _of_block(kind: str, name: str, block: str, path: str, number: str) -> dict[str, Grown]:
    """Return the events of a block's text."""
    leaf = "refusal" if block == "refusal" else "text"
    at: dict[str, Any] = {
        "kind": kind,
        "path": (path,),
        "list_key": number,
        "leaf": leaf,
        "block": block,
    }
    return {
        f"{name}.delta": Grown(given="delta", verb="text", **at),
        f"{name}.done": Grown(given=leaf, verb="set", **at),
    }


def _of_part(kind: str, name: str, path: str, number: str) -> dict[str, Grown]:
    """Return the events of a whole block."""
    part = Grown(kind=kind, path=(path,), given="part", verb="set", list_key=number)
    return {f"{name}.added": part, f"{name}.done": part}


def _of_shell() -> dict[str, Grown]:
    command: dict[str, Any] = {
        "kind": "shell_call",
        "path": ("action", "commands"),
        "list_key": "command_index",
    }
    output: dict[str, Any] = {"kind": "shell_call_output", "path": ("output",)}
    return {
        "shell_call_command.added": Grown(given="command", verb="set", **command),
        "shell_call_command.delta": Grown(given="delta", verb="text", **command),
        "shell_call_command.done": Grown(given="command", verb="set", **command),
        "shell_call_output_content.delta": Grown(
            given="delta", verb="text", list_key="command_index", **output
        ),
        "shell_call_output_content.done": Grown(given="output", verb="set", **output),
    }


GROWTH: dict[str, Grown] = {
    **_of_string("function_call", "function_call_arguments", "arguments"),
    **_of_string("custom_tool_call", "custom_tool_call_input", "input"),
    **_of_string("mcp_call", "mcp_call_arguments", "arguments"),
    **_of_string("code_interpreter_call", "code_interpreter_call_code", "code"),
    **_of_string("apply_patch_call", "apply_patch_call_operation_diff", "diff", "operation"),
    **_of_block("message", "output_text", "output_text", "content", "content_index"),
    **_of_block("message", "refusal", "refusal", "content", "content_index"),
    **_of_block("reasoning", "reasoning_text", "reasoning_text", "content", "content_index"),
    **_of_block("reasoning", "reasoning_summary_text", "summary_text", "summary", "summary_index"),
    **_of_part("message", "content_part", "content", "content_index"),
    **_of_part("reasoning", "reasoning_summary_part", "summary", "summary_index"),
    **_of_shell(),
    "output_text.annotation.added": Grown(
        kind="message",
        path=("content",),
        given="annotation",
        verb="set",
        list_key="content_index",
        inner=("annotations", "annotation_index"),
    ),
}
"""The events that change an item, without their common beginning `response.`."""
