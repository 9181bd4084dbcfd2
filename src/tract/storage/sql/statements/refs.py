"""The SQL of refs, of branches' runs, and of commits' origins."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    Table,
    bindparam,
    cast,
    delete,
    func,
    literal,
    null,
    select,
    union,
    union_all,
    update,
)

from tract.storage.schema import commits, origins, refs, runs, tracts, usage
from tract.storage.sql.statements.compiled import Insertion, Lookup, Statement

MOVED = (
    "commit_hash",
    "segment",
    "updated_at",
    "started_at",
    "start_hash",
    "action",
    "note",
)
"""The columns that `MOVE_REF` sets."""
_run = (
    runs.c.name,
    runs.c.segment,
    runs.c.start_hash,
    runs.c.started_at,
    runs.c.action,
    runs.c.note,
)
_open_run = (
    refs.c.name,
    refs.c.segment,
    refs.c.start_hash,
    refs.c.started_at,
    refs.c.action,
    refs.c.note,
)


def _named(table: Table) -> tuple[Any, ...]:
    return (table.c.tract_id == bindparam("tract_id"), table.c.name == bindparam("name"))


LAST_SEGMENTS = Statement(
    lambda: select(
        *(
            select(value).where(table.c.tract_id == bindparam("tract_id")).scalar_subquery()
            for table, value in (
                (refs, func.max(refs.c.segment)),
                (runs, func.max(runs.c.segment)),
                (commits, func.max(commits.c.created_at)),
                (tracts, tracts.c.erasures),
            )
        )
    )
)
"""A segment that a tract has used belongs to a ref or to a run that has ended. The time of the last
commit and the number of erasures come along."""

REFS = Statement(
    lambda: (
        select(refs.c.name, refs.c.commit_hash, refs.c.created_at, refs.c.updated_at)
        .where(
            refs.c.tract_id == bindparam("tract_id"),
            refs.c.name >= bindparam("low"),
            refs.c.name < bindparam("high"),
        )
        .order_by(refs.c.name)
    )
)
HEADS = Statement(
    lambda: union(
        select(refs.c.commit_hash).where(
            refs.c.tract_id == bindparam("tract_id"), refs.c.commit_hash.is_not(None)
        ),
        select(runs.c.end_hash).where(
            runs.c.tract_id == bindparam("tract_id"), runs.c.end_hash.is_not(None)
        ),
    )
)
"""All that refs point to or that branches pointed to before a move; together they reach every
commit of a tract."""
PLACES = Statement(
    lambda: (
        select(
            refs.c.segment, commits.c.segment, refs.c.commit_hash, refs.c.start_hash, refs.c.name
        )
        .outerjoin(
            commits,
            (commits.c.tract_id == refs.c.tract_id) & (commits.c.commit_hash == refs.c.commit_hash),
        )
        .where(
            refs.c.tract_id == bindparam("tract_id"),
            refs.c.name >= "refs/heads/",
            refs.c.name < "refs/heads0",
            commits.c.commit_hash.is_not(None) | refs.c.commit_hash.is_(None),
        )
    )
)
"""For branches that are empty or have an existing head: what `rows.is_in_place` takes, and their
names."""
STRAYS = Statement(
    lambda: select(func.coalesce(refs.c.commit_hash, refs.c.start_hash), refs.c.name).where(
        refs.c.tract_id == bindparam("tract_id"),
        (refs.c.name < "refs/heads/")
        | ((refs.c.name >= "refs/heads0") & (refs.c.name < "refs/tags/"))
        | (refs.c.name >= "refs/tags0"),
    )
)
"""Of refs that are named as neither a branch nor a tag is: where they point, or began, and their names."""
ADD_REF = Insertion(refs)
MOVE_REF = Statement(
    lambda: (
        update(refs)
        .where(
            refs.c.tract_id == bindparam("of_tract"),
            refs.c.name == bindparam("of_name"),
        )
        .values({column: bindparam(f"new_{column}") for column in MOVED})
    )
)
DELETE_REF = Statement(lambda: delete(refs).where(*_named(refs)))
ADD_RUN = Insertion(runs)
RUNS = Statement(
    lambda: (
        select(*_run, runs.c.end_hash, runs.c.ended_at, runs.c.ended_by)
        .where(runs.c.tract_id == bindparam("tract_id"))
        .order_by(runs.c.segment)
    )
)
OPEN_RUNS = Statement(
    lambda: (
        select(*_open_run)
        .where(
            refs.c.tract_id == bindparam("tract_id"),
            refs.c.name >= "refs/heads/",
            refs.c.name < "refs/heads0",
        )
        .order_by(refs.c.segment)
    )
)
MOVES = Statement(
    lambda: (
        select(
            commits.c.segment,
            commits.c.parent_hash,
            commits.c.commit_hash,
            commits.c.operation,
            commits.c.message,
            commits.c.created_at,
        )
        .where(commits.c.tract_id == bindparam("tract_id"))
        .order_by(commits.c.created_at)
    )
)
ADD_ORIGIN = Insertion(origins, instead=[])


def _origins() -> Select[str, bytes, bytes]:
    return (
        select(origins.c.kind, origins.c.source_hash, origins.c.commit_hash)
        .join(
            commits,
            (commits.c.tract_id == origins.c.tract_id)
            & (commits.c.commit_hash == origins.c.commit_hash),
        )
        .where(origins.c.tract_id == bindparam("tract_id"))
        .order_by(commits.c.created_at + 0, origins.c.source_hash)  # else it reads all commits
    )


ORIGINS = Statement(_origins)
ORIGINS_OF = Statement(lambda: _origins().where(origins.c.commit_hash == bindparam("hash")))
KEEPERS = Statement(
    lambda: union_all(
        _placed(refs.c.name, refs, refs.c.commit_hash).where(
            ((refs.c.name >= "refs/heads/") & (refs.c.name < "refs/heads0"))
            | ((refs.c.name >= "refs/tags/") & (refs.c.name < "refs/tags0"))
        ),
        _placed(cast(null(), String), origins, origins.c.commit_hash).where(
            origins.c.source_hash == bindparam("source"), origins.c.kind == "squash"
        ),
    )
)
"""Branches and tags with the places they point to, and without a name those of squashes of a head."""
SQUASHED = Statement(
    lambda: select(origins.c.commit_hash).where(
        origins.c.tract_id == bindparam("tract_id"),
        origins.c.source_hash == bindparam("source"),
        origins.c.kind == "squash",
    )
)
USAGES = Statement(
    lambda: (
        select(
            usage.c.commit_hash,
            usage.c.prompt_tokens,
            usage.c.completion_tokens,
            usage.c.total_tokens,
        )
        .where(usage.c.tract_id == bindparam("tract_id"))
        .limit(bindparam("limit"))
    )
)


def _placed(
    name: ColumnElement[Any], table: Table, commit_hash: ColumnElement[Any]
) -> Select[*tuple[Any, ...]]:
    """Return the places of the commits that a column of a table names."""
    place = (commits.c.commit_hash, commits.c.created_at, commits.c.segment, commits.c.operation)
    on = (commits.c.tract_id == table.c.tract_id) & (commits.c.commit_hash == commit_hash)
    return (
        select(name, *place)
        .join_from(table, commits, on)
        .where(table.c.tract_id == bindparam("tract_id"))
    )


def _joints() -> CompoundSelect[*tuple[Any, ...]]:
    source = commits.alias("source")
    begun = (
        select(run.c.segment, literal(0), source.c.segment, source.c.created_at)
        .join(
            source,
            (source.c.tract_id == run.c.tract_id) & (source.c.commit_hash == run.c.start_hash),
        )
        .where(run.c.tract_id == bindparam("tract_id"))
        for run in (runs, refs)
    )
    merged = (
        select(commits.c.segment, commits.c.created_at, source.c.segment, source.c.created_at)
        .join(
            source,
            (source.c.tract_id == commits.c.tract_id)
            & (source.c.commit_hash == commits.c.merge_parent),
        )
        .where(
            commits.c.tract_id == bindparam("tract_id"),
            commits.c.created_at > bindparam("since"),
            commits.c.merge_parent.is_not(None),
        )
    )
    return union_all(*begun, merged)


PLACES_OF = Lookup(
    commits.c.commit_hash,
    lambda named: select(commits.c.commit_hash, commits.c.created_at, commits.c.segment).where(
        commits.c.tract_id == bindparam("tract_id"), named
    ),
)
TIPS = Statement(
    lambda: (
        select(refs.c.name, refs.c.commit_hash, commits.c.created_at, commits.c.segment)
        .join(
            commits,
            (commits.c.tract_id == refs.c.tract_id) & (commits.c.commit_hash == refs.c.commit_hash),
        )
        .where(
            refs.c.tract_id == bindparam("tract_id"),
            refs.c.name >= "refs/heads/",
            refs.c.name < "refs/heads0",
        )
        .order_by(refs.c.name)
    )
)
"""The heads of branches, but for those that are empty, with their places."""
JOINTS = Statement(_joints)
"""Where a segment goes on from a commit of another, by a merge or from its start (at time 0).

Of the latter commit the segment and the time come last. Merges up to *since* are left out.
"""
