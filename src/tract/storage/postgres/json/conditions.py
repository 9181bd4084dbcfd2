"""Conditions on generation configs as PostgreSQL's JSON functions evaluate them.

The functions: https://www.postgresql.org/docs/current/functions-json.html, and `functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Integer,
    Text,
    and_,
    case,
    cast,
    collate,
    column,
    false,
    func,
    literal,
    literal_column,
    select,
)

from tract.models.queries.query import Condition, ConfigPath, Operand, OperandKind
from tract.storage.postgres.json.functions import readable
from tract.storage.sql.configs.language import (
    COLUMNS,
    NUMBERS,
    OBJECTS,
    meets,
    meets_column,
    nul_free,
)

__all__ = ["holds"]

_FEW_PARTS = 20
"""Longer paths would make expressions so deep that compiling them ends in a RecursionError."""
_FIELD: ColumnElement[Any] = column("field")
_WRITTEN = cast(_FIELD, Text)
"""The field's own JSON text."""
_TYPE = func.json_typeof(_FIELD)
_TEXT = collate(_FIELD.op("#>>", return_type=Text())(literal_column("'{}'")), "C")
_NUMBER = func.tract_number(_WRITTEN)
_IS_REAL = _WRITTEN.op("~")(literal_column("'[.eE]'"))


def holds(condition: Condition) -> ColumnElement[bool]:
    """Return an expression for whether a commit or a tract meets *condition*.

    Of a field it is a subquery, so that the config is parsed once, however often the field is looked at;
    PostgreSQL would merge it with the query around it but for the OFFSET.
    """
    if not condition.source.is_json:
        return _column_holds(condition)
    whole = OBJECTS[condition.source]
    field = (
        select(_field(whole, condition.path).label(_FIELD.key))
        .offset(literal_column("0"))
        .correlate(whole.table)
        .subquery("located")
    )
    met = meets(condition, _FIELD.is_not(None), _equals, _ordered)
    return select(met).select_from(field).scalar_subquery()


def _column_holds(condition: Condition) -> ColumnElement[bool]:
    column = COLUMNS[condition.source]
    if condition.operator == "contains":
        return func.strpos(column, _text(condition.operands[0].text)) > 0
    is_text = condition.source not in NUMBERS

    def read(text: ColumnElement[Any]) -> ColumnElement[Any]:
        return text if is_text else cast(text, BigInteger)

    def given(operand: Operand) -> str:
        return operand.text if is_text else operand.json

    def equals(_: OperandKind, operands: Sequence[Operand]) -> ColumnElement[bool]:
        return _is_in(column, [given(operand) for operand in operands], read)

    def ordered(operator: str, operand: Operand) -> ColumnElement[bool]:
        value = collate(column, "C") if is_text else column
        return value.op(operator, is_comparison=True)(read(_text(given(operand))))

    return meets_column(condition, column, equals, ordered)


def _field(whole: ColumnElement[Any], path: ConfigPath) -> ColumnElement[Any]:
    config: ColumnElement[Any] = func.tract_config(whole)
    parts = [nul_free(part) if isinstance(part, str) else part for part in path]
    if len(parts) > _FEW_PARTS:
        kinds = ["key" if isinstance(part, str) else "index" for part in parts]
        return func.tract_field(config, _texts([str(part) for part in parts]), _texts(kinds))
    for part in parts:
        config = config.op("->")(_text(part) if isinstance(part, str) else literal(part, Integer))
    return config


def _equals(kind: OperandKind, operands: Sequence[Operand]) -> ColumnElement[bool]:
    if kind is OperandKind.NUMBER:
        return _number(_equals_number(operands))
    if kind is OperandKind.TEXT:
        texts = [nul_free(operand.text) for operand in operands]
        return _string(_is_in(_TEXT, texts))
    return _is_in(_WRITTEN, [readable(operand.json) for operand in operands])


def _equals_number(operands: Sequence[Operand]) -> ColumnElement[bool]:
    exact: list[str] = []
    doubles: list[str] = []
    for operand in operands:
        large = operand.large
        exact.append(operand.json if large is None else large.digits)
        if large is None:
            doubles.append(operand.json)
        elif large.is_double:
            doubles.append(large.floor)
    if exact == doubles:
        return _is_in(_NUMBER, exact, func.tract_number)
    return case(
        (_IS_REAL, _is_in(_NUMBER, doubles, func.tract_number)),
        else_=_is_in(_NUMBER, exact, func.tract_number),
    )


def _ordered(operator: str, operand: Operand) -> ColumnElement[bool]:
    if operand.kind is OperandKind.TEXT:
        return _string(_TEXT.op(operator, is_comparison=True)(_text(nul_free(operand.text))))
    large = operand.large
    bound: ColumnElement[Any] = func.tract_number(
        _text(operand.json if large is None else large.digits)
    )
    if large is not None:
        # A double is written with the fewest digits that tell it from others, not in full.
        double = large.ceiling if operator in ("<", ">=") else large.floor
        bound = case((_IS_REAL, func.tract_number(_text(double))), else_=bound)
    return _number(_NUMBER.op(operator, is_comparison=True)(bound))


def _string(comparison: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(comparison, _TYPE == literal_column("'string'"))  # looks at the type of the few


def _number(comparison: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return *comparison* for numbers; it must not run for others, whose text is not one."""
    return case((_TYPE == literal_column("'number'"), comparison), else_=false())


def _is_in(
    value: ColumnElement[Any],
    texts: Sequence[str],
    read: Callable[[ColumnElement[Any]], ColumnElement[Any]] = lambda text: text,
) -> ColumnElement[bool]:
    """Return an expression for whether *value* is what *read* makes of one of *texts*."""
    if len(texts) == 1:
        return value == read(_text(texts[0]))
    items = func.unnest(_texts(texts)).column_valued("item")
    return value.in_(select(read(items)))  # PostgreSQL hashes the rows once for the whole query


def _text(value: str) -> ColumnElement[str]:
    return literal(value, Text)


def _texts(values: Sequence[str]) -> ColumnElement[Any]:
    return literal(list(values), ARRAY(Text))
