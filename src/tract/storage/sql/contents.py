"""Many contents at once."""

from __future__ import annotations

from collections.abc import Sequence

from tract.exceptions import CommitNotFoundError
from tract.storage.repositories import CommitRow, StoredContent
from tract.storage.sql.naming import digests, key_of
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import stored_contents
from tract.storage.sql.statements import commits as sql

__all__ = ["contents", "with_contents"]


def contents(connection: Connection, *, tract_id: str, named: Sequence[str]) -> list[StoredContent]:
    """See `BlobRepository.get_many`."""
    keys = digests(named)
    if keys is None:
        keys = [_key_of(connection, tract_id, name) for name in named]
    found = {row[0]: row for row in connection.find(sql.CONTENTS, keys, tract_id=tract_id)}
    try:
        rows = [found[key] for key in keys]
    except KeyError as missing:
        raise CommitNotFoundError(named[keys.index(missing.args[0])]) from None
    return stored_contents(rows)


def with_contents(
    connection: Connection, tract_id: str, rows: Sequence[CommitRow]
) -> list[tuple[CommitRow, StoredContent]]:
    """Return commits with what they hold."""
    named = [row.commit_hash for row in rows]
    return list(zip(rows, contents(connection, tract_id=tract_id, named=named), strict=True))


def _key_of(connection: Connection, tract_id: str, name: str) -> bytes:
    key = key_of(connection, tract_id, name)
    if key is None:
        raise CommitNotFoundError(name)
    return key
