"""What a model gets: messages, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import (
    Any,
    Final,
    Literal,
    NamedTuple,
)

from tract.protocols.parts import Native, Part, RefusalPart, TextPart, ToolCallPart, ToolResultPart

__all__ = [
    "UNSET",
    "Loss",
    "Message",
    "OpenCall",
    "StablePrefix",
    "TokenUsage",
    "ToolCall",
    "Uncounted",
    "Unset",
]


class Unset(Enum):
    """Type of `UNSET`, which distinguishes "not given" from None."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Stands for a keyword that was not given, where None means something."""

UnsetType = Literal[Unset.UNSET]
"""The type of a keyword that was not given."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of an assistant's message.

    `arguments` is JSON text, byte for byte as committed. `id` is None where the
    committed call had no `call_id`; the provider formats then generate one.
    """

    id: str | None
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a compiled context; deeply immutable, so it is shared, not copied.

    `content` is the message's text: of several texts, those of one reply as they were, others
    joined by blank lines. It is None if there is no text. `tool_name` and `is_error` describe a
    tool result for providers that need them; `to_dict()` leaves them out, and they cost no tokens.

    A message with more than text, tool calls or one plain tool result has `given` parts, and is
    never joined with others. One that came from an API has its `native` item.
    """

    role: str
    content: str | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    tool_name: str | None = None
    is_error: bool = False
    given: tuple[Part, ...] | None = None
    """The parts, if they say more than the fields above; see `parts`."""
    native: Native | None = None
    """The item of an API that this message was read from."""

    @classmethod
    def of(
        cls,
        role: str,
        parts: Sequence[Part],
        *,
        name: str | None = None,
        native: Native | None = None,
    ) -> Message:
        """Return the message of *parts*."""
        results = [part for part in parts if isinstance(part, ToolResultPart)]
        result = results[0] if len(results) == len(parts) == 1 else None
        calls = tuple(
            ToolCall(part.id, part.name, part.arguments)
            for part in parts
            if isinstance(part, ToolCallPart) and part.kind != "server"
        )
        return cls(
            role,
            _text_of(role, parts),
            name,
            calls,
            result.call_id if result else None,
            result.name if result else None,
            result.is_error if result else False,
            tuple(parts),
            native,
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everything that the message consists of, in order."""
        if self.given is not None:
            return self.given
        text = () if self.content is None else (TextPart(text=self.content),)
        calls = tuple(
            ToolCallPart(id=call.id, name=call.name, arguments=call.arguments)
            for call in self.tool_calls
        )
        if self.role != "tool" or calls:
            return (*text, *calls)
        return (
            ToolResultPart(
                call_id=self.tool_call_id, parts=text, name=self.tool_name, is_error=self.is_error
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a new plain dict: `role`, `content` and, where present, the other keys."""
        plain: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name is not None:
            plain["name"] = self.name
        if self.tool_calls:
            plain["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            plain["tool_call_id"] = self.tool_call_id
        return plain


def _text_of(role: str, parts: Sequence[Part]) -> str | None:
    """Return the text of parts; a model's adjacent texts are one text, cut where it cites."""
    texts: list[str] = []
    goes_on = False
    for part in parts:
        text = part.text if isinstance(part, TextPart | RefusalPart | ToolResultPart) else ""
        if text and goes_on and isinstance(part, TextPart):
            texts[-1] += text
        elif text:
            texts.append(text)
        goes_on = bool(text) and role == "assistant" and isinstance(part, TextPart)
    return "\n\n".join(texts) if texts else None


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The token counts, each zero or more, that an API reported for one call."""

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int | None = None


class StablePrefix(NamedTuple):
    """What a context has in common with the one compiled before it, from the beginning.

    `commit_hash` is the last entry that is the same, None if the first one differs, and `tokens`
    what the entries up to it cost, each counted by itself.
    """

    commit_hash: str | None
    tokens: int


class OpenCall(NamedTuple):
    """A tool call in a context that has no result there."""

    commit_hash: str
    """The entry that holds the call."""
    id: str | None
    name: str
    arguments: str
    kind: str = "function"


class Loss(NamedTuple):
    """Something in a context that a request does not carry, or carries in another form."""

    commit_hash: str | None
    """The entry."""
    what: str
    """The kind of part, such as `thinking`, `media`, `tool_call` or `name`."""
    why: str


class Uncounted(NamedTuple):
    """Something in a context that no formula counts, so that `token_count` lacks its tokens."""

    commit_hash: str
    """The entry."""
    what: str
    """The kind of part, such as `audio`, `image` (of unknown size) or `thinking` (encrypted)."""
