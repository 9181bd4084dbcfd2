"""What a transaction costs the database."""

from __future__ import annotations

from pathlib import Path

from support.opening import COUNTER, engine_of
from support.probes import probe
from tract import TokenUsage, TractStore


async def test_commits_of_several_tracts_are_one_trip(target: Path | str) -> None:
    """With keys, states and usage; on a server, after the keys were looked up for each tract."""
    looks = 2 if engine_of(target) == "postgres" else 0
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        a, b = store.tract("a"), store.tract("b")
        await a.user("before")
        await b.user("before")
        for number in range(3):
            before = probe(store).trips
            async with store.transaction() as tx:
                said = tx.on(a).user("x", key=f"x{number}")
                tx.on(a).assistant("y")
                tx.on(b).state([said], key=f"x{number}")
                tx.on(a).record_usage(TokenUsage(1, 1, 2), head_hash=said)

            assert probe(store).trips - before == 1 + looks


async def test_a_batch_is_one_trip(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        tract = store.tract("a")
        await tract.user("before")
        before = probe(store).trips
        async with tract.batch() as batch:
            entry = batch.user("x")
            batch.user("y", operation="edit", edit_target=entry)
            batch.annotate(entry, "pinned")

        assert probe(store).trips - before == 1


async def test_an_empty_transaction_makes_no_trip(store: TractStore) -> None:
    before = probe(store).trips
    async with store.transaction() as tx:
        tx.on(store.tract("t"))
    async with store.tract("t").batch():
        pass

    assert probe(store).trips == before
