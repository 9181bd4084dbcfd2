"""From messages to the arguments of a request: paired, fitted, written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract.formats.fitting import fitted
from tract.formats.format import Format, Json, Sent, Writing
from tract.formats.pairing import paired
from tract.formats.registry import FORMATS
from tract.parts import Native, Part
from tract.protocols import Message, OpenCalls

__all__ = ["arguments", "format_of", "parts_of", "tool_arguments"]


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
    return target.write(sent, writing)


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
