"""Callers' keys for commits: found, listed and checked; runs on the connection's thread.

The primary key of PostgreSQL's table takes some 2,700 bytes. So of a longer key its beginning is
stored, with a hash of the whole; the commit that it names has all of it. The same is done with a key
that looks like that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Any

from tract.exceptions import CommitNotFoundError
from tract.storage.repositories import CommitRow, Misplaced
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import name_of, record_of
from tract.storage.sql.statements import keys as sql

__all__ = ["find", "listed", "misplaced", "stored_key"]

_MOST = 1_500
"""Bytes of a key that is stored whole."""
_BEGINNING = 256
"""Characters that are stored of a longer one."""
_SHORTENED = re.compile("[0-9a-f]{64}")
_RECENT = 1_024
"""Keys that are looked at for the newest of a prefix before all of that prefix are."""
_LAST = "\U0010ffff"
_BEHIND_ALL = _LAST * (_MOST // 4 + 1)
_FOR_EVER = 2**62


def stored_key(key: str) -> str:
    """Return a key as the table has it: another for every key."""
    if len(key) <= _BEGINNING:
        return key
    if len(key.encode()) <= _MOST and not _SHORTENED.fullmatch(key, _BEGINNING):
        return key
    return key[:_BEGINNING] + hashlib.sha256(key.encode()).hexdigest()


def find(connection: Connection, *, tract_id: str, keys: Collection[str]) -> dict[str, CommitRow]:
    """See `KeyRepository.find`."""
    by_stored = {stored_key(key): key for key in keys}
    rows: list[Row] = []
    if len(by_stored) == 1:
        [stored] = by_stored
        row = connection.one(sql.KEYED, tract_id=tract_id, key=stored)
        rows = [] if row is None else [row]
    elif by_stored:
        rows = connection.find(sql.KEYED_MANY, by_stored, tract_id=tract_id)
    records = {record.key: record for record in map(record_of, rows)}
    return {key: records[key] for key in keys if key in records}


def listed(
    connection: Connection,
    *,
    tract_id: str,
    prefix: str,
    newest: bool,
    before: str | None,
    limit: int | None,
) -> list[CommitRow]:
    """See `KeyRepository.listed`."""
    low = prefix[:_BEGINNING]
    page = {
        "tract_id": tract_id,
        "prefix": prefix,
        "length": len(prefix),
        "limit": _FOR_EVER if limit is None else limit,
    }
    within = {"low": low, "high": _behind(low)}
    if not newest:
        after = "" if before is None else stored_key(before)
        rows = connection.all(sql.BY_KEY, **page, **within, after=after)
    elif prefix:
        until = _time_of(connection, tract_id, before)
        rows = _newest(connection, page | within | {"until": until}, is_whole=low == prefix)
    else:
        rows = connection.all(sql.BY_TIME, **page, until=_time_of(connection, tract_id, before))
    return [*map(record_of, rows)]


def _newest(connection: Connection, page: dict[str, Any], *, is_whole: bool) -> list[Row]:
    """Return the newest commits of a prefix, which may have few or most of a tract's keys.

    Sorting all that a prefix has would read 100,000 rows for the newest ten. So the newest keys of
    the tract come first, whatever their prefix: they are enough if enough of them have it.
    """
    limit = page["limit"]
    page["most"] = limit if is_whole else _FOR_EVER
    if limit <= _RECENT:
        rows = connection.all(sql.RECENT, **page, recent=_RECENT)
        if len(rows) == limit:
            return rows
    return connection.all(sql.NEWEST, **page)


def misplaced(connection: Connection, *, tract_id: str) -> list[Misplaced]:
    """Return the keys of `VerifyRepository.misplaced`."""
    with connection.lenient_text():
        given = connection.all(sql.GIVEN, tract_id=tract_id)
        named: dict[object, object] = dict(connection.all(sql.ALL_KEYS, tract_id=tract_id))
    last: dict[object, object] = {
        stored_key(key): commit for key, commit in given if isinstance(key, str)
    }
    return [
        Misplaced(name_of(named.get(key, last.get(key))), key=str(key))
        for key in {**named, **last}
        if named.get(key) != last.get(key)
    ]


def _time_of(connection: Connection, tract_id: str, before: str | None) -> int:
    if before is None:
        return _FOR_EVER
    found = find(connection, tract_id=tract_id, keys=[before])
    if not found:
        raise CommitNotFoundError(before)
    return found[before].created_at


def _behind(prefix: str) -> str:
    """Return the least text that sorts behind all that begin with *prefix*."""
    kept = prefix.rstrip(_LAST)
    if not kept:
        return _BEHIND_ALL
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)
