"""Leases on branches: of all processes, one has a context summarised while the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from uuid import uuid4

from tract.exceptions import StorageError
from tract.running.lifecycle import to_the_end
from tract.storage.repositories import BranchName, LeaseRepository

__all__ = ["Leases"]

_LEASE = 15.0
"""Seconds without a sign of life after which another process may do the work."""
_HEARTBEAT = 5.0
"""Seconds after which a holder gives a sign of life; a lease survives two failures."""
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5
"""Seconds between a waiting process's looks, which become rarer."""


class _Lease:
    """A held lease, as what is called meanwhile sees it."""

    def __init__(self, owner: str, branch: BranchName) -> None:
        self.owner = owner
        self.branch = branch[:2]
        self.is_over = False


_held: ContextVar[tuple[_Lease, ...]] = ContextVar("tract_leases", default=())


class _Patience:
    """Decides whether a lease has lapsed, whatever the clock of its holder's machine says."""

    def __init__(self) -> None:
        self._owner = ""
        self._lowest = self._quiet = 0

    def has_lapsed(self, owner: str, quiet: int) -> bool:
        """Return True if *owner* gave no sign for a lease, by the clocks or while we looked."""
        if owner != self._owner or quiet < self._quiet:
            self._owner, self._lowest = owner, quiet
        self._quiet = quiet
        return max(quiet, quiet - self._lowest) > _LEASE * 1_000_000


class Leases:
    """Takes the leases of one store. What a lapsed one still writes, storage checks as always."""

    def __init__(self, leases: LeaseRepository) -> None:
        self._leases = leases
        self._owner = uuid4().hex

    @asynccontextmanager
    async def held(self, branch: BranchName) -> AsyncIterator[bool]:
        """Wait for a branch and hold it; yield False if the caller is part of what holds it."""
        if not await self._taken(branch):
            yield False
            return
        lease = _Lease(self._owner, branch)
        token = _held.set((*_held.get(), lease))
        renewing = asyncio.create_task(self._renew(branch))
        try:
            yield True
        finally:
            lease.is_over = True
            _held.reset(token)
            renewing.cancel()
            await to_the_end(self._release(branch))

    async def _taken(self, branch: BranchName) -> bool:
        patience, pause = _Patience(), _FIRST_LOOK
        while (holder := await self._take(branch, patience)) != self._owner:
            within = (each for each in _held.get() if not each.is_over)
            if any((each.owner, each.branch) == (holder, branch[:2]) for each in within):
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)
        return True

    async def _take(self, branch: BranchName, patience: _Patience) -> str:
        try:
            return await self._leases.take(branch, self._owner, patience.has_lapsed)
        except asyncio.CancelledError:
            await to_the_end(self._release(branch))  # it may have been taken all the same
            raise

    async def _renew(self, branch: BranchName) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT)
            with suppress(StorageError):  # the next sign may arrive
                await self._leases.take(branch, self._owner, _Patience().has_lapsed)

    async def _release(self, branch: BranchName) -> None:
        with suppress(StorageError):  # it lapses
            await self._leases.release(branch, self._owner)
