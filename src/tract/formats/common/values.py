"""JSON values of any origin: what they are, and what they say."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from tract.formats.deltas import mended
from tract.formats.format import Json

__all__ = [
    "as_object",
    "as_text",
    "copied",
    "is_blank",
    "is_same",
    "is_storable",
    "json_text",
    "objects",
    "optional",
    "parsed",
    "required",
    "string",
    "without",
]

_MAX_DEPTH = 64
_NESTED: frozenset[type] = frozenset({dict, list})


def copied(value: Any) -> Any:
    """Return an object or a list whose objects and lists are new; strings are shared."""
    if type(value) is dict:
        return {key: copied(each) if type(each) in _NESTED else each for key, each in value.items()}
    return [copied(each) if type(each) in _NESTED else each for each in value]


def string(value: Any) -> str | None:
    """Return *value* if it is a string that is not empty."""
    return value if isinstance(value, str) and value else None


def required(value: Any) -> str:
    """Return a string with surrogate pairs rejoined that were split.

    Raises:
        TypeError: it is not a string.
    """
    if not isinstance(value, str):
        raise TypeError("not a string")
    return mended(value)


def optional(value: Any) -> str | None:
    """Return `required(value)`, or None for None."""
    return None if value is None else required(value)


def objects(value: Any) -> list[Json]:
    """Return the objects of a list; none if *value* is something else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def without(item: Json, key: str) -> Json:
    """Return *item* without a key."""
    return {name: value for name, value in item.items() if name != key}


def is_blank(value: Any) -> bool:
    """Return True if *value* is not a text that says something."""
    return not isinstance(value, str) or not value.strip()


def is_storable(value: Any) -> TypeGuard[str]:
    """Return True if *value* is a string that a short content can hold: UTF-8 can encode it."""
    if not isinstance(value, str):
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def is_same(one: Any, other: Any) -> bool:
    """Return True if two values are the same JSON: 1, 1.0 and true differ."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def as_text(value: Any) -> str:
    """Return *value* if it is a string, else its JSON; nothing for None."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def json_text(value: Any) -> str:
    """Return compact JSON, keys in their order, with escapes only where lone surrogates need them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, separators=(",", ":"))
    return text


def as_object(arguments: str) -> Json:
    """Return arguments as an object; those that are not one become `{"arguments": <the text>}`."""
    if not arguments.strip():
        return {}
    found = parsed(arguments)
    return {"arguments": arguments} if found is None else found


def parsed(arguments: str) -> Json | None:
    """Return the JSON object that *arguments* are; None if they cannot be sent as one."""
    try:
        found = json.loads(arguments)
        # What parsed may still be impossible to send: NaN, 1e999, an escaped lone surrogate.
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_flatter_than(found, _MAX_DEPTH) else None


def _is_flatter_than(value: Json, levels: int) -> bool:
    """Return True if *value* nests at most *levels* containers; does not recurse.

    The bound is fixed, so the result does not depend on how much stack the caller has left.
    """
    level: list[Any] = [value]
    for _ in range(levels):
        children = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
        ]
        level = [child for child in children if isinstance(child, (dict, list))]
        if not level:
            return True
    return False
