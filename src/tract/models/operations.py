"""The operations of commits: what each one is, who makes it, and what it does to a context."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Literal, TypeAlias

__all__ = ["OPERATIONS", "CommitOperation", "Effect", "OnKey", "OperationRule", "rule_of"]

OnKey: TypeAlias = Literal["error", "keep", "replace"]
"""What becomes of a commit whose key another commit has: a `KeyExistsError`, nothing but the commit
that is there, or a new commit that the key goes over to."""


class CommitOperation(StrEnum):
    """What a commit does to the context."""

    APPEND = "append"
    """Adds an entry."""
    EDIT = "edit"
    """Replaces the content of an earlier entry."""
    ANNOTATE = "annotate"
    """Sets the priority of an earlier entry."""
    MERGE = "merge"
    """Brings in the commits of another branch; made by `merge()`."""
    STATE = "state"
    """Holds a program's state, which no context shows; made by committing it."""
    COMPACT = "compact"
    """Hides a set of entries and shows a summary in their place; made by `compact()`."""
    EXPAND = "expand"
    """Undoes a compaction; made by `expand()`."""


class Effect(Enum):
    """What the fold does at a commit."""

    ADD = "adds an entry"
    REPLACE = "replaces the content of its target"
    PRIORITISE = "sets the priority of its target"
    HIDE = "hides entries, and adds one in their place"
    RESTORE = "shows again what its target hid"
    NOTHING = "leaves the context as it is"


@dataclass(frozen=True, slots=True)
class OperationRule:
    """What is true of every commit of one operation.

    Attributes:
        effect: what the fold does.
        made_by: the verb that makes it.
        needs_target: whether it names an entry that it changes.
        content_type: the type of its contents; None if the caller chooses it.
        points_to: what an error suggests when a caller names this instead of an entry.
    """

    effect: Effect
    made_by: str
    needs_target: bool = False
    content_type: str | None = None
    points_to: str = "the APPEND commit it changes"

    @property
    def is_entry(self) -> bool:
        """Whether other commits may target it."""
        return self.effect is Effect.ADD or self.effect is Effect.HIDE

    @property
    def changes_many(self) -> bool:
        """Whether it changes any number of entries."""
        return self.effect is Effect.HIDE or self.effect is Effect.RESTORE

    @property
    def is_shown(self) -> bool:
        """Whether a model sees its content, which then counts tokens."""
        return self.effect in (Effect.ADD, Effect.REPLACE, Effect.HIDE)


OPERATIONS: dict[str, OperationRule] = {
    CommitOperation.APPEND: OperationRule(Effect.ADD, made_by="commit"),
    CommitOperation.EDIT: OperationRule(Effect.REPLACE, made_by="commit", needs_target=True),
    CommitOperation.ANNOTATE: OperationRule(
        Effect.PRIORITISE, made_by="annotate", needs_target=True, content_type="annotation"
    ),
    CommitOperation.MERGE: OperationRule(
        Effect.NOTHING,
        made_by="merge",
        content_type="merge",
        points_to="one of the APPEND commits that it brought",
    ),
    CommitOperation.STATE: OperationRule(
        Effect.NOTHING, made_by="commit", points_to="an APPEND commit: no context shows a state"
    ),
    CommitOperation.COMPACT: OperationRule(
        Effect.HIDE, made_by="compact", content_type="compaction"
    ),
    CommitOperation.EXPAND: OperationRule(
        Effect.RESTORE,
        made_by="expand",
        needs_target=True,
        content_type="expansion",
        points_to="the COMPACT commit that it undoes",
    ),
}
"""Every operation that a commit can have, by its name."""

_UNKNOWN = OperationRule(Effect.NOTHING, made_by="")


def rule_of(operation: str) -> OperationRule:
    """Return the rule of a stored operation; one that a damaged row names has no effect."""
    return OPERATIONS.get(operation, _UNKNOWN)
