"""`info()` of a store: what it is, how much it holds, and how large it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import create_async_engine

from support.opening import COUNTER
from support.probes import probe
from tract import StoreClosedError, StoreInfo, TractConfig, TractStore

NUMBERS = ("tracts", "branches", "tags", "commits", "streams")
EXACT = ("contents", "attachments", "keys", "attachment_nbytes")


def counted(info: StoreInfo) -> tuple[int | None, ...]:
    return tuple(getattr(info, name) for name in (*NUMBERS, *EXACT))


async def test_an_empty_store_holds_nothing(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        info = await store.info(exact=True)

    assert counted(info) == (0,) * 9
    assert info.nbytes > 0
    assert info.cache.max_bytes == TractConfig().cache_max_bytes
    with pytest.raises(StoreClosedError):
        await store.info()
    with pytest.raises(ValidationError, match="frozen"):
        info.tracts = 1  # type: ignore[misc]


async def test_it_counts_all_tracts_and_what_they_share_once(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        one, two = store.tract("one"), store.tract("two")
        for tract in (one, two):
            await tract.user("shared", key="k")
            await tract.attach(b"bytes", "image/png")
        await one.user("own", key="other")
        await one.tag("v1")
        await one.fork("side")
        await store.tract("titled").set_info(title="no commits")
        async with two.stream() as stream:
            await stream.write("arriving")
            await asyncio.sleep(0)
            await one.compile()
            info = await store.info(exact=True)

        assert counted(info)[:4] == (3, 3, 1, 3)
        assert counted(info)[5:] == (2, 1, 2 + 1, 5)
        assert info.cache == store.cache_info()
        assert info.cache.snapshots == 1
        quick = await store.info()
        assert counted(quick) == (3, 3, 1, 4, 0, None, None, None, None)


async def test_the_count_of_commits_is_exact_in_every_tract_and_opening(
    target: Path | str,
) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        for number in range(60):
            store = (one, two)[number % 2]
            await store.tract(f"t{number % 7}").user(f"{number}")
            assert (await one.info()).commits == number + 1
        listed = await two.tracts(limit=None)
        info = await two.info()
        assert (info.tracts, info.commits) == (len(listed), sum(each.commits for each in listed))
        assert info.branches == sum(each.branches for each in listed)
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert counted(await store.info()) == counted(info)


async def test_what_was_erased_collected_and_dropped_is_not_counted(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        for name in ("kept", "gone"):
            await store.tract(name).user(name, key=name)
            await store.tract(name).attach(name.encode(), "text/plain")
        await store.erase_tract("gone", reason="asked")

        assert counted(await store.info(exact=True)) == (1, 1, 0, 1, 0, 1, 1, 1, 4)


async def test_the_sizes_of_a_file_are_those_on_the_disk(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("long " * 100_000)
        before = await store.info()
        log = Path(f"{db_path}-wal").stat().st_size  # noqa: ASYNC240
        await store.erase_tract("t", reason="asked")
        after = await store.info()
        await store.vacuum()
        vacuumed = await store.info()

    assert before.nbytes > 500_000
    assert before.log_nbytes == log > 500_000
    assert after.nbytes - before.nbytes == 2 * 4096, "the indexes of erasures"
    assert after.log_nbytes == 0
    assert after.free_nbytes is not None
    assert after.free_nbytes > 400_000
    assert (vacuumed.free_nbytes, vacuumed.log_nbytes) == (0, 0)
    assert vacuumed.nbytes == db_path.stat().st_size < 200_000  # noqa: ASYNC240


async def test_a_file_says_how_it_was_opened(db_path: Path) -> None:
    full = TractConfig(durability="full")
    async with TractStore.open(db_path, config=full, tokenizer=COUNTER) as store:
        await store.tract("t").user("a", key="k")
        written = await store.info(exact=True)
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        read = await store.info(exact=True)
    async with TractStore.open(tokenizer=COUNTER) as store:
        memory = await store.info()

    assert (written.engine, written.path, written.schema_version) == ("sqlite", str(db_path), 6)
    assert (written.durability, written.read_only) == ("full", False)
    assert (read.durability, read.read_only) == ("normal", True)
    assert counted(read) == counted(written)
    assert (memory.path, memory.log_nbytes, memory.tracts) == (":memory:", 0, 0)


async def test_a_server_is_named_without_its_password(postgres_url: str) -> None:
    url = postgres_url.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url.replace("@", ":secret@", 1))
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        await store.tract("t").user("a")
        info = await store.info(exact=True)
    async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
        lent = await store.info(exact=True)
    await engine.dispose()

    assert (info.engine, info.durability, info.read_only) == ("postgresql", "full", False)
    assert (info.log_nbytes, info.free_nbytes) == (None, None)
    assert info.nbytes > 0
    assert int(info.engine_version.split(".")[0]) >= 15
    assert info.schema_version == 3
    assert "secret" not in lent.path
    assert lent.path.startswith("postgresql")
    assert counted(lent) == counted(info)


async def test_it_reads_no_commits_that_rows_of_tracts_count(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("a")
        async with probe(store).statements() as ran:
            await store.info()
        [counts] = [statement for statement in ran if "count(" in statement]
        database = probe(store).parts.database
        plan = await database.read(
            lambda to: to.raw.execute(f"EXPLAIN QUERY PLAN {counts}").fetchall()  # type: ignore[attr-defined]
        )

    read = {row[3] for row in plan if "commits" in row[3]}
    assert read == {
        "SEARCH commits USING COVERING INDEX ix_commits_created_at (tract_id=? AND created_at>?)"
    }
    assert not {row[3] for row in plan if "blobs" in row[3] or " keys" in row[3]}
