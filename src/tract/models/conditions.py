"""Conditions as callers write them: `config("temperature") > 0.5`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from tract.exceptions import QueryError
from tract.models.query import (
    ConfigCondition,
    ConfigField,
    config_condition,
    config_path,
    field_repr,
)

__all__ = ["ConfigTerm", "checked_conditions", "config"]

_MOST = 200
"""SQLite nests expressions up to a thousand deep, and each AND is one level."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConfigTerm:
    """A field of generation configs to compare; get one from `config`.

    Every comparison returns a `ConfigCondition` for `AsyncTract.query`. The operators mean what
    those of `AsyncTract.query_by_config` mean: only values of the same JSON type are equal or
    ordered, and a commit without the field meets no condition.

    Raises:
        QueryError: raised by a comparison whose value cannot be compared that way.
    """

    path: tuple[str | int, ...]

    __hash__: ClassVar[None]  # type: ignore[assignment]  # comparing never returns a bool

    def __eq__(self, value: Any) -> ConfigCondition:  # type: ignore[override]  # on purpose
        return config_condition(self.path, "=", value)

    def __ne__(self, value: Any) -> ConfigCondition:  # type: ignore[override]  # as __eq__
        return config_condition(self.path, "!=", value)

    def __lt__(self, value: Any) -> ConfigCondition:
        return config_condition(self.path, "<", value)

    def __le__(self, value: Any) -> ConfigCondition:
        return config_condition(self.path, "<=", value)

    def __gt__(self, value: Any) -> ConfigCondition:
        return config_condition(self.path, ">", value)

    def __ge__(self, value: Any) -> ConfigCondition:
        return config_condition(self.path, ">=", value)

    def in_(self, values: Sequence[Any]) -> ConfigCondition:
        """Return the condition that the field equals one of *values*."""
        return config_condition(self.path, "in", values)

    def not_in(self, values: Sequence[Any]) -> ConfigCondition:
        """Return the condition that the field exists and equals none of *values*."""
        return config_condition(self.path, "not in", values)

    def exists(self) -> ConfigCondition:
        """Return the condition that the field exists, whatever its value; null counts."""
        return ConfigCondition(self.path, "exists", ())

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is neither true nor false. Compare it, or call exists(), and give the "
            "condition to query()."
        )

    def __repr__(self) -> str:
        return f"config({field_repr(self.path)})"


def config(field: ConfigField) -> ConfigTerm:
    """Return a field of generation configs to compare in the conditions of a query.

    ```python
    await tract.query(config("model") == "gpt-4o", config("temperature") > 0.5)
    ```

    Args:
        field: a dotted path (`"response_format.type"`), or a tuple of exact keys and list
            indexes (`("logit_bias", "50256")`).

    Raises:
        QueryError: *field* is malformed.
    """
    return ConfigTerm(config_path(field))


def checked_conditions(given: Sequence[object]) -> tuple[ConfigCondition, ...]:
    """Return the conditions that a caller passed, checked.

    Raises:
        QueryError: one is not a condition, or there are too many for one statement.
    """
    if len(given) > _MOST:
        raise QueryError(f"{len(given)} conditions are too many. Give at most {_MOST}.")
    return tuple(map(_checked, given))


def _checked(given: object) -> ConfigCondition:
    if type(given) is ConfigCondition:  # `isinstance` would run the value's code
        return given
    raise QueryError(
        f"Not a condition: a {type(given).__name__}. Write one like "
        "config('temperature') > 0.5, and separate several with commas."
    )
