"""A store whose tables are partitioned by tract, as `docs/examples/partition.sql` does it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from support.copied import contexts, fill, rows
from support.opening import COUNTER
from tract import Priority, TractStore, copy_store

SCRIPT = Path(__file__).parents[3] / "docs" / "examples" / "partition.sql"
PARTITIONS = """
SELECT relname, count(*) FROM pg_inherits JOIN pg_class ON oid = inhparent
WHERE relkind = 'p' GROUP BY relname
"""
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, collation_name
FROM information_schema.columns WHERE table_schema = $1 AND table_name !~ '_[0-9]$'
ORDER BY 1, ordinal_position
"""
KEYS = """
SELECT relname, indisunique, indisprimary, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', '')
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
WHERE relnamespace = $1::regnamespace AND relname !~ '_[0-9]$' ORDER BY 1, 4
"""


async def ask(url: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *arguments)]
    finally:
        await connection.close()


async def run(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def new(place: str) -> None:
    async with TractStore.open(place, tokenizer=COUNTER):
        pass


@pytest_asyncio.fixture
async def partitioned(postgres_url: str) -> str:
    """The URL of an empty store whose tables are partitioned."""
    await new(postgres_url)
    await run(postgres_url, SCRIPT.read_text(encoding="utf-8"))
    return postgres_url


async def test_the_partitioned_tables_are_those_of_the_store(partitioned: str) -> None:
    await new(f"{partitioned}?schema=plain")

    for statement in (COLUMNS, KEYS):
        assert await ask(partitioned, statement, "public") == await ask(
            partitioned, statement, "plain"
        )
    parts = dict(await ask(partitioned, PARTITIONS))
    assert parts == dict.fromkeys((*(await rows(partitioned)), "keys", "tracts"), 8)


async def test_everything_a_tract_can_have_is_there_and_sound(
    partitioned: str, db_path: Path
) -> None:
    await fill(partitioned)
    before = await contexts(partitioned)  # which verifies every tract
    async with (
        TractStore.open(partitioned, tokenizer=COUNTER) as source,
        TractStore.open(db_path, tokenizer=COUNTER) as target,
    ):
        await copy_store(source, target)

    assert await rows(db_path) == await rows(partitioned)
    assert await contexts(db_path) == before


async def test_a_crowd_writes_to_many_tracts_and_to_one(partitioned: str) -> None:
    async with (
        TractStore.open(partitioned, tokenizer=COUNTER) as one,
        TractStore.open(partitioned, tokenizer=COUNTER) as two,
    ):
        both = [(store, number) for number in range(20) for store in (one, two)]
        await asyncio.gather(
            *(store.tract("crowded").user(f"{number}") for store, number in both),
            *(
                store.tract(f"tract {number}").user("hi", generation_config={"n": number})
                for store, number in both
            ),
        )
        for tract_id in await one.tract_ids():
            assert (await two.tract(tract_id).verify()).faults == ()
        assert len(await one.tract("crowded").log(None)) == 40
        assert len(await two.tract_ids()) == 21
    used = await ask(partitioned, "SELECT count(DISTINCT tableoid) FROM commits")
    assert used[0][0] > 1


async def test_an_index_on_configs_and_a_watch_work(partitioned: str) -> None:
    async with TractStore.open(partitioned, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        await store.create_config_index("temperature")
        await store.create_config_index("temperature")
        watch = tract.watch()
        info = await tract.user("warm", generation_config={"temperature": 0.5})
        await tract.annotate(info.commit_hash, Priority.PINNED)

        assert await tract.query_by_config("temperature", ">", 0.1) == [info]
        async with asyncio.timeout(20):
            assert await anext(watch) == info


async def test_a_store_with_commits_is_refused(postgres_url: str) -> None:
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        await store.tract("t").user("here")

    with pytest.raises(asyncpg.RaiseError, match="partition an empty store, and copy into it"):
        await run(postgres_url, SCRIPT.read_text(encoding="utf-8"))
    assert len((await rows(postgres_url))["commits"]) == 1
