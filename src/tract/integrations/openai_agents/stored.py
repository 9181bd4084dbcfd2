"""What the SDK's own stores keep: `SQLiteSession`, `AdvancedSQLiteSession`, `SQLAlchemySession`.

All three have a table of sessions and one of messages, an item's JSON a row. The advanced one lists the
rows of each branch in a third table, and what turns have used in a fourth.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Select, column, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tract.exceptions import ContentValidationError, TractError
from tract.formats.openai_responses.contents import from_responses

__all__ = ["Line", "Source", "StoredItem", "StoredSession", "opened"]

T = TypeVar("T")
_MAIN = "main"

_STRUCTURE = table(
    "message_structure",
    *map(column, ("id", "session_id", "message_id", "branch_id", "sequence_number")),
    column("user_turn_number"),
)
_COUNTS = ("requests", "input_tokens", "output_tokens", "total_tokens")
_DETAILS = ("input_tokens_details", "output_tokens_details")
_USAGE = table(
    "turn_usage",
    *map(column, ("session_id", "branch_id", "user_turn_number", *_COUNTS, *_DETAILS)),
)


@dataclass(frozen=True)
class StoredItem:
    """A row of messages, where it is an item, as a branch shows it."""

    row: Any
    item: dict[str, Any]
    created_at: str
    turn: int | None = None
    usage: dict[str, Any] | None = None
    """What its turn has used, with the last item of that."""


class Line(NamedTuple):
    """A branch of a session, oldest item first."""

    branch: str
    items: list[StoredItem]


class StoredSession(NamedTuple):
    """A session with all of its branches, the first of which is `main`."""

    session_id: str
    created_at: str
    updated_at: str
    lines: list[Line]
    unread: list[str]
    """Rows that are not in the lines."""


class _Message(NamedTuple):
    id: Any
    data: Any
    created_at: Any


class _Place(NamedTuple):
    message: Any
    turn: int | None


@asynccontextmanager
async def opened(
    source: str | os.PathLike[str] | AsyncEngine, sessions_table: str, messages_table: str
) -> AsyncIterator[Source]:
    """Yield what reads the stores of a file, which it cannot write to, or of the caller's engine.

    Raises:
        FileNotFoundError: there is no such file.
        TractError: it has no such tables.
    """
    if isinstance(source, AsyncEngine):
        found = Source(source, sessions_table, messages_table, is_own=False)
        await found.check()
        yield found
        return
    url = await asyncio.to_thread(_url, source)
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        found = Source(engine, sessions_table, messages_table, is_own=True)
        await found.check()
        yield found
    finally:
        await engine.dispose()


def _url(source: str | os.PathLike[str]) -> URL:
    path = Path(source).expanduser()
    if not path.is_file():
        raise FileNotFoundError(path)
    query = {"mode": "ro", "uri": "true"}
    return URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path))}", query=query)


class Source:
    """Stores of sessions in one database.

    Args:
        engine: connects to it.
        sessions_table: the table of sessions.
        messages_table: that of their messages.
        is_own: the engine is one that was made here, for a SQLite file. The messages of others follow one
            another by their times, as in a `SQLAlchemySession`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        sessions_table: str,
        messages_table: str,
        *,
        is_own: bool,
    ) -> None:
        self._engine = engine
        self._sessions = table(
            sessions_table, *map(column, ("session_id", "created_at", "updated_at"))
        )
        self._messages = table(
            messages_table, *map(column, ("id", "session_id", "message_data", "created_at"))
        )
        self._is_own = is_own
        times = [] if is_own else [self._messages.c.created_at]
        self._order = [*times, self._messages.c.id]
        self._has_branches = False

    async def check(self) -> None:
        """Look for the tables."""
        names = set(await self._read(lambda connection: inspect(connection).get_table_names()))
        missing = [each.name for each in (self._sessions, self._messages) if each.name not in names]
        if missing:
            raise TractError(
                f"This is not a store of sessions of the Agents SDK: it has no table {missing[0]!r}. "
                "Name its tables if they are called otherwise."
            )
        self._has_branches = {_STRUCTURE.name, _USAGE.name} <= names

    async def session_ids(self) -> list[str]:
        """Return the ids of all sessions, the oldest first; also of those that have messages only."""
        sessions, messages = self._sessions.c, self._messages.c
        listed = select(sessions.session_id).order_by(sessions.created_at, sessions.session_id)
        strays = select(messages.session_id).distinct().order_by(messages.session_id)
        found = await self._read(
            lambda connection: [*_rows(connection, listed), *_rows(connection, strays)]
        )
        return list(dict.fromkeys(str(row[0]) for row in found))

    async def session(self, session_id: str) -> StoredSession:
        """Return a session, as it is at one moment."""
        return await self._read(lambda connection: self._session(connection, session_id))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.connect() as connection:
            if self._is_own:  # SQLite's driver leaves reads alone, which would see several moments
                await connection.exec_driver_sql("BEGIN")
            return await connection.run_sync(work)

    def _session(self, connection: Connection, session_id: str) -> StoredSession:
        sessions, messages = self._sessions.c, self._messages.c
        times = _rows(
            connection,
            select(sessions.created_at, sessions.updated_at).where(
                sessions.session_id == session_id
            ),
        )
        places, used = self._structure(connection, session_id)
        rows = _rows(
            connection,
            select(messages.id, messages.message_data, messages.created_at)
            .where(messages.session_id == session_id)
            .order_by(*self._order),
        )
        stored = [_Message(*row) for row in rows]
        if not places:
            places[_MAIN] = [_Place(message.id, None) for message in stored]
        lines, unread = _lines(stored, places, used)
        created_at, updated_at = times[0] if times else ("", "")
        named = [f"{session_id}/{each}" for each in unread]
        return StoredSession(session_id, str(created_at), str(updated_at), lines, named)

    def _structure(
        self, connection: Connection, session_id: str
    ) -> tuple[dict[str, list[_Place]], dict[tuple[str, int], dict[str, Any]]]:
        """Return the rows of each branch, oldest branch first, and what the turns of each have used."""
        places: dict[str, list[_Place]] = defaultdict(list)
        if not self._has_branches:
            return places, {}
        of, used = _STRUCTURE.c, _USAGE.c
        rows = _rows(
            connection,
            select(of.branch_id, of.message_id, of.user_turn_number)
            .where(of.session_id == session_id)
            .order_by(of.sequence_number, of.id),
        )
        for branch, message, turn in rows:
            places[branch].append(_Place(message, turn))
        spent = _rows(
            connection,
            select(used.branch_id, used.user_turn_number, *(used[name] for name in _COUNTS))
            .add_columns(*(used[name] for name in _DETAILS))
            .where(used.session_id == session_id),
        )
        return places, {(row[0], row[1]): _usage(row[2:]) for row in spent}


