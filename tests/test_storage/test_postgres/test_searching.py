"""How PostgreSQL finds what is searched."""

from __future__ import annotations

import asyncpg

from support.opening import COUNTER
from tract import TractStore

_COMMITS = 400


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
