"""Leases on branches: which process does the work that one is enough for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from tract.storage.values import BranchName

__all__ = ["LeaseRepository"]


class LeaseRepository(ABC):
    """Lends each branch to one owner at a time, across all processes.

    A lease is advice: writes do not ask for it. Its times are those of the store's clock.
    """

    @abstractmethod
    async def take(
        self, branch: BranchName, owner: str, has_lapsed: Callable[[str, int], bool]
    ) -> str:
        """Lend a branch to *owner*, or renew its lease, unless another owner has it.

        Return who has it now. *has_lapsed* is asked about another owner, with the microseconds
        since its last renewal.
        """

    @abstractmethod
    async def release(self, branch: BranchName, owner: str) -> None:
        """End the lease of *owner*, if it has the branch."""
