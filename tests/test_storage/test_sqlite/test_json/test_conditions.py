"""Queries by config: what SQLite finds is what the plain meaning of the operators says."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from support.configs import KEYS, NUMBERS, TEXTS, Query, configs, keys, queries, satisfies, values
from support.effort import effort
from support.tables import create_tables
from tract import (
    AsyncTract,
    CommitInfo,
    CommitOperation,
    NullTokenCounter,
    QueryError,
    TractConfig,
    TractStore,
)
from tract.history.canonical import MAX_DEPTH
from tract.models.queries.query import OPERATORS, config_condition
from tract.storage.schema import METADATA, commits
from tract.storage.sql.configs.language import is_escaped
from tract.storage.sql.statements.compiled import Statement
from tract.storage.sqlite.connection import SQLITE, SqliteConnection
from tract.storage.sqlite.database import Database, open_database
from tract.storage.sqlite.json import SqliteConfigLanguage

matching = SqliteConfigLanguage().matching
LARGE = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(-(2**1030), 2**1030),
    *(
        st.integers(-2_000, 2_000).map(near.__add__)
        for near in (2**53, 2**63, -(2**63), 2**64, 2**100)
    ),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(2.0**52, 2.0**70),
)
"""Numbers, most of them beyond 64 bits, or near to where doubles no longer hold every integer."""
AWKWARD_KEYS = [*KEYS, "k" * 10_000, "'; DROP TABLE commits; --", "a\r\nb", '\\"', "[#-1]"]


@pytest_asyncio.fixture
async def tract() -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(tokenizer=NullTokenCounter(), tract_id="agent") as opened:
        yield opened


def sql_of(statement: Statement) -> str:
    return statement.forms[SQLITE].sql


def at(path: Sequence[str | int], value: Any) -> dict[str, Any]:
    """Return a config that has *value* at a path, and other things beside it."""
    for part in reversed(path):
        value = [0] * part + [value] if isinstance(part, int) else {"beside\n": 1, part: value}
    assert isinstance(value, dict)
    return value


async def record(tract: AsyncTract, configs: Sequence[dict[str, Any] | None]) -> None:
    """Commit one text per config, every third as an EDIT of the one before."""
    async with tract.batch() as batch:
        before = None
        for index, config in enumerate(configs):
            text = {"content_type": "instruction", "text": str(index)}
            if before is None or index % 3:
                before = batch.commit(text, message=str(index), generation_config=config)
            else:
                batch.commit(
                    text,
                    operation=CommitOperation.EDIT,
                    edit_target=before,
                    message=str(index),
                    generation_config=config,
                )


async def found(tract: AsyncTract, *query: Any, limit: int | None = None) -> list[int]:
    """Return which of the recorded configs a query finds, in the order of the answer."""
    infos = await tract.query_by_config(*query, limit=limit)
    return [int(info.message or "") for info in infos]


@pytest.mark.long
@given(data=st.data())
@settings(max_examples=effort(60, 150))
async def test_a_query_finds_what_the_operators_mean(data: st.DataObject) -> None:
    stored = data.draw(st.lists(st.none() | configs, min_size=1, max_size=6))
    others = data.draw(st.lists(configs, max_size=2))
    asked = data.draw(st.lists(queries(stored), min_size=1, max_size=8))
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        await record(store.tract("rival"), [*others, *stored])
        await record(store.tract("agent"), stored)
        for query in asked:
            answer = await found(store.tract("agent"), *query)

            assert answer == [n for n, config in enumerate(stored) if satisfies(config, query)]


@pytest.mark.parametrize("operator", OPERATORS)
async def test_every_pair_of_scalars_compares_as_it_should(
    tract: AsyncTract, operator: str
) -> None:
    scalars: list[Any] = [*NUMBERS, *TEXTS, True, False, None]
    stored: list[dict[str, Any] | None] = [{"x": value} for value in scalars]
    await record(tract, stored)
    asked = NUMBERS + TEXTS if operator in (">", "<", ">=", "<=") else scalars
    for value in asked:
        query = Query("x", operator, [value] if "in" in operator else value)

        assert await found(tract, *query) == [
            n for n, config in enumerate(stored) if satisfies(config, query)
        ]


@pytest.mark.parametrize("operator", OPERATORS)
async def test_every_pair_of_numbers_compares_by_value_under_awkward_keys(
    tract: AsyncTract, operator: str
) -> None:
    path = ("\x7f1", 'back\\slash and "quote"\n', 1)
    numbers = NUMBERS[::3]
    await record(tract, [at(path, number) for number in numbers])
    for value in numbers:
        query = Query(path, operator, [value, "x"] if "in" in operator else value)

        assert await found(tract, *query) == [
            n for n, number in enumerate(numbers) if satisfies(at(path, number), query)
        ]


@pytest.mark.long
@given(data=st.data())
@settings(max_examples=50)
async def test_numbers_compare_as_they_do_in_python(data: st.DataObject) -> None:
    """Under any keys, indexed or not, however large: 2**63 is float(2**63), and 2**63 + 1 is not."""
    path = data.draw(st.lists(keys | st.integers(0, 2), max_size=3))
    field = (data.draw(keys), *path)
    numbers = data.draw(st.lists(LARGE, min_size=1, max_size=8))
    asked = data.draw(st.lists(LARGE | st.sampled_from(numbers), min_size=1, max_size=6))
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        if data.draw(st.booleans()) and not any(map(is_escaped, field)):
            await store.create_config_index(field)
        await record(store.tract("agent"), [at(field, number) for number in numbers])
        for operator in OPERATORS:
            for value in [asked] if "in" in operator else asked:
                query = Query(field, operator, value)

                assert await found(store.tract("agent"), *query) == [
                    n for n, number in enumerate(numbers) if satisfies(at(field, number), query)
                ]


async def test_in_takes_thousands_of_large_numbers(tract: AsyncTract) -> None:
    await record(tract, [{"n": 2**70}, {"n": 2**70 + 1}, {"n": float(2**70)}, {"n": 5}])
    many = [5, *range(2**70 + 1, 2**70 + 5_000)]

    assert await found(tract, "n", "in", many) == [1, 3]
    assert await found(tract, "n", "not in", many) == [0, 2]


@pytest.mark.parametrize("key", AWKWARD_KEYS, ids=lambda key: ascii(key)[:20])
async def test_a_key_is_only_ever_a_name(tract: AsyncTract, key: str) -> None:
    """At the top, below another key, and above one; next to all other awkward keys."""
    others = {other: "other" for other in AWKWARD_KEYS if other != key}
    await record(
        tract,
        [
            others | {key: "here"},
            others,
            {"in": {key: "here"}},
            {key: {"out": "here"}},
            {"in": key},
        ],
    )

    assert await found(tract, (key,), "=", "here") == [0]
    assert await found(tract, (key,), "!=", "other") == [0, 3]
    assert await found(tract, ("in", key), "=", "here") == [2]
    assert await found(tract, (key, "out"), "=", "here") == [3]


@pytest.mark.parametrize("key", ["temperature", 'q"uote', "back\\slash", "\0", "\x7f3"])
async def test_a_path_does_not_go_on_below_a_scalar(tract: AsyncTract, key: str) -> None:
    await record(tract, [{key: {"a": 5}}, {key: [5]}, {"a": {key: 5}}])

    assert await found(tract, (key, "a"), "=", 5) == [0]
    assert await found(tract, (key, "a", "a"), "=", 5) == []
    assert await found(tract, (key, 0), "=", 5) == [1]
    assert await found(tract, (key, 0, 0), "=", 5) == []
    assert await found(tract, ("a", key, "a"), "=", 5) == []
    assert await found(tract, ("a", key, key), "=", 5) == []


@pytest.mark.parametrize("key", ["deep", 'de"ep', "a\\b"])
async def test_a_path_may_have_sixty_levels(tract: AsyncTract, key: str) -> None:
    config: dict[str, Any] = {key: 7}
    for _ in range(59):
        config = {key: config}
    await record(tract, [config, {key: 7}])

    assert await found(tract, (key,) * 60, "=", 7) == [0]
    assert await found(tract, (key,) * 59, "=", {key: 7}) == [0]


async def test_a_path_may_be_as_deep_as_a_config(tract: AsyncTract) -> None:
    config: Any = 2**64
    for _ in range(MAX_DEPTH - 1):
        config = {'"': config}
    await record(tract, [config, {'"': 2**64}])

    assert await found(tract, ('"',) * (MAX_DEPTH - 1), "=", 2**64) == [0]
    assert await found(tract, ('"',) * 2_000, "=", 2**64) == []


async def test_a_list_index_is_no_key_and_a_key_no_list_index(tract: AsyncTract) -> None:
    await record(tract, [{"stop": ["a", "b"]}, {"stop": {"0": "a"}}])

    assert await found(tract, ("stop", 0), "=", "a") == [0]
    assert await found(tract, ("stop", "0"), "=", "a") == [1]
    assert await found(tract, "stop.0", "=", "a") == [1]
    assert await found(tract, ("stop", 2), "not in", []) == []


async def test_null_is_not_a_missing_field(tract: AsyncTract) -> None:
    await record(tract, [{"seed": None}, {"other": 1}, {}, None, {"seed": 1}])

    assert await found(tract, "seed", "=", None) == [0]
    assert await found(tract, "seed", "in", [None, 2]) == [0]
    assert await found(tract, "seed", "!=", None) == [4]
    assert await found(tract, "seed", "not in", [None]) == [4]


async def test_in_takes_thousands_of_values(tract: AsyncTract) -> None:
    await record(tract, [{"n": 4_999}, {"n": "4999"}, {"n": 5_000}, {"n": [1]}, {"n": "4998x"}])
    many: list[Any] = [*range(5_000), *(f"{number}x" for number in range(5_000)), [1], None]

    assert await found(tract, "n", "in", many) == [0, 3, 4]
    assert await found(tract, "n", "not in", tuple(many)) == [1, 2]


async def test_an_empty_sequence_holds_nothing(tract: AsyncTract) -> None:
    await record(tract, [{"n": 1}, {"n": None}, {"m": 1}, None])

    assert await found(tract, "n", "in", []) == []
    assert await found(tract, "n", "not in", ()) == [0, 1]


@given(data=st.data())
@settings(max_examples=20)
async def test_a_number_in_a_config_equals_itself(data: st.DataObject) -> None:
    """However the release of SQLite rounds what it reads."""
    drawn = data.draw(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
    async with AsyncTract.open(tokenizer=NullTokenCounter()) as tract:
        await record(tract, [{"x": number} for number in drawn])
        for index, number in enumerate(drawn):
            assert index in await found(tract, "x", "=", number)
            assert index in await found(tract, "x", "<=", number)
            assert index not in await found(tract, "x", ">", number)


async def test_the_answer_is_oldest_first_and_its_limit_cuts_the_end(tract: AsyncTract) -> None:
    await record(tract, [{"n": 9 - index} for index in range(9)])

    assert await found(tract, "n", ">", 2) == [0, 1, 2, 3, 4, 5, 6]
    assert await found(tract, "n", ">", 2, limit=3) == [0, 1, 2]
    assert await found(tract, "n", ">", 2, limit=0) == []
    with pytest.raises(ValueError, match="limit"):
        await tract.query_by_config("n", ">", 2, limit=-1)


async def test_two_stores_on_a_file_give_one_answer(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tokenizer=NullTokenCounter(), tract_id="a") as one:
        await record(one, [{"n": 1}])
        async with AsyncTract.open(db_path, tokenizer=NullTokenCounter(), tract_id="a") as two:
            await record(two, [{"n": 1}])

            assert await one.query_by_config("n", "=", 1) == await two.query_by_config("n", "=", 1)
            assert len(await one.query_by_config("n", "=", 1)) == 2


@pytest_asyncio.fixture
async def database(db_path: Path) -> AsyncIterator[Database]:
    opened = await open_database(str(db_path), TractConfig())
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("field", ["temperature", ('q"uote', "a")])
async def test_a_query_reads_one_tract_by_its_index_in_order_of_time(
    database: Database, operator: str, field: str | tuple[str, ...]
) -> None:
    value = ["x", 1, None] if "in" in operator else "x"
    statement = matching(config_condition(field, operator, value))
    explain = "EXPLAIN QUERY PLAN " + sql_of(statement)
    parameters = statement.forms[SQLITE].values({"tract_id": "agent", "limit": 10})
    plan = await database.read(lambda to: to.raw.execute(explain, parameters).fetchall())
    steps = [row[3] for row in plan]

    assert "SEARCH commits USING INDEX ix_commits_created_at (tract_id=?)" in steps
    assert not [step for step in steps if "SCAN commits" in step or "TEMP B-TREE" in step]


MARK = "\u2603"
marked = st.text(max_size=5).map(lambda text: f"{MARK}{text}{MARK}")


@given(
    st.lists(marked, min_size=1, max_size=3).map(tuple),
    st.sampled_from(OPERATORS),
    marked | st.integers(10**9, 10**20) | st.lists(marked) | st.dictionaries(marked, marked),
)
def test_the_sql_has_no_part_of_field_or_value(
    field: tuple[str, ...], operator: str, value: Any
) -> None:
    if operator in ("in", "not in"):
        value = [value, value]
    elif isinstance(value, (list, dict)):
        operator = "="
    statement = matching(config_condition(field, operator, value))

    assert MARK not in sql_of(statement)
    assert not isinstance(value, int) or str(value) not in sql_of(statement)
    assert any(MARK in str(bound) for bound in statement.forms[SQLITE].bound.values())


@given(st.lists(st.text(max_size=8), min_size=1, max_size=2).map(tuple), values)
@settings(max_examples=50)
def test_the_sql_is_one_of_a_few_texts(field: tuple[str, ...], value: Any) -> None:
    """A hostile name gives the statement that a harmless name of its length gives."""
    hostile = sql_of(matching(config_condition(field, "=", value)))
    plain = tuple("a" for _ in field)
    escaped = {tuple('"' if choice else "a" for choice in mask) for mask in _masks(len(field))}

    assert hostile in {sql_of(matching(config_condition(f, "=", value))) for f in {plain, *escaped}}


def _masks(length: int) -> list[tuple[bool, ...]]:
    return [tuple(bool(number >> bit & 1) for bit in range(length)) for number in range(2**length)]


@pytest.mark.parametrize(
    "hostile",
    ["x'); DROP TABLE commits; --", '"; DELETE FROM blobs; --', "1 OR 1=1", "') OR ('1'='1"],
)
async def test_sql_in_a_query_does_nothing(db_path: Path, hostile: str) -> None:
    async with AsyncTract.open(db_path, tokenizer=NullTokenCounter(), tract_id="agent") as tract:
        await record(tract, [{"n": 1}, {"n": 2}])
        for operator in OPERATORS:
            value = [hostile] if "in" in operator else hostile

            assert await found(tract, (hostile,), operator, value) == []
            assert await found(tract, "n", operator, value) == (
                [0, 1] if operator[0] in "!n" else []
            )
        assert (await tract.verify()).faults == ()
        with pytest.raises(QueryError, match="Unsupported operator"):
            await tract.query_by_config("n", hostile, 1)
    with sqlite3.connect(db_path) as raw:
        names = {row[0] for row in raw.execute("SELECT name FROM sqlite_schema")}
        rows = raw.execute("SELECT count(*) FROM commits").fetchone()
    raw.close()

    assert set(METADATA.tables) <= names
    assert rows == (2,)


def test_the_column_is_nullable_json() -> None:
    column = commits.c.generation_config_json

    assert column.nullable
    assert type(column.type).__name__ == "JSON"


async def test_what_a_caller_does_to_a_result_changes_no_later_one(tract: AsyncTract) -> None:
    await record(tract, [{"stop": ["a"]}])
    first: list[CommitInfo] = await tract.query_by_config("stop", "=", ["a"])
    assert first[0].generation_config is not None
    first[0].generation_config["stop"].append("b")

    assert await found(tract, "stop", "=", ["a"]) == [0]
    assert await found(tract, "stop", "=", ["a", "b"]) == []


def test_what_is_remembered_is_short_and_knows_its_index() -> None:
    short = config_condition("k", "=", 1)
    long = config_condition("k", "=", "x" * 2_000)
    deep = config_condition(("k" * 2_000,), "=", 1)

    assert matching(short) is matching(short)
    assert sql_of(matching(short)) != sql_of(matching(short, indexed={short.path}))
    assert matching(long) is not matching(long)
    assert matching(deep) is not matching(deep)
    assert matching(*[short] * 9) is not matching(*[short] * 9)


async def test_what_is_asked_again_is_answered_anew(db_path: Path) -> None:
    """Remembered is how a question is put, not what came of it, nor what it may use."""
    values = (1, "1", True)
    async with TractStore.open(db_path) as store:
        tract = store.tract("t")
        await record(tract, [{"k": value} for value in values])
        asked = [await found(tract, "k", "=", value) for value in values]
        await store.create_config_index("k")
        await tract.user("3", message="3", generation_config={"k": "1"})
        again = [await found(tract, "k", "=", value) for value in values]

    assert asked == [[0], [1], [2]]
    assert again == [[0], [1, 3], [2]]


def test_as_many_conditions_as_are_allowed_stay_within_sqlites_usual_limit() -> None:
    """Each value counts once, however often a condition looks at it."""
    large = [2**70 + number for number in range(8)]
    statement = matching(*(config_condition("seed", "in", large) for _ in range(200)))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create_tables(connection)
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)

        assert SqliteConnection(connection).all(statement, tract_id="t", limit=1) == []
