"""Deleting tracts and what nothing refers to, in portions that are one transaction each."""

from __future__ import annotations

from collections.abc import Iterable

from tract.storage.repositories import Freed
from tract.storage.sql.ancestry.condemned import condemn, release
from tract.storage.sql.naming import BRANCHES
from tract.storage.sql.port import Connection
from tract.storage.sql.searching import SearchIndex, forget_tract
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import erasures
from tract.storage.sql.writing.erasing import count
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["AT_ONCE", "collect", "drop_commits", "drop_names", "free", "unused"]

AT_ONCE: int = 256
_LOOKED_AT = 2_048


def drop_names(transaction: WriteTransaction, *, search: SearchIndex, tract_id: str) -> int:
    """See `ErasureRepository.drop_names`."""
    connection = transaction.connection
    transaction.tips.finish()
    rows = connection.all(erasures.BRANCHES, tract_id=tract_id)
    through = transaction.next_time(tract_id)
    for statement in erasures.DROP_ALL:
        connection.run(statement, of_tract=tract_id)
    condemn(connection, tract_id, through)
    forget_tract(connection, search, tract_id, through=through)
    count(transaction, tract_id)
    connection.run(erasures.CLEAR_TRACT, of_tract=tract_id, now=through)
    transaction.touch(tract_id, through)  # what begins it anew is later, by anybody's clock
    names = (row[0] for row in rows)
    moved = [name.removeprefix(BRANCHES) for name in names if name.startswith(BRANCHES)]
    transaction.tips.forget(tract_id, moved)
    return through


def drop_commits(
    transaction: WriteTransaction, *, search: SearchIndex, tract_id: str, through: int
) -> Freed:
    """See `ErasureRepository.drop_commits`.

    At the end what search has of the tract goes once more: an index that was built anew meanwhile
    has what was still there.
    """
    connection = transaction.connection
    transaction.tips.finish()
    transaction.tips.forget(tract_id)
    transaction.reported.add(tract_id)
    found = connection.all(erasures.NEWEST, tract_id=tract_id, through=through, limit=AT_ONCE)
    if found:
        for lookup in erasures.DROP_OF:
            connection.find(lookup, [row[0] for row in found], of_tract=tract_id)
        held = {key for row in found for key in row[1:] if key is not None}
        return free(connection, held)._replace(commits=len(found), more=True)
    granted = connection.all(erasures.GRANTS, tract_id=tract_id, limit=AT_ONCE)
    keys = [row[0] for row in granted]
    connection.find(erasures.DROP_GRANTS, keys, of_tract=tract_id)
    if not keys:
        forget_tract(connection, search, tract_id, through=through)
        connection.run(erasures.DROP_TRACT, of_tract=tract_id, through=through)
        release(connection, tract_id, through)
    return free(connection, keys)._replace(more=bool(keys))


def unused(connection: Connection, *, after: bytes) -> Freed:
    """Return what `collect` would do, without doing it."""
    keys = [row[0] for row in connection.all(erasures.BLOBS, after=after, limit=_LOOKED_AT)]
    rows = connection.find(erasures.FREE, keys)
    vacant = None if after else connection.one(erasures.VACANT)
    return Freed(
        blobs=len(rows),
        nbytes=sum(row[1] for row in rows),
        more=len(keys) == _LOOKED_AT,
        after=keys[-1] if keys else after,
        tracts=vacant[0] if vacant else 0,
    )


def collect(transaction: WriteTransaction, *, after: bytes) -> Freed:
    """See `ErasureRepository.collect`."""
    connection = transaction.connection
    vacant = 0 if after else connection.change(erasures.DROP_VACANT)
    keys = [row[0] for row in connection.all(erasures.BLOBS, after=after, limit=_LOOKED_AT)]
    return free(connection, keys)._replace(
        more=len(keys) == _LOOKED_AT, after=keys[-1] if keys else after, tracts=vacant
    )


def free(connection: Connection, blobs: Iterable[bytes]) -> Freed:
    """Free those of *blobs* that nothing shows, and the attachments that only they used.

    Those that erased commits refer to are emptied, and all others deleted.
    """
    number = nbytes = 0
    found = [*blobs]
    while found:
        rows = connection.find(erasures.FREE, found)
        keys = [row[0] for row in rows]
        number += len(keys)
        nbytes += sum(row[1] for row in rows)
        found = [row[1] for row in connection.find(sql.USES, keys)]
        connection.find(erasures.DROP_USES, keys)
        connection.find(erasures.EMPTY, [row[0] for row in rows if row[2]])
        connection.find(erasures.DROP_BLOBS, [row[0] for row in rows if not row[2]])
    return Freed(blobs=number, nbytes=nbytes)
