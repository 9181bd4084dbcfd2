from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.opening import COUNTER, with_clock
from tract import CompileSnapshot, Message, Priority, TractConfig, TractStore
from tract.engine.compile.cache import CacheKey, SnapshotCache
from tract.engine.compile.entries import CHUNK_SIZE, Entries, Entry
from tract.engine.compile.fold import Snapshot

OWN = 1600
"""What a cached snapshot weighs without its entries."""


@dataclass(frozen=True)
class Stone:
    """A snapshot of a compiler that is not ours."""

    head_hash: str | None
    nbytes: int = 0


class Kiln:
    """Makes stones when told to, and keeps count."""

    def __init__(self) -> None:
        self.made = 0
        self.lit = asyncio.Event()
        self.ready = asyncio.Event()
        self.error: Exception | None = None

    async def fire(self) -> CompileSnapshot:
        self.made += 1
        self.lit.set()
        await self.ready.wait()
        if self.error is not None:
            raise self.error
        return Stone("h")


def key(name: str) -> CacheKey:
    return CacheKey("t", name)


async def put(cache: SnapshotCache, name: str, snapshot: CompileSnapshot) -> None:
    async def make() -> CompileSnapshot:
        return snapshot

    assert await cache.make(key(name), make) is snapshot


def entries(size: int, text: str = "x") -> list[Entry]:
    return [
        Entry(f"h{at}", Message("user", text), 1, 4, None, Priority.NORMAL) for at in range(size)
    ]


def snapshot_of(sequence: Entries) -> Snapshot:
    return Snapshot("h", sequence, len(sequence), nbytes=sum(item.nbytes for item in sequence))


@pytest_asyncio.fixture
async def kiln() -> AsyncIterator[Kiln]:
    yield Kiln()


async def test_many_callers_share_one_compile(kiln: Kiln) -> None:
    cache = SnapshotCache(10_000)
    tasks = [asyncio.create_task(cache.make(key("h"), kiln.fire)) for _ in range(50)]
    await kiln.lit.wait()
    reader = asyncio.create_task(cache.get(key("h")))
    kiln.ready.set()
    results = {id(result) for result in await asyncio.gather(*tasks, reader)}

    assert (kiln.made, len(results)) == (1, 1)


@pytest.mark.parametrize("cancelled", [[0], [3], [0, 1, 2, 3]])
async def test_a_cancelled_caller_spoils_nothing_for_the_others(
    kiln: Kiln, cancelled: list[int]
) -> None:
    """Promise 6: whoever came first, and whoever goes."""
    cache = SnapshotCache(10_000)
    tasks = [asyncio.create_task(cache.make(key("h"), kiln.fire)) for _ in range(5)]
    await kiln.lit.wait()
    for index in cancelled:
        tasks[index].cancel()
    kiln.ready.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [index for index, result in enumerate(results) if result != Stone("h")] == cancelled
    assert await cache.get(key("h")) == Stone("h")
    assert kiln.made == 1


async def test_a_compile_whose_callers_have_all_gone_is_drained(kiln: Kiln) -> None:
    cache = SnapshotCache(10_000)
    task = asyncio.create_task(cache.make(key("h"), kiln.fire))
    await kiln.lit.wait()
    task.cancel()
    kiln.error = RuntimeError("nobody hears this")
    kiln.ready.set()
    await cache.drain()

    assert not cache.heads("t")


