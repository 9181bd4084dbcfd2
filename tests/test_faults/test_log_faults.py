"""The log and its index deleted, replaced or cut off under an open store: no commit is lost on it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from support.disks import cut, move, put, remove, size_of
from support.faults import check_kept, commit_all, opening
from support.opening import COUNTER
from support.scripts import printed, started
from tract import AsyncTract, CommitInfo, StorageError, StoreCorruptError, TractStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="open files stay where they are")


@pytest.fixture(autouse=True, scope="module")
def no_connection_left_open() -> None:
    """Leave those alone: a connection whose log was replaced is never closed, nor does its thread end."""


TEXTS = [f"{number} " * 200 for number in range(16)]


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


def delete(*suffixes: str) -> Callable[[Path], None]:
    return lambda path: remove(*(beside(path, suffix) for suffix in suffixes))


def replace(*suffixes: str) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        for suffix in suffixes:
            move(beside(path, suffix), beside(path, f"{suffix}-aside"))
            put(beside(path, suffix), b"")

    return do


@asynccontextmanager
async def by_path(path: Path) -> AsyncIterator[AsyncTract]:
    async with opening(path) as tract:
        yield tract


@asynccontextmanager
async def by_engine(path: Path) -> AsyncIterator[AsyncTract]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
        yield store.tract("t")
    await engine.dispose()


OPENERS = pytest.mark.parametrize("opener", [by_path, by_engine])
DELETED = [delete("-wal"), delete("-shm"), delete("-wal", "-shm")]
REPLACED = [replace("-wal"), replace("-shm"), replace("-wal", "-shm")]
NAMES = ["the log", "its index", "both"]


@OPENERS
@pytest.mark.parametrize("fault", DELETED, ids=NAMES)
async def test_a_deleted_log_takes_no_commit_and_what_was_in_it_is_kept(
    db_path: Path, fault: Callable[[Path], None], opener: Callable[[Path], object]
) -> None:
    async with opener(db_path) as tract:  # type: ignore[attr-defined]
        before, _ = await commit_all(tract, TEXTS)
        fault(db_path)
        made, refused = await commit_all(tract, TEXTS)

        assert made == []
        assert {type(error) for error in refused} == {StorageError}
        assert "was deleted while the database was open" in str(refused[0])
        assert "open it again" in str(refused[0])
        assert len(await tract.log(None)) == len(before)
        assert (await tract.compile()).commit_count == len(before)
    await check_kept(db_path, before)


@OPENERS
@pytest.mark.parametrize("fault", REPLACED, ids=NAMES)
async def test_a_replaced_log_takes_no_commit_and_nothing_is_read_past_it(
    db_path: Path, fault: Callable[[Path], None], opener: Callable[[Path], object]
) -> None:
    """Who has made the new one may have moved pages into the database that ours hides."""
    async with opener(db_path) as tract:  # type: ignore[attr-defined]
        await commit_all(tract, TEXTS)
        fault(db_path)
        made, refused = await commit_all(tract, TEXTS)

        assert made == []
        assert {type(error) for error in refused} == {StorageError}
        assert "was replaced by another while the database was open" in str(refused[0])
        with pytest.raises(StorageError, match="replaced by another"):
            await tract.log(None)
        with pytest.raises(StorageError, match="replaced by another"):
            await tract.get_commit("0" * 64)


@OPENERS
@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
async def test_a_log_that_was_cut_off_takes_no_commit(
    db_path: Path, kept: float, opener: Callable[[Path], object]
) -> None:
    async with opener(db_path) as tract:  # type: ignore[attr-defined]
        for text in TEXTS:
            await tract.user(text)
        log = beside(db_path, "-wal")
        cut(log, int(kept * size_of(log)))
        made, [refused] = await commit_all(tract, "d")

        assert made == []
        assert isinstance(refused, StoreCorruptError)
        assert "the log was truncated" in str(refused)


_KILLED = """
import asyncio, os, sys
from support.disks import remove
from support.faults import commit_all, opening
async def main(path, *suffixes):
    async with opening(path) as tract:
        for number in range(40):
            print((await tract.user(f"{number} " * 99)).commit_hash, flush=True)
        remove(*(type(path)(f"{path}{suffix}") for suffix in suffixes))
        made, refused = await commit_all(tract, "abc")
        print(len(made), flush=True)
        os.kill(os.getpid(), 9)
from pathlib import Path
asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""


