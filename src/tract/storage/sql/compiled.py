"""A statement: its SQL text, made from the tables when it is first needed, and what it binds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement

__all__ = ["Statement"]

_BY_PLACE = sqlite.dialect(paramstyle="qmark")
_BY_NAME = sqlite.dialect(paramstyle="named")


_Bound = tuple[Any, ...] | dict[str, Any]


class _Made(NamedTuple):
    """A statement's text, what it binds itself, and the names of its parameters in their places."""

    sql: str
    bound: dict[str, Any]
    places: Sequence[str]


class Statement:
    """A statement that is built, and its SQL text made, when it first runs.

    `bound` holds the values that SQLAlchemy binds while it compiles (a constant, an OFFSET);
    parameters without a value are given when the statement runs.

    They are bound by place, which takes half the time. One made of what a caller gave is bound
    *by_name*: SQLAlchemy looks for places in the whole text, even where that has a caller's words
    as a literal; and SQLite counts each place, where it counts a name once.
    """

    def __init__(self, clause: Callable[[], ClauseElement], *, by_name: bool = False) -> None:
        self._clause = clause
        self._by_name = by_name

    @cached_property
    def _made(self) -> _Made:
        compiled = self._clause().compile(dialect=_BY_NAME if self._by_name else _BY_PLACE)
        given = compiled.params or {}
        bound = {name: value for name, value in given.items() if value is not None}
        places = getattr(compiled, "positiontup", None)
        return _Made(str(compiled), bound, places or ())

    @cached_property
    def sql(self) -> str:
        """The statement in SQLite's words."""
        return self._made.sql

    @cached_property
    def bound(self) -> dict[str, Any]:
        """Values of its own, by the names of their parameters."""
        return self._made.bound

    @cached_property
    def _binding(self) -> Callable[[dict[str, Any]], _Bound]:
        """What makes the driver's values of those by name."""
        places = self._made.places
        if self._by_name:
            return dict
        if len(places) > 1:
            return itemgetter(*places)
        return lambda values: tuple(values[name] for name in places)

    def values(self, parameters: dict[str, Any]) -> _Bound:
        """Return what is bound where *parameters* are given, as the driver takes it."""
        return self._binding({**self.bound, **parameters} if self.bound else parameters)

    def run(self, connection: sqlite3.Connection, **parameters: Any) -> None:
        """Execute a statement that gives no rows."""
        connection.execute(self.sql, self.values(parameters))

    def all(self, connection: sqlite3.Connection, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return all rows; read to the end, so that no statement stays open."""
        return connection.execute(self.sql, self.values(parameters)).fetchall()

    def one(self, connection: sqlite3.Connection, **parameters: Any) -> tuple[Any, ...] | None:
        """Return the first row of at most one, or None."""
        rows = self.all(connection, **parameters)
        return rows[0] if rows else None
