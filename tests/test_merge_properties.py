"""Promise 1, for any graph of branches and merges: a head names one context, on every path."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings

from support.branched import Branched
from support.doing import Doing
from support.drafts import ticking
from support.effort import examples
from support.meanwhile import everything
from support.naive import messages, shown
from support.opening import with_clock
from support.plans import Plan, plans
from tract import (
    UNSET,
    AsyncTract,
    CompiledContext,
    TiktokenCounter,
    TractConfig,
    TractStore,
    UnsetType,
)

pytestmark = pytest.mark.long

VIEWS: list[dict[str, Any]] = [
    {"include_edit_annotations": marks, "aggregate_same_role": joined}
    for marks, joined in product([False, True], repeat=2)
]
COUNTER = TiktokenCounter()
UNCACHED = TractConfig(cache_max_bytes=0)


async def opened(path: Path, config: TractConfig | None = None) -> TractStore:
    """Open a store whose clock ticks, so that two stores can make the same hashes."""
    return await with_clock(path, ticking(), config=config, tokenizer=COUNTER)


def fields_of(context: CompiledContext) -> dict[str, Any]:
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


def expected(model: Branched, hashes: Sequence[str], head: int | None) -> list[dict[str, Any]]:
    """Every field in all views, as the model has it."""
    numbers = model.changing(model.history(head))
    deeds = model.deeds(numbers)
    entries = shown(deeds)
    found = []
    for view in VIEWS:
        plain = messages(deeds, **view)
        found.append(
            {
                "dicts": plain,
                "token_count": COUNTER.count_messages(plain),
                "token_source": "tiktoken:o200k_base",
                "commit_count": len(entries),
                "configs": [entry["config"] for entry in entries],
                "hashes": [hashes[numbers[entry["at"]]] for entry in entries],
                "head": None if head is None else hashes[head],
            }
        )
    return found


async def compiled(tract: AsyncTract, head: str | UnsetType | None = UNSET) -> list[dict[str, Any]]:
    """The context at a head in all views."""
    return [fields_of(await tract.compile(at_commit=head, **view)) for view in VIEWS]


async def check_everywhere(doing: Doing, *, backwards: bool) -> None:
    """Compare every branch and every commit with the model, in an order that shares no steps."""
    model, hashes = doing.model, doing.hashes
    numbers = range(len(hashes))
    for number in reversed(numbers) if backwards else numbers:
        tract = doing.tract("main")
        assert await compiled(tract, hashes[number]) == expected(model, hashes, number)
    assert await compiled(doing.tract("main"), None) == expected(model, hashes, None)
    for name, head in model.heads.items():
        assert await compiled(doing.tract(name)) == expected(model, hashes, head)


async def paged(tract: AsyncTract, order: Literal["time", "context"]) -> list[str]:
    """The whole log, three commits at a time."""
    found: list[str] = []
    page = await tract.log(3, order=order)
    while page:
        found += [info.commit_hash for info in page]
        page = await tract.log(3, before=found[-1], order=order)
    return found


async def check_lists(doing: Doing) -> None:
    """Compare what lists commits and branches with the model."""
    model, hashes = doing.model, doing.hashes
    for name, head in model.heads.items():
        tract = doing.tract(name)
        newest_first = [hashes[n] for n in sorted(model.ancestors(head), reverse=True)]
        assert [info.commit_hash for info in await tract.log(None)] == newest_first
        assert await paged(tract, "time") == newest_first
        folded_last_first = [hashes[n] for n in model.history(head)][::-1]
        in_context = await tract.log(None, order="context")
        assert [info.commit_hash for info in in_context] == folded_last_first
        assert await paged(tract, "context") == folded_last_first
        assert await tract.head() == (None if head is None else hashes[head])
    listed = {info.name: info.head_hash for info in await doing.tract("main").branches()}
    there = {name: None if n is None else hashes[n] for name, n in model.heads.items()}
    assert {"main": None} | listed == there  # which has no row before its first commit
    report = await doing.tract("main").verify()
    assert (report.checked, report.faults) == (len(hashes), ())


async def check_reflog(doing: Doing) -> None:
    """Each branch's moves are one chain in time, which ends where the branch points."""
    moves = (await doing.tract("main").reflog())[::-1]
    assert [move.created_at for move in moves] == sorted(move.created_at for move in moves)
    at: dict[str, str | None] = {}
    for move in moves:
        assert move.old_hash == at.get(move.branch)
        at[move.branch] = move.new_hash
    model = doing.model
    heads = {name: doing.hashes[n] for name, n in model.heads.items() if n is not None}
    assert {name: head for name, head in at.items() if head is not None} == heads


async def run(folder: Path, todo: Sequence[Plan]) -> None:
    store = await opened(folder / "one.db")
    async with store:
        doing = Doing(store)
        for plan in todo:
            branch = await doing.do(plan)
            head = doing.model.heads.get(branch)
            wanted = expected(doing.model, doing.hashes, head)
            assert await compiled(doing.tract(branch)) == wanted, "step by step"
        await check_everywhere(doing, backwards=False)
        await check_lists(doing)
        await check_reflog(doing)
        told = await everything(store)
    for config, backwards in ((None, True), (UNCACHED, False)):
        async with await opened(folder / "one.db", config) as again:
            doing.store = again
            await check_everywhere(doing, backwards=backwards)
            assert await everything(again) == told
    async with await opened(folder / "two.db", UNCACHED) as twin:
        same = Doing(twin)
        for plan in todo:
            await same.do(plan)
        assert (same.hashes, same.said) == (doing.hashes, doing.said)
        assert await everything(twin) == told


def planned(kind: str, branch: int = 0, other: int = 0) -> Plan:
    said = {"content_type": "dialogue", "role": "user", "text": "a"}
    return Plan(kind, branch, other, 0, said, None, "skip", "raise", fast_forward=False)


SQUASHED_TWICE = [
    planned("append"),
    planned("fork"),  # now there are b1 and main
    planned("append", 1),
    planned("squash", 0, 1),
    planned("squash", 0, 1),
    planned("append", 1),
    planned("squash", 0, 1),
]


@settings(max_examples=examples(60), deadline=None)
@example(SQUASHED_TWICE)
@given(plans)
def test_a_head_names_one_context_in_any_graph(todo: list[Plan]) -> None:
    """Step by step, cached, in time travel, reopened, uncached, and in a second store alike."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), todo))