async def test_a_failed_compile_is_told_to_all_and_tried_again_by_the_next(kiln: Kiln) -> None:
    cache = SnapshotCache(10_000)
    kiln.error = RuntimeError("once")
    kiln.ready.set()
    tasks = [asyncio.create_task(cache.make(key("h"), kiln.fire)) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["once"] * 3

    kiln.error = None
    assert await cache.make(key("h"), kiln.fire) == Stone("h")
    assert kiln.made == 2


async def test_the_least_recently_used_goes_first() -> None:
    cache = SnapshotCache(3 * (OWN + 100))
    for name in "abc":
        await put(cache, name, Stone(name, 100))
    await cache.get(key("a"))
    await put(cache, "d", Stone("d", 100))
    await put(cache, "e", Stone("e", 100))

    assert cache.heads("t") == {key(name).head_hash for name in "ade"}
    info = cache.info()
    assert (info.evictions, info.snapshots, info.bytes) == (2, 3, 3 * (OWN + 100))


async def test_heads_are_those_that_are_held_or_being_made_in_one_tract(kiln: Kiln) -> None:
    cache = SnapshotCache(OWN)
    await put(cache, "a", Stone("a"))
    held = cache.heads("t")
    assert held == {"a"}
    assert cache.heads("other") == set()

    task = asyncio.create_task(cache.make(key("h"), kiln.fire))
    await kiln.lit.wait()
    assert held == {"a", "h"}

    kiln.ready.set()
    await task  # it drives out the other
    assert cache.heads("t") == {"h"}
    await cache.make(CacheKey("other", "h"), kiln.fire)
    await cache.drain()
    assert (cache.heads("t"), cache.heads("other")) == (set(), {"h"})


async def test_one_that_alone_is_too_large_drives_out_nobody() -> None:
    cache = SnapshotCache(2 * OWN)
    await put(cache, "a", Stone("a"))
    await put(cache, "exact", Stone("exact", OWN))
    assert key("exact").head_hash in cache.heads("t")
    await put(cache, "large", Stone("large", OWN + 1))

    assert key("exact").head_hash in cache.heads("t")
    assert key("large").head_hash not in cache.heads("t")
    assert cache.info().bytes == 2 * OWN


async def test_a_bound_of_zero_keeps_nothing() -> None:
    cache = SnapshotCache(0)
    await put(cache, "a", Stone("a"))
    await put(cache, "b", snapshot_of(Entries()))

    assert (cache.info().bytes, cache.info().snapshots, cache.info().evictions) == (0, 0, 0)


async def test_parts_that_snapshots_share_are_weighed_once() -> None:
    cache = SnapshotCache(10**9)
    base = Entries().extended(entries(CHUNK_SIZE + 2))
    weight = sum(item.nbytes for item in base)
    await put(cache, "a", snapshot_of(base))
    assert cache.info().bytes == OWN + 8 + weight

    more = base.extended(entries(1))
    await put(cache, "b", snapshot_of(more))
    assert cache.info().bytes == 2 * OWN + 8 + weight + more[-1].nbytes


@pytest.mark.parametrize("room", [1, 2, 5])
async def test_bytes_come_back_to_nothing_when_everything_is_evicted(room: int) -> None:
    """Whatever was shared, the sum stays the weight of what is held, to the byte."""
    weight = OWN + sum(item.nbytes for item in entries(3 * CHUNK_SIZE)) + 8 * 3
    cache = SnapshotCache(room * weight)
    sequence = Entries()
    for at in range(3 * CHUNK_SIZE):
        sequence = sequence.extended(entries(1))
        if at % 7 == 3:
            sequence = sequence.replaced(at // 2, entries(1, "other")[0])
        await put(cache, f"s{at}", snapshot_of(sequence))
    assert 0 < cache.info().bytes <= room * weight

    filler = room * weight - OWN
    await put(cache, "filler", Stone("filler", filler))
    assert (cache.info().snapshots, cache.info().bytes) == (1, OWN + filler)


class CountingTract:
    """A tract in memory; `numbers()` are its cache's hits, folds and misses."""

    def __init__(self, store: TractStore) -> None:
        self.store = store
        self.tract = store.tract("t")

    def numbers(self) -> tuple[int, int, int]:
        info = self.store.cache_info()
        return info.hits, info.folds, info.misses


async def test_hits_folds_and_misses_are_told_apart(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        counting = CountingTract(store)
        tract = counting.tract
        await tract.compile()
        assert counting.numbers() == (0, 0, 0)
        first = await tract.user("a")
        await tract.compile()
        assert counting.numbers() == (0, 0, 1)
        await tract.compile(aggregate_same_role=False)
        assert counting.numbers() == (1, 0, 1)
        await tract.user("b")
        await tract.annotate(first.commit_hash, Priority.SKIP)
        await tract.compile()
        assert counting.numbers() == (1, 1, 1)
        await tract.compile(at_commit=first.commit_hash)
        assert counting.numbers() == (2, 1, 1)
        await store.tract("t").compile()
        assert counting.numbers() == (3, 1, 1)


async def test_tracts_that_share_a_hash_do_not_share_a_context() -> None:
    """Promise 9: the clock says the same in both, configs are in no hash."""
    times = count(1_000)
    clocked = await with_clock(":memory:", lambda: next(times) // 2, tokenizer=None)
    async with clocked as store:
        tracts = [store.tract("a"), store.tract("b")]
        infos = []
        for number, tract in enumerate(tracts):
            infos.append(await tract.user("x", generation_config={"n": number}))
            await tract.compile()

        assert infos[0].commit_hash == infos[1].commit_hash
        contexts = [await tract.compile() for tract in tracts]
        assert [context.generation_configs for context in contexts] == [[{"n": 0}], [{"n": 1}]]


async def test_a_small_cache_stays_within_its_bound_and_gives_the_same_contexts() -> None:
    texts = [f"message {number} " + "x" * 200 for number in range(30)]
    async with (
        TractStore.open() as roomy,
        TractStore.open(config=TractConfig(cache_max_bytes=6_000)) as tight,
    ):
        results: list[Any] = []
        for store in (roomy, tight):
            tract = store.tract("t")
            infos = [await tract.user(text) for text in texts]
            contexts = [await tract.compile(at_commit=info.commit_hash) for info in infos]
            results.append([(item.to_dicts(), item.token_count) for item in contexts])
            info = store.cache_info()
            assert info.bytes <= info.max_bytes

        assert results[0] == results[1]
        assert tight.cache_info().evictions > 0


@pytest.mark.unmeasured
async def test_contexts_that_were_looked_at_stay_within_the_caches_bound(
    target: Path | str,
) -> None:
    """What texts of one role are joined to is kept as well as they are, and not counted."""
    largest = 10_000_000
    config = TractConfig(cache_max_bytes=largest)
    async with TractStore.open(target, config=config, tokenizer=COUNTER) as store:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(20):
                tract = store.tract(f"t{number}")
                async with tract.batch() as batch:
                    for part in range(40):
                        text = f"{number} {part} " + "x" * 20_000
                        batch.commit({"content_type": "reasoning", "text": text})
                assert (await tract.compile()).messages
            held = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

    assert held < largest + 5_000_000


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_compile_that_an_erasure_overtakes_leaves_nothing(steps: int) -> None:
    """Also if that comes before the compile's task has begun: what it folds was read before."""
    cache, kiln = SnapshotCache(1_000_000), Kiln()
    making = asyncio.ensure_future(cache.make(key("h"), kiln.fire))
    for _ in range(steps):
        await asyncio.sleep(0)
    cache.forget("t", 1)
    kiln.ready.set()
    await making

    assert cache.peek(key("h")) is None
