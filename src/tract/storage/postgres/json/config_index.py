"""Indexes on fields of generation configs, created on demand.

PostgreSQL uses an index on an expression only for queries with the identical expression, including
the path as a literal. So a query on an indexed field gets an extra condition on the field's
`tract_key`, which the index answers without missing a match; the exact conditions then decide.
See https://www.postgresql.org/docs/current/indexes-expressional.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Text,
    and_,
    any_,
    cast,
    collate,
    column,
    func,
    literal,
    literal_column,
    select,
    table,
)

from tract.models.queries.query import Condition, ConfigPath, Operand, OperandKind
from tract.storage.postgres.json.functions import readable
from tract.storage.sql.configs.language import NOT_STRICT, is_escaped
from tract.storage.sql.statements.compiled import Statement

__all__ = ["INDEXES", "index_sql", "narrowed"]

_KINDS = {OperandKind.NUMBER: ("#", "$"), OperandKind.TEXT: ("s", "t")}
"""Where the keys of a kind begin and end."""


def _indexes() -> Any:
    of_commits = column("indrelid") == literal_column("'commits'::regclass")
    return (
        select(column("relname"))
        .select_from(
            table("pg_index").join(table("pg_class"), column("oid") == column("indexrelid"))
        )
        .where(of_commits, column("indisvalid"))
    )


INDEXES = Statement(_indexes)


def index_sql(name: str, path: ConfigPath) -> str:
    """Return the SQL that creates the index of a field if it does not exist.

    Two that create it at once would each find that it is missing, but for the lock. PostgreSQL
    chooses between indexes by how often each key occurs, which it knows once the table is
    analyzed, and ignores for an index of only those commits that have a config.
    """
    return (
        "DO $$ BEGIN LOCK TABLE commits IN SHARE ROW EXCLUSIVE MODE; "
        f"IF to_regclass('{name}') IS NULL THEN "
        f'CREATE INDEX {name} ON commits (tract_id, ({_key_sql(path)}) COLLATE "C"); '
        "ANALYZE commits; END IF; END $$"
    )


def narrowed(condition: Condition) -> ColumnElement[bool] | None:
    """Return the condition that an index can answer; None if it cannot help."""
    if any(map(is_escaped, condition.path)):
        return None
    key = collate(literal_column(_key_sql(condition.path), Text), "C")
    operands = condition.operands
    if condition.operator in ("=", "in"):
        return key == _any_key(operands)
    operator = NOT_STRICT.get(condition.operator)
    if operator is None:
        return None
    first, end = _KINDS[operands[0].kind]
    bound = _key_of(literal(readable(operands[0].json), Text))
    if operator == ">=":
        return and_(key >= bound, key < literal(end))
    return and_(key >= literal(first), key <= bound)


def _key_of(text: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.tract_key(cast(text, JSON))


def _any_key(operands: Sequence[Operand]) -> ColumnElement[Any]:
    texts = [readable(operand.json) for operand in operands]
    if len(texts) == 1:  # PostgreSQL knows how many rows have a key, but not how many one of some
        return _key_of(literal(texts[0], Text))
    items = func.unnest(literal(texts, ARRAY(Text))).column_valued("item")
    return any_(func.array(select(_key_of(items)).scalar_subquery()))


def _key_sql(path: ConfigPath) -> str:
    parts = "".join(f" -> {_spelled(part)}" for part in path)
    return f"tract_key(tract_config(generation_config_json){parts})"


def _spelled(part: str | int) -> str:
    """Return a part of a path as SQL of letters, digits and backslashes between quotes.

    So nothing in it looks like a parameter or the end of a literal, wherever it stands.
    """
    if isinstance(part, int):
        return str(part)
    return "U&'" + "".join(map(_escaped, part)) + "'"


def _escaped(char: str) -> str:
    return char if char.isascii() and char.isalnum() else f"\\+{ord(char):06x}"
