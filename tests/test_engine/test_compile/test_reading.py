from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.counters import WholeCounter, WordCounter
from support.probes import probe
from tract import (
    AsyncTract,
    CommitNotFoundError,
    CommitOperation,
    CommitStep,
    CompiledContext,
    CompileSnapshot,
    DefaultContextCompiler,
    Priority,
    TiktokenCounter,
    TokenUsage,
    TractConfig,
    TractStore,
)
from tract.engine.compile.cache import CacheKey, SnapshotCache
from tract.engine.compile.reading import ContextReader, ViewOptions
from tract.engine.threads import Threads
from tract.storage.repositories import BranchName, Located, Position
from tract.storage.sql.database import Database
from tract.storage.sql.repositories import repositories_over
from tract.storage.sql.repositories.histories import SqlHistoryRepository

LONG = 5_000_000


class WatchedCompiler:
    """A compiler of the protocol alone; keeps the lengths of its folds."""

    def __init__(self) -> None:
        self.inner = DefaultContextCompiler(TiktokenCounter())
        self.folds: list[int] = []

    def empty(self) -> CompileSnapshot:
        return self.inner.empty()

    def fold(self, snapshot: CompileSnapshot, steps: Sequence[CommitStep]) -> CompileSnapshot:
        self.folds.append(len(steps))
        return self.inner.fold(snapshot, steps)

    def view(
        self,
        snapshot: CompileSnapshot,
        usage: TokenUsage | None = None,
        *,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = True,
    ) -> CompiledContext:
        return self.inner.view(
            snapshot,
            usage,
            include_edit_annotations=include_edit_annotations,
            aggregate_same_role=aggregate_same_role,
        )


async def test_many_callers_of_one_head_make_one_fold(target: Path | str) -> None:
    compiler = WatchedCompiler()
    async with TractStore.open(target, compiler=compiler) as store:
        for number in range(20):
            await store.tract("t").user(str(number))
        contexts = await asyncio.gather(*(store.tract("t").compile() for _ in range(40)))

        assert compiler.folds == [20]
        assert len({context.token_count for context in contexts}) == 1
        info = store.cache_info()
        assert (info.hits, info.folds, info.misses) == (39, 0, 1)


async def test_a_cancelled_first_caller_leaves_the_compile_to_the_others(
    target: Path | str,
) -> None:
    compiler = WatchedCompiler()
    async with TractStore.open(target, compiler=compiler) as store:
        await store.tract("t").user("x")
        tasks = [asyncio.create_task(store.tract("t").compile()) for _ in range(5)]
        while not store.cache_info().misses:  # noqa: ASYNC110  (counters tell nobody)
            await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks[1:])

        assert [context.to_dicts()[0]["content"] for context in results] == ["x"] * 4
        assert compiler.folds == [1]


@pytest.mark.parametrize("between", [1, 63, 64, 65, 130, 1100])
async def test_a_context_is_extended_from_the_nearest_cached_ancestor(
    between: int, target: Path | str
) -> None:
    compiler = WatchedCompiler()
    async with TractStore.open(target, compiler=compiler) as store:
        tract = store.tract("t")
        await tract.user("first")
        await tract.compile()
        async with tract.batch() as batch:
            for number in range(between):
                batch.commit({"content_type": "instruction", "text": str(number)})
        context = await tract.compile()

        assert sum(compiler.folds) == 1 + between
        assert context.commit_count == 1 + between
        info = store.cache_info()
        assert (info.folds, info.misses) == (1, 1)


@pytest.mark.parametrize("size", [10, 100, 1100])
async def test_an_ancestor_that_is_evicted_on_the_way_is_made_anew(
    target: Path | str, size: int
) -> None:
    """Two heads take turns in a cache that holds one, both being compiled at a time."""
    config = TractConfig(cache_max_bytes=2_500 + 1_300 * size)
    async with TractStore.open(target, config=config) as store:
        tracts = [store.tract("a"), store.tract("b")]
        for tract in tracts:
            async with tract.batch() as batch:
                for number in range(size):
                    batch.commit({"content_type": "instruction", "text": str(number)})
        for number in range(5):
            await asyncio.gather(*(tract.user(f"{number}") for tract in tracts))
            contexts = await asyncio.gather(*(tract.compile() for tract in tracts * 2))
            wanted = "\n\n".join(map(str, range(number + 1)))
            assert [context.to_dicts()[-1]["content"] for context in contexts] == [wanted] * 4
            assert {context.commit_count for context in contexts} == {size + number + 1}


@dataclass(frozen=True)
class Filler:
    """A snapshot that leaves room for no other."""

    head_hash: str | None
    nbytes: int


