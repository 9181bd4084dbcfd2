"""Messages as a Chat Completions message list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tract.formats.common.own import with_media
from tract.formats.format import GO_ON, Json, Sent, Writing
from tract.formats.openai_chat.building import build
from tract.formats.openai_chat.mending import mended
from tract.formats.openai_chat.shapes import API, REASONING, family
from tract.formats.pairing import is_models
from tract.history.media import put_back
from tract.protocols import Message
from tract.protocols.parts import Part, TextPart, ToolCallPart, ToolResultPart

__all__ = ["alone", "message_to_openai", "write"]

_FIT_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_DONE = "Done."
"""What the assistant says between the results of its calls and the user, where it said nothing."""
_CALLING = frozenset({"role", "content", "name", "tool_calls"})
_SHOWN = {"type": "text", "text": "From the results of the tools:"}


def write(messages: Sequence[Sent], writing: Writing) -> Json:
    """Return the argument `messages`."""
    writer = _Writer(writing)
    for sent in messages:
        writer.add(sent)
    return {"messages": writer.done()}


def alone(message: Message) -> Json | None:
    """Return a message as it is sent whatever stands around it, if its calls and results are paired.

    None if that depends on others: an id is missing, or a part may be shown elsewhere.
    """
    if message.given is None:
        return message_to_openai(message) if _has_ids(message) else None
    native = message.native
    if native is None or native.api != API or not all(map(_stays, message.given)):
        return None
    return mended(native.item, Sent(message), Writing())


def _stays(part: Part) -> bool:
    if isinstance(part, ToolResultPart):
        return part.kind != "server" and all(isinstance(each, TextPart) for each in part.parts)
    return isinstance(part, TextPart | ToolCallPart)


def _has_ids(message: Message) -> bool:
    """Return True if a plain message can be sent as it stands.

    Then every tool call or result has an id, and the speaker's name is one that the API takes.
    """
    if message.name is not None and not _FIT_NAME.fullmatch(message.name):
        return False
    if message.tool_calls:
        return all(call.id is not None for call in message.tool_calls)
    return message.role != "tool" or message.tool_call_id is not None


def message_to_openai(message: Message) -> dict[str, Any]:
    """Return one plain message as a new dict; calls without ids stay without."""
    if not message.tool_calls and message.role in ("system", "user", "assistant"):
        plain = {"role": message.role, "content": message.content or ""}
        if message.name is not None:
            plain["name"] = message.name
        return plain
    if is_models(message):
        message = replace(message, role="assistant", tool_call_id=None)
    elif message.role == "tool":
        message = replace(message, name=None)
    else:
        message = replace(message, tool_call_id=None)
    if message.content is None and not message.tool_calls:
        message = replace(message, content="")
    made = message.to_dict()
    for call in made.get("tool_calls", ()):
        if call["id"] is None:
            del call["id"]
    return made


def _join(before: Json, item: Json) -> None:
    """Join a message of calls, and of what was thought before them, to the one *before*."""
    for key, value in item.items():
        known = before.get(key)
        if known is None and key != "name":
            before[key] = value
        elif isinstance(known, list) and isinstance(value, list):
            before[key] = [*known, *value]
        elif key in REASONING:
            before[key] = f"{known}\n\n{value}"


class _Writer:
    """The list so far."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._list: list[Json] = []
        self._joinable = False
        """Whether the last message is the assistant's and may get more calls."""
        self._sent: Sent | None = None
        self._is_mistrals = not writing.exact and family(writing.model) == "mistral"
        self._media: list[Json] = []
        """Media of the results that came last, to be shown behind them."""

    def add(self, sent: Sent) -> None:
        """Add what a message makes."""
        message = sent.message
        if message.native is not None and message.native.api == API:
            item = with_media(message.native, self._writing)
            if isinstance(item, dict):
                self._add(item, sent, of_its_own=True)
        elif message.given is None:
            if message.is_error:
                why = "Chat Completions does not mark failed results"
                self._writing.lose(sent, "is_error", why)
            self._add(message_to_openai(message), sent, of_its_own=not is_models(message))
        else:
            for item, media in build(sent, self._writing):
                self._add(put_back(item, self._writing.load), sent, of_its_own=False)
                self._media += media

    def done(self) -> list[Json]:
        """Return the list."""
        self._show()
        last = self._list[-1] if self._list else {}
        if self._is_mistrals and last.get("role") == "assistant" and not last.get("prefix"):
            self._put("user", GO_ON, "Mistral takes no answer that would be last")
        return self._list

    def _add(self, item: Json, sent: Sent, *, of_its_own: bool) -> None:
        """Add a message; one that is not *of_its_own* joins the assistant's if it only calls."""
        if not self._writing.exact:
            fitted = mended(item, sent, self._writing)
            if fitted is None:
                return
            item = fitted
        if item.get("role") not in ("tool", "function"):
            self._show()
        self._sent = sent
        if item.get("role") == "user":
            self._lead_to_user()
        if self._joins(item, of_its_own=of_its_own):
            _join(self._list[-1], item)
            return
        self._list.append(item)
        self._joinable = item.get("role") == "assistant" and not (
            self._writing.exact and of_its_own
        )

    def _joins(self, item: Json, *, of_its_own: bool) -> bool:
        if not self._joinable or item.get("role") != "assistant":
            return False
        if not item.get("tool_calls") or item.get("content") is not None:
            return False
        if of_its_own:  # its results stand behind all of the calls that come together
            return not self._writing.exact and bool(self._list[-1].get("tool_calls"))
        return item.keys() <= _CALLING or bool(self._list[-1].get("tool_calls"))

    def _lead_to_user(self) -> None:
        if self._is_mistrals and self._list and self._list[-1].get("role") == "tool":
            self._put("assistant", _DONE, "Mistral takes no user right behind a result")

    def _put(self, role: str, text: str, why: str) -> None:
        """Add a message without which the model's API refuses what comes next, or the end."""
        assert self._sent is not None
        self._writing.lose(self._sent, "message", f"{why}, so the {role} says {text!r}")
        self._list.append({"role": role, "content": text})
        self._joinable = False

    def _show(self) -> None:
        """Show the media of results in a message of the user's."""
        if self._media:
            self._lead_to_user()
            self._list.append({"role": "user", "content": [_SHOWN.copy(), *self._media]})
            self._joinable = False
            self._media = []
