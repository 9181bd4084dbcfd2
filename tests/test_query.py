"""`tract.query`: conditions written in Python, joined by AND, over a tract or one branch."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from support.configs import KEYS, Query, configs, places, queries, satisfies
from support.effort import effort
from support.opening import engine_of
from support.probes import probe
from tract import (
    AsyncTract,
    Condition,
    NullTokenCounter,
    QueryError,
    TractError,
    TractStore,
    config,
)

COUNTER = NullTokenCounter()
WRITTEN: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "in": lambda term, values: term.in_(values),
    "not in": lambda term, values: term.not_in(values),
    "exists": lambda term, _: term.exists(),
}


def written(query: Query) -> Condition:
    """Return a query as callers of `query` write it."""
    condition = WRITTEN[query.operator](config(query.field), query.value)
    assert isinstance(condition, Condition)
    return condition


def holds(stored: dict[str, Any] | None, query: Query) -> bool:
    """Return whether a config meets a condition, in plain Python."""
    if query.operator == "exists":  # what is there differs from each of no values
        return satisfies(stored, Query(query.field, "not in", []))
    return satisfies(stored, query)


async def record(tract: AsyncTract, stored: Sequence[dict[str, Any] | None]) -> None:
    async with tract.batch() as batch:
        for number, item in enumerate(stored):
            batch.commit(
                {"content_type": "freeform", "payload": number},
                message=str(number),
                generation_config=item,
            )


async def found(tract: AsyncTract, *conditions: Any, **options: Any) -> list[int]:
    """Return which of the recorded configs a query finds, in the order of the answer."""
    return [int(info.message or "") for info in await tract.query(*conditions, **options)]


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=COUNTER, tract_id="agent") as opened:
        yield opened


@pytest.mark.long
@given(data=st.data())
@settings(max_examples=effort(40, 100))
async def test_a_query_finds_what_meets_every_condition(data: st.DataObject) -> None:
    """Over random configs, in two branches of a tract, some of the fields indexed."""
    drawn = st.lists(st.none() | configs, min_size=1, max_size=6)
    on_main, on_other = data.draw(drawn), data.draw(drawn)
    asked = data.draw(st.lists(queries([*on_main, *on_other]), max_size=3))
    there = [path for item in on_main if item is not None for path, _ in places(item)]
    also_exists = data.draw(st.booleans())
    if there and also_exists:
        asked.append(Query(data.draw(st.sampled_from(there)), "exists", None))
    limit = data.draw(st.none() | st.integers(0, 4))
    async with TractStore.open(tokenizer=COUNTER) as store:
        for query in asked:
            if data.draw(st.booleans()):
                try:
                    await store.create_config_index(query.field)
                except QueryError:  # a key that cannot be indexed
                    continue
        main, other = store.tract("agent"), store.tract("agent", branch="other")
        await record(store.tract("rival"), on_main)
        await record(main, on_main)
        await record(other, on_other)
        conditions = [written(query) for query in asked]

        def wanted(stored: list[dict[str, Any] | None]) -> list[int]:
            return [n for n, item in enumerate(stored) if all(holds(item, q) for q in asked)]

        everywhere = [*wanted(on_main), *wanted(on_other)]
        assert await found(main, *conditions) == everywhere
        assert await found(other, *conditions, limit=limit) == everywhere[:limit]
        assert await found(main, *conditions, branch_only=True) == wanted(on_main)
        assert (
            await found(other, *conditions, branch_only=True, limit=limit)
            == wanted(on_other)[:limit]
        )


async def test_a_query_of_one_condition_is_query_by_config(tract: AsyncTract) -> None:
    await record(tract, [{"t": 0.1}, {"t": 0.9}, {"t": "hot"}, {}])

    assert await tract.query(config("t") > 0.5) == await tract.query_by_config("t", ">", 0.5)
    assert await found(tract, config("t") > 0.5) == [1]


async def test_without_conditions_every_commit_is_found(tract: AsyncTract) -> None:
    """Those without a config, edits and annotations too."""
    first = await tract.user("hello", message="0")
    await record(tract, [None, {"a": 1}])
    await tract.commit({"content_type": "freeform", "payload": 1}, message="3")
    everything = (await tract.log(None))[::-1]

    assert everything[0] == first
    assert await tract.query() == everything
    assert await tract.query(branch_only=True) == everything
    assert await tract.query(limit=2) == everything[:2]
    assert await tract.query(limit=0) == await tract.query(branch_only=True, limit=0) == []


async def test_an_empty_branch_and_an_unknown_tract_hold_nothing(tract: AsyncTract) -> None:
    async with TractStore.open(tokenizer=COUNTER) as store:
        await record(store.tract("agent"), [{"a": 1}])
        empty = store.tract("agent", branch="empty")

        assert await found(empty, config("a") == 1) == [0]
        assert await found(empty, config("a") == 1, branch_only=True) == []
        assert await found(empty, branch_only=True) == []
        assert await found(store.tract("nobody"), config("a") == 1) == []


async def test_a_branch_holds_what_it_shares_with_another_but_nothing_later(
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        main = store.tract("agent")
        await record(main, [{"a": n} for n in range(4)])
        other = await main.fork("other", at_commit=(await main.log(None))[2].commit_hash)
        await other.user("more", message="7", generation_config={"a": 7})

        assert await found(other, config("a") >= 0, branch_only=True) == [0, 1, 7]
        assert await found(main, config("a") >= 0, branch_only=True) == [0, 1, 2, 3]
        assert await found(main, config("a") >= 0) == [0, 1, 2, 3, 7]


async def test_conditions_on_one_field_make_a_range(tract: AsyncTract) -> None:
    await record(tract, [{"t": t / 10} for t in range(10)])

    assert await found(tract, config("t") >= 0.3, config("t") < 0.6, config("t") != 0.4) == [3, 5]
    assert await found(tract, config("t") > 0.6, config("t") < 0.3) == []


async def test_exists_takes_null_for_a_value(tract: AsyncTract) -> None:
    await record(tract, [{"a": None}, {"a": 0}, {"b": 1}, {}, None, {"a": {"c": []}}])

    assert await found(tract, config("a").exists()) == [0, 1, 5]
    assert await found(tract, config("a.c").exists()) == [5]
    assert await found(tract, config(("a", "c", 0)).exists()) == []


@pytest.mark.parametrize("key", KEYS, ids=ascii)
async def test_a_key_is_only_ever_a_name(tract: AsyncTract, key: str) -> None:
    await record(tract, [{key: 1, "other": 1}, {"other": 1}])

    assert await found(tract, config((key,)).exists(), config("other") == 1) == [0]


async def test_a_condition_holds_what_the_value_was(tract: AsyncTract) -> None:
    stop = ["a", ["b"]]
    condition = config("stop").in_([stop])
    stop[1] = "changed"
    stop.append("more")
    await record(tract, [{"stop": ["a", ["b"]]}, {"stop": stop}])

    assert await found(tract, condition) == [0]
    assert condition == config("stop").in_([["a", ["b"]]])
    assert hash(condition) == hash(config("stop").in_([["a", ["b"]]]))
    with pytest.raises(AttributeError):
        condition.operator = "="  # type: ignore[misc]


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (config("model") == "gpt-4o", "config('model') == 'gpt-4o'"),
        (config("a.b") != None, "config('a.b') != None"),  # noqa: E711
        (config(("a", "b")) > 0.5, "config('a.b') > 0.5"),
        (config(("a.b", 1)) <= 2, "config(('a.b', 1)) <= 2"),
        (config(("",)) < "x", "config(('',)) < 'x'"),
        (0.5 >= config("t"), "config('t') <= 0.5"),
        (config("a").in_(["x", 1, True]), "config('a').in_(['x', 1, True])"),
        (config("a").not_in(()), "config('a').not_in([])"),
        (config("a").exists(), "config('a').exists()"),
    ],
)
def test_a_condition_shows_itself_as_it_is_written(condition: object, text: str) -> None:
    assert repr(condition) == text
    assert repr(eval(text, {"config": config})) == text


def test_a_long_value_is_shown_in_part() -> None:
    assert len(repr(config("a") == "x" * 10_000)) < 300


def test_a_condition_is_neither_true_nor_false() -> None:
    one, two = config("a") == 1, config("b") == 2

    with pytest.raises(TypeError, match=r"config\('a'\) == 1 .*commas"):
        bool(one)
    with pytest.raises(TypeError, match="commas"):
        one and two  # noqa: B018
    with pytest.raises(TypeError, match="commas"):
        0.1 < config("t") < 0.5  # noqa: B015
    with pytest.raises(TypeError, match="neither true nor false"):
        not config("a")
    with pytest.raises(TypeError, match="unhashable"):
        {config("a")}


@pytest.mark.parametrize(
    "write",
    [
        lambda: config("a..b"),
        lambda: config(""),
        lambda: config(()),
        lambda: config(None),  # type: ignore[arg-type]
        lambda: config("a") > [1],
        lambda: config("a") >= True,
        lambda: config("a") == float("nan"),
        lambda: config("a") == config("b"),
        lambda: config("a").in_("gpt"),
        lambda: config("a").not_in([object()]),
    ],
)
def test_what_cannot_be_compared_is_refused_where_it_is_written(
    write: Callable[[], object],
) -> None:
    with pytest.raises(QueryError):
        write()


@pytest.mark.parametrize("given", [True, None, "a", ("a", "=", 1), config("a"), [config("a") == 1]])
async def test_what_is_no_condition_is_refused(tract: AsyncTract, given: Any) -> None:
    with pytest.raises(QueryError, match=f"Not a condition: a {type(given).__name__}"):
        await tract.query(config("b") == 1, given)


@pytest.mark.unmeasured
async def test_more_conditions_than_one_statement_takes_are_refused(tract: AsyncTract) -> None:
    await record(tract, [{'q"': {"a": "b"}}])
    awkward = [config(('q"', "a")).not_in([number, "x", [1], 2**60]) for number in range(200)]

    assert await found(tract, *awkward) == [0]
    with pytest.raises(QueryError, match="201 conditions are too many"):
        await tract.query(*awkward, awkward[0])


async def test_a_limit_is_no_negative_number(tract: AsyncTract) -> None:
    with pytest.raises(ValueError, match="limit"):
        await tract.query(config("a") == 1, limit=-1)


async def test_a_query_on_a_closed_store_is_refused(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        pass

    with pytest.raises(TractError, match="closed"):
        await tract.query()


async def test_conditions_are_one_statement_and_one_trip(target: Path | str) -> None:
    """As the driver tells what it runs; a server is asked for the indexes in a trip of its own."""
    async with AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER) as tract:
        for number in range(5):
            await tract.user(str(number), generation_config={"n": number})
        await tract.query()  # over a connection that is there from now on
        async with probe(tract).statements() as ran:
            before = probe(tract).trips
            found = await tract.query(config("n") > 1, config("n") < 4, config("n") != 3)
            trips = probe(tract).trips - before

    assert [info.generation_config for info in found] == [{"n": 2}]
    assert trips == (2 if engine_of(target) == "postgres" else 1)
    assert len([text for text in ran if "FROM commits" in text]) == 1
