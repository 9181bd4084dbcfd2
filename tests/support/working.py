"""How much work SQLite does for a call: steps of its virtual machine, the same in every run."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import create_async_engine

from support.opening import COUNTER
from tract import TractStore

__all__ = ["Work", "counted"]

_EVERY = 10


class Work:
    """Counts the steps of some connections, in tens."""

    def __init__(self) -> None:
        self.steps = 0

    def connection(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        """Return a connection that is counted; a `factory` for `sqlite3.connect`."""
        connection = sqlite3.Connection(*arguments, **options)
        self.watch(connection)
        return connection

    def watch(self, connection: sqlite3.Connection) -> None:
        """Count the steps of a connection."""
        connection.set_progress_handler(self._add, _EVERY)

    def _add(self) -> None:
        self.steps += _EVERY

    async def of(self, call: Awaitable[object]) -> int:
        """Return the steps that a call takes."""
        before = self.steps
        await call
        return self.steps - before


@asynccontextmanager
async def counted(path: Path) -> AsyncIterator[tuple[TractStore, Work]]:
    """Open a store whose connections are counted."""
    work = Work()
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", connect_args={"factory": work.connection}
    )
    try:
        async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
            yield store, work
    finally:
        await engine.dispose()
