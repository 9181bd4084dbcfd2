"""Several changes in one transaction, which others may share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tract.exceptions import TractError
from tract.history.hashing import content_hash
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import (
    AddCommits,
    AddTag,
    BranchName,
    Change,
    CommitDraft,
    CommitRow,
    DeleteBranch,
    DeleteTag,
    EraseContents,
    Erased,
    ForkBranch,
    Landed,
    Named,
    RecordUsage,
    ResetBranch,
    SetInfo,
)
from tract.storage.sql.searching import SearchIndex
from tract.storage.sql.writing import erasing, ref_writes
from tract.storage.sql.writing.describing import describe
from tract.storage.sql.writing.transaction import HalfWrittenError, WriteTransaction

__all__ = ["make"]

_WITHOUT_REFS = (AddCommits, RecordUsage, SetInfo)
_DIGITS = 16
_NUMBER = re.compile(rb"[0-9a-f]{16}")


def make(
    transaction: WriteTransaction,
    *,
    search: SearchIndex,
    changes: Sequence[Change],
    expected: Sequence[tuple[BranchName, str | None]],
) -> Landed:
    """See `TransactionRepository.write`.

    Each change checks before it writes. One that fails after others have written makes the whole
    group fail, and its jobs run one by one.
    """
    for branch, head in expected:
        if not _changes_nothing(transaction, branch, changes):
            transaction.check_head(branch.tract_id, transaction.tips.of(branch).head, head)
    _look_ahead(transaction, changes)
    made = _Made(transaction, search)
    for number, change in enumerate(changes):
        try:
            made.make(change)
        except TractError as error:
            if number == 0:
                raise
            raise HalfWrittenError(error) from error
    return Landed(made.commits, made.erased)


def _changes_nothing(
    transaction: WriteTransaction, branch: BranchName, changes: Sequence[Change]
) -> bool:
    """Return True if the changes of a branch are drafts whose keys name stored commits."""
    own = [each for each in changes if each.branch == branch]
    drafts = [draft for each in own if isinstance(each, AddCommits) for draft in each.drafts]
    if not drafts or not all(isinstance(each, AddCommits) for each in own):
        return False
    if any(each.key is None or each.on_key != "keep" for each in drafts):
        return False
    return len(transaction.keys.kept(branch.tract_id, drafts)) == len(drafts)


def _look_ahead(transaction: WriteTransaction, changes: Sequence[Change]) -> None:
    """Read what commits need before the first is made: PostgreSQL needs no transaction then."""
    if len(changes) < 2 or not all(isinstance(each, _WITHOUT_REFS) for each in changes):
        return
    for change in changes:
        transaction.tips.of(change.branch)
    for change in changes:
        if isinstance(change, AddCommits):
            keys = {each.key for each in change.drafts if each.key is not None}
            transaction.keys.look_up(change.branch.tract_id, keys)


class _Made:
    """What a transaction has made so far."""

    def __init__(self, transaction: WriteTransaction, search: SearchIndex) -> None:
        self._transaction = transaction
        self._search = search
        self.commits: list[CommitRow] = []
        self.erased: list[Erased] = []

    def make(self, change: Change) -> None:
        """Make one change."""
        transaction, branch = self._transaction, change.branch
        match change:
            case AddCommits():
                self._commit(change)
            case ForkBranch():
                ref_writes.fork(transaction, branch, change.name, self._named(change.at))
            case ResetBranch(_, to, note):
                target = None if to is None else self._hash(to)
                ref_writes.move(transaction, branch, target, action="reset", note=note)
            case DeleteBranch():
                ref_writes.delete(transaction, branch, force=change.force)
            case AddTag():
                ref_writes.tag(transaction, branch, change.name, self._named(change.target))
            case DeleteTag():
                ref_writes.untag(transaction, branch.tract_id, change.name)
            case RecordUsage():
                self._record(change)
            case SetInfo(_, title, metadata_json, check):
                describe(transaction, branch.tract_id, title, metadata_json, check)
            case EraseContents(_, named, markers):
                erased = erasing.erase(
                    transaction,
                    search=self._search,
                    tract_id=branch.tract_id,
                    named=named,
                    markers=markers,
                )
                self.erased.append(erased)

    def _commit(self, change: AddCommits) -> None:
        start = len(self.commits)
        drafts = [self._ready(draft, start, change.mark) for draft in change.drafts]
        self.commits += self._transaction.commit(change.branch, drafts)

    def _ready(self, draft: CommitDraft, start: int, mark: bytes) -> CommitDraft:
        """Return a draft with the hashes of the commits before it; *start* is the first number."""
        target = draft.target
        if isinstance(target, int):
            draft = draft._replace(target=target - start if target >= start else self._hash(target))
        if not mark:
            return draft
        first, *others = draft.data.split(mark)
        data = first + b"".join([self._unmarked(mark, each) for each in others])
        return draft._replace(data=data, content_hash=content_hash(data))

    def _unmarked(self, mark: bytes, after: bytes) -> bytes:
        """Return what followed a mark, with the hash that they stand for before it."""
        found = _NUMBER.match(after)
        number = int(found[0], 16) if found else len(self.commits)
        if number >= len(self.commits):
            return mark + after  # a caller has cut it
        return self._hash(number).encode() + after[_DIGITS:]

    def _record(self, change: RecordUsage) -> None:
        transaction, branch, at = self._transaction, change.branch, change.at
        if isinstance(at, int) and self.commits[at].tract_id == branch.tract_id:
            sent: str | None = self._hash(at)
        elif at is UNSET:
            sent = transaction.tips.of(branch).head
        else:
            sent = transaction.resolve(branch.tract_id, self._hash(at))
        if sent is None:
            raise TractError("There is no commit to keep usage for: the branch is empty.")
        transaction.set_usage(branch.tract_id, sent, change.usage, change.raw_json)

    def _named(self, named: Named | UnsetType | None) -> str | UnsetType | None:
        return named if named is None or named is UNSET else self._hash(named)

    def _hash(self, named: Named) -> str:
        return self.commits[named].commit_hash if isinstance(named, int) else named
