"""Conditions of `tract query`, as they are typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import tract
from tract.cli.running import CommandError, ExitCode

if TYPE_CHECKING:
    from tract import Condition

__all__ = ["condition"]

_TYPED = re.compile(
    r"\s*(?P<field>[\w.\-]+)\s*"
    r"(?P<operator>!=|>=|<=|=|>|<|not in\b|in\b|exists\b|contains\b|startswith\b)"
    r"\s*(?P<value>.*?)\s*",
    re.DOTALL,
)

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": lambda term, value: term == value,
    "!=": lambda term, value: term != value,
    ">": lambda term, value: term > value,
    ">=": lambda term, value: term >= value,
    "<": lambda term, value: term < value,
    "<=": lambda term, value: term <= value,
    "in": lambda term, value: term.in_(value),
    "not in": lambda term, value: term.not_in(value),
    "exists": lambda term, _: term.exists(),
    "contains": lambda term, value: term.contains(value),
    "startswith": lambda term, value: term.startswith(value),
}
_TEXTS = ("message", "content_type", "operation", "key")


def condition(typed: str) -> Condition:
    """Return the condition that *typed* means: a field, an operator, and JSON or a plain text.

    Raises:
        CommandError: it is not of that form.
        QueryError: the field cannot be compared with the value that way.
    """
    found = _TYPED.fullmatch(typed)
    if found is None:
        raise CommandError(
            f"{typed!r} is not a condition. Give a field, an operator and a value, such as "
            "'config.temperature > 0.5'.",
            ExitCode.USAGE,
        )
    field, operator = found["field"], found["operator"]
    try:
        term = _term(field)
        made: Condition = _OPERATORS[operator](term, _value(field, found["value"]))
    except AttributeError:
        problem = f"{operator!r} does not go with the field {field!r}."
        raise CommandError(problem, ExitCode.USAGE) from None
    return made


def _term(field: str) -> Any:
    source, _, path = field.partition(".")
    if path and source in ("config", "metadata"):
        return getattr(tract, source)(path)
    if field in (*_TEXTS, "token_count", "created_at"):
        return getattr(tract.Field, field)
    raise CommandError(
        f"There is no field {field!r}. There are config.NAME, metadata.NAME, {', '.join(_TEXTS)}, "
        "token_count and created_at.",
        ExitCode.USAGE,
    )


def _value(field: str, typed: str) -> Any:
    if field == "created_at":
        return _time(typed)
    try:
        return json.loads(typed)
    except ValueError:
        return typed
    except RecursionError:
        raise CommandError("The value is nested too deeply.", ExitCode.USAGE) from None


def _time(typed: str) -> datetime:
    try:
        time = datetime.fromisoformat(typed.strip("\"'"))
    except ValueError:
        raise CommandError(
            f"{typed!r} is not a time such as 2026-01-31T12:00.", ExitCode.USAGE
        ) from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
