"""Statements, and the SQL text and parameters that an engine's dialect makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

__all__ = ["Form", "Statement", "Styles"]

Bound = tuple[Any, ...] | dict[str, Any]


@dataclass(frozen=True, eq=False)
class Styles:
    """An engine's dialect, with each of the two ways to bind parameters.

    Binding by position takes half the time. A statement built from a caller's values is bound by
    name: SQLAlchemy looks for placeholders in the whole text, even in a literal with a caller's
    words; and SQLite limits placeholders, of which a name counts once.
    """

    by_place: Dialect
    by_name: Dialect


class Form:
    """A statement in one dialect.

    `bound` holds the values that SQLAlchemy binds while compiling (a constant, an OFFSET); all
    other parameters are passed when the statement runs.
    """

    __slots__ = ("_bind", "bound", "sql")

    def __init__(self, clause: ClauseElement, dialect: Dialect) -> None:
        compiled = clause.compile(dialect=dialect)
        given = compiled.params or {}
        self.sql: str = str(compiled)
        self.bound: dict[str, Any] = {name: at for name, at in given.items() if at is not None}
        self._bind = _binding(getattr(compiled, "positiontup", None))

    def values(self, parameters: dict[str, Any]) -> Bound:
        """Return *parameters* and the bound values in the form that the driver takes."""
        return self._bind({**self.bound, **parameters} if self.bound else parameters)


def _binding(places: list[str] | None) -> Callable[[dict[str, Any]], Bound]:
    """Return the function that turns parameters by name into the driver's form."""
    if places is None:
        return dict
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[name] for name in places)


class Statement:
    """A statement that is built and compiled when it first runs."""

    def __init__(self, clause: Callable[[], ClauseElement], *, by_name: bool = False) -> None:
        self._clause = clause
        self._by_name = by_name
        self._forms: dict[Styles, Form] = {}

    def form(self, styles: Styles) -> Form:
        """Return the statement in the form that an engine runs."""
        form = self._forms.get(styles)
        if form is None:
            dialect = styles.by_name if self._by_name else styles.by_place
            form = self._forms[styles] = Form(self._clause(), dialect)
        return form
