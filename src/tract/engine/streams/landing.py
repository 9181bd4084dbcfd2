"""From what came of a stream to the commits that it becomes, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tract.engine.commit.budget import BudgetedCommits
from tract.engine.commit.drafts import DraftMaker, Given, Staged
from tract.engine.commit.usage import parse_usage
from tract.exceptions import ContentValidationError
from tract.formats.assembly import Assembly
from tract.history.canonical import as_object, canonical_json
from tract.history.redaction import Redactor
from tract.models.annotations import Priority
from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.storage.repositories import CommitRow, SpooledStream, StreamEnd, StreamName

__all__ = ["Opening", "StreamLander", "opening", "pieces"]

Opening = dict[str, Any]
"""What is known of a stream before it begins, as JSON values: it is written to the spool."""


class Piece(NamedTuple):
    """A commit of a stream; one that is skipped stays out of the context."""

    content: dict[str, Any]
    metadata: dict[str, Any]
    skip: bool = False


def opening(
    *,
    role: str,
    name: str | None,
    message: str | None,
    metadata: object,
    generation_config: object,
    started_at: int,
    redactor: Redactor | None,
    redact: bool = True,
) -> Opening:
    """Return what describes a stream, sharing nothing with the arguments.

    It has no secrets in it, unless *redact* is False.

    Raises:
        ContentValidationError: one of them cannot be stored.
    """
    if role not in ("system", "user", "assistant"):
        raise ContentValidationError(
            f"{role!r} is no role. Use 'system', 'user' or 'assistant'", "role"
        )
    for path, text in (("name", name), ("message", message)):
        if not isinstance(text, (str, type(None))):
            raise ContentValidationError(f"a {type(text).__name__} is no string", path)
    described = {"role": role, "name": name, "message": message, "started_at": started_at}
    opened: Opening = json.loads(canonical_json(described))
    for path, value in (("metadata", metadata), ("generation_config", generation_config)):
        given = as_object(value, path)
        opened[path] = json.loads(canonical_json(given, path, redactor if redact else None))
    if not redact:
        opened["redact"] = False  # for those who commit it, perhaps in another process
    return opened


def pieces(assembly: Assembly, opened: Mapping[str, Any], reason: str | None) -> list[Piece]:
    """Return the commits of a stream: what was thought, what was said, then the tool calls.

    What was thought is skipped. Calls that were cut off are in the last commit's metadata; where
    there is no other, they get one that is skipped. *reason* tells why the stream was left before
    its end. Nothing came, nothing is made.
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


class StreamLander:
    """Commits what streams became."""

    def __init__(
        self, drafts: DraftMaker, writer: BudgetedCommits, redactor: Redactor | None
    ) -> None:
        self._drafts = drafts
        self._writer = writer
        self._redactor = redactor

    async def land(
        self,
        name: StreamName,
        assembly: Assembly,
        opened: Mapping[str, Any],
        reason: str | None,
        *,
        owner: str | None = None,
        claim: SpooledStream | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRow]:
        """Commit what came, keep its usage, and drop the stream's parts, in one transaction.

        Give its *owner* if parts of it were saved, or a *claim* on what somebody left.

        Raises:
            StreamRecoveredError: the stream is not *owner*'s any more.
            HeadMovedError: the head is not *expected_head*; the parts are kept.
            ContentValidationError: what came is too large.
            BudgetExceededError: the context would exceed a budget whose action is `reject`.
        """
        made = pieces(assembly, opened, reason)
        drafts = await self._drafts.finish(self._staged(made, opened))
        head = opened.get("head")
        redactor = self._redactor if _redacts(opened) else None
        ending = StreamEnd(name, owner, claim, head, _usage(assembly, redactor) if head else None)
        return await self._writer.write(name.branch, drafts, expected_head, ending)

    def _staged(self, made: Sequence[Piece], opened: Mapping[str, Any]) -> list[Staged]:
        staged: list[Staged] = []
        for piece in made:
            given = Given(
                piece.content,
                message=opened.get("message"),
                metadata=piece.metadata or None,
                generation_config=opened.get("generation_config"),
                redact=_redacts(opened),
            )
            staged.append(self._drafts.stage(given, checking=False))
            if piece.skip:
                target = len(staged) - 1
                staged.append(self._drafts.stage_annotation(target, Priority.SKIP, None))
        return staged


def _redacts(opened: Mapping[str, Any]) -> bool:
    return opened.get("redact") is not False


def _usage(assembly: Assembly, redactor: Redactor | None) -> tuple[TokenUsage, str] | None:
    """Return what the response reported; None where nothing, or nothing that can be understood."""
    if not assembly.usage:
        return None
    try:
        return parse_usage(assembly.usage, redactor)
    except ContentValidationError:  # half of a report, of a stream that was cut
        return None
