"""Queries by config: PostgreSQL finds what SQLite finds, whatever configs and conditions hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.asking import (
    POSTGRES_QUERIES,
    SQLITE_QUERIES,
    PostgresConnection,
    add_configs,
    found,
    fresh_tract,
    sqlite_tables,
)
from support.configs import KEYS, NUMBERS, TEXTS, Query, configs, places, queries, satisfies, values
from support.effort import examples
from tract import config
from tract.history.canonical import MAX_DEPTH, canonical_json
from tract.models.queries.query import OPERATORS, Condition, config_condition
from tract.storage.postgres.connections.connection import POSTGRES
from tract.storage.postgres.json import PostgresConfigLanguage
from tract.storage.sql.configs.language import is_escaped
from tract.storage.sql.statements.compiled import Form, Statement

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
"""The examples of a test share its database; each has a tract of its own."""
LANGUAGE = PostgresConfigLanguage()
MEETS = -2  # the last column but the count of erasures
ESCAPES = st.text('\0\1\2\3\\"ud08cPn/ \ud7ff\U0001f600', max_size=6)
"""Texts whose JSON consists of escapes, and of what looks like them."""


def form(statement: Statement) -> Form:
    return statement.forms[POSTGRES]


def text_of(stored: object) -> str | None:
    return stored if isinstance(stored, str) or stored is None else canonical_json(stored)


async def recorded(asked: PostgresConnection, stored: Sequence[object]) -> str:
    """Commit one row per config, or per its JSON text, and return the name of their new tract."""
    tract_id = fresh_tract()
    await asked.run_in(add_configs, tract_id, list(map(text_of, stored)))
    return tract_id


async def on_postgres(
    asked: PostgresConnection, tract_id: str, *query: Any, limit: int | None = None
) -> list[int]:
    condition = [config_condition(*query)]
    return await asked.run_in(found, POSTGRES_QUERIES, tract_id, condition, limit)


def on_sqlite(
    stored: Sequence[object], asking: Sequence[tuple[Sequence[Condition], int | None]]
) -> list[list[int]]:
    """Return what each query finds among the rows of *stored*."""
    connection = sqlite_tables()
    add_configs(connection, "t", list(map(text_of, stored)))
    answers = [found(connection, SQLITE_QUERIES, "t", some, limit) for some, limit in asking]
    connection.raw.close()
    return answers


@given(data=st.data())
@settings(SHARED, max_examples=examples(30))
async def test_both_engines_find_the_same(asked: PostgresConnection, data: st.DataObject) -> None:
    """With several conditions and a limit, and with an index on some of the fields."""
    stored = data.draw(st.lists(st.none() | configs, min_size=1, max_size=6))
    queried = data.draw(st.lists(queries(stored), min_size=1, max_size=6))
    conditions = [config_condition(*query) for query in queried]
    there = [path for item in stored if item is not None for path, _ in places(item)]
    if there:
        conditions.append(config(data.draw(st.sampled_from(there))).exists())
    for condition in conditions[:1]:
        if data.draw(st.booleans()) and not any(map(is_escaped, condition.path)):
            await asked.run_in(POSTGRES_QUERIES.create_index, condition.path)
    tract_id = await recorded(asked, stored)
    await recorded(asked, stored)
    asking = [
        (some, limit)
        for some in ([], conditions[:2], *([each] for each in conditions))
        for limit in (None, 1)
    ]
    answers = [
        await asked.run_in(found, POSTGRES_QUERIES, tract_id, some, limit) for some, limit in asking
    ]

    assert answers == await asyncio.to_thread(on_sqlite, stored, asking)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("is_indexed", [False, True], ids=["scanned", "indexed"])
async def test_every_pair_of_scalars_compares_as_it_should(
    asked: PostgresConnection, operator: str, is_indexed: bool
) -> None:
    scalars: list[Any] = [*NUMBERS, *TEXTS, True, False, None, [1], [1.0], {"a": "\0"}]
    tract_id = await recorded(asked, [{"x": value} for value in scalars])
    if is_indexed:
        await asked.run_in(POSTGRES_QUERIES.create_index, ("x",))
    for value in NUMBERS + TEXTS if operator in (">", "<", ">=", "<=") else scalars:
        query = Query("x", operator, [value, {}] if "in" in operator else value)

        assert await on_postgres(asked, tract_id, *query) == [
            n for n, item in enumerate(scalars) if satisfies({"x": item}, query)
        ]


@given(data=st.data())
@settings(SHARED, max_examples=examples(30))
async def test_escapes_are_compared_by_what_they_stand_for(
    asked: PostgresConnection, data: st.DataObject
) -> None:
    """In keys and strings, at the top and within lists and objects."""
    texts = data.draw(st.lists(ESCAPES, min_size=1, max_size=6))
    key, other = data.draw(ESCAPES), data.draw(ESCAPES)
    stored = [{key: text, f"{key}+": [text], f"{key}-": {other: text}} for text in texts]
    tract_id = await recorded(asked, stored)
    asking = data.draw(ESCAPES | st.sampled_from(texts))
    wanted: list[Query] = [
        *(Query((key,), operator, asking) for operator in ("=", "!=", "<", "<=", ">", ">=")),
        *(Query((f"{key}-", other), operator, [asking, texts[0]]) for operator in ("in", "not in")),
        *(Query((f"{key}+",), operator, [asking]) for operator in ("=", "!=")),
        Query((f"{key}-",), "=", {other: asking}),
    ]
    for query in wanted:
        assert await on_postgres(asked, tract_id, *query) == [
            n for n, item in enumerate(stored) if satisfies(item, query)
        ]


UNCOMMON = [
    r'{"x": "\ud800"}',
    r'{"x": "a\udc00b", "\ud800": 1}',
    r'{"x": ["\\\ud800\\\udc00"]}',
    r'{"x": "\\ud800\udc00\ud83d\ude00"}',
    '{"x": 1e400}',
    '{"x": 1e131072}',
    '{"x": -1e99999999999}',
    '{"x": 1e-99999999999}',
    '{"x": 1e-400}',
    '{"x": 1E+0000000001}',
    '{"x": 0.' + "1" * 20_000 + "}",
    '{"x": 1' + "0" * 200_000 + "}",
    '{"x": -1' + "0" * 200_000 + "}",
    '{"x": 1, "x": 2}',
    '{"x": ' + "[" * 500 + "]" * 500 + "}",
    '{"x": "' + "a" * 1_000_000 + '"}',
    ' [ "x" ] ',
    '"x"',
    "null",
    "5",
    r'{"x": "\u0000\u0001\u0041"}',
    r'{"\u0078": "\u0041"}',
]
"""What canonical JSON never holds, or seldom, but the type `json` takes."""


@pytest.mark.parametrize("is_indexed", [False, True], ids=["scanned", "indexed"])
async def test_no_config_makes_a_query_fail(asked: PostgresConnection, is_indexed: bool) -> None:
    if is_indexed:
        await asked.run_in(POSTGRES_QUERIES.create_index, ("x",))
    tract_id = await recorded(asked, [*UNCOMMON, {"x": "here"}, {"x": 7}])
    numbers, texts = [*range(4, 14), 23], [0, 1, 3, 15, 20, 21, 22]

    assert await on_postgres(asked, tract_id, "x", "=", "here") == [22]
    assert await on_postgres(asked, tract_id, "x", "in", [7, "\0\1A"]) == [20, 23]
    assert await on_postgres(asked, tract_id, "x", "=", "A") == [21]
    assert await on_postgres(asked, tract_id, "x", ">=", "") == texts
    high = await on_postgres(asked, tract_id, "x", ">", 2)
    low = await on_postgres(asked, tract_id, "x", "<=", 2)
    assert (high, low) == ([4, 5, 9, 11, 23], [6, 7, 8, 10, 12, 13])
    assert await on_postgres(asked, tract_id, "x", "!=", [1]) == sorted([2, 14, *numbers, *texts])
    assert await on_postgres(asked, tract_id, "x", "in", [[1], {}, None, 2**70]) == []


async def test_the_escapes_of_a_pair_are_one_character(asked: PostgresConnection) -> None:
    pairs = [r'{"x": "\ud83d\ude00\ud83d\ude00"}', r'{"x": "\\\uD83D\uDE00\\ud83d\ud83d"}']
    tract_id = await recorded(asked, pairs)

    assert await on_postgres(asked, tract_id, "x", "=", "\U0001f600\U0001f600") == [0]
    assert await on_postgres(asked, tract_id, "x", ">", "\\\U0001f600\\ud83d") == [0, 1]


@pytest.mark.parametrize("key", [*KEYS, "k" * 10_000, "a\r\nb", "[#-1]", "-1", " 0"], ids=ascii)
async def test_a_key_is_only_ever_a_name(asked: PostgresConnection, key: str) -> None:
    rows = [{key: "here"}, {"in": {key: "here"}}, {key: {"out": "here"}}, ["here"], {"in": key}]
    tract_id = await recorded(asked, rows)

    assert await on_postgres(asked, tract_id, (key,), "=", "here") == [0]
    assert await on_postgres(asked, tract_id, ("in", key), "=", "here") == [1]
    assert await on_postgres(asked, tract_id, (key, "out"), "=", "here") == [2]


async def test_a_list_index_is_no_key_and_a_key_no_list_index(asked: PostgresConnection) -> None:
    """In a short path and in a long one."""
    for above in ((), ("deep",) * 40):
        stored: list[Any] = [{"s": ["a", "b"]}, {"s": {"0": "a"}}, {"s": "a"}, {}]
        for part in above:
            stored = [{part: each} for each in stored]
        tract_id = await recorded(asked, stored)

        assert await on_postgres(asked, tract_id, (*above, "s", 0), "=", "a") == [0]
        assert await on_postgres(asked, tract_id, (*above, "s", "0"), "=", "a") == [1]
        assert await on_postgres(asked, tract_id, (*above, "s", 2), "not in", []) == []
        assert await on_postgres(asked, tract_id, (*above, "s", 0, 0), "!=", 1) == []


async def test_a_path_may_be_as_deep_as_a_config_and_deeper(asked: PostgresConnection) -> None:
    nested: Any = 2**64
    for _ in range(MAX_DEPTH - 1):
        nested = {'"': nested}
    tract_id = await recorded(asked, [nested, {'"': 2**64}])

    assert await on_postgres(asked, tract_id, ('"',) * (MAX_DEPTH - 1), "=", 2**64) == [0]
    assert await on_postgres(asked, tract_id, ('"', 0) * 1_000, "=", 2**64) == []


async def test_null_is_not_a_missing_field(asked: PostgresConnection) -> None:
    tract_id = await recorded(asked, [{"s": None}, {"other": 1}, {}, None, {"s": 1}, {"s": "null"}])

    assert await on_postgres(asked, tract_id, "s", "=", None) == [0]
    assert await on_postgres(asked, tract_id, "s", "in", [None, 2]) == [0]
    assert await on_postgres(asked, tract_id, "s", "!=", None) == [4, 5]
    assert await on_postgres(asked, tract_id, "s", "not in", []) == [0, 4, 5]
    assert await on_postgres(asked, tract_id, "s", "in", []) == []
    exists = [config("s").exists()]
    assert await asked.run_in(found, POSTGRES_QUERIES, tract_id, exists) == [0, 4, 5]


async def test_in_takes_thousands_of_values(asked: PostgresConnection) -> None:
    rows = [{"n": 4_999}, {"n": "4999"}, {"n": 2**70 + 1}, {"n": [1]}, {"n": float(2**70)}]
    tract_id = await recorded(asked, rows)
    many: list[Any] = [*range(5_000), *(f"{n}x" for n in range(5_000)), [1], None]
    many += range(2**70 + 1, 2**70 + 5_000)

    assert await on_postgres(asked, tract_id, "n", "in", many) == [0, 2, 3]
    assert await on_postgres(asked, tract_id, "n", "not in", many) == [1, 4]


async def test_as_many_conditions_as_are_allowed_make_one_statement(
    asked: PostgresConnection,
) -> None:
    tract_id = await recorded(asked, [{"seed": [2**70 + 5]}])
    large = [2**70 + number for number in range(8)]
    conditions = [config_condition(("seed", 0), "in", large)] * 200

    assert await asked.run_in(found, POSTGRES_QUERIES, tract_id, conditions) == [0]


async def test_a_walk_says_which_commits_meet_the_conditions(asked: PostgresConnection) -> None:
    tract_id = await recorded(asked, [{"n": 1}, {"n": "1"}, {}, None, {"n": 1.0}])

    def met(connection: PostgresConnection, *conditions: Condition) -> list[int]:
        walk = LANGUAGE.meeting(*conditions)
        rows = connection.all(walk.by_time, tract_id=tract_id, through=9, limit=9)
        assert rows == [
            connection.one(walk.by_hash, tract_id=tract_id, hash=row[0]) for row in rows
        ]
        return [row[walk.time] for row in rows if row[MEETS]]

    assert await asked.run_in(met, config("n") == 1) == [4, 0]
    assert await asked.run_in(met, config("n") != 1) == [1]
    assert await asked.run_in(met) == [4, 3, 2, 1, 0]


def test_strings_are_ordered_by_code_point_whatever_the_databases_collation() -> None:
    for indexed in ((), {("n",)}):
        for operator in ("<", ">=", "=", "in"):
            condition = config_condition("n", operator, ["a", "b"] if operator == "in" else "a")
            sql = form(LANGUAGE.matching(condition, indexed=indexed)).sql

            assert sql.count('COLLATE "C"') == sql.count("#>>") + sql.count("tract_key(tract")


MARK = "\u2603"
marked = st.text(max_size=5).map(lambda text: f"{MARK}{text}{MARK}")


@given(
    st.lists(marked | st.integers(10**8, 10**9), min_size=1, max_size=25).map(tuple),
    st.sampled_from(OPERATORS),
    marked | st.integers(10**10, 10**20) | values.map(lambda value: [MARK, value]),
)
@settings(max_examples=examples(50))
def test_the_sql_has_no_part_of_field_or_value(
    field: tuple[str | int, ...], operator: str, value: Any
) -> None:
    if operator in ("in", "not in"):
        value = [value, value]
    elif isinstance(value, list):
        operator = "="
    statement = form(LANGUAGE.matching(config_condition(field, operator, value)))

    assert MARK not in statement.sql
    given_numbers = [part for part in (*field, value) if isinstance(part, int)]
    assert not [number for number in given_numbers if str(number) in statement.sql]
