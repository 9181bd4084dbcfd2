"""Rows of tracts: what a transaction did there, written at once or, of commits, within a second.

A row that every commit updated would cost each transaction another page. So commits alone update
it only if its time is more than a second behind, or if they are many at once, which the next change
would have to count. The tract's time is then that of its last commit, and its number of commits the
stored one and those since.
"""

from __future__ import annotations

from dataclasses import dataclass

from tract.exceptions import StoreCorruptError, shown
from tract.storage.sql.port import Connection
from tract.storage.sql.statements import tracts as sql
from tract.storage.sql.statements.tract_lists import LAG

__all__ = ["MANY", "TractChange", "add_change", "last_change", "open_row"]

MANY: int = 64
"""Commits of one transaction that are counted at once."""


@dataclass(slots=True)
class TractChange:
    """What a transaction did in a tract: when first and last, how many commits, and if more."""

    first: int
    last: int = 0
    commits: int = 0
    is_more: bool = False


def last_change(connection: Connection, times: dict[str, int | None], tract_id: str) -> int | None:
    """Return the time that a tract's row has; *times* are those that are known.

    Raises:
        StoreCorruptError: it is not a time.
    """
    if tract_id not in times:
        row = connection.one(sql.ROW_TIME, tract_id=tract_id)
        if row is not None and not isinstance(row[0], int):
            raise StoreCorruptError(
                f"the row of the tract {shown(tract_id)} cannot be read: the store was damaged. "
                "Restore the file from a backup."
            )
        times[tract_id] = row[0] if row else None
    return times[tract_id]


def open_row(connection: Connection, times: dict[str, int | None], tract_id: str) -> None:
    """Add a tract's row if there is none, for statements that change it."""
    if last_change(connection, times, tract_id) is None:
        connection.run(sql.ADD_TRACT, tract_id=tract_id)
        times[tract_id] = 0


def add_change(
    connection: Connection, times: dict[str, int | None], tract_id: str, change: TractChange
) -> None:
    """Write what was done in a tract into its row, unless that can wait."""
    known = last_change(connection, times, tract_id)
    is_due = change.is_more or change.commits >= MANY
    if known and not is_due and change.last - known <= LAG:
        return
    open_row(connection, times, tract_id)
    connection.run(
        sql.TOUCH_TRACT,
        of_tract=tract_id,
        first=change.first,
        last=change.last,
        made=change.commits,
    )
    times[tract_id] = change.last
