"""Conditions on generation configs: fields, operators and values, checked before any SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tract.canonical import canonical_json
from tract.exceptions import ContentValidationError, QueryError

__all__ = [
    "ConfigCondition",
    "ConfigField",
    "ConfigPath",
    "Operand",
    "OperandKind",
    "config_condition",
    "config_path",
]

ConfigField = str | tuple[str | int, ...]
"""A dotted path of keys, or a tuple of exact keys and list indexes."""

ConfigPath = tuple[str | int, ...]
"""A field as its keys and list indexes."""

OPERATORS = ("=", "!=", ">", "<", ">=", "<=", "in", "not in")
_LARGE = 2**53
_ORDERING = frozenset({">", "<", ">=", "<="})


class OperandKind(StrEnum):
    """How a value is compared: only with values of the same kind."""

    NUMBER = "number"
    TEXT = "text"
    LITERAL = "literal"
    """A boolean or null."""
    ARRAY = "array"
    """By canonical JSON, as objects are."""
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Operand:
    """A value to compare with: its canonical JSON and, if it is a string, the string.

    `exact` has the digits of a number too large for every integer near it to be a double, and
    `is_double` tells whether it is one itself.
    """

    kind: OperandKind
    json: str
    text: str = ""
    exact: str | None = None
    is_double: bool = True


@dataclass(frozen=True, slots=True)
class ConfigCondition:
    """One condition; `operands` has one item except for `in` and `not in`."""

    path: ConfigPath
    operator: str
    operands: tuple[Operand, ...]


def config_condition(field: ConfigField, operator: str, value: Any) -> ConfigCondition:
    """Check a condition and return it.

    Raises:
        QueryError: the operator is unknown, the field malformed, the value not JSON, or not of a
            type that the operator can compare.
    """
    if operator not in OPERATORS:
        raise QueryError(f"Unsupported operator: {operator!r}. Use one of: {', '.join(OPERATORS)}.")
    path = config_path(field)
    if operator not in ("in", "not in"):
        return ConfigCondition(path, operator, (_operand(operator, value),))
    if isinstance(value, (str, bytes, bytearray, memoryview)) or not isinstance(value, Sequence):
        raise QueryError(
            f"The operator {operator!r} takes a list or tuple of values, not {type(value).__name__}."
        )
    return ConfigCondition(path, operator, tuple(_operand(operator, item) for item in value))


def config_path(field: ConfigField) -> ConfigPath:
    """Return a field as a path.

    Raises:
        QueryError: it is malformed.
    """
    if isinstance(field, str):
        parts: ConfigPath = tuple(field.split("."))
        if "" in parts:
            raise QueryError(
                f"Malformed field: {field!r} has an empty part. Write keys with dots between them, "
                "or give a tuple of exact keys."
            )
    elif isinstance(field, tuple) and field:
        parts = field
    else:
        raise QueryError(
            f"Malformed field: {field!r}. Give a dotted path such as 'response_format.type', "
            "or a tuple of exact keys and list indexes."
        )
    for part in parts:
        _check_part(field, part)
    return parts


def _check_part(field: ConfigField, part: object) -> None:
    if isinstance(part, str):
        try:
            canonical_json(part)
        except ContentValidationError as error:
            raise QueryError(f"Malformed field: {field!r}: {error}") from error
    elif isinstance(part, bool) or not isinstance(part, int) or not 0 <= part < 2**31:
        raise QueryError(
            f"Malformed field: {field!r}: {part!r} is neither a key nor a list index from 0 up."
        )


def _operand(operator: str, value: Any) -> Operand:
    try:
        text = canonical_json(value, "value")
    except ContentValidationError as error:
        raise QueryError(f"The value cannot be compared: {error}") from error
    kind = _kind(value)
    if operator in _ORDERING and kind not in (OperandKind.NUMBER, OperandKind.TEXT):
        raise QueryError(
            f"The operator {operator!r} compares numbers or strings, not {type(value).__name__}. "
            "Use '=', '!=', 'in' or 'not in'."
        )
    if kind is OperandKind.NUMBER and abs(value) >= _LARGE:
        return Operand(kind, text, "", str(int(value)), _is_double(value))
    # str() of an enum's member would be the member's name
    return Operand(kind, text, str.__str__(value) if isinstance(value, str) else "")


def _is_double(value: int | float) -> bool:
    try:
        return float(value) == value
    except OverflowError:
        return False


def _kind(value: Any) -> OperandKind:
    if isinstance(value, str):
        return OperandKind.TEXT
    if value is None or isinstance(value, bool):
        return OperandKind.LITERAL
    if isinstance(value, (int, float)):
        return OperandKind.NUMBER
    return OperandKind.OBJECT if isinstance(value, dict) else OperandKind.ARRAY
