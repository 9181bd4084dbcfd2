"""Erasing, in a transaction that nobody else writes in; runs on the connection's thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

from tract.storage.repositories import Erased, Marker
from tract.storage.sql.keys import stored_key
from tract.storage.sql.port import Connection
from tract.storage.sql.searching import SearchIndex, forget
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import erasures
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["count", "drop_attachments", "erase", "erasures_of", "is_pruning", "put_markers"]


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
    own = dict.fromkeys(map(bytes.fromhex, named))
    at = {bytes.fromhex(content): marker for content, marker in markers.items()}
    chosen: dict[bytes, list[bytes]] = {}
    for key, content in connection.find(erasures.OF_CONTENTS, at, tract_id=tract_id):
        if key in own or at[content].along:
            chosen.setdefault(content, []).append(key)
    names: dict[bytes, str | None] = dict(
        connection.find(erasures.STRIPPABLE, own, tract_id=tract_id)
    )
    marked = {key for holders in chosen.values() for key in holders}
    if not marked and not names:
        return Erased((), (), 0, 0, 0, erasures_of(connection, tract_id))
    attachments, emptied = put_markers(connection, search, tract_id, at, chosen)
    _strip(connection, tract_id, names)
    return Erased(
        [key.hex() for key in own if key in marked or key in names],
        [key.hex() for holders in chosen.values() for key in holders if key not in own],
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


def _strip(connection: Connection, tract_id: str, names: Mapping[bytes, str | None]) -> None:
    """Take everything from commits that no hash covers; *names* are their keys.

    A key that names one of them is taken from those that it named before, too.
    """
    connection.find(erasures.STRIP, names, of_tract=tract_id)
    connection.find(erasures.DROP_REPORTS, names, of_tract=tract_id)
    by_stored = {stored_key(key): key for key in names.values() if key is not None}
    found = connection.find(erasures.KEYS_OF, by_stored, tract_id=tract_id)
    dropped = [stored for stored, commit in found if commit in names]
    connection.find(erasures.DROP_KEYS, dropped, of_tract=tract_id)
    connection.find(erasures.UNNAME, [by_stored[key] for key in dropped], of_tract=tract_id)


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


def erasures_of(connection: Connection, tract_id: str) -> int:
    """Return the number of a tract's last erasure; 0 without one."""
    row = connection.one(erasures.ERASURES, tract_id=tract_id)
    return row[0] if row else 0


def is_pruning(connection: Connection, tract_id: str) -> bool:
    """Return True if a prune of a tract is under way, or was cut short."""
    return erasures_of(connection, tract_id) % 2 == 1


def count(transaction: WriteTransaction, tract_id: str, *, pruning: bool | None = None) -> int:
    """Note an erasure, so that nobody goes on with what was read before; return its number.

    It is the time: a tract that is erased whole and begins anew has no number that it had before.
    From the first portion of a prune to its end the numbers are odd, so that another prune knows if
    one was cut short. *pruning* begins or ends that.
    """
    connection = transaction.connection
    row = connection.one(erasures.ERASURES, tract_id=tract_id)
    if row is None:
        connection.run(erasures.ADD_TRACT, tract_id=tract_id)
    former = row[0] if row else 0
    is_odd = former % 2 == 1 if pruning is None else pruning
    number: int = max(transaction.clock(), 1 + former)
    number += (number % 2 == 1) != is_odd
    connection.run(erasures.SET_ERASURES, of_tract=tract_id, number=number)
    transaction.tips.erasures[tract_id] = number
    transaction.keys.forget(tract_id)
    transaction.reported.add(tract_id)
    transaction.erased.add(tract_id)
    return number
