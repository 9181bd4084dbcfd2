"""What is told of compiles: a span of each that makes a snapshot, and the calls left open."""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import partial

from tract.engine.compile.reading import ContextReader
from tract.protocols import CompiledContext
from tract.storage.repositories import BranchName
from tract.telemetry.conventions import Attributes
from tract.telemetry.metrics import Metrics
from tract.telemetry.spans import Spans

__all__ = ["Compiles", "NewestContexts"]

_MOST_BRANCHES = 1_000


class NewestContexts:
    """The heads of the contexts that were compiled last, one a branch, and their open calls.

    The calls are counted when somebody asks. A context that the cache has evicted by then counts as
    it did the time before.
    """

    def __init__(self, contexts: ContextReader) -> None:
        self._contexts = contexts
        self._heads: OrderedDict[BranchName, str | None] = OrderedDict()
        self._counted: dict[BranchName, tuple[str | None, int]] = {}

    def note(self, branch: BranchName, head_hash: str | None) -> None:
        """Note that the context of a branch's head was compiled."""
        if self._heads.get(branch) != head_hash:
            self._heads[branch] = head_hash
            if len(self._heads) > _MOST_BRANCHES:
                self._heads.popitem(last=False)

    def open_calls(self) -> int:
        """Return how many tool calls have no result in these contexts; other threads may ask."""
        heads = self._heads.copy()
        self._counted = {branch: self._count(branch, head) for branch, head in heads.items()}
        return sum(count for _, count in self._counted.values())

    def _count(self, branch: BranchName, head_hash: str | None) -> tuple[str | None, int]:
        if head_hash is None:
            return None, 0
        known = self._counted.get(branch, (None, 0))
        if known[0] == head_hash:
            return known
        found = self._contexts.open_calls(branch.tract_id, head_hash)
        return known if found is None else (head_hash, found)


class Compiles:
    """The observer of one store's compiles."""

    def __init__(
        self, spans: Spans, metrics: Metrics, newest: NewestContexts, *, contents: bool
    ) -> None:
        self._spans = spans
        self._compiled = metrics.compiled
        self._note = newest.note
        self._contents = contents

    def compiled(
        self, branch: BranchName, is_head: bool, began: int | None, context: CompiledContext
    ) -> None:
        """Tell of a context; one from the cache takes less time than its span would."""
        if is_head:
            self._note(branch, context.head_hash)
        if began is not None:
            self._spans.since("tract.compile", branch, began, partial(self._told, context))
            self._compiled(context)

    def failed(self, branch: BranchName, began: int, error: BaseException) -> None:
        """Tell of a compile that failed."""
        self._spans.failed("tract.compile", branch, began, error)

    def _told(self, context: CompiledContext) -> Attributes:
        given: Attributes = {
            "tract.head": context.head_hash or "",
            "tract.context.entries": context.commit_count,
            "tract.context.tokens": context.token_count,
        }
        if context.stable_prefix is not None:
            given["tract.context.stable_prefix"] = context.stable_prefix.tokens
        if self._contents:
            given["gen_ai.input.messages"] = json.dumps(context.to_otel(), ensure_ascii=False)
        return given
