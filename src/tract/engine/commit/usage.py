"""Parsing the token usage that APIs report, in the official SDKs' shapes, and storing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from pydantic import BaseModel

from tract.engine.compile.reading import ContextReader, Found, ViewOptions
from tract.exceptions import ContentValidationError, HeadMovedError, TractError, shown
from tract.history.canonical import canonical_json
from tract.history.redaction import Redactor
from tract.protocols import CompiledContext, TokenUsage, UnsetType
from tract.storage.repositories import BranchName, Position, UsageRepository

__all__ = ["UsageKeeper", "parse_usage"]

_MAX_COUNT = 2**53  # every JSON reader holds this exactly; far beyond any context
_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")


def parse_usage(usage: object, redactor: Redactor | None = None) -> tuple[TokenUsage, str]:
    """Return the counts of a usage report and the report as canonical JSON, without secrets.

    *usage* is a `TokenUsage`, or a mapping or pydantic object in OpenAI's chat shape
    (`prompt_tokens`, `completion_tokens`) or in that of Anthropic and OpenAI Responses
    (`input_tokens`, `output_tokens`). Anthropic counts cached input separately; it is added to the
    prompt.

    Raises:
        ContentValidationError: it has another shape, or a count is not an integer from 0 up.
    """
    try:
        report = _as_dict(usage)
    except ContentValidationError:
        raise
    except Exception as error:  # the caller's class may raise anything
        raise ContentValidationError(
            f"could not be read ({type(error).__name__}). Give a dict", "usage"
        ) from error
    raw_json = canonical_json(report, "usage", redactor)
    if "prompt_tokens" in report:
        prompt = _count(report, "prompt_tokens")
        completion = _count(report, "completion_tokens")
    elif "input_tokens" in report:
        prompt = _count(report, "input_tokens") + sum(_optional(report, key) for key in _CACHED)
        completion = _count(report, "output_tokens")
    else:
        raise ContentValidationError(
            "has neither `prompt_tokens` nor `input_tokens`. Give a TokenUsage, or the `usage` of "
            "an OpenAI or Anthropic response.",
            "usage",
        )
    reported = report.get("total_tokens")
    total = prompt + completion if reported is None else _count(report, "total_tokens")
    return TokenUsage(prompt, completion, total), raw_json


class UsageKeeper:
    """Stores the usage that APIs report for the heads of one store."""

    def __init__(
        self, usages: UsageRepository, contexts: ContextReader, redactor: Redactor | None
    ) -> None:
        self._usages = usages
        self._contexts = contexts
        self._redactor = redactor

    async def keep(
        self, branch: BranchName, usage: object, expected_head: str | UnsetType | None, redact: bool
    ) -> CompiledContext:
        """Store a report for a branch's head, and return that head's context with its count.

        The head is the one that the branch has at the call: commits that others make meanwhile do
        not matter, because the report is not about them. If the context cannot be compiled, this
        raises before anything is written.

        Raises:
            ContentValidationError: *usage* has an unknown shape, or a value that is not a count.
            HeadMovedError: the head is not *expected_head*; None expects an empty branch.
            TractError: the branch has no commit yet.
        """
        counts, raw_json = parse_usage(usage, self._redactor if redact else None)
        found = await self._contexts.snapshot(branch)
        head = found.snapshot.head_hash
        if expected_head is None and head is not None:
            raise HeadMovedError(None, head)
        if isinstance(expected_head, str):
            named = await self._usages.record(branch, counts, raw_json, head_hash=expected_head)
            if named != head:
                found = await self._contexts.snapshot(branch, Position(commit_hash=named))
        elif head is None:
            raise TractError(
                "There is no commit yet that usage could belong to. Commit the context that was "
                "sent first, then record the usage that the API reported for it."
            )
        else:
            await self._usages.record_at(branch.tract_id, head, counts, raw_json)
        return await self._contexts.view(Found(found.snapshot, counts), ViewOptions())


def _as_dict(usage: object) -> dict[str, Any]:
    kind = type(usage)
    if issubclass(kind, TokenUsage):
        return asdict(cast(TokenUsage, usage))
    if issubclass(kind, BaseModel):
        return cast(BaseModel, usage).model_dump(mode="json")
    if issubclass(kind, Mapping):
        return _with_plain_keys(dict(cast(Mapping[str, Any], usage)))
    raise ContentValidationError(
        f"a {type(usage).__name__} is not a usage report. Give a TokenUsage, or the `usage` of "
        "an OpenAI or Anthropic response.",
        "usage",
    )


def _with_plain_keys(report: dict[Any, Any]) -> dict[str, Any]:
    return {
        str.__str__(key) if issubclass(type(key), str) else key: value
        for key, value in report.items()
    }


def _optional(report: Mapping[str, Any], key: str) -> int:
    return 0 if report.get(key) is None else _count(report, key)


def _count(report: Mapping[str, Any], key: str) -> int:
    value = report.get(key)
    if value is None:
        raise ContentValidationError(
            "is missing. Streams split the report: Anthropic's `message_start` has the input, the "
            "last `message_delta` the output. Give them together",
            f"usage.{key}",
        )
    kind = type(value)
    count = int.__index__(value) if issubclass(kind, int) and kind is not bool else -1
    if not 0 <= count <= _MAX_COUNT:
        given = shown(value) if kind in (int, float, bool) else f"a {kind.__name__}"
        raise ContentValidationError(f"{given} is not a token count from 0 up", f"usage.{key}")
    return count
