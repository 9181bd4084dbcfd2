"""Canonical JSON: the one text of a JSON value, which is what gets hashed and stored.

Keys sorted by code point, no white space, UTF-8 with only the escapes that JSON demands.
Values that JSON cannot hold are refused with the path at which they stand.
"""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic_core import from_json

from tract.exceptions import ContentValidationError, StoreCorruptError

__all__ = ["MAX_DEPTH", "canonical_bytes", "canonical_json", "stored_json", "unreadable"]

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
    except ValueError as error:  # a UnicodeEncodeError is one, too
        flaw = _Unstorable(f"JSON cannot hold this value: {error}")
        _find_flaw(value, flaw)
        raise flaw.at(root) from None
    except RecursionError as error:
        raise ContentValidationError(f"JSON cannot hold this value: {error}", root) from error
    return text


def stored_json(text: str | bytes, what: str) -> Any:
    """Return the value of JSON text that came from the store; *what* names it in the error.

    Raises:
        StoreCorruptError: it is no JSON.
    """
    try:
        return from_json(text)  # several times as fast as `json`, and stricter than it
    except ValueError:
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise unreadable(what) from None


def unreadable(what: str) -> StoreCorruptError:
    """Return the error for something in the store that is not what was written."""
    return StoreCorruptError(
        f"{what} cannot be read: the store was damaged. Run `verify()` for all that is, and restore "
        "the file from a backup."
    )


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
            raise _Unstorable(
                f"the key {_shown(key)} is no string; JSON objects have string keys only"
            )
        if type(item) in _PLAIN:
            continue
        try:
            _check(item, depth + 1)
        except _Unstorable as problem:
            problem.parts.append(key)
            raise


def _shown(key: object) -> str:
    try:
        return repr(key)
    except ValueError:  # an integer of too many digits
        return f"(a {type(key).__name__})"


def _find_flaw(value: Any, problem: _Unstorable) -> bool:
    """Give *problem* the words and the path of the string or integer that cannot be written."""
    flaw = _flaw(value)
    if flaw is not None:
        problem.problem = flaw
        return True
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, item in items:
        if _find_flaw(key, problem) or _find_flaw(item, problem):
            problem.parts.append(key)
            return True
    return False


def _flaw(value: object) -> str | None:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return "a lone surrogate is no valid text; decode the bytes it came from anew"
    elif isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:
            return "an integer of so many digits cannot be written; use a string"
    return None
