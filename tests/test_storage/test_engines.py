"""Engines that belong to others: used, given back as they were, never disposed."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, StaticPool

from support.opening import COUNTER, threads_left, threads_of_connections, used
from tract import (
    StorageError,
    StoreCorruptError,
    TractConfig,
    TractStore,
)


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@asynccontextmanager
async def engine_of(path: Path, **options: Any) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", **options)
    yield engine
    await engine.dispose()


def drop(held: list[Any]) -> None:
    held.clear()
    gc.collect()


async def answer(engine: AsyncEngine, query: str) -> Any:
    async with engine.connect() as connection:
        return (await connection.execute(text(query))).scalar()


@pytest.mark.parametrize("pool", [AsyncAdaptedQueuePool, NullPool, StaticPool])
async def test_an_engine_is_used_and_stays_its_owners(db_path: Path, pool: type[Any]) -> None:
    async with engine_of(db_path, poolclass=pool) as engine:
        async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
            await store.tract("agent").user("hello")
            assert len(await store.tract("agent").log()) == 1

        assert await answer(engine, "SELECT count(*) FROM commits") == 1
        async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
            assert await store.tract_ids() == ["agent"]


@pytest.mark.parametrize("pool", [StaticPool, NullPool])
async def test_an_engine_in_memory_serves_reads_and_writes(pool: type[Any]) -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=pool)
    async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
        await store.tract("agent").user("hello")

        assert len(await store.tract("agent").log()) == 1
    await engine.dispose()


async def test_connections_go_back_to_the_pool_as_they_were(db_path: Path) -> None:
    async with engine_of(db_path, pool_size=3, max_overflow=0, pool_timeout=1) as engine:

        async def options() -> list[list[Any]]:
            connections = [await engine.connect() for _ in range(3)]
            found = []
            for connection in connections:
                names = ("foreign_keys", "synchronous", "busy_timeout")
                rows = [await connection.execute(text(f"PRAGMA {name}")) for name in names]
                found.append([row.scalar() for row in rows])
            for connection in connections:
                await connection.close()
            return found

        before = await options()
        config = TractConfig(durability="full", busy_timeout=1.25)
        async with TractStore.from_engine(engine, config=config, tokenizer=COUNTER) as store:
            await store.tract("agent").user("hello")
            assert engine.pool.checkedout() == 3  # type: ignore[attr-defined]  # of queue pools

        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of queue pools
        assert await options() == before


@pytest.mark.filterwarnings("ignore:The garbage collector is trying")  # SQLAlchemy's own
async def test_a_store_dropped_open_leaves_its_connections_to_the_pool(db_path: Path) -> None:
    before = threads_of_connections()
    async with engine_of(db_path, pool_size=3, max_overflow=0, pool_timeout=1) as engine:
        for _ in range(3):
            held = [await TractStore.from_engine(engine, tokenizer=COUNTER)]
            await held[0].tract("agent").user("hello")
            with pytest.warns(ResourceWarning, match="dropped without being closed"):
                drop(held)
            while threads_of_connections() - before:
                # The warning has the store, too. And a collection does nothing while another
                # thread's is under way.
                gc.collect()
                await asyncio.sleep(0.01)

            assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of queue pools


async def test_a_pool_that_is_too_small_is_told_and_gets_its_connections_back(
    db_path: Path,
) -> None:
    async with engine_of(db_path, pool_size=1, max_overflow=1, pool_timeout=0.1) as engine:
        with pytest.raises(StorageError, match="gave no connection") as refusal:
            await TractStore.from_engine(engine, tokenizer=COUNTER)

        assert refusal.value.path == str(db_path)
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of queue pools
        assert await answer(engine, "SELECT 1") == 1


async def test_an_engines_broken_file_is_told_and_gives_its_connections_back(
    db_path: Path,
) -> None:
    _put(db_path, b"no database at all" * 100)
    async with engine_of(db_path) as engine:
        with pytest.raises(StoreCorruptError):
            await TractStore.from_engine(engine, tokenizer=COUNTER)

        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of queue pools


async def test_an_engine_of_a_missing_folder_is_told(tmp_path: Path) -> None:
    before = threads_of_connections()
    async with engine_of(tmp_path / "none" / "x.db") as engine:
        with pytest.raises(StorageError, match="unable to open"):
            await TractStore.from_engine(engine, tokenizer=COUNTER)
    assert await threads_left(before) == set()


async def test_borrowing_cancelled_at_any_step_gives_every_connection_back(db_path: Path) -> None:
    await used(db_path)
    async with engine_of(db_path) as engine:

        async def borrow() -> TractStore:
            return await TractStore.from_engine(engine, tokenizer=COUNTER)

        for step in range(40):
            task = asyncio.create_task(borrow())
            for _ in range(min(step, 20)):
                await asyncio.sleep(0)
            await asyncio.sleep(max(0, step - 20) / 5000)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                await task.result().aclose()

            assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of queue pools
        assert await answer(engine, "SELECT count(*) FROM commits") == 1


class Another(PGDialect_asyncpg):
    """The dialect of a driver that no store is made for."""

    driver = "another"


async def test_an_engine_of_another_dialect_is_refused() -> None:
    registry.register("postgresql.another", __name__, "Another")
    driver = SimpleNamespace(paramstyle="numeric_dollar")
    engine = create_async_engine("postgresql+another://user:secret@host/db", module=driver)

    with pytest.raises(StorageError, match=r"postgresql\+another") as refusal:
        await TractStore.from_engine(engine, tokenizer=COUNTER)
    assert "secret" not in str(refusal.value)


async def test_an_engine_disposed_of_under_a_store_is_told_to_everybody_and_hangs_nobody() -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    store = await TractStore.from_engine(engine, tokenizer=COUNTER)
    tract = store.tract("agent")
    await tract.user("hello")
    await engine.dispose()

    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: tract.user("more"),
        tract.head,
        tract.log,
        store.tract_ids,
    )
    for _ in range(2):
        for call in calls:
            async with asyncio.timeout(20):
                with pytest.raises(StorageError, match="dispose of an engine after") as refusal:
                    await call()
            assert refusal.value.path == ":memory:"
    async with asyncio.timeout(20):
        await store.aclose()
    await engine.dispose()


async def test_nobody_is_told_that_nothing_was_written_while_it_is_still_being_written(
    db_path: Path,
) -> None:
    """The engine's owner gives up disposing of it while a commit waits for another process."""
    async with engine_of(db_path, poolclass=StaticPool) as engine:
        store = await TractStore.from_engine(engine, tokenizer=COUNTER)
        with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            committing = asyncio.create_task(store.tract("agent").user("hello"))
            await asyncio.sleep(0.1)
            disposing = asyncio.create_task(engine.dispose())
            await asyncio.sleep(0.1)
            disposing.cancel()
            await asyncio.wait([committing], timeout=2.5)
            other.execute("COMMIT")
            async with asyncio.timeout(20):
                info = await committing
                await asyncio.wait([disposing])
                await store.aclose()

            [[made]] = other.execute("SELECT commit_hash FROM commits").fetchall()
            assert made.hex() == info.commit_hash


