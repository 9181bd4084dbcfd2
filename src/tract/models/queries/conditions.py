"""Conditions as callers write them: `config("temperature") > 0.5`, `Field.token_count > 100`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from tract.exceptions import QueryError
from tract.models.queries.query import (
    Condition,
    ConfigField,
    Source,
    column_condition,
    config_condition,
    config_path,
    term_repr,
)

__all__ = ["Field", "Term", "TextTerm", "checked_conditions", "config", "metadata"]

V = TypeVar("V")

_MOST = 200
"""SQLite nests expressions up to a thousand deep, and each AND is one level."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Term(Generic[V]):
    """What of commits is compared; get one from `config`, `metadata` or `Field`.

    Every comparison returns a `Condition` for `AsyncTract.query`. The operators mean what those of
    `AsyncTract.query_by_config` mean: only values of the same JSON type are equal or ordered, and a
    commit without the field meets no condition. Strings are ordered by code point.

    Raises:
        QueryError: raised by a comparison whose value cannot be compared that way.
    """

    path: tuple[str | int, ...]
    source: Source = Source.CONFIG

    __hash__: ClassVar[None]  # type: ignore[assignment]  # comparing never returns a bool

    def __eq__(self, value: Any) -> Condition:  # type: ignore[override]  # on purpose
        return self._condition("=", value)

    def __ne__(self, value: Any) -> Condition:  # type: ignore[override]  # as __eq__
        return self._condition("!=", value)

    def __lt__(self, value: V) -> Condition:
        return self._condition("<", value)

    def __le__(self, value: V) -> Condition:
        return self._condition("<=", value)

    def __gt__(self, value: V) -> Condition:
        return self._condition(">", value)

    def __ge__(self, value: V) -> Condition:
        return self._condition(">=", value)

    def in_(self, values: Sequence[V]) -> Condition:
        """Return the condition that it equals one of *values*."""
        return self._condition("in", values)

    def not_in(self, values: Sequence[V]) -> Condition:
        """Return the condition that it exists and equals none of *values*."""
        return self._condition("not in", values)

    def exists(self) -> Condition:
        """Return the condition that it exists, whatever its value; null counts."""
        return Condition(self.path, "exists", (), self.source)

    def _condition(self, operator: str, value: Any) -> Condition:
        if self.source.is_json:
            return config_condition(self.path, operator, value, self.source)
        return column_condition(self.source, operator, value)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is neither true nor false. Compare it, or call exists(), and give the "
            "condition to query()."
        )

    def __repr__(self) -> str:
        return term_repr(self.source, self.path)


class TextTerm(Term[str]):
    """A text of commits to compare, exactly as it was written: capitals differ."""

    __slots__ = ()

    def startswith(self, text: str) -> Condition:
        """Return the condition that it begins with *text*."""
        return column_condition(self.source, "starts with", text)

    def contains(self, text: str) -> Condition:
        """Return the condition that *text* stands somewhere in it."""
        return column_condition(self.source, "contains", text)


class Field:
    """What commits have besides objects, to compare in the conditions of a query.

    ```python
    await tract.query(Field.operation == "edit", Field.message.contains("typo"))
    ```
    """

    message: ClassVar[TextTerm] = TextTerm((), Source.MESSAGE)
    content_type: ClassVar[TextTerm] = TextTerm((), Source.CONTENT_TYPE)
    operation: ClassVar[TextTerm] = TextTerm((), Source.OPERATION)
    """Such as `append`, `edit`, `annotate` or `merge`; a `CommitOperation` is one."""
    key: ClassVar[TextTerm] = TextTerm((), Source.KEY)
    token_count: ClassVar[Term[int]] = Term((), Source.TOKEN_COUNT)
    created_at: ClassVar[Term[datetime]] = Term((), Source.CREATED_AT)
    """Datetimes with a time zone."""


def config(field: ConfigField) -> Term[Any]:
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
    return Term(config_path(field))


def metadata(field: ConfigField) -> Term[Any]:
    """Return a field of commits' metadata to compare, as `config` does one of configs.

    Raises:
        QueryError: *field* is malformed.
    """
    return Term(config_path(field), Source.METADATA)


def checked_conditions(given: Sequence[object]) -> tuple[Condition, ...]:
    """Return the conditions that a caller passed, checked.

    Raises:
        QueryError: one is not a condition, or there are too many for one statement.
    """
    if len(given) > _MOST:
        raise QueryError(f"{len(given)} conditions are too many. Give at most {_MOST}.")
    return tuple(map(_checked, given))


def _checked(given: object) -> Condition:
    if type(given) is Condition:  # `isinstance` would run the value's code
        return given
    raise QueryError(
        f"Not a condition: a {type(given).__name__}. Write one like "
        "config('temperature') > 0.5, and separate several with commas."
    )
