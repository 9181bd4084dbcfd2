"""Queries by config on the connection's thread: the tract's commits, or those of one branch."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tract.models.query import ConfigCondition
from tract.storage import statements as sql
from tract.storage.conditions import matching
from tract.storage.config_index import has_config_index
from tract.storage.names import missing_branch, ref_name
from tract.storage.repositories import BranchName, CommitRecord
from tract.storage.rows import record_of
from tract.storage.walk import find_place, lost, walk_all

__all__ = ["matches", "matches_on"]

_ALL = 2**62


def matches(
    connection: sqlite3.Connection,
    tract_id: str,
    conditions: Sequence[ConfigCondition],
    limit: int | None,
) -> list[CommitRecord]:
    """Return the tract's commits that meet all *conditions*, oldest first."""
    indexed = {item.path for item in conditions if has_config_index(connection, item.path)}
    rows = matching(*conditions, indexed=indexed).all(
        connection, tract_id=tract_id, limit=_ALL if limit is None else limit
    )
    return [record_of(row) for row in rows]


def matches_on(
    connection: sqlite3.Connection,
    branch: BranchName,
    conditions: Sequence[ConfigCondition],
    limit: int | None,
) -> list[CommitRecord]:
    """Do what `matches` does for the history of a branch."""
    row = sql.BRANCH.one(connection, tract_id=branch.tract_id, name=ref_name(branch.branch))
    if row is None:
        missing_branch(branch)
    if row is None or row[0] is None or limit == 0:
        return []
    found = matches(connection, branch.tract_id, conditions, None)
    if not found:
        return []
    members = _history(connection, branch.tract_id, row[0], found[0].created_at)
    return [record for record in found if record.commit_hash in members][:limit]


def _history(
    connection: sqlite3.Connection, tract_id: str, head: bytes, since: int
) -> frozenset[str]:
    """Return a commit and its ancestors, but for those before a time."""
    place = find_place(connection, tract_id, head.hex())
    if place is None:
        raise lost(head)
    members: set[str] = set()
    for row in walk_all(connection, sql.WALK, tract_id, [place]):
        if row[2] < since:
            break
        members.add(row[0].hex())
    return frozenset(members)
