"""Canonical JSON: the one text of a JSON value, which is what gets hashed and stored.

Keys are sorted by code point, there is no white space, and the text is UTF-8 with only the
escapes that JSON requires. A value that JSON cannot hold raises an error that names its path.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import from_json

from tract.exceptions import ContentValidationError, StoreCorruptError, shown
from tract.history.redaction import REDACTED, Redactor, is_schema, kept_keys

__all__ = [
    "MAX_DEPTH",
    "as_object",
    "canonical_bytes",
    "canonical_json",
    "plain_text",
    "stored_json",
    "unreadable",
]

MAX_DEPTH = 200
"""The deepest nesting that a stored value may have; it also ends a cycle."""

_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False
).encode
_SURROGATE = re.compile("[\ud800-\udfff]")
_KEYS = frozenset({str})
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
                name = part.encode("utf-8", "backslashreplace").decode("utf-8")
                path += f".{name}" if path else name
        return ContentValidationError(self.problem, path)


def canonical_json(
    value: Any, root: str = "", redactor: Redactor | None = None, *, surrogates: bool = False
) -> str:
    """Return the canonical JSON of *value*; tuples become lists.

    Args:
        value: dicts with string keys, lists, tuples, strings, numbers, booleans and None.
        root: what errors call the value itself, as the start of their paths.
        redactor: decides which keys hide what is below them. Strings there are written as
            `REDACTED`, and so are values that JSON cannot hold, such as a client's wrapper of a
            key. JSON schemas are written unchanged.
        surrogates: write lone surrogates as escapes, as providers and JSON itself do, instead of
            raising.

    Raises:
        ContentValidationError: the value contains NaN, an infinity, bytes, a datetime or another
            foreign type, a key that is not a string, a lone surrogate or a cycle, or is nested
            deeper than `MAX_DEPTH`.
    """
    try:
        if type(value) not in _PLAIN:
            harmless = None if redactor is None else redactor.harmless
            if not _is_plain(value, 0, harmless):
                value = _plain(value, 0, redactor)
        text = _encode(value)
        if not text.isascii():
            if surrogates:
                text = _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
            text.encode("utf-8")
    except _Unstorable as problem:
        raise problem.at(root) from None
    except ValueError as error:  # includes UnicodeEncodeError
        flaw = _Unstorable(f"JSON cannot hold this value: {error}")
        _find_flaw(value, flaw)
        raise flaw.at(root) from None
    except RecursionError as error:
        raise ContentValidationError(f"JSON cannot hold this value: {error}", root) from error
    return text


def plain_text(text: str, path: str) -> str:
    """Return a text that is stored as such, outside JSON.

    Raises:
        ContentValidationError: UTF-8 cannot encode it, or it has a NUL, which PostgreSQL cannot
            store as text.
    """
    canonical_json(text, path)
    if "\0" in text:
        raise ContentValidationError(
            "it has a NUL character, which not every database can store as text. Remove it", path
        )
    return text


def stored_json(text: str | bytes, what: str) -> Any:
    """Parse JSON text read from the store; *what* names it in the error.

    Raises:
        StoreCorruptError: it is not valid JSON.
    """
    try:
        # Several times faster than `json`, and stricter. It gets bytes, because a string would keep
        # its UTF-8 form alive from then on; and contents must not share strings.
        data = text.encode() if isinstance(text, str) else text
        return from_json(data, cache_strings="keys")
    except ValueError:
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise unreadable(what) from None


def as_object(value: object, path: str) -> dict[Any, Any] | None:
    """Return a caller's mapping for a JSON object as a dict; None stays None.

    Raises:
        ContentValidationError: it is not a mapping, or reading it raised.
    """
    kind = type(value)
    if value is None or issubclass(kind, dict):
        return value  # type: ignore[return-value]  # `kind` tells
    if not issubclass(kind, Mapping):
        raise ContentValidationError(f"a {kind.__name__} is not a JSON object; give a dict", path)
    try:
        return dict(cast(Mapping[Any, Any], value))
    except Exception as error:  # a foreign mapping may raise anything
        raise ContentValidationError(
            f"the {kind.__name__} could not be read ({type(error).__name__}). Give a dict", path
        ) from error


def unreadable(what: str) -> StoreCorruptError:
    """Return the error for stored data that is not what was written."""
    return StoreCorruptError(
        f"{what} cannot be read: the store was damaged. Run `verify()` to list all damage, and "
        "restore the file from a backup."
    )


def canonical_bytes(value: Any, root: str = "", *, surrogates: bool = False) -> bytes:
    """Return `canonical_json()` in UTF-8."""
    return canonical_json(value, root, surrogates=surrogates).encode("utf-8")


def _is_plain(value: Any, depth: int, harmless: set[str] | None) -> bool:
    """Return True if *value* can be written as it is, without running anyone's code but Python's.

    Then it consists of JSON's own types, not of subclasses, and all its keys are in *harmless*,
    if that is given.
    """
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is dict:
        if not _KEYS.issuperset(map(type, value)):
            return False
        if harmless is not None and not harmless.issuperset(value):
            return False
        value = value.values()
    elif kind is not list and kind is not tuple:
        return kind in _PLAIN
    if depth >= MAX_DEPTH:
        return False
    if _PLAIN.issuperset(map(type, value)):  # quicker than the loop
        return True
    for item in value:
        if type(item) not in _PLAIN and not _is_plain(item, depth + 1, harmless):
            return False
    return True


def _plain(value: Any, depth: int, redactor: Redactor | None, *, secret: bool = False) -> Any:
    """Return a copy of *value* in JSON's own types, with secrets redacted."""
    kind = type(value)  # `isinstance` would run code of the value's own class
    if issubclass(kind, str):
        return REDACTED if secret and str.__len__(value) else str.__str__(value)
    if kind in _PLAIN:
        return value
    if issubclass(kind, int):
        return int.__index__(value)
    if issubclass(kind, float):
        return _finite(float.__float__(value))
    if not issubclass(kind, (dict, list, tuple)):
        if secret:
            return REDACTED
        raise _Unstorable(
            f"a {kind.__name__} is not a JSON value; convert it to a string, number, list or "
            "object first"
        )
    if depth >= MAX_DEPTH:
        raise _Unstorable(f"nested deeper than {MAX_DEPTH} levels, or contains itself")
    if issubclass(kind, dict):
        return _plain_dict(value, depth, redactor, secret=secret)
    items = list.__iter__(value) if issubclass(kind, list) else tuple.__iter__(value)
    return [
        _plain_item(index, item, depth, redactor, secret=secret) for index, item in enumerate(items)
    ]


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise _Unstorable(f"{number} is not a JSON number; leave the key out or use None")
    return number


