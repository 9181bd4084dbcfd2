"""The SQL of every trip, compiled once from the tables in `schema`.

Parameters are bound by name; hashes go in and come out as bytes.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement

from tract.storage.schema import Base, BlobRow, CommitRow, MetaRow, RefRow, UsageRow

__all__ = ["Statement", "compiled", "create_all"]

_DIALECT = sqlite.dialect(paramstyle="named")


class Statement:
    """SQL text with the values that SQLAlchemy bound while it compiled (a constant, an OFFSET)."""

    __slots__ = ("bound", "sql")

    def __init__(self, sql: str, bound: dict[str, Any]) -> None:
        self.sql: str = sql
        self.bound: dict[str, Any] = bound

    def run(self, connection: sqlite3.Connection, **parameters: Any) -> None:
        """Execute a statement that gives no rows."""
        connection.execute(self.sql, {**self.bound, **parameters})

    def all(self, connection: sqlite3.Connection, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return all rows; read to the end, so that no statement stays open."""
        return connection.execute(self.sql, {**self.bound, **parameters}).fetchall()

    def one(self, connection: sqlite3.Connection, **parameters: Any) -> tuple[Any, ...] | None:
        """Return the first row of at most one, or None."""
        rows = self.all(connection, **parameters)
        return rows[0] if rows else None


def compiled(statement: ClauseElement) -> Statement:
    """Return the SQLite form of *statement*; parameters without a value are given when it runs."""
    made = statement.compile(dialect=_DIALECT)
    given = {name: value for name, value in (made.params or {}).items() if value is not None}
    return Statement(str(made), given)


def create_all() -> list[Statement]:
    """Return the statements that create every table and index of the newest schema."""
    made: list[Statement] = []
    for table in Base.metadata.sorted_tables:
        made.append(compiled(CreateTable(table)))
        made.extend(compiled(CreateIndex(index)) for index in sorted(table.indexes, key=str))
    return made


_tract = CommitRow.tract_id == bindparam("tract_id")
_record = (
    CommitRow.commit_hash,
    CommitRow.tract_id,
    CommitRow.parent_hash,
    CommitRow.content_hash,
    CommitRow.content_type,
    CommitRow.operation,
    CommitRow.edit_target,
    CommitRow.message,
    CommitRow.token_count,
    CommitRow.metadata_json,
    CommitRow.generation_config_json,
    CommitRow.created_at,
)
_step = (
    CommitRow.commit_hash,
    CommitRow.parent_hash,
    CommitRow.created_at,
    CommitRow.operation,
    CommitRow.edit_target,
    CommitRow.content_type,
    BlobRow.data,
    CommitRow.token_count,
    CommitRow.token_source,
    CommitRow.generation_config_json,
)
_blob = CommitRow.content_hash == BlobRow.content_hash
_through = CommitRow.created_at <= bindparam("through")


def _newest_first(statement: Select[*tuple[object, ...]]) -> Statement:
    return compiled(
        statement.where(_tract, _through)
        .order_by(CommitRow.created_at.desc())
        .limit(bindparam("limit"))
    )


TABLES = tuple(Base.metadata.tables)

RECORDS = select(*_record)
"""Not compiled yet: queries add their conditions to it."""

META = compiled(select(MetaRow.value).where(MetaRow.key == bindparam("key")))
SET_META = compiled(
    insert(MetaRow)
    .values(key=bindparam("key"), value=bindparam("value"))
    .on_conflict_do_update(index_elements=["key"], set_={"value": bindparam("value")})
)

