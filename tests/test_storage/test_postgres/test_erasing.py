"""Erasing while others write: what they commit meanwhile is there afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from support.opening import COUNTER
from tract import AsyncTract, TractStore

_TEXT = "what both tracts hold"


@asynccontextmanager
async def held(url: str, tract_id: str) -> AsyncIterator[None]:
    """Keep everybody from writing to a tract, as a slow transaction would."""
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM tracts WHERE tract_id = $1 FOR UPDATE", tract_id)
            yield
    finally:
        await holder.close()


async def until_waiting(url: str, number: int) -> None:
    """Wait until so many of the server's connections wait for locks."""
    looker = await asyncpg.connect(url)
    query = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    while await looker.fetchval(query) < number:  # noqa: ASYNC110  # the server tells nobody
        await asyncio.sleep(0.01)
    await looker.close()


async def texts(tract: AsyncTract) -> list[str | None]:
    return [message.content for message in (await tract.compile()).messages]


async def test_a_commit_under_way_keeps_the_content_that_is_erased_elsewhere(
    postgres_url: str,
) -> None:
    async with (
        TractStore.open(postgres_url, tokenizer=COUNTER) as one,
        TractStore.open(postgres_url, tokenizer=COUNTER) as two,
    ):
        mine, theirs = one.tract("mine"), two.tract("theirs")
        gone = await mine.user(_TEXT)
        await theirs.system("first")
        async with held(postgres_url, "theirs"):
            writing = asyncio.create_task(theirs.user(_TEXT))
            await until_waiting(postgres_url, 1)
            erasing = asyncio.create_task(mine.erase([gone.commit_hash], reason="asked"))
            await asyncio.sleep(0.3)
        receipt = await erasing
        await writing

        assert (receipt.contents, receipt.kept) == (0, 1)
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        assert await texts(store.tract("theirs")) == ["first", _TEXT]
        assert (await store.tract("theirs").verify()).faults == ()


async def test_crowds_that_commit_and_erase_one_content_lose_nothing(postgres_url: str) -> None:
    """Neither waits for the other for ever, and what was committed last can be read."""
    async with (
        TractStore.open(postgres_url, tokenizer=COUNTER) as one,
        TractStore.open(postgres_url, tokenizer=COUNTER) as two,
    ):

        async def work(store: TractStore, number: int) -> None:
            tract = store.tract(f"t{number}")
            for _ in range(8):
                made = await tract.user(_TEXT)
                await tract.erase([made.commit_hash], reason="asked")
            await tract.user(_TEXT)

        await asyncio.gather(*(work((one, two)[number % 2], number // 2) for number in range(8)))
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        for number in range(4):
            tract = store.tract(f"t{number}")
            assert (await tract.verify()).faults == ()
            assert await texts(tract) in ([_TEXT], [f"{_TEXT}\n\n{_TEXT}"], [])


async def test_a_server_keeps_rows_for_transactions_that_began_before(postgres_url: str) -> None:
    """The receipt and the report say so; when these have ended, another call frees the rows."""
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        made = await tract.user(_TEXT)
        reader = await asyncpg.connect(postgres_url)
        async with reader.transaction(isolation="repeatable_read", readonly=True):
            await reader.fetchval("SELECT count(*) FROM commits")
            receipt = await tract.erase([made.commit_hash], reason="asked", vacuum=True)
            report = await store.vacuum()
        await reader.close()

        assert (receipt.pending, report.pending) == ("vacuum", "vacuum")
        assert (await store.vacuum()).pending is None
        assert await texts(tract) == []


async def test_a_vacuum_waits_for_another_and_ends_when_its_caller_is_cancelled(
    postgres_url: str,
) -> None:
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        await store.tract("t").user(_TEXT)
        holder = await asyncpg.connect(postgres_url)
        async with holder.transaction():
            await holder.execute("LOCK TABLE commits IN SHARE UPDATE EXCLUSIVE MODE")
            waiting = asyncio.create_task(store.vacuum())
            await until_waiting(postgres_url, 1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert waiting.cancelled()
            await store.tract("t").user("goes on")
        await holder.close()

        assert (await store.vacuum()).pending is None
        assert len(await store.tract("t").log(None)) == 2


async def test_a_vacuum_writes_the_index_of_words_anew(postgres_url: str) -> None:
    """A GIN index keeps words that no row has any more."""
    raw = await asyncpg.connect(postgres_url)
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        made = await tract.user(_TEXT)
        await tract.user("something else")
        await store.enable_search()
        await tract.erase([made.commit_hash], reason="asked")
        before = await raw.fetchval("SELECT pg_relation_filenode('ix_search_docs_vector')")

        report = await store.vacuum()

        after = await raw.fetchval("SELECT pg_relation_filenode('ix_search_docs_vector')")
        assert (report.pending, after != before) == (None, True)
        assert len(await tract.search("something")) == 1
    await raw.close()
