"""What callers give, as JSON values: items of an API, replies and events, the SDKs' own objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from pydantic_core import to_jsonable_python

from tract.exceptions import ContentValidationError
from tract.formats.format import Json, as_json
from tract.history.canonical import MAX_DEPTH

__all__ = ["LEFT_OUT", "holdable", "is_model", "listed", "plain_items", "plain_object"]

LEFT_OUT: Final = object()
"""Stands for what JSON cannot hold."""

_JSON_LIKE = (str, int, float, Mapping, Sequence)
_PLAIN = frozenset({str, int, bool, type(None)})
_DEPTH = 2
"""How deep an item stands in the content that holds it."""
_MOST_BITS = 14_000  # Python writes integers of up to 4,300 digits
_DEEPEST = MAX_DEPTH - 50
"""How deep a value of a reply may stand; the content that it ends in puts it deeper."""


def plain_items(given: object, path: str, *, iterable: bool = False) -> list[Json]:
    """Return a list of items as new JSON objects; *path* names the list in errors.

    With *iterable*, other iterables are lists, too, but neither strings nor mappings.

    Raises:
        ContentValidationError: it is not a list, an item is not a JSON object, or one holds what
            JSON cannot.
    """
    if iterable and isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping)):
        given = list(given)
    items = listed(given, path)
    return [plain_object(item, f"{path}[{index}]") for index, item in enumerate(items)]


def plain_object(given: object, path: str) -> Json:
    """Return a mapping or an SDK's object as a new JSON object.

    Raises:
        ContentValidationError: it is neither, or holds what JSON cannot.
    """
    if not issubclass(type(given), Mapping) and not is_model(given):
        raise ContentValidationError(
            f"must be a dict or an object with `model_dump`, not {type(given).__name__}. "
            "Convert it to a dict",
            path,
        )
    plain: Json = _plain(given, path, _DEPTH)
    return plain


def listed(given: object, path: str) -> list[Any]:
    """Return *given* as a new list, read once; strings, mappings and iterators are not lists.

    Raises:
        ContentValidationError: it is not a list, or cannot be read.
    """
    try:
        if _is_list(given):
            return list(cast(Sequence[Any], given))
    except Exception as error:  # a foreign class may raise anything
        raise _unreadable(error, path) from error
    raise ContentValidationError(
        f"must be a list of {path}, not {type(given).__name__}. Wrap a single one in a list, "
        "and call `list()` on an iterator",
        path,
    )


def holdable(value: object, path: str, depth: int = 0) -> tuple[Any, tuple[str, ...]]:
    """Return what JSON can hold of a reply or a piece of one, and the paths of what it cannot.

    A reply has been paid for, so nothing in it is refused. As in the SDKs' own JSON, bytes become
    base64, NaN and infinities null, dates text. What has no such form is left out; if that is all
    of *value*, `LEFT_OUT` is returned. It shares no list or dict with *value*.
    """
    lost: list[str] = []
    return _held(value, path, depth, lost), tuple(lost)


def _held(value: Any, path: str, depth: int, lost: list[str]) -> Any:
    kind = type(value)
    if kind in _PLAIN and kind is not int:
        return value
    if depth <= _DEEPEST:
        try:
            opened = _as_json_has_it(value)
        except Exception:  # a foreign class may raise anything
            opened = LEFT_OUT
        if type(opened) is dict:
            kept = {key: _held(opened[key], path + _step(key), depth + 1, lost) for key in opened}
            return {key: each for key, each in kept.items() if each is not LEFT_OUT}
        if type(opened) is list:
            held = [_held(each, f"{path}[{n}]", depth + 1, lost) for n, each in enumerate(opened)]
            return [each for each in held if each is not LEFT_OUT]
        is_short = type(opened) is not int or opened.bit_length() <= _MOST_BITS
        if opened is not LEFT_OUT and is_short:
            return opened
    lost.append(path)
    return LEFT_OUT


def _as_json_has_it(value: Any) -> Any:
    """Return a value of JSON's own types; only its outermost level is sure to be one."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, Mapping) or is_model(value):
        return {str(key): each for key, each in (as_json(value) or {}).items()}
    if _is_list(value) and kind is not memoryview:
        return list(value)
    return to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="null")


def _plain(value: Any, path: str, depth: int) -> Any:
    """Return *value* in JSON's own types."""
    kind = type(value)  # `isinstance` would run code of the value's own class
    if kind in _PLAIN and kind is not int:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return _integer(value, path)
    if issubclass(kind, float):
        return _finite(float.__float__(value), path)
    if depth >= MAX_DEPTH:
        raise ContentValidationError(
            f"nested deeper than {MAX_DEPTH} levels, or contains itself", path
        )
    items = _opened(value, path)
    if isinstance(items, list):
        return [_plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(items)]
    named = {_key(key, path): item for key, item in items.items()}
    return {key: _plain(item, path + _step(key), depth + 1) for key, item in named.items()}


def _opened(value: Any, path: str) -> list[Any] | dict[Any, Any]:
    """Return what contains other values as a list or a dict."""
    try:
        if issubclass(type(value), Mapping):
            return dict(value)
        if is_model(value):
            return dict(as_json(value) or {})
        if _is_list(value):
            return list(value)
    except Exception as error:  # a foreign class may raise anything
        raise _unreadable(error, path) from error
    raise ContentValidationError(
        f"a {type(value).__name__} is not a JSON value. Convert it to a string, number, list or "
        "object",
        path,
    )


def is_model(value: object) -> bool:
    """Return True for an SDK's own object."""
    kind = type(value)
    return hasattr(kind, "model_dump") and not issubclass(kind, _JSON_LIKE)


def _is_list(value: object) -> bool:
    kind = type(value)
    return issubclass(kind, Sequence) and not issubclass(kind, (str, bytes, bytearray))


def _integer(value: Any, path: str) -> int:
    number = int.__index__(value)
    if number.bit_length() > _MOST_BITS:
        raise ContentValidationError("an integer of too many digits. Send it as a string", path)
    return number


def _finite(number: float, path: str) -> float:
    if not math.isfinite(number):
        raise ContentValidationError(
            f"{number} is not a JSON number. Leave the key out, or use None", path
        )
    return number


def _key(key: object, path: str) -> str:
    if not issubclass(type(key), str):
        raise ContentValidationError(
            f"has a key of type {type(key).__name__}. JSON objects have string keys only", path
        )
    return str.__str__(cast(str, key))


def _step(name: str) -> str:
    """Return a key as a step of a path."""
    simple = name.isascii() and name.isidentifier()
    return f".{name}" if simple else f"[{name[:40]!a}]"


def _unreadable(error: Exception, path: str) -> ContentValidationError:
    problem = f"could not be read ({type(error).__name__})"
    return ContentValidationError(f"{problem}. Use lists, and dicts with string keys", path)
