"""The SQL that copies tracts: their rows by slices, and the insertions that may come again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Select, bindparam, func, select, update

from tract.storage.schema import (
    attachment_uses,
    attachments,
    blobs,
    commits,
    origins,
    refs,
    runs,
    spool,
    tracts,
    usage,
)
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements.compiled import Insertion, Lookup, Statement
from tract.storage.sql.statements.keys import SET_KEY
from tract.storage.sql.statements.refs import ADD_ORIGIN
from tract.storage.sql.statements.tracts import TRACT_IDS as TRACTS

_tract = commits.c.tract_id == bindparam("tract_id")
_between = (
    commits.c.created_at > bindparam("after"),
    commits.c.created_at <= bindparam("through"),
)
_content = func.coalesce(commits.c.erased_as, commits.c.content_hash)
_STORED = (
    *sql.RECORD,
    commits.c.token_source,
    commits.c.segment,
    commits.c.erased_as,
)
COLUMNS = [column.name for column in _STORED]
"""What `COMMITS` reads of a commit, in the order of `rows.stored_of`; the size comes behind."""

TRACT_IDS = [
    *(
        Statement(partial(sql.distinct, table.c.tract_id))
        for table in (commits, refs, runs, attachments, spool)
    ),
    TRACTS,
]
"""Tracts that have anything. A row of `tracts` may be nothing but a lock."""
LINE = Statement(
    lambda: (
        select(commits.c.created_at, commits.c.commit_hash)
        .where(_tract, *_between)
        .order_by(commits.c.created_at)
        .limit(bindparam("limit"))
    )
)
COMMITS = Statement(
    lambda: (
        select(*_STORED, func.length(blobs.c.data))
        .outerjoin(blobs, sql.BLOB)
        .where(_tract, *_between)
        .order_by(commits.c.created_at)
        .limit(bindparam("limit"))
    )
)
WALK_SHOWN = sql.walk_of(*sql.LINKS, commits.c.segment, _content)
TIMES = Lookup(
    commits.c.commit_hash,
    lambda named: select(commits.c.commit_hash, commits.c.created_at).where(_tract, named),
)
BLOBS = Lookup(blobs.c.content_hash, lambda named: select(blobs).where(named))
ORIGINS = Lookup(
    origins.c.commit_hash,
    lambda named: select(origins).where(origins.c.tract_id == bindparam("tract_id"), named),
)
USES = Lookup(
    attachment_uses.c.content_hash,
    lambda named: (
        select(attachment_uses, attachments.c.size)
        .outerjoin(
            attachments,
            (attachments.c.attachment_hash == attachment_uses.c.attachment_hash)
            & (attachments.c.tract_id == bindparam("tract_id")),
        )
        .where(named)
    ),
)
"""What contents use; without a size, the tract was never given it."""
ATTACHMENTS = Statement(
    lambda: (
        select(attachments)
        .where(
            attachments.c.tract_id == bindparam("tract_id"),
            attachments.c.attachment_hash > bindparam("after"),
            attachments.c.created_at >= 0,
        )
        .order_by(attachments.c.attachment_hash)
        .limit(bindparam("limit"))
    )
)
ATTACHED = Lookup(
    attachments.c.attachment_hash,
    lambda named: select(attachments.c.attachment_hash, attachments.c.media_type).where(
        attachments.c.tract_id == bindparam("tract_id"), named
    ),
)


def _usages() -> Select[Any]:
    """Reports of commits up to a time: later ones are not copied yet."""
    commit = (commits.c.tract_id == usage.c.tract_id) & (
        commits.c.commit_hash == usage.c.commit_hash
    )
    return (
        select(usage)
        .join(commits, commit)
        .where(
            usage.c.tract_id == bindparam("tract_id"),
            usage.c.commit_hash > bindparam("after"),
            commits.c.created_at > bindparam("since"),
            commits.c.created_at <= bindparam("through"),
        )
        .order_by(usage.c.commit_hash)
        .limit(bindparam("limit"))
    )


USAGES = Statement(_usages)
REPORTED = Lookup(
    usage.c.commit_hash,
    lambda named: select(usage.c.commit_hash, usage.c.created_at).where(
        usage.c.tract_id == bindparam("tract_id"), named
    ),
)
REFS = Statement(lambda: select(refs).where(refs.c.tract_id == bindparam("tract_id")))
RUNS = Statement(lambda: select(runs).where(runs.c.tract_id == bindparam("tract_id")))
FACTS = ("title", "metadata_json", "created_at", "erasures", "updated_at")
OF_TRACT = Statement(
    lambda: select(*(tracts.c[name] for name in FACTS)).where(
        tracts.c.tract_id == bindparam("tract_id")
    )
)


def _add_tract() -> Any:
    """Add the row of a tract that has none: on PostgreSQL, where each has one, it adds nothing."""
    there = select(tracts.c.tract_id).where(tracts.c.tract_id == bindparam("tract_id"))
    new = select(bindparam("tract_id", type_=tracts.c.tract_id.type)).where(~there.exists())
    return tracts.insert().from_select(["tract_id"], new)


ADD_TRACT = Statement(_add_tract)
SET_TRACT = Statement(
    lambda: (
        update(tracts)
        .where(tracts.c.tract_id == bindparam("of_tract"))
        .values({name: bindparam(f"new_{name}") for name in (*FACTS, "commits")})
    )
)
STREAMS = Statement(
    lambda: select(spool.c.stream_id).where(spool.c.tract_id == bindparam("tract_id")).distinct()
)
PARTS = Statement(
    lambda: (
        select(spool)
        .where(
            spool.c.tract_id == bindparam("tract_id"), spool.c.stream_id == bindparam("stream_id")
        )
        .order_by(spool.c.number)
    )
)

ADD: Mapping[str, Insertion] = {
    "blobs": sql.ADD_BLOB,
    "attachments": sql.SET_ATTACHMENT,
    "attachment_uses": sql.ADD_USE,
    "commits": Insertion(commits, COLUMNS),
    "keys": SET_KEY,
    "origins": ADD_ORIGIN,
    "refs": Insertion(refs, instead=[column.name for column in refs.c if not column.primary_key]),
    "runs": Insertion(runs, instead=[]),
    "usage": sql.SET_USAGE,
    "spool": Insertion(spool, instead=["branch", "owner", "data", "updated_at"]),
}
"""How rows of each table are added, those that others refer to first."""