def _plain_dict(
    value: Any, depth: int, redactor: Redactor | None, *, secret: bool
) -> dict[str, Any]:
    given = {_key(key): item for key, item in _pairs(value)}
    schema = redactor is not None and is_schema(given)
    kept = () if redactor is None else kept_keys(given, schema=schema)
    secret = secret and not schema
    plain: dict[str, Any] = {}
    for key, item in given.items():
        if key in kept and _is_plain(item, depth + 1, None):
            plain[key] = item
            continue
        inner = None if key in kept else redactor
        hidden = inner is not None and (secret or inner.hides(key))
        plain[key] = _plain_item(key, item, depth, inner, secret=hidden)
    return plain


def _key(given: object) -> str:
    if not issubclass(type(given), str):
        raise _Unstorable(
            f"the key {_named(given)} is not a string; JSON objects have string keys only"
        )
    return str.__str__(given)


def _named(key: object) -> str:
    """Return a key for an error message; only the type of a tuple, say, which may hold secrets."""
    simple = type(key) in (int, float, bool, bytes, type(None))
    return shown(key) if simple else f"(a {type(key).__name__})"


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    try:
        return [(key, item) for key, item in value.items()]
    except Exception as error:  # a foreign class may raise anything
        raise _Unstorable(
            f"the {type(value).__name__} could not be read ({type(error).__name__}); give a dict"
        ) from error


def _plain_item(
    key: str | int, item: Any, depth: int, redactor: Redactor | None, *, secret: bool
) -> Any:
    try:
        return _plain(item, depth + 1, redactor, secret=secret)
    except _Unstorable as problem:
        problem.parts.append(key)
        raise


def _find_flaw(value: Any, problem: _Unstorable) -> bool:
    """Give *problem* the message and path of the string or integer that cannot be written."""
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
            return "a lone surrogate is not valid text; decode the bytes it came from again"
    elif isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:
            return "an integer with that many digits cannot be written; use a string"
    return None
