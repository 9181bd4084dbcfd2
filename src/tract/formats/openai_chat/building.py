"""Parts as Chat Completions messages: those of other APIs, and those that were moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tract.formats.format import Json, Sent, Writing
from tract.formats.openai_chat.media import media_block
from tract.formats.openai_chat.shapes import own
from tract.formats.pairing import is_models
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["MessageBuilder", "build"]

_ROLES = frozenset({"system", "developer", "user", "assistant"})


def build(sent: Sent, writing: Writing) -> Iterator[tuple[Json, list[Json]]]:
    """Yield the messages that the parts of a message make, each with media to show behind it.

    Results come first, each in a message of its own. The media are those of a result, which takes
    text alone.
    """
    message = sent.message
    rest: list[Part] = []
    for part in message.parts:
        if not isinstance(part, ToolResultPart):
            rest.append(part)
        elif part.kind == "server":
            writing.lose(sent, "tool_result", "the result of a tool that its own API runs")
        else:
            yield _result(part, sent, writing)
    builder = MessageBuilder(sent, writing)
    for part in rest:
        builder.add(part)
    made = builder.message()
    if made is not None:
        yield made, []


def _result(result: ToolResultPart, sent: Sent, writing: Writing) -> tuple[Json, list[Json]]:
    item = own(result.native)
    if item is not None and (result.call_id is not None or item.get("role") == "function"):
        if result.call_id is None:
            return item, []
        if item.get("role") == "tool":
            return item | {"tool_call_id": result.call_id}, []
    if result.is_error:
        writing.lose(sent, "is_error", "Chat Completions does not mark failed results")
    texts = [part.text for part in result.parts if isinstance(part, TextPart | RefusalPart)]
    made = {"role": "tool", "content": "\n\n".join(texts)}
    if result.call_id is not None:
        made["tool_call_id"] = result.call_id
    return made, list(_shown(result, sent, writing))


def _shown(result: ToolResultPart, sent: Sent, writing: Writing) -> Iterator[Json]:
    """Yield the media of a result, which are to be shown behind it; name what cannot be."""
    for part in result.parts:
        if isinstance(part, MediaPart):
            block = media_block(part, writing.load, own_files=_is_openais(part, sent))
            if isinstance(block, str):
                writing.lose(sent, "media", block)
            else:
                writing.lose(sent, "media", "shown in a user's message behind the result")
                yield block
        elif not isinstance(part, TextPart | RefusalPart):
            writing.lose(sent, _kind(part), "Chat Completions has no such part of a result")


class MessageBuilder:
    """Makes one message of parts that are not results."""

    def __init__(self, sent: Sent, writing: Writing) -> None:
        self._sent = sent
        self._writing = writing
        role = "assistant" if is_models(sent.message) else sent.message.role
        fits = role in _ROLES or (writing.exact and role != "tool")
        self._role = role if fits else "user"
        self._unfit = None if fits or role == "tool" else role
        self._blocks: list[Json] = []
        self._calls: list[Json] = []
        self._refusals: list[str] = []
        self._pieces: Json = {}
        self._plain = True
        self._goes_on = False

    def add(self, part: Part) -> None:
        """Add a part; one that has no counterpart is named as lost."""
        item = own(part.native)
        if item is not None:
            self._add_own(part, item)
        else:
            _ADDERS[part.type](self, part)
        self._goes_on = isinstance(part, TextPart)

    def message(self) -> Json | None:
        """Return the message, or None if nothing is left of it."""
        if not (self._blocks or self._calls or self._refusals or self._pieces):
            return None
        if self._unfit is not None:
            why = f"Chat Completions has no role {self._unfit!r}, so it is sent as the user's"
            self._writing.lose(self._sent, "role", why)
        made: Json = {"role": self._role, "content": self._content(), **self._pieces}
        if self._sent.message.name is not None:
            made["name"] = self._sent.message.name
        if self._refusals:
            made["refusal"] = "\n\n".join(self._refusals)
        if self._calls:
            made["tool_calls"] = self._calls
        return made

    def _content(self) -> Any:
        if not self._blocks:
            return None
        if not self._plain or (self._role == "user" and len(self._blocks) > 1):
            return self._blocks
        return "\n\n".join(block["text"] for block in self._blocks)

    def _add_own(self, part: Part, item: Json) -> None:
        """Add the part's own JSON: of a call, of the content's list, or a piece of the message."""
        if isinstance(part, ToolCallPart):
            self._add_own_call(part, item)
        elif isinstance(part, TextPart) and isinstance(item.get("content"), str):
            self._say(item["content"])
        elif "type" in item:
            self._blocks.append(item)
            self._plain = False
        else:
            self._merge(item)

    def _add_own_call(self, part: ToolCallPart, item: Json) -> None:
        if "function_call" not in item:
            self._calls.append(_named(item, part))
        elif part.id is None:
            self._merge(item)
        else:
            self._call(part)

    def _merge(self, item: Json) -> None:
        for key, value in item.items():
            before = self._pieces.get(key)
            if key in ("content", "tool_calls") and isinstance(value, list):
                (self._blocks if key == "content" else self._calls).extend(value)
                self._plain = self._plain and key != "content"
            elif isinstance(before, list) and isinstance(value, list):
                self._pieces[key] = before + value
            else:
                self._pieces[key] = value

    def _say(self, text: str, *, goes_on: bool = False) -> None:
        if goes_on and self._blocks and self._plain:
            self._blocks[-1] = {"type": "text", "text": self._blocks[-1]["text"] + text}
        else:
            self._blocks.append({"type": "text", "text": text})

    def _text(self, part: TextPart) -> None:
        if self._writing.exact or (part.text and not part.text.isspace()):
            self._say(part.text, goes_on=self._goes_on and self._role == "assistant")

    def _refusal(self, part: RefusalPart) -> None:
        if self._role == "assistant":
            self._refusals.append(part.text)
        else:
            self._say(part.text)

    def _media(self, part: MediaPart) -> None:
        if self._role != "user":
            block: Json | str = f"Chat Completions takes no media from the {self._role}"
        else:
            own_files = _is_openais(part, self._sent)
            block = media_block(part, self._writing.load, own_files=own_files)
        if isinstance(block, str):
            self._writing.lose(self._sent, "media", block)
        else:
            self._blocks.append(block)
            self._plain = False

    def _thinking(self, part: ThinkingPart) -> None:
        self._writing.lose(self._sent, "thinking", "the API that made it is another one")

    def _call(self, part: ToolCallPart) -> None:
        if part.kind == "server":
            self._writing.lose(self._sent, "tool_call", "a tool that its own API runs")
            return
        if part.signature is not None:
            self._writing.lose(self._sent, "signature", "the API that signed the call is another")
        key = "input" if part.kind == "custom" else "arguments"
        called = {"name": part.name, key: part.arguments}
        named = {} if part.id is None else {"id": part.id}
        self._calls.append({**named, "type": part.kind, part.kind: called})

    def _native(self, part: NativePart) -> None:
        self._writing.lose(self._sent, part.kind, "only its own API has it")


def _named(call: Json, part: ToolCallPart) -> Json:
    """Return a call with the id and the name of its part, which may have been fitted."""
    named = call if part.id is None else call | {"id": part.id}
    called = named.get(part.kind)
    return named | {part.kind: called | {"name": part.name}} if isinstance(called, dict) else named


def _kind(part: Part) -> str:
    return part.kind if isinstance(part, NativePart) else part.type


def _is_openais(part: MediaPart, sent: Sent) -> bool:
    """Return True if a file's id is one of OpenAI's, whose APIs share their files."""
    native = part.native or sent.message.native
    return native is not None and native.api.startswith("openai.")


_ADDERS: dict[str, Callable[[MessageBuilder, Any], None]] = {
    "media": MessageBuilder._media,
    "native": MessageBuilder._native,
    "refusal": MessageBuilder._refusal,
    "text": MessageBuilder._text,
    "thinking": MessageBuilder._thinking,
    "tool_call": MessageBuilder._call,
}
