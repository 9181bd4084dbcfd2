"""Commits, and the entries that they make, as callers see them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from tract.history.canonical import stored_json
from tract.models.annotations import Priority
from tract.models.base import Value
from tract.models.erasure import ErasedCommit
from tract.models.operations import CommitOperation
from tract.protocols import Message

__all__ = [
    "BackupProgress",
    "CommitInfo",
    "CopyFault",
    "CopyProgress",
    "CopyReport",
    "EntryInfo",
    "VerifyFault",
    "VerifyReport",
    "microseconds",
    "moment",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class CommitInfo(Value):
    """One commit. Its dicts are the caller's own copies.

    `token_count` counts the rendered content alone, without the overhead of a message.
    `created_at` is in UTC with microseconds and strictly increases within a tract.
    `merge_parent` is the head that a MERGE brought in. `key` is the name that the commit was made
    under, even if that is another commit's by now.
    """

    commit_hash: str
    tract_id: str
    parent_hash: str | None
    content_hash: str
    content_type: str
    operation: CommitOperation
    edit_target: str | None
    message: str | None
    token_count: int
    metadata: dict[str, Any] | None
    generation_config: dict[str, Any] | None
    created_at: datetime
    merge_parent: str | None = None
    key: str | None = None


class EntryInfo:
    """One entry of a context: what was committed, as edits and annotations have left it.

    `commit_hash` is the commit that added it, and `edited_by` the one whose content it shows now.
    `hidden_by` is the compaction that hides it, if one does.
    `message` is what a model gets of it, or the first of `messages` if its content shows several,
    and `token_count` the tokens of these alone.
    `metadata` and `created_at` are those of the commit that added it.
    """

    __slots__ = (
        "_config",
        "_content",
        "_created_at",
        "_load",
        "_metadata",
        "_more",
        "_stored",
        "commit_hash",
        "content_type",
        "edited_by",
        "hidden_by",
        "message",
        "priority",
        "token_count",
    )

    def __init__(
        self,
        commit_hash: str,
        edited_by: str | None,
        content_type: str,
        message: Message,
        priority: Priority,
        token_count: int,
        created_at: int,
        config_json: str | None,
        metadata_json: str | None,
        stored: Any,
        load: Callable[[Any], BaseModel],
        more: tuple[Message, ...] = (),
        hidden_by: str | None = None,
    ) -> None:
        self.commit_hash: str = commit_hash
        self.edited_by: str | None = edited_by
        self.hidden_by: str | None = hidden_by
        self.content_type: str = content_type
        self.message: Message = message
        self.priority: Priority = priority
        self.token_count: int = token_count
        self._created_at = created_at
        self._config = config_json
        self._metadata = metadata_json
        self._stored = stored
        self._load = load
        self._more = more
        self._content: BaseModel | None = None

    @property
    def created_at(self) -> datetime:
        """When it was committed, in UTC with microseconds."""
        return moment(self._created_at)

    @property
    def generation_config(self) -> dict[str, Any]:
        """The config in force, as a new dict; empty if none was set."""
        return stored_json(self._config, "a generation config") if self._config else {}

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The metadata as a new dict; None if there is none."""
        return stored_json(self._metadata, "a commit's metadata") if self._metadata else None

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages that a model gets of it."""
        return (self.message, *self._more)

    @property
    def role(self) -> str:
        """The role of its message; `$tools` for tool definitions, which are not shown as one."""
        return self.message.role

    @property
    def content(self) -> BaseModel:
        """The content model, made when it is first asked for.

        Raises:
            ContentValidationError: its custom content type is not registered with this store.
        """
        if self._content is None:
            self._content = self._load(self._stored)
        return self._content

    def __repr__(self) -> str:
        text = self.message.content or ""
        shown = text if len(text) <= 40 else f"{text[:39]}…"
        return f"<EntryInfo {self.commit_hash[:12]} {self.content_type} {self.role}: {shown!r}>"


class VerifyFault(Value):
    """One thing that `verify()` found wrong; `commit_hash` is the commit it belongs to."""

    commit_hash: str
    problem: str


class VerifyReport(Value):
    """What `verify()` did: commits checked, and every fault found (none means sound).

    `erased` are the commits whose contents were erased, which is not a fault.
    """

    checked: int
    faults: tuple[VerifyFault, ...]
    erased: tuple[ErasedCommit, ...] = ()


class CopyProgress(Value):
    """How far `copy_store()` has come: *commits* of a tract are in the target, *of_commits* in all.

    `tract` numbers the tracts from 1 up to `tracts`.
    """

    tract_id: str
    tract: int
    tracts: int
    commits: int
    of_commits: int


class BackupProgress(Value):
    """How far `backup()` has come: *nbytes* are written, *of_nbytes* in all."""

    nbytes: int
    of_nbytes: int


class CopyFault(Value):
    """Why `copy_store()` did not copy a tract whole; `commit_hash` is the commit at fault, if any."""

    tract_id: str
    commit_hash: str | None
    problem: str


class CopyReport(Value):
    """What `copy_store()` did: tracts of the source, and commits and attachments that it copied.

    Those that the target had already are not counted. `left_out` are the tracts that were erased
    while `export()` wrote them, and of which the file has nothing.
    """

    tracts: int
    commits: int
    attachments: int
    left_out: tuple[str, ...] = ()


def microseconds(moment: datetime) -> int:
    """Return an aware time in microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """Return a time in microseconds since 1970-01-01 UTC as an aware datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)
