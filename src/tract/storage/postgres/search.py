"""PostgreSQL's search index: a `tsvector` for each commit, under a GIN index.

Vectors are written out here, word by word, so that a server's parsers and dictionaries have no say
in what a word is. Each vector also has the word of its tract, and that of some thousand neighbours:
a search asks for the newest of these first, and needs not gather all commits that have a frequent
word. For the same reason it has the first letters of its words, as words of their own.

What is to be indexed waits in a table by itself: a row is far cheaper there than under a GIN index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from tract.models.queries.searching import SearchTerm
from tract.storage.repositories import Unindexed
from tract.storage.sql.port import Connection
from tract.storage.sql.searching import AT_ONCE, of_tract, read_batch, unchanged
from tract.storage.sql.statements import searches
from tract.storage.sql.statements.compiled import written

__all__ = ["PostgresSearch"]

_NEW = searches.listing("search_new")
_CONTENTS = searches.contents_of(_NEW)
_EACH = 16_384
"""Neighbours that have a word in common."""
_MOST_PLACES = 255
"""Places of one word that a vector can have."""
_LAST_PLACE = 16_383
"""The last place in a text that a vector can tell from those behind it."""


_BEGINNING = 3
"""The longest beginning of words, in letters, that vectors have as a word."""
_LOOKED_AT = 1_000
"""Rows that are looked at, the newest first, for a longer beginning than vectors have as a word.

The index gathers all rows of the store that have any word of it, which takes long if they are many.
Then these few will do. If they do not, rows that have such a word are rare, and the index is asked.
"""

_CREATE = (
    written(
        "CREATE TABLE search_new (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        'tract_id text COLLATE "C" NOT NULL, created_at bigint NOT NULL)'
    ),
    written(
        "CREATE TABLE search_docs (id bigint PRIMARY KEY, "
        'tract_id text COLLATE "C" NOT NULL, created_at bigint NOT NULL, vector tsvector NOT NULL)'
    ),
    written(
        "CREATE INDEX ix_search_docs_vector ON search_docs USING gin (vector) "
        "WITH (fastupdate = off)"
    ),
    written(
        "CREATE OR REPLACE FUNCTION search_note() RETURNS trigger LANGUAGE plpgsql AS $note$ BEGIN "
        "INSERT INTO search_new (tract_id, created_at) SELECT tract_id, created_at FROM added "
        f"WHERE operation IN ({', '.join(repr(str(name)) for name in searches.SHOWN)}) "
        "ORDER BY created_at; RETURN NULL; END $note$"
    ),
    written(
        "CREATE TRIGGER search_note AFTER INSERT ON commits REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION search_note()"
    ),
    searches.list_all(_NEW),
)
_DROP = (
    written("DROP TABLE IF EXISTS search_docs, search_new"),
    written("DROP TRIGGER IF EXISTS search_note ON commits"),
    written("DROP FUNCTION IF EXISTS search_note"),
)
"""In the order in which searches lock the tables, or one would wait for the other."""
_NEXT = written("SELECT id FROM search_new ORDER BY id DESC LIMIT CAST(:limit AS bigint)")
_TURN = written(f"SELECT 1 FROM _tract_meta WHERE key = '{searches.SWITCH}' FOR UPDATE")
_STILL_NEW = written("SELECT id FROM search_new WHERE id = ANY(CAST(:numbers AS bigint[]))")
_DONE = written("DELETE FROM search_new WHERE id = ANY(CAST(:numbers AS bigint[]))")
_ADD = written(
    "INSERT INTO search_docs (id, tract_id, created_at, vector) "
    "SELECT id, tract_id, created_at, CAST(item.made AS tsvector) FROM search_new JOIN "
    "unnest(CAST(:numbers AS bigint[]), CAST(:vectors AS text[])) AS item(id, made) USING (id)"
)
_NEWEST_MATCHING = (
    "SELECT id, ctid AS place FROM search_docs WHERE vector @@ CAST(CAST(:query AS text) AS tsquery) "
    "AND id + 0 < CAST(:below AS bigint) ORDER BY id + 0 DESC"
)
"""`id + 0`, as a planner that sees a limit would rather read all rows in order than ask the index."""
_MATCH = written(f"{_NEWEST_MATCHING} LIMIT CAST(:limit AS bigint)")
_MATCH_PHRASES = written(
    f"SELECT id FROM ({_NEWEST_MATCHING} OFFSET 0) AS near WHERE ("
    "SELECT vector @@ CAST(CAST(:phrases AS text) AS tsquery) FROM search_docs AS whole "
    "WHERE whole.ctid = near.place) LIMIT CAST(:limit AS bigint)"
)
"""The index knows no places. So phrases are looked for in the newest rows that have all words.

