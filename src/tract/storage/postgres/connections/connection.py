"""PostgreSQL's connection for the portable functions of `storage.sql`."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # it has no types
from sqlalchemy import ARRAY, ColumnElement, any_, bindparam
from sqlalchemy.dialects import postgresql

from tract.storage.postgres.connections.batches import Batch, Write
from tract.storage.postgres.connections.links import Raw
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.statements.compiled import Lookup, Statement, Styles

__all__ = ["POSTGRES", "NeedsTransaction", "PostgresConnection", "Trips", "running", "waited"]

T = TypeVar("T")

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects have no types


def _any_of(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return column == any_(bindparam("hashes", type_=ARRAY(type(column.type))))


def _of_tracts(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return column == any_(bindparam("tracts", type_=ARRAY(type(column.type))))


POSTGRES: Styles = Styles(_DIALECT, _DIALECT, postgresql.insert, _any_of, _of_tracts)


class NeedsTransaction(BaseException):
    """A job needs a transaction that is under way, to read or to count what it has written.

    It is no error: nothing that a job catches may stop it.
    """


class Trips:
    """Counts the round trips to the server of all connections of a store."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count: int = 0


class PostgresConnection:
    """A `Connection` over one of the driver's, for functions that `running` runs.

    Writes are kept until they are taken, or until a read that must see them. While *ahead*, there
    is no transaction, and such a read raises `NeedsTransaction`.
    """

    __slots__ = ("_in_block", "_patience", "_trips", "_writes", "ahead", "has_read", "raw")

    def __init__(self, raw: Raw, trips: Trips, patience: float | None = None) -> None:
        self.raw: Raw = raw
        self._prepare(trips, patience)

    def _prepare(self, trips: Trips, patience: float | None = None) -> None:
        self._patience = patience  # seconds that a write may take; None for the usual time
        self.ahead: bool = False
        self.has_read: bool = False
        self._trips = trips
        self._writes: list[Write] = []
        self._in_block = False

    def one(self, statement: Statement, **parameters: Any) -> Row | None:
        rows = self.all(statement, **parameters)
        return rows[0] if rows else None

    def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        if self._writes:
            self._before_reading(parameters.get("tract_id"))
        if any(type(value) is str and "\0" in value for value in parameters.values()):
            return []  # the server takes no NUL in a text, so it has none
        form = statement.forms[POSTGRES]
        found = self._waited(self.raw.fetch(form.sql, *form.values(parameters)))
        self.has_read = True
        return [tuple(record) for record in found]

    def find(
        self, lookup: Lookup, keys: Iterable[bytes | str | int], **parameters: Any
    ) -> list[Row]:
        distinct = [*dict.fromkeys(keys)]
        return self.all(lookup, **parameters, hashes=distinct) if distinct else []

    def run(self, statement: Statement, **parameters: Any) -> None:
        self._writes.append(Write(statement, parameters))

    def change(self, statement: Statement, **parameters: Any) -> int:
        if self.ahead:
            raise NeedsTransaction
        self.flush()
        form = statement.forms[POSTGRES]
        values = form.values(parameters)
        status = self._waited(self.raw.execute(form.sql, *values, timeout=self._patience))
        return int(status.rsplit(" ", 1)[-1])

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Hold a transaction that reads one snapshot."""
        if self.raw.is_in_transaction() or self._in_block:
            yield
            return
        self._waited(self.raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        self._in_block = True
        try:
            yield
        finally:
            self._in_block = False
            if not self.raw.is_closed():
                self._waited(self.raw.execute("COMMIT"))

    @contextmanager
    def lenient_text(self) -> Iterator[None]:
        """Do nothing: the server stores no text that is not valid."""
        yield

    def taken(self) -> list[Write]:
        """Return the writes that have been kept, and forget them."""
        writes, self._writes = self._writes, []
        return writes

    def flush(self) -> None:
        """Send the writes that have been kept, in as few statements as their order allows."""
        writes = self.taken()
        if not writes:
            return
        batch = Batch.of(writes)
        if batch is not None:
            self._waited(self.raw.execute(batch.plain, *batch.values, timeout=self._patience))
            return
        for write in writes:
            form = write.statement.forms[POSTGRES]
            values = form.values(dict(write.parameters))
            self._waited(self.raw.execute(form.sql, *values, timeout=self._patience))

    def _before_reading(self, tract_id: str | None) -> None:
        """See to it that a read in a tract sees what has been written there."""
        if not self.ahead:
            self.flush()
        elif tract_id is None or any(write.tract_id == tract_id for write in self._writes):
            raise NeedsTransaction

    def _waited(self, made: Awaitable[T]) -> T:
        self._trips.count += 1
        answer: T = waited(made)
        return answer


class _Work:
    """What a greenlet is to do, and how that ended."""

    __slots__ = ("connection", "error", "function", "result")

    def __init__(self) -> None:
        self.function: Callable[[Connection], Any] | None = None
        self.connection: Connection | None = None
        self.result: Any = None
        self.error: BaseException | None = None


def _run(work: _Work) -> None:
    """Run one function after another; control goes to the driver in between, with None."""
    while work.function is not None and work.connection is not None:
        try:
            work.result = work.function(work.connection)
        except BaseException as error:  # an interrupt, too, is the caller's
            work.error = error
        work.function = work.connection = None
        waited(None)


def waited(made: Awaitable[T] | None) -> Any:
    """Have the coroutine that runs this greenlet await *made*; return the result."""
    driver = getcurrent().parent
    assert driver is not None
    return driver.switch(made)


class _Runner:
    """A greenlet that runs functions. To make one for each would take a fifth of a read's time."""

    __slots__ = ("_greenlet", "_work")

    def __init__(self) -> None:
        self._work = _Work()
        self._greenlet = greenlet(partial(_run, self._work))

    @property
    def is_free(self) -> bool:
        """Whether it can run another function: not if an interrupt has ended it."""
        return self._work.function is None and not self._greenlet.dead

    async def run(self, function: Callable[[Connection], T], connection: Connection) -> T:
        work, own, driver = self._work, self._greenlet, getcurrent()
        work.function, work.connection = function, connection
        own.parent, own.gr_context = driver, driver.gr_context
        made = own.switch()
        while made is not None:
            try:
                answer = await made
            except BaseException as error:
                made = own.throw(error)
            else:
                made = own.switch(answer)
        own.gr_context = None
        result, problem, work.result, work.error = work.result, work.error, None, None
        if problem is not None:
            raise problem
        done: T = result
        return done


class _Idle(threading.local):
    """The runners of a thread that are free. Only the thread that made a greenlet can run it."""

    def __init__(self) -> None:
        self.runners: list[_Runner] = []


_idle = _Idle()


async def running(function: Callable[[Connection], T], connection: PostgresConnection) -> T:
    """Return the result of *function*, which may wait for the connection."""
    free = _idle.runners
    runner = free.pop() if free else _Runner()
    try:
        return await runner.run(function, connection)
    finally:
        if runner.is_free:
            free.append(runner)
