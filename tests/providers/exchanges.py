"""The recorded exchanges with providers' APIs, as typed values."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FILE = "exchanges.jsonl.gz"
FOLDER = Path(__file__).parents[3] / "shared" / "data"

# `str.splitlines` would end lines within JSON strings, too, at U+2028 and the like.
_LINE_ENDS = re.compile(r"\r\n|\n|\r")


class Event(NamedTuple):
    """A server-sent event: its name, which not every API gives, and its JSON."""

    name: str | None
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its answer: a whole reply, or the events of a stream."""

    id: str
    api: str
    provider: str
    request: dict[str, Any]
    reply: dict[str, Any] | None
    events: tuple[Event, ...]

    @property
    def streamed(self) -> bool:
        """Return True if the answer came as events."""
        return self.reply is None

    @property
    def answers(self) -> tuple[dict[str, Any], ...]:
        """The reply, or the JSON of every event."""
        return tuple(event.data for event in self.events) if self.reply is None else (self.reply,)

    @property
    def items(self) -> list[dict[str, Any]]:
        """What a whole reply holds for the next request: messages, output items or contents."""
        reply = self.reply or {}
        match self.api:
            case "openai.chat":
                return [choice["message"] for choice in reply.get("choices", ())]
            case "anthropic.messages":
                return [{key: reply[key] for key in ("role", "content")}] if reply else []
            case "google.generate_content":
                found = (each.get("content") for each in reply.get("candidates", ()))
                return [content for content in found if content]
        return list(reply.get("output", ()))

    @property
    def model(self) -> str:
        """The model that answered, or else the one that was asked; empty if neither is said."""
        keys = ("modelVersion", "model")
        said = [answer[key] for answer in self.answers for key in keys if answer.get(key)]
        return str(next(iter(said), self.request.get("model", "")))

    @property
    def failed(self) -> bool:
        """Return True if the answer is an error, or not the API's."""
        named = any(event.name == "error" for event in self.events)
        return named or any(_is_error(answer) for answer in self.answers)


def path() -> Path:
    """Return where the exchanges are, if they are there."""
    return Path(os.environ.get("ASYNCTRACT_TRANSCRIPTS", FOLDER)) / FILE


def read(file: Path) -> Iterator[Exchange]:
    """Yield the exchanges of a file, in its order."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield _exchange(json.loads(line))


def parse_events(text: str) -> Iterator[Event]:
    """Yield the events of a stream as it came; comments and the final `[DONE]` are none."""
    name, data = None, list[str]()
    for line in [*_LINE_ENDS.split(text), ""]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not line:
            joined = "\n".join(data)
            if joined and joined != "[DONE]":
                yield Event(name, json.loads(joined))
            name, data = None, []


def _exchange(recorded: dict[str, Any]) -> Exchange:
    response = recorded["response"]
    return Exchange(
        id=recorded["id"],
        api=recorded["api"],
        provider=recorded["provider"],
        request=recorded["request"],
        reply=response.get("json"),
        events=tuple(parse_events(response.get("sse", ""))),
    )


def _is_error(answer: dict[str, Any]) -> bool:
    return bool(answer.get("error")) or "contentType" in answer