@pytest.mark.parametrize("suffixes", [["-wal"], ["-shm"], ["-wal", "-shm"]], ids=NAMES)
async def test_a_process_killed_after_its_log_was_deleted_has_lost_nothing(
    db_path: Path, suffixes: list[str]
) -> None:
    """What is in a log without a name is moved into the database with the first refusal."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    script = await started(_KILLED, db_path, *suffixes, env=env)
    *acknowledged, made = (await script.stdout.read()).decode().split()
    await script.process.wait()

    assert (len(acknowledged), made) == (40, "0")
    async with opening(db_path) as tract:
        there = {info.commit_hash for info in await tract.log(None)}
        assert there == set(acknowledged)
        assert (await tract.verify()).faults == ()


_COMES = """
import asyncio, sys
from support.faults import opening
async def main():
    async with opening(sys.argv[1]) as tract:
        for number in range(int(sys.argv[2])):
            print((await tract.user(f"newcomer {number} " * 50)).commit_hash)
asyncio.run(main())
"""


@OPENERS
@pytest.mark.parametrize(
    "commits",
    [
        pytest.param(3, id="in their log"),
        pytest.param(400, id="past a checkpoint", marks=pytest.mark.long),
    ],
)
async def test_closing_leaves_alone_what_others_wrote_without_our_log(
    db_path: Path, commits: int, opener: Callable[[Path], object]
) -> None:
    """Nor does an engine move it into the database that is disposed of afterwards."""
    async with opening(db_path) as tract:
        await commit_all(tract, TEXTS)
    async with opener(db_path) as tract:  # type: ignore[attr-defined]
        await commit_all(tract, "abc")
        remove(beside(db_path, "-wal"), beside(db_path, "-shm"))
        theirs = (await asyncio.to_thread(newcomer, db_path, commits)).split()
        made, _ = await commit_all(tract, TEXTS)
        assert made == []

    assert {*theirs} <= await asyncio.to_thread(seen_elsewhere, db_path)


async def test_a_store_that_would_go_on_with_an_index_that_has_no_name_is_refused(
    db_path: Path,
) -> None:
    """All connections of a process share the index that the first of them has opened."""
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, TEXTS)
        with closing(sqlite3.connect(db_path)) as other:
            other.execute("SELECT count(*) FROM commits").fetchall()
            remove(beside(db_path, "-shm"))
            await asyncio.to_thread(newcomer, db_path, 0)
            with pytest.raises(StorageError, match=r"not .*-shm, which was deleted or replaced"):
                await opening(db_path)
    assert await asyncio.to_thread(seen_elsewhere, db_path) == {i.commit_hash for i in before}


_LOOKS = """
import asyncio, sqlite3, sys
from support.faults import opening
async def main():
    async with opening(sys.argv[1]) as tract:
        print(*(info.commit_hash for info in await tract.log(None)))
        assert not (await tract.verify()).faults
asyncio.run(main())
told = sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchall()
assert told == [("ok",)], told
"""


def seen_elsewhere(path: Path) -> set[str]:
    """Return the commits that another process finds there, all of them sound."""
    return set(printed(f"import sys; sys.path[:0] = {sys.path!r}\n{_LOOKS}", path).split())


def newcomer(path: Path, commits: int) -> str:
    """Have another process open the database, commit to it, and close it."""
    return printed(f"import sys; sys.path[:0] = {sys.path!r}\n{_COMES}", path, commits)


# What is no fault


async def test_a_log_that_is_back_in_its_place_takes_commits_again(db_path: Path) -> None:
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, "abc")
        log = beside(db_path, "-wal")
        move(log, beside(db_path, "-aside"))
        made, _ = await commit_all(tract, TEXTS)
        assert made == []
        move(beside(db_path, "-aside"), log)
        after, refused = await commit_all(tract, TEXTS)
        assert refused == []
    await check_kept(db_path, before + after)


@OPENERS
@pytest.mark.parametrize("mode", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
async def test_a_checkpoint_of_another_program_is_no_fault(
    db_path: Path, mode: str, opener: Callable[[Path], object]
) -> None:
    acknowledged: list[CommitInfo] = []
    async with opener(db_path) as tract:  # type: ignore[attr-defined]
        for _ in range(4):
            made, refused = await commit_all(tract, TEXTS)
            assert refused == []
            acknowledged += made
            with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
                other.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
                other.execute("CREATE TABLE IF NOT EXISTS theirs (x)")
                other.execute("INSERT INTO theirs VALUES (1)")
    await check_kept(db_path, acknowledged)


async def test_processes_that_come_and_go_are_no_fault(db_path: Path) -> None:
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, "abc")
        await asyncio.to_thread(newcomer, db_path, 2)
        after, refused = await commit_all(tract, "def")
        assert refused == []
        assert len(await tract.log(None)) == 8
        there = await tract.log(None)
        assert all(info in there for info in before + after)
