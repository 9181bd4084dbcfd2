"""Connections to the server: made, checked, and replaced when they are lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol, TypeAlias

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tract.exceptions import StorageError
from tract.models.config import TractConfig
from tract.running.forking import PROCESS
from tract.running.lifecycle import to_the_end
from tract.storage.postgres.errors import DRIVER_ERRORS, explained, is_lost
from tract.storage.postgres.targets import PostgresTarget, quoted, shown

__all__ = [
    "Links",
    "Pool",
    "Raw",
    "Server",
    "Source",
    "drop",
    "is_alive",
    "is_due",
    "session",
    "until",
]

_IDLE = 30.0
"""Seconds after which a connection may have been cut off, as by a firewall, and is checked."""
_ANSWER = 5.0  # seconds that a check waits
_SPARE = 10.0
"""Seconds that a statement may take beyond those that it waits for locks. Then nothing comes back:
a firewall may drop what it has forgotten without telling anybody."""
_REFUSALS: tuple[type[Exception], ...] = (*DRIVER_ERRORS, ValueError)  # also of a URL
_PAUSE = 0.05  # seconds between attempts to connect
_LONG_AGO = float("-inf")
_LONGEST = 2**31 - 1  # milliseconds; the server takes no more

Raw: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection of the driver's."""


class Source(Protocol):
    """Makes connections to one database."""

    path: str
    """Names the database in errors, without a password."""

    async def make(self) -> Raw:
        """Return a connection whose sessions commit durably and find the tables."""

    async def unmake(self, raw: Raw) -> None:
        """Close a connection, or give it back to its owner as it was."""


class Server:
    """A server that is connected to directly."""

    def __init__(self, target: PostgresTarget, config: TractConfig) -> None:
        self._target = target
        self._settings = None if target.pooled else session(config, target.schema)
        if target.read_only and self._settings is not None:
            self._settings["default_transaction_read_only"] = "on"
        self.path: str = target.path
        self._patience = config.busy_timeout

    async def make(self) -> Raw:
        target = self._target
        raw: Raw = await asyncpg.connect(
            target.url,
            statement_cache_size=0 if target.pooled else 1000,
            max_cached_statement_lifetime=0,
            server_settings=self._settings,
            timeout=self._patience + _SPARE,
            command_timeout=self._patience + _SPARE,
        )
        PROCESS.opened(raw)  # a child that dropped it would take it from the parent's event loop
        return raw

    async def unmake(self, raw: Raw) -> None:
        PROCESS.closed(raw)
        try:
            await raw.close(timeout=_ANSWER)
        except DRIVER_ERRORS:
            raw.terminate()  # one that does not answer is cut off


def session(config: TractConfig, schema: str | None = None) -> dict[str, str]:
    """Return the settings of a session. Commits are durable, whatever the server's default is."""
    found = {}
    if schema is not None:
        found = {"search_path": quoted(schema), "application_name": "asynctract"}
    patience = str(round(min(max(config.busy_timeout * 1000, 1), _LONGEST)))  # 0 is for ever
    return found | {"synchronous_commit": "on", "lock_timeout": patience}


class Links:
    """Lends connections for reading, and keeps those that are not in use."""

    def __init__(self, source: Source, config: TractConfig) -> None:
        self._source = source
        self.path: str = source.path
        self.patience: float = config.busy_timeout
        """Seconds that a call waits for a server that cannot be reached."""
        self._idle: list[tuple[Raw, float]] = []
        self._room = asyncio.Semaphore(config.readers)
        self.closed: bool = False

    @property
    def are_all_lent(self) -> bool:
        """Whether a caller has to wait for a connection to read."""
        return self._room.locked()

    async def connect(self) -> Raw:
        """Return a new connection.

        Raises:
            StorageError: the server cannot be reached, or refuses.
        """
        try:
            return await self._source.make()
        except _REFUSALS as error:
            raise explained(error, self.path) from error

    async def close(self, raw: Raw) -> None:
        """Close a connection that `connect` has made."""
        await self._source.unmake(raw)

    def lent(self) -> AbstractAsyncContextManager[Raw]:
        """Lend a connection for reading; at most `TractConfig.readers` are lent at once."""
        return _Loan(self)

    async def take(self) -> Raw:
        """Return a connection for reading, for `give_back`."""
        await self._room.acquire()
        if self._idle:
            raw, since = self._idle[-1]
            if not (raw.is_closed() or is_due(since)):
                self._idle.pop()
                return raw
        try:
            return await self._taken()
        except BaseException:
            self._room.release()
            raise

    async def give_back(self, raw: Raw, error: BaseException | None) -> None:
        """Take back a connection, and the *error* that its use has ended with."""
        try:
            if error is not None and is_lost(error):
                raw.terminate()
            if raw.is_closed() or self.closed:
                await self._source.unmake(raw)
                return
            # what a caller's end interrupts may leave a transaction open
            is_cut = error is not None and not isinstance(error, Exception)
            is_cut = is_cut or raw.is_in_transaction()
            self._idle.append((raw, _LONG_AGO if is_cut else time.monotonic()))
        finally:
            self._room.release()

    async def _taken(self) -> Raw:
        while self._idle:
            raw, since = self._idle.pop()
            try:
                if await is_alive(raw, since):
                    return raw
            except BaseException:
                self._idle.append((raw, _LONG_AGO))
                raise
            await self._source.unmake(raw)
        return await self.connect()

    async def aclose(self) -> None:
        """Close all connections; none may be in use."""
        self.closed = True
        idle, self._idle = self._idle, []
        for raw, _ in idle:
            await self._source.unmake(raw)

    def abandon(self) -> None:
        """Close without waiting."""
        self.closed = True
        for raw, _ in self._idle:
            drop(raw)


