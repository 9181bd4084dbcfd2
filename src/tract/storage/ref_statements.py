"""The SQL of refs, of the runs that branches have had, and of where commits came from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, func, select, union, union_all, update
from sqlalchemy.dialects.sqlite import insert

from tract.storage.schema import CommitRow, OriginRow, RefRow, RunRow, UsageRow
from tract.storage.statement import Statement

_MOVED = (
    "commit_hash",
    "segment",
    "updated_at",
    "started_at",
    "start_hash",
    "action",
    "note",
)
_run = (
    RunRow.name,
    RunRow.segment,
    RunRow.start_hash,
    RunRow.started_at,
    RunRow.action,
    RunRow.note,
)
_open_run = (
    RefRow.name,
    RefRow.segment,
    RefRow.start_hash,
    RefRow.started_at,
    RefRow.action,
    RefRow.note,
)


def _named(row: type[RefRow] | type[RunRow]) -> tuple[Any, ...]:
    return (row.tract_id == bindparam("tract_id"), row.name == bindparam("name"))


LAST_SEGMENTS = Statement(
    lambda: union_all(
        select(func.max(RefRow.segment)).where(RefRow.tract_id == bindparam("tract_id")),
        select(func.max(RunRow.segment)).where(RunRow.tract_id == bindparam("tract_id")),
    )
)
"""Every segment that a tract has had is that of a ref or of a run that has ended."""

REF = Statement(
    lambda: select(*_open_run, RefRow.commit_hash, RefRow.created_at, RefRow.updated_at).where(
        *_named(RefRow)
    )
)
REFS = Statement(
    lambda: (
        select(RefRow.name, RefRow.commit_hash, RefRow.created_at, RefRow.updated_at)
        .where(
            RefRow.tract_id == bindparam("tract_id"),
            RefRow.name >= bindparam("low"),
            RefRow.name < bindparam("high"),
        )
        .order_by(RefRow.name)
    )
)
HEADS = Statement(
    lambda: union(
        select(RefRow.commit_hash).where(RefRow.tract_id == bindparam("tract_id")),
        select(RunRow.end_hash).where(RunRow.tract_id == bindparam("tract_id")),
    )
)
"""All that refs point to, and all that branches pointed to before they were moved: together
they reach every commit of a tract."""
PLACES = Statement(
    lambda: (
        select(
            RefRow.segment, CommitRow.segment, RefRow.commit_hash, RefRow.start_hash, RefRow.name
        )
        .join(
            CommitRow,
            (CommitRow.tract_id == RefRow.tract_id) & (CommitRow.commit_hash == RefRow.commit_hash),
        )
        .where(
            RefRow.tract_id == bindparam("tract_id"),
            RefRow.name >= "refs/heads/",
            RefRow.name < "refs/heads0",
        )
    )
)
"""Of branches whose heads are there: what `tips.is_in_place` asks for, and their names."""
ADD_REF = Statement(
    lambda: insert(RefRow).values(
        {column: bindparam(column) for column in RefRow.__table__.c.keys()}
    )
)
MOVE_REF = Statement(
    lambda: (
        update(RefRow)
        .where(
            RefRow.tract_id == bindparam("of_tract"),
            RefRow.name == bindparam("of_name"),
        )
        .values({column: bindparam(f"new_{column}") for column in _MOVED})
    )
)
DELETE_REF = Statement(lambda: delete(RefRow).where(*_named(RefRow)))
ADD_RUN = Statement(
    lambda: insert(RunRow).values(
        {column: bindparam(column) for column in RunRow.__table__.c.keys()}
    )
)
RUNS = Statement(
    lambda: (
        select(*_run, RunRow.end_hash, RunRow.ended_at, RunRow.ended_by)
        .where(RunRow.tract_id == bindparam("tract_id"))
        .order_by(RunRow.segment)
    )
)
OPEN_RUNS = Statement(
    lambda: (
        select(*_open_run)
        .where(
            RefRow.tract_id == bindparam("tract_id"),
            RefRow.name >= "refs/heads/",
            RefRow.name < "refs/heads0",
        )
        .order_by(RefRow.segment)
    )
)
MOVES = Statement(
    lambda: (
        select(
            CommitRow.segment,
            CommitRow.parent_hash,
            CommitRow.commit_hash,
            CommitRow.operation,
            CommitRow.message,
            CommitRow.created_at,
        )
        .where(CommitRow.tract_id == bindparam("tract_id"))
        .order_by(CommitRow.created_at)
    )
)
ADD_ORIGIN = Statement(
    lambda: (
        insert(OriginRow)
        .values({column: bindparam(column) for column in OriginRow.__table__.c.keys()})
        .on_conflict_do_nothing()
    )
)
ORIGINS = Statement(
    lambda: (
        select(OriginRow.kind, OriginRow.source_hash, OriginRow.commit_hash)
        .join(
            CommitRow,
            (CommitRow.tract_id == OriginRow.tract_id)
            & (CommitRow.commit_hash == OriginRow.commit_hash),
        )
        .where(OriginRow.tract_id == bindparam("tract_id"))
        .order_by(CommitRow.created_at, OriginRow.source_hash)
    )
)
SQUASHED = Statement(
    lambda: select(OriginRow.commit_hash).where(
        OriginRow.tract_id == bindparam("tract_id"),
        OriginRow.source_hash == bindparam("source"),
        OriginRow.kind == "squash",
    )
)
USAGES = Statement(
    lambda: select(
        UsageRow.commit_hash,
        UsageRow.prompt_tokens,
        UsageRow.completion_tokens,
        UsageRow.total_tokens,
    ).where(UsageRow.tract_id == bindparam("tract_id"))
)
