"""Deltas as they are kept and saved: as JSON values, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from tract.engine.streams.arrived import FRAME, Frame
from tract.exceptions import ContentValidationError
from tract.formats.deltas import Delta, compacted
from tract.formats.items import LEFT_OUT, holdable
from tract.history.canonical import canonical_json
from tract.history.redaction import Redactor

__all__ = ["copied", "joined", "redacted"]


def joined(frames: Iterable[Frame]) -> list[Frame]:
    """Return frames that build the same reply; adjacent texts of one place are one."""
    made: list[Frame] = []
    for is_frame, group in groupby(frames, lambda frame: frame[0] in FRAME):
        alike = [*group]
        made += alike if is_frame else compacted(alike)
    return made


def copied(delta: Delta) -> tuple[Delta | None, tuple[str, ...]]:
    """Return a delta whose value is a copy, and the paths of what JSON cannot hold, left out of it.

    None stands for a delta of which nothing is left. The reply that is built from a delta changes,
    but what is saved of it must not.
    """
    verb, path, value = delta
    kept, lost = holdable(value, ".".join(map(str, path)), len(path))
    return None if kept is LEFT_OUT else (verb, path, kept), lost


def redacted(delta: Delta, redactor: Redactor | None) -> Delta:
    """Return a delta without the secrets that a provider's usage report may hold."""
    verb, path, value = delta
    if redactor is None or verb == "text":
        return delta
    at = next((place for place, step in enumerate(path) if _is_usage(step)), None)
    if at is None:
        return verb, path, _without(value, redactor)
    below = path[at + 1 :]
    for step in reversed(below):
        value = {str(step): value}
    value = _report(value, redactor)
    for step in below:
        value = value.get(str(step)) if isinstance(value, dict) else None
    return verb, path, value


def _is_usage(step: object) -> bool:
    return isinstance(step, str) and "usage" in step.lower()


def _without(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, dict):
        return {
            key: _report(each, redactor) if _is_usage(key) else _without(each, redactor)
            for key, each in value.items()
        }
    return [_without(each, redactor) for each in value] if isinstance(value, list) else value


def _report(report: Any, redactor: Redactor) -> Any:
    try:
        return json.loads(canonical_json(report, "usage", redactor, surrogates=True))
    except ContentValidationError:  # nested too deeply, and the commit will not keep it, either
        return None
