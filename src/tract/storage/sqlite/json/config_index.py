"""Indexes on fields of generation configs, created on demand.

SQLite uses an index on an expression only for queries with the identical expression, including the
JSON path as a literal. So a query on an indexed field gets an extra condition, which the index
answers without missing a match; the exact conditions then decide.
See https://www.sqlite.org/expridx.html
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    column,
    func,
    literal,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects import sqlite

from tract.models.queries.query import (
    Condition,
    ConfigPath,
    Operand,
    OperandKind,
    Source,
    double_json,
)
from tract.storage.sql.configs.language import NOT_STRICT, is_escaped
from tract.storage.sql.statements.compiled import Statement
from tract.storage.sqlite.json.json_paths import json_path, json_text

__all__ = ["INDEXES", "index_sql", "narrowed"]

_LITERAL = String().literal_processor(sqlite.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects have no types
_MARGIN = 2.0**-40
INDEXES = Statement(
    lambda: (
        select(column("name")).select_from(table("sqlite_schema")).where(column("type") == "index")
    )
)


def index_sql(name: str, path: ConfigPath) -> str:
    """Return the SQL that creates the index of a field if it does not exist."""
    # DDL binds nothing: the name is a digest, and the path is quoted by SQLAlchemy.
    return (
        f"CREATE INDEX IF NOT EXISTS {name} ON commits (tract_id, "
        f"json_extract(generation_config_json, {_quoted(path)})) "
        "WHERE generation_config_json IS NOT NULL"
    )


def narrowed(condition: Condition) -> ColumnElement[bool] | None:
    """Return the condition that an index can answer; None if it cannot help."""
    if not condition.operands or any(map(is_escaped, condition.path)):
        return None
    if not all(map(_is_indexed, condition.operands)):
        return None
    extracted = _extracted(condition.path)
    operand = condition.operands[0]
    if condition.operator == "in" or (condition.operator == "=" and operand.large):
        readings = [text for operand in condition.operands for text in _readings(operand)]
        array = literal(f"[{','.join(readings)}]")
        values: Select[Any] = select(func.json_each(array).table_valued("value").c.value)
        return extracted.in_(values)
    operator = {"=": "=", **NOT_STRICT}.get(condition.operator)
    if operator is None:
        return None
    # Some releases cut strings off at a NUL; a bound that is not strict keeps those in.
    value = func.json_extract(literal(f"[{_bound(operator, operand)}]"), literal("$[0]"))
    return extracted.op(operator, is_comparison=True)(value)


def _readings(operand: Operand) -> list[str]:
    """Return the JSON texts of all that equals an operand, which may parse as other doubles."""
    large = operand.large
    return [operand.json] if large is None else [large.digits, large.floor]


def _bound(operator: str, operand: Operand) -> str:
    """Return the JSON text of the bound for values before or after an operand.

    A large integer parses as a double near it, so its bound has a margin.
    """
    if operand.large is None:
        return operand.json
    if operator == ">=":
        floor = float(operand.large.floor)
        return double_json(floor - abs(floor) * _MARGIN)
    ceiling = float(operand.large.ceiling)
    return double_json(ceiling + abs(ceiling) * _MARGIN)


def _is_indexed(operand: Operand) -> bool:
    """Return True if everything that equals or follows an operand is extracted as its own kind."""
    if operand.kind is OperandKind.TEXT:
        return "\0" not in operand.text
    return operand.kind is OperandKind.NUMBER or operand.json in ("true", "false")


def _extracted(path: ConfigPath) -> ColumnElement[Any]:
    return func.json_extract(json_text(Source.CONFIG), literal_column(_quoted(path)))


def _quoted(path: ConfigPath) -> str:
    """Return a path as an SQL literal."""
    assert _LITERAL is not None
    return str(_LITERAL(json_path(path)))
