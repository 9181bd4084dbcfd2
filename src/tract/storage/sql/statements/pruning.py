"""The SQL that finds and deletes what no context of a tract since a boundary shows."""

from __future__ import annotations

from sqlalchemy import Table, bindparam, case, delete, func, or_, select, union_all, update

from tract.models.operations import CommitOperation
from tract.storage.schema import commits, keys, origins, refs, runs, tracts, usage
from tract.storage.sql.statements.compiled import Lookup, Statement

_tract = commits.c.tract_id == bindparam("tract_id")
_by_content = commits.c.tract_id + "" == bindparam("tract_id")
"""See `erasures`."""
_parent = commits.alias("parent")
_place = (commits.c.commit_hash, commits.c.segment, commits.c.created_at)
_of_run = (runs.c.tract_id == bindparam("of_tract"), runs.c.segment == bindparam("of_segment"))
_HOLDER = (
    commits.c.commit_hash,
    commits.c.content_hash,
    commits.c.operation,
    commits.c.edit_target,
    commits.c.created_at,
    commits.c.key,
)
"""What decides about a commit's content."""

TIMES = Statement(
    lambda: union_all(
        select(func.max(commits.c.created_at)).where(_tract),
        select(func.max(refs.c.started_at)).where(refs.c.tract_id == bindparam("tract_id")),
        select(func.max(runs.c.ended_at)).where(runs.c.tract_id == bindparam("tract_id")),
    )
)
OF_REFS = Statement(
    lambda: (
        select(*_place)
        .join(
            refs,
            (commits.c.tract_id == refs.c.tract_id) & (commits.c.commit_hash == refs.c.commit_hash),
        )
        .where(refs.c.tract_id == bindparam("tract_id"))
    )
)
"""The places that branches and tags point to."""
OF_RUNS = Statement(
    lambda: (
        select(*_place)
        .join(
            runs,
            (commits.c.tract_id == runs.c.tract_id) & (commits.c.commit_hash == runs.c.end_hash),
        )
        .where(runs.c.tract_id == bindparam("tract_id"), runs.c.ended_at >= bindparam("since"))
    )
)
"""Those that a reflog since some time says branches pointed to."""
OF_KEYS = Statement(
    lambda: (
        select(commits.c.segment, func.max(commits.c.created_at))
        .join(
            keys,
            (commits.c.tract_id == keys.c.tract_id) & (commits.c.commit_hash == keys.c.commit_hash),
        )
        .where(keys.c.tract_id == bindparam("tract_id"))
        .group_by(commits.c.segment)
    )
)
"""The segments of commits that keys name, with the time of the last of these."""
NTH = Statement(
    lambda: (
        select(commits.c.created_at)
        .where(_tract)
        .order_by(commits.c.created_at.desc())
        .limit(1)
        .offset(bindparam("offset"))
    )
)
CHANGES = Statement(
    lambda: (
        select(
            commits.c.commit_hash,
            commits.c.parent_hash,
            commits.c.merge_parent,
            commits.c.edit_target,
        )
        .where(
            _tract,
            commits.c.created_at > bindparam("since"),
            or_(
                commits.c.operation == CommitOperation.ANNOTATE.value,
                commits.c.merge_parent.is_not(None),
            ),
        )
        .order_by(commits.c.created_at)
        .limit(bindparam("limit"))
    )
)
"""The merges and the annotations since some time."""
FRONTIER = Statement(
    lambda: (
        select(
            commits.c.commit_hash,
            case((commits.c.created_at > bindparam("boundary"), commits.c.parent_hash)),
        )
        .join(
            _parent,
            (commits.c.tract_id == _parent.c.tract_id)
            & (commits.c.parent_hash == _parent.c.commit_hash),
        )
        .where(
            _tract,
            commits.c.created_at >= bindparam("boundary"),
            _parent.c.created_at < bindparam("boundary"),
        )
    )
)
"""The first commits since some time of all lines that go on from before.

With their parents, if these were heads at that time.
"""
STARTED = Statement(
    lambda: (
        select(refs.c.start_hash, commits.c.created_at)
        .outerjoin(
            commits,
            (commits.c.tract_id == refs.c.tract_id) & (commits.c.commit_hash == refs.c.start_hash),
        )
        .where(
            refs.c.tract_id == bindparam("tract_id"),
            refs.c.started_at > bindparam("since"),
            refs.c.start_hash.is_not(None),
        )
    )
)
"""Where refs were set to since some time, with the times of those commits."""

EMPTY_RUNS = Statement(
    lambda: (
        select(runs.c.segment)
        .outerjoin(
            commits,
            (commits.c.tract_id == runs.c.tract_id) & (commits.c.commit_hash == runs.c.end_hash),
        )
        .where(
            runs.c.tract_id == bindparam("tract_id"),
            runs.c.ended_at < bindparam("boundary"),
            runs.c.segment < bindparam("last"),
            or_(commits.c.segment.is_(None), commits.c.segment != runs.c.segment),
        )
        .limit(bindparam("limit"))
    )
)
"""Runs that ended before some time without a commit of their own: they ended where they began."""
DROP_RUN = Statement(lambda: delete(runs).where(*_of_run))
SET_RUN_END = Statement(lambda: update(runs).where(*_of_run).values(end_hash=bindparam("end")))

UNREACHED = Statement(
    lambda: (
        select(*_place)
        .where(_tract, commits.c.created_at < bindparam("at"))
        .order_by(commits.c.created_at.desc())
        .limit(bindparam("limit"))
    )
)
CONDEMNED = Lookup(
    commits.c.commit_hash,
    lambda named: select(
        *_place, commits.c.parent_hash, commits.c.content_hash, commits.c.erased_as
    ).where(_tract, named),
)


def _of_commits(table: Table) -> Lookup:
    return Lookup(
        table.c.commit_hash,
        lambda named: delete(table).where(table.c.tract_id == bindparam("of_tract"), named),
    )


DROP_OF = [_of_commits(table) for table in (keys, usage, origins, commits)]
"""What belongs to commits, and then these themselves."""
COUNT_OFF = Statement(
    lambda: (
        update(tracts)
        .where(tracts.c.tract_id == bindparam("of_tract"))
        .values(
            commits=case(
                (tracts.c.commits > bindparam("number"), tracts.c.commits - bindparam("number")),
                else_=0,
            )
        )
    )
)

UNNEEDED = Statement(
    lambda: (
        select(*_HOLDER)
        .where(
            _tract,
            commits.c.created_at > bindparam("at"),
            commits.c.created_at < bindparam("boundary"),
            commits.c.erased_as.is_(None),
        )
        .order_by(commits.c.created_at)
        .limit(bindparam("limit"))
    )
)
HOLDERS = Lookup(
    commits.c.content_hash,
    lambda named: select(*_HOLDER).where(named, _by_content, commits.c.erased_as.is_(None)),
)
