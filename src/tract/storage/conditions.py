"""Conditions on generation configs as SQLite's JSON functions evaluate them.

The functions: https://www.sqlite.org/json1.html. They have changed over the years; what is
used here gives the same answers from 3.40 to 3.54:

- Numbers are read from JSON on both sides. Releases differ in how they round, so a bound
  double does not always equal the same number in a config.
- Releases before 3.45 cut strings off at a NUL, and later ones take a key that goes on with one
  for the shorter key, so NUL is replaced before reading; see `_nul_free`.
- Escapes in a path's labels were once compared as written, later decoded, and a quote could
  not stand in a label before 3.48; keys that JSON escapes are looked for among all keys.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
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

from tract.exceptions import QueryError
from tract.models.query import ConfigCondition, ConfigPath, Operand, OperandKind
from tract.storage.config_index import narrowed
from tract.storage.json_paths import CONFIG, is_escaped, json_path
from tract.storage.schema import commits
from tract.storage.statement import Statement
from tract.storage.statements import RECORDS

__all__ = ["matching"]

_REWRITES = (("\\\\", "\\u005c"), ("\\u0001", "\\u0001\\u0002"), ("\\u0000", "\\u0001\\u0001"))
"""Applied to JSON text in this order; after the first, a backslash always begins an escape."""


_MAX_WALKED = 60
"""SQLite joins 64 tables at most."""

_REMEMBERED = 128
_REMEMBERED_CONDITIONS = 8
_REMEMBERED_CHARS = 1_000
"""The longest fields and values, as JSON, of a query that is remembered."""


class _Field(NamedTuple):
    """The expressions for one field, all of them free of NUL.

    `type` is its JSON type, NULL where the field is not there. `value` is for numbers and
    strings; `nested` for lists and objects, the JSON text after `_REWRITES`; `text` is a number's
    JSON text, twice in an array, which is how SQLite tells it unread; None where it cannot.
    """

    type: ColumnElement[Any]
    value: ColumnElement[Any]
    nested: ColumnElement[Any]
    text: ColumnElement[Any] | None


def matching(
    *conditions: ConfigCondition, indexed: Collection[ConfigPath] = frozenset()
) -> Statement:
    """Return the query for the commits of a tract that meet all *conditions*, oldest first.

    *indexed* has the fields that have an index. Making its SQL takes longer than running it with
    an index, so what is asked again is remembered.
    """
    make = _remembered if _is_short(conditions) else _statement
    return make(conditions, frozenset(indexed))


def _is_short(conditions: Sequence[ConfigCondition]) -> bool:
    if len(conditions) > _REMEMBERED_CONDITIONS:
        return False
    texts = (
        *(operand.json for condition in conditions for operand in condition.operands),
        *(str(part) for condition in conditions for part in condition.path),
    )
    return sum(map(len, texts)) <= _REMEMBERED_CHARS


def _statement(conditions: Sequence[ConfigCondition], indexed: Collection[ConfigPath]) -> Statement:
    on_indexed = (narrowed(condition) for condition in conditions if condition.path in indexed)
    narrow = [expression for expression in on_indexed if expression is not None]
    order: ColumnElement[Any] = type_coerce(commits.c.created_at, BigInteger)
    if narrow:
        order = order + 0  # else SQLite may take the index on times, to save the sorting
    with_config = (commits.c.generation_config_json.is_not(None),) if conditions else ()
    return Statement(
        lambda: (
            RECORDS.where(
                commits.c.tract_id == bindparam("tract_id"),
                *with_config,
                *narrow,
                *map(_holds, conditions),
            )
            .order_by(order)
            .limit(bindparam("limit"))
        ),
        by_name=True,
    )


_remembered = lru_cache(_REMEMBERED)(_statement)


def _holds(condition: ConfigCondition) -> ColumnElement[bool]:
    field = _field(condition.path)
    operator = condition.operator
    if operator == "exists":
        return field.type.is_not(None)
    if operator in ("=", "in"):
        return _equals_any(field, condition.operands)
    if operator in ("!=", "not in"):
        # json_type alone tells "not there" from null: what is not there meets no condition
        return and_(not_(_equals_any(field, condition.operands)), field.type.is_not(None))
    operand = condition.operands[0]
    if operand.kind is OperandKind.NUMBER:
        return _number(field, field.value.op(operator)(_parsed(operand.json)))
    return _typed(field, "text", field.value.op(operator)(literal(_nul_free(operand.text))))


def _equals_any(field: _Field, operands: Sequence[Operand]) -> ColumnElement[bool]:
    """Return whether the field equals one of *operands*, whatever their number."""
    by_kind: dict[OperandKind, list[Operand]] = {}
    for operand in operands:
        by_kind.setdefault(operand.kind, []).append(operand)
    return or_(false(), *(_equals(field, kind, items) for kind, items in by_kind.items()))


def _equals(field: _Field, kind: OperandKind, operands: Sequence[Operand]) -> ColumnElement[bool]:
    texts = [operand.json for operand in operands]
    if kind is OperandKind.LITERAL:  # JSON's literals are also what json_type calls them
        return _one_of(field.type, *dict.fromkeys(texts))
    if kind is OperandKind.NUMBER:
        small = [operand.json for operand in operands if operand.exact is None]
        large = [_equals_large(field, operand) for operand in operands if operand.exact]
        return or_(
            false(), *large, *([_number(field, _is_in(field.value, small))] if small else ())
        )
    if kind is OperandKind.TEXT:
        plain = [json.dumps(_nul_free(operand.text)) for operand in operands]
        return _typed(field, "text", _is_in(field.value, plain))
    nested = [json.dumps(_rewritten(text)) for text in texts]
    return _typed(field, kind.value, _is_in(field.nested, nested))


def _equals_large(field: _Field, operand: Operand) -> ColumnElement[bool]:
    """Compare by digits: beyond 64 bits SQLite reads integers as doubles."""
    if field.text is None:
        return _number(field, field.value == _parsed(operand.json))
    as_integer = and_(
        field.type == literal("integer"),
        field.text == literal(f"[{operand.exact},{operand.exact}]"),
    )
    if not operand.is_double:
        return as_integer
    return or_(
        as_integer, and_(field.type == literal("real"), field.value == _parsed(operand.json))
    )


def _is_in(value: ColumnElement[Any], texts: Sequence[str]) -> ColumnElement[bool]:
    """Return whether *value* equals one of some JSON *texts*; they are one bound value."""
    if len(texts) == 1:
        return value == _parsed(texts[0])
    items = func.json_each(literal(f"[{','.join(texts)}]")).table_valued("value")
    return value.in_(select(items.c.value))


def _parsed(text: str) -> ColumnElement[Any]:
    return func.json_extract(literal(text), literal("$"))


def _number(field: _Field, comparison: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(comparison, _one_of(field.type, "integer", "real"))


def _typed(field: _Field, kind: str, comparison: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(comparison, field.type == literal(kind))  # the type only of the few that compare


def _one_of(kind: ColumnElement[Any], *names: str) -> ColumnElement[bool]:
    return or_(*(kind == literal(name) for name in names))


def _nul_free(text: str) -> str:
    """Return a text without NUL, in the same order to others as the original.

    It is what SQLite reads from JSON text after `_REWRITES`.
    """
    return text.replace("\1", "\1\2").replace("\0", "\1\1")


def _rewritten(text: str) -> str:
    for old, new in _REWRITES:
        text = text.replace(old, new)
    return text


def _rewritten_config() -> ColumnElement[Any]:
    text: ColumnElement[Any] = CONFIG
    for old, new in _REWRITES:
        text = func.replace(text, literal(old), literal(new))
    return text


def _field(path: tuple[str | int, ...]) -> _Field:
    if any(is_escaped(part) for part in path):
        return _walked(path)
    given = literal(json_path(path))
    # few configs have these characters, and the others are read as they are
    nul_free = case((func.instr(CONFIG, literal("\\u000")) > 0, _rewritten_config()), else_=CONFIG)
    return _Field(
        func.json_type(nul_free, given),
        func.json_extract(nul_free, given),
        func.json_extract(_rewritten_config(), given),
        func.json_extract(nul_free, given, given),
    )


def _walked(path: tuple[str | int, ...]) -> _Field:
    """Return the field by comparing keys where a key has no portable label."""
    if sum(map(is_escaped, path)) > _MAX_WALKED:
        raise QueryError(
            f"Malformed field: more than {_MAX_WALKED} of its keys have quotes, backslashes or "
            "control characters, which is more than SQLite can search through."
        )
    container = _rewritten_config()
    query: Select[Any] = select()
    plain: list[str | int] = []
    for depth, part in enumerate(path):
        if not is_escaped(part) and depth < len(path) - 1:
            plain.append(part)
            continue
        items = func.json_each(*_container_at(container, plain))
        level = items.table_valued("key", "value", "type", name=f"level{depth}")
        key = _nul_free(part) if isinstance(part, str) else part
        query = query.select_from(level).where(level.c.key == literal(key))
        container = case((_is_nested(level.c.type), level.c.value), else_=literal("[]"))
        plain = []
    kind, value = (
        query.add_columns(expression).limit(1).scalar_subquery()
        for expression in (level.c.type, level.c.value)
    )
    return _Field(kind, value, value, None)


def _container_at(
    container: ColumnElement[Any], plain: Sequence[str | int]
) -> tuple[ColumnElement[Any], ...]:
    """Return the arguments with which json_each gives the items at a path, none of a scalar."""
    if not plain:
        return (container,)
    path = literal(json_path(plain))
    # of a scalar, json_each gives the scalar itself, since 3.45 with the path's last key
    nested = _is_nested(func.json_type(container, path))
    return case((nested, container), else_=literal("[]")), path


def _is_nested(kind: ColumnElement[Any]) -> ColumnElement[bool]:
    return _one_of(kind, "object", "array")
