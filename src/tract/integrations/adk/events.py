"""Events of ADK as commits, and back.

What an event says is a native content of the Gemini API, so that it compiles with its calls, images and
signatures. All else that the event has is JSON in the commit's metadata, as ADK itself stores it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from google.adk.events.event import Event
from google.genai import types
from pydantic import model_validator
from pydantic_core import from_json, to_jsonable_python

from tract.formats.sending import to_google
from tract.handles.staging import StagedBranch
from tract.history.media import may_hold
from tract.models.annotations import Priority
from tract.models.commit import CommitInfo, EntryInfo
from tract.models.content import ContentModel, FreeformContent, NativeContent
from tract.models.erasure import ERASED

__all__ = [
    "StoredEvent",
    "as_event",
    "event_json",
    "json_safe",
    "logged_event",
    "stored_event",
]

API = "google.generate_content"
SAID = "adk"
"""The member of a commit's metadata that has the event's JSON, without what is in the content."""
WHOLE = "adk_whole"
"""The same for an event that says nothing: no context shows it, and its content has nothing of it."""
_TOOLS = "$tools"  # the role of entries that define tools, which nobody said


class _Plain(Event):
    """Events without the arguments that are for convenience alone, which are never stored.

    ADK's validator of these takes a seventh of the time of all.
    """

    @model_validator(mode="before")
    @classmethod
    def _accept_convenience_kwargs(cls, data: Any) -> Any:
        return data


def as_event(text: str) -> Event:
    """Return the event of a JSON."""
    event = _Plain.model_validate_json(text)
    object.__setattr__(event, "__class__", Event)
    return event


class StoredEvent(NamedTuple):
    """An event as it is committed."""

    content: ContentModel
    metadata: dict[str, Any]

    def stage(self, branch: StagedBranch, config: dict[str, Any] | None = None) -> None:
        """Stage it; no context shows an event that says nothing."""
        entry = branch.commit(self.content, metadata=self.metadata, generation_config=config)
        if WHOLE in self.metadata:
            branch.annotate(entry, "skip")


def stored_event(event: Event) -> StoredEvent:
    """Return an event as it is committed."""
    metadata = {"author": event.author, "invocation_id": event.invocation_id}
    if event.content is not None:
        said = event.content.model_dump_json(by_alias=True, exclude_none=True)
        text = event.model_dump_json(exclude_none=True, exclude={"content"})
        if said != "{}":
            item = from_json(said)
            return StoredEvent(NativeContent(api=API, item=item), metadata | {SAID: text})
    text = event.model_dump_json(exclude_none=True)
    return StoredEvent(FreeformContent(payload={"event": event.id}), metadata | {WHOLE: text})


def event_json(entry: EntryInfo) -> str | None:
    """Return the event that an entry is, as JSON; None if the session does not have it any more.

    What others committed, or put in the place of what an event said, is translated.
    """
    metadata = entry.metadata or {}
    whole, said = metadata.get(WHOLE), metadata.get(SAID)
    if isinstance(whole, str):
        return whole
    if entry.priority is Priority.SKIP or entry.content_type == ERASED or entry.role == _TOOLS:
        return None
    text = said if isinstance(said, str) else _of_others(entry)
    return f'{text[:-1]},"content":{_content(entry)}}}'


def logged_event(info: CommitInfo) -> tuple[dict[str, Any], float]:
    """Return how a commit's event changed the state, and its time; nothing, if it has no event."""
    metadata = info.metadata or {}
    text = metadata.get(WHOLE, metadata.get(SAID))
    if not isinstance(text, str):
        return {}, info.created_at.timestamp()
    fields = json.loads(text)
    return fields.get("actions", {}).get("state_delta") or {}, fields["timestamp"]


def json_safe(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a state as JSON can hold it; what it cannot becomes its text, as in ADK."""
    copied: dict[str, Any] = json.loads(
        json.dumps(to_jsonable_python(dict(state), serialize_unknown=True, inf_nan_mode="null"))
    )
    return copied


def _content(entry: EntryInfo) -> str:
    native = entry.message.native
    if native is not None and native.api == API and not may_hold(native.text):
        return native.text
    content = entry.content
    if isinstance(content, NativeContent) and content.api == API:
        return json.dumps(content.item)
    return _translated(entry)


def _of_others(entry: EntryInfo) -> str:
    author = "model" if entry.role == "assistant" else "user"
    event = Event(id=entry.commit_hash, author=author, timestamp=entry.created_at.timestamp())
    text: str = event.model_dump_json(exclude_none=True)
    return text


def _translated(entry: EntryInfo) -> str:
    said = to_google(entry.messages, exact=True)["contents"]
    parts: list[Any] = [part for each in said for part in each.get("parts", ())]
    if not said:  # the API has no content for a system message
        parts = [{"text": entry.message.content or ""}]
    role = "model" if entry.role == "assistant" else "user"
    known = types.Content.model_validate_json(json.dumps({"role": role, "parts": parts}))
    text: str = known.model_dump_json(exclude_none=True)
    return text
