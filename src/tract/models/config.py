"""The options of a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tract.history.redaction import DEFAULT_REDACT_KEYS, folded
from tract.models.annotations import Priority
from tract.models.compaction import CompactionPolicy, Summariser
from tract.models.erasure import Retention

__all__ = ["BudgetAction", "ContentType", "MaintenanceConfig", "TokenBudgetConfig", "TractConfig"]

BudgetCallback = Callable[[int, int], Awaitable[None] | None]
"""Called with the tokens that the context would have and with the budget."""


@dataclass(frozen=True)
class ContentType:
    """A content type of an application's own, and how a store treats its contents.

    Attributes:
        model: the pydantic model of its contents.
        state: whether its commits are STATE commits, which no context shows.
        priority: what its entries begin with. It is stored in each content, so that what a head
            shows depends on nothing else.
        redact: whether the metadata and configs of its commits are redacted unless a commit says
            otherwise; by default those of state are not.

    Raises:
        ValueError: *priority* is not a priority, or was given for a state.
    """

    model: type[BaseModel]
    _: KW_ONLY
    state: bool = False
    priority: Priority | Literal["skip", "normal", "pinned"] | None = None
    redact: bool | None = None

    def __post_init__(self) -> None:
        if self.priority is not None:
            if self.state:
                raise ValueError("a state is not an entry, and has no priority")
            object.__setattr__(self, "priority", Priority(self.priority))
        if self.redact is None:
            object.__setattr__(self, "redact", not self.state)


class BudgetAction(StrEnum):
    """What happens to a commit that would take the context over its budget."""

    WARN = "warn"
    """Issue a `TokenBudgetWarning` and commit."""
    REJECT = "reject"
    """Raise `BudgetExceededError` and write nothing."""
    CALLBACK = "callback"
    """Call the callback, await it if it is a coroutine function, and commit unless it raises. It
    may use the tract, for instance to shorten the context."""
    COMPACT = "compact"
    """Shorten the context by the budget's policy first, whatever its trigger, so that the commit
    fits. If it still does not, raise `BudgetExceededError` and do not commit. What the summariser
    raises is passed on."""


class TokenBudgetConfig(BaseModel):
    """A token limit on the compiled context, checked as each commit would leave it.

    Attributes:
        max_tokens: the limit, in counted tokens.
        action: what happens to a commit that would exceed it.
        callback: for the action `callback`.
        policy: for the action `compact`, as for `maintain()`.
        summarise: for the action `compact`; without it, only tool results are cleared.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    max_tokens: Annotated[int, Field(gt=0)]
    action: BudgetAction = BudgetAction.WARN
    callback: BudgetCallback | None = None
    policy: CompactionPolicy | None = None
    summarise: Summariser | None = None

    if TYPE_CHECKING:  # otherwise checkers accept only the fields' own types

        def __init__(
            self,
            *,
            max_tokens: int,
            action: (
                BudgetAction | Literal["warn", "reject", "callback", "compact"]
            ) = BudgetAction.WARN,
            callback: BudgetCallback | None = None,
            policy: CompactionPolicy | None = None,
            summarise: Summariser | None = None,
        ) -> None: ...

    @model_validator(mode="after")
    def _callback_where_it_is_called(self) -> Self:
        if (self.action is BudgetAction.CALLBACK) != (self.callback is not None):
            raise ValueError("give a `callback` exactly when the action is 'callback'")
        return self

    @model_validator(mode="after")
    def _policy_where_it_is_used(self) -> Self:
        compacts = self.action is BudgetAction.COMPACT
        if compacts is (self.policy is None) or (self.summarise is not None and not compacts):
            raise ValueError("give a `policy` exactly when the action is 'compact'")
        if self.policy is not None and self.policy.target_tokens >= self.max_tokens:
            raise ValueError("the policy's target_tokens must be less than max_tokens")
        return self


class MaintenanceConfig(BaseModel):
    """Has a store maintain its branches by itself, as by `maintain()` after each change.

    Attributes:
        summarise: as for `maintain()`; without it, only tool results are cleared.
        on_error: called with an error, and the tract and branch that it concerns; may be a
            coroutine function. Without it, the event loop's exception handler gets the error, and
            logs it unless told otherwise. Nothing was written then; the next commit tries again.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    summarise: Summariser | None = None
    on_error: Callable[[Exception, str, str], object] | None = None


class TractConfig(BaseModel):
    """The options of a store; one object may open any number of stores.

    Attributes:
        type_to_role: roles by content type, overriding the defaults.
        max_content_bytes: the largest content that a commit may hold, as canonical JSON without
            its attachments, and the largest attachment.
        cache_max_bytes: the most bytes that the snapshot cache holds; 0 turns it off. A sixteenth
            of that again is for the contents that `entries()` read last.
        attachment_cache_bytes: the most bytes of attachments, and of their base64 for requests,
            that are kept in memory between compiles; 0 makes both again each time.
        token_budget: a token limit on the compiled context, or None.
        durability: commits to a file survive a killed process with `normal`, and a power cut with
            `full`. On PostgreSQL they survive both.
        busy_timeout: seconds to wait for another process's write, or for a server that cannot be
            reached, before `StoreBusyError`.
        readers: connections that serve reads, for a file each with a thread of its own.
        redact_keys: keys that name credentials. In generation configs, metadata and usage reports,
            strings at such a key or anywhere below it are stored as `"[redacted]"`. Numbers,
            booleans, null and JSON schemas are kept. Case, dashes, underscores, spaces and trailing
            digits are ignored; names of six letters or more also match the end of a longer key.
            A set replaces the default one; an empty set turns redaction off.
        compaction: when and how far `maintain()` shortens contexts, unless it is told.
        maintenance: has tasks of the store do that for each branch that the store moves, until it
            is closed. It needs `compaction`, and runs in the store's event loop.
        retention: how much of histories `TractStore.retain()` keeps. Nothing else reads it, and no
            database stores it.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    type_to_role: dict[str, Literal["system", "user", "assistant"]] = Field(default_factory=dict)
    max_content_bytes: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024
    cache_max_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    attachment_cache_bytes: Annotated[int, Field(ge=0)] = 160 * 1024 * 1024
    token_budget: TokenBudgetConfig | None = None
    durability: Literal["normal", "full"] = "normal"
    busy_timeout: Annotated[float, Field(ge=0)] = 30.0
    readers: Annotated[int, Field(ge=1, le=16)] = 2
    redact_keys: frozenset[Annotated[str, Field(strict=True)]] = DEFAULT_REDACT_KEYS
    compaction: CompactionPolicy | None = None
    maintenance: MaintenanceConfig | None = None
    retention: Retention | None = None

    @model_validator(mode="after")
    def _maintenance_by_a_policy(self) -> Self:
        if self.maintenance is not None and self.compaction is None:
            raise ValueError("`maintenance` needs a policy: give `compaction`")
        return self

    @field_validator("redact_keys")
    @classmethod
    def _keys_that_name_something(cls, keys: frozenset[str]) -> frozenset[str]:
        for key in keys:
            if not folded(key):
                raise ValueError(
                    f"{key!r} is not a key: dashes, underscores and spaces are ignored. "
                    "To turn redaction off, give an empty set"
                )
        return keys
