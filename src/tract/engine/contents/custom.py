"""Content types of an application's own: the messages that they return, and their versions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from tract.engine.contents.provided import TOOLS
from tract.exceptions import ContentValidationError, shown
from tract.history.canonical import canonical_json
from tract.history.media import attachments_in
from tract.protocols import Message
from tract.protocols.parts import MediaPart, Part, ToolResultPart, to_json

__all__ = [
    "attachments_of",
    "checked_messages",
    "checked_version",
    "custom_text",
    "dumped",
    "nbytes_of_media",
    "renders_itself",
    "version_of",
]

_LONGEST = 64


def renders_itself(model: type[BaseModel]) -> bool:
    """Return True if *model* says by a method how its contents are shown."""
    methods = (getattr(model, name, None) for name in ("to_messages", "to_text"))
    return any(method is not None for method in methods)


def version_of(model: type[BaseModel]) -> str | None:
    """Return the version of a model's rendering; None if it has none."""
    version = getattr(model, "render_version", None)
    return None if version is None else str(version)


def checked_version(model: type[BaseModel]) -> None:
    """Check the version of a model's rendering, if it has one.

    Raises:
        ValueError: it is not a number or a short text.
    """
    version = getattr(model, "render_version", None)
    if version is None or isinstance(version, int):
        return
    if not isinstance(version, str) or not 0 < len(version) <= _LONGEST:
        raise ValueError(
            f"`render_version` of {model.__name__} must be a number or a text of 1 to {_LONGEST} "
            f"characters, not {shown(version)}."
        )


def checked_messages(model: type[BaseModel], made: object) -> tuple[Message, ...]:
    """Return what the `to_messages()` of *model* has returned as messages.

    Several are never joined with others, so that they stay together.

    Raises:
        ContentValidationError: it is neither a message nor some of them, or a role is missing.
    """
    messages = tuple(made) if isinstance(made, Iterable) else (made,)
    if not messages or not all(isinstance(each, Message) and _has_role(each) for each in messages):
        raise ContentValidationError(
            f"`to_messages()` of {model.__name__} returned {shown(made)}. It must return a `Message` "
            "with a role, or a list of at least one.",
            "content_type",
        )
    if len(messages) == 1:
        return messages
    return tuple(
        message if message.given is not None else replace(message, given=message.parts)
        for message in messages
    )


def custom_text(fields: Mapping[str, Any]) -> str:
    """Return the text of a custom content without `to_text()`.

    It is the field `text` or `content`, whichever is a string first; otherwise the canonical JSON
    of all fields of the model.
    """
    for name in ("text", "content"):
        if isinstance(fields.get(name), str):
            return str(fields[name])
    own = {name: fields[name] for name in fields if name not in ("content_type", "$priority")}
    return canonical_json(own)


def attachments_of(messages: Iterable[Message]) -> tuple[str, ...]:
    """Return the SHA-256 of each attachment that messages refer to, in order."""
    parts = [to_json(part) for message in messages for part in message.given or ()]
    return attachments_in("message", {"parts": parts})


def nbytes_of_media(messages: Iterable[Message]) -> int:
    """Return the bytes that messages hold beside their texts."""
    return sum(_held(message.given or ()) for message in messages)


def _held(parts: Sequence[Part]) -> int:
    held = 0
    for part in parts:
        if isinstance(part, MediaPart):
            held += len(part.data or b"")
        elif isinstance(part, ToolResultPart):
            held += _held(part.parts)
    return held


def _has_role(message: Message) -> bool:
    return isinstance(message.role, str) and message.role not in ("", TOOLS)


def dumped(content: BaseModel, name: str) -> dict[str, Any]:
    """Return a custom content's fields as JSON values, as `load` takes them."""
    try:
        # loading checks it again, so pydantic need not warn of values that do not fit
        dumped = content.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)
        _refuse_lost_numbers(
            content.model_dump(by_alias=True, round_trip=True, warnings=False), dumped, ""
        )
    except ContentValidationError:
        raise
    except (PydanticSerializationError, ValueError) as error:
        raise ContentValidationError(f"cannot be written as JSON: {error}", name) from error
    return dict(dumped)


def _refuse_lost_numbers(value: Any, dumped: Any, path: str) -> None:
    """Raise if *dumped* has null for a NaN or an infinity, as pydantic writes them."""
    if isinstance(value, float):
        if dumped is None and not math.isfinite(value):
            raise ContentValidationError(f"{value} is not a JSON number; use None instead", path)
    elif isinstance(value, dict) and isinstance(dumped, dict):
        for key in value.keys() & dumped.keys():
            inner = f"{path}.{key}" if path else str(key)
            _refuse_lost_numbers(value[key], dumped[key], inner)
    elif isinstance(value, (list, tuple)) and isinstance(dumped, list):
        for index, (item, other) in enumerate(zip(value, dumped, strict=False)):
            _refuse_lost_numbers(item, other, f"{path}[{index}]")
