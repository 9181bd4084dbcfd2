"""The calls of models, and which events they made."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

from google.adk.events.event import Event

__all__ = ["Calls", "Made"]

_MOST = 1024  # calls that are kept for events that may never come


class Made(NamedTuple):
    """How an event was made; nothing, if no model made it."""

    config: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


class Calls:
    """The newest call of each agent in each invocation."""

    def __init__(self) -> None:
        self._settings: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    def note(self, invocation_id: str, agent: str, settings: dict[str, Any]) -> None:
        """Note what a call is made with."""
        self._settings[invocation_id, agent] = settings
        self._settings.move_to_end((invocation_id, agent))
        if len(self._settings) > _MOST:
            self._settings.popitem(last=False)

    def of(self, event: Event) -> Made:
        """Return how an event was made."""
        content, usage = event.content, event.usage_metadata
        if event.author == "user" or (content is not None and content.role == "user"):
            return Made()
        config = self._settings.get((event.invocation_id, event.author), {})
        if event.model_version:
            config = {"model": event.model_version} | config
        report = None
        if usage is not None and usage.prompt_token_count:
            report = usage.model_dump(mode="json", exclude_none=True)
        return Made(config or None, report)
