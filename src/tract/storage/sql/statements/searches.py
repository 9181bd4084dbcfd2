"""The SQL of text search that engines share.

The table is in no `MetaData`, as it is only there while search is on.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    String,
    TableClause,
    and_,
    bindparam,
    column,
    delete,
    func,
    or_,
    select,
    table,
)

from tract.models.operations import OPERATIONS
from tract.storage.schema import blobs, commits, meta
from tract.storage.sql.statements.commits import BLOB, LINKS, RECORD, SHOWN_TYPE, walk_of
from tract.storage.sql.statements.compiled import Lookup, Statement

SWITCH: str = "search"
"""The key of the row in `_tract_meta` that says which form the index has."""
SHOWN: list[str] = [name for name, rule in OPERATIONS.items() if rule.is_shown]
"""The operations whose contents are searched."""

docs: TableClause = table(
    "search_docs",
    column("id", BigInteger),
    column("tract_id", String),
    column("created_at", BigInteger),
)
"""Commits in the order in which they arrived; an index knows them by their numbers."""
_COMMIT = and_(commits.c.tract_id == docs.c.tract_id, commits.c.created_at == docs.c.created_at)

LIST_ALL = Statement(
    lambda: docs.insert().from_select(
        ["tract_id", "created_at"],
        select(commits.c.tract_id, commits.c.created_at)
        .where(or_(*(commits.c.operation == name for name in SHOWN)))
        .order_by(commits.c.created_at, commits.c.tract_id),
    )
)
SWITCH_OFF = Statement(lambda: delete(meta).where(meta.c.key == bindparam("name")))
TOP = Statement(lambda: select(func.max(docs.c.id)))
CONTENTS_OF = Lookup(
    docs.c.id,
    lambda named: (
        select(
            docs.c.id,
            docs.c.tract_id,
            func.coalesce(commits.c.erased_as, commits.c.content_hash),
            SHOWN_TYPE,
            func.length(blobs.c.data),
        )
        .select_from(docs.join(commits, _COMMIT).outerjoin(blobs, BLOB))
        .where(named)
    ),
)
DATA_OF = Lookup(
    blobs.c.content_hash,
    lambda named: select(blobs.c.content_hash, blobs.c.data).where(named),
)
FOUND = Lookup(
    docs.c.id,
    lambda named: (
        select(*RECORD, docs.c.id, SHOWN_TYPE, blobs.c.data)
        .select_from(docs.join(commits, _COMMIT).outerjoin(blobs, BLOB))
        .where(named)
    ),
)
TIMES = Lookup(
    commits.c.commit_hash,
    lambda named: select(commits.c.created_at).where(
        commits.c.tract_id == bindparam("tract_id"), named
    ),
)
CHANGES = Lookup(
    commits.c.edit_target,
    lambda named: select(
        commits.c.commit_hash,
        commits.c.created_at,
        commits.c.segment,
        commits.c.edit_target,
        commits.c.operation,
    ).where(commits.c.tract_id == bindparam("tract_id"), named),
)
"""The edits and annotations of entries."""
PLACES = Lookup(
    commits.c.commit_hash,
    lambda named: select(commits.c.commit_hash, commits.c.created_at, commits.c.segment).where(
        commits.c.tract_id == bindparam("tract_id"), named
    ),
)
WALK_SEGMENTS = walk_of(*LINKS, commits.c.segment)
