"""Many contents at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from tract.exceptions import CommitNotFoundError
from tract.storage.repositories import StoredContent
from tract.storage.sql import statements as sql
from tract.storage.sql.naming import key_of
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import stored_content

__all__ = ["contents", "hash_lists"]

_KEY = itemgetter(0)
_NAMES = [f"hash_{number}" for number in range(sql.AT_ONCE)]


def hash_lists(keys: Iterable[bytes]) -> Iterator[dict[str, bytes]]:
    """Yield the parameters of a statement that takes `AT_ONCE` hashes, until all *keys* had it.

    The last list is filled up with any of them.
    """
    distinct = list(dict.fromkeys(keys))
    for start in range(0, len(distinct), sql.AT_ONCE):
        some = distinct[start : start + sql.AT_ONCE]
        filled = some + some[:1] * (sql.AT_ONCE - len(some))
        yield dict(zip(_NAMES, filled, strict=True))


def contents(connection: Connection, *, tract_id: str, named: Sequence[str]) -> list[StoredContent]:
    """See `BlobRepository.get_many`."""
    keys: list[bytes] = []
    for name in named:
        key = key_of(connection, tract_id, name)
        if key is None:
            raise CommitNotFoundError(name)
        keys.append(key)
    found: dict[bytes, Row] = {}
    for given in hash_lists(keys):
        rows = connection.all(sql.CONTENTS, tract_id=tract_id, **given)
        found.update(zip(map(_KEY, rows), rows, strict=True))
    try:
        return [stored_content(found[key]) for key in keys]
    except KeyError as missing:
        raise CommitNotFoundError(named[keys.index(missing.args[0])]) from None
