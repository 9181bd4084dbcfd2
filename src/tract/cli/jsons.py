"""What the commands print with `--json`."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import tract

__all__ = ["written"]


def written(value: object, *, indent: int | None = None) -> str:
    """Return *value* as JSON, which is ASCII, so that no terminal obeys it.

    Values of the library become objects of their fields, times ISO 8601, bytes base64.
    """
    text = json.dumps(value, default=_plain, indent=indent)
    return text.replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if isinstance(value, tract.Message):
        return value.to_dict()
    if isinstance(value, tract.ContentModel) or hasattr(type(value), "model_fields"):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return list(value)
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "_asdict"):
        return value._asdict()
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return str(value)
