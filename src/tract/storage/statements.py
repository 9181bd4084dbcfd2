"""The SQL of every trip, compiled once from the tables in `schema`, when it is first needed.

Parameters are given by name; hashes go in and come out as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sqlalchemy import Select, Table, bindparam, column, delete, func, select, table, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import aliased
from sqlalchemy.schema import CreateIndex, CreateTable

from tract.storage.schema import Base, BlobRow, CommitRow, MetaRow, RefRow, SpoolRow, UsageRow
from tract.storage.statement import Statement

__all__ = ["create_all", "create_tables"]


def create_tables(*names: str) -> list[Statement]:
    """Return the statements that create some tables and their indexes."""
    return [
        statement
        for table_of_it in Base.metadata.sorted_tables
        if table_of_it.name in names
        for statement in _creating(table_of_it)
    ]


def _creating(made_of: Table) -> list[Statement]:
    indexes = sorted(made_of.indexes, key=str)
    return [
        Statement(partial(CreateTable, made_of)),
        *(Statement(partial(CreateIndex, index)) for index in indexes),
    ]


def create_all() -> list[Statement]:
    """Return the statements that create every table and index of the newest schema."""
    return create_tables(*Base.metadata.tables)


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
    CommitRow.merge_parent,
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
    CommitRow.merge_parent,
)
_blob = CommitRow.content_hash == BlobRow.content_hash
_through = CommitRow.created_at <= bindparam("through")


def _newest_first(statement: Callable[[], Select[*tuple[object, ...]]]) -> Statement:
    return Statement(
        lambda: (
            statement()
            .where(_tract, _through)
            .order_by(CommitRow.created_at.desc())
            .limit(bindparam("limit"))
        )
    )


TABLES = tuple(Base.metadata.tables)

RECORDS = select(*_record)
"""Not compiled yet: queries add their conditions to it."""

META = Statement(lambda: select(MetaRow.value).where(MetaRow.key == bindparam("key")))
SET_META = Statement(
    lambda: (
        insert(MetaRow)
        .values(key=bindparam("key"), value=bindparam("value"))
        .on_conflict_do_update(index_elements=["key"], set_={"value": bindparam("value")})
    )
)


def _last_time() -> Select[int]:
    return select(CommitRow.created_at).where(_tract).order_by(CommitRow.created_at.desc()).limit(1)


_ref = (RefRow.tract_id == bindparam("tract_id"), RefRow.name == bindparam("name"))
BRANCH = Statement(lambda: select(RefRow.commit_hash).where(*_ref))


def _tip() -> Select[bytes, int, int, int, int, int, bytes]:
    head = aliased(CommitRow)
    last_time = _last_time().scalar_subquery()
    return (
        select(
            RefRow.commit_hash,
            RefRow.segment,
            last_time,
            head.created_at,
            RefRow.updated_at,
            head.segment,
            RefRow.start_hash,
        )
        .outerjoin(
            head, (head.tract_id == RefRow.tract_id) & (head.commit_hash == RefRow.commit_hash)
        )
        .where(*_ref)
    )


TIP = Statement(_tip)
HEAD = Statement(
    lambda: (
        select(
            RefRow.commit_hash,
            CommitRow.created_at,
            RefRow.segment,
            UsageRow.prompt_tokens,
            UsageRow.completion_tokens,
            UsageRow.total_tokens,
        )
        .outerjoin(
            CommitRow,
            (CommitRow.tract_id == RefRow.tract_id) & (CommitRow.commit_hash == RefRow.commit_hash),
        )
        .outerjoin(
            UsageRow,
            (UsageRow.tract_id == RefRow.tract_id) & (UsageRow.commit_hash == RefRow.commit_hash),
        )
        .where(*_ref)
    )
)
USAGE = Statement(
    lambda: select(UsageRow.prompt_tokens, UsageRow.completion_tokens, UsageRow.total_tokens).where(
        UsageRow.tract_id == bindparam("tract_id"), UsageRow.commit_hash == bindparam("hash")
    )
)
HAS_INDEX = Statement(
    lambda: (
        select(column("name"))
        .select_from(table("sqlite_schema"))
        .where(column("type") == "index", column("name") == bindparam("name"))
    )
)
TRACT_IDS = Statement(lambda: select(RefRow.tract_id).distinct().order_by(RefRow.tract_id))
LAST_TIME = Statement(_last_time)
PLACE = Statement(
    lambda: select(
        CommitRow.created_at, CommitRow.segment, CommitRow.operation, CommitRow.parent_hash
    ).where(_tract, CommitRow.commit_hash == bindparam("hash"))
)
COMMIT = Statement(
    lambda: select(*_record).where(_tract, CommitRow.commit_hash == bindparam("hash"))
)
CONTENT = Statement(
    lambda: (
        select(*_record, BlobRow.data)
        .outerjoin(BlobRow, _blob)
        .where(_tract, CommitRow.commit_hash == bindparam("hash"))
    )
)
NEWEST_IN_SEGMENT = Statement(
    lambda: (
        select(CommitRow.commit_hash, CommitRow.created_at)
        .where(_tract, _through, CommitRow.segment == bindparam("segment"))
        .order_by(CommitRow.created_at.desc())
        .limit(1)
    )
)
_stored = (*_record, CommitRow.token_source, CommitRow.segment, BlobRow.data)
WALK = _newest_first(
    lambda: select(
        CommitRow.commit_hash, CommitRow.parent_hash, CommitRow.created_at, CommitRow.merge_parent
    )
)
WALK_CHANGES = _newest_first(
    lambda: select(
        CommitRow.commit_hash,
        CommitRow.parent_hash,
        CommitRow.created_at,
        CommitRow.merge_parent,
        CommitRow.operation,
        CommitRow.edit_target,
    )
)
WALK_SIZES = _newest_first(
    lambda: select(
        CommitRow.commit_hash,
        CommitRow.parent_hash,
        CommitRow.created_at,
        CommitRow.merge_parent,
        CommitRow.content_hash,
        func.length(BlobRow.data),
    ).outerjoin(BlobRow, _blob)
)
WALK_CONFIGS = _newest_first(
    lambda: select(
        CommitRow.commit_hash,
        CommitRow.parent_hash,
        CommitRow.created_at,
        CommitRow.merge_parent,
        CommitRow.generation_config_json,
    )
)
MERGED_SINCE = Statement(
    lambda: (
        select(CommitRow.commit_hash)
        .where(
            _tract, CommitRow.created_at >= bindparam("since"), CommitRow.merge_parent.is_not(None)
        )
        .limit(1)
    )
)
WALK_RECORDS = _newest_first(lambda: select(*_record))
WALK_STORED = _newest_first(lambda: select(*_stored).outerjoin(BlobRow, _blob))
WALK_STEPS = _newest_first(lambda: select(*_step).outerjoin(BlobRow, _blob))
STORED = Statement(
    lambda: (
        select(*_stored)
        .outerjoin(BlobRow, _blob)
        .where(_tract, CommitRow.commit_hash == bindparam("hash"))
    )
)
STEPS = Statement(
    lambda: (
        select(*_step)
        .outerjoin(BlobRow, _blob)
        .where(_tract, _through, CommitRow.created_at > bindparam("after"))
        .order_by(CommitRow.created_at)
        .limit(bindparam("limit"))
    )
)
STEP = Statement(
    lambda: (
        select(*_step)
        .outerjoin(BlobRow, _blob)
        .where(_tract, CommitRow.commit_hash == bindparam("hash"))
    )
)
COUNT = Statement(
    lambda: (
        select(func.count())
        .select_from(CommitRow)
        .where(_tract, _through, CommitRow.created_at > bindparam("after"))
    )
)
ANNOTATIONS = Statement(
    lambda: (
        select(*_record, BlobRow.data, CommitRow.segment)
        .outerjoin(BlobRow, _blob)
        .where(
            _tract,
            CommitRow.edit_target == bindparam("hash"),
            CommitRow.operation == "annotate",
        )
        .order_by(CommitRow.created_at)
    )
)

ADD_BLOB = Statement(
    lambda: (
        insert(BlobRow)
        .values(content_hash=bindparam("content_hash"), data=bindparam("data"))
        .on_conflict_do_nothing()
    )
)
ADD_COMMIT = Statement(
    lambda: insert(CommitRow).values(
        {column: bindparam(column) for column in CommitRow.__table__.c.keys()}
    )
)
SET_BRANCH = Statement(
    lambda: (
        insert(RefRow)
        .values({column: bindparam(column) for column in RefRow.__table__.c.keys()})
        .on_conflict_do_update(
            index_elements=["tract_id", "name"],
            set_={
                "commit_hash": bindparam("commit_hash"),
                "updated_at": bindparam("updated_at"),
            },
        )
    )
)
ADVANCE_BRANCH = Statement(
    lambda: (
        update(RefRow)
        .where(RefRow.tract_id == bindparam("of_tract"), RefRow.name == bindparam("of_name"))
        .values(commit_hash=bindparam("to"), updated_at=bindparam("now"))
    )
)
SET_USAGE = Statement(
    lambda: (
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
)

_stream = (
    SpoolRow.tract_id == bindparam("tract_id"),
    SpoolRow.stream_id == bindparam("stream_id"),
)
ADD_SPOOL = Statement(  # a part whose save was cancelled comes again, with more in it
    lambda: (
        insert(SpoolRow)
        .values({column: bindparam(column) for column in SpoolRow.__table__.c.keys()})
        .on_conflict_do_update(
            index_elements=["tract_id", "stream_id", "number"],
            set_={column: bindparam(column) for column in ("data", "updated_at")},
        )
    )
)
TOUCH_SPOOL = Statement(
    lambda: (
        update(SpoolRow).where(*_stream, SpoolRow.number == 0).values(updated_at=bindparam("now"))
    )
)
DROP_SPOOL = Statement(lambda: delete(SpoolRow).where(*_stream))
SPOOL = Statement(
    lambda: select(SpoolRow.data, SpoolRow.owner).where(*_stream).order_by(SpoolRow.number)
)
SPOOLED = Statement(
    lambda: (
        select(
            SpoolRow.tract_id,
            SpoolRow.branch,
            SpoolRow.stream_id,
            SpoolRow.owner,
            func.max(SpoolRow.updated_at),
        )
        .group_by(SpoolRow.tract_id, SpoolRow.branch, SpoolRow.stream_id, SpoolRow.owner)
        .order_by(func.min(SpoolRow.updated_at))
    )
)
