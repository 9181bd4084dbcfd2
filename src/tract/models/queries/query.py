"""Conditions on commits: fields, operators and values, checked before any SQL."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn, cast

from tract.exceptions import ContentValidationError, QueryError, shown
from tract.history.canonical import canonical_json, plain_text

__all__ = [
    "Condition",
    "ConfigField",
    "ConfigPath",
    "LargeNumber",
    "Operand",
    "OperandKind",
    "Source",
    "column_condition",
    "config_condition",
    "config_path",
    "double_json",
    "field_repr",
    "term_repr",
]

ConfigField = str | tuple[str | int, ...]
"""A dotted path of keys, or a tuple of exact keys and list indexes."""

ConfigPath = tuple[str | int, ...]
"""A field as its keys and list indexes."""

OPERATORS = ("=", "!=", ">", "<", ">=", "<=", "in", "not in")
TEXT_OPERATORS = ("starts with", "contains")
_LARGE = 2**53
_METHODS = {"in": "in_", "not in": "not_in", "starts with": "startswith", "contains": "contains"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 200  # characters of a value that a repr shows
_ORDERING = frozenset({">", "<", ">=", "<="})


class Source(StrEnum):
    """What of a commit a condition looks at."""

    CONFIG = "config"
    METADATA = "metadata"
    TRACT_METADATA = "tract_metadata"
    """The metadata of the tract itself, where tracts are listed."""
    MESSAGE = "message"
    CONTENT_TYPE = "content_type"
    OPERATION = "operation"
    KEY = "key"
    TOKEN_COUNT = "token_count"
    CREATED_AT = "created_at"

    @property
    def is_json(self) -> bool:
        """Whether it is an object, in which a path leads to a field."""
        return self in _OBJECTS


_OBJECTS = frozenset({Source.CONFIG, Source.METADATA, Source.TRACT_METADATA})


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
class Condition:
    """One condition on commits, as comparing a `Term` makes it for `AsyncTract.query`.

    It keeps its own copy of the value. It is neither true nor false: using it with `if` or `and`
    raises a `TypeError`. `operands` has one item, but any number for `in` and `not in`, and none
    for `exists`. `path` is empty unless `source` is an object.
    """

    path: tuple[str | int, ...]
    operator: str
    operands: tuple[Operand, ...]
    source: Source = Source.CONFIG

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is a condition for query(), neither true nor false. Separate several with "
            "commas, query(a, b), and do not join them with `and`, `or` or a chain of comparisons."
        )

    def __repr__(self) -> str:
        term = term_repr(self.source, self.path)
        if self.operator == "exists":
            return f"{term}.exists()"
        shown_as = _time if self.source is Source.CREATED_AT else _shown
        values = [operand.json for operand in self.operands]
        if self.operator in ("in", "not in"):
            listed = shown_as("[" + ",".join(values) + "]")
            return f"{term}.{_METHODS[self.operator]}({listed})"
        if self.operator in _METHODS:
            return f"{term}.{_METHODS[self.operator]}({shown_as(values[0])})"
        sign = "==" if self.operator == "=" else self.operator
        return f"{term} {sign} {shown_as(values[0])}"


def term_repr(source: Source, path: ConfigPath) -> str:
    """Return a term as a caller writes it."""
    if source.is_json:
        return f"{'config' if source is Source.CONFIG else 'metadata'}({field_repr(path)})"
    return f"Field.{source}"


def _time(text: str) -> str:
    """Return microseconds, or a list of them, as a Python literal."""
    value = json.loads(text)
    if isinstance(value, list):
        return "[" + ", ".join(_time(str(each)) for each in value) + "]"
    return repr(_EPOCH + timedelta(microseconds=value))


def field_repr(path: ConfigPath) -> str:
    """Return a path as a caller may write it: dotted if that means the same."""
    dotted = ".".join(map(str, path))
    return repr(dotted if tuple(dotted.split(".")) == path and "" not in path else path)


def _shown(text: str) -> str:
    """Return JSON as a Python literal, shortened if it is long."""
    return repr(json.loads(text)) if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def config_condition(
    field: ConfigField, operator: str, value: Any, source: Source = Source.CONFIG
) -> Condition:
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
        return Condition(path, named, (_operand(named, value),), source)
    items = _items(named, value)
    return Condition(path, named, tuple(_operand(named, item) for item in items), source)


def column_condition(source: Source, operator: str, value: Any) -> Condition:
    """Check a condition on a column and return it.

    Raises:
        QueryError: the value is not of the column's type.
    """
    items = _items(operator, value) if operator in ("in", "not in") else [value]
    return Condition((), operator, tuple(_of_column(source, item) for item in items), source)


def _of_column(source: Source, value: Any) -> Operand:
    kind = type(value)
    if source is Source.CREATED_AT:
        return Operand(OperandKind.NUMBER, str(_microseconds(value)))
    if source is Source.TOKEN_COUNT:
        if not issubclass(kind, int) or kind is bool or abs(int.__index__(value)) >= 2**63:
            raise QueryError(f"Field.token_count is compared with an integer, not {shown(value)}.")
        return Operand(OperandKind.NUMBER, str(int.__index__(value)))
    if not issubclass(kind, str):
        raise QueryError(f"Field.{source} is compared with a string, not {shown(value)}.")
    text = str.__str__(value)
    try:
        return Operand(OperandKind.TEXT, canonical_json(plain_text(text, "")), text)
    except ContentValidationError as error:
        raise QueryError(f"The value cannot be compared: {error}") from error


def _microseconds(value: Any) -> int:
    try:
        if issubclass(type(value), datetime) and value.utcoffset() is not None:
            return int((value - _EPOCH) // timedelta(microseconds=1))
    except Exception:  # raised by a caller's own time zone class
        pass
    raise QueryError(
        "Field.created_at is compared with a datetime that has a time zone; use datetime.now(UTC), "
        f"or .astimezone(); not {shown(value)}."
    )


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
