"""Compactions: what they commit, how they are planned, and what they did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tract.models.base import Value
from tract.models.content import ContentModel
from tract.protocols import CompiledContext, Message

__all__ = [
    "COMPACTION",
    "CompactionContent",
    "CompactionInfo",
    "CompactionPlan",
    "CompactionPolicy",
    "CompactionRequest",
    "CompactionResult",
    "ExpansionContent",
    "MessageGroup",
    "Strategy",
    "Summariser",
    "Summary",
]

COMPACTION = "compaction"


class CompactionContent(ContentModel):
    """The content of a COMPACT commit; made by `compact()`, not by `commit()`.

    `hides` and `clears` are entries, named by the commits that appended them. The context leaves out
    those that it hides, and shows `summary`, the fields of any content, in the place of the first of
    them. Of those that it clears, it shows the tool results as `placeholder`.
    """

    content_type: Literal["compaction"] = "compaction"
    hides: list[str] = Field(default_factory=list)
    clears: list[str] = Field(default_factory=list)
    placeholder: str = ""
    summary: dict[str, Any] | None = None
    reason: str | None = None


class ExpansionContent(ContentModel):
    """The content of an EXPAND commit; made by `expand()`, not by `commit()`."""

    content_type: Literal["expansion"] = "expansion"
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class MessageGroup:
    """Messages of a context that may be hidden, all of them or none, as a strategy sees them.

    Attributes:
        hashes: the commits that appended them, oldest first.
        messages: what they show.
        tokens: what that costs.
        is_step: whether the model speaks in it.
    """

    hashes: tuple[str, ...]
    messages: tuple[Message, ...]
    tokens: int
    is_step: bool


Strategy: TypeAlias = Callable[[Sequence[MessageGroup]], Iterable[MessageGroup]]
"""Returns the groups that may be hidden in the order to hide them; those left out stay."""


class CompactionPlan(Value):
    """What a compaction of a branch would do; making one writes nothing.

    `hides` are the entries that a summary is to stand for, oldest first. The context at `head_hash`
    has `tokens_before` tokens, of which the entries to hide have `tokens_hidden`. `floor` is what no
    summary gets below: what pins, instructions, open calls and the recent steps cost.
    `target_tokens` is what was asked for, and `summary_tokens` what that leaves for the summary.
    """

    head_hash: str
    hides: tuple[str, ...]
    tokens_before: int
    tokens_hidden: int
    floor: int
    target_tokens: int | None
    summary_tokens: int | None


class CompactionPolicy(Value):
    """When `maintain()` shortens a context, and how far.

    It does at *trigger_tokens* or more, to *target_tokens* or fewer. The steps to be kept are those
    of `plan_compaction`.

    Attributes:
        trigger_tokens: what a context has at least when it is shortened.
        target_tokens: what it is to have at most, in the tokens of the trigger.
        keep_recent: how many of the newest steps stay.
        keep_results: how many of the newest entries with tool results are never cleared.
        clear_at_least: results are not cleared if that frees fewer tokens: whatever changes the
            middle of a context makes the provider's prompt cache of what follows worthless.
        tools_first: whether clearing tool results does if that alone meets the target.
        roll_up: whether earlier summaries are summarised again once the target cannot be met
            otherwise. Until then they keep their bytes.
        strategy: what is hidden first, as for `compact`.

    Raises:
        ValueError: a number is negative, or the target is not below the trigger.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    trigger_tokens: Annotated[int, Field(ge=0)]
    target_tokens: Annotated[int, Field(ge=0)]
    keep_recent: Annotated[int, Field(ge=0)] = 6
    keep_results: Annotated[int, Field(ge=0)] = 3
    clear_at_least: Annotated[int, Field(ge=0)] = 1_000
    tools_first: bool = True
    roll_up: bool = True
    strategy: Strategy | None = None

    @model_validator(mode="after")
    def _shorter_afterwards(self) -> Self:
        if self.target_tokens >= self.trigger_tokens:
            raise ValueError("target_tokens must be less than trigger_tokens")
        return self


class CompactionResult(Value):
    """What a compaction did: its commit, which `expand()` takes, and the context's tokens."""

    commit_hash: str
    hidden: tuple[str, ...]
    cleared: tuple[str, ...]
    tokens_before: int
    tokens_after: int


class CompactionInfo(Value):
    """One compaction in the history of a branch, in force or undone.

    `tokens_hidden` is what the entries that it hides cost, and `summary_tokens` what its summary does.
    """

    commit_hash: str
    created_at: datetime
    hidden: tuple[str, ...]
    cleared: tuple[str, ...]
    tokens_hidden: int
    summary_tokens: int
    reason: str | None
    undone: bool


@dataclass(frozen=True, kw_only=True)
class CompactionRequest:
    """What a summariser gets.

    Attributes:
        context: the entries to shorten, as a context: its `messages`, or what `request()` and the
            four `to_…` make of them.
        previous_summary: the text of the newest summary in `context`, if there is one.
        pinned: the messages that stay, for the summariser to know.
        target_tokens: how long the summary may be; None if nothing limits it.
    """

    context: CompiledContext
    previous_summary: str | None
    pinned: tuple[Message, ...]
    target_tokens: int | None


@dataclass(frozen=True)
class Summary:
    """What a summariser returns, to say more than the text: how it was made."""

    content: str | BaseModel | Mapping[str, Any]
    _: KW_ONLY
    generation_config: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None


Summariser: TypeAlias = Callable[
    [CompactionRequest],
    str
    | BaseModel
    | Mapping[str, Any]
    | Summary
    | Awaitable[str | BaseModel | Mapping[str, Any] | Summary],
]
"""What makes a summary: a function, async or not. `tract.summarisers` has ready ones."""
