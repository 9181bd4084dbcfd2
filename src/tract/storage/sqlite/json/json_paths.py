"""SQLite's JSON paths: https://www.sqlite.org/json1.html#path_arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, type_coerce
from sqlalchemy.types import Text

from tract.models.queries.query import Source
from tract.storage.sql.configs.language import OBJECTS

__all__ = ["json_path", "json_text"]


def json_text(source: Source) -> ColumnElement[Any]:
    """Return an object of a commit, or the metadata of a tract, as JSON text."""
    return type_coerce(OBJECTS[source], Text)


def json_path(parts: Iterable[str | int]) -> str:
    """Return the path of some keys, which need no escapes, and list indexes."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f'."{part}"' for part in parts)
