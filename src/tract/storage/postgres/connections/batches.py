"""What a transaction writes, as one statement: one trip, and no transaction to begin and end.

Rows go as arrays, one for each column. Guarded, the statement writes only if no tract has changed
since its version was read; the locks that it takes make that so until it has committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Table

from tract.storage.schema import spool, tracts
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import refs
from tract.storage.sql.statements.compiled import Insertion, Statement
from tract.storage.sql.statements.tracts import TOUCH_TRACT

__all__ = ["Batch", "Write"]

_GUARD_OF_ONE = (
    "guard AS (UPDATE tracts SET version = version + 1 "
    "WHERE tract_id = $1::text AND version = $2::bigint RETURNING true AS holds)"
)
"""An update waits for others of its row, and then looks at the row again."""
_GUARD_OF_MANY = (
    "locked AS (SELECT tract_id, version FROM tracts WHERE tract_id = ANY($1::text[]) "
    "ORDER BY tract_id FOR UPDATE), "
    "guard AS (SELECT true AS holds FROM locked "
    "JOIN unnest($1::text[], $2::bigint[]) AS known(tract_id, version) "
    "ON locked.tract_id = known.tract_id AND locked.version = known.version "
    "HAVING count(*) = cardinality($1::text[])), "
    "turned AS (UPDATE tracts SET version = version + 1 FROM guard "
    "WHERE tract_id = ANY($1::text[]){but})"
)
"""All or nothing; the locks are taken in order, so that no two statements wait for each other.

A statement changes a row once. So the tracts whose rows it touches get their version there.
"""


class Write(NamedTuple):
    """A statement that changes rows, and its parameters."""

    statement: Statement
    parameters: Mapping[str, Any]

    @property
    def tract_id(self) -> str | None:
        """The tract whose rows it changes; None for rows that belong to none."""
        tract_id: str | None = self.parameters.get("tract_id", self.parameters.get("of_tract"))
        return tract_id


class _Shape(NamedTuple):
    """What a batch's text depends on: a statement, and whether it writes a single row."""

    statement: Statement
    is_one: bool


class Batch:
    """Writes as one statement."""

    def __init__(self, by_statement: Mapping[Statement, Sequence[Mapping[str, Any]]]) -> None:
        self._shapes = tuple(_Shape(each, len(rows) == 1) for each, rows in by_statement.items())
        self.values: list[Any] = []
        """Its parameters; guarded, it takes two more before them."""
        for (statement, is_one), rows in zip(self._shapes, by_statement.values(), strict=True):
            names = _names(statement)
            if is_one:
                self.values += [rows[0][name] for name in names]
            else:
                self.values += [[row[name] for row in rows] for name in names]

    @classmethod
    def of(cls, writes: Sequence[Write]) -> Batch | None:
        """Return *writes* as a batch; None if they cannot be made at once.

        Those that add rows can, whatever their order, and those of `_CHANGES`.
        """
        by_statement: dict[Statement, list[Mapping[str, Any]]] = {}
        for statement, parameters in writes:
            if not isinstance(statement, Insertion) and statement not in _CHANGES:
                return None
            by_statement.setdefault(statement, []).append(parameters)
        if TOUCH_TRACT in by_statement:  # first, where the guard looks for it
            by_statement = {TOUCH_TRACT: by_statement.pop(TOUCH_TRACT), **by_statement}
        tables = [_table_of(statement) for statement in by_statement]
        if len(set(tables)) < len(tables):  # one row could be changed twice
            return None
        if any(_is_changed_twice(each, rows) for each, rows in by_statement.items()):
            return None
        return cls({each: _without_twins(each, rows) for each, rows in by_statement.items()})

    @property
    def plain(self) -> str:
        """The statement, for a transaction that holds the locks."""
        return _text(self._shapes, None)

    def guarded(self, versions: Mapping[str, int]) -> tuple[str, list[Any]]:
        """Return the statement that holds only for these *versions* of tracts, and its parameters.

        It returns a row if it holds.
        """
        touches = bool(self._shapes) and self._shapes[0].statement is TOUCH_TRACT
        if len(versions) == 1 and not touches:
            [(tract_id, version)] = versions.items()
            return _text(self._shapes, _GUARD_OF_ONE), [tract_id, version, *self.values]
        known = [[*versions], [*versions.values()]]
        but = ""
        if touches:
            others = "$3::text" if self._shapes[0].is_one else "ALL($3::text[])"
            but = f" AND tract_id <> {others}"
        return _text(self._shapes, _GUARD_OF_MANY.format(but=but)), [*known, *self.values]


