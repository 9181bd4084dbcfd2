"""What is told of compiles: a span of each that makes a snapshot, and the calls left open."""

from __future__ import annotations

import json
from time import time_ns

from opentelemetry.trace import INVALID_SPAN

from tract.engine.compile.reading import ContextReader
from tract.protocols import CompiledContext
from tract.storage.repositories import BranchName
from tract.telemetry.conventions import Attributes, of_branch
from tract.telemetry.metrics import Metrics
from tract.telemetry.providers import Providers
from tract.telemetry.spans import Spans, measured

__all__ = ["Compiles", "NewestContexts"]

_Branch = tuple[str, str]


class NewestContexts:
    """The open calls of the contexts that were compiled last, one a branch.

    They are counted when somebody asks. A context that the cache has evicted by then counts as it
    did the time before.
    """

    def __init__(self, contexts: ContextReader) -> None:
        self._contexts = contexts
        self._counted: dict[_Branch, tuple[str | None, int]] = {}

    def open_calls(self) -> int:
        """Return how many tool calls have no result in these contexts; other threads may ask."""
        heads = self._contexts.prefixes.heads()
        self._counted = {branch: self._count(branch, head) for branch, head in heads}
        return sum(count for _, count in self._counted.values())

    def _count(self, branch: _Branch, head_hash: str | None) -> tuple[str | None, int]:
        if head_hash is None:
            return None, 0
        known = self._counted.get(branch, (None, 0))
        if known[0] == head_hash:
            return known
        found = self._contexts.open_calls(branch[0], head_hash)
        return known if found is None else (head_hash, found)


class Compiles:
    """The observer of one store's compiles."""

    def __init__(
        self, providers: Providers, spans: Spans, metrics: Metrics, *, contents: bool
    ) -> None:
        self._keep_nothing = providers.keep_nothing
        self._spans = spans
        self._took = metrics.duration.record
        self._tokens = metrics.tokens.record
        self._stable = metrics.stable.record
        self._told = _told_whole if contents else _told

    def compiled(self, branch: BranchName, began: int, context: CompiledContext) -> None:
        """Tell of a context; one from the cache takes less time than its span would.

        All of it is here, as the compile of one new commit takes few steps itself.
        """
        if self._keep_nothing(began):
            return
        span = self._spans.start("tract.compile", attributes=of_branch(branch), start_time=began)
        if span.is_recording():
            span.set_attributes(self._told(context))
        ended = time_ns()
        if span is not INVALID_SPAN:
            span.end(ended)
        self._took((ended - began) / 1e9, measured("tract.compile"))
        self._tokens(context.token_count)
        if (prefix := context.stable_prefix) is not None:
            self._stable(prefix.tokens)

    def failed(self, branch: BranchName, began: int, error: BaseException) -> None:
        """Tell of a compile that failed."""
        self._spans.failed("tract.compile", branch, began, error)


def _told(context: CompiledContext) -> Attributes:
    given: Attributes = {
        "tract.head": context.head_hash or "",
        "tract.context.entries": context.commit_count,
        "tract.context.tokens": context.token_count,
    }
    if context.stable_prefix is not None:
        given["tract.context.stable_prefix"] = context.stable_prefix.tokens
    return given


def _told_whole(context: CompiledContext) -> Attributes:
    """Return the messages of a context, too."""
    messages = json.dumps(context.to_otel(), ensure_ascii=False)
    return {**_told(context), "gen_ai.input.messages": messages}
