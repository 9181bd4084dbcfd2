"""Several commits in one transaction: the form with one branch."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tract.handles.staging import StagedBranch, Staging
from tract.models.commit import CommitInfo
from tract.protocols import UnsetType
from tract.storage.repositories import BranchName

__all__ = ["Batch"]


class Batch(StagedBranch):
    """A branch on which a block stages commits, to be written together or not at all at its end.

    Get one from `AsyncTract.batch()`. The block holds no lock: others may commit while it runs, and
    the batch then follows their commits.
    """

    def __init__(
        self, staging: Staging, branch: BranchName, expected_head: str | UnsetType | None
    ) -> None:
        super().__init__(staging, branch)
        staging.expect(branch, expected_head)
        self.commits: list[CommitInfo] = []
        """The commits, in the order of staging; empty until the block is left."""

    async def __aenter__(self) -> Self:
        await self._staging.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._staging.leave(failed=exc_type is not None)
        self.commits = self._staging.commits

    def __repr__(self) -> str:
        branch = self._branch
        return f"<Batch of {branch.tract_id!r} on {branch.branch!r}: {self._staging!r}>"