def _table_of(statement: Statement) -> Table:
    return statement.table if isinstance(statement, Insertion) else _CHANGES[statement].table


def _names(statement: Statement) -> Sequence[str]:
    return statement.columns if isinstance(statement, Insertion) else _CHANGES[statement].names


def _without_twins(
    statement: Statement, rows: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """Return one row per key, in the order of keys: so no two statements wait for each other."""
    if len(rows) == 1 or not isinstance(statement, Insertion) or statement.instead is None:
        return rows
    keys = [column.name for column in statement.table.primary_key]
    of_key = {tuple(row[name] for name in keys): row for row in rows}
    return [of_key[key] for key in sorted(of_key)]


class _Change(NamedTuple):
    """A statement that changes rows, as part of a batch; *names* begin with *keys* of a row's key."""

    table: Table
    names: Sequence[str]
    kinds: Sequence[str]
    text: str
    keys: int = 2


def _is_changed_twice(statement: Statement, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return True if one of a batch's rows would change what another of them does."""
    if isinstance(statement, Insertion):
        return False
    change = _CHANGES[statement]
    key = change.names[: change.keys]
    return len({tuple(row[name] for name in key) for row in rows}) < len(rows)


_CHANGES: Mapping[Statement, _Change] = {
    sql.ADVANCE_BRANCH: _Change(
        sql.REFS,
        ("of_tract", "of_name", "to", "now"),
        ("text", "text", "bytea", "bigint"),
        "UPDATE refs SET commit_hash = item.to_hash, updated_at = item.moved_at "
        "FROM {rows} AS item(of_tract, of_name, to_hash, moved_at){guard} "
        "WHERE refs.tract_id = item.of_tract AND refs.name = item.of_name",
    ),
    refs.MOVE_REF: _Change(
        sql.REFS,
        ("of_tract", "of_name", *(f"new_{column}" for column in refs.MOVED)),
        ("text", "text", "bytea", "bigint", "bigint", "bigint", "bytea", "text", "text"),
        f"UPDATE refs SET {', '.join(f'{column} = item.{column}' for column in refs.MOVED)} "
        f"FROM {{rows}} AS item(of_tract, of_name, {', '.join(refs.MOVED)}){{guard}} "
        "WHERE refs.tract_id = item.of_tract AND refs.name = item.of_name",
    ),
    refs.DELETE_REF: _Change(
        sql.REFS,
        ("tract_id", "name"),
        ("text", "text"),
        "DELETE FROM refs USING {rows} AS item(of_tract, of_name){guard} "
        "WHERE refs.tract_id = item.of_tract AND refs.name = item.of_name",
    ),
    sql.DROP_SPOOL: _Change(
        spool,
        ("tract_id", "stream_id"),
        ("text", "text"),
        "DELETE FROM spool USING {rows} AS item(of_tract, of_stream){guard} "
        "WHERE spool.tract_id = item.of_tract AND spool.stream_id = item.of_stream",
    ),
    TOUCH_TRACT: _Change(
        tracts,
        ("of_tract", "first", "last", "made"),
        ("text", "bigint", "bigint", "bigint"),
        "UPDATE tracts SET {turn}updated_at = item.last_time, "
        "created_at = coalesce(nullif(created_at, 0), item.first_time), "
        "commits = commits + item.made + (SELECT count(*) FROM commits AS before "
        "WHERE before.tract_id = item.of_tract AND before.created_at > tracts.updated_at "
        "AND before.created_at < item.first_time) "
        "FROM {rows} AS item(of_tract, first_time, last_time, made){guard} "
        "WHERE tracts.tract_id = item.of_tract",
        keys=1,
    ),
}
"""Those that advance, move and delete refs, drop streams, and say in a tract's row what was done."""
_FILL = (
    "UPDATE {table} SET {column} = item.{column} FROM {rows} AS item({columns}){guard} "
    "WHERE {table}.{key} = item.{key} AND octet_length({table}.{column}) = 0"
)
_ADD = "INSERT INTO {table} ({columns}) SELECT item.* FROM {rows} AS item{guard}{clash}"


@lru_cache(maxsize=512)
def _text(shapes: tuple[_Shape, ...], guard: str | None) -> str:
    number = 1 if guard is None else 3
    parts = [] if guard is None else [guard]
    for index, shape in enumerate(shapes):
        filled = _filled(shape, number, ", guard" if guard else "")
        if filled is not None:
            parts.append(f"filled_{index} AS ({filled})")
        part, number = _part(shape, number, ", guard" if guard else "")
        parts.append(f"written_{index} AS ({part})")
    return f"WITH {', '.join(parts)} SELECT {'true' if guard is None else 'holds FROM guard'}"


def _filled(shape: _Shape, number: int, guard: str) -> str | None:
    """Return the text that fills rows whose bytes are empty; None if the statement does not.

    `ON CONFLICT DO UPDATE` would lock every row that is there already, and transactions that add
    the same contents would wait for each other.
    """
    statement = shape.statement
    column = statement.filling if isinstance(statement, Insertion) else None
    if column is None:
        return None
    assert isinstance(statement, Insertion)
    return _FILL.format(
        table=f'"{statement.table.name}"',
        column=f'"{column}"',
        key=next(f'"{each.name}"' for each in statement.table.primary_key),
        rows=_rows(shape, number),
        columns=", ".join(f'"{name}"' for name in statement.columns),
        guard=guard,
    )


def _rows(shape: _Shape, number: int) -> str:
    """Return the text for the rows of a statement, whose first parameter has that number."""
    kinds = _kinds(shape.statement)
    each = [f"${at}::{kind}" for at, kind in enumerate(kinds, number)]
    return f"(VALUES ({', '.join(each)}))" if shape.is_one else f"unnest({'[], '.join(each)}[])"


def _part(shape: _Shape, number: int, guard: str) -> tuple[str, int]:
    """Return the text for one statement, and the number of the next parameter."""
    statement = shape.statement
    rows = _rows(shape, number)
    number += len(_kinds(statement))
    if not isinstance(statement, Insertion):
        turn = "version = version + 1, " if guard else ""
        return _CHANGES[statement].text.format(rows=rows, guard=guard, turn=turn), number
    clash = ""
    if statement.instead is not None:
        keys = ", ".join(f'"{column.name}"' for column in statement.table.primary_key)
        changed = ", ".join(f'"{name}" = excluded."{name}"' for name in statement.instead)
        clash = f" ON CONFLICT ({keys}) DO {f'UPDATE SET {changed}' if changed else 'NOTHING'}"
    table = f'"{statement.table.name}"'
    columns = ", ".join(f'"{name}"' for name in statement.columns)
    text = _ADD.format(table=table, columns=columns, rows=rows, guard=guard, clash=clash)
    return text, number


_KINDS = {"LargeBinary": "bytea", "BigInteger": "bigint", "JSON": "json"}


def _kinds(statement: Statement) -> Sequence[str]:
    if not isinstance(statement, Insertion):
        return _CHANGES[statement].kinds
    types = (type(statement.table.c[name].type).__name__ for name in statement.columns)
    return [_KINDS.get(name, "text") for name in types]