class LateHistories(SqlHistoryRepository):
    """Loses the cache's snapshots between what it found and what is made of it."""

    def __init__(self, database: Database, cache: SnapshotCache, *, near: bool) -> None:
        super().__init__(database)
        self._cache = cache
        self._near = near

    async def locate(self, branch: BranchName, position: Position, known: Set[str]) -> Located:
        located = await super().locate(branch, position, known)
        if self._near:
            await self._fill_cache()
        return located

    async def history(
        self, tract_id: str, head_hash: str, known: Set[str], erasures: int | None
    ) -> AsyncIterator[tuple[str | None, Sequence[CommitStep]]]:
        async for base_hash, steps in super().history(tract_id, head_hash, known, erasures):
            await self._fill_cache()
            yield base_hash, steps

    async def _fill_cache(self) -> None:
        async def make() -> CompileSnapshot:
            return Filler(None, self._cache.info().max_bytes - 1600)

        await self._cache.make(CacheKey("filler", uuid4().hex), make)


@pytest.mark.parametrize("between", [0, 3, 100])
async def test_an_ancestor_evicted_after_it_was_located_is_made_anew(
    between: int, target: Path | str
) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        database, threads = probe(tract).parts.database, Threads()
        cache = SnapshotCache(100_000)
        compiler = DefaultContextCompiler(TiktokenCounter())
        calm = ContextReader(repositories_over(database).histories, cache, compiler, threads)
        hasty = ContextReader(
            LateHistories(database, cache, near=between < 64),
            cache,
            compiler,
            threads,
        )
        branch = BranchName("t", "main")
        await tract.user("first")
        await calm.snapshot(branch)
        for number in range(between):
            await tract.user(str(number))
        found = await hasty.snapshot(branch)

        context = await hasty.view(found, ViewOptions())
        assert context == await tract.compile()
        assert cache.info().evictions > 0


class PrunedHistories(SqlHistoryRepository):
    """Prunes a tract while a history is read."""

    def __init__(self, database: Database, tract: AsyncTract) -> None:
        super().__init__(database)
        self._tract = tract

    async def history(
        self, tract_id: str, head_hash: str, known: Set[str], erasures: int | None
    ) -> AsyncIterator[tuple[str | None, Sequence[CommitStep]]]:
        async for base_hash, steps in super().history(tract_id, head_hash, known, erasures):
            await self._tract.prune(keep=0, reason="old")
            yield base_hash, steps


async def test_a_head_that_a_prune_deletes_meanwhile_has_no_part_of_its_context(
    target: Path | str,
) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        side = await tract.fork("side")
        async with side.batch() as batch:
            for number in range(1_100):
                batch.user(str(number))
        head = str(await side.head())
        await tract.delete_branch("side", force=True)
        database, threads = probe(tract).parts.database, Threads()
        cache, compiler = SnapshotCache(100_000), DefaultContextCompiler(TiktokenCounter())
        reader = ContextReader(PrunedHistories(database, tract), cache, compiler, threads)

        with pytest.raises(CommitNotFoundError):
            await reader.snapshot(BranchName("t", "main"), Position(head))


@pytest.mark.parametrize("after", ["append", "annotate", "edit"])
async def test_a_long_neighbour_is_counted_off_the_event_loop(
    after: str, target: Path | str
) -> None:
    """Promise 10: a short commit may make a long text be counted again, as part of a joined one."""
    counter = WordCounter()
    text = "long " * (LONG // 5)
    async with AsyncTract.open(target, tokenizer=counter) as tract:
        await tract.user("before")
        info = await tract.user(text)
        await tract.compile()
        if after == "append":
            await tract.user("after")
        elif after == "annotate":
            await tract.annotate((await tract.user("after")).commit_hash, Priority.SKIP)
        else:
            short = {"content_type": "dialogue", "role": "user", "text": "short"}
            await tract.commit(short, operation=CommitOperation.EDIT, edit_target=info.commit_hash)
            await tract.user("after")
        context = await tract.compile()

        assert threading.current_thread() not in counter.threads_of("long long")
        wanted = WordCounter().count_messages(context.to_dicts())
        assert context.token_count == wanted


async def test_a_list_is_counted_off_the_event_loop_where_it_is_counted_whole(
    target: Path | str,
) -> None:
    """Promise 10, for counters that only implement the protocol."""

    class Threads(WholeCounter):
        def __init__(self) -> None:
            self.seen: set[threading.Thread] = set()

        def count_messages(self, messages: Sequence[dict[str, Any]]) -> int:
            self.seen.add(threading.current_thread())
            return super().count_messages(messages)

    counter = Threads()
    async with AsyncTract.open(target, tokenizer=counter) as tract:
        await tract.user("x")
        await tract.compile()
        await tract.compile(include_edit_annotations=True)

        assert counter.seen
        assert threading.current_thread() not in counter.seen


async def test_an_empty_history_compiles_to_nothing(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:
        context = await tract.compile()

    assert (context.messages, context.token_count, context.head_hash) == ([], 0, None)
    assert (context.commit_count, context.generation_configs, context.commit_hashes) == (0, [], [])


async def test_usage_holds_for_its_head_alone(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:
        await tract.user("x")
        counted = await tract.compile()
        reported = await tract.record_usage({"prompt_tokens": 30, "completion_tokens": 4})
        await tract.user("y")
        later = await tract.compile()

        assert (reported.token_count, reported.token_source) == (30, "api:30+4")
        assert reported.to_dicts() == counted.to_dicts()
        assert later.token_source == counted.token_source
        assert later.token_count == TiktokenCounter().count_messages(later.to_dicts())
