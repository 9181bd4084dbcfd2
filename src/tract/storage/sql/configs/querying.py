"""Queries by config over a tract or one branch; runs where the connection does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple

from tract.models.query import ConfigCondition, ConfigPath
from tract.storage.repositories import BranchName, CommitRow
from tract.storage.sql.ancestry.history import record_at
from tract.storage.sql.ancestry.walk import count_of, find_place, lost, walk_all
from tract.storage.sql.configs.language import ConfigLanguage
from tract.storage.sql.naming import missing_branch, ref_name
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import record_of
from tract.storage.sql.statements import commits as sql

__all__ = ["ConfigQueries"]

_ALL = 2**62
_FIRST_LOOK = 256
_FEW = 30
"""Walking to one commit among others takes as long as querying this many."""


class ConfigQueries:
    """Finds commits by their configs, in an engine's language."""

    def __init__(self, language: ConfigLanguage) -> None:
        self._language = language

    def matches(
        self,
        connection: Connection,
        tract_id: str,
        conditions: Sequence[ConfigCondition],
        limit: int | None,
    ) -> list[CommitRow]:
        """Return the tract's commits that meet all *conditions*, oldest first."""
        indexed = self._language.indexed(connection, conditions)
        rows = connection.all(
            self._language.matching(*conditions, indexed=indexed),
            tract_id=tract_id,
            limit=_ALL if limit is None else limit,
        )
        return [record_of(row) for row in rows]

    def matches_on(
        self,
        connection: Connection,
        branch: BranchName,
        conditions: Sequence[ConfigCondition],
        limit: int | None,
    ) -> list[CommitRow]:
        """Do what `matches` does for the history of a branch.

        If the branch is most of its tract, querying the whole tract is quicker, and there may be an
        index. So the branch is walked only while it may be a small part.
        """
        tract_id = branch.tract_id
        row = connection.one(sql.BRANCH, tract_id=tract_id, name=ref_name(branch.branch))
        if row is None:
            missing_branch(connection, branch)
        if row is None or row[0] is None or limit == 0:
            return []
        head = find_place(connection, tract_id, row[0].hex())
        if head is None:
            raise lost(row[0])
        rows = walk_all(connection, self._language.meeting(*conditions), tract_id, [head])
        walked = _while_few(connection, tract_id, rows)
        if walked.ended:
            return [record_at(connection, tract_id, key) for key in walked.met[::-1][:limit]]
        found = self.matches(connection, tract_id, conditions, None)
        since = found[0].created_at if found else _ALL
        walked.members.update(row[0] for row in takewhile(lambda row: row[2] >= since, rows))
        return [each for each in found if bytes.fromhex(each.commit_hash) in walked.members][:limit]

    def create_index(self, connection: Connection, path: ConfigPath) -> None:
        """See `ConfigLanguage.create_index`."""
        self._language.create_index(connection, path)


class _Walked(NamedTuple):
    """The commits that a walk has met, those that match, and whether the walk is complete."""

    members: set[bytes]
    met: list[bytes]
    ended: bool


def _while_few(connection: Connection, tract_id: str, rows: Iterator[tuple[Any, ...]]) -> _Walked:
    """Walk a branch to its end, or until it proves to be a large part of its tract."""
    members: set[bytes] = set()
    met: list[bytes] = []
    enough = _FIRST_LOOK
    while True:
        for row in islice(rows, enough - len(members)):
            members.add(row[0])
            if row[-1]:
                met.append(row[0])
        if len(members) < enough:
            return _Walked(members, met, True)
        most = _FEW * enough
        if count_of(connection, tract_id, limit=most) < most:
            return _Walked(members, met, False)
        enough *= 2
