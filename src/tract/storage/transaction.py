"""What a write does inside its transaction, on the connection's thread.

A write checks everything first and writes afterwards, so that one that raises has left
nothing behind and the transaction can go on with the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tract.exceptions import CommitNotFoundError, EditTargetError, HeadMovedError, TractError
from tract.models.query import ConfigPath
from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.storage import statements as sql
from tract.storage.config_index import create_config_index
from tract.storage.repositories import BranchName, CommitDraft, CommitRecord
from tract.storage.rows import check_types, hash_of
from tract.storage.walk import Place, find_place, is_ancestor, lost

__all__ = ["WriteTransaction", "ref_name"]


def ref_name(branch: str) -> str:
    """Return the name of a branch's ref."""
    return f"refs/heads/{branch}"


@dataclass(slots=True)
class _Tip:
    """A branch as this transaction sees it, its own writes included."""

    head: str | None
    segment: int
    moved: bool = False


class WriteTransaction:
    """Writes of one transaction; branches are read once and their heads written at the end."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._clock = clock
        self._tips: dict[BranchName, _Tip] = {}
        self._last_times: dict[str, int] = {}

    def commit(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRecord]:
        """Commit *drafts* in order; see `CommitRepository.write`."""
        tip = self._tip(branch)
        if expected_head is not UNSET and expected_head != tip.head:
            raise HeadMovedError(expected_head, tip.head)
        for index, draft in enumerate(drafts):
            self._check_target(branch.tract_id, tip, drafts, index, draft)
        records: list[CommitRecord] = []
        for draft in drafts:
            target = draft.target
            if isinstance(target, int):
                target = records[target].commit_hash
            records.append(self._add(branch.tract_id, tip, draft, target))
        return records

    def record_usage(
        self, branch: BranchName, usage: TokenUsage, raw_json: str, head_hash: str | None
    ) -> str:
        """Keep *usage* for the head; see `UsageRepository.record`."""
        head = self._tip(branch).head
        if head_hash is not None and head_hash != head:
            raise HeadMovedError(head_hash, head)
        if head is None:
            raise TractError(
                "There is no commit yet that usage could belong to. Commit the context that was "
                "sent first, then record what the API reported for it."
            )
        sql.SET_USAGE.run(
            self._connection,
            tract_id=branch.tract_id,
            commit_hash=bytes.fromhex(head),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            raw_json=raw_json,
            created_at=self._clock(),
        )
        return head

    def index_config(self, path: ConfigPath) -> None:
        """Create the index of a config's field; see `CommitRepository.create_config_index`."""
        create_config_index(self._connection, path)

    def finish(self) -> None:
        """Write the heads that moved; to be called before COMMIT."""
        for branch, tip in self._tips.items():
            if tip.moved and tip.head is not None:
                sql.SET_BRANCH.run(
                    self._connection,
                    tract_id=branch.tract_id,
                    name=ref_name(branch.branch),
                    commit_hash=bytes.fromhex(tip.head),
                    segment=tip.segment,
                )

    def _tip(self, branch: BranchName) -> _Tip:
        tip = self._tips.get(branch)
        if tip is None:
            tip = self._tips[branch] = self._read_tip(branch)
        return tip

    def _read_tip(self, branch: BranchName) -> _Tip:
        row = sql.TIP.one(self._connection, tract_id=branch.tract_id, name=ref_name(branch.branch))
        if row is None:
            return _Tip(None, self._new_segment(branch))
        if row[3] is None:
            raise lost(row[0])
        check_types(row[0], row[1:3], int, int)
        self._last_times.setdefault(branch.tract_id, row[2])
        return _Tip(hash_of(row[0]), row[1])

    def _new_segment(self, branch: BranchName) -> int:
        rows = sql.NEXT_SEGMENT.all(self._connection, tract_id=branch.tract_id)
        unwritten = (
            tip.segment + 1
            for other, tip in self._tips.items()
            if other.tract_id == branch.tract_id
        )
        return max(int(rows[0][0]), *unwritten, 0)

    def _next_time(self, tract_id: str) -> int:
        last = self._last_times.get(tract_id)
        if last is None:
            row = sql.LAST_TIME.one(self._connection, tract_id=tract_id)
            last = row[0] if row else 0
        now = max(self._clock(), last + 1)
        self._last_times[tract_id] = now
        return now

    def _check_target(
        self,
        tract_id: str,
        tip: _Tip,
        drafts: Sequence[CommitDraft],
        index: int,
        draft: CommitDraft,
    ) -> None:
        target = draft.target
        if target is None:
            return
        if isinstance(target, int):
            if not 0 <= target < index:
                raise EditTargetError(f"item {target}", "is not an earlier item of this batch.")
            _check_is_entry(f"item {target} of the batch", drafts[target].operation)
            return
        place = find_place(self._connection, tract_id, target)
        if place is None:
            if draft.operation == "annotate":
                raise CommitNotFoundError(target)
            raise EditTargetError(target, "is no commit of this tract; `log()` lists them.")
        _check_is_entry(target, place.operation)
        if not self._reaches(tract_id, tip, place):
            raise EditTargetError(
                target, "is not in this branch's history; commit its content here instead."
            )

    def _reaches(self, tract_id: str, tip: _Tip, place: Place) -> bool:
        if tip.head is None:
            return False
        if place.segment == tip.segment and tip.moved:
            return True  # our own commits are the newest of the segment
        head = find_place(self._connection, tract_id, tip.head)
        return head is not None and is_ancestor(self._connection, tract_id, place, head)

    def _add(
        self, tract_id: str, tip: _Tip, draft: CommitDraft, target: str | None
    ) -> CommitRecord:
        created_at = self._next_time(tract_id)
        commit_hash = draft.seal(parent=tip.head, timestamp=created_at, target=target)
        record = CommitRecord(
            commit_hash=commit_hash,
            tract_id=tract_id,
            parent_hash=tip.head,
            content_hash=draft.content_hash,
            content_type=draft.content_type,
            operation=draft.operation,
            edit_target=target,
            message=draft.message,
            token_count=draft.token_count,
            metadata_json=draft.metadata_json,
            generation_config_json=draft.generation_config_json,
            created_at=created_at,
        )
        content_hash = bytes.fromhex(draft.content_hash)
        sql.ADD_BLOB.run(self._connection, content_hash=content_hash, data=draft.data)
        sql.ADD_COMMIT.run(
            self._connection,
            **{
                **record._asdict(),
                "commit_hash": bytes.fromhex(commit_hash),
                "parent_hash": tip.head and bytes.fromhex(tip.head),
                "content_hash": content_hash,
                "edit_target": target and bytes.fromhex(target),
                "token_source": draft.token_source,
                "segment": tip.segment,
            },
        )
        tip.head = commit_hash
        tip.moved = True
        return record


def _check_is_entry(target: str, operation: str) -> None:
    if operation != "append":
        raise EditTargetError(
            target, f"is an {operation.upper()}, not an entry. Name the APPEND commit it changes."
        )
