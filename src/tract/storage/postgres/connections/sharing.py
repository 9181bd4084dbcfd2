"""Heads, which are looked for before anything else.

It takes no greenlet to find one, and where all connections are in use, one trip for many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from tract.storage.postgres.connections.connection import POSTGRES, PostgresConnection, Trips
from tract.storage.postgres.connections.links import Links, Raw
from tract.storage.postgres.errors import LOSSES
from tract.storage.repositories import BranchName
from tract.storage.sql.naming import ref_name
from tract.storage.sql.port import Row
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements.compiled import Statement

__all__ = ["Heads", "InformedConnection", "NeedsConnection"]

_MOST = 512
_FIND = (
    "SELECT item.* , head.* FROM unnest($1::text[], $2::text[]) AS item(tract_id, name) "
    "CROSS JOIN LATERAL ({head}) AS head"
)


@cache
def _text() -> str:
    """Return `sql.HEAD` for many refs at once."""
    form = sql.HEAD.forms[POSTGRES]
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

    async def find(self, head: BranchName) -> list[Row]:
        """Return the rows of `sql.HEAD`, as they are after this was called."""
        parameters = _parameters(head)
        if "\0" in head.tract_id:
            return []  # the server takes no NUL in a text, so it has none
        if not self._links.are_all_lent:
            form = sql.HEAD.forms[POSTGRES]
            async with self._links.lent() as raw:
                self._trips.count += 1
                found = await raw.fetch(form.sql, *form.values(parameters))
            return [*map(tuple, found)]
        rows = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(**parameters, rows=rows))
        self._start()
        answer: list[Row] = await rows
        return answer

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


class NeedsConnection(BaseException):
    """A function reads more than a head that was looked up; no error, as `NeedsTransaction`."""


class InformedConnection(PostgresConnection):
    """Answers what was looked up, and reads the rest over *raw*, if there is one."""

    __slots__ = ("_known", "_rows")

    def __init__(self, raw: Raw | None, trips: Trips, head: BranchName, rows: list[Row]) -> None:
        if raw is not None:
            self.raw: Raw = raw
        self._prepare(trips)
        self._known: BranchName | None = head
        self._rows = rows

    def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        known = self._known
        if statement is sql.HEAD and known is not None and parameters == _parameters(known):
            return self._rows
        self._check()
        return super().all(statement, **parameters)

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        self._check()
        self._known = None  # another moment
        with super().at_one_moment():
            yield

    def _check(self) -> None:
        if not hasattr(self, "raw"):
            raise NeedsConnection


def _parameters(head: BranchName) -> dict[str, Any]:
    return {"tract_id": head.tract_id, "name": ref_name(head.branch)}
