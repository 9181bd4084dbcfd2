"""`BranchEngine`: creating, moving, deleting and listing branches and tags."""

from __future__ import annotations

from collections.abc import Sequence

from tract.models.commit import moment
from tract.models.refs import BranchInfo, ReflogEntry, TagInfo
from tract.protocols import UnsetType
from tract.storage.repositories import BranchName, Move, RefRecord, RefRepository, TagRepository

__all__ = ["BranchEngine"]

Expected = str | UnsetType | None


class BranchEngine:
    """The branches and tags of one store; each method is that of `AsyncTract`."""

    def __init__(self, refs: RefRepository, tags: TagRepository) -> None:
        self._refs = refs
        self._tags = tags

    async def head(self, branch: BranchName) -> str | None:
        return await self._refs.head(branch)

    async def fork(
        self, branch: BranchName, name: str, at: str | UnsetType | None, expected_head: Expected
    ) -> None:
        await self._refs.fork(branch, name, at, expected_head=expected_head)

    async def reset(
        self, branch: BranchName, to: str | None, reason: str | None, expected_head: Expected
    ) -> BranchInfo:
        ref = await self._refs.move(
            branch, to, action="reset", note=reason, expected_head=expected_head
        )
        return _branch_info(ref)

    async def delete(self, branch: BranchName, expected_head: Expected, *, force: bool) -> None:
        await self._refs.delete(branch, force=force, expected_head=expected_head)

    async def branches(self, tract_id: str) -> list[BranchInfo]:
        return [_branch_info(ref) for ref in await self._refs.branches(tract_id)]

    async def reached_by(self, tract_id: str, named: Sequence[str]) -> dict[str, list[str]]:
        return await self._refs.reached_by(tract_id, named)

    async def reflog(self, tract_id: str, branch: str | None) -> list[ReflogEntry]:
        moves = await self._refs.moves(tract_id)
        return [_entry(move) for move in reversed(moves) if branch in (None, move.branch)]

    async def tag(
        self, branch: BranchName, name: str, target: str | UnsetType | None, expected_head: Expected
    ) -> TagInfo:
        return _tag_info(await self._tags.tag(branch, name, target, expected_head=expected_head))

    async def tags(self, tract_id: str) -> list[TagInfo]:
        return [_tag_info(ref) for ref in await self._tags.tags(tract_id)]

    async def untag(self, tract_id: str, name: str, expected_head: Expected) -> None:
        await self._tags.untag(tract_id, name, expected_head=expected_head)


def _branch_info(ref: RefRecord) -> BranchInfo:
    return BranchInfo(
        name=ref.name,
        head_hash=ref.commit_hash,
        created_at=moment(ref.created_at),
        updated_at=moment(ref.updated_at),
    )


def _tag_info(ref: RefRecord) -> TagInfo:
    assert ref.commit_hash is not None  # only branches may be empty
    return TagInfo(name=ref.name, target_hash=ref.commit_hash, created_at=moment(ref.created_at))


def _entry(move: Move) -> ReflogEntry:
    return ReflogEntry(
        branch=move.branch,
        old_hash=move.old_hash,
        new_hash=move.new_hash,
        action=move.action,
        note=move.note,
        created_at=moment(move.created_at),
    )
