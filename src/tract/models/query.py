"""Conditions on generation configs: fields, operators and values, checked before any SQL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tract.canonical import canonical_json
from tract.exceptions import ContentValidationError, QueryError

__all__ = ["ConfigCondition", "ConfigField", "Operand", "OperandKind", "config_condition"]

ConfigField = str | tuple[str | int, ...]
"""A dotted path of keys, or a tuple of exact keys and list indexes."""

OPERATORS = ("=", "!=", ">", "<", ">=", "<=", "in", "not in")
_ORDERING = frozenset({">", "<", ">=", "<="})


class OperandKind(StrEnum):
    """How a value is compared."""

    NUMBER = "number"
    TEXT = "text"
    OTHER = "other"
    """By canonical JSON: booleans, null, lists and objects."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A value to compare with; `json` is its canonical JSON."""

    kind: OperandKind
    json: str
    scalar: str | int | float | None = None


@dataclass(frozen=True, slots=True)
class ConfigCondition:
    """One condition; `operands` has one item except for `in` and `not in`."""

    path: tuple[str | int, ...]
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
    path = _path(field)
    if operator not in ("in", "not in"):
        return ConfigCondition(path, operator, (_operand(operator, value),))
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise QueryError(
            f"The operator {operator!r} takes a list or tuple of values, not {type(value).__name__}."
        )
    return ConfigCondition(path, operator, tuple(_operand(operator, item) for item in value))


def _path(field: ConfigField) -> tuple[str | int, ...]:
    if isinstance(field, str):
        parts: tuple[str | int, ...] = tuple(field.split("."))
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
        if "\0" in part:
            raise QueryError(f"Malformed field: {field!r}: SQL cannot search for NUL characters.")
    elif isinstance(part, bool) or not isinstance(part, int) or not 0 <= part < 2**31:
        raise QueryError(
            f"Malformed field: {field!r}: {part!r} is neither a key nor a list index from 0 up."
        )


def _operand(operator: str, value: Any) -> Operand:
    try:
        text = canonical_json(value, "value")
    except ContentValidationError as error:
        raise QueryError(f"The value cannot be compared: {error}") from error
    if isinstance(value, str):
        return Operand(OperandKind.TEXT, text, str(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Operand(OperandKind.NUMBER, text, _sql_number(value))
    if operator in _ORDERING:
        raise QueryError(
            f"The operator {operator!r} compares numbers or strings, not {type(value).__name__}. "
            "Use '=', '!=', 'in' or 'not in'."
        )
    return Operand(OperandKind.OTHER, text)


def _sql_number(value: int | float) -> int | float:
    """Return *value* as SQL can bind it; JSON numbers beyond 64 bits are floats there too."""
    if isinstance(value, float):
        return float(value)
    if -(2**63) <= value < 2**63:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
