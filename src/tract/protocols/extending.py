"""What callers may implement: counters, compilers and instruments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import (
    Any,
    NamedTuple,
    Protocol,
    runtime_checkable,
)

from tract.protocols.contexts import CompiledContext
from tract.protocols.messages import TokenUsage

__all__ = ["CommitStep", "CompileSnapshot", "ContextCompiler", "Instrumentation", "TokenCounter"]


class CommitStep(NamedTuple):
    """One commit as the fold reads it; `data` is the blob, canonical JSON in UTF-8.

    `operation` is `append`, `edit` or `annotate`; or `merge` or `state`, which change nothing.
    The `data` of a state is empty. `token_count` was counted by the counter named `token_source`
    when the commit was made.
    """

    commit_hash: str
    operation: str
    edit_target: str | None
    content_type: str
    data: bytes
    token_count: int
    token_source: str
    generation_config_json: str | None


class CompileSnapshot(Protocol):
    """The immutable result of folding a history up to one head."""

    @property
    def head_hash(self) -> str | None:
        """The commit that this snapshot compiles; None for an empty history."""


class Instrumentation(Protocol):
    """What reports on the calls of a store; `tract.telemetry.Telemetry` is one.

    The parts that it gets are internal, and differ from release to release.
    """

    def attach(self, parts: Any, /) -> None:
        """Report from now on what the parts of an open store do."""


@runtime_checkable
class TokenCounter(Protocol):
    """Counts tokens; may be called from several worker threads at a time.

    A counter may have an attribute `source`, its name in `token_source`; otherwise it is
    named after its class. Counters whose count of a message list is the sum over its messages
    should derive from `BaseTokenCounter`, which keeps compiles incremental.
    """

    def count_text(self, text: str) -> int:
        """Return the tokens of *text*; special tokens in it count as plain text."""

    def count_messages(self, messages: Sequence[dict[str, Any]]) -> int:
        """Return the tokens of a message list in the shape of `CompiledContext.to_dicts()`."""


class ContextCompiler(Protocol):
    """Turns a history into contexts: a left fold, one step per commit, and views of its result.

    All three methods are pure functions of their arguments. They may be called from worker
    threads. Snapshots are shared between calls and must not be changed.
    """

    def empty(self) -> CompileSnapshot:
        """Return the snapshot of a history without commits."""

    def fold(self, snapshot: CompileSnapshot, steps: Sequence[CommitStep]) -> CompileSnapshot:
        """Return the snapshot after *steps*, which follow *snapshot*'s head, oldest first."""

    def view(
        self,
        snapshot: CompileSnapshot,
        usage: TokenUsage | None = None,
        *,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = True,
    ) -> CompiledContext:
        """Return the context that a model gets; *usage*, if given, replaces count and source."""
