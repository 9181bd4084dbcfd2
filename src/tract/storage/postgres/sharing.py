"""Heads that many callers look for at once, while all connections are in use: one trip finds them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from tract.storage.postgres.connection import POSTGRES, PostgresConnection, Trips, waited
from tract.storage.postgres.errors import LOSSES
from tract.storage.postgres.links import Links, Raw
from tract.storage.sql.port import Row
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements.compiled import Statement

__all__ = ["Heads", "SharingConnection"]

_MOST = 512
_FIND = (
    "SELECT item.* , head.* FROM unnest($1::text[], $2::text[]) AS item(tract_id, name) "
    "CROSS JOIN LATERAL ({head}) AS head"
)


@cache
def _text() -> str:
    """Return `sql.HEAD` for many refs at once."""
    form = sql.HEAD.form(POSTGRES)
    columns = form.values({"tract_id": "item.tract_id", "name": "item.name"})
    head = form.sql
    for number, column in reversed([*enumerate(columns, 1)]):
        head = head.replace(f"${number}::VARCHAR", column)
    return _FIND.format(head=head)


class _Asked(NamedTuple):
    tract_id: str
    name: str
    rows: asyncio.Future[list[Row]]


class Heads:
    """Looks up the heads that are asked for while its former trip is under way in the next one."""

    def __init__(self, links: Links, trips: Trips) -> None:
        self._links = links
        self._trips = trips
        self._asked: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    def find(self, tract_id: str, name: str) -> asyncio.Future[list[Row]]:
        """Return the rows of `sql.HEAD`, as they are after this was called."""
        asked = _Asked(tract_id, name, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        self._start()
        return asked.rows

    async def aclose(self) -> None:
        """Wait for a trip whose callers did not."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def _start(self) -> None:
        if self._task is None and self._asked:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():  # by a shutdown, perhaps before its first step
            for asked in self._asked:
                asked.rows.cancel()
            self._asked = []
        self._start()

    async def _run(self) -> None:
        taken: Sequence[_Asked] = []
        try:
            async with self._links.lent() as raw:
                taken, self._asked = self._asked[:_MOST], self._asked[_MOST:]
                found = await self._found(raw, taken)
        except LOSSES as error:
            if not taken:
                taken, self._asked = self._asked, []
            for asked in taken:
                if not asked.rows.done():
                    asked.rows.set_exception(error)
        except BaseException:
            for asked in taken:
                asked.rows.cancel()
            raise
        else:
            for asked in taken:
                if not asked.rows.done():
                    asked.rows.set_result(found.get(asked[:2], []))

    async def _found(self, raw: Raw, taken: Sequence[_Asked]) -> dict[tuple[str, str], list[Row]]:
        self._trips.count += 1
        keys = {asked[:2] for asked in taken}
        rows = await raw.fetch(_text(), [key[0] for key in keys], [key[1] for key in keys])
        return {(row[0], row[1]): [tuple(row)[2:]] for row in rows}


class SharingConnection(PostgresConnection):
    """Takes a connection when it is asked for more than heads, which it finds along with others'."""

    __slots__ = ("_has_taken", "_heads", "_take")

    def __init__(self, heads: Heads, take: Callable[[], Awaitable[Raw]], trips: Trips) -> None:
        self._prepare(trips)
        self._heads = heads
        self._take = take
        self._has_taken = False

    def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        if self._has_taken or statement is not sql.HEAD or "\0" in "".join(parameters.values()):
            self._hold()
            return super().all(statement, **parameters)
        rows: list[Row] = waited(self._heads.find(**parameters))
        self.has_read = True
        return rows

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        self._hold()
        with super().at_one_moment():
            yield

    def _hold(self) -> None:
        if not self._has_taken:
            self.raw: Raw = waited(self._take())
            self._has_taken = True
