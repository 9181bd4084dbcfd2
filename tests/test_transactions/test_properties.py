"""A transaction leaves what the same calls leave one after another, hashes included."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.effort import effort
from support.opening import with_clock
from tract import StateContent, TokenUsage, TractStore

NOW = 1_000_000_000
Call = tuple[str, int, int]
"""A verb, and two numbers that choose the branch and what else it needs."""

calls = st.lists(
    st.tuples(
        st.sampled_from(
            ["user", "edit", "annotate", "state", "fork", "reset", "tag", "usage", "key", "untag"]
        ),
        st.integers(0, 7),
        st.integers(0, 7),
    ),
    max_size=14,
)


@dataclass
class World:
    """A store, and which commits its branches have, by number."""

    store: TractStore
    entries: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: {("a", "main"): [], ("b", "main"): []}
    )
    commits: list[Any] = field(default_factory=list)
    kept: dict[tuple[str, str], int] = field(default_factory=dict)
    tags: int = 0

    def hash_of(self, number: int) -> str:
        made = self.commits[number]
        found: str = made if isinstance(made, str) else made.reference
        return found

    async def do(self, call: Call, tx: Any) -> None:
        """Do one thing, staged if there is a transaction."""
        verb, first, second = call
        places = sorted(self.entries)
        place = places[first % len(places)]
        entries = self.entries[place]
        handle = self.store.tract(place[0], branch=place[1])
        on: Any = handle if tx is None else tx.on(handle)
        target = entries[second % len(entries)] if entries else None
        named = None if target is None else self.commits[target]
        text = f"{verb} {second}"
        options: dict[str, Any] = {}
        match verb:
            case "user":
                await self.made(place, on.user(text), is_entry=True)
            case "key":
                key = (place[0], str(second % 2))
                options = {"key": key[1], "on_key": "keep"}
                there = self.kept.get(key)
                if there is None:
                    self.kept[key] = len(self.commits)
                    await self.made(place, on.user(text, **options), is_entry=True)
                else:
                    await self.done(on.user(text, **options))
            case "edit" if target is not None:
                await self.made(place, on.user(text, operation="edit", edit_target=named))
            case "annotate" if target is not None:
                await self.done(on.annotate(named, "pinned" if second % 2 else "skip"))
            case "state":
                hashes = [self.hash_of(number) for number in entries]
                await self.made(place, on.state({"seen": hashes, "n": second}))
            case "fork" if len(places) < 5:
                name = f"f{len(places)}"
                at = {} if target is None or second % 2 else {"at_commit": named}
                await self.done(on.fork(name, **at))
                kept = (
                    entries[: entries.index(target) + 1] if at and target is not None else entries
                )
                self.entries[place[0], name] = [*kept]
            case "reset" if target is not None:
                await self.done(on.reset(named, reason=text))
                del entries[entries.index(target) + 1 :]
            case "tag" if target is not None:
                self.tags += 1
                await self.done(on.tag(f"t{self.tags}", named))
            case "usage" if target is not None:
                await self.done(
                    on.record_usage(TokenUsage(second + 1, 1, second + 2), head_hash=named)
                )
            case "untag" if target is not None:
                self.tags += 1
                await self.done(on.tag(f"t{self.tags}", named))
                await self.done(on.delete_tag(f"t{self.tags}"))
            case _:
                pass

    async def made(self, place: tuple[str, str], result: Any, *, is_entry: bool = False) -> None:
        made = await result if asyncio.iscoroutine(result) else result
        if is_entry:
            self.entries[place].append(len(self.commits))
        self.commits.append(made.commit_hash if hasattr(made, "commit_hash") else made)

    async def done(self, result: Any) -> None:
        if asyncio.iscoroutine(result):
            await result

    def land(self) -> None:
        """Know commits by their hashes."""
        self.commits = [self.hash_of(number) for number in range(len(self.commits))]


async def everything(store: TractStore) -> list[Any]:
    found: list[Any] = [await store.tract_ids()]
    for name in "ab":
        main = store.tract(name)
        found += [await main.branches(), await main.tags(), await main.reflog(), await main.keys()]
        found.append(await main.verify())
        for branch in await main.branches():
            handle = main.on(branch.name)
            found += [await handle.log(None, contents=True), await handle.compile()]
    return found


async def one_by_one(path: Path, todo: list[list[Call]]) -> list[Any]:
    async with await with_clock(path, lambda: NOW) as store:
        world = World(store)
        for part in todo:
            for call in part:
                await world.do(call, None)
        return await everything(store)


async def together(path: Path, todo: list[list[Call]]) -> list[Any]:
    async with await with_clock(path, lambda: NOW) as store:
        world = World(store)
        for part in todo:
            async with store.transaction() as tx:
                for call in part:
                    await world.do(call, tx)
            world.land()
        found = await everything(store)
    async with await with_clock(path, lambda: NOW) as again:
        assert await everything(again) == found
    return found


_FEW = settings(
    max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def check_alike(todo: list[list[Call]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        expected = asyncio.run(one_by_one(Path(folder, "one.db"), todo))

        assert asyncio.run(together(Path(folder, "all.db"), todo)) == expected


@_FEW
@given(todo=st.lists(calls, max_size=4))
def test_a_transaction_leaves_what_its_calls_leave_one_by_one(todo: list[list[Call]]) -> None:
    check_alike(todo)


@pytest.mark.long
@settings(_FEW, max_examples=effort(60, 200))
@given(todo=st.lists(calls, max_size=6))
def test_many_transactions_leave_what_their_calls_leave(todo: list[list[Call]]) -> None:
    check_alike(todo)


def test_the_property_looks_at_states() -> None:
    """Not at empty stores alone."""
    todo: list[list[Call]] = [[("user", 0, 0), ("state", 0, 0), ("fork", 0, 1), ("user", 1, 1)]]
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(together(Path(folder, "all.db"), todo))

    assert any(
        isinstance(content, StateContent) and content.payload["seen"]
        for listed in found
        if isinstance(listed, list)
        for pair in listed
        if isinstance(pair, tuple)
        for content in pair
    )
