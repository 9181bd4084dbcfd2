"""Contents of generateContent through its format, without a store."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tract.engine.compile.contents import render
from tract.formats.deltas import apply
from tract.formats.format import Json, Reply, Sent, Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import arguments
from tract.models.content import ContentModel
from tract.protocols import Message

API = "google.generate_content"
FORMAT = FORMATS[API]


def rendered(contents: Iterable[ContentModel]) -> list[Message]:
    """Return the messages of contents, as a context shows them."""
    stored = [json.loads(json.dumps(content.model_dump())) for content in contents]
    return [render(fields["content_type"], fields) for fields in stored]


def messages_of(*items: Json) -> list[Message]:
    """Return the messages that items become, committed and compiled."""
    return rendered(FORMAT.contents(items))


def sent(messages: Sequence[Message], writing: Writing | None = None) -> dict[str, Any]:
    """Return what a request sends of messages: paired, fitted, written."""
    given = [Sent(message, f"{at}") for at, message in enumerate(messages)]
    return arguments(FORMAT, given, writing or Writing())


def exactly(messages: Sequence[Message]) -> dict[str, Any]:
    """Return what a request sends of messages if nothing is mended."""
    return arguments(FORMAT, [Sent(message) for message in messages], Writing(), "keep")


def rest(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the SDK's arguments as the body of a request."""
    config = given.get("config", {})
    names = {"system_instruction": "systemInstruction", "tools": "tools"}
    return {"contents": given["contents"]} | {names[key]: config[key] for key in config}


def streamed(events: Iterable[Mapping[str, Any]], *, complete: bool = True) -> Reply:
    """Return the reply that events build, saved and read again in between."""
    root: dict[str, Any] = {}
    reader = FORMAT.events()
    for event in events:
        given = copy.deepcopy(dict(event))
        deltas = json.loads(json.dumps(reader.feed(given)))
        given.clear()
        apply(root, deltas)
    before = copy.deepcopy(root)
    reply = FORMAT.events().reply(root, complete=complete)
    assert root == before
    return reply


def same(one: Any, other: Any) -> bool:
    """Return True if two values are the same JSON: 1, 1.0 and true differ."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
