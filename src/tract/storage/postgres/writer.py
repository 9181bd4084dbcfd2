"""Group commit on PostgreSQL: most groups take one trip, and none is lost or made twice.

A tract's row in `tracts` is lock and version in one. A group first runs *ahead*, on what is known
of its tracts, and what it writes is sent as one statement that holds only if none of them has
changed. If one has, the group runs in a transaction that locks the rows first, in sorted order.

A crowd on one branch takes turns. Whoever has the locks goes on ahead, and whoever was busy and
finds that another has them stays away for a while, so that turns are worth their locks.

When the connection is lost, nobody knows whether the server has committed. A group that may have
been is looked for before it runs again, by a row that only it can have written or by its
transaction's id; the locks of a transaction that is still at work make that wait for its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tract.exceptions import StoreBusyError, TractError
from tract.running.lifecycle import despite_cancellation
from tract.storage.postgres.clock import ServerClock
from tract.storage.postgres.connections.batches import Batch, Write
from tract.storage.postgres.connections.connection import (
    NeedsTransaction,
    PostgresConnection,
    Trips,
    running,
)
from tract.storage.postgres.connections.links import Links, Raw, drop, is_alive, until
from tract.storage.postgres.errors import (
    DRIVER_ERRORS,
    explained,
    is_lost,
    is_passing,
    loses_answer,
)
from tract.storage.repositories import BranchName
from tract.storage.sql.freshness import Beginning, Freshness
from tract.storage.sql.grouping import Deliver, Groups, Outcome
from tract.storage.sql.port import Connection
from tract.storage.sql.statements import refs
from tract.storage.sql.writing.tips import Tips
from tract.storage.sql.writing.transaction import HalfWrittenError, WriteTransaction

__all__ = ["MAX_GROUP", "Job", "Writer"]

MAX_GROUP: int = 512  # commits; bounds how long one transaction keeps other processes waiting
_LONG_AGO = float("-inf")
_DAY = 86_400.0  # seconds that creating an index may take
_IN_DOUBT = 5.0
"""Seconds, at least, to find out what became of a group that the server may have committed."""
_BUSY = 0.02
"""Seconds between a group and the next of a writer that is busy, at most."""
_SHARE = 20
_LONGEST_AWAY = 0.1  # seconds
"""How many times as long as it has held the locks itself a busy writer leaves a tract to others. Eight
writers then make some ten groups each time that one of them has taken the locks."""

_VERSIONS = "SELECT tract_id, version, updated_at FROM tracts WHERE tract_id = ANY($1::text[])"
_ADD_TRACTS = (
    "INSERT INTO tracts (tract_id, version) "
    "SELECT tract_id, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint "
    "FROM unnest($1::text[]) AS new(tract_id) ORDER BY tract_id ON CONFLICT DO NOTHING"
)
"""A tract that was erased and begins anew has a version that it never had."""
_LOCK = (
    "WITH locked AS (SELECT tract_id FROM tracts WHERE tract_id = ANY($1::text[]) "
    "ORDER BY tract_id FOR UPDATE), "
    "turned AS (UPDATE tracts SET version = version + 1 FROM locked "
    "WHERE tracts.tract_id = locked.tract_id RETURNING tracts.tract_id, version, updated_at) "
    "SELECT tract_id, version, updated_at, pg_current_xact_id()::text FROM turned"
)
_BEGIN = "BEGIN; LOCK TABLE blobs IN ROW EXCLUSIVE MODE"
_BEGIN_ALONE = "BEGIN; LOCK TABLE blobs IN SHARE ROW EXCLUSIVE MODE"
"""A statement locks its tables before any row, and a transaction must do so, too: else one that
writes alone could hold a row and wait for the table, while another holds the table and waits for
that row. Every write adds blobs, so these locks keep all others out."""
_IDENTITY = "SELECT pg_current_xact_id()::text"
_STATUS = (
    "SELECT pg_xact_status($1::text::xid8) "
    "WHERE $1::text::xid8 < pg_snapshot_xmax(pg_current_snapshot())"
)
"""An id that the server has not reached is of a transaction that a failover has lost."""
_IS_THERE = "SELECT true FROM commits WHERE tract_id = $1 AND commit_hash = $2"
_HAS_BEGUN = (
    "SELECT true FROM {table} WHERE tract_id = $1 AND name = $2 AND segment = $3 "
    "AND started_at = $4 AND action = $5 AND note IS NOT DISTINCT FROM $6"
)
_BEGUN = ("tract_id", "name", "segment", "started_at", "action", "note")
_REF_IS_THERE = " UNION ALL ".join(_HAS_BEGUN.format(table=table) for table in ("refs", "runs"))
"""A branch that was made, whether it was moved since or not; or a tag."""
_RUN_IS_THERE = (
    "SELECT true FROM runs WHERE tract_id = $1 AND segment = $2 AND ended_at = $3 AND ended_by = $4"
)
_ENDED = ("tract_id", "segment", "ended_at", "ended_by")


class Job(NamedTuple):
    """What a caller wants to be written, and in which tracts; see `Database.write`."""

    run: Callable[[WriteTransaction], Any]
    tracts: Sequence[str]
    exclusive: bool = False
    traced: bool = True


class _Trace(NamedTuple):
    """A question whose answer is true once a transaction is committed: about a row of its own."""

    text: str
    values: Sequence[Any]


def _trace(transaction: WriteTransaction, writes: Iterable[Write] = ()) -> _Trace | None:
    """Return what a transaction can be told by; None if it is nothing but its id."""
    if transaction.made:
        record, _ = transaction.made[0]
        return _Trace(_IS_THERE, [record.tract_id, bytes.fromhex(record.commit_hash)])
    for statement, row in writes:
        if statement is refs.ADD_REF:
            return _Trace(_REF_IS_THERE, [row[name] for name in _BEGUN])
        if statement is refs.ADD_RUN:
            return _Trace(_RUN_IS_THERE, [row[name] for name in _ENDED])
    return None


class _Rows(NamedTuple):
    """What rows of tracts say, and the id of the transaction that has locked them, if one has."""

    versions: dict[str, int]
    times: dict[str, int]
    identity: str | None = None

    @classmethod
    def of(cls, rows: Iterable[Any], identity: str | None = None) -> _Rows:
        listed = [*rows]
        return cls({row[0]: row[1] for row in listed}, {row[0]: row[2] for row in listed}, identity)


class _Made(NamedTuple):
    """What a transaction has made, once it is known to be committed."""

    outcomes: list[Outcome]
    transaction: WriteTransaction
    versions: dict[str, int]
    trace: _Trace | None


class _Group:
    """A group of jobs, and what became of its attempts.

    All attempts have the same times, so that a commit has the same hash in each unless others came
    first.
    """

    def __init__(self, jobs: Sequence[Job], clock: Callable[[], int]) -> None:
        self.jobs = jobs
        self._clock = clock
        self._times: list[int] = []
        self.tracts: list[str] = sorted({tract for job in jobs for tract in job.tracts})
        self.exclusive: bool = any(job.exclusive for job in jobs)
        self.traced: bool = any(job.traced for job in jobs)
        self.sent: _Made | None = None
        """An attempt that the server may have committed."""
        self.identity: str | None = None
        """The id of its transaction, if it is known."""
        self.begun: bool = False
        self.parts: list[_Group] = []
        """Its jobs one by one, after they could not be done together."""
        self.outcomes: list[Outcome] = []
        """Those of its first parts."""

    def clock(self) -> Callable[[], int]:
        """Return the clock of an attempt."""
        told = iter([*self._times])

        def tell() -> int:
            time = next(told, None)
            if time is None:
                time = self._clock()
                self._times.append(time)
            return time

        return tell

    def split(self) -> None:
        """Go on with one job at a time."""
        self.parts = [_Group([job], self._clock) for job in self.jobs]

    def not_made(self) -> None:
        """Note that no attempt has been committed."""
        self.sent = self.identity = None


class Writer:
    """The only entry point for writes of a store."""

    def __init__(
        self, links: Links, clock: Callable[[], int], freshness: Freshness, trips: Trips
    ) -> None:
        self._links = links
        self._clock = clock
        self._freshness = freshness
        self._path = links.path
        self._trips = trips
        self._raw: Raw | None = None
        self._used = 0.0
        self._tips: Tips | None = None
        self._versions: dict[str, int] = {}
        self._done = _LONG_AGO
        self._held = 0.0
        self._moved: Callable[[Iterable[BranchName]], None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.groups: Groups[Job] = Groups(self._send, MAX_GROUP)

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """See `ArrivalRepository.on_move`."""
        self._moved = callback

    def adopt(self, raw: Raw) -> None:
        """Write over a connection that was just made."""
        self._raw, self._used = raw, time.monotonic()

    async def aclose(self) -> None:
        """Close the connection, after the groups of callers who did not wait for them."""
        while self._tasks:
            await asyncio.wait([*self._tasks])
        if self._raw is not None:
            await self._links.close(self._raw)

    def abandon(self) -> None:
        """Close the connection without waiting."""
        if self._raw is not None:
            drop(self._raw)

    def _send(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        self._start(_Group(jobs, self._clock), deliver)

    def _start(self, group: _Group, deliver: Deliver) -> None:
        task = asyncio.get_running_loop().create_task(self._go(group, deliver))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, group, deliver))

    def _ended(self, group: _Group, deliver: Deliver, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not group.begun:  # cancelled before its first step, by a shutdown that cancels all tasks
            self._start(group, deliver)

    async def _go(self, group: _Group, deliver: Deliver) -> None:
        group.begun = True
        try:
            outcomes = await despite_cancellation(partial(self._attempted, group))
        except BaseException as error:
            deliver(None, explained(error, self._path))
            if not isinstance(error, Exception):
                raise
            return
        moved = self._freshness.landed()
        if moved and self._moved is not None:
            self._moved(moved)
        deliver(outcomes, None)

    async def _attempted(self, group: _Group) -> list[Outcome]:
        """Run a group until it is known what became of it.

        Raises:
            StoreBusyError: nobody knows, even after a while.
        """
        patience = self._links.patience
        deadline: float | None = None
        while not group.parts:
            try:
                raw = await self._ready()
                if group.sent is not None:
                    await self._look_for(raw, group)
                return await self._run(raw, group)
            except Exception as error:
                problem = explained(error, self._path)
                await self._recover(error)
                if group.sent is not None:
                    problem, patience = _in_doubt(problem), max(patience, _IN_DOUBT)
                elif not is_passing(problem):
                    if len(group.jobs) == 1:
                        return [Outcome(None, problem)]
                    group.split()
                    break
                deadline = deadline or time.monotonic() + patience
                await until(deadline, problem)
            except BaseException:  # a shutdown: what is under way could end as part of another
                self._cut()
                raise
        return await self._part_by_part(group)

    async def _part_by_part(self, group: _Group) -> list[Outcome]:
        for part in group.parts[len(group.outcomes) :]:
            try:
                group.outcomes += await despite_cancellation(partial(self._attempted, part))
            except Exception as error:
                group.outcomes.append(Outcome(None, error))
        return group.outcomes

    async def _recover(self, error: BaseException) -> None:
        """Leave no transaction open after an error, nor a connection that was lost."""
        self._forget()
        if is_lost(error.__cause__ or error):
            await self._drop()
        raw = self._raw
        if raw is not None and not raw.is_closed() and raw.is_in_transaction():
            try:
                await raw.execute("ROLLBACK")
            except DRIVER_ERRORS:
                await self._drop()

    def _cut(self) -> None:
        """End the connection without waiting; another will replace it."""
        self._forget()
        if self._raw is not None:
            self._raw.terminate()

    async def _ready(self) -> Raw:
        """Return the connection, replaced if it was lost."""
        known = self._raw is not None and await is_alive(self._raw, self._used)
        if self._raw is None or not known:
            self._forget()
            await self._drop()
            self._raw = await self._links.connect()
        self._used = time.monotonic()
        clock = self._clock
        if isinstance(clock, ServerClock) and (clock.is_due or not known):
            await clock.set(self._raw)  # another connection may lead to another server
        return self._raw

    async def _drop(self) -> None:
        """Give up the connection: it was lost, or does not answer."""
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.terminate()
            await self._links.close(raw)

    async def _run(self, raw: Raw, group: _Group) -> list[Outcome]:
        if group.sent is not None:  # it was committed, as we know by now
            outcomes = self._committed(group.sent)
            self._forget()  # others may have come since
            return outcomes
        try:
            waits = group.exclusive or not group.traced
            made = None if waits else await self._run_ahead(raw, group)
            if made is None:
                made = await self._run_locked(raw, group)
        except Exception as error:
            if not loses_answer(error):  # the server has answered, or was not asked
                group.not_made()
            raise
        return self._committed(made)

    async def _run_ahead(self, raw: Raw, group: _Group) -> _Made | None:
        """Run a group without a transaction; None if it needs one."""
        is_busy = time.monotonic() - self._done < _BUSY
        unknown = [tract for tract in group.tracts if tract not in self._versions]
        found = await self._versions_of(raw, unknown) if unknown else _Rows({}, {})
        self._versions.update(found.versions)
        if len(found.versions) < len(unknown):  # somebody collects: the rows have gone again
            return None
        connection = PostgresConnection(raw, self._trips)
        connection.ahead = True
        transaction = self._begun(connection, group, found.times)
        try:
            outcomes = await running(partial(_run_jobs, group.jobs, transaction), connection)
        except (NeedsTransaction, HalfWrittenError):  # the latter, perhaps, for what has changed
            self._forget()
            return None
        versions = {tract: self._versions[tract] for tract in group.tracts}
        writes = connection.taken()
        trace = _trace(transaction, writes)
        batch = Batch.of(writes) if trace else None
        if batch is None:  # it also takes the locks to tell why a group writes nothing
            self._forget()
            return None
        group.sent = made = _Made(outcomes, transaction, versions, trace)
        self._trips.count += 1
        text, values = batch.guarded(versions)
        if not await raw.fetchval(text, *values):
            group.sent = None
            self._forget()
            if is_busy:
                await asyncio.sleep(min(_SHARE * self._held, _LONGEST_AWAY))
            return None
        group.sent = None
        return made._replace(versions={tract: at + 1 for tract, at in versions.items()})

    async def _versions_of(self, raw: Raw, tracts: Sequence[str]) -> _Rows:
        self._trips.count += 1
        rows = await raw.fetch(_VERSIONS, tracts)
        missing = {*tracts} - {row[0] for row in rows}
        if missing:
            self._trips.count += 2
            await raw.execute(_ADD_TRACTS, [*missing])
            rows += await raw.fetch(_VERSIONS, [*missing])
        return _Rows.of(rows)

    async def _run_locked(self, raw: Raw, group: _Group) -> _Made:
        """Run a group in a transaction that holds the locks of its tracts."""
        connection = PostgresConnection(raw, self._trips, None if group.tracts else _DAY)
        self._trips.count += 2
        if group.exclusive:
            await raw.execute(_BEGIN_ALONE)
        else:
            await raw.execute(_BEGIN)
        versions, times, group.identity = await self._locked(raw, group.tracts)
        since = time.monotonic()
        if any(self._versions.get(tract) != at - 1 for tract, at in versions.items()):
            self._forget()
        transaction = self._begun(connection, group, times)
        outcomes = await running(partial(_run_jobs, group.jobs, transaction), connection)
        await running(lambda _: connection.flush(), connection)
        group.sent = made = _Made(outcomes, transaction, versions, _trace(transaction))
        await raw.execute("COMMIT")
        self._held = time.monotonic() - since
        group.not_made()
        return made

    async def _locked(self, raw: Raw, tracts: Sequence[str]) -> _Rows:
        """Lock tracts; return their rows, with the next versions."""
        if not tracts:
            return _Rows({}, {}, await raw.fetchval(_IDENTITY))
        self._trips.count += 1
        rows = await raw.fetch(_LOCK, tracts)
        if len(rows) < len(tracts):
            self._trips.count += 2
            await raw.execute(_ADD_TRACTS, tracts)
            missing = set(tracts) - {row[0] for row in rows}
            rows += await raw.fetch(_LOCK, sorted(missing))
        return _Rows.of(rows, rows[0][3])

    async def _look_for(self, raw: Raw, group: _Group) -> None:
        """Find out whether an attempt was committed; forget it if it was not.

        One that is still at work holds the locks, and one that has not arrived finds another
        version when it does.
        """
        assert group.sent is not None
        async with raw.transaction():
            locked = await self._locked(raw, group.tracts)
            there = await self._is_there(raw, group, group.sent, locked.versions)
        self._forget()
        if not there:
            group.not_made()

    async def _is_there(
        self, raw: Raw, group: _Group, sent: _Made, versions: Mapping[str, int]
    ) -> bool:
        """Return True if an attempt was committed, asked while its locks are held.

        After a failover a transaction's id may be another's. A trace is its own.
        """
        if sent.trace is not None:
            return await raw.fetchval(sent.trace.text, *sent.trace.values) is not None
        if any(now <= sent.versions[tract] for tract, now in versions.items()):
            return False
        status = await raw.fetchval(_STATUS, group.identity)
        if status == "in progress":
            raise StoreBusyError("the transaction of a lost connection is still at work.")
        return bool(status == "committed")

    def _begun(
        self, connection: PostgresConnection, group: _Group, times: Mapping[str, int]
    ) -> WriteTransaction:
        """Return a transaction that starts with what is known of branches and *times* of tracts."""
        tips, self._tips = self._tips, None  # lost if the transaction fails
        if tips is None:
            tips = Tips(connection)
        tips.connection = connection
        tips.row_times.update(times)
        return WriteTransaction(connection, group.clock(), tips)

    def _committed(self, made: _Made) -> list[Outcome]:
        transaction = made.transaction
        transaction.committed()
        beginning = Beginning(None, transaction.tips, False)
        self._freshness.committed(beginning, transaction, lambda: True)
        self._versions.update(made.versions)
        if transaction.tips.renew():
            self._tips = transaction.tips
        else:
            self._forget()
        self._done = time.monotonic()
        return made.outcomes

    def _forget(self) -> None:
        self._tips, self._versions = None, {}


def _in_doubt(problem: BaseException) -> StoreBusyError:
    found = StoreBusyError(
        "the connection to the server was lost while it was told to commit, and it could not be "
        "reached again within `TractConfig.busy_timeout`. It may have committed: look at the log "
        "before you try again."
    )
    found.__cause__ = problem
    return found


def _run_jobs(jobs: Sequence[Job], transaction: WriteTransaction, _: Connection) -> list[Outcome]:
    outcomes = [_attempt(job, transaction) for job in jobs]
    transaction.finish()
    return outcomes


def _attempt(job: Job, transaction: WriteTransaction) -> Outcome:
    try:
        return Outcome(job.run(transaction), None)
    except TractError as error:
        return Outcome(None, error)
