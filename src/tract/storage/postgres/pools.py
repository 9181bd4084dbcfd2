"""Connections on loan from a SQLAlchemy engine's pool."""

from __future__ import annotations

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tract.exceptions import StorageError
from tract.forking import PROCESS
from tract.lifecycle import to_the_end
from tract.models.config import TractConfig
from tract.storage.postgres.errors import DRIVER_ERRORS
from tract.storage.postgres.links import Raw, session
from tract.storage.postgres.targets import shown

__all__ = ["Pool"]

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
