"""Erasing, in a transaction that nobody else writes in; runs on the connection's thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

from tract.storage.repositories import Erased, Marker
from tract.storage.sql.port import Connection
from tract.storage.sql.searching import SearchIndex, forget
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import erasures
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["count", "drop_attachments", "erase", "put_markers"]


def erase(
    transaction: WriteTransaction,
    *,
    search: SearchIndex,
    tract_id: str,
    named: Sequence[str],
    markers: Mapping[str, Marker],
) -> Erased:
    """See `ErasureRepository.erase`."""
    connection = transaction.connection
    keys = {bytes.fromhex(name) for name in named}
    at = {bytes.fromhex(content): marker for content, marker in markers.items()}
    found = connection.find(erasures.TELLING, keys, tract_id=tract_id)
    told: dict[bytes, str | None] = dict(found)
    chosen: dict[bytes, list[bytes]] = {}
    order: list[bytes] = []
    for key, content in connection.find(erasures.OF_CONTENTS, at, tract_id=tract_id):
        if key in keys or at[content].along:
            chosen.setdefault(content, []).append(key)
            order.append(key)
    if not chosen and not told:
        return Erased((), (), 0, 0, 0, _erasures(connection, tract_id))
    attachments, emptied = put_markers(connection, search, tract_id, at, chosen)
    own = [*dict.fromkeys([*(key for key in order if key in keys), *told])]
    _strip(connection, tract_id, told)
    return Erased(
        [key.hex() for key in own],
        [key.hex() for key in order if key not in keys],
        emptied,
        len(chosen) - emptied,
        attachments,
        count(transaction, tract_id),
    )


def put_markers(
    connection: Connection,
    search: SearchIndex,
    tract_id: str,
    markers: Mapping[bytes, Marker],
    holders: Mapping[bytes, Collection[bytes]],
) -> tuple[int, int]:
    """Put markers in the place of contents, by the commits that hold these.

    Return how many attachments the tract lost with them, and how many contents are gone.
    """
    alike: dict[bytes, list[bytes]] = {}
    for content, commits in holders.items():
        marker = markers[content]
        key = bytes.fromhex(marker.content_hash)
        if key not in alike:
            connection.run(sql.ADD_BLOB, content_hash=key, data=marker.data)
        alike.setdefault(key, []).extend(commits)
    for key, commits in alike.items():
        connection.find(erasures.ERASE, commits, of_tract=tract_id, marker=key)
    forget(connection, search, tract_id, chain.from_iterable(holders.values()))
    used = {row[1] for row in connection.find(sql.USES, holders)}
    attachments = drop_attachments(connection, tract_id, used)
    emptied = _empty(connection, holders)
    connection.find(erasures.DROP_USES, emptied)
    return attachments, len(emptied)


def _strip(connection: Connection, tract_id: str, told: Mapping[bytes, str | None]) -> None:
    """Take everything from commits, given with their keys, that no hash covers."""
    connection.find(erasures.STRIP, told, of_tract=tract_id)
    connection.find(erasures.DROP_REPORTS, told, of_tract=tract_id)
    for key, name in told.items():
        if name is not None:
            connection.run(erasures.DROP_KEY, of_tract=tract_id, name=name, named=key)


def drop_attachments(connection: Connection, tract_id: str, used: Collection[bytes]) -> int:
    """Take from a tract those of the *used* attachments that no content of it shows; count them."""
    still = {row[0] for row in connection.find(erasures.STILL_USED, used, tract_id=tract_id)}
    granted = connection.find(erasures.GRANTED, {*used} - still, tract_id=tract_id)
    gone = [row[0] for row in granted]
    connection.find(erasures.DROP_GRANTS, gone, of_tract=tract_id)
    _empty(connection, gone)
    return len(gone)


def _empty(connection: Connection, blobs: Iterable[bytes]) -> list[bytes]:
    """Empty the blobs that nothing shows any more, and return them."""
    blobs = [*blobs]
    needed = {row[0] for row in connection.find(erasures.NEEDED, blobs)}
    free = [key for key in blobs if key not in needed]
    connection.find(erasures.EMPTY, free)
    return free


def _erasures(connection: Connection, tract_id: str) -> int:
    row = connection.one(erasures.ERASURES, tract_id=tract_id)
    return row[0] if row else 0


def count(transaction: WriteTransaction, tract_id: str) -> int:
    """Count an erasure, so that nobody goes on with what was read before; return the new count."""
    connection = transaction.connection
    row = connection.one(erasures.ERASURES, tract_id=tract_id)
    if row is None:
        connection.run(erasures.ADD_TRACT, tract_id=tract_id)
    number: int = 1 + (row[0] if row else 0)
    connection.run(erasures.SET_ERASURES, of_tract=tract_id, number=number)
    transaction.tips.erasures[tract_id] = number
    transaction.keys.forget(tract_id)
    transaction.reported.add(tract_id)
    transaction.erased.add(tract_id)
    return number
