"""Tracts that are being erased whole, of which nobody may build on what is still there.

A row of `_tract_meta` says up to which time the commits of a tract are condemned: from the
transaction that deletes its names to the one that deletes the last of these commits, however often
that is cut short. It is named by a digest, because ids of tracts are longer than its key.
"""

from __future__ import annotations

from tract.storage.sql.naming import condemned_key
from tract.storage.sql.port import Connection
from tract.storage.sql.statements import commits as sql

__all__ = ["NEVER", "condemn", "condemned_through", "release"]

NEVER = -1
"""Before the time of any commit."""


def condemned_through(connection: Connection, tract_id: str) -> int:
    """Return the time up to which a tract's commits are condemned; `NEVER` if none are."""
    row = connection.one(sql.META, key=condemned_key(tract_id))
    return int(row[0]) if row else NEVER


def condemn(connection: Connection, tract_id: str, through: int) -> None:
    """Condemn the commits of a tract up to a time, and whatever attachments it was given so far."""
    connection.run(sql.SET_META, key=condemned_key(tract_id), value=str(through))
    connection.run(sql.CONDEMN_GRANTS, of_tract=tract_id)


def release(connection: Connection, tract_id: str, through: int) -> None:
    """Note that all that was condemned up to a time is gone, unless more has been since."""
    connection.run(sql.DROP_META, name=condemned_key(tract_id), former=str(through))
