"""How PostgreSQL finds what is searched."""

from __future__ import annotations

import asyncpg
import pytest

from support.opening import COUNTER
from tract import TractStore

_COMMITS = 400
_ALIKE = 1_200
"""More than are looked at one by one."""


async def test_a_phrase_of_words_of_every_text_is_found_without_temporary_files(
    postgres_url: str,
) -> None:
    """Its candidates are sorted. With their vectors they would not fit into what a sort may take."""
    words = " ".join(f"word{number}" for number in range(100))
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        async with store.tract("t").batch() as batch:
            for number in range(_COMMITS):
                batch.user(f"one two {words} {number}")
        await store.enable_search()
    await _asked(postgres_url, "ALTER DATABASE {} SET work_mem = '64kB'")
    before = await _files(postgres_url)
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        hits = await store.search('"one two"', limit=3)
        beginnings = await store.search('"word98 word9"*', limit=3)

    assert [len(hits), len(beginnings)] == [3, 3]
    assert await _files(postgres_url) == before


async def test_a_store_without_search_has_nothing_of_it_that_a_commit_could_cost(
    postgres_url: str,
) -> None:
    count = (
        "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal) "
        "+ (SELECT count(*) FROM pg_class WHERE relname ~ 'search')"
    )
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        await store.tract("t").user("word")
        before = await _asked(postgres_url, count)
        await store.enable_search()
        between = await _asked(postgres_url, count)
        await store.disable_search()

    assert between
    assert before == await _asked(postgres_url, count) == 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("concer*", {"a concert here", "a concerto there"}),
        ("concer* there", {"a concerto there"}),
        ('"a concer"*', {"a concert here", "a concerto there"}),
        ("concer* confe*", set[str]()),
        ("concern*", set[str]()),
        ("confer* 0", {"a conference 0"}),
    ],
)
async def test_a_beginning_is_found_behind_any_number_of_words_that_begin_alike(
    alike: str, query: str, found: set[str]
) -> None:
    async with TractStore.open(alike, tokenizer=COUNTER) as store:
        hits = await store.search(query, limit=None)
        own = await store.tract("t").search(query, limit=None)

    assert {hit.snippet for hit in hits} == {hit.snippet for hit in own} == found


async def test_pages_of_a_common_beginning_have_each_hit_once(alike: str) -> None:
    seen: list[str] = []
    async with TractStore.open(alike, tokenizer=COUNTER) as store:
        after: str | None = None
        while page := await store.search("conf*", limit=300, after=after):
            seen += [hit.snippet for hit in page]
            after = page[-1].cursor

    assert sorted(seen) == sorted(f"a conference {number}" for number in range(_ALIKE))


@pytest.fixture
async def alike(postgres_url: str) -> str:
    """A store in which very many texts have a word that begins like one of the two oldest."""
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        async with store.tract("t").batch() as batch:
            batch.user("a concert here")
            batch.user("a concerto there")
            for number in range(_ALIKE):
                batch.user(f"a conference {number}")
        await store.enable_search()
    return postgres_url


async def _asked(url: str, statement: str) -> object:
    raw = await asyncpg.connect(url)
    try:
        name = await raw.fetchval("SELECT quote_ident(current_database())")
        return await raw.fetchval(statement.format(name))
    finally:
        await raw.close()


async def _files(url: str) -> object:
    """Return how many temporary files the database's sessions have written, which have ended."""
    return await _asked(
        url, "SELECT temp_files FROM pg_stat_database WHERE datname = current_database()"
    )
