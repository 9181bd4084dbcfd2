"""Compactions beside others: what comes while one is made is as if it had come before."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support.effort import effort
from support.meanwhile import Interruption, everything, opened
from tract import (
    AsyncTract,
    CompactionError,
    CompactionRequest,
    DialogueContent,
    EditTargetError,
    Priority,
    ToolIOContent,
    TractStore,
)

_EACH = 20
SEEDS = [
    range(0, 20),
    *(
        pytest.param(range(first, first + _EACH), id=f"from {first}", marks=pytest.mark.long)
        for first in range(20, effort(200, 4_000), _EACH)
    ),
]


class Doing:
    """Does random things to one branch; with the same seed, the same ones."""

    def __init__(self, tract: AsyncTract, seed: str) -> None:
        self._tract = tract
        self._dice = Random(seed)
        self._count = 0
        self._tag = seed.rpartition(" ")[2]

    async def do(self, steps: int, ways: str) -> None:
        for _ in range(steps):
            name = self._dice.choice(ways.split())
            await getattr(self, f"_{name}")()

    def _io(self, direction: Any, call_id: str) -> ToolIOContent:
        self._count += 1
        return ToolIOContent(
            tool_name="look", direction=direction, payload=f"{self._count} x y z", call_id=call_id
        )

    async def _say(self) -> None:
        self._count += 1
        role: Any = self._dice.choice(["user", "assistant"])
        await self._tract.commit(
            DialogueContent(role=role, text=f"{self._tag} {self._count} a b c")
        )

    async def _call(self) -> None:
        await self._tract.commit(self._io("call", self._dice.choice("uvwxyz")))

    async def _result(self) -> None:
        await self._tract.commit(self._io("result", self._dice.choice("uvwxyz")))

    async def _step(self) -> None:
        async with self._tract.batch() as batch:
            name = self._dice.choice("uvwxyz")
            batch.commit(self._io("call", name))
            batch.commit(self._io("result", name))

    async def _target(self) -> str | None:
        entries = await self._tract.entries(include_skipped=True)
        return self._dice.choice(entries).commit_hash if entries else None

    async def _edit(self) -> None:
        target = await self._target()
        if target is not None:
            content = DialogueContent(role="user", text="edited")
            await self._tract.commit(content, operation="edit", edit_target=target)

    async def _call_now(self) -> None:
        target = await self._target()
        if target is not None:
            content = self._io("call", self._dice.choice("uvwxyz"))
            await self._tract.commit(content, operation="edit", edit_target=target)

    async def _annotate(self) -> None:
        target = await self._target()
        if target is not None:
            await self._tract.annotate(target, self._dice.choice([*Priority]))

    async def _fork(self) -> None:
        if await self._tract.head() is not None:
            names = {each.name for each in await self._tract.branches()}
            if "side" in names:
                await self._tract.delete_branch("side", force=True)
            side = await self._tract.fork("side")
            await Doing(side, f"{self._dice.random()} side").do(
                4, "say step annotate edit compact result"
            )

    async def _merge(self) -> None:
        if "side" in {each.name for each in await self._tract.branches()}:
            await self._tract.merge("side", on_conflict=self._dice.choice(["ours", "theirs"]))

    async def _reset(self) -> None:
        log = await self._tract.log(5)
        if log:
            await self._tract.reset(self._dice.choice(log).commit_hash)

    async def _compact(self) -> None:
        await self._tract.compact(None, keep_recent=self._dice.randrange(3), roll_up=True)

    async def _clear(self) -> None:
        await self._tract.clear_tool_results(keep=self._dice.randrange(2))

    async def _expand(self) -> None:
        made = [each for each in await self._tract.compactions() if not each.undone]
        if made:
            await self._tract.expand(self._dice.choice(made).commit_hash)

    async def _erase(self) -> None:
        target = await self._target()
        if target is not None:
            await self._tract.erase([target], reason="asked")

    async def _batch(self) -> None:
        entries = await self._tract.entries()
        async with self._tract.batch() as batch:
            batch.user("in a batch")
            if entries:
                batch.annotate(self._dice.choice(entries).commit_hash, Priority.SKIP)
            batch.commit(self._io("result", self._dice.choice("uvwxyz")))


BEFORE = "say say step step call result annotate edit compact clear fork merge expand"
MEANWHILE = (
    "say step call result annotate annotate edit call_now fork merge reset compact clear expand "
    "erase batch"
)


async def outcome(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except (CompactionError, EditTargetError) as error:
        return type(error).__name__, str(error)


async def compact(tract: AsyncTract, dice: Random, meanwhile: Callable[[], Awaitable[Any]]) -> Any:
    plan = await tract.plan_compaction(keep_recent=dice.randrange(3), roll_up=dice.random() < 0.5)

    async def summarise(request: CompactionRequest) -> str:
        await meanwhile()
        return "a summary"

    return await outcome(tract.compact(summarise, plan=plan))


async def expand(tract: AsyncTract, dice: Random, meanwhile: Callable[[], Awaitable[Any]]) -> Any:
    made = [each for each in await tract.compactions() if not each.undone]
    if not made:
        return None
    chosen = dice.choice(made).commit_hash
    await meanwhile()
    return await outcome(tract.expand(chosen))


async def nothing() -> None:
    pass


@pytest.mark.parametrize("what", [compact, expand])
@pytest.mark.parametrize("seeds", SEEDS)
async def test_a_compaction_is_as_if_what_came_meanwhile_had_come_before(
    seeds: range, what: Any
) -> None:
    """With the same hashes, or the same error."""
    happened = 0
    for seed in seeds:
        try:
            happened += await compare(seed, what)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise

    assert happened


async def compare(seed: int, what: Any) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            await opened(Path(folder) / "one.db") as one,
            await opened(Path(folder) / "two.db") as two,
        ):
            found = [await prepared(store, seed) for store in (one, two)]
            there = found[0][1]
            interruption = Interruption(one, lambda: there.do(1 + seed % 3, MEANWHILE))
            result = await what(found[0][0], Random(seed), nothing)
            if not interruption.happened:
                return False
            other = found[1][1]
            twin = await what(found[1][0], Random(seed), lambda: other.do(1 + seed % 3, MEANWHILE))
            assert result == twin
            assert await everything(one) == await everything(two)
            return True


async def prepared(store: TractStore, seed: int) -> tuple[AsyncTract, Doing]:
    tract = store.tract("t")
    await Doing(tract, f"{seed} before").do(8 + seed % 10, BEFORE)
    return tract, Doing(tract, f"{seed} meanwhile")
