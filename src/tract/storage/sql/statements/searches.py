"""The SQL of text search that engines share.

The table is in no `MetaData`, as it is only there while search is on.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    ColumnElement,
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
    text,
)

from tract.models.operations import OPERATIONS
from tract.storage.schema import blobs, commits, meta, refs
from tract.storage.sql.statements.commits import BLOB, LINKS, RECORD, SHOWN_TYPE, walk_of
from tract.storage.sql.statements.compiled import Lookup, Statement

SWITCH: str = "search"
"""The key of the row in `_tract_meta` that says which form the index has."""
SHOWN: list[str] = [name for name, rule in OPERATIONS.items() if rule.is_shown]
"""The operations whose contents are searched."""


def listing(name: str) -> TableClause:
    """Return a table of commits in the order in which they arrived, by numbers."""
    return table(
        name, column("id", BigInteger), column("tract_id", String), column("created_at", BigInteger)
    )


docs: TableClause = listing("search_docs")


def _is_of(listed: TableClause) -> ColumnElement[bool]:
    return and_(
        commits.c.tract_id == listed.c.tract_id, commits.c.created_at == listed.c.created_at
    )


def list_all(listed: TableClause) -> Statement:
    """Return the statement that lists all commits."""
    return Statement(
        lambda: listed.insert().from_select(
            ["tract_id", "created_at"],
            select(commits.c.tract_id, commits.c.created_at)
            .where(or_(*(commits.c.operation == name for name in SHOWN)))
            .order_by(commits.c.created_at, commits.c.tract_id),
        )
    )


def contents_of(listed: TableClause) -> Lookup:
    """Return the statement that finds what listed commits show."""
    return Lookup(
        listed.c.id,
        lambda named: (
            select(
                listed.c.id,
                listed.c.tract_id,
                func.coalesce(commits.c.erased_as, commits.c.content_hash),
                SHOWN_TYPE,
                func.length(blobs.c.data),
            )
            .select_from(listed.join(commits, _is_of(listed)).outerjoin(blobs, BLOB))
            .where(named)
        ),
    )


SWITCH_OFF = Statement(lambda: delete(meta).where(meta.c.key == bindparam("name")))
TOP = Statement(lambda: select(func.max(docs.c.id)))
DATA_OF = Lookup(
    blobs.c.content_hash,
    lambda named: select(blobs.c.content_hash, blobs.c.data).where(named),
)
FOUND = Lookup(
    docs.c.id,
    lambda named: (
        select(*RECORD, docs.c.id, SHOWN_TYPE, blobs.c.data)
        .select_from(docs.join(commits, _is_of(docs)).outerjoin(blobs, BLOB))
        .where(named)
    ),
)
TIMES = Lookup(
    commits.c.commit_hash,
    lambda named: select(commits.c.created_at).where(
        commits.c.tract_id == bindparam("tract_id"), named
    ),
)
HEADS = Lookup(
    refs.c.tract_id,
    lambda named: (
        select(refs.c.tract_id, refs.c.commit_hash, commits.c.created_at, commits.c.segment)
        .outerjoin(
            commits,
            (commits.c.tract_id == refs.c.tract_id) & (commits.c.commit_hash == refs.c.commit_hash),
        )
        .where(named, refs.c.name == bindparam("name"))
    ),
)
_PLACE = (commits.c.tract_id, commits.c.commit_hash, commits.c.created_at, commits.c.segment)
CHANGES = Lookup(
    commits.c.edit_target,
    lambda named: select(*_PLACE, commits.c.edit_target, commits.c.operation).where(named),
    commits.c.tract_id,
)
"""The edits and annotations of entries."""
PLACES = Lookup(
    commits.c.commit_hash, lambda named: select(*_PLACE).where(named), commits.c.tract_id
)
PRIORITIES = Lookup(
    commits.c.commit_hash,
    lambda named: (
        select(commits.c.tract_id, commits.c.commit_hash, SHOWN_TYPE, blobs.c.data)
        .outerjoin(blobs, BLOB)
        .where(named)
    ),
    commits.c.tract_id,
)
"""What commits hold that say how an entry is shown."""
COMPACTED = Lookup(
    commits.c.tract_id,
    lambda named: (
        select(commits.c.tract_id).where(named, text("commits.operation = 'compact'")).distinct()
    ),
)
"""The tracts that have compactions, by the index of these."""
WALK_SEGMENTS = walk_of(*LINKS, commits.c.segment)
