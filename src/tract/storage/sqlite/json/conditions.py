"""Conditions on generation configs as SQLite's JSON functions evaluate them.

The functions: https://www.sqlite.org/json1.html. They have changed over the years. What is used
here returns the same results from 3.40 to 3.54:

- Numbers are parsed from JSON on both sides. Releases round differently, so a bound double does
  not always equal the same number in a config. All of them parse integers beyond 64 bits as
  doubles, so large integers are compared by their digits, which SQLite returns as text.
- Releases before 3.45 cut strings off at a NUL, and later ones take a key that has a NUL for the
  shorter key before it. So NUL is replaced before reading; see `nul_free`.
- Escapes in a path's labels used to be compared as written and are now decoded, and a label could
  not contain a quote before 3.48. For keys that JSON escapes, both text and path are first
  rewritten to have no escapes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    tuple_,
)

from tract.models.queries.query import Condition, ConfigPath, Operand, OperandKind
from tract.storage.sql.configs.language import COLUMNS, is_escaped, meets, meets_column, nul_free
from tract.storage.sqlite.json.json_paths import json_path, json_text

__all__ = ["holds"]

_Rewrites = Sequence[tuple[str, str]]
_REWRITES: _Rewrites = (
    ("\\\\", "\\u005c"),
    ("\\u0001", "\\u0001\\u0002"),
    ("\\u0000", "\\u0001\\u0001"),
)
"""Applied to JSON text in this order. After the first, a backslash always begins an escape.

