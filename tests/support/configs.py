"""Generation configs and queries on them: examples, and the meaning of queries in plain Python."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

MISSING = object()
ORDERING: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


class Query(NamedTuple):
    """The arguments of `query_by_config`."""

    field: str | tuple[str | int, ...]
    operator: str
    value: Any


def satisfies(config: dict[str, Any] | None, query: Query) -> bool:
    """Return True if a query finds a commit with *config*: the meaning of every operator."""
    path = query.field.split(".") if isinstance(query.field, str) else query.field
    found = MISSING if config is None else _lookup(config, tuple(path))
    if found is MISSING:
        return False
    if query.operator in ORDERING:
        if _kind(found) != _kind(query.value):
            return False
        return bool(ORDERING[query.operator](found, query.value))
    values = query.value if query.operator in ("in", "not in") else [query.value]
    equal = any(_equal(found, value) for value in values)
    return equal if query.operator in ("=", "in") else not equal


def _lookup(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        if isinstance(part, str) and isinstance(value, dict):
            value = value.get(part, MISSING)
        elif isinstance(part, int) and isinstance(value, (list, tuple)) and part < len(value):
            value = value[part]
        else:
            return MISSING
    return value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", type(None): "null", dict: "object"}.get(type(value), "array")


def _equal(found: Any, value: Any) -> bool:
    if _kind(found) != _kind(value):
        return False
    if _kind(found) == "number":
        return bool(found == value)
    return _text(found) == _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


KEYS: list[str] = [
    *("temperature", "a", "b", "a.b", "[0]", "0", "$", "#", "", "*", "$.a", "'", "%", "_", ";--"),
    *('"', 'q"uote', "back\\", "\\", "\\u0000", "\n", "\0", "a\0", "a\0b", "\1", "\1\1", "\x7f"),
    *("é", "\U0001f600", '"; DROP TABLE commits; --'),
]
TEXTS: list[str] = [
    *("", "a", "high", "1", "1.0", "true", "null", "[1]", "{}", '"a"', "%", "_", "'", '"', "\\"),
    *("\0", "a\0", "a\0b", "a\1", "a\1\1", "a\1\2", "\1", "a\2", "a\\u0000", "a\\u0001", "\n"),
    *("\x7f", "\x7f0", "\x7f3n", "é", "\ud7ff", "\ue000", "\U0001f600", "?", "[?,?]"),
]
NUMBERS: list[int | float] = [
    *(0, 0.0, -0.0, 1, 1.0, -1, 2, 0.1, 0.3, 0.30000000000000004, 0.7, 1e22, 10**22, 1e308, -1e308),
    *(5e-324, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2**63, float(2**63), -(2**63), 2**64),
    *(2**53 - 1, 2**63 - 2, 2**63 + 1, 2**63 + 1025, -(2**63) - 1, -(2**63) + 1, float(-(2**63))),
    *(2**64 - 1, 2**64 + 1, -(2**64), -(2**64) - 1, float(2**64), 10**30, 10**30 + 1, 1e30),
    *(int(1e308), int(1e308) + 1, 2**1024 - 1, 2**1024, 10**400, 10**400 + 1, -(10**400)),
    *(1.7976931348623157e308, -1.7976931348623157e308, math.nextafter(2.0**63, 0)),
]

keys = st.sampled_from(KEYS) | st.text(max_size=3)
numbers = (
    st.sampled_from(NUMBERS)
    | st.integers(-(2**70), 2**70)
    | st.integers(-3, 3).flatmap(
        lambda near: st.sampled_from([2**53, 2**63, 2**64]).map(near.__add__)
    )
    | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.sampled_from(TEXTS) | st.text(max_size=3)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
configs = st.dictionaries(keys, values, max_size=4)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    """Return every path into *value* with the value at it."""
    found: list[tuple[tuple[str | int, ...], Any]] = [(path, value)] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        found.extend(places(item, (*path, key)))
    return found


@st.composite
def queries(draw: st.DrawFn, stored: list[dict[str, Any] | None]) -> Query:
    """Draw a query; most look where something is, and many for a value that is there."""
    there = [place for config in stored if config is not None for place in places(config)]
    fields: st.SearchStrategy[tuple[str | int, ...]] = st.lists(
        keys | st.integers(0, 2), min_size=1, max_size=3
    ).map(tuple)
    field = draw(st.sampled_from([path for path, _ in there]) | fields if there else fields)
    here = [value for path, value in there if path == field]
    known = st.sampled_from(here or [value for _, value in there] or [None])
    chosen = draw(st.sampled_from(["=", "!=", "in", "not in", *ORDERING]))
    if chosen in ORDERING:
        ordered = [value for value in here if _kind(value) in ("number", "string")]
        value = draw(st.sampled_from(ordered or [0, ""]) | numbers | texts)
    elif chosen in ("in", "not in"):
        value = draw(st.lists(known | values, max_size=5))
    else:
        value = draw(known | values)
    return Query(_dotted(field) if draw(st.booleans()) else field, chosen, value)


def _dotted(path: tuple[str | int, ...]) -> str | tuple[str | int, ...]:
    """Return the dotted form of a path if it has one."""
    if any(isinstance(part, int) or not part or "." in part for part in path):
        return path
    return ".".join(str(part) for part in path)
