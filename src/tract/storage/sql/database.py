"""What the repositories need of an open database; each engine has one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from os import PathLike
from typing import Any, Protocol, TypeVar

from tract.storage.repositories import BranchName, Residue, StoreFacts
from tract.storage.sql.configs.querying import ConfigQueries
from tract.storage.sql.freshness import Freshness, State
from tract.storage.sql.grouping import Groups
from tract.storage.sql.port import Connection
from tract.storage.sql.searching import SearchIndex
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["Database"]

T = TypeVar("T")


class Database(Protocol):
    """Runs synchronous functions over its connections: reads at once, writes in transactions."""

    path: str
    freshness: Freshness
    queries: ConfigQueries
    search: SearchIndex
    clock: Callable[[], int]
    closed: bool

    @property
    def interval(self) -> float:
        """See `ArrivalRepository.interval`."""

    @property
    def trips(self) -> int:
        """Trips made so far: the measure of what a verb costs."""

    @property
    def writes(self) -> Groups[Any]:
        """The groups in which writes leave."""

    def write(
        self,
        job: Callable[[WriteTransaction], T],
        tracts: Sequence[str],
        size: int = 1,
        *,
        exclusive: bool = False,
        traced: bool = True,
    ) -> Coroutine[Any, Any, T]:
        """Run *job*, of *size* commits, in a transaction; return its result once it is committed.

        *job* must check before it writes: others may share its transaction, so a `TractError` that
        it raises must leave that intact. It may run again, in another transaction. It writes to
        *tracts* and to no others. While one that is *exclusive* runs, nobody adds contents anywhere
        in the database. One that is not *traced* makes no commit and moves no branch, so that
        nothing tells later whether it was made. A caller that is cancelled before the transaction began has
        written nothing.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
        """

    async def scrub(self) -> Residue | None:
        """See `ErasureRepository.scrub`."""

    async def vacuum(self) -> Residue | None:
        """See `ErasureRepository.vacuum`."""

    async def facts(self) -> StoreFacts:
        """See `StoreRepository.facts`."""

    def read(self, function: Callable[[Connection], T]) -> Coroutine[Any, Any, T]:
        """Run *function*, which must not write, on a connection."""

    def glance(self, function: Callable[[Connection], T]) -> Coroutine[Any, Any, T]:
        """Do what `read` does for a *function* that reads a few rows, and may share its trip.

        It sees at least what was in the database when this was called.
        """

    def observe(
        self, function: Callable[[Connection], T], head: BranchName | None = None
    ) -> Coroutine[Any, Any, tuple[T, State | None]]:
        """Do what `glance` does, and also return the state that was read, or None if not known.

        If *function* first asks for the head of a branch, *head* names it. It may run again.
        """

    def listen(self) -> None:
        """Report others' moves to the callback of `on_move`, if the engine can.

        It may stop some seconds after the last call of this.
        """

    def check_path(self) -> None:
        """Raise a `StorageError` if others' commits no longer arrive; for any thread."""

    def check_writable(self) -> None:
        """Raise a `StoreReadOnlyError` if nothing can be written."""

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """See `ArrivalRepository.on_move`."""

    async def back_up(self, to: PathLike[str], step: Callable[[int, int], None]) -> None:
        """Write the whole database, as it is at one moment, to a new file.

        *step* is called on a thread, with the bytes done and of all. What it raises ends the
        backup.

        Raises:
            StorageError: the engine has no such file, or the file cannot be written.
        """

    async def aclose(self) -> None:
        """Close every connection; no call may be under way."""

    def abandon(self) -> None:
        """Release everything without waiting; for when there is no event loop."""