class _Loan(AbstractAsyncContextManager[Raw]):
    """A connection that is lent in a block. A generator would take three times as long."""

    __slots__ = ("_links", "_raw")

    def __init__(self, links: Links) -> None:
        self._links = links

    async def __aenter__(self) -> Raw:
        self._raw = await self._links.take()
        return self._raw

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._links.give_back(self._raw, error)


def drop(raw: Raw) -> None:
    """End a connection without waiting, even if its event loop is closed."""
    PROCESS.closed(raw)
    with suppress(RuntimeError):
        raw.terminate()


def is_due(since: float) -> bool:
    """Return True if a connection that was last used *since* may have been cut off unnoticed."""
    return time.monotonic() - since >= _IDLE


async def is_alive(raw: Raw, since: float) -> bool:
    """Return True if a connection that was last used *since* can be used.

    If it was checked, it is in no transaction.
    """
    if raw.is_closed():
        return False
    if not is_due(since):
        return True
    try:
        await raw.execute("SELECT 1", timeout=_ANSWER)
        if raw.is_in_transaction():
            await raw.execute("ROLLBACK", timeout=_ANSWER)
    except DRIVER_ERRORS:
        raw.terminate()
        return False
    return True


async def until(deadline: float, error: BaseException) -> None:
    """Wait a moment before another attempt; after *deadline*, raise *error* instead."""
    if time.monotonic() >= deadline:
        raise error
    await asyncio.sleep(_PAUSE)


_SET = (
    "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS new(name, value)"
)


class Pool:
    """A `Source` whose connections an application owns.

    A connection that was lent is not used again by others: the pool replaces it. So nothing has to
    be put back as it was.
    """

    def __init__(self, engine: AsyncEngine, config: TractConfig) -> None:
        self.path: str = shown(engine.url)
        self._engine = engine
        self._settings = session(config)
        self._lent: dict[Raw, AsyncConnection] = {}

    async def make(self) -> Raw:
        lent = await self._borrowed()
        try:
            found = (await lent.get_raw_connection()).driver_connection
            assert isinstance(found, asyncpg.Connection)
            raw: Raw = found
            if raw in self._lent:
                raise StorageError(
                    "the engine's pool lends one connection to all. Use its default pool, or "
                    "`NullPool`.",
                    self.path,
                )
            await raw.execute(_SET, [*self._settings], [*self._settings.values()])
            await raw.reset_type_codec("json", schema="pg_catalog")  # the engine's parses it
        except StorageError:
            await lent.close()
            raise
        except BaseException:
            await to_the_end(_give_up(lent))
            raise
        PROCESS.lent(raw)
        self._lent[raw] = lent
        return raw

    async def _borrowed(self) -> AsyncConnection:
        try:
            return await self._engine.connect()
        except (SQLAlchemyError, AssertionError) as error:  # an AssertionPool's
            cause = error.orig and error.orig.__cause__ if isinstance(error, DBAPIError) else None
            if isinstance(cause, DRIVER_ERRORS):
                raise cause from None
            raise StorageError(
                f"the engine gave no connection: {error}. Its pool must have as many as "
                "`TractConfig.readers`, and two more.",
                self.path,
            ) from error

    async def unmake(self, raw: Raw) -> None:
        PROCESS.closed(raw)
        await to_the_end(_give_up(self._lent.pop(raw)))


async def _give_up(lent: AsyncConnection) -> None:
    """Have the pool replace a connection; cut short, it would count as lent for ever."""
    await lent.invalidate()
    await lent.close()
