"""The SQL of every trip, compiled once from the tables in `schema` when first needed.

Parameters are bound by name; hashes go in and come out as bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    Table,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    literal_column,
    select,
    update,
)

from tract.models.operations import CommitOperation
from tract.storage.schema import (
    attachment_uses,
    attachments,
    blobs,
    commits,
    meta,
    refs,
    spool,
    tracts,
    usage,
)
from tract.storage.sql.statements.compiled import Insertion, InsertionWhere, Lookup, Statement

__all__ = ["BLOB", "RECORD", "SHOWN_TYPE", "Walk", "distinct", "stamp", "walk_of"]

_CONDEMNED = -1
"""The time of attachments that an erasure of their tract is going to take."""
_tract = commits.c.tract_id == bindparam("tract_id")
RECORD = (
    commits.c.commit_hash,
    commits.c.tract_id,
    commits.c.parent_hash,
    commits.c.content_hash,
    commits.c.content_type,
    commits.c.operation,
    commits.c.edit_target,
    commits.c.message,
    commits.c.token_count,
    commits.c.metadata_json,
    commits.c.generation_config_json,
    commits.c.created_at,
    commits.c.merge_parent,
    commits.c.key,
)
"""The columns of a `CommitRow`."""
SHOWN_TYPE = case(
    (commits.c.erased_as.is_(None), commits.c.content_type), else_=literal_column("'erased'")
).label("content_type")
"""The type of what stands in a commit's place now."""


def _erasures() -> ScalarSelect[int]:
    """Return how often contents of the tract were erased; null if its row was never written."""
    return (
        select(tracts.c.erasures)
        .where(tracts.c.tract_id == bindparam("tract_id"))
        .scalar_subquery()
    )


def stamp() -> ColumnElement[int]:
    """Return the last column of a stamped statement; it takes no look at a row of its own."""
    return func.coalesce(_erasures(), 0).label("erasures")


_step = (
    commits.c.commit_hash,
    commits.c.parent_hash,
    commits.c.created_at,
    commits.c.operation,
    commits.c.edit_target,
    SHOWN_TYPE,
    blobs.c.data,
    commits.c.token_count,
    commits.c.token_source,
    commits.c.generation_config_json,
    commits.c.merge_parent,
    stamp(),
)
BLOB = func.coalesce(commits.c.erased_as, commits.c.content_hash) == blobs.c.content_hash
"""Joins the content that stands in a commit's place now."""
_blob_of_step = BLOB & (commits.c.operation != CommitOperation.STATE.value)
"""No context shows a state, so folding does not read it, however large it is."""
_through = commits.c.created_at <= bindparam("through")
_at_hash = (_tract, commits.c.commit_hash == bindparam("hash"))


class Walk(NamedTuple):
    """The columns that a walk reads of each commit, its hash first.

    `by_time` reads the commits of a tract up to a time, newest first; `by_hash` reads a single one.
    `parent`, `time` and `merged` are the indexes of those columns.
    """

    by_time: Statement
    by_hash: Statement
    parent: int
    time: int
    merged: int


LINKS = (
    commits.c.commit_hash,
    commits.c.parent_hash,
    commits.c.created_at,
    commits.c.merge_parent,
)
"""The columns that every walk needs."""


def walk_of(
    *columns: ColumnElement[Any],
    joined: tuple[Table, ColumnElement[bool]] | None = None,
    by_name: bool = False,
    stamped: bool = False,
) -> Walk:
    """Return the walk that reads *columns*, `LINKS` among them, also of a table *joined* so."""
    if stamped:
        columns += (stamp(),)

    def rows() -> Select[*tuple[Any, ...]]:
        return select(*columns) if joined is None else select(*columns).outerjoin(*joined)

    def by_time() -> Select[*tuple[Any, ...]]:
        newest_first = commits.c.created_at.desc()
        return rows().where(_tract, _through).order_by(newest_first).limit(bindparam("limit"))

    names = [getattr(column, "name", None) for column in columns]
    return Walk(
        Statement(by_time, by_name=by_name, stamped=stamped),
        Statement(lambda: rows().where(*_at_hash), by_name=by_name, stamped=stamped),
        *map(names.index, ("parent_hash", "created_at", "merge_parent")),
    )


RECORDS = select(*RECORD, stamp())
"""Not compiled yet, because queries add their conditions to it."""

