"""Turning what arrived of a stream into its commits, which one transaction writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tract.engine.commit.drafts import Given
from tract.engine.commit.usage import parse_usage
from tract.exceptions import ContentValidationError
from tract.formats.assembly import Assembly
from tract.history.canonical import as_object, canonical_json
from tract.history.redaction import Redactor
from tract.protocols import TokenUsage
from tract.storage.repositories import SpooledStream, StreamEnd, StreamFate, StreamName

__all__ = ["Piece", "Preamble", "ending", "givens", "pieces", "preamble"]

Preamble = dict[str, Any]
"""A stream's description from before it begins, as JSON values for the spool."""


class Piece(NamedTuple):
    """A commit of a stream; a skipped one stays out of the context."""

    content: dict[str, Any]
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
) -> Preamble:
    """Return a stream's description, which shares no mutable object with the arguments.

    Its secrets are redacted, unless *redact* is False.

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
    return opened


def pieces(assembly: Assembly, opened: Mapping[str, Any], reason: str | None) -> list[Piece]:
    """Return the commits of a stream: the reasoning, the text, then the tool calls.

    The reasoning is skipped. Incomplete tool calls go to the metadata of the last commit; if there
    is none, they get a skipped commit of their own. *reason* says why the stream was interrupted,
    if it was. A stream of which nothing arrived makes no commits.
    """
    if assembly.is_empty:
        return []
    common = _metadata(assembly, opened, reason)
    made = [
        Piece(content, {**common, **extra}, skip)
        for content, extra, skip in _said(assembly, opened)
    ]
    unfinished = [
        {"id": call.id, "name": call.name, "arguments": call.arguments}
        for call in assembly.unfinished_calls
    ]
    if unfinished:
        made = made or [Piece(_dialogue(opened, ""), common, skip=True)]
        made[-1].metadata["unfinished_tool_calls"] = unfinished
    return made


def _said(
    assembly: Assembly, opened: Mapping[str, Any]
) -> list[tuple[dict[str, Any], dict[str, Any], bool]]:
    said: list[tuple[dict[str, Any], dict[str, Any], bool]] = []
    reasoning, refusal = assembly.reasoning, assembly.refusal
    if reasoning or assembly.redacted:
        extra = {"signatures": assembly.signatures, "redacted": assembly.redacted}
        kept = {key: values for key, values in extra.items() if values}
        said.append(({"content_type": "reasoning", "text": reasoning}, kept, True))
    if assembly.text or refusal:
        extra_text: dict[str, Any] = {"refusal": True} if refusal else {}
        said.append((_dialogue(opened, assembly.text + refusal), extra_text, False))
    for call in assembly.calls:
        content = {
            "content_type": "tool_io",
            "tool_name": call.name,
            "direction": "call",
            "payload": call.arguments,
            "call_id": call.id,
        }
        said.append((content, {}, False))
    return said


def _dialogue(opened: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {
        "content_type": "dialogue",
        "role": opened.get("role", "assistant"),
        "text": text,
        "name": opened.get("name"),
    }


def _metadata(assembly: Assembly, opened: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    found = {
        "model": assembly.model,
        "response_id": assembly.response_id,
        "finish_reason": assembly.finish_reason,
    }
    metadata = dict(opened.get("metadata") or {})
    metadata |= {key: value for key, value in found.items() if value is not None}
    if reason is not None:
        metadata |= {"interrupted": True, "reason": reason}
    return metadata


def givens(made: Sequence[Piece], opened: Mapping[str, Any]) -> list[Given]:
    """Return the commits of a stream as input for `CommitEngine`."""
    return [
        Given(
            piece.content,
            message=opened.get("message"),
            metadata=piece.metadata or None,
            generation_config=opened.get("generation_config"),
            redact=_redacts(opened),
        )
        for piece in made
    ]


def ending(
    name: StreamName,
    assembly: Assembly,
    opened: Mapping[str, Any],
    redactor: Redactor | None,
    *,
    owner: str | None,
    claim: SpooledStream | None,
    fate: StreamFate | None,
) -> StreamEnd:
    """Return what the transaction does besides the commits of a stream; see `StreamEnd`."""
    head = opened.get("head")
    usage = _usage(assembly, redactor if _redacts(opened) else None) if head else None
    return StreamEnd(name, owner, claim, head, usage, fate)


def _redacts(opened: Mapping[str, Any]) -> bool:
    return opened.get("redact") is not False


def _usage(assembly: Assembly, redactor: Redactor | None) -> tuple[TokenUsage, str] | None:
    """Return the usage that the response reported; None if there is none, or it is malformed."""
    if not assembly.usage:
        return None
    try:
        return parse_usage(assembly.usage, redactor)
    except ContentValidationError:  # a partial report, from an interrupted stream
        return None