BRANCH = compiled(
    select(RefRow.commit_hash, RefRow.segment).where(
        RefRow.tract_id == bindparam("tract_id"), RefRow.name == bindparam("name")
    )
)
HEAD = compiled(
    select(
        RefRow.commit_hash,
        CommitRow.created_at,
        RefRow.segment,
        UsageRow.prompt_tokens,
        UsageRow.completion_tokens,
        UsageRow.total_tokens,
    )
    .join(
        CommitRow,
        (CommitRow.tract_id == RefRow.tract_id) & (CommitRow.commit_hash == RefRow.commit_hash),
    )
    .outerjoin(
        UsageRow,
        (UsageRow.tract_id == RefRow.tract_id) & (UsageRow.commit_hash == RefRow.commit_hash),
    )
    .where(RefRow.tract_id == bindparam("tract_id"), RefRow.name == bindparam("name"))
)
USAGE = compiled(
    select(UsageRow.prompt_tokens, UsageRow.completion_tokens, UsageRow.total_tokens).where(
        UsageRow.tract_id == bindparam("tract_id"), UsageRow.commit_hash == bindparam("hash")
    )
)
REF_HEADS = compiled(
    select(RefRow.commit_hash).where(RefRow.tract_id == bindparam("tract_id")).order_by(RefRow.name)
)
TRACT_IDS = compiled(select(RefRow.tract_id).distinct().order_by(RefRow.tract_id))
NEXT_SEGMENT = compiled(select(func.coalesce(func.max(CommitRow.segment), -1) + 1).where(_tract))

LAST_TIME = compiled(
    select(CommitRow.created_at).where(_tract).order_by(CommitRow.created_at.desc()).limit(1)
)
PLACE = compiled(
    select(
        CommitRow.created_at, CommitRow.segment, CommitRow.operation, CommitRow.parent_hash
    ).where(_tract, CommitRow.commit_hash == bindparam("hash"))
)
COMMIT = compiled(select(*_record).where(_tract, CommitRow.commit_hash == bindparam("hash")))
CONTENT = compiled(
    select(*_record, BlobRow.data)
    .outerjoin(BlobRow, _blob)
    .where(_tract, CommitRow.commit_hash == bindparam("hash"))
)
NEWEST_IN_SEGMENT = compiled(
    select(CommitRow.commit_hash, CommitRow.created_at)
    .where(_tract, _through, CommitRow.segment == bindparam("segment"))
    .order_by(CommitRow.created_at.desc())
    .limit(1)
)
WALK = _newest_first(select(CommitRow.commit_hash, CommitRow.parent_hash, CommitRow.created_at))
WALK_RECORDS = _newest_first(select(*_record))
WALK_STORED = _newest_first(select(*_record, BlobRow.data).outerjoin(BlobRow, _blob))
WALK_STEPS = _newest_first(select(*_step).outerjoin(BlobRow, _blob))
STEPS = compiled(
    select(*_step)
    .outerjoin(BlobRow, _blob)
    .where(_tract, _through, CommitRow.created_at > bindparam("after"))
    .order_by(CommitRow.created_at)
    .limit(bindparam("limit"))
)
COUNT = compiled(
    select(func.count())
    .select_from(CommitRow)
    .where(_tract, _through, CommitRow.created_at > bindparam("after"))
)
ANNOTATIONS = compiled(
    select(*_record, BlobRow.data, CommitRow.segment)
    .outerjoin(BlobRow, _blob)
    .where(
        _tract,
        CommitRow.edit_target == bindparam("hash"),
        CommitRow.operation == "annotate",
    )
    .order_by(CommitRow.created_at)
)

ADD_BLOB = compiled(
    insert(BlobRow)
    .values(content_hash=bindparam("content_hash"), data=bindparam("data"))
    .on_conflict_do_nothing()
)
ADD_COMMIT = compiled(
    insert(CommitRow).values({column: bindparam(column) for column in CommitRow.__table__.c.keys()})
)
SET_BRANCH = compiled(
    insert(RefRow)
    .values({column: bindparam(column) for column in RefRow.__table__.c.keys()})
    .on_conflict_do_update(
        index_elements=["tract_id", "name"],
        set_={"commit_hash": bindparam("commit_hash"), "segment": bindparam("segment")},
    )
)
SET_USAGE = compiled(
    insert(UsageRow)
    .values({column: bindparam(column) for column in UsageRow.__table__.c.keys()})
    .on_conflict_do_update(
        index_elements=["tract_id", "commit_hash"],
        set_={
            column: bindparam(column)
            for column in (
                "prompt_tokens",
                "completion_tokens",
                "total_tokens",
                "raw_json",
                "created_at",
            )
        },
    )
)
