"""An index changes how a query is answered, never the answer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.configs import NUMBERS, TEXTS, Query, configs, queries, satisfies
from support.effort import effort
from tract import AsyncTract, NullTokenCounter, QueryError, TractStore
from tract.models.queries.query import OPERATORS, config_condition
from tract.storage.sqlite.connection import SQLITE
from tract.storage.sqlite.json import SqliteConfigLanguage

COUNTER = NullTokenCounter()
matching = SqliteConfigLanguage().matching


async def record(tract: AsyncTract, stored: list[dict[str, Any] | None], *, first: int = 0) -> None:
    """Commit one payload per config, with a number from *first* on."""
    async with tract.batch() as batch:
        for number, config in enumerate(stored, first):
            batch.commit(
                {"content_type": "freeform", "payload": number},
                message=str(number),
                generation_config=config,
            )


async def found(tract: AsyncTract, query: Query) -> list[int]:
    """Return which of the recorded configs a query finds, in the order of the answer."""
    return [int(info.message or "") for info in await tract.query_by_config(*query)]


@pytest.mark.long
@given(data=st.data())
@settings(max_examples=effort(50, 100))
async def test_an_indexed_query_finds_what_the_operators_mean(data: st.DataObject) -> None:
    stored = data.draw(st.lists(st.none() | configs, min_size=1, max_size=6))
    asked = data.draw(st.lists(queries(stored), min_size=1, max_size=6))
    async with TractStore.open(tokenizer=COUNTER) as store:
        await record(store.tract("rival"), stored)
        await record(store.tract("agent"), stored)
        for query in asked:
            try:
                await store.create_config_index(query.field)
            except QueryError:  # a key that cannot be indexed
                continue

            wanted = [n for n, config in enumerate(stored) if satisfies(config, query)]
            assert await found(store.tract("agent"), query) == wanted


@pytest.mark.parametrize("operator", OPERATORS)
async def test_every_pair_of_scalars_compares_the_same_by_index(operator: str) -> None:
    scalars: list[Any] = [*NUMBERS, *TEXTS, True, False, None]
    stored: list[dict[str, Any] | None] = [{"x": value} for value in scalars]
    asked = NUMBERS + TEXTS if operator in (">", "<", ">=", "<=") else scalars
    async with TractStore.open(tokenizer=COUNTER) as store:
        await record(store.tract("agent"), stored)
        await store.create_config_index("x")
        for value in asked:
            query = Query("x", operator, [value] if "in" in operator else value)

            wanted = [n for n, config in enumerate(stored) if satisfies(config, query)]
            assert await found(store.tract("agent"), query) == wanted


@pytest.mark.parametrize(
    ("operator", "value"),
    [("=", "gpt"), ("=", 5), ("=", True), (">", 0.5), ("<=", "x"), ("in", ["a", 2])],
)
async def test_the_index_is_used(db_path: Path, operator: str, value: Any) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.create_config_index("model")
    statement = matching(config_condition("model", operator, value), indexed={("model",)})
    with closing(sqlite3.connect(db_path)) as connection:
        given = statement.forms[SQLITE].values({"tract_id": "t", "limit": 10})
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {statement.forms[SQLITE].sql}", given
        ).fetchall()

    assert "USING INDEX ix_commits_config_" in plan[0][3]


async def test_an_index_serves_commits_before_and_after_it_and_after_reopening(
    db_path: Path,
) -> None:
    for first in (0, 3):
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            await record(store.tract("agent"), [{"model": "a"}, {"model": "b"}], first=first)
            await store.create_config_index("model")
            await record(store.tract("agent"), [{"model": "a"}], first=first + 2)
            last = await found(store.tract("agent"), Query("model", "=", "a"))

    assert last == [0, 2, 3, 5]


async def test_another_store_uses_the_index_at_its_next_query(db_path: Path) -> None:
    async with (
        TractStore.open(db_path, tokenizer=COUNTER) as one,
        TractStore.open(db_path, tokenizer=COUNTER) as two,
    ):
        await record(two.tract("agent"), [{"model": "a"}])
        await one.create_config_index("model")

        assert await found(two.tract("agent"), Query("model", "=", "a")) == [0]


@pytest.mark.parametrize(
    "field", ["it's", ("a.b", 0), "$", ("x')); DROP TABLE commits; --",), ":tract_id", "100%", "😀"]
)
async def test_an_indexed_field_is_only_ever_a_name(field: str | tuple[str | int, ...]) -> None:
    config: Any = "here"
    for part in reversed((field,) if isinstance(field, str) else field):
        config = [config] if isinstance(part, int) else {part: config}
    async with TractStore.open(tokenizer=COUNTER) as store:
        await record(store.tract("agent"), [config, {"other": "here"}])
        await store.create_config_index(field)

        assert await found(store.tract("agent"), Query(field, "=", "here")) == [0]


@pytest.mark.parametrize("field", ['q"uote', "back\\slash", "line\nbreak", "", ("a", -1), 5])
async def test_a_field_that_cannot_be_indexed_is_refused(field: Any, db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        with pytest.raises(QueryError):
            await store.create_config_index(field)
    with closing(sqlite3.connect(db_path)) as connection:
        made = connection.execute(
            "SELECT name FROM sqlite_schema WHERE name LIKE 'ix_commits_config%'"
        ).fetchall()

    assert made == []


@pytest.mark.parametrize(
    "key",
    ["%(tract_id)s", "%(limit)s", "__[POSTCOMPILE_x]", "?", ":limit", ":tract_id", "%s", "%%"],
)
async def test_a_key_that_looks_like_a_parameter_is_found_by_its_index(
    db_path: Path, key: str
) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        await tract.user("a", generation_config={key: "x"})
        await tract.user("b", generation_config={key: "y"})
        await store.create_config_index((key,))
        found = await tract.query_by_config((key,), "=", "x")

    assert [item.generation_config for item in found] == [{key: "x"}]