def _rows(connection: Connection, statement: Select[*tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(statement)]


def _usage(values: Sequence[Any]) -> dict[str, Any]:
    """Return what a turn has used, as the SDK's `get_turn_usage` does."""
    counts = dict(zip(_COUNTS, values, strict=False))
    details = zip(_DETAILS, values[len(_COUNTS) :], strict=True)
    return counts | {name: _json(text) for name, text in details if text}


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _lines(
    stored: Sequence[_Message],
    places: dict[str, list[_Place]],
    used: dict[tuple[str, int], dict[str, Any]],
) -> tuple[list[Line], list[str]]:
    """Return the branches, `main` first, and what is in none of them."""
    items = {message.id: item for message in stored if (item := _item(message.data)) is not None}
    messages = {message.id: message for message in stored}
    lines = []
    for branch in dict.fromkeys([_MAIN, *places]):
        found = [place for place in places.get(branch, []) if place.message in items]
        last = {place.turn: number for number, place in enumerate(found)}
        line = Line(branch, [])
        for number, (id_, turn) in enumerate(found):
            at = messages[id_].created_at
            usage = used.pop((branch, turn), None) if turn and last[turn] == number else None
            line.items.append(StoredItem(id_, items[id_], str(at), turn, usage))
        lines.append(line)
    shown = {each.row for line in lines for each in line.items}
    return lines, [*_left(stored, shown, places), *_unspent(used)]


def _left(
    stored: Sequence[_Message], shown: set[Any], places: dict[str, list[_Place]]
) -> Iterator[str]:
    there = {message.id for message in stored}
    yield from (str(message.id) for message in stored if message.id not in shown)
    lost = {place.message for line in places.values() for place in line} - there
    yield from (str(each) for each in sorted(lost))


def _unspent(used: dict[tuple[str, int], dict[str, Any]]) -> Iterator[str]:
    return (f"usage of {branch}, turn {turn}" for branch, turn in used)


def _item(data: Any) -> dict[str, Any] | None:
    """Return an item; None if it is not one that can be committed."""
    try:
        item = json.loads(data)
        if isinstance(item, dict) and from_responses([item]):
            return item
    except (TypeError, ValueError, RecursionError, ContentValidationError):
        pass
    return None
