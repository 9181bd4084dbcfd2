"""From messages to the arguments of a request: paired, fitted, written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tract.formats.fitting import fitted
from tract.formats.format import Format, Json, Sent, Writing
from tract.formats.pairing import paired
from tract.formats.registry import FORMATS
from tract.parts import Native, Part
from tract.protocols import Message, OpenCalls

__all__ = ["arguments", "format_of", "parts_of", "tool_arguments"]

_HINTS = ("annotations", "cache_control", "citations", "prompt_cache_breakpoint")
"""Where APIs say what a text quotes, and what to keep in the prompt cache."""


def format_of(api: str) -> Format:
    """Return the format of an API.

    Raises:
        ValueError: there is none of that name.
    """
    found = FORMATS.get(api)
    if found is None:
        raise ValueError(
            f"{api!r} is not an API that is known here. Use one of: {', '.join(FORMATS)}."
        )
    return found


def arguments(
    target: Format, sent: Sequence[Sent], writing: Writing, open_calls: OpenCalls = "error"
) -> Json:
    """Return the arguments of a request to *target*; `keep` sends exactly what was committed."""
    if open_calls == "keep":
        writing.exact = True
    else:
        sent = paired(sent, open_calls, writing, parts_of)
        sent = fitted(sent, target.rules, writing, parts_of)
    written = target.write(sent, writing)
    _lose_hints(sent, target.api, writing)
    return written


def _lose_hints(sent: Sequence[Sent], api: str, writing: Writing) -> None:
    """Name what other APIs say beside a text or a medium, which has no form of its own here."""
    named = {(loss.commit_hash, loss.what) for loss in writing.losses}
    for each in sent:
        for native in _natives(each.message):
            if native.api == api or not any(f'"{key}"' in native.text for key in _HINTS):
                continue
            for key in dict.fromkeys(_hints(native.item)):
                if (each.commit_hash, key) not in named:
                    named.add((each.commit_hash, key))
                    writing.lose(each, key, f"only {native.api} has it")


def _natives(message: Message) -> Iterator[Native]:
    if message.native is not None:
        yield message.native
    for part in message.given or ():
        if part.native is not None:
            yield part.native


def _hints(value: Any) -> Iterator[str]:
    """Yield the hints of an item, its blocks, and the blocks in those."""
    if isinstance(value, list):
        for each in value:
            yield from _hints(each)
    elif isinstance(value, dict):
        yield from (key for key in _HINTS if value.get(key))
        for key in ("content", "output", "system"):
            yield from _hints(value.get(key))


def tool_arguments(target: Format, tools: Native | None, writing: Writing) -> Json:
    """Return the arguments for the tools of a context."""
    given: list[dict[str, Any]] = [] if tools is None else tools.item
    return target.write_tools(given, tools.api, writing) if tools is not None and given else {}


def parts_of(message: Message) -> Sequence[Part]:
    """Return the parts of a message, each with its own JSON if an API sent it."""
    native = message.native
    source = None if native is None else FORMATS.get(native.api)
    if native is None or source is None:
        return message.parts
    return source.read(native.item, keep=True).parts
