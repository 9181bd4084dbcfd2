"""Conditions on generation configs as SQLite's JSON functions evaluate them.

A config is stored as canonical JSON, so a value of any type but number equals another
exactly when their JSON texts do. The functions: https://www.sqlite.org/json1.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.types import Text

from tract.models.query import ConfigCondition, Operand, OperandKind
from tract.storage.schema import CommitRow
from tract.storage.statements import RECORDS, Statement, compiled

__all__ = ["matching"]

_CONFIG = type_coerce(CommitRow.generation_config_json, Text)


class _Field(NamedTuple):
    """The expressions for one field: its JSON type (NULL: not there), value, and JSON text."""

    type: ColumnElement[Any]
    value: ColumnElement[Any]
    text: ColumnElement[Any]
    quoted: str
    """A template for what `text` gives for a value's canonical JSON."""


def matching(condition: ConfigCondition) -> Statement:
    """Return the query for the commits of a tract that meet *condition*, oldest first."""
    return compiled(
        RECORDS.where(
            CommitRow.tract_id == bindparam("tract_id"),
            CommitRow.generation_config_json.is_not(None),
            _holds(condition),
        )
        .order_by(CommitRow.created_at)
        .limit(bindparam("limit"))
    )


def _holds(condition: ConfigCondition) -> ColumnElement[bool]:
    field = _field(condition.path)
    operator = condition.operator
    if operator in ("=", "in"):
        return _equals_any(field, condition.operands)
    if operator in ("!=", "not in"):
        # json_type alone tells "not there" from null: what is not there meets no condition
        equal = func.coalesce(_equals_any(field, condition.operands), 0)
        return and_(field.type.is_not(None), not_(equal))
    operand = condition.operands[0]
    return and_(_same_kind(field, operand.kind), field.value.op(operator)(literal(operand.scalar)))


def _equals_any(field: _Field, operands: Sequence[Operand]) -> ColumnElement[bool]:
    """Return whether the field equals one of *operands*, whatever their number."""
    numbers = [item for item in operands if item.kind is OperandKind.NUMBER]
    others = [item for item in operands if item.kind is not OperandKind.NUMBER]
    choices: list[ColumnElement[bool]] = []
    if len(numbers) == 1:
        choices.append(field.value == literal(numbers[0].scalar))
    elif numbers:
        choices.append(field.value.in_(_each(",".join(item.json for item in numbers))))
    if numbers:
        choices = [and_(_same_kind(field, OperandKind.NUMBER), choices[0])]
    texts = [field.quoted.replace("?", item.json) for item in others]
    if len(texts) == 1:
        choices.append(field.text == literal(texts[0]))
    elif texts:
        choices.append(field.text.in_(_each(json.dumps(texts, ensure_ascii=False)[1:-1])))
    return or_(*choices) if choices else false()


def _each(items: str) -> Select[Any]:
    """Return the rows of a JSON array: one bound value, where SQLite limits their number."""
    return select(func.json_each(literal(f"[{items}]")).table_valued("value").c.value)


def _same_kind(field: _Field, kind: OperandKind) -> ColumnElement[bool]:
    if kind is OperandKind.NUMBER:
        return _one_of(field.type, "integer", "real")
    return field.type == "text"


def _one_of(kind: ColumnElement[Any], *names: str) -> ColumnElement[bool]:
    return or_(*(kind == name for name in names))


def _field(path: tuple[str | int, ...]) -> _Field:
    if any(isinstance(part, str) and '"' in part for part in path):
        return _walked(path)
    json_path = "$" + "".join(
        f"[{part}]" if isinstance(part, int) else _label(part) for part in path
    )
    given = literal(json_path)
    # with two paths json_extract gives an array, whose text keeps every escape of the original
    return _Field(
        func.json_type(_CONFIG, given),
        func.json_extract(_CONFIG, given),
        func.json_extract(_CONFIG, given, given),
        "[?,?]",
    )


def _label(key: str) -> str:
    """Return *key* as a quoted label of a JSON path, with JSON's escapes."""
    return "." + json.dumps(key, ensure_ascii=False)


def _walked(path: tuple[str | int, ...]) -> _Field:
    """Return the field by comparing every key: a label with a quote has no portable path."""
    container: ColumnElement[Any] = _CONFIG
    query: Select[Any] = select()
    for depth, part in enumerate(path):
        level = func.json_each(container).table_valued("key", "value", "type", name=f"level{depth}")
        query = query.select_from(level).where(level.c.key == literal(part))
        nested = _one_of(level.c.type, "object", "array")
        container = case((nested, level.c.value), else_=literal("[]"))
    text = case(
        (nested, level.c.value),
        (_one_of(level.c.type, "true", "false"), level.c.type),
        else_=func.json_quote(level.c.value),
    )
    kind, value, json_text = (
        query.add_columns(expression).limit(1).scalar_subquery()
        for expression in (level.c.type, level.c.value, text)
    )
    return _Field(kind, value, json_text, "?")
