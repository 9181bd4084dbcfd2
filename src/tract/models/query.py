"""Conditions on generation configs: fields, operators and values, checked before any SQL."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn, cast

from tract.exceptions import ContentValidationError, QueryError, shown
from tract.history.canonical import canonical_json

__all__ = [
    "ConfigCondition",
    "ConfigField",
    "ConfigPath",
    "LargeNumber",
    "Operand",
    "OperandKind",
    "config_condition",
    "config_path",
    "double_json",
    "field_repr",
]

ConfigField = str | tuple[str | int, ...]
"""A dotted path of keys, or a tuple of exact keys and list indexes."""

ConfigPath = tuple[str | int, ...]
"""A field as its keys and list indexes."""

OPERATORS = ("=", "!=", ">", "<", ">=", "<=", "in", "not in")
_LARGE = 2**53
_METHODS = {"in": "in_", "not in": "not_in"}
_SHOWN = 200  # characters of a value that a repr shows
_ORDERING = frozenset({">", "<", ">=", "<="})


class OperandKind(StrEnum):
    """How a value is compared: only with values of its own kind."""

    NUMBER = "number"
    TEXT = "text"
    LITERAL = "literal"
    """A boolean or null."""
    ARRAY = "array"
    """By canonical JSON, as objects are."""
    OBJECT = "object"


class LargeNumber(NamedTuple):
    """An integer that doubles may not hold exactly: its JSON, and the doubles around it.

    `floor` is the largest double at or below it, `ceiling` the smallest at or above it. They are
    equal if the integer is itself a double; beyond the largest double one of them is infinite.
    """

    digits: str
    floor: str
    ceiling: str

    @property
    def is_double(self) -> bool:
        """Whether a double equals the number."""
        return self.floor == self.ceiling

    @property
    def fits_64_bits(self) -> bool:
        """Whether it lies strictly between -(2**63) and 2**63."""
        return abs(int(self.digits)) < 2**63


class Operand(NamedTuple):
    """A value to compare with: its canonical JSON and, for a string, the string itself.

    `large` is set for an integer so large that doubles skip some of its neighbours.
    """

    kind: OperandKind
    json: str
    text: str = ""
    large: LargeNumber | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ConfigCondition:
    """One condition on generation configs, as `config(field)` makes it for `AsyncTract.query`.

    It keeps its own copy of the value. It is neither true nor false: using it with `if` or `and`
    raises a `TypeError`. `operands` has one item, but any number for `in` and `not in`, and none
    for `exists`.
    """

    path: tuple[str | int, ...]
    operator: str
    operands: tuple[Operand, ...]

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is a condition for query(), neither true nor false. Separate several with "
            "commas, query(a, b), and do not join them with `and`, `or` or a chain of comparisons."
        )

    def __repr__(self) -> str:
        term = f"config({field_repr(self.path)})"
        if self.operator == "exists":
            return f"{term}.exists()"
        values = [operand.json for operand in self.operands]
        if self.operator in _METHODS:
            listed = _shown("[" + ",".join(values) + "]")
            return f"{term}.{_METHODS[self.operator]}({listed})"
        sign = "==" if self.operator == "=" else self.operator
        return f"{term} {sign} {_shown(values[0])}"


def field_repr(path: ConfigPath) -> str:
    """Return a path as a caller may write it: dotted if that means the same."""
    dotted = ".".join(map(str, path))
    return repr(dotted if tuple(dotted.split(".")) == path and "" not in path else path)


def _shown(text: str) -> str:
    """Return JSON as a Python literal, shortened if it is long."""
    return repr(json.loads(text)) if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def config_condition(field: ConfigField, operator: str, value: Any) -> ConfigCondition:
    """Check a condition and return it.

    Raises:
        QueryError: the operator is unknown, the field malformed, the value not JSON, or not of a
            type that the operator can compare.
    """
    named = str.__str__(operator) if issubclass(type(operator), str) else ""
    if named not in OPERATORS:
        raise QueryError(
            f"Unsupported operator: {shown(operator)}. Use one of: {', '.join(OPERATORS)}."
        )
    path = config_path(field)
    if named not in ("in", "not in"):
        return ConfigCondition(path, named, (_operand(named, value),))
    items = _items(named, value)
    return ConfigCondition(path, named, tuple(_operand(named, item) for item in items))


def config_path(field: ConfigField) -> ConfigPath:
    """Return a field as a path.

    Raises:
        QueryError: it is malformed.
    """
    kind = type(field)  # `isinstance` would run code of the value's own class
    parts: tuple[object, ...] = ()
    if issubclass(kind, str):
        parts = tuple(str.__str__(field).split("."))
        if "" in parts:
            raise QueryError(
                f"Malformed field: {shown(field)} has an empty part. Write keys with dots between "
                "them, or give a tuple of exact keys."
            )
    elif issubclass(kind, tuple):
        parts = tuple(tuple.__iter__(cast(tuple[object, ...], field)))
    if not parts:
        raise QueryError(
            f"Malformed field: {shown(field)}. Give a dotted path such as 'response_format.type', "
            "or a tuple of exact keys and list indexes."
        )
    return tuple(_checked_part(field, part) for part in parts)


def _checked_part(field: ConfigField, part: object) -> str | int:
    kind = type(part)
    if issubclass(kind, str):
        key = str.__str__(part)
        try:
            canonical_json(key)
        except ContentValidationError as error:
            raise QueryError(f"Malformed field: {shown(field)}: {error}") from error
        return key
    index = int.__index__(cast(int, part)) if issubclass(kind, int) and kind is not bool else -1
    if not 0 <= index < 2**31:
        raise QueryError(
            f"Malformed field: {shown(field)}: {shown(part)} is neither a key nor a list index "
            "from 0 up."
        )
    return index


def _items(operator: str, value: Any) -> list[Any]:
    kind = type(value)
    if not issubclass(kind, Sequence) or issubclass(kind, (str, bytes, bytearray, memoryview)):
        raise QueryError(
            f"The operator {operator!r} takes a list or tuple of values, not {kind.__name__}."
        )
    try:
        return list(value)
    except Exception as error:  # a foreign class may raise anything
        raise QueryError(
            f"The {kind.__name__} could not be read ({type(error).__name__}). Give a list."
        ) from error


def _operand(operator: str, value: Any) -> Operand:
    try:
        text = canonical_json(value, "value")
    except ContentValidationError as error:
        raise QueryError(f"The value cannot be compared: {error}") from error
    given, value = value, json.loads(text)  # in Python's own types
    kind = _kind(value)
    if operator in _ORDERING and kind not in (OperandKind.NUMBER, OperandKind.TEXT):
        raise QueryError(
            f"The operator {operator!r} compares numbers or strings, not {type(given).__name__}. "
            "Use '=', '!=', 'in' or 'not in'."
        )
    if kind is OperandKind.NUMBER and abs(value) >= _LARGE:
        return Operand(kind, text, "", _large(value))
    return Operand(kind, text, value if kind is OperandKind.TEXT else "")


def _large(value: int | float) -> LargeNumber:
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    floor = near if near <= value else math.nextafter(near, -math.inf)
    ceiling = near if near >= value else math.nextafter(near, math.inf)
    return LargeNumber(str(int(value)), double_json(floor), double_json(ceiling))


def double_json(number: float) -> str:
    """Return a double as configs hold it; an infinity as a number that parses to it."""
    return repr(number).replace("inf", "9e999")


def _kind(value: Any) -> OperandKind:
    if isinstance(value, str):
        return OperandKind.TEXT
    if value is None or isinstance(value, bool):
        return OperandKind.LITERAL
    if isinstance(value, (int, float)):
        return OperandKind.NUMBER
    return OperandKind.OBJECT if isinstance(value, dict) else OperandKind.ARRAY
