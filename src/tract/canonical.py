"""Canonical JSON: the one text of a JSON value, which is what gets hashed and stored.

Keys sorted by code point, no white space, UTF-8 with only the escapes that JSON demands.
Values that JSON cannot hold are refused with the path at which they stand.
"""

from __future__ import annotations

import json
import math
from typing import Any

from tract.exceptions import ContentValidationError

__all__ = ["MAX_DEPTH", "canonical_bytes", "canonical_json"]

MAX_DEPTH = 200
"""Levels of nesting that a stored value may have; also what ends a cycle."""

_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False
).encode
_PLAIN = frozenset({str, int, bool, type(None)})


class _Unstorable(Exception):
    """A problem on its way up; each level adds its own key to the path."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.parts: list[str | int] = []

    def at(self, root: str) -> ContentValidationError:
        path = root
        for part in reversed(self.parts):
            if isinstance(part, int):
                path += f"[{part}]"
            else:
                shown = part.encode("utf-8", "backslashreplace").decode("utf-8")
                path += f".{shown}" if path else shown
        return ContentValidationError(self.problem, path)


def canonical_json(value: Any, root: str = "") -> str:
    """Return the canonical JSON of *value*; tuples become lists.

    Args:
        value: dicts with string keys, lists, tuples, strings, numbers, booleans and None.
        root: what errors call the value itself, the start of their path.

    Raises:
        ContentValidationError: NaN, an infinity, bytes, a datetime or another foreign type, a key
            that is no string, a lone surrogate, a cycle or nesting deeper than `MAX_DEPTH`.
    """
    try:
        if type(value) not in _PLAIN:
            _check(value, 0)
        text = _encode(value)
        if not text.isascii():
            text.encode("utf-8")
    except _Unstorable as problem:
        raise problem.at(root) from None
    except UnicodeEncodeError:
        raise _surrogate(value).at(root) from None
    except (ValueError, RecursionError) as error:
        raise ContentValidationError(f"JSON cannot hold this value: {error}", root) from error
    return text


def canonical_bytes(value: Any, root: str = "") -> bytes:
    """Return `canonical_json()` in UTF-8."""
    return canonical_json(value, root).encode("utf-8")


def _check(value: Any, depth: int) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Unstorable(f"{value} is no JSON number; leave the key out or use None")
    elif isinstance(value, (dict, list, tuple)):
        if depth >= MAX_DEPTH:
            raise _Unstorable(f"nested deeper than {MAX_DEPTH} levels, or contains itself")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        _check_items(items, depth, keyed=isinstance(value, dict))
    elif not isinstance(value, (str, int, type(None))):
        raise _Unstorable(
            f"a {type(value).__name__} is no JSON value; convert it to a string, number, list or "
            "object first"
        )


def _check_items(items: Any, depth: int, *, keyed: bool) -> None:
    for key, item in items:
        if keyed and not isinstance(key, str):
            raise _Unstorable(f"the key {key!r} is no string; JSON objects have string keys only")
        if type(item) in _PLAIN:
            continue
        try:
            _check(item, depth + 1)
        except _Unstorable as problem:
            problem.parts.append(key)
            raise


def _surrogate(value: Any) -> _Unstorable:
    """Find the string of an encodable-checked *value* that UTF-8 cannot hold."""
    problem = _Unstorable("a lone surrogate is no valid text; decode the bytes it came from anew")
    _find_surrogate(value, problem)
    return problem


def _find_surrogate(value: Any, problem: _Unstorable) -> bool:
    if isinstance(value, str):
        return not _is_utf8(value)
    if isinstance(value, dict):
        for key, item in value.items():
            if not _is_utf8(key) or _find_surrogate(item, problem):
                problem.parts.append(key)
                return True
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if _find_surrogate(item, problem):
                problem.parts.append(index)
                return True
    return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
