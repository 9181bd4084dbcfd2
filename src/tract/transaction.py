"""`Transaction`: changes to several branches and tracts that land together."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tract.exceptions import TractError
from tract.handles.blocking import SyncTransaction
from tract.handles.staging import StagedBranch, Staging
from tract.handles.twins import pair
from tract.models.commit import CommitInfo
from tract.models.erasure import ErasureReceipt
from tract.protocols import UNSET, UnsetType
from tract.runtime import Runtime
from tract.tract import AsyncTract

__all__ = ["Transaction"]


class Transaction:
    """A block that stages changes, to be made together or not at all at its end.

    Get one from `TractStore.transaction()`. The block holds no lock, and nothing is written while
    it runs: others may commit meanwhile, and the transaction then follows their commits.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._staging = Staging(
            runtime.transactions, runtime.usage, runtime.tracts, runtime.gate, "transaction"
        )
        self.commits: list[CommitInfo] = []
        """The commits, in the order of staging; empty until the block is left."""
        self.receipts: list[ErasureReceipt] = []
        """Those of its erasures, in the order of staging."""

    def on(
        self, tract: AsyncTract, *, expected_head: str | UnsetType | None = UNSET
    ) -> StagedBranch:
        """Return the branch of a handle, for staging; this is cheap, and may be repeated.

        Args:
            tract: a handle of this transaction's store.
            expected_head: the head that the branch must have when the transaction is written,
                before anything that it does (None: no commit).

        Raises:
            TractError: *tract* is not a handle, or of another store; or this is called outside the
                block.
            StoreClosedError: the handle was closed.
        """
        self._staging.check_open()
        if not isinstance(tract, AsyncTract) or tract._runtime is not self._runtime:
            raise TractError(
                "A transaction takes handles of its own store. Get one from `TractStore.tract`."
            )
        tract._check_open()
        self._staging.expect(tract._branch, expected_head)
        return StagedBranch(self._staging, tract._branch)

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
        self.commits, self.receipts = self._staging.commits, self._staging.receipts

    def __repr__(self) -> str:
        return f"<Transaction of {self._runtime.database.path!r}: {self._staging!r}>"


pair(Transaction, SyncTransaction)
