"""Readers that a prune or an erasure overtakes: they return what was there before, or what is there after."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.opening import COUNTER
from support.probes import probe, workers_of
from tract import (
    AsyncTract,
    BranchNotFoundError,
    CommitNotFoundError,
    Field,
    MediaPart,
    MessageContent,
    Priority,
    TractStore,
    config,
)
from tract.storage.sql.repositories import repositories_over

PATIENCE = 20.0  # seconds
LOST = 24
SCATTERED = 80
"""More than one statement of SQLite looks for."""

Reader = Callable[[AsyncTract, list[str]], Awaitable[object]]


READERS: dict[str, Reader] = {
    "log": lambda tract, hashes: tract.log(None),
    "log before": lambda tract, hashes: tract.log(None, before=hashes[-2]),
    "log of a context": lambda tract, hashes: tract.log(None, order="context"),
    "log with contents": lambda tract, hashes: tract.log(None, contents=True),
    "commit": lambda tract, hashes: tract.get_commit(hashes[-1]),
    "content": lambda tract, hashes: tract.get_content(hashes[0]),
    "contents": lambda tract, hashes: tract.get_contents(hashes),
    "head": lambda tract, hashes: tract.head(),
    "entries": lambda tract, hashes: _entries(tract),
    "entries at": lambda tract, hashes: _entries(tract, at_commit=hashes[-1]),
    "messages": lambda tract, hashes: _messages(tract),
    "request": lambda tract, hashes: _request(tract),
    "difference": lambda tract, hashes: tract.diff("main", "side"),
    "annotations": lambda tract, hashes: tract.get_annotations(hashes[1]),
    "branches of": lambda tract, hashes: tract.reached_by(hashes[:3]),
    "reflog": lambda tract, hashes: tract.reflog(),
    "query": lambda tract, hashes: tract.query(config("n") >= 0),
    "query of a branch": lambda tract, hashes: tract.query(config("n") >= 0, branch_only=True),
    "query with contents": lambda tract, hashes: tract.query(config("n") >= 0, contents=True),
    "query after": lambda tract, hashes: tract.query(after=hashes[0], newest=True),
    "count": lambda tract, hashes: tract.count(Field.token_count >= 0, branch_only=True),
    "comparison": lambda tract, hashes: tract.compare(["main", "side"]),
    "size": lambda tract, hashes: tract.stats(),
    "keys": lambda tract, hashes: tract.keys(newest=True),
    "search": lambda tract, hashes: tract.search("lost"),
    "faults": lambda tract, hashes: _faults(tract),
}


MIXED = {"annotations", "comparison", "difference", "query after", "reflog", "search"}
"""Those that ask for several things, each of which is as it was or as it is."""


async def _entries(tract: AsyncTract, **asked: Any) -> object:
    return [(each.commit_hash, each.content) for each in await tract.entries(**asked)]


async def _messages(tract: AsyncTract) -> object:
    return (await tract.compile()).messages


async def _request(tract: AsyncTract) -> object:
    return (await tract.compile()).request("anthropic.messages")


async def _faults(tract: AsyncTract) -> object:
    return (await tract.verify()).faults


async def filled(path: Path) -> list[str]:
    """Make a branch of its own commits, with all that readers look at; return their hashes."""
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        await store.enable_search()
        main = store.tract("t")
        await main.user("stays")
        await main.tag("start")
        side = await main.fork("side")
        part = MediaPart(kind="image", data=b"\x89PNG", media_type="image/png")
        async with side.batch() as batch:
            batch.commit(MessageContent(role="user", parts=(part,)), generation_config={"n": 0})
            for n in range(LOST):
                batch.user(f"lost {n}", generation_config={"n": n}, key="k" if n == 3 else None)
        hashes = [info.commit_hash for info in batch.commits]
        await side.annotate(hashes[1], Priority.PINNED, reason="needed")
        await store.tract("t").search("lost")
    return hashes


async def outcome(asked: Awaitable[object]) -> object:
    try:
        return await asked
    except (CommitNotFoundError, BranchNotFoundError) as error:
        return type(error)


@pytest.mark.parametrize("how", ["pruned", "erased", "erased whole"])
@pytest.mark.parametrize("name", READERS)
async def test_a_reader_that_is_overtaken_returns_what_was_or_what_is(
    tmp_path: Path, name: str, how: str
) -> None:
    """Whichever of its statements comes after the prune, or after an erasure."""
    read, path, turn = READERS[name], tmp_path / "made.db", 0
    hashes = await filled(path)
    while True:
        turn += 1
        copied = tmp_path / f"{turn}.db"
        shutil.copy(path, copied)
        async with (
            TractStore.open(copied, tokenizer=COUNTER) as one,
            TractStore.open(copied, tokenizer=COUNTER) as two,
        ):
            side = two.tract("t", branch="side")
            before = await outcome(read(one.tract("t", branch="side"), hashes))
            overtaking = await _overtaken(one, two, turn, partial(SHRINKING[how], one, hashes))

            found = await outcome(read(side, hashes))

            if not overtaking.done():
                break
            overtaking.result()
            after = await outcome(read(side, hashes))
            assert name in MIXED or found in (before, after), f"at statement {turn}"
            assert not isinstance(found, type) or found in (before, after), f"at statement {turn}"
    assert turn > 1


LOOKUPS: dict[str, Reader] = {
    "contents": READERS["contents"],
    "entries": READERS["entries"],
    "log with contents": READERS["log with contents"],
}


@pytest.mark.parametrize("name", LOOKUPS)
async def test_what_one_lookup_reads_in_several_statements_is_of_one_state(
    tmp_path: Path, name: str
) -> None:
    """SQLite asks for a few dozen keys at a time: an erasure may come between two of these."""
    read, path, turn = LOOKUPS[name], tmp_path / "made.db", 0
    hashes = await _scattered(path)
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        before = await read(store.tract("t"), hashes)
    while True:
        turn += 1
        copied = tmp_path / f"{turn}.db"
        shutil.copy(path, copied)
        async with (
            TractStore.open(copied, tokenizer=COUNTER) as one,
            TractStore.open(copied, tokenizer=COUNTER) as two,
        ):
            overtaking = await _overtaken(one, two, turn, partial(_erase_all, one, hashes))

            found = await read(two.tract("t"), hashes)

            if not overtaking.done():
                break
            overtaking.result()
            after = await read(two.tract("t"), hashes)
            assert before != after
            assert found in (before, after), f"at statement {turn}"
    assert turn > 2


async def _scattered(path: Path) -> list[str]:
    """Make a branch of many commits, with far more of another branch between them."""
    hashes: list[str] = []
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        main = store.tract("t")
        await main.user("stays")
        side = await main.fork("side")
        for half in ("first", "second"):
            async with main.batch() as batch:
                for n in range(SCATTERED // 2):
                    batch.user(f"lost {half} {n}")
            hashes += [info.commit_hash for info in batch.commits]
            async with side.batch() as batch:
                for n in range(SCATTERED):
                    batch.user(f"between {half} {n}")
    return hashes


async def _erase_all(one: TractStore, hashes: list[str]) -> None:
    plan = await probe(one).parts.eraser.plan("t", hashes, "asked")
    erasures = repositories_over(probe(one).parts.database).erasures
    assert (await erasures.erase("t", plan.commits, plan.markers)).contents == len(hashes)


async def _prune(one: TractStore, hashes: list[str]) -> None:
    """Prune; a whole `prune()` would wait at its end for the readers, to empty the log."""
    prunes = repositories_over(probe(one).parts.database).prunes
    side = one.tract("t", branch="side")
    await one.tract("t").user("new", key="k", on_key="replace")
    await side.reset("start", reason="no use")
    plan = await prunes.plan("t", before=None, keep=0)
    page = await prunes.unreached("t", plan, plan.boundary)
    dropped = await prunes.drop("t", plan, page.commits)
    assert dropped is not None
    assert dropped.commits > LOST


async def _erase(one: TractStore, hashes: list[str]) -> None:
    """Erase an image and every other text."""
    plan = await probe(one).parts.eraser.plan("t", hashes[::2], "asked")
    erasures = repositories_over(probe(one).parts.database).erasures
    assert (await erasures.erase("t", plan.commits, plan.markers)).contents > LOST // 2


async def _erase_tract(one: TractStore, hashes: list[str]) -> None:
    erasures = repositories_over(probe(one).parts.database).erasures
    through = await erasures.drop_names("t")
    while (await erasures.drop_commits("t", through)).more:
        pass


SHRINKING = {"pruned": _prune, "erased": _erase, "erased whole": _erase_tract}


async def _overtaken(
    one: TractStore, two: TractStore, turn: int, shrink: Callable[[], Coroutine[Any, Any, None]]
) -> asyncio.Future[None]:
    """Have *one* take from what *two* reads, before the statement number *turn* of that."""
    loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    left = [turn]

    def traced(statement: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            try:
                asyncio.run_coroutine_threadsafe(shrink(), loop).result(PATIENCE)
                loop.call_soon_threadsafe(done.set_result, None)
            except Exception as error:  # which SQLite would swallow
                loop.call_soon_threadsafe(done.set_exception, error)

    for worker in workers_of(probe(two).parts.database):
        await worker.run(lambda raw: raw.set_trace_callback(traced))
    return done
