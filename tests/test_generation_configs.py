"""Generation configs from commit to compile: exact, parallel to the entries, immutable."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from support.configs import configs
from support.effort import examples
from tract import (
    AsyncTract,
    CommitInfo,
    CommitOperation,
    ContentValidationError,
    NullTokenCounter,
    Priority,
    TractConfig,
    TractStore,
)

EDIT = CommitOperation.EDIT
PROVIDERS: list[dict[str, Any]] = [
    {
        "model": "gpt-4o",
        "temperature": 0.7,
        "top_p": 1,
        "logit_bias": {"50256": -100, "1.5": 2},
        "stop": ["\n\n", "END", "\u2028", "\0"],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/a"}}},
        "seed": 2**80,
        "stream": False,
        "user": None,
    },
    {
        "model": "claude",
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stop_sequences": [],
        "metadata": {"user_id": 'a"b\\c'},
    },
    {"generationConfig": {"topK": 40, "candidateCount": 1.0, "penalty": 0.1 + 0.2}},
    {"tiny": 5e-324, "huge": 1.7976931348623157e308, "minus": -0.0, "exp": 1e22},
    {},
]


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter(), tract_id="agent") as opened:
        yield opened


def spelled(value: Any) -> str:
    """Return a text that also tells 1 from 1.0, and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


async def everywhere(tract: AsyncTract, info: CommitInfo) -> list[dict[str, Any] | None]:
    """Return the config of a commit from every call that gives one."""
    got = await tract.get_commit(info.commit_hash)
    (logged,) = [c for c in await tract.log(None) if c.commit_hash == info.commit_hash]
    assert got is not None
    return [info.generation_config, got.generation_config, logged.generation_config]


@pytest.mark.parametrize("config", PROVIDERS)
async def test_any_providers_config_comes_back_exactly(
    target: Path | str, config: dict[str, Any]
) -> None:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter(), tract_id="agent") as tract:
        info = await tract.assistant("hi", generation_config=config)
        before = await everywhere(tract, info)
        compiled = (await tract.compile()).generation_configs
    async with AsyncTract.open(target, tokenizer=NullTokenCounter(), tract_id="agent") as tract:
        after = await everywhere(tract, info)
        again = (await tract.compile()).generation_configs

    assert {spelled(found) for found in [*before, *compiled, *after, *again]} == {spelled(config)}


@given(st.lists(configs, min_size=1, max_size=4))
@settings(max_examples=examples(40))
async def test_any_json_object_comes_back_exactly(drawn: list[dict[str, Any]]) -> None:
    async with AsyncTract.open(tokenizer=NullTokenCounter()) as tract:
        async with tract.batch() as batch:
            for config in drawn:
                batch.commit({"content_type": "output", "text": "x"}, generation_config=config)
        compiled = (await tract.compile()).generation_configs
        logged = [info.generation_config for info in await tract.log(None)]

        assert [spelled(config) for config in compiled] == [spelled(config) for config in drawn]
        assert [spelled(config) for config in reversed(logged)] == [spelled(c) for c in drawn]


async def test_a_commit_without_a_config_has_none(tract: AsyncTract) -> None:
    without = await tract.user("hi")
    empty = await tract.user("hi", generation_config={})

    assert await everywhere(tract, without) == [None] * 3
    assert await everywhere(tract, empty) == [{}] * 3
    assert (await tract.compile()).generation_configs == [{}, {}]


async def test_a_config_is_in_no_hash(tract: AsyncTract, db_path: Path) -> None:
    """One content under two configs is one blob, and the commits differ by parent and time."""
    one = await tract.assistant("same", generation_config={"temperature": 0})
    two = await tract.assistant("same", generation_config={"temperature": 1})
    with sqlite3.connect(db_path) as raw:
        blobs = raw.execute("SELECT count(*) FROM blobs").fetchone()
    raw.close()

    assert one.content_hash == two.content_hash
    assert one.commit_hash != two.commit_hash
    assert two.parent_hash == one.commit_hash
    assert blobs == (1,)
    assert (await tract.verify()).faults == ()


async def story(tract: AsyncTract) -> list[tuple[CommitInfo, list[dict[str, Any]]]]:
    """Commit every kind of change; return each commit with the configs that hold after it."""
    told: list[tuple[CommitInfo, list[dict[str, Any]]]] = []

    def note(info: CommitInfo, *configs: dict[str, Any]) -> str:
        told.append((info, list(configs)))
        return info.commit_hash

    async def edit(target: str, config: dict[str, Any] | None) -> CommitInfo:
        return await tract.assistant(
            "edited", operation=EDIT, edit_target=target, generation_config=config
        )

    async def annotate(target: str, priority: Priority) -> CommitInfo:
        made = await tract.annotate(target, priority)
        info = await tract.get_commit(made.commit_hash)
        assert info is not None
        return info

    note(await tract.system("s"), {})
    a = note(await tract.assistant("a", generation_config={"t": 1}), {}, {"t": 1})
    b = note(await tract.assistant("b", generation_config={"t": [2]}), {}, {"t": 1}, {"t": [2]})
    c = note(await tract.assistant("c"), {}, {"t": 1}, {"t": [2]}, {})
    note(await edit(a, None), {}, {"t": 1}, {"t": [2]}, {})
    note(await edit(a, {"t": 3}), {}, {"t": 3}, {"t": [2]}, {})
    note(await edit(a, None), {}, {"t": 3}, {"t": [2]}, {})
    note(await annotate(b, Priority.SKIP), {}, {"t": 3}, {})
    note(await edit(b, {"t": 4}), {}, {"t": 3}, {})
    note(await edit(c, {"u": 5}), {}, {"t": 3}, {"u": 5})
    note(await annotate(b, Priority.PINNED), {}, {"t": 3}, {"t": 4}, {"u": 5})
    note(await edit(a, {}), {}, {}, {"t": 4}, {"u": 5})
    note(await edit(a, None), {}, {}, {"t": 4}, {"u": 5})
    return told


