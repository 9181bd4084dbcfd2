"""The parts of a message: what every API's messages have in common.

A message that is only text needs none of this. Parts are for everything else: media, a model's
thinking, tool calls and their results, refusals, and what only one API has.

All parts are frozen values. A part that was read from an API's own JSON may carry it as `native`,
so that the same API gets back exactly what it sent, block by block.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import Field, Strict
from pydantic_core import from_json

__all__ = [
    "MediaPart",
    "Native",
    "NativePart",
    "Part",
    "RefusalPart",
    "TextPart",
    "ThinkingPart",
    "ToolCallPart",
    "ToolResultPart",
    "from_json_parts",
    "to_json",
]

_Text = Annotated[str, Strict()]
_Flag = Annotated[bool, Strict()]
_Number = Annotated[int, Strict()]


@dataclass(frozen=True, slots=True)
class Native:
    """A piece of an API's own JSON, as text, with the name of the API.

    Kept as text, because a frozen value must not hold dicts that a caller could change.
    """

    api: _Text
    """`openai.chat`, `openai.responses`, `anthropic.messages` or `google.generate_content`."""
    text: _Text
    """The JSON. Media in it may be references to attachments; see `tract.history.media`."""

    @property
    def item(self) -> Any:
        """The JSON as new dicts and lists."""
        try:
            return from_json(self.text, cache_strings="keys")
        except ValueError:  # lone surrogates
            return json.loads(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """Text that the user or the model wrote."""

    text: _Text
    native: Native | None = None
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPart:
    """An image, a sound, a film or a document: as bytes, as a URL, or as a provider's file.

    Exactly one of `data`, `attachment`, `url` and `file_id` is set. A commit moves `data` to an
    attachment, which is stored once however many commits refer to it.
    """

    kind: Literal["image", "audio", "video", "document"]
    media_type: _Text | None = None
    """Such as `image/png`; None if the API did not say."""
    data: Annotated[bytes, Strict()] | None = None
    attachment: _Text | None = None
    """The SHA-256 of the bytes, as 64 hexadecimal digits."""
    url: _Text | None = None
    file_id: _Text | None = None
    """The name that a provider gave to an uploaded file."""
    name: _Text | None = None
    """A file name or a title."""
    detail: _Text | None = None
    """How closely the model looks, in the provider's words, such as `low`."""
    width: _Number | None = None
    """Pixels, where the bytes say so."""
    height: _Number | None = None
    native: Native | None = None
    type: Literal["media"] = "media"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPart:
    """A model's thinking: its text or summary, and what proves to the API that it is its own.

    Signatures and encrypted forms mean something only to the API that made them.
    """

    text: _Text = ""
    signature: _Text | None = None
    encrypted: _Text | None = None
    """Thinking that only the API can read: redacted, or encrypted for the next call."""
    id: _Text | None = None
    native: Native | None = None
    type: Literal["thinking"] = "thinking"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallPart:
    """A call of a tool.

    `arguments` is JSON text, byte for byte as it came, or plain text for a `custom` tool. A
    `server` tool is the provider's own, and only the provider answers its calls.
    """

    id: _Text | None
    name: _Text
    arguments: _Text
    kind: Literal["function", "custom", "server"] = "function"
    signature: _Text | None = None
    """The signature that Gemini gives to calls."""
    native: Native | None = None
    type: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResultPart:
    """The result of a tool call, itself made of parts; `name` is the tool's, where known."""

    call_id: _Text | None
    parts: tuple[Part, ...] = ()
    name: _Text | None = None
    is_error: _Flag = False
    kind: Literal["function", "custom", "server"] = "function"
    native: Native | None = None
    type: Literal["tool_result"] = "tool_result"

    @property
    def text(self) -> str:
        """The texts of the result, joined by blank lines."""
        return "\n\n".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalPart:
    """What a model says when it declines to answer."""

    text: _Text
    native: Native | None = None
    type: Literal["refusal"] = "refusal"


@dataclass(frozen=True, slots=True, kw_only=True)
class NativePart:
    """Something that only one API has, or that was not known when this release was made."""

    native: Native
    type: Literal["native"] = "native"

    @property
    def kind(self) -> str:
        """What the API calls it: its `type`, or its only key."""
        item = self.native.item
        if not isinstance(item, dict):
            return type(item).__name__
        return str(item.get("type") or next(iter(item), "nothing"))


Part = Annotated[
    TextPart | MediaPart | ThinkingPart | ToolCallPart | ToolResultPart | RefusalPart | NativePart,
    Field(discriminator="type"),
]
"""Any part, told apart by `type`."""


def to_json(part: Part) -> dict[str, Any]:
    """Return a part as JSON values, without the fields that have their defaults.

    Bytes are left as they are; a commit has moved them to an attachment.
    """
    plain: dict[str, Any] = {"type": part.type}
    for field in fields(part):
        value = getattr(part, field.name)
        if value == field.default:
            continue
        if field.name == "parts":
            value = [to_json(inner) for inner in value]
        elif isinstance(value, Native):
            value = {"api": value.api, "text": value.text}
        plain[field.name] = value
    return plain


def from_json_parts(given: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """Return the parts that `to_json` wrote, unchecked.

    Raises:
        LookupError, TypeError: they are not what it wrote.
    """
    return tuple(map(_part, given))


def _part(given: Mapping[str, Any]) -> Part:
    values = dict(given)
    if "parts" in values:
        values["parts"] = from_json_parts(values["parts"])
    if values.get("native") is not None:
        values["native"] = Native(**values["native"])
    made: Part = _KINDS[values["type"]](**values)
    return made


_KINDS: dict[str, Any] = {
    "media": MediaPart,
    "native": NativePart,
    "refusal": RefusalPart,
    "text": TextPart,
    "thinking": ThinkingPart,
    "tool_call": ToolCallPart,
    "tool_result": ToolResultPart,
}
