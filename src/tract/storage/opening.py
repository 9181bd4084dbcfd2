"""Opening a store on whichever engine its path, URL or SQLAlchemy engine names."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from tract.exceptions import StorageError
from tract.models.config import TractConfig
from tract.running.waiting import from_thread
from tract.storage.sql.database import Database
from tract.storage.sqlite.database import now_microseconds
from tract.storage.sqlite.database import open_database as open_sqlite
from tract.storage.sqlite.database import open_engine as open_sqlite_engine

if TYPE_CHECKING:  # its import takes an eighth of that of this package
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["open_database", "open_engine"]

_POSTGRES = re.compile(r"postgres(ql)?(\+\w+)?://")


async def open_database(
    target: str | PathLike[str],
    config: TractConfig,
    clock: Callable[[], int] | None = None,
    *,
    remembers: bool = True,
) -> Database:
    """Open a SQLite file, a database in memory, or a PostgreSQL server's.

    *clock* returns microseconds since 1970-01-01 UTC; by default it is that of the machine that has
    the database. For *remembers*, see `Freshness`.

    Raises:
        StorageError: it cannot be opened, is damaged, or has a newer schema.
    """
    named = fspath(target)
    if isinstance(named, str) and _POSTGRES.match(named):
        module = await _postgres()
        opened: Database = await module.open_database(named, config, clock, remembers=remembers)
        return opened
    return await open_sqlite(target, config, clock or now_microseconds, remembers=remembers)


async def open_engine(
    engine: AsyncEngine,
    config: TractConfig,
    clock: Callable[[], int] | None = None,
    *,
    remembers: bool = True,
) -> Database:
    """Use the connections of an engine; for the rest, see `open_database`.

    Raises:
        StorageError: the engine is of another kind, or its pool has no connection left.
    """
    if engine.dialect.name == "postgresql" and engine.dialect.driver == "asyncpg":
        module = await _postgres()
        opened: Database = await module.open_engine(engine, config, clock, remembers=remembers)
        return opened
    return await open_sqlite_engine(engine, config, clock or now_microseconds, remembers=remembers)


async def _postgres() -> Any:
    """Return the module of the engine, imported on a thread: its driver takes a while.

    Raises:
        StorageError: the driver is not installed.
    """
    executor = ThreadPoolExecutor(1, "tract-load")
    try:
        module = executor.submit(import_module, "tract.storage.postgres.database")
        return await from_thread(module)
    except ModuleNotFoundError as error:
        raise StorageError(
            f"{error.name} is not installed, and PostgreSQL needs it: install "
            "`asynctract[postgres]`."
        ) from error
    finally:
        executor.shutdown(wait=False)
