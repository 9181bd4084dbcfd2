"""What a write does inside its transaction; runs on the connection's thread.

A write checks everything before it writes anything. So one that raises leaves nothing behind, and
the transaction can go on with the next job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

from tract.exceptions import (
    CommitNotFoundError,
    EditTargetError,
    HeadMovedError,
    TractError,
)
from tract.history.hashing import commit_hash
from tract.models.operations import CommitOperation, rule_of
from tract.models.refs import check_ref_name
from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.storage.repositories import (
    Attached,
    Basis,
    BranchName,
    CommitDraft,
    CommitRow,
    OutdatedBasisError,
    StreamEnd,
)
from tract.storage.sql import attachments
from tract.storage.sql.ancestry.relations import Allowance, still_holds
from tract.storage.sql.ancestry.walk import Place, find_place, is_ancestor, place_or_beginning
from tract.storage.sql.naming import condemned_key, digest
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import key_or_none
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import erasures, refs
from tract.storage.sql.statements.tract_lists import LAG
from tract.storage.sql.writing.keys import KeyWrites
from tract.storage.sql.writing.spooling import SpoolWrites
from tract.storage.sql.writing.tips import Tip, Tips
from tract.storage.sql.writing.tract_rows import MANY, TractChange, add_change

__all__ = ["HalfWrittenError", "WriteTransaction"]

_key = attrgetter("key")
_target = attrgetter("target")
_attachments = attrgetter("attachments")
_origins = attrgetter("origins")
_NO_TARGET = frozenset({None})


class HalfWrittenError(Exception):
    """A job failed after it had written: its group must be rolled back, and run job by job."""

    def __init__(self, problem: TractError) -> None:
        super().__init__(problem)
        self.problem = problem


class WriteTransaction:
    """One transaction: what it knows of branches and times, and its commits and usage.

    `ref_writes` writes branches and tags.
    """

    def __init__(
        self, connection: Connection, clock: Callable[[], int], tips: Tips | None = None
    ) -> None:
        self.connection = connection
        self.clock = clock
        self.tips: Tips = tips or Tips(connection)
        self._allowance: Allowance | None = None  # one for all bases of the transaction
        self.reported: set[str] = set()
        """Tracts for which usage was recorded."""
        self.made: list[tuple[CommitRow, CommitDraft]] = []
        """Commits that were made, in order."""
        self.erased: set[str] = set()
        """Tracts of which contents were erased."""
        self.changes: dict[str, TractChange] = {}
        """What was done in each tract."""
        self._once_committed: list[Callable[[], None]] = []

    def commit(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRow]:
        """Commit *drafts* in order; see `CommitRepository.write`."""
        kept = self.keys.kept(branch.tract_id, drafts) if any(map(_key, drafts)) else {}
        if kept and len(kept) == len(drafts):
            return [each for each in kept.values() if not isinstance(each, int)]  # none is
        tip = self.tips.of(branch)
        if expected_head is not UNSET:
            self.check_head(branch.tract_id, tip.head, expected_head)
        if tip.head is None and drafts:
            check_ref_name(branch.branch)
        if any(map(_attachments, drafts)):
            made = [draft for index, draft in enumerate(drafts) if index not in kept]
            attachments.check(self.connection, branch.tract_id, made)
        if any(map(_origins, drafts)):
            self._check_picked(branch.tract_id, drafts)
        records: list[CommitRow] = []
        if not kept and _NO_TARGET.issuperset(map(_target, drafts)):
            for draft in drafts:
                records.append(self._add(branch.tract_id, tip, draft, None))  # noqa: PERF401  # as in `CommitEngine`
            return records
        targets = [
            None
            if index in kept
            else self._checked_target(branch.tract_id, tip, drafts, index, kept)
            for index in range(len(drafts))
        ]
        for index, (draft, target) in enumerate(zip(drafts, targets, strict=True)):
            if isinstance(target, int):
                target = records[target].commit_hash
            there = kept.get(index)
            if there is None:
                there = self._add(branch.tract_id, tip, draft, target)
            records.append(records[there] if isinstance(there, int) else there)
        return records

    def write_on(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: Basis,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRow]:
        """Commit *drafts* if their basis still holds; see `CommitRepository.write_on`."""
        tip = self.tips.of(branch)
        self.check_head(branch.tract_id, tip.head, expected_head)
        if basis.theirs is not None and self._place(branch.tract_id, basis.theirs) is None:
            raise OutdatedBasisError  # its branch was deleted meanwhile, and pruned or erased
        if self._allowance is None:
            self._allowance = Allowance()
        if not still_holds(
            self.connection,
            tract_id=branch.tract_id,
            head_hash=tip.head,
            basis=basis,
            allowance=self._allowance,
        ):
            raise OutdatedBasisError
        return self.commit(branch, drafts)

    def end_stream(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: str | UnsetType | None,
        ending: StreamEnd,
    ) -> list[CommitRow]:
        """Commit what a stream became and delete its parts; see `CommitRepository.write`."""
        if ending.claim is not None and not self.spools.is_as_claimed(ending.claim):
            return []
        fate = ending.fate
        if ending.owner is not None and (fate is None or fate.saved is not None):
            self.spools.check_owner(ending.owner, ending.stream)
        sent = None if ending.usage is None else self._still_there(branch, ending.head_hash)
        records = self.commit(branch, drafts, expected_head)
        if ending.usage is not None and sent is not None:
            self.set_usage(branch.tract_id, sent, *ending.usage)
        self.spools.unspool(ending.stream)
        if fate is not None:
            self._once_committed.append(fate.end)
        return records

    def _still_there(self, branch: BranchName, commit: str | None) -> str | None:
        """Return *commit*; None if a prune or an erasure has deleted it since it was a head."""
        if commit is None or self.tips.of(BranchName(*branch)).head == commit:
            return commit
        return commit if self._place(branch.tract_id, commit) else None

    def attach(self, tract_id: str, attached: Attached) -> None:
        """Give bytes to a tract; see `AttachmentRepository.add`."""
        attachments.add(self.connection, tract_id, attached, self.clock())

    def check_head(
        self, tract_id: str, head: str | None, expected_head: str | UnsetType | None
    ) -> None:
        """Raise a HeadMovedError unless *head* is the expected one, given by hash or by name."""
        if expected_head is UNSET or expected_head == head:
            return
        try:
            moved = self.resolve(tract_id, expected_head) != head
        except CommitNotFoundError:
            moved = True
        if moved:
            raise HeadMovedError(expected_head, head)

    def resolve(self, tract_id: str, named: str | None) -> str | None:
        """Return the hash of an existing commit; None for an empty history.

        Raises:
            CommitNotFoundError: *named* is not a commit.
        """
        place = self.find(tract_id, named)
        return place and place.commit_hash.hex()

    def find(self, tract_id: str, named: str | None) -> Place | None:
        """Do what `resolve` does, and return the commit's place."""
        if digest(named) is None:
            self.tips.finish()  # a name may be a branch's
        return place_or_beginning(self.connection, tract_id, named, to_stay=True)

    def _check_picked(self, tract_id: str, drafts: Iterable[CommitDraft]) -> None:
        """Check that the contents which drafts were picked from are still there.

        They were read before this transaction, and an erasure may have come since.

        Raises:
            CommitNotFoundError: a commit was deleted.
            EditTargetError: a content was erased.
        """
        origins = (each for draft in drafts for each in draft.origins)
        picked = [each.source_hash for each in origins if each.kind == "cherry-pick"]
        for each in picked:
            if self._place(tract_id, each) is None:
                raise CommitNotFoundError(each)
        keys = map(bytes.fromhex, picked)
        for row in self.connection.find(erasures.ERASED, keys, tract_id=tract_id):
            raise EditTargetError(row[0].hex(), "has no content to pick: it was erased.")

    def _place(self, tract_id: str, named: str) -> Place | None:
        """Return the place of a commit that one can build on; None if there is none."""
        return find_place(self.connection, tract_id, named, to_stay=True)

    def set_usage(self, tract_id: str, commit_hash: str, usage: TokenUsage, raw_json: str) -> None:
        """Record *usage* for a commit that is known to exist."""
        self.reported.add(tract_id)
        key = bytes.fromhex(commit_hash)
        report = self._report(usage, raw_json)
        self.connection.run(sql.SET_USAGE, tract_id=tract_id, commit_hash=key, **report)

    def set_usage_to_stay(
        self, tract_id: str, commit_hash: str, usage: TokenUsage, raw_json: str
    ) -> None:
        """Record *usage* in the statement that looks for its commit.

        Raises:
            CommitNotFoundError: the tract has no such commit, or is being erased up to it.
        """
        key = digest(commit_hash)
        if key is None or not self.connection.change(
            sql.SET_USAGE_TO_STAY,
            tract_id=tract_id,
            hash=key,
            condemned=condemned_key(tract_id),
            **self._report(usage, raw_json),
        ):
            raise CommitNotFoundError(commit_hash)
        self.reported.add(tract_id)

    def _report(self, usage: TokenUsage, raw_json: str) -> dict[str, Any]:
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": _total(usage),
            "raw_json": raw_json,
            "created_at": self.clock(),
        }

    @cached_property
    def keys(self) -> KeyWrites:
        """The keys that are given."""
        return KeyWrites(self.connection)

    @property
    def spools(self) -> SpoolWrites:
        """Writes of parts of streams."""
        return SpoolWrites(self.connection, self.clock, self._once_committed)

    def finish(self) -> None:
        """Write the heads that moved, and rows of tracts; call this before COMMIT."""
        self.tips.finish()
        times: dict[str, list[int]] = {}
        for record, _ in self.made:
            times.setdefault(record.tract_id, []).append(record.created_at)
        for tract_id, made in times.items():
            known = self.tips.row_times.get(tract_id) or -LAG
            if made[-1] - known > LAG or len(made) >= MANY or tract_id in self.changes:
                self.touch(tract_id, made[-1], len(made), since=made[0])
        for tract_id, change in self.changes.items():
            add_change(self.connection, self.tips.row_times, tract_id, change)

    def committed(self) -> None:
        """Set the fates of the streams that were saved or ended; call this after COMMIT."""
        for tell in self._once_committed:
            tell()

    def next_time(self, tract_id: str) -> int:
        """Return the time of the next commit or move of a tract."""
        last = self.tips.last_times.get(tract_id)
        if last is None:
            last = self._last_time(tract_id)
        now = self.tips.last_times[tract_id] = max(self.clock(), last + 1)
        return now

    def touch(self, tract_id: str, now: int, commits: int = 0, *, since: int | None = None) -> None:
        """Note what was done in a tract up to the time *now*: some commits, or something else.

        The first of the commits was made at the time *since*, if that was not *now*.
        """
        change = self.changes.get(tract_id)
        if change is None:
            change = self.changes[tract_id] = TractChange(now)
        change.first = min(change.first, now if since is None else since)
        change.last = max(change.last, now)
        change.commits += commits
        change.is_more |= not commits

    def _last_time(self, tract_id: str) -> int:
        row = self.connection.one(sql.LAST_TIME, tract_id=tract_id)
        return self.tips.note_time(tract_id, row[0] if row else 0)

    def _checked_target(
        self,
        tract_id: str,
        tip: Tip,
        drafts: Sequence[CommitDraft],
        index: int,
        kept: Mapping[int, CommitRow | int],
    ) -> str | int | None:
        draft = drafts[index]
        target = draft.target
        if target is None:
            return None
        if isinstance(target, int):
            if not 0 <= target < index:
                raise EditTargetError(f"item {target}", "is not an earlier item of this batch.")
            there = kept.get(target, target)
            if isinstance(there, int):
                _check_is_entry(f"item {target} of the batch", drafts[there].operation)
                return there
            target = there.commit_hash
        if digest(target) is None:
            self.tips.finish()  # a name may be a branch's
        place = self._place(tract_id, target)
        if place is None:
            if draft.operation == CommitOperation.ANNOTATE:
                raise CommitNotFoundError(target)
            raise EditTargetError(
                target,
                "is not a commit of this tract, nor the name of one; `log()`, `tags()` and "
                "`branches()` list them.",
            )
        _check_is_entry(target, place.operation)
        if not (
            self.reaches(tract_id, tip, place) or self._brings(tract_id, drafts[:index], place)
        ):
            raise EditTargetError(
                target,
                "is not in this branch's history. Bring it here with `cherry_pick()` or `merge()`, "
                "or work on its branch.",
            )
        return place.commit_hash.hex()

    def _brings(self, tract_id: str, drafts: Iterable[CommitDraft], place: Place) -> bool:
        """Return True if a merge among *drafts* brings a commit into the branch's history."""
        for draft in drafts:
            if draft.merge_parent is not None:
                merged = self._place(tract_id, draft.merge_parent)
                if merged is not None and is_ancestor(self.connection, tract_id, place, merged):
                    return True
        return False

    def reaches(self, tract_id: str, tip: Tip, place: Place) -> bool:
        """Return True if a branch's history, including this transaction, has a commit."""
        if tip.head is None:
            return False
        if place.segment == tip.segment:
            return True  # what moves a branch otherwise than by a commit begins another segment
        head = find_place(self.connection, tract_id, tip.head)
        return head is not None and is_ancestor(self.connection, tract_id, place, head)

    def _add(self, tract_id: str, tip: Tip, draft: CommitDraft, target: str | None) -> CommitRow:
        created_at = self.next_time(tract_id)
        named = commit_hash(
            parent=tip.head,
            content_hash=draft.content_hash,
            content_type=draft.content_type,
            operation=draft.operation,
            timestamp=created_at,
            target=target,
            merge_parent=draft.merge_parent,
        )
        record = CommitRow(
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
            key=draft.key,
        )
        self._add_rows(record, draft, tip.segment)
        self.tips.advance(tip, named, created_at)
        self.made.append((record, draft))
        return record

    def _add_rows(self, record: CommitRow, draft: CommitDraft, segment: int) -> None:
        key = bytes.fromhex(record.commit_hash)
        content_hash = bytes.fromhex(draft.content_hash)
        self.connection.run(sql.ADD_BLOB, content_hash=content_hash, data=draft.data)
        if draft.attachments:
            attachments.add_used(self.connection, record.tract_id, draft, record.created_at)
        self.connection.run(
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
            key=record.key,
        )
        if record.key is not None:
            self.keys.give(record, record.key)
        for origin in draft.origins:
            self.connection.run(
                refs.ADD_ORIGIN,
                tract_id=record.tract_id,
                commit_hash=key,
                source_hash=bytes.fromhex(origin.source_hash),
                kind=origin.kind,
            )


def _check_is_entry(target: str, operation: str) -> None:
    rule = rule_of(operation)
    if not rule.is_entry:
        article = "an" if operation[0] in "aeio" else "a"
        raise EditTargetError(
            target, f"is {article} {operation.upper()}, not an entry. Name {rule.points_to}."
        )


def _total(usage: TokenUsage) -> int:
    given = usage.total_tokens
    return usage.prompt_tokens + usage.completion_tokens if given is None else given
