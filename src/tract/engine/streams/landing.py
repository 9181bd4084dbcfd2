"""Turning what arrived of a reply into its commits, which one transaction writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tract.engine.commit.drafts import Given
from tract.engine.commit.usage import parse_usage
from tract.engine.streams.arrived import Arrived
from tract.exceptions import ContentValidationError
from tract.formats.format import Format, Reply
from tract.history.canonical import as_object, canonical_json
from tract.history.redaction import Redactor
from tract.models.content import ContentModel, DialogueContent, NativeContent
from tract.models.operations import OnKey
from tract.protocols import TokenUsage
from tract.protocols.parts import TextPart

__all__ = ["Piece", "Preamble", "Usage", "givens", "pieces", "preamble", "usage_of"]

Preamble = dict[str, Any]
"""A stream's description from before it begins, as JSON values for the spool."""
Usage = tuple[TokenUsage, str]
"""The counts of a usage report, and the report as JSON."""


class Piece(NamedTuple):
    """A commit of a reply; a skipped one stays out of the context."""

    content: ContentModel
    metadata: dict[str, Any]
    skip: bool = False


def preamble(
    *,
    role: str,
    name: str | None,
    message: str | None,
    metadata: object,
    generation_config: object,
    started_at: int,
    redactor: Redactor | None,
    redact: bool = True,
    key: str | None = None,
    on_key: OnKey = "error",
) -> Preamble:
    """Return a stream's description, which shares no mutable object with the arguments.

    Its secrets are redacted, unless *redact* is False. Its `api` is None until that is known.

    Raises:
        ContentValidationError: an argument cannot be stored.
    """
    if role not in ("system", "user", "assistant"):
        raise ContentValidationError(
            f"{role!r} is not a role. Use 'system', 'user' or 'assistant'", "role"
        )
    for path, text in (("name", name), ("message", message)):
        if not isinstance(text, (str, type(None))):
            raise ContentValidationError(f"a {type(text).__name__} is not a string", path)
    described = {"role": role, "name": name, "message": message, "started_at": started_at}
    opened: Preamble = json.loads(canonical_json(described))
    for path, value in (("metadata", metadata), ("generation_config", generation_config)):
        given = as_object(value, path)
        opened[path] = json.loads(canonical_json(given, path, redactor if redact else None))
    if not redact:
        opened["redact"] = False  # read when it is committed, perhaps by another process
    if key is not None:
        opened |= {"key": key, "on_key": on_key}
    opened["api"] = None
    return opened


def pieces(
    arrived: Arrived, contents: Sequence[ContentModel], reason: str | None, usage: Usage | None
) -> list[Piece]:
    """Return the commits of a reply; *contents* are those of its items.

    A reply that says nothing gets a skipped commit. Incomplete tool calls go to the metadata of the
    last commit. So does a usage report that has no known shape. *reason* says why the stream was
    interrupted, if it was. A stream of which nothing arrived makes no commits.
    """
    if arrived.is_empty:
        return []
    if arrived.format is None:
        return [Piece(_dialogue(arrived.preamble, arrived.text), _metadata(arrived, reason))]
    shown = contents or [_dialogue(arrived.preamble, "")]
    skip = all(_says_nothing(content, arrived.format) for content in shown)
    made = [Piece(content, _metadata(arrived, reason), skip) for content in shown]
    made[-1].metadata.update(_rest(arrived.reply, usage))
    return made


def _dialogue(opened: Mapping[str, Any], text: str) -> DialogueContent:
    return DialogueContent(role=opened.get("role", "assistant"), text=text, name=opened.get("name"))


def _says_nothing(content: ContentModel, format_: Format) -> bool:
    if isinstance(content, DialogueContent):
        return not content.text
    if not isinstance(content, NativeContent):
        return False
    parts = format_.read(content.item).parts
    return all(isinstance(part, TextPart) and not part.text for part in parts)


def _metadata(arrived: Arrived, reason: str | None) -> dict[str, Any]:
    reply = arrived.reply
    found = {
        "model": reply.model,
        "response_id": reply.response_id,
        "finish_reason": reply.finish_reason,
    }
    metadata = dict(arrived.preamble.get("metadata") or {})
    metadata |= {key: value for key, value in found.items() if value is not None}
    if reason is not None:
        metadata |= {"interrupted": True, "reason": reason}
    return metadata


def _rest(reply: Reply, usage: Usage | None) -> dict[str, Any]:
    """Return what no content of a reply holds: calls that were cut off, and an unknown report."""
    rest: dict[str, Any] = {}
    if reply.unfinished:
        rest["unfinished_tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in reply.unfinished
        ]
    if reply.usage and usage is None:
        rest["usage"] = reply.usage
    return rest


def givens(made: Sequence[Piece], opened: Mapping[str, Any]) -> list[Given]:
    """Return the commits of a reply as input for `CommitEngine`."""
    return [
        Given(
            piece.content,
            message=opened.get("message"),
            metadata=piece.metadata or None,
            generation_config=opened.get("generation_config"),
            redact=_redacts(opened),
            key=opened.get("key"),
            on_key=opened.get("on_key", "error"),
        )
        for piece in made
    ]


def usage_of(arrived: Arrived, redactor: Redactor | None) -> Usage | None:
    """Return the usage that the API reported; None if there is none, or its shape is unknown.

    A report of no prompt at all says nothing of the context: some servers send zeros.
    """
    usage = arrived.reply.usage
    if not usage:
        return None
    try:
        parsed = parse_usage(usage, redactor if _redacts(arrived.preamble) else None)
        return parsed if parsed[0].prompt_tokens else None
    except ContentValidationError:  # or a partial report, from an interrupted stream
        return None


def _redacts(opened: Mapping[str, Any]) -> bool:
    return opened.get("redact") is not False
