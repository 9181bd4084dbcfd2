"""`store.backup()`: one file with all of a store, at one moment, while others write."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from support.copied import contexts, fill, rows
from support.opening import COUNTER
from tract import BackupProgress, StorageError, TractStore

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "backup.db"


def files(backup: Path) -> list[str]:
    return sorted(each.name for each in backup.parent.iterdir())


def remove(path: Path) -> None:
    path.unlink()


async def large(store: TractStore, mb: int = 8) -> None:
    for number in range(mb):
        await store.tract("large").attach(os.urandom(1_000_000) + bytes([number]), "text/plain")


async def test_a_backup_has_everything_in_one_file(db_path: Path, backup: Path) -> None:
    await fill(db_path)
    before = await contexts(db_path)
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        last = await store.tract("last").user("still in the log")
        await store.backup(backup)
        assert files(backup) == ["backup.db"]

    assert await rows(backup) == await rows(db_path)
    found = await contexts(backup)
    assert found.pop("last main")[0] == last.commit_hash
    assert {name: found[name] for name in before} == before
    async with TractStore.open(backup, tokenizer=COUNTER) as restored:
        await restored.tract("planner").user("goes on")


async def test_a_backup_is_of_one_moment_while_others_write(db_path: Path, backup: Path) -> None:
    async with (
        TractStore.open(db_path, tokenizer=COUNTER) as store,
        TractStore.open(db_path, tokenizer=COUNTER) as elsewhere,
    ):
        await large(store, 20)
        done = asyncio.Event()

        async def write(writer: TractStore, tract_id: str) -> int:
            count = 0
            while not done.is_set():
                await writer.tract(tract_id).user(str(count))
                count += 1
            return count

        writing = [
            asyncio.create_task(write(writer, tract_id))
            for writer, tract_id in ((store, "here"), (elsewhere, "there"))
        ]
        await asyncio.sleep(0.02)
        async with asyncio.timeout(60):
            await store.backup(backup)
        done.set()
        counts = await asyncio.gather(*writing)
    async with TractStore.open(backup, tokenizer=COUNTER) as restored:
        for tract_id, count in zip(("here", "there"), counts, strict=True):
            tract = restored.tract(tract_id)
            assert (await tract.verify()).faults == ()
            assert 0 < len(await tract.log(None)) <= count


async def test_a_backup_tells_its_progress(db_path: Path, backup: Path) -> None:
    steps: list[BackupProgress] = []
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await large(store)
        await store.backup(backup, progress=steps.append)

    assert len(steps) >= 8
    assert [step.nbytes for step in steps] == sorted(step.nbytes for step in steps)
    assert steps[-1].nbytes == steps[-1].of_nbytes == backup.stat().st_size  # noqa: ASYNC240 - one look


async def test_a_store_in_memory_is_backed_up(backup: Path) -> None:
    async with TractStore.open(tokenizer=COUNTER) as store:
        info = await store.tract("t").user("said")
        await store.backup(backup)
        await store.tract("t").user("later")
    async with TractStore.open(backup, tokenizer=COUNTER) as restored:
        assert await restored.tract("t").head() == info.commit_hash


@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_store_of_an_engine_is_backed_up(
    db_path: Path, backup: Path, in_memory: bool
) -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    if not in_memory:
        engine = create_async_engine(f"sqlite+aiosqlite:///{db_path}")
    async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
        info = await store.tract("t").user("said")
        await store.backup(backup)
        assert await store.tract("t").user("goes on")
    await engine.dispose()
    async with TractStore.open(backup, tokenizer=COUNTER) as restored:
        assert await restored.tract("t").head() == info.commit_hash


@pytest.mark.parametrize("option", ["mode=ro", "immutable=1"])
async def test_a_read_only_store_is_backed_up(db_path: Path, backup: Path, option: str) -> None:
    await fill(db_path)
    async with TractStore.open(f"file:{db_path}?{option}", tokenizer=COUNTER) as store:
        await store.backup(backup)

    assert await rows(backup) == await rows(db_path)


@pytest.mark.parametrize("beside", ["", "-wal", "-journal"])
async def test_no_file_is_overwritten(db_path: Path, backup: Path, beside: str) -> None:
    there = backup.with_name(backup.name + beside)
    there.write_bytes(b"mine")
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        with pytest.raises(StorageError, match="no file is overwritten"):
            await store.backup(backup)
        with pytest.raises(StorageError, match="no file is overwritten"):
            await store.backup(db_path)

    assert files(backup) == [there.name]


async def test_a_backup_that_is_ended_leaves_no_file(db_path: Path, backup: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await large(store, 20)
        for number in range(10):
            copying = asyncio.create_task(store.backup(backup))
            await asyncio.sleep(number * 0.004)
            copying.cancel()
            await asyncio.wait([copying])
            if not copying.cancelled():
                remove(backup)
            assert files(backup) == []

        def stop(step: BackupProgress) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            await store.backup(backup, progress=stop)
        assert files(backup) == []
        await store.backup(backup)
    assert files(backup) == ["backup.db"]


async def test_a_server_is_not_backed_up_here(postgres_url: str, backup: Path) -> None:
    async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
        with pytest.raises(StorageError, match="pg_dump"):
            await store.backup(backup)
    assert files(backup) == []


async def test_another_file_at_the_path_is_not_backed_up(db_path: Path, backup: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("mine")
        async with TractStore.open(db_path.with_name("other.db"), tokenizer=COUNTER) as other:
            await other.tract("t").user("of another")
        db_path.with_name("other.db").rename(db_path)
        with pytest.raises(StorageError, match="replaced by another"):
            await store.backup(backup)
    assert files(backup) == []


_BACK_UP = """
import asyncio, sys
from support.opening import COUNTER
from tract import TractStore

async def main():
    async with TractStore.open(sys.argv[1], tokenizer=COUNTER) as store:
        await store.backup(sys.argv[2], progress=lambda step: print(step.nbytes, flush=True))

asyncio.run(main())
"""


async def test_a_killed_backup_leaves_no_file_of_that_name(db_path: Path, backup: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await large(store, 40)
    copying = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _BACK_UP, str(db_path), str(backup)),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert copying.stdout is not None
    await copying.stdout.readline()
    copying.kill()
    await copying.communicate()

    assert all(".part" in name for name in files(backup)) or files(backup) == ["backup.db"]
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.backup(backup.with_name("another.db"))
