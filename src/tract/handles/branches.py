"""Calls of a handle that concern branches, tags, and what passes between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel

from tract.engine.branches.comparing import branch_info, reflog_entry, tag_info
from tract.engine.branches.merging import Asked
from tract.engine.branches.resolving import checked_way
from tract.engine.commit.infos import commit_infos
from tract.exceptions import TractError, shown
from tract.handles.arguments import (
    checked_hash,
    checked_head,
    checked_place,
    checked_ref,
    checked_text,
)
from tract.handles.handle import Handle
from tract.models.commit import CommitInfo
from tract.models.merging import OnConflict, Resolution
from tract.models.ref_names import check_ref_name
from tract.models.refs import (
    BranchComparison,
    BranchInfo,
    BranchStats,
    ContextDiff,
    MergeResult,
    Origin,
    OriginKind,
    ReflogEntry,
    TagInfo,
)
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import ExistingBranch, Position

__all__ = ["BranchCalls"]


class BranchCalls(Handle):
    """Branches of a tract: each handle is on one of them, for good."""

    async def fork(
        self,
        name: str,
        *,
        at_commit: str | UnsetType | None = UNSET,
        expected_head: str | UnsetType | None = UNSET,
    ) -> Self:
        """Make a branch and return a handle on it: one row, however long the history.

        Args:
            name: the new branch, by git's rules for names.
            at_commit: where it starts, a hash or a tag; this branch's head if left out. None makes
                an empty branch: it starts before the first commit.
            expected_head: the head that this branch must have (None: no commit).

        Raises:
            RefNameError: *name* is no name for a branch.
            BranchExistsError: there is a branch of that name.
            CommitNotFoundError: the tract has no commit *at_commit*.
            HeadMovedError: this branch's head is not *expected_head*.
        """
        name = _new_name(name)
        at = checked_place(at_commit)
        expected = checked_head("expected_head", expected_head)
        with self._call():
            await self._runtime.storage.refs.fork(self._branch, name, at, expected_head=expected)
        return self._other(name)

    def on(self, name: str) -> Self:
        """Return a handle on an existing branch; cheap, and without I/O until it is used.

        Its calls raise a `BranchNotFoundError` while there is no such branch, where a handle that
        `TractStore.tract` gives makes it with its first commit; `main` is always there.

        Raises:
            RefNameError: *name* is no name for a branch.
        """
        name = _new_name(name)
        self._check_open()
        return self._other(name)

    async def branches(self) -> list[BranchInfo]:
        """Return the tract's branches, by name: those that were committed to, forked or moved."""
        with self._call():
            return [
                branch_info(ref) for ref in await self._runtime.storage.refs.branches(self.tract_id)
            ]

    async def delete_branch(
        self,
        name: str,
        *,
        force: bool = False,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        """Delete a branch; its commits stay readable by their hashes.

        Args:
            name: the branch.
            force: delete it even if that puts its work out of reach.
            expected_head: the head that the deleted branch must have (None: no commit).

        Raises:
            BranchNotFoundError: there is no such branch.
            HeadMovedError: its head is not *expected_head*.
            BranchNotMergedError: it has commits, merges aside, that no other branch or tag reaches
                and that were squashed nowhere; `force=True` deletes it all the same.
            TractError: it is this handle's own branch.
        """
        name = checked_ref(name)
        if name == self.branch:
            raise TractError(
                f"A handle cannot delete its own branch {name!r}. Call it on a handle of another "
                "branch, such as `tract.on('main')`."
            )
        other = self._branch._replace(branch=name)
        expected = checked_head("expected_head", expected_head)
        with self._call():
            await self._runtime.storage.refs.delete(other, force=force, expected_head=expected)

    async def reset(
        self,
        to_hash: str | None,
        *,
        reason: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> BranchInfo:
        """Move this branch back to a commit of its history, given by hash or tag.

        What it leaves stays readable by hash, and `reflog()` tells where the branch pointed.

        Args:
            to_hash: the commit. None is the moment before the first one: the branch becomes empty,
                and its next commit has no parent.
            reason: a note for the reflog.
            expected_head: the head that the branch must have (None: no commit).

        Raises:
            CommitNotFoundError: the tract has no such commit.
            HeadMovedError: the head is not *expected_head*.
            TractError: the commit is not in this branch's history.
        """
        target = _checked_end(to_hash)
        note = None if reason is None else checked_text("reason", reason)
        expected = checked_head("expected_head", expected_head)
        with self._call():
            ref = await self._runtime.storage.refs.move(
                self._branch, target, action="reset", note=note, expected_head=expected
            )
        return branch_info(ref)

    async def reflog(self, branch: str | None = None) -> list[ReflogEntry]:
        """Return where the tract's branches, or one of them, have pointed, newest first.

        Branches that were deleted are in it.
        """
        with self._call():
            moves = await self._runtime.storage.refs.moves(self.tract_id)
        return [reflog_entry(move) for move in reversed(moves) if branch in (None, move.branch)]

    async def tag(
        self,
        name: str,
        target_hash: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> TagInfo:
        """Name a commit, this branch's head if none is given.

        The name can be used wherever a hash is asked for.

        Args:
            name: the tag, by git's rules for names.
            target_hash: the commit.
            expected_head: the head that this branch must have (None: no commit).

        Raises:
            RefNameError: *name* is no name for a tag.
            TagExistsError: there is one of that name; delete it first.
            CommitNotFoundError: the tract has no commit *target_hash*.
            HeadMovedError: this branch's head is not *expected_head*.
            TractError: there is no commit to name: *target_hash* is None, or the branch is empty.
        """
        name = _new_name(name)
        target = checked_place(target_hash)
        expected = checked_head("expected_head", expected_head)
        with self._call():
            ref = await self._runtime.storage.tags.tag(
                self._branch, name, target, expected_head=expected
            )
        return tag_info(ref)

    async def tags(self) -> list[TagInfo]:
        """Return the tract's tags, by name."""
        with self._call():
            return [tag_info(ref) for ref in await self._runtime.storage.tags.tags(self.tract_id)]

    async def delete_tag(self, name: str, *, expected_head: str | UnsetType | None = UNSET) -> None:
        """Delete a tag; the commit stays.

        Args:
            name: the tag.
            expected_head: the commit that the tag must name.

        Raises:
            TagNotFoundError: there is no such tag.
            HeadMovedError: it names another commit than *expected_head*.
        """
        name = _new_name(name)
        expected = checked_head("expected_head", expected_head)
        with self._call():
            await self._runtime.storage.tags.untag(self.tract_id, name, expected_head=expected)

    async def diff(self, a: str | None, b: str | None) -> ContextDiff:
        """Return how the context at *b* differs from that at *a*, entry by entry.

        Args:
            a: a hash, a tag or a branch; None for the empty context before the first commit.
            b: another.

        Raises:
            CommitNotFoundError: the tract has no such commit.
        """
        before, after = Position(_checked_end(a)), Position(_checked_end(b))
        with self._call():
            return await self._runtime.comparer.diff(self._branch, before, after)

    async def compare(self, names: Iterable[str]) -> list[BranchComparison]:
        """Return what branches have come to, and since they all parted, in the order of *names*.

        A branch that is compared with none, or with itself alone, has parted from nothing.

        One branch alone is seen since it parted from this handle's. Tokens are counted, not those
        that an API reported, so that they can be compared.

        Raises:
            BranchNotFoundError: there is no such branch.
            RefNameError: a name is no name for a branch.
            ValueError: *names* is a string.
        """
        if isinstance(names, str):
            raise ValueError(f"names must be a list of branches, not {shown(names)}")
        branches = [checked_ref(name) for name in names]
        with self._call():
            return await self._runtime.comparer.compare(self._branch, branches)

    async def stats(self) -> BranchStats:
        """Return the size of this branch: what its history holds and what its context has."""
        with self._call():
            return await self._runtime.comparer.stats(self._branch)

    async def merge(
        self,
        branch: str,
        *,
        on_conflict: OnConflict = "raise",
        fast_forward: bool = True,
        squash: BaseModel | Mapping[str, Any] | Resolution | None = None,
        message: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> MergeResult:
        """Bring the commits of another branch into this one.

        Where the other goes on from this branch's head, this branch moves to its head. Else a commit
        with two parents is made: in the context the other's entries follow ours, in their order, and
        its edits and annotations of shared entries hold. Nothing is done where the other has
        nothing but merges of what is here. Nothing is locked meanwhile; what comes to this branch
        stands before the merge, which is computed anew if that changes what it is about.

        Args:
            branch: the other branch.
            on_conflict: what to do where both sides edited an entry to different contents, or gave
                it different priorities: `raise`, keep `ours`, take `theirs`, or a function, async
                or not, that is given each `MergeConflict` and returns `"ours"`, `"theirs"` or
                `"base"`, a content, a `Resolution`, or a priority. A content that one of the
                three has keeps the config that it has there; a new one has that of its
                `Resolution`, or none. It may be asked again where a conflict has become another,
                but never the same question twice, and ten times at most about one entry.
            fast_forward: False makes a merge commit where moving the branch would do.
            squash: a content, or a `Resolution`, to commit in place of the other's commits, which
                are then not brought in; `origins()` tells where it came from. Nothing is asked about conflicts. A later
                merge without it still brings the commits themselves.
                Where this branch holds such a commit for the other's head already, nothing is done.
            message: the note on the merge commit, or on the squashed one.
            expected_head: the head that this branch must have (None: no commit), from the moment
                the merge is computed until it is written.

        Raises:
            MergeConflictError: there are conflicts, all of which it names; nothing was written.
            BranchNotFoundError: there is no such branch.
            ContentValidationError: *squash*, *message* or a resolution cannot be stored.
            ValueError: *on_conflict* is none of these.
            BudgetExceededError: the merged context would exceed the budget.
            HeadMovedError: the head is not *expected_head*; nothing was written.
            BranchBusyError: others changed what it is about, however often it was computed anew
                and the function asked; it tells which entries. Nothing was written.
        """
        other = ExistingBranch(self.tract_id, checked_ref(branch))
        note = None if message is None else checked_text("message", message)
        expected = checked_head("expected_head", expected_head)
        asked = Asked(checked_way(on_conflict), fast_forward, squash, note, expected)
        with self._call():
            return await self._runtime.merger.merge(self._branch, other, asked)

    async def cherry_pick(
        self, *hashes: str, expected_head: str | UnsetType | None = UNSET
    ) -> list[CommitInfo]:
        """Commit the contents of other commits of this tract here, all in one transaction.

        Each takes content, message, metadata and generation config from the commit that it names;
        `origins()` tells where they came from.

        Args:
            *hashes: the commits.
            expected_head: the head that this branch must have (None: no commit).

        Raises:
            CommitNotFoundError: the tract has no such commit.
            HeadMovedError: the head is not *expected_head*.
            EditTargetError: a commit has no content of its own, being an annotation or a merge.
        """
        picked = [checked_hash(each) for each in hashes]
        expected = checked_head("expected_head", expected_head)
        with self._call():
            records = await self._runtime.merger.cherry_pick(self._branch, picked, expected)
            return await commit_infos(self._runtime.threads, records)

    async def origins(self, commit_hash: str | UnsetType | None = UNSET) -> list[Origin]:
        """Return where the tract's squashed and picked commits came from, oldest first.

        Args:
            commit_hash: only those of this commit; of None, which is no commit, there are none.

        Raises:
            CommitNotFoundError: the tract has no such commit.
        """
        of = checked_place(commit_hash)
        with self._call():
            found = await self._runtime.storage.histories.origins(self.tract_id, of)
        return [
            Origin(kind=OriginKind(kind), source_hash=source, commit_hash=commit)
            for commit, (kind, source) in found
        ]


def _checked_end(value: object) -> str | None:
    return None if value is None else checked_hash(value)


def _new_name(value: object) -> str:
    """Return the name of a branch or tag that may be made.

    Raises:
        RefNameError: it breaks a rule.
    """
    name = checked_ref(value)
    check_ref_name(name)
    return name
