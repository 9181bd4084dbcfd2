"""Parsing the token usage that APIs report, in the official SDKs' shapes, and storing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from tract.engine.compile.reading import ContextReader, Found, ViewOptions
from tract.exceptions import ContentValidationError, TractError, shown
from tract.history.canonical import canonical_json
from tract.history.redaction import Redactor
from tract.protocols import CompiledContext, TokenUsage, UnsetType
from tract.storage.repositories import BranchName, Position, UsageRepository

__all__ = ["UsageKeeper", "parse_usage"]

_MAX_COUNT = 2**53  # every JSON reader holds this exactly; far beyond any context


class _Shape(NamedTuple):
    """How an API names its counts; `prompt` and `completion` identify the shape.

    Optional counts are added to these. Cached tokens are listed only where the API counts them
    apart from the prompt.
    """

    prompt: str
    completion: str
    total: str = "total_tokens"
    more_prompt: tuple[str, ...] = ()
    more_completion: tuple[str, ...] = ()
    partial: bool = False
    """Whether the API leaves out counts that are zero."""


_SHAPES = (
    _Shape("prompt_tokens", "completion_tokens"),  # OpenAI's Chat Completions
    _Shape(  # Anthropic, and OpenAI's Responses, which has no such keys
        "input_tokens",
        "output_tokens",
        more_prompt=("cache_creation_input_tokens", "cache_read_input_tokens"),
    ),
    _Shape(  # Gemini
        "promptTokenCount",
        "candidatesTokenCount",
        "totalTokenCount",
        more_prompt=("toolUsePromptTokenCount",),
        more_completion=("thoughtsTokenCount",),
        partial=True,
    ),
    _Shape(
        "prompt_token_count",
        "candidates_token_count",
        "total_token_count",
        more_prompt=("tool_use_prompt_token_count",),
        more_completion=("thoughts_token_count",),
        partial=True,
    ),
    _Shape(  # Bedrock's Converse
        "inputTokens",
        "outputTokens",
        "totalTokens",
        more_prompt=("cacheReadInputTokens", "cacheWriteInputTokens"),
    ),
    _Shape("prompt_eval_count", "eval_count", partial=True),  # Ollama, which skips cached prompts
)
_WRAPPERS = ("usageMetadata", "usage_metadata", "tokens", "billed_units")
"""Keys below which a report may be: in Gemini's replies, and Cohere's, whose SDK has floats."""
_OLLAMA = "eval_count"
_OLLAMA_COUNTS = ("_count", "_duration")


def parse_usage(usage: object, redactor: Redactor | None = None) -> tuple[TokenUsage, str]:
    """Return the counts of a usage report and the report as canonical JSON, without secrets.

    *usage* is a `TokenUsage`, or a mapping or pydantic object in the shape of OpenAI's Chat
    Completions or Responses, Anthropic, Gemini, Bedrock's Converse, Ollama or Cohere. Input that an
    API reports apart from the prompt (Anthropic's and Bedrock's cached input) is added to the
    prompt, and Gemini's thoughts to the completion.

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
    if _OLLAMA in report:  # they stand beside the reply, which is not stored again
        report = {key: value for key, value in report.items() if key.endswith(_OLLAMA_COUNTS)}
    raw_json = canonical_json(report, "usage", redactor)
    shape, counted, path = _shape_of(report)
    prompt = _sum(counted, shape.prompt, shape.more_prompt, path, partial=shape.partial)
    completion = _sum(counted, shape.completion, shape.more_completion, path, partial=shape.partial)
    reported = counted.get(shape.total)
    total = prompt + completion if reported is None else _count(counted, shape.total, path)
    return TokenUsage(prompt, completion, total), raw_json


class UsageKeeper:
    """Stores the usage that APIs report for the heads of one store."""

    def __init__(
        self, usages: UsageRepository, contexts: ContextReader, redactor: Redactor | None
    ) -> None:
        self._usages = usages
        self._contexts = contexts
        self._redactor = redactor

    def read(self, usage: object, *, redact: bool) -> tuple[TokenUsage, str]:
        """Return the counts of a report and the report as stored; see `parse_usage`."""
        return parse_usage(usage, self._redactor if redact else None)

    async def keep(
        self, branch: BranchName, usage: object, head: str | UnsetType | None, redact: bool
    ) -> CompiledContext:
        """Store a report for a head, by default the branch's, and return its context with the count.

        An earlier head will do, because the report is about what was sent. If its context cannot be
        compiled, this raises before anything is written. A report of no prompt at all, as Ollama
        gives for a cached one, counts nothing, and leaves the count as it was.

        Raises:
            ContentValidationError: *usage* has an unknown shape, or a value that is not a count.
            CommitNotFoundError: the tract has no commit *head*.
            TractError: there is no commit yet, or *head* is None.
        """
        counts, raw_json = self.read(usage, redact=redact)
        found = await self._contexts.snapshot(branch, Position(head))
        sent = found.snapshot.head_hash
        if sent is None:
            raise TractError(
                "There is no commit to keep usage for, because the context was empty. Commit what "
                "you send before you call the API."
            )
        shown = found
        if counts.prompt_tokens:
            await self._usages.record(branch.tract_id, sent, counts, raw_json)
            shown = Found(found.snapshot, counts)
        again = partial(self._again, branch, sent, shown.usage)
        return await self._contexts.show(branch.tract_id, shown, ViewOptions(), again)

    async def _again(self, branch: BranchName, sent: str, usage: TokenUsage | None) -> Found:
        found = await self._contexts.snapshot(branch, Position(sent))
        return found._replace(usage=usage)


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
        "a response.",
        "usage",
    )


def _with_plain_keys(report: dict[Any, Any]) -> dict[str, Any]:
    return {
        str.__str__(key) if issubclass(type(key), str) else key: value
        for key, value in report.items()
    }


def _shape_of(report: Mapping[str, Any]) -> tuple[_Shape, Mapping[str, Any], str]:
    """Return the shape of a report, the object with its counts, and the path of that."""
    for shape in _SHAPES:
        if shape.prompt in report or (shape.partial and shape.completion in report):
            return shape, report, "usage"
    for key in _WRAPPERS:
        inner = report.get(key)
        if isinstance(inner, Mapping):
            shape, counted, path = _shape_of({name: _whole(inner[name]) for name in inner})
            return shape, counted, path.replace("usage", f"usage.{key}", 1)
    raise ContentValidationError(
        "has neither `prompt_tokens` nor `input_tokens`, nor the counts of Gemini, Bedrock, Ollama "
        "or Cohere. Give a TokenUsage, or the `usage` of a response.",
        "usage",
    )


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _sum(
    report: Mapping[str, Any], key: str, more: Sequence[str], path: str, *, partial: bool
) -> int:
    first = 0 if partial and report.get(key) is None else _count(report, key, path)
    return first + sum(_count(report, name, path) for name in more if report.get(name) is not None)


def _count(report: Mapping[str, Any], key: str, path: str) -> int:
    value = report.get(key)
    if value is None:
        raise ContentValidationError(
            "is missing. Streams split the report: Anthropic's `message_start` has the input, the "
            "last `message_delta` the output. Give them together",
            f"{path}.{key}",
        )
    kind = type(value)
    count = int.__index__(value) if issubclass(kind, int) and kind is not bool else -1
    if not 0 <= count <= _MAX_COUNT:
        given = shown(value) if kind in (int, float, bool) else f"a {kind.__name__}"
        raise ContentValidationError(f"{given} is not a token count from 0 up", f"{path}.{key}")
    return count
