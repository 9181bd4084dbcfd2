"""Bringing the tables up to date, which one of those who come at once does for all."""

from __future__ import annotations

import asyncio

import asyncpg

from support.opening import COUNTER
from tract import AsyncTract
from tract.storage.postgres.migrations import STEPS

_NUMBER = 50


async def brought_back_to_the_first_step(url: str) -> None:
    """Make a store, with commits, whose tables are those of the first release."""
    async with (
        AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as tract,
        tract.batch() as batch,
    ):
        for number in range(_NUMBER):
            batch.user(f"{number}")
    raw = await asyncpg.connect(url)
    kept = {
        table: await raw.fetchval(f"SELECT json_agg({table}) FROM {table}")
        for table in ("blobs", "commits", "refs", "tracts")
    }
    await raw.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await raw.execute("CREATE TABLE _tract_meta (key text PRIMARY KEY, value text NOT NULL)")
    await raw.execute("INSERT INTO _tract_meta VALUES ('schema_version', '1')")
    for statement in STEPS[0]:
        await raw.execute(statement)
    for table, rows in kept.items():
        columns = await raw.fetchval(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute "
            f"WHERE attrelid = '{table}'::regclass AND attnum > 0"
        )
        await raw.execute(
            f"INSERT INTO {table} ({columns}) "
            f"SELECT {columns} FROM json_populate_recordset(null::{table}, $1)",
            rows,
        )
    await raw.close()


async def test_of_many_that_find_older_tables_at_once_one_brings_them_up_to_date(
    postgres_url: str,
) -> None:
    await brought_back_to_the_first_step(postgres_url)

    async def commit(number: int) -> None:
        async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as tract:
            await tract.user(f"after {number}")

    await asyncio.gather(*map(commit, range(4)))
    async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as tract:
        info = await tract.info()

        assert info is not None
        assert info.commits == len(await tract.log(limit=None)) == _NUMBER + 4
        assert not (await tract.verify()).faults
