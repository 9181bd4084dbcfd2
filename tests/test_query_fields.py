"""`tract.query` and `count` over everything that a commit has, on each engine, in plain Python."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tract import (
    AsyncTract,
    CommitInfo,
    CommitNotFoundError,
    CommitOperation,
    Condition,
    Field,
    NullTokenCounter,
    QueryError,
    TractStore,
    config,
    metadata,
)

COUNTER = NullTokenCounter()
TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "abc",
    "é",
    "e\u0301",
    "\U0001f600",
    "\ud7ff",
    "%",
    "_",
    "'",
    '"',
    "a%b",
]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in_": lambda value, listed: value in listed,
    "not_in": lambda value, listed: value not in listed,
    "startswith": lambda value, text: value.startswith(text),
    "contains": lambda value, text: text in value,
}
METHODS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


async def fill(store: TractStore) -> list[CommitInfo]:
    """Make commits of all kinds on two branches; return them in order of time."""
    chance = random.Random(5)
    main = store.tract("t")
    made = [await main.user("first")]
    side = await main.fork("side")
    for number, text in enumerate([*TEXTS, *TEXTS]):
        on = chance.choice([main, side])
        options: dict[str, Any] = {"message": text} if chance.random() < 0.7 else {}
        if chance.random() < 0.7:
            options["metadata"] = {"user": text, "n": number % 3}
        if chance.random() < 0.5:
            options["generation_config"] = {"user": "anna", "n": number % 2}
        content: dict[str, Any] = chance.choice(
            [
                {"content_type": "freeform", "payload": number},
                {"content_type": "dialogue", "role": "user", "text": text * number},
            ]
        )
        made.append(await on.commit(content, **options))
    await main.annotate(made[0].commit_hash, "pinned")
    made.append((await main.log(1))[0])
    await store.tract("rival").user("x", message="a", metadata={"user": "a", "n": 1})
    return made


def condition(term: Any, sign: str, value: Any) -> Condition:
    if sign in METHODS:
        found = getattr(term, f"__{METHODS[sign]}__")(value)
    else:
        found = getattr(term, sign)(value)
    assert isinstance(found, Condition)
    return found


def drawn(chance: random.Random, made: Sequence[CommitInfo]) -> tuple[Condition, Any]:
    """Return a condition, and the function that tells whether a commit meets it."""
    name = chance.choice(["message", "content_type", "operation", "token_count", "created_at", "n"])
    signs = [*METHODS, "in_", "not_in"]
    values: list[Any]
    if name in ("message", "content_type", "operation"):
        signs += ["startswith", "contains"]
        values = TEXTS if name == "message" else ["freeform", "dialogue", "append", "annotate", "a"]
    elif name == "n":
        values = [0, 1, 2, 1.0, "1"]
    else:
        values = [getattr(info, name) for info in made]
    sign = chance.choice(signs)
    value: Any = chance.choice(values)
    if sign in ("in_", "not_in"):
        value = [chance.choice(values) for _ in range(chance.randrange(4))]
    if name == "n":
        sign = sign if sign in ("==", "!=", "in_", "not_in") else ">"
        value = 0 if sign == ">" else value
        return condition(
            metadata("n"), sign, value
        ), lambda info: info.metadata is not None and OPERATORS[sign](info.metadata["n"], value)
    return condition(
        getattr(Field, name), sign, value
    ), lambda info: getattr(info, name) is not None and OPERATORS[sign](getattr(info, name), value)


async def test_a_query_finds_what_meets_every_condition_on_any_field(target: Path | str) -> None:
    chance = random.Random(11)
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        made = await fill(store)
        main, side = store.tract("t"), store.tract("t", branch="side")
        of = {
            each.branch: {info.commit_hash for info in await each.log(None)}
            for each in (main, side)
        }
        for _ in range(150):
            asked = [drawn(chance, made) for _ in range(chance.randrange(3))]
            on = chance.choice([main, side])
            options: dict[str, Any] = {}
            low, high = -1, len(made)
            if chance.random() < 0.5:
                low = chance.randrange(len(made))
                options["after"] = made[low].commit_hash
            if chance.random() < 0.5:
                high = chance.randrange(len(made))
                options["before"] = made[high].commit_hash
            options["branch_only"] = chance.random() < 0.5
            wanted = [
                info
                for at, info in enumerate(made)
                if low < at < high
                and all(holds(info) for _, holds in asked)
                and (not options["branch_only"] or info.commit_hash in of[on.branch])
            ]
            conditions = [each for each, _ in asked]
            newest, limit = chance.random() < 0.5, chance.choice([None, 0, 1, 3])
            ordered = wanted[::-1] if newest else wanted

            assert await on.count(*conditions, **options) == len(wanted)
            found = await on.query(*conditions, newest=newest, limit=limit, **options)
            assert found == ordered[:limit]


async def test_metadata_and_configs_are_told_apart(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        await store.create_config_index("user")
        tract = store.tract("t")
        one = await tract.user("a", metadata={"user": "anna", "k\0": "\0"})
        two = await tract.user("b", generation_config={"user": "anna"})

        assert await tract.query(metadata("user") == "anna") == [one]
        assert await tract.query(config("user") == "anna") == [two]
        assert await tract.query(metadata("user") == "anna", config("user") == "anna") == []
        assert await tract.query(metadata(("k\0",)) == "\0") == [one]


async def test_hits_bring_their_contents(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        for text in "abc":
            await tract.user(text, message=text)
        found = await tract.query(Field.message != "b", newest=True, contents=True)
        none = await tract.query(Field.message == "z", contents=True)

    assert [(info.message, content.model_dump()["text"]) for info, content in found] == [
        ("c", "c"),
        ("a", "a"),
    ]
    assert none == []


async def test_pages_of_a_query_go_on_after_a_hit(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        made = [await tract.user(str(n), message=str(n % 2)) for n in range(10)]
        wanted = [info for info in made if info.message == "1"]
        page = await tract.query(Field.message == "1", newest=True, limit=2)
        found = page
        while page:
            page = await tract.query(
                Field.message == "1", newest=True, limit=2, before=page[-1].commit_hash
            )
            found = found + page

    assert found == wanted[::-1]


async def test_what_bounds_a_query_must_be_a_commit(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        await tract.user("a")
        calls: list[Any] = [tract.query, tract.count]
        for call in calls:
            for name in ("after", "before"):
                with pytest.raises(CommitNotFoundError):
                    await call(**{name: "nothing"})


NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "write",
    [
        lambda: Field.token_count > 0.5,  # type: ignore[operator]
        lambda: Field.token_count == True,  # noqa: E712
        lambda: Field.token_count == 2**63,
        lambda: Field.message == None,  # noqa: E711
        lambda: Field.message == "a\0",
        lambda: Field.message == "\ud800",
        lambda: Field.message.contains(1),  # type: ignore[arg-type]
        lambda: Field.operation.in_("append"),
        lambda: Field.created_at > datetime(2026, 1, 2),
        lambda: Field.created_at > 5,  # type: ignore[operator]
        lambda: metadata("") == 1,
    ],
)
def test_what_a_field_cannot_be_compared_with_is_refused(write: Callable[[], object]) -> None:
    with pytest.raises(QueryError):
        write()


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Field.message == "it's", 'Field.message == "it\'s"'),
        (Field.message.contains("a"), "Field.message.contains('a')"),
        (Field.key.startswith("a"), "Field.key.startswith('a')"),
        (Field.operation == CommitOperation.EDIT, "Field.operation == 'edit'"),
        (Field.token_count.in_([1, 2]), "Field.token_count.in_([1, 2])"),
        (Field.message.exists(), "Field.message.exists()"),
        (metadata("a.b") >= 2, "metadata('a.b') >= 2"),
    ],
)
def test_a_condition_shows_itself_as_it_is_written(made: object, text: str) -> None:
    assert repr(made) == text
    assert eval(text, {"Field": Field, "metadata": metadata}) == made


def test_a_time_is_shown_as_a_datetime() -> None:
    made = Field.created_at > NOW + timedelta(microseconds=1)
    assert repr(made) == f"Field.created_at > {NOW + timedelta(microseconds=1)!r}"
    assert repr(Field.created_at) == "Field.created_at"