META = Statement(lambda: select(meta.c.value).where(meta.c.key == bindparam("key")))
SET_META = Insertion(meta, ["key", "value"], instead=["value"])
"""Migrations run this on tables of every version, so it names its columns."""
DROP_META = Statement(
    lambda: delete(meta).where(meta.c.key == bindparam("name"), meta.c.value == bindparam("former"))
)


def distinct(tract_id: ColumnElement[str]) -> Select[Any]:
    """Look up each tract's successor in the index: one entry per tract, not every row."""
    found = select(func.min(tract_id).label("tract_id")).cte("found", recursive=True)
    following = select(func.min(tract_id)).where(tract_id > found.c.tract_id)
    found = found.union_all(
        select(following.scalar_subquery()).where(found.c.tract_id.is_not(None))
    )
    return select(found.c.tract_id).where(found.c.tract_id.is_not(None))


def _last_time() -> Select[int]:
    return select(commits.c.created_at).where(_tract).order_by(commits.c.created_at.desc()).limit(1)


_ref = (refs.c.tract_id == bindparam("tract_id"), refs.c.name == bindparam("name"))
BRANCH = Statement(lambda: select(refs.c.commit_hash).where(*_ref))
NAMED = Statement(
    lambda: (
        select(
            refs.c.name,
            refs.c.commit_hash,
            commits.c.commit_hash,
            commits.c.created_at,
            commits.c.segment,
            commits.c.operation,
        )
        .outerjoin(
            commits,
            (commits.c.tract_id == refs.c.tract_id) & (commits.c.commit_hash == refs.c.commit_hash),
        )
        .where(
            refs.c.tract_id == bindparam("tract_id"),
            refs.c.name.in_([bindparam("tag"), bindparam("branch")]),
        )
    )
)
"""A tag and a branch of one name, with the places that they point to."""


def _tip() -> Select[*tuple[Any, ...]]:
    head = commits.alias()
    last_time = _last_time().scalar_subquery()
    return (
        select(
            refs.c.commit_hash,
            refs.c.segment,
            last_time,
            head.c.created_at,
            refs.c.updated_at,
            head.c.segment,
            _erasures(),
            refs.c.start_hash,
            refs.c.started_at,
            refs.c.action,
            refs.c.note,
            refs.c.created_at,
        )
        .outerjoin(
            head, (head.c.tract_id == refs.c.tract_id) & (head.c.commit_hash == refs.c.commit_hash)
        )
        .where(*_ref)
    )


TIP = Statement(_tip)
HEAD = Statement(
    lambda: (
        select(
            refs.c.commit_hash,
            commits.c.created_at,
            refs.c.segment,
            usage.c.prompt_tokens,
            usage.c.completion_tokens,
            usage.c.total_tokens,
            _erasures(),
        )
        .outerjoin(
            commits,
            (commits.c.tract_id == refs.c.tract_id) & (commits.c.commit_hash == refs.c.commit_hash),
        )
        .outerjoin(
            usage,
            (usage.c.tract_id == refs.c.tract_id) & (usage.c.commit_hash == refs.c.commit_hash),
        )
        .where(*_ref)
    )
)
USAGE = Statement(
    lambda: select(usage.c.prompt_tokens, usage.c.completion_tokens, usage.c.total_tokens).where(
        usage.c.tract_id == bindparam("tract_id"), usage.c.commit_hash == bindparam("hash")
    )
)
USAGE_OF = Lookup(
    usage.c.commit_hash,
    lambda named: select(
        usage.c.commit_hash, usage.c.prompt_tokens, usage.c.completion_tokens, usage.c.total_tokens
    ).where(usage.c.tract_id == bindparam("tract_id"), named),
)
_nothing = select(literal(1).label("one")).subquery()
USAGE_AND_ERASURES = Statement(
    lambda: select(
        usage.c.prompt_tokens, usage.c.completion_tokens, usage.c.total_tokens, _erasures()
    ).select_from(
        _nothing.outerjoin(
            usage,
            (usage.c.tract_id == bindparam("tract_id"))
            & (usage.c.commit_hash == bindparam("hash")),
        )
    )
)
"""Do what `USAGE` does in a single row, whether there is a report or not."""
LAST_TIME = Statement(_last_time)
_PLACE = (commits.c.created_at, commits.c.segment, commits.c.operation, commits.c.parent_hash)
PLACE = Statement(lambda: select(*_PLACE).where(*_at_hash))
_condemned = (
    select(cast(meta.c.value, BigInteger))
    .where(meta.c.key == bindparam("condemned"))
    .scalar_subquery()
)
_stays = commits.c.created_at > func.coalesce(_condemned, -1)
PLACE_TO_STAY = Statement(lambda: select(*_PLACE).where(*_at_hash, _stays))
"""The place of a commit, unless its tract is being erased up to a later time."""
COMMIT = Statement(lambda: RECORDS.where(*_at_hash), stamped=True)
RECORDS_OF = Lookup(commits.c.commit_hash, lambda named: select(*RECORD).where(_tract, named))
HASHES = Statement(
    lambda: (
        select(commits.c.commit_hash)
        .where(_tract, commits.c.commit_hash.between(bindparam("low"), bindparam("high")))
        .order_by(commits.c.commit_hash)
        .limit(bindparam("limit"))
    )
)
CONTENT = Statement(
    lambda: select(*RECORD, SHOWN_TYPE, blobs.c.data).outerjoin(blobs, BLOB).where(*_at_hash)
)
CONTENTS = Lookup(
    commits.c.commit_hash,
    lambda named: (
        select(
            commits.c.commit_hash,
            commits.c.content_hash,
            SHOWN_TYPE,
            commits.c.metadata_json,
            commits.c.created_at,
            blobs.c.data,
            stamp(),
        )
        .outerjoin(blobs, BLOB)
        .where(_tract, named)
    ),
    stamped=True,
)


