"""What a transaction does with branches and tags; each function checks before it writes."""

from __future__ import annotations

from tract.exceptions import (
    BranchNotMergedError,
    HeadMovedError,
    TagExistsError,
    TagNotFoundError,
    TractError,
)
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import (
    BranchName,
    RefRecord,
)
from tract.storage.sql.branching import is_kept
from tract.storage.sql.naming import no_branch, tag_name
from tract.storage.sql.rows import head_of
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import refs
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["delete", "fork", "move", "tag", "untag"]


def fork(
    transaction: WriteTransaction,
    branch: BranchName,
    name: str,
    at: str | UnsetType | None = UNSET,
    expected_head: str | UnsetType | None = UNSET,
) -> None:
    """Make the branch *name*; see `RefRepository.fork`."""
    start = _target(transaction, branch, at, expected_head)
    note = "from before the first commit" if at is None else f"from {at}"
    if at is UNSET:
        note = f"from {branch.branch}"
    new = BranchName(branch.tract_id, name)
    transaction.tips.of(new)  # the tract's last time comes along
    now = transaction.next_time(branch.tract_id)
    transaction.tips.start(new, start, action="fork", note=note, now=now)
    transaction.touch(branch.tract_id, now)


def move(
    transaction: WriteTransaction,
    branch: BranchName,
    to: str | None,
    *,
    action: str,
    note: str | None,
    expected_head: str | UnsetType | None = UNSET,
) -> RefRecord:
    """Point a branch elsewhere; see `RefRepository.move`."""
    tip = transaction.tips.of(branch)
    transaction.check_head(branch.tract_id, tip.head, expected_head)
    place = transaction.find(branch.tract_id, to)
    target = place and place.commit_hash.hex()
    if action == "reset" and place and not transaction.reaches(branch.tract_id, tip, place):
        raise TractError(
            f"{to!r} is not in the history of the branch {branch.branch!r}. Reset moves a "
            "branch back; to work on from another commit use `fork(name, at_commit=...)`."
        )
    now = transaction.next_time(branch.tract_id)
    if not tip.exists:
        transaction.tips.start(branch, target, action=action, note=note, now=now)
        moved = RefRecord(branch.branch, target, now, now)
    else:
        moved = transaction.tips.move(branch, target, action=action, note=note, now=now)
    transaction.touch(branch.tract_id, now)
    return moved


def delete(
    transaction: WriteTransaction,
    branch: BranchName,
    *,
    force: bool,
    expected_head: str | UnsetType | None = UNSET,
) -> None:
    """Delete a branch; see `RefRepository.delete`."""
    tip = transaction.tips.of(branch)
    if not tip.exists:
        no_branch(transaction.connection, branch)
    transaction.check_head(branch.tract_id, tip.head, expected_head)
    transaction.tips.finish()
    if not force and tip.head and not is_kept(transaction.connection, branch, tip.head):
        raise BranchNotMergedError(branch.branch, tip.head)
    now = transaction.next_time(branch.tract_id)
    transaction.tips.delete(branch, now=now)
    transaction.touch(branch.tract_id, now)


def tag(
    transaction: WriteTransaction,
    branch: BranchName,
    name: str,
    target: str | UnsetType | None = UNSET,
    expected_head: str | UnsetType | None = UNSET,
) -> RefRecord:
    """Name a commit; see `TagRepository.tag`."""
    tract_id = branch.tract_id
    head = _target(transaction, branch, target, expected_head)
    if head is None:
        raise TractError(
            "There is no commit yet to tag. A tag names a commit, not the moment before the "
            "first: commit first, or give the hash of a commit."
        )
    if transaction.connection.one(sql.BRANCH, tract_id=tract_id, name=tag_name(name)):
        raise TagExistsError(name)
    now, key = transaction.next_time(tract_id), bytes.fromhex(head)
    transaction.connection.run(
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
    transaction.touch(tract_id, now)
    return RefRecord(name, head, now, now)


def untag(
    transaction: WriteTransaction,
    tract_id: str,
    name: str,
    expected_head: str | UnsetType | None = UNSET,
) -> None:
    """Delete a tag; see `TagRepository.untag`."""
    ref = tag_name(name)
    row = transaction.connection.one(sql.TIP, tract_id=tract_id, name=ref)
    if row is None:
        raise TagNotFoundError(name)
    transaction.tips.note_time(tract_id, row[2] or 0)
    try:
        transaction.check_head(tract_id, head_of(row[0]), expected_head)
    except HeadMovedError as error:
        raise HeadMovedError(error.expected, error.actual, tag=name) from None
    transaction.connection.run(refs.DELETE_REF, tract_id=tract_id, name=ref)
    transaction.touch(tract_id, transaction.next_time(tract_id))


def _target(
    transaction: WriteTransaction,
    branch: BranchName,
    named: str | UnsetType | None,
    expected_head: str | UnsetType | None,
) -> str | None:
    """Return the commit that a ref is to point to, or None: *named*, or the head of *branch*.

    Raises:
        CommitNotFoundError: *named* is not a commit.
        HeadMovedError: the head of *branch* is not *expected_head*.
    """
    if named is not UNSET and expected_head is UNSET:
        return transaction.resolve(branch.tract_id, named)  # whether the branch exists or not
    head = transaction.tips.of(branch).head
    transaction.check_head(branch.tract_id, head, expected_head)
    return head if named is UNSET else transaction.resolve(branch.tract_id, named)
