"""Promise 1, for any history: however a context was computed, it is the one its head names."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.counters import WholeCounter
from support.effort import examples
from support.histories import histories
from support.naive import Deed, messages, shown
from tract import (
    UNSET,
    AsyncTract,
    CommitOperation,
    CommitStep,
    CompiledContext,
    DefaultContextCompiler,
    NullTokenCounter,
    Priority,
    TiktokenCounter,
    TokenCounter,
    TractConfig,
    UnsetType,
)

pytestmark = pytest.mark.long

VIEWS: list[dict[str, Any]] = [
    {"include_edit_annotations": marks, "aggregate_same_role": joined}
    for marks, joined in product([False, True], repeat=2)
]
COUNTERS: list[TokenCounter] = [
    TiktokenCounter(),
    TiktokenCounter("cl100k_base"),
    WholeCounter(),
    NullTokenCounter(),
]
SOURCES = ["tiktoken:o200k_base", "tiktoken:cl100k_base", "counter:WholeCounter", "null"]
USAGES = st.none() | st.tuples(st.integers(1, 10**6), st.integers(0, 99))
Fields = dict[str, Any]
Usage = tuple[int, int] | None


def fields_of(context: CompiledContext) -> Fields:
    """Every field of a context, in plain values."""
    return {
        "dicts": context.to_dicts(),
        "token_count": context.token_count,
        "token_source": context.token_source,
        "commit_count": context.commit_count,
        "configs": context.generation_configs,
        "hashes": context.commit_hashes,
        "head": context.head_hash,
    }


def expected_fields(
    deeds: Sequence[Deed],
    hashes: Sequence[str],
    counter: TokenCounter,
    source: str,
    view: dict[str, Any],
    usage: Usage = None,
) -> Fields:
    """Every field as the reference has it."""
    plain = messages(deeds, **view)
    entries = shown(deeds)
    return {
        "dicts": plain,
        "token_count": usage[0] if usage else counter.count_messages(plain),
        "token_source": f"api:{usage[0]}+{usage[1]}" if usage else source,
        "commit_count": len(entries),
        "configs": [entry["config"] for entry in entries],
        "hashes": [hashes[entry["at"]] for entry in entries],
        "head": hashes[len(deeds) - 1] if deeds else None,
    }


async def do(tract: AsyncTract, deed: Deed, hashes: Sequence[str]) -> str:
    """Commit one deed and return its hash."""
    target = None if deed.target is None else hashes[deed.target]
    if deed.kind == "annotate":
        assert target is not None
        return (await tract.annotate(target, Priority(deed.content))).commit_hash
    info = await tract.commit(
        deed.content,
        operation=CommitOperation(deed.kind),
        edit_target=target,
        generation_config=deed.config,
    )
    return info.commit_hash


async def compiled(tract: AsyncTract, head: str | UnsetType = UNSET) -> list[Fields]:
    """The context at a commit, or at the head, in all four views."""
    return [fields_of(await tract.compile(at_commit=head, **view)) for view in VIEWS]


async def run_history(
    path: Path, deeds: Sequence[Deed], usages: Sequence[Usage], counter: TokenCounter, source: str
) -> None:
    """Compile every head of a history on every path, and compare with the reference."""
    hashes: list[str] = []
    expected: list[list[Fields]] = []
    options: dict[str, Any] = {"tract_id": "t", "tokenizer": counter}
    async with AsyncTract.open(path, **options) as tract:
        for index, deed in enumerate(deeds):
            hashes.append(await do(tract, deed, hashes))
            done, usage = deeds[: index + 1], usages[index]
            plain = [expected_fields(done, hashes, counter, source, view) for view in VIEWS]
            assert await compiled(tract) == plain, "step by step"
            if usage is not None:
                reported = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
                assert (await tract.record_usage(reported)).token_count == usage[0]
            expected.append(
                [expected_fields(done, hashes, counter, source, view, usage) for view in VIEWS]
            )
        for head, wanted in zip(hashes, expected, strict=True):
            assert await compiled(tract, head) == wanted, "from the cache"
    last = (
        expected[-1]
        if expected
        else [expected_fields([], [], counter, source, view) for view in VIEWS]
    )
    async with AsyncTract.open(path, **options) as fresh:
        assert await compiled(fresh) == last, "from nothing, reopened"
        for head, wanted in reversed(list(zip(hashes, expected, strict=True))):
            assert await compiled(fresh, head) == wanted, "backwards in time"
    config = TractConfig(cache_max_bytes=0)
    async with AsyncTract.open(path, config=config, **options) as uncached:
        for head, wanted in zip(hashes, expected, strict=True):
            assert await compiled(uncached, head) == wanted, "without a cache"


@pytest.mark.parametrize(("number", "examples"), [(0, 90), (2, 25), (3, 15)])
def test_a_head_names_one_context_on_every_path_through_a_store(number: int, examples: int) -> None:
    """Promise 1: stepwise, cached, in time travel, reopened and uncached, in every field."""

    @settings(max_examples=examples, deadline=None)
    @given(histories(max_size=9), st.lists(USAGES, min_size=9, max_size=9))
    def check(deeds: list[Deed], usages: list[Usage]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "context.db")
            asyncio.run(run_history(path, deeds, usages, COUNTERS[number], SOURCES[number]))

    check()


def steps_of(deeds: Sequence[Deed], compiler: DefaultContextCompiler) -> list[CommitStep]:
    """The steps of a history as a store would load them; deed n has the hash `h<n>`."""
    return [
        CommitStep(
            commit_hash=f"h{number}",
            operation=deed.kind,
            edit_target=None if deed.target is None else f"h{deed.target}",
            content_type="annotation" if deed.kind == "annotate" else deed.content["content_type"],
            data=_blob(deed),
            token_count=_body_tokens(deed, compiler) if number % 2 else -1,
            token_source=compiler.source if number % 2 else "another counter",
            generation_config_json=None if deed.config is None else json.dumps(deed.config),
        )
        for number, deed in enumerate(deeds)
    ]


def _stored(content: dict[str, Any]) -> dict[str, Any]:
    return {"name": None, "call_id": None, "status": None, **content}


def _blob(deed: Deed) -> bytes:
    fields = {"priority": deed.content} if deed.kind == "annotate" else _stored(deed.content)
    return json.dumps(fields).encode()


def _body_tokens(deed: Deed, compiler: DefaultContextCompiler) -> int:
    if deed.kind == "annotate":
        return 0
    message = compiler.render(deed.content["content_type"], _stored(deed.content))
    return compiler.body_tokens(message)


@pytest.mark.parametrize(("number", "examples"), [(0, 800), (1, 150), (2, 100), (3, 50)])
def test_a_fold_gives_the_reference_however_the_history_is_split(
    number: int, examples: int
) -> None:
    """Promise 1, without a database: any split into folds, and no fold changes what it starts from."""
    counter, source = COUNTERS[number], SOURCES[number]
    compiler = DefaultContextCompiler(counter)
    hashes = [f"h{index}" for index in range(24)]

    @settings(max_examples=examples, deadline=None)
    @given(histories(max_size=24), st.sets(st.integers(0, 24), max_size=8))
    def check(deeds: list[Deed], cuts: set[int]) -> None:
        steps = steps_of(deeds, compiler)
        bounds = sorted({0, len(deeds), *(cut for cut in cuts if cut < len(deeds))})
        snapshots = [compiler.empty()]
        for start, end in pairwise(bounds):
            snapshots.append(compiler.fold(snapshots[-1], steps[start:end]))
        for end, snapshot in zip(bounds, snapshots, strict=True):
            for view in VIEWS:
                wanted = expected_fields(deeds[:end], hashes, counter, source, view)
                assert fields_of(compiler.view(snapshot, **view)) == wanted

    check()


@settings(max_examples=examples(150), deadline=None)
@given(histories(max_size=30))
def test_equal_snapshots_come_of_equal_histories(deeds: list[Deed]) -> None:
    """One fold of everything and one fold per step end in the same snapshot, sums included."""
    compiler = DefaultContextCompiler(COUNTERS[0])
    steps = steps_of(deeds, compiler)
    snapshot = compiler.empty()
    for step in steps:
        snapshot = compiler.fold(snapshot, [step])

    whole = compiler.fold(compiler.empty(), steps)
    assert list(snapshot.entries) == list(whole.entries)
    assert (snapshot.joined_tokens, snapshot.plain_tokens, snapshot.visible, snapshot.nbytes) == (
        whole.joined_tokens,
        whole.plain_tokens,
        whole.visible,
        whole.nbytes,
    )
