"""Statements, and the SQL text and parameters that an engine's dialect makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, func, text
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

__all__ = [
    "MOST_TRACTS",
    "Form",
    "Insertion",
    "InsertionWhere",
    "Lookup",
    "Statement",
    "Styles",
    "written",
]

MOST_TRACTS = 64
"""The most tracts that one lookup takes."""

Bound = tuple[Any, ...] | dict[str, Any]


@dataclass(frozen=True, eq=False)
class Styles:
    """An engine's dialect, with each of the two ways to bind parameters, and its insert.

    Binding by position takes half the time. A statement built from a caller's values is bound by
    name: SQLAlchemy looks for placeholders in the whole text, even in a literal with a caller's
    words; and SQLite limits placeholders, of which a name counts once.

    *insert* makes the dialect's own `INSERT`: SQLAlchemy's common one cannot resolve conflicts.
    *any_of* makes the condition of a `Lookup`, and *of_tracts* that of one over several tracts.
    """

    by_place: Dialect
    by_name: Dialect
    insert: Callable[[Table], Any]
    any_of: Callable[[ColumnElement[Any]], ColumnElement[bool]]
    of_tracts: Callable[[ColumnElement[Any]], ColumnElement[bool]]


class Form:
    """A statement in one dialect.

    `bound` holds the values that SQLAlchemy binds while compiling (a constant, an OFFSET); all
    other parameters are passed when the statement runs.
    """

    __slots__ = ("bound", "sql", "values")

    def __init__(self, clause: ClauseElement, dialect: Dialect) -> None:
        compiled = clause.compile(dialect=dialect)
        given = compiled.params or {}
        self.sql: str = str(compiled)
        self.bound: dict[str, Any] = {name: at for name, at in given.items() if at is not None}
        self.values: Callable[[dict[str, Any]], Bound] = _binding(
            getattr(compiled, "positiontup", None), self.bound
        )
        """Returns parameters by name, and the bound values, in the form that the driver takes."""


def _binding(places: list[str] | None, bound: dict[str, Any]) -> Callable[[dict[str, Any]], Bound]:
    """Return the function that turns parameters by name into the driver's form.

    Every commit runs several statements, none of which has bound values.
    """
    bind: Callable[[dict[str, Any]], Bound]
    if places is None:
        bind = dict
    elif len(places) > 1:
        bind = itemgetter(*places)
    else:
        bind = lambda values: tuple(values[name] for name in places)  # noqa: E731
    return (lambda parameters: bind({**bound, **parameters})) if bound else bind


class _Forms(dict[Styles, Form]):
    """The forms of a statement, each compiled when it is first looked up."""

    def __init__(self, compile_it: Callable[[Styles], Form]) -> None:
        self._compile = compile_it

    def __missing__(self, styles: Styles) -> Form:
        form = self[styles] = self._compile(styles)
        return form


class Statement:
    """A statement that is built and compiled when it first runs.

    The last column of one that is *stamped* says how often its tract had been erased.
    """

    def __init__(
        self,
        clause: Callable[[], ClauseElement],
        *,
        by_name: bool = False,
        stamped: bool = False,
    ) -> None:
        self.stamped: bool = stamped
        self._clause = clause
        self._by_name = by_name
        self.forms: Mapping[Styles, Form] = _Forms(self._form)
        """The statement in the form that each engine runs."""

    def _form(self, styles: Styles) -> Form:
        return Form(self._built(styles), styles.by_name if self._by_name else styles.by_place)

    def _built(self, styles: Styles) -> ClauseElement:
        return self._clause()


class Lookup(Statement):
    """Finds the rows in which *column* is any of some hashes; `Connection.find` runs it.

    *clause* takes that condition. With *tract*, a column, so are those of any of the tracts that are
    given as the parameter `tracts`: at most `MOST_TRACTS`.
    """

    def __init__(
        self,
        column: ColumnElement[Any],
        clause: Callable[[ColumnElement[bool]], ClauseElement],
        tract: ColumnElement[Any] | None = None,
        *,
        stamped: bool = False,
    ) -> None:
        super().__init__(lambda: column, stamped=stamped)
        self._column = column
        self._where = clause
        self._tract = tract

    def _built(self, styles: Styles) -> ClauseElement:
        named = styles.any_of(self._column)
        if self._tract is not None:
            named = and_(styles.of_tracts(self._tract), named)
        return self._where(named)


class Insertion(Statement):
    """Adds a row; each of *columns* is a parameter, by default all that the table has.

    If there is a row with this key already, *instead* names the columns of it that are set. They
    may be none; if *instead* is None, that is an error. *filling* names a column of bytes that is
    set if it is empty.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[str] | None = None,
        *,
        instead: Sequence[str] | None = None,
        filling: str | None = None,
    ) -> None:
        super().__init__(table.insert)
        self.table: Table = table
        self.columns: Sequence[str] = columns or table.c.keys()
        self.instead: Sequence[str] | None = instead
        self.filling: str | None = filling

    def _built(self, styles: Styles) -> ClauseElement:
        values: dict[str, Any] = {name: bindparam(name) for name in self.columns}
        insert = styles.insert(self.table).values(values)
        if self.filling is not None:
            insert = insert.on_conflict_do_update(
                index_elements=self.table.primary_key,
                set_={self.filling: insert.excluded[self.filling]},
                where=func.length(self.table.c[self.filling]) == 0,
            )
        elif self.instead:
            changed = {name: values[name] for name in self.instead}
            insert = insert.on_conflict_do_update(
                index_elements=self.table.primary_key, set_=changed
            )
        elif self.instead is not None:
            insert = insert.on_conflict_do_nothing()
        clause: ClauseElement = insert
        return clause


class InsertionWhere(Statement):
    """Does what an `Insertion` does, with a row's key from where *source* finds it, if it does.

    All other columns are parameters.
    """

    def __init__(
        self, insertion: Insertion, source: Callable[[], Select[*tuple[Any, ...]]]
    ) -> None:
        super().__init__(insertion.table.insert)
        self._insertion = insertion
        self._source = source

    def _built(self, styles: Styles) -> ClauseElement:
        table = self._insertion.table
        keys = [column.name for column in table.primary_key]
        others = [name for name in self._insertion.columns if name not in keys]
        row = self._source().add_columns(*map(bindparam, others))
        insert = styles.insert(table).from_select([*keys, *others], row)
        clause: ClauseElement = insert.on_conflict_do_update(
            index_elements=table.primary_key,
            set_={name: insert.excluded[name] for name in self._insertion.instead or ()},
        )
        return clause


def written(sql: str) -> Statement:
    """Return a statement that one engine writes out in its own SQL."""
    made = text(sql)
    return Statement(lambda: made)