ATTACHMENTS = Lookup(
    attachments.c.attachment_hash,
    lambda named: (
        select(attachments.c.attachment_hash, blobs.c.data)
        .join(blobs, blobs.c.content_hash == attachments.c.attachment_hash)
        .where(attachments.c.tract_id == bindparam("tract_id"), named)
    ),
)
IS_ATTACHED = Statement(
    lambda: select(attachments.c.size).where(
        attachments.c.tract_id == bindparam("tract_id"),
        attachments.c.attachment_hash == bindparam("hash"),
        attachments.c.created_at >= 0,
    )
)
CONDEMN_GRANTS = Statement(
    lambda: (
        update(attachments)
        .where(attachments.c.tract_id == bindparam("of_tract"))
        .values(created_at=_CONDEMNED)
    )
)
"""Take attachments from a tract that is being erased; giving them again sets another time."""
USES = Lookup(
    attachment_uses.c.content_hash,
    lambda named: select(attachment_uses.c.content_hash, attachment_uses.c.attachment_hash).where(
        named
    ),
)
USED = Lookup(
    attachment_uses.c.content_hash,
    lambda named: (
        select(attachment_uses.c.attachment_hash, func.length(blobs.c.data))
        .join(blobs, blobs.c.content_hash == attachment_uses.c.attachment_hash)
        .where(named)
    ),
)
"""The attachments that contents use, with their bytes."""


def _newest_in_segment() -> Select[bytes, int]:
    newest = (
        select(commits.c.commit_hash, commits.c.created_at, commits.c.segment)
        .where(_tract, _through)
        .order_by(commits.c.created_at.desc())
        .limit(bindparam("limit"))
        .subquery()
    )
    return (
        select(newest.c.commit_hash, newest.c.created_at)
        .where(newest.c.segment == bindparam("segment"))
        .order_by(newest.c.created_at.desc())
        .limit(1)
    )


