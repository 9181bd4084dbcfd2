"""The SQL of callers' keys. They are compared and sorted by code point."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, select

from tract.storage.schema import commits, keys
from tract.storage.sql.statements.commits import RECORD
from tract.storage.sql.statements.compiled import Insertion, Lookup, Statement

_tract = keys.c.tract_id == bindparam("tract_id")


def _records(*columns: ColumnElement[Any]) -> Select[Any]:
    """Return what reads the commits that keys name."""
    named = (commits.c.tract_id == keys.c.tract_id) & (commits.c.commit_hash == keys.c.commit_hash)
    return select(*RECORD, *columns).join_from(keys, commits, named).where(_tract)


_begins = func.substr(commits.c.key, 1, bindparam("length")) == bindparam("prefix")
"""The prefix once more, by the whole key: the beginning of a long one may be stored alone."""
_from, _until = keys.c.key >= bindparam("low"), keys.c.key < bindparam("high")


def _page() -> Select[Any]:
    return _records().where(_begins).limit(bindparam("limit"))


def _newest() -> Select[Any]:
    """Sort what a prefix matches before its commits are read, which are wide."""
    found = (
        select(keys.c.commit_hash)
        .where(_tract, _from, _until, keys.c.created_at < bindparam("until"))
        .order_by((keys.c.created_at + 0).desc())  # SQLite would read by time, not by prefix
        .limit(bindparam("most"))
        .subquery()
    )
    named = (commits.c.tract_id == bindparam("tract_id")) & (
        commits.c.commit_hash == found.c.commit_hash
    )
    newest_first = commits.c.created_at.desc()
    read = select(*RECORD).join_from(found, commits, named).where(_begins)
    return read.order_by(newest_first).limit(bindparam("limit"))


def _recent() -> Select[Any]:
    """Look for a prefix among the newest keys alone, which an index has in order."""
    newest = (
        select(keys.c.key, keys.c.created_at)
        .where(_tract, keys.c.created_at < bindparam("until"))
        .order_by(keys.c.created_at.desc())
        .limit(bindparam("recent"))
        .subquery()
    )
    found = (
        select(newest.c.key)
        .where(newest.c.key >= bindparam("low"), newest.c.key < bindparam("high"))
        .order_by(newest.c.created_at.desc())
        .limit(bindparam("most"))
        .subquery()
    )
    read = _page().join(found, found.c.key == keys.c.key)
    return read.order_by(keys.c.created_at.desc())


SET_KEY = Insertion(keys, instead=["commit_hash", "created_at"])
KEYED = Statement(lambda: _records().where(keys.c.key == bindparam("key")))
KEYED_MANY = Lookup(keys.c.key, lambda named: _records(keys.c.key).where(named))
"""The key as it is stored comes last."""
BY_KEY = Statement(
    lambda: _page().where(_from, _until, keys.c.key > bindparam("after")).order_by(keys.c.key)
)
BY_TIME = Statement(
    lambda: _page().where(keys.c.created_at < bindparam("until")).order_by(keys.c.created_at.desc())
)
RECENT = Statement(_recent)
"""Does what `NEWEST` does, among the tract's `recent` newest keys."""
NEWEST = Statement(_newest)
"""`most` bounds what is read; the stored beginning of a key may match more than its whole does."""
ALL_KEYS = Statement(lambda: select(keys.c.key, keys.c.commit_hash).where(_tract))
GIVEN = Statement(
    lambda: (
        select(commits.c.key, commits.c.commit_hash)
        .where(commits.c.tract_id == bindparam("tract_id"), commits.c.key.is_not(None))
        .order_by(commits.c.created_at)
    )
)
"""The keys that commits were made under, oldest first."""