@pytest.mark.parametrize("cache", [0, 2**26], ids=["uncached", "cached"])
async def test_configs_are_right_after_every_kind_of_commit(target: Path | str, cache: int) -> None:
    """Compiled from nothing, folded forward, and after reopening, joined or not."""
    config = TractConfig(cache_max_bytes=cache)
    async with TractStore.open(target, tokenizer=NullTokenCounter(), config=config) as store:
        told = await story(store.tract("agent"))
        for info, expected in told:
            context = await store.tract("agent").compile(at_commit=info.commit_hash)

            assert context.generation_configs == expected
    async with TractStore.open(target, tokenizer=NullTokenCounter(), config=config) as store:
        for info, expected in reversed(told):
            for joining in (True, False):
                context = await store.tract("agent").compile(
                    at_time=info.created_at, aggregate_same_role=joining
                )

                assert context.generation_configs == expected
                assert len(context.commit_hashes) == context.commit_count == len(expected)


async def test_configs_are_right_while_the_cache_is_extended(tract: AsyncTract) -> None:
    user = await tract.user("q")
    assert (await tract.compile()).generation_configs == [{}]
    reply = await tract.assistant("a", generation_config={"n": 1})
    assert (await tract.compile()).generation_configs == [{}, {"n": 1}]
    await tract.assistant("b", generation_config={"n": 2})
    assert (await tract.compile()).generation_configs == [{}, {"n": 1}, {"n": 2}]
    await tract.annotate(user.commit_hash, Priority.SKIP)
    assert (await tract.compile()).generation_configs == [{"n": 1}, {"n": 2}]
    await tract.assistant(
        "c", operation=EDIT, edit_target=reply.commit_hash, generation_config={"n": 3}
    )
    context = await tract.compile()

    assert context.generation_configs == [{"n": 3}, {"n": 2}]
    assert context.commit_hashes[0] == reply.commit_hash
    assert len(context.messages) == 1


async def test_reported_usage_changes_no_config(tract: AsyncTract, db_path: Path) -> None:
    info = await tract.assistant("a", generation_config={"n": 1})
    report = {"prompt_tokens": 3, "completion_tokens": 1, "model": "other", "temperature": 9}
    context = await tract.record_usage(report)
    with sqlite3.connect(db_path) as raw:
        kept = raw.execute("SELECT raw_json FROM usage").fetchone()[0]
    raw.close()

    assert context.generation_configs == [{"n": 1}]
    assert (await tract.compile()).generation_configs == [{"n": 1}]
    assert await everywhere(tract, info) == [{"n": 1}] * 3
    assert json.loads(kept) == report
    assert await tract.query_by_config("temperature", "=", 9) == []


async def test_what_a_caller_does_to_a_config_afterwards_is_not_stored(tract: AsyncTract) -> None:
    config = {"stop": ["a"], "bias": {"1": 2}}
    info = await tract.assistant("a", generation_config=config)
    config["stop"].append("b")  # type: ignore[attr-defined]
    assert info.generation_config is not None
    info.generation_config["bias"]["1"] = 3
    context = await tract.compile()
    context.generation_configs[0].clear()

    assert (await tract.compile()).generation_configs == [{"stop": ["a"], "bias": {"1": 2}}]
    stored = await tract.get_commit(info.commit_hash)
    assert stored is not None
    assert stored.generation_config == {"stop": ["a"], "bias": {"1": 2}}


async def test_a_staged_config_is_copied_when_it_is_staged(tract: AsyncTract) -> None:
    config: dict[str, Any] = {"stop": ["a"]}
    async with tract.batch() as batch:
        staged = batch.commit({"content_type": "output", "text": "x"}, generation_config=config)
        config["stop"].append("b")

    assert staged.info.generation_config == {"stop": ["a"]}


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"a": float("nan")}, "generation_config.a"),
        ({"a": [1, float("inf")]}, "generation_config.a[1]"),
        ({"a": {"b": b""}}, "generation_config.a.b"),
        ({"a": {1: 2}}, "generation_config.a"),
        ({"a": "\ud800"}, "generation_config.a"),
        ([("a", 1)], "generation_config"),
        ("{}", "generation_config"),
    ],
)
async def test_a_config_that_json_cannot_hold_is_refused_by_path(
    tract: AsyncTract, config: Any, path: str
) -> None:
    with pytest.raises(ContentValidationError) as caught:
        await tract.user("hi", generation_config=config)

    assert caught.value.path == path
    assert await tract.head() is None


async def test_edits_are_found_by_their_own_config_alone(tract: AsyncTract) -> None:
    """A query looks at commits; what an edit inherits is the compiled context's affair."""
    first = await tract.assistant("a", generation_config={"n": 1})
    target = first.commit_hash
    await tract.assistant("b", operation=EDIT, edit_target=target)
    edit = await tract.assistant(
        "c", operation=EDIT, edit_target=target, generation_config={"n": 1}
    )
    await tract.annotate(target, Priority.SKIP)

    assert await tract.query_by_config("n", "=", 1) == [first, edit]