Only where rows are is sorted. With their vectors some thousand would be sorted on the disk.
"""
_MATCH_LOOSELY = written(
    f"WITH near AS MATERIALIZED ({_NEWEST_MATCHING} LIMIT CAST(:most AS bigint)), "
    "held AS MATERIALIZED (SELECT id FROM near WHERE ("
    "SELECT vector @@ CAST(CAST(:exactly AS text) AS tsquery) FROM search_docs AS whole "
    "WHERE whole.ctid = near.place) LIMIT CAST(:limit AS bigint)) "
    "SELECT id, 0 FROM held UNION ALL SELECT 0, count(*) FROM near"
)
"""Also returns, in a row by itself, how many rows may have been looked at."""
_FORGET = written(
    "DELETE FROM search_docs "
    "WHERE vector @@ CAST(CAST(:word AS text) AS tsquery) AND tract_id = CAST(:of_tract AS text) "
    "AND created_at = ANY(CAST(:times AS bigint[]))"
)
_OF_TRACT = "tract_id = CAST(:of_tract AS text) AND created_at <= CAST(:through AS bigint)"
_FORGET_NEW = written(f"DELETE FROM search_new WHERE {_OF_TRACT}")
_FORGET_TRACT = written(
    f"DELETE FROM search_docs WHERE vector @@ CAST(CAST(:word AS text) AS tsquery) AND {_OF_TRACT}"
)


class PostgresSearch:
    """See `SearchIndex`."""

    def create(self, connection: Connection) -> None:
        for statement in _CREATE:
            connection.run(statement)

    def drop(self, connection: Connection) -> None:
        for statement in _DROP:
            connection.run(statement)

    def unindexed(self, connection: Connection) -> Unindexed | None:
        numbers = [row[0] for row in connection.all(_NEXT, limit=AT_ONCE)]
        if not numbers:
            return None
        commits, is_whole = read_batch(connection, numbers, _CONTENTS)
        through = numbers[0] if is_whole else commits[-1].number
        return Unindexed(numbers[-1] - 1, through, commits)

    def index(
        self, connection: Connection, batch: Unindexed, words: Mapping[int, Sequence[str]]
    ) -> None:
        connection.run(_TURN)
        still = {row[0] for row in connection.all(_STILL_NEW, numbers=sorted(words))}
        done = sorted(still & unchanged(connection, batch, _CONTENTS))
        made = [number for number in done if words[number]]
        vectors = [_vector(number, words[number]) for number in made]
        if made:
            connection.run(_ADD, numbers=made, vectors=vectors)
        if done:
            connection.run(_DONE, numbers=done)

    def match(
        self,
        connection: Connection,
        terms: Sequence[SearchTerm],
        word: str | None,
        below: int,
        limit: int,
    ) -> list[int]:
        of_tract = [f"'{word}'"] if word else []
        wanted = " & ".join([*of_tract, *map(_asked, terms)])
        loosely = " & ".join([*of_tract, *map(_asked_loosely, terms)])
        is_common = loosely != wanted  # until few of the newest rows have it
        phrases = " & ".join(_written(term) for term in terms if term.words[1:])
        match = partial(connection.all, _MATCH)
        if phrases:
            match = partial(connection.all, _MATCH_PHRASES, phrases=phrases)
        top = (connection.one(searches.TOP) or (None,))[0] or 0
        newest = min(top, below) // _EACH
        found: list[int] = []
        number = 1
        while newest >= 0 and len(found) < limit:
            near = range(newest, max(newest - number, -1), -1)
            words = " | ".join(f"'{_neighbours(each)}'" for each in near)
            room = limit - len(found)
            some = None
            if is_common:
                query = f"({words}) & {loosely}"
                some = _match_loosely(connection, query, terms, below=below, limit=room)
                is_common = some is not None
            if some is None:
                rows = match(query=f"({words}) & {wanted}", below=below, limit=room)
                some = [row[0] for row in rows]
            found += some
            newest -= number
            number *= 2
        return found

    def forget(self, connection: Connection, tract_id: str, times: Collection[int]) -> None:
        if times:
            word = f"'{of_tract(tract_id)}'"
            connection.run(_FORGET, of_tract=tract_id, word=word, times=sorted(times))

    def forget_tract(self, connection: Connection, tract_id: str, through: int) -> None:
        word = f"'{of_tract(tract_id)}'"
        connection.run(_FORGET_TRACT, of_tract=tract_id, word=word, through=through)
        connection.run(_FORGET_NEW, of_tract=tract_id, through=through)


def _match_loosely(
    connection: Connection, query: str, terms: Iterable[SearchTerm], *, below: int, limit: int
) -> list[int] | None:
    """Return the rows that have *terms* among the newest that *query* finds; None if it finds more."""
    *rows, (_, looked_at) = connection.all(
        _MATCH_LOOSELY,
        query=query,
        exactly=" & ".join(map(_written, terms)),
        below=below,
        limit=limit,
        most=_LOOKED_AT,
    )
    if len(rows) < limit and looked_at == _LOOKED_AT:
        return None
    return [row[0] for row in rows]


def _neighbours(shard: int) -> str:
    return f"¶{shard}"


def _vector(number: int, words: Iterable[str]) -> str:
    """Return the text of a vector; words have letters and digits only, so none ends its quotes.

    The first of *words* is that of the tract, of which nobody asks for the beginning.
    """
    places: dict[str, list[str]] = {}
    for at, word in enumerate(words, 1):
        if at <= _LAST_PLACE:
            places.setdefault(word, []).append(str(at))
    listed = (f"'{word}':{','.join(at[:_MOST_PLACES])}" for word, at in places.items())
    sizes = range(1, _BEGINNING + 1)
    beginnings = {_begins(word[:size]) for word in [*places][1:] for size in sizes}
    return " ".join([f"'{_neighbours(number // _EACH)}'", *listed, *beginnings])


def _begins(letters: str) -> str:
    return f"'^{letters}'"


def _asked(term: SearchTerm) -> str:
    """Return what the index is asked for a term: all of its words, wherever they are."""
    *words, last = term.words
    end = f"'{last}'"
    if term.prefix:
        end = _begins(last) if len(last) <= _BEGINNING else f"{end}:*"
    return " & ".join([*(f"'{word}'" for word in words), end])


def _asked_loosely(term: SearchTerm) -> str:
    """Return what `_asked` does, but of a long beginning its first letters."""
    *words, last = term.words
    return _asked(SearchTerm((*words, last[:_BEGINNING]), True)) if term.prefix else _asked(term)


def _written(term: SearchTerm) -> str:
    *words, last = [f"'{word}'" for word in term.words]
    whole = " <-> ".join([*words, f"{last}:*" if term.prefix else last])
    return f"({whole})"
