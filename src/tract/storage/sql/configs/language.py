"""Conditions on commits: what the SQL of every engine has in common.

An engine's SQL has JSON functions of its own. A `ConfigLanguage` writes a single condition with
them; the statements around conditions are the same everywhere.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    ColumnElement,
    and_,
    bindparam,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    type_coerce,
)

from tract.exceptions import QueryError
from tract.models.queries.query import Condition, ConfigPath, Operand, OperandKind, Source
from tract.storage.schema import commits, tracts
from tract.storage.sql.port import Connection
from tract.storage.sql.statements.commits import LINKS, RECORDS, Walk, walk_of
from tract.storage.sql.statements.compiled import Statement

__all__ = [
    "COLUMNS",
    "NOT_STRICT",
    "NUMBERS",
    "OBJECTS",
    "ConfigLanguage",
    "Shape",
    "is_escaped",
    "meets",
    "meets_column",
    "nul_free",
]

Equals = Callable[[OperandKind, Sequence[Operand]], ColumnElement[bool]]
Ordered = Callable[[str, Operand], ColumnElement[bool]]

OBJECTS: dict[Source, Column[Any]] = {
    Source.CONFIG: commits.c.generation_config_json,
    Source.METADATA: commits.c.metadata_json,
    Source.TRACT_METADATA: tracts.c.metadata_json,
}
COLUMNS: dict[Source, Column[Any]] = {
    source: commits.c[source.value] for source in Source if not source.is_json
}
NUMBERS: frozenset[Source] = frozenset({Source.TOKEN_COUNT, Source.CREATED_AT})
"""The columns that hold integers; all others hold text, or nothing."""
NOT_STRICT: dict[str, str] = {">": ">=", ">=": ">=", "<": "<=", "<=": "<="}
"""The operators that an index, which may know no more than about where a value is, answers with."""
_INDEX = "ix_commits_config_"
_REMEMBERED = 128
_REMEMBERED_CONDITIONS = 8
_REMEMBERED_CHARS = 1_000
"""The longest fields and values, as JSON, for which a query is cached."""


class Shape(NamedTuple):
    """Which commits a query wants of those that match.

    *within* a time that is after `since` and before `until`; *newest* first; or only their number.
    """

    within: bool = False
    newest: bool = False
    counted: bool = False


class ConfigLanguage(ABC):
    """How an engine's SQL asks what is in a generation config."""

    @property
    @abstractmethod
    def indexes(self) -> Statement:
        """The query for the names of the indexes on commits."""

    @abstractmethod
    def holds(self, condition: Condition) -> ColumnElement[bool]:
        """Return an expression for whether a row meets *condition*; it may be NULL for no."""

    @abstractmethod
    def narrowed(self, condition: Condition) -> ColumnElement[bool] | None:
        """Return what an index on the field can answer, which is true wherever *condition* is.

        None if an index cannot help.
        """

    @abstractmethod
    def index_sql(self, name: str, path: ConfigPath) -> str:
        """Return the SQL that creates an index that answers `narrowed`, unless it exists."""

    def matching(
        self,
        *conditions: Condition,
        indexed: Collection[ConfigPath] = frozenset(),
        shape: Shape = Shape(),  # noqa: B008  # it is frozen
    ) -> Statement:
        """Return the query for a tract's first *limit* commits that meet all *conditions*.

        *indexed* lists the fields that have an index. Building its SQL takes longer than running
        it with an index, so repeated queries are cached.
        """
        make = _remembered if _is_short(conditions) else _statement
        return make(self, conditions, frozenset(indexed), shape)

    def meeting(self, *conditions: Condition) -> Walk:
        """Return the walk whose last column says whether a commit meets all *conditions*."""
        make = _remembered_walk if _is_short(conditions) else _walk
        return make(self, conditions)

    def indexed(
        self, connection: Connection, conditions: Sequence[Condition]
    ) -> frozenset[ConfigPath]:
        """Return the fields that have an index, whichever process created it."""
        paths = [each.path for each in conditions if each.source is Source.CONFIG]
        if not paths:
            return frozenset()
        names = {row[0] for row in connection.all(self.indexes)}
        return frozenset(path for path in paths if _index_name(path) in names)

    def create_index(self, connection: Connection, path: ConfigPath) -> None:
        """Create the index of a field if it does not exist.

        Raises:
            QueryError: a key of the path contains quotes, backslashes or control characters.
        """
        if any(map(is_escaped, path)):
            raise QueryError(
                "A field whose keys have quotes, backslashes or control characters cannot be "
                "indexed. Querying it works without an index."
            )
        text = self.index_sql(_index_name(path), path)
        made = DDL(text.replace("%", "%%"))  # type: ignore[no-untyped-call]  # it fills in what % names
        connection.run(Statement(lambda: made))


