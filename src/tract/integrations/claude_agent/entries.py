"""Entries of transcripts as commits, and back.

The message of an entry is a native content of Anthropic's API, so that it compiles with its thinking, calls
and results. All else that the entry has is JSON in the commit's metadata. An entry that no model is
shown is a state.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from tract.exceptions import ContentValidationError
from tract.history.canonical import canonical_json
from tract.models.commit import CommitInfo
from tract.models.content import ContentModel, NativeContent, StateContent

__all__ = ["API", "Planned", "digest", "entry_of", "planned", "preserved"]

API = "anthropic.messages"
_REST = "claude_agent"
"""The member of a commit's metadata that has the entry's JSON, without its message."""
_WHOLE = "claude_agent"
"""The member of a state's payload that has a whole entry."""
_TEXT = "claude_agent_json"
"""The same as a text, for what a state cannot hold, such as lone surrogates."""
_TOLD = {"type": "type", "uuid": "uuid", "requestId": "request_id", "timestamp": "timestamp"}
"""Members of an entry that are metadata of their own, to be queried, with their names there."""
_HIDDEN = ("isApiErrorMessage", "isVisibleInTranscriptOnly")
_SYNTHETIC = "<synthetic>"  # the model that the CLI names where none was called
_PLAIN = re.compile(r"[\w.:-]{1,200}", re.ASCII)


class Planned(NamedTuple):
    """An entry as it is committed."""

    entry: dict[str, Any]
    key: str | None
    content: ContentModel
    metadata: dict[str, Any] | None = None

    @property
    def is_shown(self) -> bool:
        """Whether a model sees it."""
        return isinstance(self.content, NativeContent)

    @property
    def uuid(self) -> str | None:
        """The entry's own name."""
        return _text(self.entry, "uuid")

    @property
    def reply(self) -> str | None:
        """The id of the model's reply that it is a part of."""
        return _text(self._said, "id") if self._model else None

    @property
    def config(self) -> dict[str, Any] | None:
        """What the call was made with, as far as the entry says."""
        return {"model": self._model} if self._model else None

    @property
    def usage(self) -> dict[str, Any] | None:
        """What the API reported of the call."""
        usage = self._said.get("usage") if self._model else None
        return usage if isinstance(usage, dict) else None

    @property
    def compacts(self) -> bool:
        """Whether a model is no longer shown what came before."""
        return (self.entry.get("type"), self.entry.get("subtype")) == ("system", "compact_boundary")

    @property
    def _said(self) -> Mapping[str, Any]:
        return self.content.item if isinstance(self.content, NativeContent) else {}

    @property
    def _model(self) -> str | None:
        model = _text(self._said, "model") if self.entry.get("type") == "assistant" else None
        return None if model == _SYNTHETIC else model


def planned(entries: Iterable[Mapping[str, Any]], *, is_subagent: bool) -> Iterator[Planned]:
    """Yield entries as they are committed, without those that are there twice.

    An entry's key has its uuid and a digest, so that a repeated batch commits nothing twice, and
    nothing is lost that came under the same uuid. An entry without one has a key if one with an
    uuid is before it in its batch.
    """
    keys: set[str | None] = {None}
    after, place = "", 0
    for given in entries:
        entry: dict[str, Any] = json.loads(json.dumps(given))
        uuid = _text(entry, "uuid")
        after, place = (_named(uuid), 0) if uuid else (after, place + 1)
        key = f"entry/{after}/{place}/{digest(entry)}" if after else None
        if key is None or key not in keys:
            keys.add(key)
            yield _planned(entry, key, is_subagent=is_subagent)


def preserved(entry: Mapping[str, Any], shown: list[str | None]) -> range:
    """Return which of some entries a compaction has left as they were, given the uuids of all."""
    about = entry.get("compactMetadata")
    kept: Any = about.get("preservedSegment") if isinstance(about, dict) else None
    try:
        return range(shown.index(kept["headUuid"]), shown.index(kept["tailUuid"]) + 1)
    except (LookupError, TypeError, ValueError):
        return range(0)


def entry_of(info: CommitInfo, content: BaseModel, message: Any = None) -> dict[str, Any] | None:
    """Return the entry that a commit is; None for what others committed or erased.

    *message* is in the place of what the entry said, if it was edited.
    """
    entry: dict[str, Any]
    if isinstance(content, StateContent) and isinstance(content.payload, dict):
        whole, text = content.payload.get(_WHOLE), content.payload.get(_TEXT)
        if isinstance(text, str):
            return _loaded(text)
        return _loaded(json.dumps(whole)) if isinstance(whole, dict) else None
    rest = (info.metadata or {}).get(_REST)
    if not isinstance(rest, str) or not isinstance(content, NativeContent):
        return None
    entry = _loaded(rest)
    entry["message"] = message or _loaded(json.dumps(content.item))
    return entry


def _planned(entry: dict[str, Any], key: str | None, *, is_subagent: bool) -> Planned:
    if _is_shown(entry, is_subagent=is_subagent):
        told = {
            name: entry[member]
            for member, name in _TOLD.items()
            if isinstance(entry.get(member), str) and _is_storable(entry[member])
        }
        message_id = entry["message"].get("id")
        if isinstance(message_id, str) and _is_storable(message_id):
            told["message_id"] = message_id
        rest = json.dumps(entry | {"message": None})
        content = NativeContent(api=API, item=entry["message"])
        return Planned(entry, key, content, told | {_REST: rest})
    if _is_storable(entry):
        return Planned(entry, key, StateContent(payload={_WHOLE: entry}))
    return Planned(entry, key, StateContent(payload={_TEXT: json.dumps(entry)}))


def _is_shown(entry: Mapping[str, Any], *, is_subagent: bool) -> bool:
    """Return True for a message that a model is shown."""
    message = entry.get("message")
    if entry.get("type") not in ("user", "assistant") or not isinstance(message, dict):
        return False
    if message.get("role") != entry["type"] or any(entry.get(each) for each in _HIDDEN):
        return False
    if entry.get("isSidechain") is True and not is_subagent:
        return False
    return isinstance(message.get("content"), (str, list)) and _is_storable(message)


def _is_storable(value: Any) -> bool:
    try:
        canonical_json(value)
    except ContentValidationError:
        return False
    return True


def _named(uuid: str) -> str:
    """Return an entry's name as a part of a key."""
    return uuid if _PLAIN.fullmatch(uuid) else digest(uuid)


def digest(value: Any) -> str:
    """Return a text that is the same for equal JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _loaded(text: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(text)
    return entry
