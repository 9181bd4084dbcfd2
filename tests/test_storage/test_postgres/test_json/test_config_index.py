"""An index changes how a query is answered, never the answer, and no commit fails for it."""

from __future__ import annotations

import asyncio
import re
from random import Random
from typing import Any

import asyncpg
import pytest

from support.asking import (
    POSTGRES_QUERIES,
    PostgresConnection,
    add_configs,
    found,
)
from tract import QueryError
from tract.history.canonical import canonical_json
from tract.models.queries.query import config_condition
from tract.storage.postgres.connections.connection import POSTGRES
from tract.storage.postgres.json import PostgresConfigLanguage

LANGUAGE = PostgresConfigLanguage()


async def on_postgres(asked: PostgresConnection, *query: Any) -> list[int]:
    return await asked.run_in(found, POSTGRES_QUERIES, "t", [config_condition(*query)])


async def indexes(asked: PostgresConnection) -> set[str]:
    rows = await asked.run_in(lambda connection: connection.all(LANGUAGE.indexes))
    return {row[0] for row in rows if row[0].startswith("ix_commits_config_")}


def condition_of_index(plan: str) -> str:
    """Return what a plan asks the one index of configs that it uses; it looks a tract up, too."""
    (used,) = re.findall(r"ix_commits_config_\w+.*\n\s+Index Cond: (.*)", plan)
    return str(used)


@pytest.mark.parametrize(
    ("operator", "value"),
    [("=", "gpt"), ("=", 5), ("=", True), (">", 0.5), ("<=", "x"), ("in", ["a", 2])],
)
async def test_the_index_is_used(asked: PostgresConnection, operator: str, value: Any) -> None:
    await asked.run_in(POSTGRES_QUERIES.create_index, ("model",))
    stored = [canonical_json({"model": f"m{number}"}) for number in range(100)]
    await asked.run_in(add_configs, "t", stored)
    condition = config_condition("model", operator, value)
    form = LANGUAGE.matching(condition, indexed={condition.path}).forms[POSTGRES]
    values = form.values({"tract_id": "t", "limit": 10})
    await asked.raw.execute("SET enable_seqscan = off")
    for mode in ("force_custom_plan", "force_generic_plan"):
        await asked.raw.execute(f"SET plan_cache_mode = {mode}")
        plan = "\n".join(row[0] for row in await asked.raw.fetch(f"EXPLAIN {form.sql}", *values))

        assert "tract_key" in condition_of_index(plan)


async def test_of_two_indexes_the_one_that_finds_fewer_is_used(asked: PostgresConnection) -> None:
    rows = [canonical_json({"m": f"m{n % 50}", "t": 0.7}) for n in range(500)]
    await asked.run_in(add_configs, "agent", rows)
    for field in ("m", "t"):
        await asked.run_in(POSTGRES_QUERIES.create_index, (field,))
    conditions = [config_condition("t", "<", 1), config_condition("m", "=", "m7")]
    statement = LANGUAGE.matching(*conditions, indexed={("m",), ("t",)})
    values = statement.forms[POSTGRES].values({"tract_id": "agent", "limit": 10})
    plan = await asked.raw.fetch(f"EXPLAIN {statement.forms[POSTGRES].sql}", *values)
    condition = condition_of_index("\n".join(row[0] for row in plan))

    assert "'m'" in condition
    assert "'t'" not in condition


async def test_no_value_is_too_long_for_an_index(asked: PostgresConnection) -> None:
    await asked.run_in(POSTGRES_QUERIES.create_index, ("x",))
    beginning = "".join(map(chr, Random(1).choices(range(0x4E00, 0x9FFF), k=2_000)))
    longs: list[Any] = [beginning, f"{beginning}a", f"{beginning}b", [beginning], 10**4_000]
    tract_id = beginning[:255]  # a text that repeats itself would be compressed
    configs = [canonical_json({"x": each}) for each in longs]
    await asked.run_in(add_configs, tract_id, configs)

    async def here(operator: str, value: object) -> list[int]:
        condition = [config_condition("x", operator, value)]
        return await asked.run_in(found, POSTGRES_QUERIES, tract_id, condition)

    assert await here("=", f"{beginning}a") == [1]
    assert await here("<", f"{beginning}b") == [0, 1]
    assert await here(">", f"{beginning}") == [1, 2]
    assert await here("in", [[beginning], 10**4_000]) == [3, 4]
    assert await here(">", 10**4_000 - 1) == [4]
    assert await here("<", 10**4_000) == []


async def test_an_index_serves_commits_before_and_after_it(asked: PostgresConnection) -> None:
    await asked.run_in(add_configs, "t", ['{"m":"a"}', '{"m":"b"}', None])
    for _ in range(2):
        await asked.run_in(POSTGRES_QUERIES.create_index, ("m",))
    later = ['{"m":"a"}', None, '{"m":"\\u0000"}']
    await asked.run_in(lambda connection: add_configs(connection, "t", later, first=3))

    assert await on_postgres(asked, "m", "=", "a") == [0, 3]
    assert await on_postgres(asked, "m", "<", "a") == [5]
    assert len(await indexes(asked)) == 1


@pytest.mark.parametrize(
    "field",
    [
        *(("it's",), ("a.b", 0), ("$",), ("x')); DROP TABLE commits; --",), (":tract_id",)),
        *(("%(tract_id)s",), ("$1",), ("$$",), ("100%",), ("__[POSTCOMPILE_x]",), ("😀",), ("é",)),
    ],
    ids=lambda field: ascii(field[0]),
)
async def test_an_indexed_field_is_only_ever_a_name(
    asked: PostgresConnection, field: tuple[str | int, ...]
) -> None:
    config: Any = "here"
    for part in reversed(field):
        config = [config] if isinstance(part, int) else {part: config}
    await asked.run_in(POSTGRES_QUERIES.create_index, field)
    await asked.run_in(add_configs, "t", [canonical_json(config), '{"other":"here"}'])

    assert await on_postgres(asked, field, "=", "here") == [0]
    assert len(await indexes(asked)) == 1


@pytest.mark.parametrize("key", ['q"uote', "back\\slash", "line\nbreak", "\0"], ids=ascii)
async def test_a_field_that_cannot_be_indexed_is_refused(
    asked: PostgresConnection, key: str
) -> None:
    with pytest.raises(QueryError, match="cannot be indexed"):
        await asked.run_in(POSTGRES_QUERIES.create_index, ("a", key))

    assert await indexes(asked) == set()


async def test_an_index_that_two_create_at_once_is_created_once(
    asked: PostgresConnection, postgres_url: str
) -> None:
    raw = await asyncpg.connect(postgres_url)
    create = POSTGRES_QUERIES.create_index
    async with raw.transaction():
        await PostgresConnection(raw).run_in(create, ("m",))
        other = asyncio.create_task(asked.run_in(create, ("m",)))
        for _ in range(1_000):
            if await raw.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                break
            await asyncio.sleep(0.01)
    await other
    await raw.close()

    assert len(await indexes(asked)) == 1


async def test_an_index_can_be_restored_where_no_schema_is_searched(
    asked: PostgresConnection,
) -> None:
    """As `pg_restore` does, for one."""
    await asked.run_in(POSTGRES_QUERIES.create_index, ("m",))
    await asked.run_in(add_configs, "t", ['{"m":0.5}', '{"m":"\\u0000"}'])
    await asked.raw.execute("SET search_path = ''")
    await asked.raw.execute("REINDEX TABLE public.commits")
    await asked.raw.execute("RESET search_path")

    assert await on_postgres(asked, "m", "=", 0.5) == [0]