def meets(
    condition: Condition, exists: ColumnElement[bool], equals: Equals, ordered: Ordered
) -> ColumnElement[bool]:
    """Return *condition* in an engine's expressions for a field, of which only *exists* is total.

    *equals* returns whether the field equals one of some operands of one kind, and *ordered*
    whether it is before or after an operand. For a missing field they may be NULL.
    """
    operator = condition.operator
    if operator == "exists":
        return exists
    if operator in ("=", "in"):
        return _equals_any(equals, condition.operands)
    if operator in ("!=", "not in"):
        return and_(not_(_equals_any(equals, condition.operands)), exists)
    return ordered(operator, condition.operands[0])


def meets_column(
    condition: Condition, column: Column[Any], equals: Equals, ordered: Ordered
) -> ColumnElement[bool]:
    """Do what `meets` does for a column."""
    if condition.operator == "starts with":
        text = condition.operands[0].text
        return func.substr(column, 1, len(text)) == literal(text)
    return meets(condition, column.is_not(None), equals, ordered)


def is_escaped(part: str | int) -> bool:
    """Return True if JSON escapes a key."""
    return isinstance(part, str) and json.dumps(part, ensure_ascii=False) != f'"{part}"'


def nul_free(text: str) -> str:
    """Return *text* without NUL, which engines cannot hold in text, ordered as the originals."""
    return text.replace("\1", "\1\2").replace("\0", "\1\1")


def _equals_any(equals: Equals, operands: Sequence[Operand]) -> ColumnElement[bool]:
    by_kind: dict[OperandKind, list[Operand]] = {}
    for operand in operands:
        by_kind.setdefault(operand.kind, []).append(operand)
    return or_(false(), *(equals(kind, items) for kind, items in by_kind.items()))


def _index_name(path: ConfigPath) -> str:
    digest = hashlib.sha256(json.dumps(path).encode()).hexdigest()
    return f"{_INDEX}{digest[:16]}"


def _is_short(conditions: Sequence[Condition]) -> bool:
    if len(conditions) > _REMEMBERED_CONDITIONS:
        return False
    texts = (
        *(operand.json for condition in conditions for operand in condition.operands),
        *(str(part) for condition in conditions for part in condition.path),
    )
    return sum(map(len, texts)) <= _REMEMBERED_CHARS


def _statement(
    language: ConfigLanguage,
    conditions: Sequence[Condition],
    indexed: Collection[ConfigPath],
    shape: Shape,
) -> Statement:
    configs = (each for each in conditions if each.source is Source.CONFIG)
    on_indexed = (language.narrowed(each) for each in configs if each.path in indexed)
    narrow = [expression for expression in on_indexed if expression is not None]
    order: ColumnElement[Any] = type_coerce(commits.c.created_at, BigInteger)
    if narrow:
        order = order + 0  # otherwise the index on times may be used to save the sorting
    wanted = [
        commits.c.tract_id == bindparam("tract_id"),
        *([order > bindparam("since"), order < bindparam("until")] if shape.within else []),
        *_with_objects(conditions),
        *narrow,
        *map(language.holds, conditions),
    ]
    if shape.counted:
        number = select(func.count()).select_from(commits)
        return Statement(lambda: number.where(*wanted), by_name=True)
    order = order.desc() if shape.newest else order
    return Statement(
        lambda: RECORDS.where(*wanted).order_by(order).limit(bindparam("limit")),
        by_name=True,
        stamped=True,
    )


_remembered = lru_cache(_REMEMBERED)(_statement)


def _walk(language: ConfigLanguage, conditions: Sequence[Condition]) -> Walk:
    holding = and_(true(), *_with_objects(conditions), *map(language.holds, conditions))
    return walk_of(*LINKS, holding.label("meets"), by_name=True, stamped=True)


_remembered_walk = lru_cache(_REMEMBERED)(_walk)


def _with_objects(conditions: Sequence[Condition]) -> list[ColumnElement[bool]]:
    sources = {condition.source for condition in conditions}
    return [column.is_not(None) for source, column in OBJECTS.items() if source in sources]
