"""What a write does inside its transaction, on the connection's thread.

A write checks everything first and writes afterwards, so that one that raises has left
nothing behind and the transaction can go on with the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tract.exceptions import (
    BranchNotMergedError,
    CommitNotFoundError,
    EditTargetError,
    HeadMovedError,
    TagExistsError,
    TagNotFoundError,
    TractError,
)
from tract.history.hashing import commit_hash
from tract.models.ref_names import check_ref_name
from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.storage.repositories import (
    BranchName,
    CommitDraft,
    CommitRecord,
    MergeBasis,
    OutdatedMergeError,
    RefRecord,
    StreamEnd,
)
from tract.storage.sql import ref_statements as refs
from tract.storage.sql import statements as sql
from tract.storage.sql.ancestry.relations import Allowance, still_holds
from tract.storage.sql.ancestry.walk import Place, find_place, is_ancestor, place_or_beginning
from tract.storage.sql.branching import is_kept
from tract.storage.sql.naming import digest, key_of, no_branch, tag_name
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import head_of, key_or_none
from tract.storage.sql.spooling import SpoolWrites
from tract.storage.sql.tips import Tip, Tips

__all__ = ["WriteTransaction"]


class WriteTransaction(SpoolWrites):
    """Writes of one transaction."""

    def __init__(
        self, connection: Connection, clock: Callable[[], int], tips: Tips | None = None
    ) -> None:
        super().__init__(connection, clock)
        self._tips = tips or Tips(connection)
        self._allowance = Allowance()
        self.reported: set[str] = set()
        """Tracts of which usage was kept."""

    def commit(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRecord]:
        """Commit *drafts* in order; see `CommitRepository.write`."""
        tip = self._tips.of(branch)
        self._check_head(branch.tract_id, tip.head, expected_head)
        if tip.head is None and drafts:
            check_ref_name(branch.branch)
        targets = [
            self._checked_target(branch.tract_id, tip, drafts, index, draft)
            for index, draft in enumerate(drafts)
        ]
        records: list[CommitRecord] = []
        for draft, target in zip(drafts, targets, strict=True):
            if isinstance(target, int):
                target = records[target].commit_hash
            records.append(self._add(branch.tract_id, tip, draft, target))
        return records

    def merge(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: MergeBasis,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRecord]:
        """Commit the *drafts* of a merge; see `CommitRepository.merge`."""
        tip = self._tips.of(branch)
        self._check_head(branch.tract_id, tip.head, expected_head)
        if not still_holds(
            self._connection,
            tract_id=branch.tract_id,
            head_hash=tip.head,
            basis=basis,
            allowance=self._allowance,
        ):
            raise OutdatedMergeError
        return self.commit(branch, drafts)

    def end_stream(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: str | UnsetType | None,
        ending: StreamEnd,
    ) -> list[CommitRecord]:
        """Commit what a stream became and drop its parts; see `CommitRepository.write`."""
        if ending.claim is not None and not self._is_as_claimed(ending.claim):
            return []
        if ending.owner is not None:
            self._check_owner(ending.owner, ending.stream)
        records = self.commit(branch, drafts, expected_head)
        if ending.usage is not None and ending.head_hash is not None:
            self.set_usage(branch.tract_id, ending.head_hash, *ending.usage)
        self.unspool(ending.stream)
        return records

    def _check_head(
        self, tract_id: str, head: str | None, expected_head: str | UnsetType | None
    ) -> None:
        if expected_head is UNSET or expected_head == head:
            return
        try:
            moved = self._place(tract_id, expected_head) != head
        except CommitNotFoundError:
            moved = True
        if moved:
            raise HeadMovedError(expected_head, head)

    def _resolved(self, tract_id: str, named: object) -> str | None:
        """Return the hash that a hash or a name stands for."""
        if digest(named) is None:
            self._tips.finish()  # a name may be that of a branch
        key = key_of(self._connection, tract_id, named)
        return None if key is None else key.hex()

    def fork(
        self,
        branch: BranchName,
        name: str,
        at: str | UnsetType | None = UNSET,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        """Make the branch *name*; see `RefRepository.fork`."""
        start = self._target(branch, at, expected_head)
        note = "from before the first commit" if at is None else f"from {at}"
        if at is UNSET:
            note = f"from {branch.branch}"
        new, now = BranchName(branch.tract_id, name), self._next_time(branch.tract_id)
        self._tips.start(new, start, action="fork", note=note, now=now)

    def move(
        self,
        branch: BranchName,
        to: str | None,
        *,
        action: str,
        note: str | None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> RefRecord:
        """Point a branch elsewhere; see `RefRepository.move`."""
        tip = self._tips.of(branch)
        target = self._target(branch, to, expected_head)
        if action == "reset" and not self._reaches_hash(branch, tip, target):
            raise TractError(
                f"{to!r} is not in the history of the branch {branch.branch!r}. Reset moves a "
                "branch back; to work on from another commit use `fork(name, at_commit=...)`."
            )
        now = self._next_time(branch.tract_id)
        if not tip.exists:
            self._tips.start(branch, target, action=action, note=note, now=now)
            return RefRecord(branch.branch, target, now, now)
        return self._tips.move(branch, target, action=action, note=note, now=now)

    def delete_branch(
        self, branch: BranchName, *, force: bool, expected_head: str | UnsetType | None = UNSET
    ) -> None:
        """Take a branch away; see `RefRepository.delete`."""
        tip = self._tips.of(branch)
        if not tip.exists:
            no_branch(branch.branch)
        self._check_head(branch.tract_id, tip.head, expected_head)
        self._tips.finish()
        if not force and tip.head and not is_kept(self._connection, branch, tip.head):
            raise BranchNotMergedError(branch.branch, tip.head)
        self._tips.delete(branch, now=self._next_time(branch.tract_id))

    def tag(
        self,
        branch: BranchName,
        name: str,
        target: str | UnsetType | None = UNSET,
        expected_head: str | UnsetType | None = UNSET,
    ) -> RefRecord:
        """Name a commit; see `TagRepository.tag`."""
        tract_id = branch.tract_id
        head = self._target(branch, target, expected_head)
        if head is None:
            raise TractError(
                "There is no commit yet to tag. A tag names a commit, not the moment before the "
                "first: commit first, or give the hash of a commit."
            )
        if self._connection.one(sql.BRANCH, tract_id=tract_id, name=tag_name(name)):
            raise TagExistsError(name)
        now, key = self._next_time(tract_id), bytes.fromhex(head)
        self._connection.run(
            refs.ADD_REF,
            tract_id=tract_id,
            name=tag_name(name),
            commit_hash=key,
            segment=-1,
            created_at=now,
            updated_at=now,
            started_at=now,
            start_hash=key,
            action="tag",
            note=None,
        )
        return RefRecord(name, head, now, now)

    def untag(
        self, tract_id: str, name: str, expected_head: str | UnsetType | None = UNSET
    ) -> None:
        """Take a tag away; see `TagRepository.untag`."""
        ref = tag_name(name)
        row = self._connection.one(sql.BRANCH, tract_id=tract_id, name=ref)
        if row is None:
            raise TagNotFoundError(name)
        self._check_head(tract_id, head_of(row[0]), expected_head)
        self._connection.run(refs.DELETE_REF, tract_id=tract_id, name=ref)

    def _target(
        self,
        branch: BranchName,
        named: str | UnsetType | None,
        expected_head: str | UnsetType | None,
    ) -> str | None:
        """Return where a ref is to point: to a commit, nowhere, or where *branch* points.

        Raises:
            CommitNotFoundError: *named* is none.
            HeadMovedError: the head of *branch* is not *expected_head*.
        """
        if named is not UNSET and expected_head is UNSET:
            return self._place(branch.tract_id, named)  # whether there is such a branch or not
        head = self._tips.of(branch).head
        self._check_head(branch.tract_id, head, expected_head)
        return head if named is UNSET else self._place(branch.tract_id, named)

    def _place(self, tract_id: str, named: str | None) -> str | None:
        """Return the hash of a commit that is there; None before the first one.

        Raises:
            CommitNotFoundError: it is not.
        """
        if digest(named) is None:
            self._tips.finish()  # a name may be that of a branch
        place = place_or_beginning(self._connection, tract_id, named)
        return None if place is None else place.commit_hash.hex()

    def _reaches_hash(self, branch: BranchName, tip: Tip, target: str | None) -> bool:
        if target is None:
            return True
        place = find_place(self._connection, branch.tract_id, target)
        return place is not None and self._reaches(branch.tract_id, tip, place)

    def record_usage(
        self, branch: BranchName, usage: TokenUsage, raw_json: str, head_hash: str
    ) -> str:
        """Keep *usage* for the head; see `UsageRepository.record`."""
        tip = self._tips.of(branch)
        self._check_head(branch.tract_id, tip.head, head_hash)
        if tip.head is None:
            raise TractError("There is no commit yet that usage could belong to. Commit first.")
        self.set_usage(branch.tract_id, tip.head, usage, raw_json)
        return tip.head

    def set_usage(self, tract_id: str, commit_hash: str, usage: TokenUsage, raw_json: str) -> None:
        """Keep *usage* for a commit; see `UsageRepository.record_at`."""
        self.reported.add(tract_id)
        self._connection.run(
            sql.SET_USAGE,
            tract_id=tract_id,
            commit_hash=bytes.fromhex(commit_hash),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=_total(usage),
            raw_json=raw_json,
            created_at=self._clock(),
        )

    def run(self, function: Callable[[Connection], None]) -> None:
        """Run what only one engine has, in this transaction."""
        function(self._connection)

    @property
    def moved(self) -> Mapping[BranchName, str | None]:
        """Branches that point elsewhere than before, once this is finished; see `Tips.changed`."""
        return self._tips.changed

    def finish(self) -> None:
        """Write the heads that moved; to be called before COMMIT."""
        self._tips.finish()

    def _next_time(self, tract_id: str) -> int:
        now = max(self._clock(), self._last_time(tract_id) + 1)
        self._tips.last_times[tract_id] = now
        return now

    def _last_time(self, tract_id: str) -> int:
        last = self._tips.last_times.get(tract_id)
        if last is None:
            row = self._connection.one(sql.LAST_TIME, tract_id=tract_id)
            last = self._tips.last_times[tract_id] = row[0] if row else 0
        return last

    def _checked_target(
        self,
        tract_id: str,
        tip: Tip,
        drafts: Sequence[CommitDraft],
        index: int,
        draft: CommitDraft,
    ) -> str | int | None:
        target = draft.target
        if target is None:
            return None
        if isinstance(target, int):
            if not 0 <= target < index:
                raise EditTargetError(f"item {target}", "is not an earlier item of this batch.")
            _check_is_entry(f"item {target} of the batch", drafts[target].operation)
            return target
        named = self._resolved(tract_id, target)
        place = find_place(self._connection, tract_id, named)
        if place is None:
            if draft.operation == "annotate":
                raise CommitNotFoundError(target)
            raise EditTargetError(
                target,
                "is no commit of this tract, nor the name of one; `log()`, `tags()` and "
                "`branches()` list them.",
            )
        _check_is_entry(target, place.operation)
        if not self._reaches(tract_id, tip, place):
            raise EditTargetError(
                target,
                "is not in this branch's history. Bring it here by `cherry_pick()` or `merge()`, "
                "or work on its branch.",
            )
        return place.commit_hash.hex()

    def _reaches(self, tract_id: str, tip: Tip, place: Place) -> bool:
        if tip.head is None:
            return False
        if place.segment == tip.segment and tip.moved:
            return True  # our own commits are the newest of the segment
        head = find_place(self._connection, tract_id, tip.head)
        return head is not None and is_ancestor(self._connection, tract_id, place, head)

    def _add(self, tract_id: str, tip: Tip, draft: CommitDraft, target: str | None) -> CommitRecord:
        created_at = self._next_time(tract_id)
        named = commit_hash(
            parent=tip.head,
            content_hash=draft.content_hash,
            content_type=draft.content_type,
            operation=draft.operation,
            timestamp=created_at,
            target=target,
            merge_parent=draft.merge_parent,
        )
        record = CommitRecord(
            commit_hash=named,
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
            merge_parent=draft.merge_parent,
        )
        self._add_rows(record, draft, tip.segment)
        self._tips.advance(tip, named, created_at)
        return record

    def _add_rows(self, record: CommitRecord, draft: CommitDraft, segment: int) -> None:
        key = bytes.fromhex(record.commit_hash)
        content_hash = bytes.fromhex(draft.content_hash)
        self._connection.run(sql.ADD_BLOB, content_hash=content_hash, data=draft.data)
        self._connection.run(
            sql.ADD_COMMIT,
            tract_id=record.tract_id,
            commit_hash=key,
            parent_hash=key_or_none(record.parent_hash),
            content_hash=content_hash,
            content_type=record.content_type,
            operation=record.operation,
            edit_target=key_or_none(record.edit_target),
            message=record.message,
            metadata_json=record.metadata_json,
            generation_config_json=record.generation_config_json,
            token_count=record.token_count,
            token_source=draft.token_source,
            segment=segment,
            created_at=record.created_at,
            merge_parent=key_or_none(record.merge_parent),
        )
        for origin in draft.origins:
            self._connection.run(
                refs.ADD_ORIGIN,
                tract_id=record.tract_id,
                commit_hash=key,
                source_hash=bytes.fromhex(origin.source_hash),
                kind=origin.kind,
            )


def _check_is_entry(target: str, operation: str) -> None:
    if operation == "append":
        return
    if operation == "merge":
        reason = "is a MERGE, not an entry. Name one of the APPEND commits that it brought."
    else:
        reason = f"is an {operation.upper()}, not an entry. Name the APPEND commit it changes."
    raise EditTargetError(target, reason)


def _total(usage: TokenUsage) -> int:
    given = usage.total_tokens
    return usage.prompt_tokens + usage.completion_tokens if given is None else given
