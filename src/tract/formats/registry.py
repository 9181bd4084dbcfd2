"""The formats, by the names of their APIs."""

from __future__ import annotations

from tract.formats.format import Format

__all__ = ["FORMATS"]

FORMATS: dict[str, Format] = {}
"""One format an API; a new API is one more line."""