async def test_reads_share_a_trip_also_while_the_engines_owner_has_a_transaction() -> None:
    """In memory there is one connection, and what its owner has begun is not ours to end."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
        tract = store.tract("agent")
        made = await tract.user("hello")
        async with engine.connect() as theirs:
            await theirs.execute(text("CREATE TABLE theirs (x)"))
            await theirs.execute(text("INSERT INTO theirs VALUES (1)"))
            heads = await asyncio.gather(*(tract.head() for _ in range(8)))
            await theirs.rollback()

        assert heads == [made.commit_hash] * 8
        assert await answer(engine, "SELECT count(*) FROM theirs") == 0
    await engine.dispose()


@pytest.mark.parametrize("factories", [(sqlite3.Row, str), (None, bytes)], ids=["rows", "texts"])
async def test_connections_that_read_rows_their_own_way_are_used_and_go_back_so(
    db_path: Path, factories: tuple[Any, Any]
) -> None:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(db_path)
        connection.row_factory, connection.text_factory = factories
        return connection

    async def made() -> aiosqlite.Connection:
        return await aiosqlite.Connection(connect, iter_chunk_size=64)

    options = {"poolclass": StaticPool, "async_creator": made}
    async with asyncio.timeout(20), engine_of(db_path, **options) as engine:
        async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
            tract = store.tract("agent")
            info = await tract.user("hello", generation_config={"model": "m"})
            assert await tract.query_by_config("model", "=", "m") == [info]
            assert (await tract.verify()).faults == ()

        async with engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            assert (raw.row_factory, raw.text_factory) == factories
