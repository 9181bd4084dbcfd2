"""SQLite's search index: FTS5 tables, each of some thousand commits.

One table for all could not forget: FTS5 leaves deleted words in its pages until it has merged them
all. A table of a few megabytes is emptied at once, and filled again from the contents by whoever
searches next. The tables hold no text, only words and their places. The newest is asked first, so a
search that needs a few hits reads no others. See https://www.sqlite.org/fts5.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from tract.models.queries.searching import SearchTerm
from tract.storage.repositories import Unindexed
from tract.storage.sql.port import Connection
from tract.storage.sql.searching import AT_ONCE, read_batch, unchanged
from tract.storage.sql.statements import searches
from tract.storage.sql.statements.compiled import Statement, written

__all__ = ["SqliteSearch"]

_EACH = 16_384
"""Commits of one table."""
_CONTENTS = searches.contents_of(searches.docs)


_CREATE = (
    written("CREATE TABLE search_docs (id INTEGER PRIMARY KEY, tract_id TEXT, created_at BIGINT)"),
    written("CREATE TABLE search_shards (shard INTEGER PRIMARY KEY, last BIGINT NOT NULL)"),
    written(
        # Not `IN`: SQLite makes a table of three values, which took most of the trigger's time.
        "CREATE TRIGGER search_note AFTER INSERT ON commits WHEN "
        f"{' OR '.join(f'NEW.operation = {str(name)!r}' for name in searches.SHOWN)} BEGIN "
        "INSERT INTO search_docs (tract_id, created_at) VALUES (NEW.tract_id, NEW.created_at); END"
    ),
    searches.list_all(searches.docs),
)
_TABLES = written(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
    "name GLOB 'search_[0-9]*' AND name NOT GLOB '*[^a-z0-9_]*' AND sql LIKE 'CREATE VIRTUAL TABLE%'"
)
_DROP = (
    written("DROP TRIGGER IF EXISTS search_note"),
    written("DROP TABLE IF EXISTS search_shards"),
    written("DROP TABLE IF EXISTS search_docs"),
)
_SHARDS = written("SELECT shard, last FROM search_shards ORDER BY shard DESC")
_NEXT = written(
    "SELECT id FROM search_docs WHERE id > :after AND id <= :through ORDER BY id LIMIT :limit"
)
_LAST = written("SELECT last FROM search_shards WHERE shard = :shard")
_NOTE = written(
    "INSERT INTO search_shards (shard, last) VALUES (:shard, :last) "
    "ON CONFLICT (shard) DO UPDATE SET last = excluded.last"
)
_FORGET = written("DELETE FROM search_shards WHERE shard = :shard")
_OF_TRACT = written(
    "SELECT id, created_at FROM search_docs WHERE tract_id = :tract_id "
    "AND created_at BETWEEN :first AND :last"
)
_DROP_TRACT = written(
    "UPDATE search_docs SET tract_id = NULL WHERE tract_id = :of_tract AND created_at <= :through"
)
"""A row that was deleted would leave its number to another, and that be taken as indexed already."""


@lru_cache(maxsize=4096)
def _of_shard(sql: str, shard: int) -> Statement:
    return written(sql.format(f"search_{shard}"))


_MAKE = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS {0} "
    "USING fts5(words, content='', columnsize=0, tokenize='ascii', prefix='1 2')"
)
"""FTS5 gathers all words of a beginning first, which takes long if it is short and not indexed."""
_ADD = "INSERT INTO {0} (rowid, words) VALUES (:number, :words)"
_EMPTY = "INSERT INTO {0} ({0}) VALUES ('delete-all')"
_MATCH = (
    "SELECT rowid FROM {0} WHERE {0} MATCH :query AND rowid < :below "
    "ORDER BY rowid DESC LIMIT :limit"
)


class SqliteSearch:
    """See `SearchIndex`. A shard is done up to its `last` number."""

    def create(self, connection: Connection) -> None:
        for statement in _CREATE:
            connection.run(statement)
        connection.run(_of_shard(_MAKE, 0))  # fails here if there is no FTS5

    def drop(self, connection: Connection) -> None:
        for (name,) in connection.all(_TABLES):
            connection.run(written(f"DROP TABLE {name}"))
        for statement in _DROP:
            connection.run(statement)

    def unindexed(self, connection: Connection) -> Unindexed | None:
        top = (connection.one(searches.TOP) or (None,))[0] or 0
        done: dict[int, int] = dict(connection.all(_SHARDS))
        for shard in range(top // _EACH, -1, -1):
            first = shard * _EACH - 1
            after, through = done.get(shard, first), min(first + _EACH, top)
            if after < through:
                return self._batch(connection, after, through)
        return None

    def _batch(self, connection: Connection, after: int, through: int) -> Unindexed:
        rows = connection.all(_NEXT, after=after, through=through, limit=AT_ONCE)
        commits, is_whole = read_batch(connection, [row[0] for row in rows], _CONTENTS)
        if not is_whole:
            through = commits[-1].number
        elif len(rows) == AT_ONCE:
            through = rows[-1][0]
        return Unindexed(after, through, commits)

    def index(
        self, connection: Connection, batch: Unindexed, words: Mapping[int, Sequence[str]]
    ) -> None:
        shard = (batch.after + 1) // _EACH
        row = connection.one(_LAST, shard=shard)
        if (row[0] if row else shard * _EACH - 1) != batch.after:
            return  # another process was first
        connection.run(_of_shard(_MAKE, shard))
        add = _of_shard(_ADD, shard)
        for number in sorted(unchanged(connection, batch, _CONTENTS) & words.keys()):
            if words[number]:
                connection.run(add, number=number, words=" ".join(words[number]))
        connection.run(_NOTE, shard=shard, last=batch.through)

    def match(
        self,
        connection: Connection,
        terms: Sequence[SearchTerm],
        word: str | None,
        below: int,
        limit: int,
    ) -> list[int]:
        query = " ".join([f'"{word}"' if word else "", *map(_written, terms)])
        found: list[int] = []
        for shard, _ in connection.all(_SHARDS):
            if shard * _EACH < below and len(found) < limit:
                match = _of_shard(_MATCH, shard)
                rows = connection.all(match, query=query, below=below, limit=limit - len(found))
                found += [row[0] for row in rows]
        return found

    def forget(self, connection: Connection, tract_id: str, times: Collection[int]) -> None:
        first, last = min(times, default=0), max(times, default=0)
        rows = connection.all(_OF_TRACT, tract_id=tract_id, first=first, last=last)
        _empty(connection, {row[0] // _EACH for row in rows if row[1] in times})

    def forget_tract(self, connection: Connection, tract_id: str, through: int) -> None:
        rows = connection.all(_OF_TRACT, tract_id=tract_id, first=0, last=through)
        _empty(connection, {row[0] // _EACH for row in rows})
        connection.run(_DROP_TRACT, of_tract=tract_id, through=through)


def _empty(connection: Connection, shards: Collection[int]) -> None:
    for shard, _ in connection.all(_SHARDS):
        if shard in shards:
            connection.run(_of_shard(_EMPTY, shard))
            connection.run(_FORGET, shard=shard)


def _written(term: SearchTerm) -> str:
    """Return a term for FTS5: words have letters and digits only, so none can end its string."""
    return f'"{" ".join(term.words)}"{" *" if term.prefix else ""}'
