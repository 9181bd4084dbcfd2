"""SQLite's JSON paths: https://www.sqlite.org/json1.html#path_arguments."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import type_coerce
from sqlalchemy.types import Text

from tract.storage.schema import commits

__all__ = ["CONFIG", "json_path"]

CONFIG = type_coerce(commits.c.generation_config_json, Text)
"""A generation config as JSON text."""


def json_path(parts: Iterable[str | int]) -> str:
    """Return the path of some keys, which need no escapes, and list indexes."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f'."{part}"' for part in parts)
