"""`TractStore`: many tracts in one database, one writer, one cache."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from support.probes import probe
from tract import (
    AsyncTract,
    DefaultContextCompiler,
    Message,
    NullTokenCounter,
    StorageError,
    TiktokenCounter,
    TractConfig,
    TractStore,
)


class Note(BaseModel):
    """A custom content."""

    text: str


async def test_tract_ids_are_those_with_commits_sorted(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        assert await store.tract_ids() == []
        for name in ("b", "a", "c"):
            await store.tract(name).user("x")
        store.tract("unused")

        assert await store.tract_ids() == ["a", "b", "c"]


async def test_a_tract_whose_branches_were_deleted_is_still_listed(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        for name in ("a", "b", "c"):
            await store.tract(name).user("x")
        for name in ("b", "c"):
            await store.tract(name, branch="other").delete_branch("main", force=True)

        assert await store.tract("b").branches() == []
        assert await store.tract_ids() == ["a", "b", "c"]
    async with TractStore.open(target) as store:
        assert await store.tract_ids() == ["a", "b", "c"]


async def test_a_handle_costs_no_trip_until_it_is_used(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        before = probe(store).trips
        for n in range(100):
            store.tract(str(n))

        assert probe(store).trips == before


async def test_tract_ids_costs_one_trip(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        await store.tract("a").user("x")
        before = probe(store).trips
        await store.tract_ids()

        assert probe(store).trips == before + 1


async def test_handles_share_one_cache(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        await store.tract("t").user("x")
        first = await store.tract("t").compile()
        misses = store.cache_info().misses
        again = await store.tract("t").compile()
        info = store.cache_info()

    assert again == first
    assert (misses, info.misses, info.hits, info.snapshots) == (1, 1, 1, 1)
    assert 0 < info.bytes <= info.max_bytes == 64 * 1024 * 1024


async def test_an_append_an_edit_and_an_annotation_fold_forward(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        tract = store.tract("t")
        info = await tract.user("x")
        await tract.compile()
        await tract.assistant("y")
        await tract.compile()
        await tract.user("z", operation="edit", edit_target=info.commit_hash)
        await tract.compile()
        await tract.annotate(info.commit_hash, "pinned")
        await tract.compile()

        assert (store.cache_info().misses, store.cache_info().folds) == (1, 3)


async def test_concurrent_compiles_of_one_head_do_the_work_once(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        tract = store.tract("t")
        async with tract.batch() as batch:
            for n in range(500):
                batch.commit({"content_type": "freeform", "payload": n})
        contexts = await asyncio.gather(*(tract.compile() for _ in range(20)))

        assert store.cache_info().misses == 1
        assert all(context == contexts[0] for context in contexts)


async def test_a_cache_of_no_bytes_keeps_nothing_and_changes_nothing(target: Path | str) -> None:
    async with TractStore.open(target, config=TractConfig(cache_max_bytes=0)) as store:
        tract = store.tract("t")
        contexts = []
        for n in range(3):
            await tract.user(str(n))
            contexts.append((await tract.compile()).to_dicts())

        assert contexts[-1] == [{"role": "user", "content": "0\n\n1\n\n2"}]
        assert (store.cache_info().snapshots, store.cache_info().bytes) == (0, 0)


async def test_a_custom_type_is_the_whole_stores(target: Path | str) -> None:
    async with TractStore.open(target) as store:
        store.register_content_type("note", Note)
        await store.tract("a").commit(Note(text="x"))
        await store.tract("b").commit({"content_type": "note", "text": "x"})

        assert (await store.tract("b").compile()).to_dicts() == [
            {"role": "assistant", "content": "x"}
        ]


async def test_a_tokenizer_and_a_compiler_can_be_chosen() -> None:
    class Shouting(DefaultContextCompiler):
        def render(self, content_type: str, fields: object) -> Message:
            shown = super().render(content_type, fields)  # type: ignore[arg-type]
            return Message(shown.role, (shown.content or "").upper())

    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        await store.tract("t").user("a")
        quiet = await store.tract("t").compile()
    async with TractStore.open(compiler=Shouting(NullTokenCounter())) as store:
        await store.tract("t").user("a")
        loud = await store.tract("t").compile()
    async with TractStore.open(tokenizer=TiktokenCounter("cl100k_base")) as store:
        await store.tract("t").user("a")
        other = await store.tract("t").compile()

    assert quiet.token_source != other.token_source == "tiktoken:cl100k_base"
    assert loud.to_dicts() == [{"role": "user", "content": "A"}]


@pytest.mark.parametrize(
    "options",
    [{"tokenizer": NullTokenCounter()}, {"config": TractConfig(type_to_role={"output": "user"})}],
    ids=["tokenizer", "type_to_role"],
)
@pytest.mark.parametrize("kind", [TractStore, AsyncTract], ids=lambda kind: kind.__name__)
def test_what_a_compiler_brings_along_is_not_silently_ignored(
    kind: type[Any], options: dict[str, Any]
) -> None:
    """A default compiler has a counter and roles of its own."""
    with pytest.raises(ValueError, match=r"to the compiler: DefaultContextCompiler\("):
        kind.open(compiler=DefaultContextCompiler(NullTokenCounter()), **options)


async def test_a_compiler_may_have_roles_of_its_own(target: Path | str) -> None:
    compiler = DefaultContextCompiler(NullTokenCounter(), type_to_role={"reasoning": "user"})
    async with TractStore.open(target, compiler=compiler) as store:
        await store.tract("t").commit({"content_type": "reasoning", "text": "x"})

        assert (await store.tract("t").compile()).to_dicts()[0]["role"] == "user"


async def test_a_store_tells_what_it_is_on(db_path: Path) -> None:
    async with TractStore.open(db_path) as store:
        assert str(db_path) in repr(store)


# engines


@pytest.fixture
def engine(db_path: Path) -> AsyncEngine:
    return create_async_engine(f"sqlite+aiosqlite:///{db_path}")


async def count(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM commits"))).scalar_one())


async def test_an_engine_is_used_and_given_back_whole(engine: AsyncEngine) -> None:
    async with TractStore.from_engine(engine) as store:
        await store.tract("t").user("a")
        context = await store.tract("t").compile()

        assert context.to_dicts() == [{"role": "user", "content": "a"}]
        assert await count(engine) == 1
    assert await count(engine) == 1
    assert engine.pool.status().endswith("Current Checked out connections: 0")
    await engine.dispose()


async def test_an_engine_is_never_disposed_even_if_opening_fails(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("this is no database at all, but a text of some length\n" * 100)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    with pytest.raises(StorageError, match=r"notes\.db.*not a SQLite database"):
        await TractStore.from_engine(engine)

    assert engine.pool.status().endswith("Current Checked out connections: 0")
    await engine.dispose()


async def test_two_stores_may_share_one_engine_in_turn(engine: AsyncEngine) -> None:
    for _ in range(2):
        store = await TractStore.from_engine(engine)
        await store.tract("t").user("a")
        await store.aclose()

    assert await count(engine) == 2
    await engine.dispose()


async def test_an_engine_in_memory_is_one_shared_connection() -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    async with TractStore.from_engine(engine) as store:
        await asyncio.gather(*(store.tract("t").user(str(n)) for n in range(20)))

        assert len(await store.tract("t").log(None)) == 20
    assert await count(engine) == 20
    await engine.dispose()


async def test_an_engine_whose_pool_is_too_small_is_a_storage_error(db_path: Path) -> None:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{db_path}", pool_size=1, max_overflow=0, pool_timeout=0.05
    )
    with pytest.raises(StorageError, match="engine gave no connection"):
        await TractStore.from_engine(engine)
    async with TractStore.open(db_path) as store:
        await store.tract("t").user("a")

    assert await count(engine) == 1
    await engine.dispose()


async def test_what_an_engine_wrote_a_path_reads(engine: AsyncEngine, target: Path | str) -> None:
    async with TractStore.from_engine(engine) as store:
        info = await store.tract("t").user("a")
    await engine.dispose()
    async with AsyncTract.open(target, tract_id="t") as tract:
        assert await tract.log() == [info]


# many agents


async def test_many_tracts_written_at_once_stay_apart(db_path: Path) -> None:
    async def agent(store: TractStore, name: str) -> None:
        tract = store.tract(name)
        for n in range(5):
            await tract.user(f"{name} {n}")
            await tract.compile()

    async with TractStore.open(db_path) as store:
        await asyncio.gather(*(agent(store, f"agent {n}") for n in range(40)))
        for name in await store.tract_ids():
            texts = [m["content"] for m in (await store.tract(name).compile()).to_dicts()]
            assert texts == ["\n\n".join(f"{name} {n}" for n in range(5))]
    with sqlite3.connect(db_path) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT tract_id) FROM commits")
        counts = found.fetchone()
    connection.close()

    assert counts == (200, 40)
