"""Connections on loan from a SQLAlchemy engine's pool."""

from __future__ import annotations

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tract.exceptions import StorageError
from tract.models.config import TractConfig
from tract.storage.postgres.links import Raw, session

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
        self.path: str = engine.url.render_as_string(hide_password=True)
        self._engine = engine
        self._settings = session(config)
        self._lent: dict[Raw, AsyncConnection] = {}

    async def make(self) -> Raw:
        try:
            lent = await self._engine.connect()
        except (SQLAlchemyError, AssertionError) as error:  # an AssertionPool's
            raise StorageError(f"the engine gave no connection: {error}", self.path) from error
        try:
            found = (await lent.get_raw_connection()).driver_connection
            assert isinstance(found, asyncpg.Connection)
            raw: Raw = found
            await raw.execute(_SET, [*self._settings], [*self._settings.values()])
            await raw.reset_type_codec("json", schema="pg_catalog")  # the engine's parses it
        except BaseException:
            await _give_up(lent)
            raise
        self._lent[raw] = lent
        return raw

    async def unmake(self, raw: Raw) -> None:
        await _give_up(self._lent.pop(raw))


async def _give_up(lent: AsyncConnection) -> None:
    await lent.invalidate()
    await lent.close()
