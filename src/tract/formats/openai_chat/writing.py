"""Messages as a Chat Completions message list."""

from __future__ import annotations

from collections.abc import Sequence

from tract.formats._ids import fill_ids
from tract.formats.format import Json, Sent, Writing
from tract.formats.openai_chat.building import build
from tract.formats.openai_chat.mending import mended
from tract.formats.openai_chat.plain import has_ids, is_assistant, message_to_openai
from tract.formats.openai_chat.shapes import API, REASONING
from tract.history.media import put_back

__all__ = ["write"]

_CALLING = frozenset({"role", "content", "name", "tool_calls"})
_SHOWN = {"type": "text", "text": "From the results of the tools:"}


def write(messages: Sequence[Sent], writing: Writing) -> list[Json]:
    """Return *messages* as new dicts."""
    writer = _Writer(writing)
    for sent in messages if writing.exact else _with_ids(messages):
        writer.add(sent)
    return writer.done()


def _with_ids(messages: Sequence[Sent]) -> Sequence[Sent]:
    """Return *messages* with ids for all plain calls and results."""
    if all(sent.message.given is not None or has_ids(sent.message) for sent in messages):
        return messages
    filled = fill_ids([sent.message for sent in messages])
    return [Sent(new, sent.commit_hash) for new, sent in zip(filled, messages, strict=True)]


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
        self._media: list[Json] = []
        """Media of the results that came last, to be shown behind them."""

    def add(self, sent: Sent) -> None:
        """Add what a message makes."""
        message = sent.message
        if message.native is not None and message.native.api == API:
            item = put_back(message.native.item, self._writing.load)
            if isinstance(item, dict):
                self._add(item, sent, of_its_own=True)
        elif message.given is None:
            if message.is_error:
                why = "Chat Completions does not mark failed results"
                self._writing.lose(sent, "is_error", why)
            self._add(message_to_openai(message), sent, of_its_own=not is_assistant(message))
        else:
            for item, media in build(sent, self._writing):
                self._add(put_back(item, self._writing.load), sent, of_its_own=False)
                self._media += media

    def done(self) -> list[Json]:
        """Return the list."""
        self._show()
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

    def _show(self) -> None:
        """Show the media of results in a message of the user's."""
        if self._media:
            self._list.append({"role": "user", "content": [_SHOWN.copy(), *self._media]})
            self._joinable = False
            self._media = []
