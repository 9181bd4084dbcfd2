"""Items of an API through its format, without a store."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tract.engine.contents.rendering import render
from tract.formats.deltas import apply
from tract.formats.format import Json, Reply, Sent, Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import arguments
from tract.models.content import ContentModel
from tract.protocols import Message

__all__ = ["Through", "rendered", "same"]


def rendered(contents: Iterable[ContentModel], *, role: str | None = None) -> list[Message]:
    """Return the messages of contents, as a context shows them; *role* shows them in another."""
    stored = [json.loads(json.dumps(content.model_dump())) for content in contents]
    return [render(fields["content_type"], fields, role) for fields in stored]


def same(one: Any, other: Any) -> bool:
    """Return True if two values are the same JSON: 1, 1.0 and true differ."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class Through:
    """The way of items through one API's format."""

    def __init__(self, api: str) -> None:
        self.format = FORMATS[api]

    def messages_of(self, *items: Json) -> list[Message]:
        """Return the messages that items become, committed and compiled."""
        return rendered(self.format.contents(items))

    def sent(self, messages: Sequence[Message], writing: Writing | None = None) -> dict[str, Any]:
        """Return what a request sends of messages: paired, fitted, written."""
        given = [Sent(message, f"{at}") for at, message in enumerate(messages)]
        return arguments(self.format, given, writing or Writing())

    def exactly(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return what a request sends of messages if nothing is mended."""
        return arguments(self.format, [Sent(message) for message in messages], Writing(), "keep")

    def streamed(self, events: Iterable[Mapping[str, Any]], *, complete: bool = True) -> Reply:
        """Return the reply that events build, saved and read again in between."""
        root: dict[str, Any] = {}
        reader = self.format.events()
        for event in events:
            given = copy.deepcopy(dict(event))
            deltas = json.loads(json.dumps(reader.feed(given)))
            given.clear()
            apply(root, deltas)
        before = copy.deepcopy(root)
        reply = self.format.events().reply(root, complete=complete)
        assert root == before
        return reply
