"""Queries by config over a tract or one branch; runs where the connection does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple

from tract.exceptions import CommitNotFoundError
from tract.models.queries.query import Condition, ConfigPath
from tract.storage.repositories import BranchName, CommitRow
from tract.storage.sql.ancestry.history import record_at
from tract.storage.sql.ancestry.walk import count_of, find_place, lost, walk_all
from tract.storage.sql.configs.language import ConfigLanguage, Shape
from tract.storage.sql.naming import missing_branch, ref_name
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import record_of
from tract.storage.sql.statements import commits as sql

__all__ = ["ConfigQueries", "Window", "window_of"]

_ALL = 2**62
_FIRST_LOOK = 256
_MEETS = 4  # a column of `ConfigLanguage.meeting`
_FEW = 30
"""Walking to one commit among others takes as long as querying this many."""


class Window(NamedTuple):
    """The commits that a query may return: those after one time and before another."""

    since: int = -1
    until: int = _ALL
    newest: bool = False

    @property
    def is_part(self) -> bool:
        """Whether it leaves out any commit."""
        return (self.since, self.until) != (-1, _ALL)


_WHOLE = Window()


def window_of(
    connection: Connection, tract_id: str, after: str | None, before: str | None, *, newest: bool
) -> Window:
    """Return the commits after one commit and before another, of which either may be None.

    Raises:
        CommitNotFoundError: the tract does not have one of them.
    """
    times = [-1, _ALL]
    for at, named in enumerate((after, before)):
        if named is not None:
            place = find_place(connection, tract_id, named)
            if place is None:
                raise CommitNotFoundError(named)
            times[at] = place.created_at
    return Window(times[0], times[1], newest)


class ConfigQueries:
    """Finds commits by their configs, in an engine's language."""

    def __init__(self, language: ConfigLanguage) -> None:
        self.language: ConfigLanguage = language

    def matches(
        self,
        connection: Connection,
        tract_id: str,
        conditions: Sequence[Condition],
        limit: int | None,
        window: Window = _WHOLE,
    ) -> list[CommitRow]:
        """Return the tract's commits that meet all *conditions*, oldest or newest first."""
        shape = Shape(window.is_part, window.newest)
        rows = self._rows(
            connection, tract_id, conditions, window, shape, limit=_ALL if limit is None else limit
        )
        return [record_of(row) for row in rows]

    def count(
        self,
        connection: Connection,
        branch: BranchName,
        conditions: Sequence[Condition],
        window: Window,
        *,
        branch_only: bool,
    ) -> int:
        """Return the number of commits that `matches`, or `matches_on`, would return."""
        if branch_only:
            return len(self.matches_on(connection, branch, conditions, None, window))
        shape = Shape(window.is_part, counted=True)
        rows = self._rows(connection, branch.tract_id, conditions, window, shape)
        number: int = rows[0][0] if rows else 0
        return number

    def _rows(
        self,
        connection: Connection,
        tract_id: str,
        conditions: Sequence[Condition],
        window: Window,
        shape: Shape,
        **parameters: int,
    ) -> list[Row]:
        indexed = self.language.indexed(connection, conditions)
        if shape.within:
            parameters.update(since=window.since, until=window.until)
        statement = self.language.matching(*conditions, indexed=indexed, shape=shape)
        return connection.all(statement, tract_id=tract_id, **parameters)

    def matches_on(
        self,
        connection: Connection,
        branch: BranchName,
        conditions: Sequence[Condition],
        limit: int | None,
        window: Window = _WHOLE,
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
        rows = walk_all(connection, self.language.meeting(*conditions), tract_id, [head])
        walked = _while_few(connection, tract_id, rows)
        if walked.ended:
            times = window.since, window.until
            met = [key for key, time in walked.met if times[0] < time < times[1]]
            met = met if window.newest else met[::-1]
            return [record_at(connection, tract_id, key) for key in met[:limit]]
        found = self.matches(connection, tract_id, conditions, None, window)
        since = min((found[0].created_at, found[-1].created_at)) if found else _ALL
        walked.members.update(row[0] for row in takewhile(lambda row: row[2] >= since, rows))
        return [each for each in found if bytes.fromhex(each.commit_hash) in walked.members][:limit]

    def create_index(self, connection: Connection, path: ConfigPath) -> None:
        """See `ConfigLanguage.create_index`."""
        self.language.create_index(connection, path)


class _Walked(NamedTuple):
    """The commits that a walk has met, those that match, and whether the walk is complete."""

    members: set[bytes]
    met: list[tuple[bytes, int]]
    ended: bool


def _while_few(connection: Connection, tract_id: str, rows: Iterator[tuple[Any, ...]]) -> _Walked:
    """Walk a branch to its end, or until it proves to be a large part of its tract."""
    members: set[bytes] = set()
    met: list[tuple[bytes, int]] = []
    enough = _FIRST_LOOK
    while True:
        for row in islice(rows, enough - len(members)):
            members.add(row[0])
            if row[_MEETS]:
                met.append((row[0], row[2]))
        if len(members) < enough:
            return _Walked(members, met, True)
        most = _FEW * enough
        if count_of(connection, tract_id, limit=most) < most:
            return _Walked(members, met, False)
        enough *= 2
