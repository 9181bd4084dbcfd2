"""The SQL that counts what a database holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, Select, cast, func, select

from tract.storage.schema import attachments, blobs, commits, keys, meta, refs, spool, tracts
from tract.storage.sql.statements.compiled import Statement

__all__ = ["COUNTS", "EXACT_COUNTS"]


def _count(of: Any, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(of).where(*conditions).scalar_subquery()


def _total(column: ColumnElement[Any]) -> ScalarSelect[int]:
    return select(cast(func.coalesce(func.sum(column), 0), BigInteger)).scalar_subquery()


_version = (
    select(cast(meta.c.value, BigInteger)).where(meta.c.key == "schema_version").scalar_subquery()
)
_since = (
    select(func.count())
    .select_from(commits)
    .where(commits.c.tract_id == tracts.c.tract_id, commits.c.created_at > tracts.c.updated_at)
    .correlate(tracts)
    .scalar_subquery()
)
"""The commits of a tract that its row does not count yet."""
_streams = select(spool.c.tract_id, spool.c.stream_id).distinct().subquery()
_attached = select(attachments.c.attachment_hash, attachments.c.size).distinct().subquery()


def _counts() -> Select[*tuple[Any, ...]]:
    return select(
        _version,
        _count(tracts, tracts.c.updated_at > 0),
        _total(tracts.c.commits + _since),
        _count(refs, refs.c.name >= "refs/heads/", refs.c.name < "refs/heads0"),
        _count(refs, refs.c.name >= "refs/tags/", refs.c.name < "refs/tags0"),
        _count(_streams),
    )


def _exact_counts() -> Select[*tuple[Any, ...]]:
    return _counts().add_columns(
        _count(blobs) - _count(_attached),
        _count(_attached),
        _total(_attached.c.size),
        _count(keys),
    )


COUNTS = Statement(_counts)
"""The columns of `StoreCounts` that rows of tracts and of refs tell."""
EXACT_COUNTS = Statement(_exact_counts)