What SQLite then reads of a string is `nul_free`."""

_UNESCAPED: _Rewrites = (("\x7f", "\x7f0"), ("\\\\", "\x7f1"), ('\\"', "\x7f2"), ("\\", "\x7f3"))
"""Applied to JSON text in this order. They leave no backslash or quote inside a string."""
_ESCAPED: _Rewrites = tuple((new, old) for old, new in reversed(_UNESCAPED))


class _Field(NamedTuple):
    """The expressions for one field, none of which contains NUL.

    `type` is its JSON type, NULL if the field is missing. `value` is for numbers and strings.
    `nested` is for lists and objects: the JSON text after `_REWRITES`. `text` is a number's JSON
    text, twice in an array, which is how SQLite returns it unparsed.
    """

    type: ColumnElement[Any]
    value: ColumnElement[Any]
    nested: ColumnElement[Any]
    text: ColumnElement[Any]


def holds(condition: Condition) -> ColumnElement[bool]:
    """Return an expression for whether a commit or a tract meets *condition*."""
    if not condition.source.is_json:
        return _column_holds(condition)
    field = _field(json_text(condition.source), condition.path)
    # Only json_type tells a missing field from null; a missing one meets no condition.
    exists = field.type.is_not(None)
    return meets(condition, exists, partial(_equals, field), partial(_ordered, field))


def _column_holds(condition: Condition) -> ColumnElement[bool]:
    column = COLUMNS[condition.source]
    if condition.operator == "contains":
        return func.instr(column, literal(condition.operands[0].text)) > 0

    def equals(_: OperandKind, operands: Sequence[Operand]) -> ColumnElement[bool]:
        return _is_in(column, [operand.json for operand in operands])

    def ordered(operator: str, operand: Operand) -> ColumnElement[bool]:
        return column.op(operator)(_parsed(operand.json))

    return meets_column(condition, column, equals, ordered)


def _equals(field: _Field, kind: OperandKind, operands: Sequence[Operand]) -> ColumnElement[bool]:
    texts = [operand.json for operand in operands]
    if kind is OperandKind.LITERAL:  # json_type calls JSON's literals what they are
        return _one_of(field.type, *dict.fromkeys(texts))
    if kind is OperandKind.NUMBER:
        return _equals_number(field, operands)
    if kind is OperandKind.TEXT:
        plain = [json.dumps(nul_free(operand.text)) for operand in operands]
        return _typed(field, "text", _is_in(field.value, plain))
    nested = [json.dumps(_rewritten(text, _REWRITES)) for text in texts]
    return _typed(field, kind.value, _is_in(field.nested, nested))


def _equals_number(field: _Field, operands: Sequence[Operand]) -> ColumnElement[bool]:
    read: list[str] = []
    doubles: list[str] = []
    digits: list[str] = []
    for operand in operands:
        large = operand.large
        if large is None:
            read.append(operand.json)
            continue
        (read if large.fits_64_bits else digits).append(large.digits)
        if large.is_double:
            doubles.append(large.floor)
    twice = [json.dumps(_twice(number)) for number in digits]
    return or_(
        false(),
        *([_number(field, _is_in(field.value, read))] if read else ()),
        *([_typed(field, "real", _is_in(field.value, doubles))] if doubles else ()),
        *([_typed(field, "integer", _is_in(field.text, twice))] if twice else ()),
    )


def _ordered(field: _Field, operator: str, operand: Operand) -> ColumnElement[bool]:
    """Return an expression for whether the field is before or after *operand*, exactly."""
    if operand.kind is OperandKind.TEXT:
        return _typed(field, "text", field.value.op(operator)(literal(nul_free(operand.text))))
    large = operand.large
    if large is None or large.fits_64_bits:  # others parse to doubles far enough away
        given = operand.json if large is None else large.digits
        return _number(field, field.value.op(operator)(_parsed(given)))
    bound = large.ceiling if operator in ("<", ">=") else large.floor
    return or_(
        _typed(field, "real", field.value.op(operator)(_parsed(bound))),
        _typed(field, "integer", _digits_ordered(field.text, operator, large.digits)),
    )


def _digits_ordered(text: ColumnElement[Any], operator: str, digits: str) -> ColumnElement[bool]:
    """Compare integers by sign, then length, then digits; *text* has the integer twice."""
    its_text = _twice(digits)
    size = tuple_(func.length(text), text)
    its_size = tuple_(literal(len(its_text)), literal(its_text))
    negative = func.substr(text, 2, 1) == literal("-")
    if digits.startswith("-"):
        after, before = or_(not_(negative), size < its_size), and_(negative, size > its_size)
    else:
        after, before = and_(not_(negative), size > its_size), or_(negative, size < its_size)
    return {"<": before, "<=": not_(after), ">": after, ">=": not_(before)}[operator]


def _twice(digits: str) -> str:
    return f"[{digits},{digits}]"


def _is_in(value: ColumnElement[Any], texts: Sequence[str]) -> ColumnElement[bool]:
    """Return an expression for whether *value* equals any of the JSON *texts*, bound as one."""
    if len(texts) == 1:
        return value == _parsed(texts[0])
    items = func.json_each(literal(f"[{','.join(texts)}]")).table_valued("value")
    return value.in_(select(items.c.value))


def _parsed(text: str) -> ColumnElement[Any]:
    return func.json_extract(literal(text), literal("$"))


def _number(field: _Field, comparison: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(comparison, _one_of(field.type, "integer", "real"))


def _typed(field: _Field, kind: str, comparison: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(comparison, field.type == literal(kind))  # checks the type of the few that compare


def _one_of(kind: ColumnElement[Any], *names: str) -> ColumnElement[bool]:
    return or_(*(kind == literal(name) for name in names))


def _rewritten(text: str, rewrites: _Rewrites) -> str:
    for old, new in rewrites:
        text = text.replace(old, new)
    return text


def _rewritten_in_sql(text: ColumnElement[Any], rewrites: _Rewrites) -> ColumnElement[Any]:
    for old, new in rewrites:
        text = func.replace(text, literal(old), literal(new))
    return text


def _field(whole: ColumnElement[Any], path: ConfigPath) -> _Field:
    escaped = [json.dumps(part, ensure_ascii=False) for part in path if is_escaped(part)]
    if not escaped:
        return _field_in(whole, literal(json_path(path)))
    may_be_there = func.instr(whole, literal(escaped[-1])) > 0  # few configs have such a key
    unescaped = case((may_be_there, _rewritten_in_sql(whole, _UNESCAPED)), else_=literal("[]"))
    given = literal(json_path(map(_unescaped, path)))
    # the field's own JSON, with all its escapes: twice in an array, null if the field is missing
    found = _rewritten_in_sql(func.json_extract(unescaped, given, given), _ESCAPED)
    return _field_in(found, literal("$[0]"))._replace(type=func.json_type(unescaped, given))


def _field_in(text: ColumnElement[Any], path: ColumnElement[str]) -> _Field:
    rewritten = _rewritten_in_sql(text, _REWRITES)
    # few configs have these characters; the others are read unchanged
    nul_free = case((func.instr(text, literal("\\u000")) > 0, rewritten), else_=text)
    return _Field(
        func.json_type(nul_free, path),
        func.json_extract(nul_free, path),
        func.json_extract(rewritten, path),
        func.json_extract(nul_free, path, path),
    )


def _unescaped(part: str | int) -> str | int:
    """Return a part of a path as it appears in JSON text after `_UNESCAPED`."""
    if isinstance(part, int):
        return part
    return _rewritten(json.dumps(part, ensure_ascii=False)[1:-1], _UNESCAPED)