NEWEST_IN_SEGMENT = Statement(_newest_in_segment)
"""The newest commit of a segment among the newest *limit* of a tract up to a time."""
WALK = walk_of(*LINKS)
WALK_CHANGES = walk_of(*LINKS, commits.c.operation, commits.c.edit_target)
WALK_SIZES = walk_of(
    *LINKS,
    commits.c.content_hash,
    func.length(blobs.c.data),
    joined=(blobs, BLOB),
    stamped=True,
)
WALK_CONFIGS = walk_of(*LINKS, commits.c.generation_config_json)
WALK_RECORDS = walk_of(*RECORD, stamped=True)
WALK_STORED = walk_of(
    *RECORD,
    commits.c.token_source,
    commits.c.segment,
    commits.c.erased_as,
    blobs.c.data,
    joined=(blobs, BLOB),
)
WALK_FILED = walk_of(*LINKS, commits.c.segment)
WALK_STEPS = walk_of(*_step, joined=(blobs, _blob_of_step))
STEPS_OF = Lookup(
    commits.c.commit_hash,
    lambda named: select(*_step).outerjoin(blobs, _blob_of_step).where(_tract, named),
)
MERGED_SINCE = Statement(
    lambda: (
        select(commits.c.segment)
        .where(
            _tract, commits.c.created_at >= bindparam("since"), commits.c.merge_parent.is_not(None)
        )
        .limit(bindparam("limit"))
    )
)
STEPS = Statement(
    lambda: (
        select(*_step)
        .outerjoin(blobs, _blob_of_step)
        .where(_tract, _through, commits.c.created_at > bindparam("after"))
        .order_by(commits.c.created_at)
        .limit(bindparam("limit"))
    )
)
COUNT = Statement(
    lambda: select(func.count()).select_from(
        select(commits.c.created_at)
        .where(_tract, _through, commits.c.created_at > bindparam("after"))
        .limit(bindparam("limit"))
        .subquery()
    )
)
"""The commits of a tract between two times, up to *limit*."""
ANNOTATIONS = Statement(
    lambda: (
        select(*RECORD, blobs.c.data, commits.c.segment)
        .outerjoin(blobs, BLOB)
        .where(
            _tract,
            commits.c.edit_target == bindparam("hash"),
            commits.c.operation == CommitOperation.ANNOTATE.value,
        )
        .order_by(commits.c.created_at + 0)  # otherwise SQLite may use the index on times
    )
)

REFS: Table = refs
"""The table whose rows `ADVANCE_BRANCH` changes."""

ADD_BLOB = Insertion(blobs, instead=[], filling="data")
"""Bytes that are there stay; what was erased comes back if it is committed again."""
ADD_ATTACHMENT = Insertion(attachments, instead=["created_at"])
SET_ATTACHMENT = Insertion(attachments, instead=["media_type", "created_at"])
ADD_USE = Insertion(attachment_uses, instead=[])
ADD_COMMIT = Insertion(commits, [name for name in commits.c.keys() if name != "erased_as"])
SET_BRANCH = Insertion(refs, instead=["commit_hash", "updated_at"])
ADVANCE_BRANCH = Statement(
    lambda: (
        update(refs)
        .where(refs.c.tract_id == bindparam("of_tract"), refs.c.name == bindparam("of_name"))
        .values(commit_hash=bindparam("to"), updated_at=bindparam("now"))
    )
)
SET_USAGE = Insertion(
    usage,
    instead=["prompt_tokens", "completion_tokens", "total_tokens", "raw_json", "created_at"],
)
SET_USAGE_TO_STAY = InsertionWhere(
    SET_USAGE,
    lambda: select(commits.c.tract_id, commits.c.commit_hash).where(*_at_hash, _stays),
)
"""Does what `SET_USAGE` does if the tract has the commit and no erasure is about to delete it."""

_stream = (
    spool.c.tract_id == bindparam("tract_id"),
    spool.c.stream_id == bindparam("stream_id"),
)
ADD_SPOOL = Insertion(spool, instead=["data", "updated_at"])
"""A part whose save was cancelled comes again, with more in it."""
TOUCH_SPOOL = Statement(
    lambda: update(spool).where(*_stream, spool.c.number == 0).values(updated_at=bindparam("now"))
)
RELEASE_SPOOL = Statement(
    lambda: (
        update(spool)
        .where(*_stream, spool.c.number == 0, spool.c.owner == bindparam("holder"))
        .values(owner="")
    )
)
DROP_SPOOL = Statement(lambda: delete(spool).where(*_stream))
SPOOL = Statement(lambda: select(spool.c.data).where(*_stream).order_by(spool.c.number))
SPOOLED = Statement(lambda: _spooled().order_by("sign"))
SPOOLED_STREAM = Statement(lambda: _spooled().where(*_stream))


def _spooled() -> Select[Any]:
    """Return streams with their owners, taken from part 0, and their last signs of life."""
    part = spool.alias("part")
    return (
        select(
            spool.c.tract_id,
            spool.c.branch,
            spool.c.stream_id,
            spool.c.owner,
            func.max(part.c.updated_at).label("sign"),
        )
        .join(
            part,
            (part.c.tract_id == spool.c.tract_id) & (part.c.stream_id == spool.c.stream_id),
        )
        .where(spool.c.number == 0)
        .group_by(spool.c.tract_id, spool.c.branch, spool.c.stream_id, spool.c.owner)
    )
