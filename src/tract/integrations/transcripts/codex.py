"""`import_codex`: the rollout files of Codex, as tracts.

Their lines are `{"timestamp", "type", "payload"}`: https://github.com/openai/codex, in
`codex-rs/history` and `codex-rs/protocol`. Those of early releases are items alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from tract.exceptions import ContentValidationError
from tract.formats.openai_responses.contents import from_responses
from tract.integrations.authorship import is_by_a_model
from tract.integrations.transcripts.importing import (
    Conversation,
    ImportReport,
    Paths,
    Read,
    Step,
    import_files,
)
from tract.integrations.transcripts.lines import lines_of, numbered, object_of
from tract.models.content import ContentModel, StateContent
from tract.models.refs import quote_id
from tract.store import TractStore

__all__ = ["import_codex"]

_NEVER_SENT = "ghost_snapshot"  # an item of early releases, about files
_SETTINGS = ("model", "effort")


async def import_codex(paths: Paths, store: TractStore) -> ImportReport:
    """Import rollout files of Codex.

        await import_codex("~/.codex/sessions", store)

    A session becomes the tract `codex/` and its id. Items that a model is shown become contents of the
    Responses API, with the model and effort of their turn and the usage that the API reported; the
    instructions of the session become one as well. Each other line becomes state. What a compaction
    or a rollback took from the model is skipped, and what a compaction put in its place follows. Call
    this again after it was cut short, or later: only lines that are not here are written. Everything
    is read again and compared at the end.

    Args:
        paths: files, or folders that are searched for files whose names begin with `rollout-`.
        store: where the sessions go.

    Raises:
        FileNotFoundError: there is nothing at a path.
    """
    return await import_files(paths, store, (".jsonl",), _read)


def _read(path: Path, _: str) -> Read:
    if not path.name.startswith("rollout-"):
        return Read([], [str(path)])
    reading = _Reading()
    unread = []
    for number, text in lines_of(path.read_bytes()):
        line = object_of(text)
        if line is None or not reading.take(f"line/{number}", line):
            unread.append(numbered(path, number))
    session_id = reading.metadata.get("id", path.stem)
    tract_id = f"codex/{quote_id(session_id)}"
    steps = reading.steps
    found = [Conversation(str(path), tract_id, steps, reading.metadata)] if steps else []
    return Read(found, unread)


class _Shown(NamedTuple):
    """An item that a model is shown at the moment."""

    key: str
    item: dict[str, Any]


class _Reading:
    """A rollout as far as it was read."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.metadata: dict[str, Any] = {}
        """What the session's first line says of it."""
        self._shown: list[_Shown] = []
        self._asked: set[str] = set()  # keys of what users really said
        self._config: dict[str, Any] | None = None
        self._reply: Step | None = None  # the first of a reply whose usage is to come

    def take(self, key: str, line: dict[str, Any]) -> bool:
        """Add a line; return False if it cannot be stored."""
        kind, payload = line.get("type"), line.get("payload")
        if not isinstance(payload, dict):
            kind, payload = _early(line)
        try:
            if kind == "response_item" and payload.get("type") != _NEVER_SENT:
                rest = {
                    name: each for name, each in line.items() if name not in ("type", "payload")
                }
                self._say(key, payload, {} if payload is line else rest)
            else:
                self._note(key, StateContent(payload=line), kind, payload)
        except ContentValidationError:
            return False
        return True

    def _say(self, key: str, item: dict[str, Any], metadata: dict[str, Any]) -> None:
        step = Step(key, list(from_responses([item])), metadata or None)
        if is_by_a_model(item):
            step.config = self._config
            self._reply = self._reply or step
        else:
            self._reply = None
        self.steps.append(step)
        self._shown.append(_Shown(key, item))

    def _note(self, key: str, state: StateContent, kind: Any, payload: dict[str, Any]) -> None:
        step = Step(key, [state])
        if kind == "session_meta" and not self.steps:
            self.metadata = _about(payload)
            step.contents += _instructions(payload)
        elif kind == "turn_context":
            found = {
                name: payload[name] for name in _SETTINGS if isinstance(payload.get(name), str)
            }
            self._config = found or None
        elif kind == "compacted":
            self._compact(step, payload)
        elif kind == "event_msg":
            self._happen(step, payload)
        self.steps.append(step)

    def _happen(self, step: Step, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "user_message":
            said = [shown.key for shown in self._shown if _is_a_users(shown.item)]
            self._asked.update(said[-1:])
        elif kind == "token_count" and self._reply is not None:
            self._reply.usage = _usage(event)
            self._reply = None
        elif kind == "thread_rolled_back":
            turns = event.get("num_turns")
            self._roll_back(step, turns if isinstance(turns, int) else 0)

    def _roll_back(self, step: Step, turns: int) -> None:
        asked = self._asked or {each.key for each in self._shown if _is_a_users(each.item)}
        starts = [number for number, each in enumerate(self._shown) if each.key in asked]
        if turns > 0 and starts:
            start = starts[max(len(starts) - turns, 0)]
            step.hides = [each.key for each in self._shown[start:]]
            del self._shown[start:]
        self._reply = None

    def _compact(self, step: Step, compacted: dict[str, Any]) -> None:
        """Hide what was shown, and show what is in its place: a history, or a summary behind what users said."""
        history = compacted.get("replacement_history")
        if isinstance(history, list):
            items, kept = [_unwrapped(each) for each in history], []
        else:
            text = {"type": "output_text", "text": str(compacted.get("message", ""))}
            items = [{"type": "message", "role": "assistant", "content": [text]}]
            kept = [each for each in self._shown if _is_a_users(each.item)]
        step.contents += from_responses(items)
        step.hides = [each.key for each in self._shown if each not in kept]
        new = zip(step.keys()[1:], items, strict=True)
        self._shown = [*kept, *(_Shown(key, item) for key, item in new)]
        self._reply = None


def _early(line: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the kind of a line of early releases: an item, or what the session is."""
    if isinstance(line.get("type"), str):
        return "response_item", line
    return ("session_meta" if isinstance(line.get("id"), str) else None), line


def _about(meta: dict[str, Any]) -> dict[str, Any]:
    """Return what is short of a session's first line."""
    return {
        name: each
        for name, each in meta.items()
        if isinstance(each, str) and name not in ("instructions", "base_instructions")
    }


def _instructions(meta: dict[str, Any]) -> list[ContentModel]:
    found = meta.get("base_instructions")
    text = found.get("text") if isinstance(found, dict) else None
    return list(from_responses([], instructions=text)) if isinstance(text, str) and text else []


def _unwrapped(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise ContentValidationError("an item is not a JSON object", "replacement_history")
    return item


def _is_a_users(item: dict[str, Any]) -> bool:
    return (item.get("type", "message"), item.get("role")) == ("message", "user")


def _usage(event: dict[str, Any]) -> dict[str, int] | None:
    info = event.get("info")
    usage = info.get("last_token_usage") if isinstance(info, dict) else None
    if not isinstance(usage, dict):
        return None
    found = {name: usage.get(name) for name in ("input_tokens", "output_tokens")}
    counts = {name: each for name, each in found.items() if type(each) is int and each >= 0}
    return counts if counts.get("input_tokens") and "output_tokens" in counts else None
