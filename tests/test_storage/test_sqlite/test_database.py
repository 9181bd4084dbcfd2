"""Opening and closing: what is refused and how, and what is left behind (nothing)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

from support.opening import COUNTER, refused, threads_left, threads_of_connections, used
from support.probes import workers_of
from tract import (
    AsyncTract,
    SchemaVersionError,
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    TractConfig,
    TractStore,
)
from tract.storage.sqlite.database import open_database
from tract.storage.sqlite.migrations import MIGRATIONS


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def content(path: Path) -> bytes:
    return path.read_bytes()


def names_in(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir()]


# What can be opened


@pytest.mark.parametrize(
    "name", ["context.db", "a b.db", "übung-空.db", "a#b.db", "100%41.db", "what?.db", "a:b&c='d'"]
)
async def test_any_file_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    assert await used(tmp_path / name) == ["agent"]
    assert await used(str(tmp_path / name)) == ["agent"]

    assert names_in(tmp_path) == [name]


async def test_a_url_and_a_path_lead_to_the_same_file(db_path: Path) -> None:
    await used(db_path)

    for url in (f"sqlite:///{db_path}", f"sqlite+aiosqlite:///{db_path}"):
        async with AsyncTract.open(url, tract_id="agent", tokenizer=COUNTER) as tract:
            assert await tract.head() is not None


@pytest.mark.parametrize("target", [":memory:", "sqlite://", "sqlite:///:memory:"])
async def test_a_database_in_memory_is_new_every_time(target: str) -> None:
    for _ in range(2):
        async with AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER) as tract:
            assert await tract.head() is None
            await tract.user("hello")
            assert len(await tract.log()) == 1


async def test_opening_again_finds_what_was_committed(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        info = await tract.user("hello")

    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        assert await tract.log() == [info]


async def test_a_closed_store_leaves_one_file_and_no_thread(db_path: Path) -> None:
    before = threads_of_connections()

    await used(db_path)

    assert await threads_left(before) == set()
    assert names_in(db_path.parent) == [db_path.name]


@pytest.mark.parametrize(("durability", "synchronous"), [("normal", 1), ("full", 2)])
async def test_every_connection_has_the_options_of_the_store(
    db_path: Path, durability: Literal["normal", "full"], synchronous: int
) -> None:
    config = TractConfig(durability=durability, busy_timeout=1.5, readers=3)
    database = await open_database(str(db_path), config)

    def options(connection: sqlite3.Connection) -> list[Any]:
        names = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    found = [await worker.run(options) for worker in workers_of(database)]
    await database.aclose()
    assert found == [["wal", 1, synchronous, 1500]] * 4


async def test_reads_go_to_the_reader_that_has_least_to_do(db_path: Path) -> None:
    database = await open_database(str(db_path), TractConfig(readers=2))
    go = threading.Event()
    slow = asyncio.create_task(database.read(lambda _: go.wait(10)))
    await asyncio.sleep(0)

    async with asyncio.timeout(20):
        assert await database.read(lambda to: to.raw.execute("SELECT 1").fetchone()) == (1,)
        assert await database.read(lambda to: to.raw.execute("SELECT 2").fetchone()) == (2,)
        await database.write(lambda _: None)
    assert not slow.done()
    go.set()
    await slow
    await database.aclose()


async def test_a_store_that_is_idle_makes_no_trips(db_path: Path) -> None:
    """It looks after those who wait, and nobody does."""
    database = await open_database(str(db_path), TractConfig())
    await database.write(lambda _: None)
    await database.read(lambda _: None)
    await asyncio.sleep(2.2)
    before = database.trips
    await asyncio.sleep(2.2)

    assert database.trips == before
    await database.aclose()


# What cannot


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "context.db"

    error = await refused(path)
    assert error.path == str(path)
    assert f"the folder {path.parent} does not exist" in str(error)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("form", ["{}", "file:{}", "file:{}?mode=ro", "file:{}?immutable=1"])
async def test_a_folder_is_no_database(tmp_path: Path, form: str) -> None:
    error = await refused(form.format(tmp_path))

    assert error.path == str(tmp_path)
    assert "this is a folder" in str(error)


@pytest.mark.parametrize("size", [100, 10_000])
async def test_a_file_of_another_kind_is_refused_and_left_as_it_is(
    db_path: Path, size: int
) -> None:
    garbage = bytes(range(100)) * (size // 100)
    put(db_path, garbage)

    error = await refused(db_path)
    assert type(error) is StoreCorruptError
    assert error.path == str(db_path)
    assert content(db_path) == garbage


async def test_a_damaged_file_is_told_from_other_failures(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        for number in range(20):
            await tract.user(f"{number}" * 500)
    sound = content(db_path)
    put(db_path, sound[: len(sound) // 2])
    with pytest.raises(StoreCorruptError) as truncated:
        async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
            await tract.compile()
    put(db_path, sound[:4096] + b"\xff" * (len(sound) - 4096))
    with pytest.raises(StoreCorruptError) as overwritten:
        async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
            await tract.compile()

    for error in (truncated.value, overwritten.value):
        assert error.path == str(db_path)
        assert "backup" in str(error)


async def test_another_programs_database_is_refused_and_left_as_it_is(db_path: Path) -> None:
    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute("CREATE TABLE commits (theirs)")
    before = content(db_path)

    error = await refused(db_path)
    assert "commits" in str(error)
    assert error.path == str(db_path)
    assert content(db_path) == before


async def test_a_newer_schema_is_refused_by_name(db_path: Path) -> None:
    await used(db_path)
    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute("UPDATE _tract_meta SET value = '99'")
        connection.commit()

    error = await refused(db_path)
    assert isinstance(error, SchemaVersionError)
    assert (error.found, error.supported) == (99, len(MIGRATIONS))
    assert error.path == str(db_path)


_AS_NOBODY = """
import asyncio, os, sys
from tract import AsyncTract, NullTokenCounter, StorageError
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
async def main(path):
    try:
        async with AsyncTract.open(path, tract_id="agent", tokenizer=NullTokenCounter()) as tract:
            await tract.user("no")
    except StorageError as error:
        print(error.path, "|", error)
for path in sys.argv[1:]:
    asyncio.run(main(path))
"""
_PERMISSIONS = [  # of the file (None: there is none) and of its folder, and what is told
    (0o444, 0o777, "read-only"),
    (0o444, 0o555, "read-only"),
    (0o666, 0o555, "read-only"),
    (0o000, 0o777, "permissions"),
    (None, 0o555, "permissions"),
]


def _restricted(parent: Path) -> list[Path]:
    """Make a database for each of `_PERMISSIONS`, in a folder of its own."""
    paths = []
    parent.chmod(0o755)
    for number, (file_mode, folder_mode, _) in enumerate(_PERMISSIONS):
        path = parent / str(number) / "context.db"
        path.parent.mkdir()
        if file_mode is not None:
            asyncio.run(used(path))
            path.chmod(file_mode)
        path.parent.chmod(folder_mode)
        paths.append(path)
    return paths


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions of POSIX systems")
def test_missing_permissions_are_told_with_the_path() -> None:
    with tempfile.TemporaryDirectory() as parent:
        paths = _restricted(Path(parent))
        outcome = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, *map(str, paths)],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
        for path in paths:
            path.parent.chmod(0o777)

    lines = outcome.stdout.splitlines()
    assert len(lines) == len(_PERMISSIONS)
    for path, line, (_, _, told) in zip(paths, lines, _PERMISSIONS, strict=True):
        assert line.startswith(f"{path} | ")
        assert told in line


async def test_a_database_of_another_kind_is_refused_without_its_password() -> None:
    error = await refused("postgresql://user:secret@host/db")

    assert "postgresql" in str(error)
    assert "secret" not in f"{error!r} {error} {error.__cause__!r} {error.args!r}"


@pytest.mark.parametrize(
    "url",
    [
        "://",
        "no url://x",
        "sqlite://user:secret@host/db",
        "sqlite:////tmp/x.db?timeout=soon",
        "http:///x.db",
        "sqlite:///a\0b.db",
        "a\0b.db",
    ],
)
async def test_a_malformed_url_is_refused_with_what_to_give_instead(url: str) -> None:
    before = threads_of_connections()

    error = await refused(url)
    assert "path" in str(error)
    assert "secret" not in f"{error!r} {error}"
    assert await threads_left(before) == set()


async def test_a_refused_opening_leaves_no_thread(tmp_path: Path, db_path: Path) -> None:
    before = threads_of_connections()
    put(db_path, b"no database at all" * 100)

    await refused(db_path)
    await refused(tmp_path)
    await refused(tmp_path / "none" / "x.db")
    assert await threads_left(before) == set()


async def test_a_file_locked_by_another_program_is_busy(db_path: Path) -> None:
    with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError) as busy:
            await TractStore.open(db_path, config=TractConfig(busy_timeout=0.05))
        other.execute("ROLLBACK")

    assert busy.value.path == str(db_path)
    assert await used(db_path) == ["agent"]


async def test_opening_waits_for_a_program_that_reads_the_file_meanwhile(db_path: Path) -> None:
    with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM theirs").fetchall()
        opening = asyncio.create_task(used(db_path))
        await asyncio.wait([opening], timeout=0.1)
        assert not opening.done()
        other.execute("COMMIT")

        assert await opening == ["agent"]


# Cancelled on the way


@pytest.mark.parametrize("target", ["new", "existing", ":memory:"])
async def test_an_opening_cancelled_at_any_step_leaves_nothing_open(
    tmp_path: Path, target: str
) -> None:
    await used(tmp_path / "existing")
    before = threads_of_connections()
    finished = 0
    for step in range(60):
        name = f"{step}.db" if target == "new" else target
        opening = asyncio.create_task(_open(":memory:" if ":" in name else str(tmp_path / name)))
        for _ in range(min(step, 30)):
            await asyncio.sleep(0)
        await asyncio.sleep(max(0, step - 30) / 5000)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            finished += 1
            await opening.result().aclose()

    assert await threads_left(before) == set()
    assert finished < 60


async def _open(target: str) -> TractStore:
    return await TractStore.open(target, tokenizer=COUNTER)


async def test_a_body_cancelled_at_any_step_closes_the_store(db_path: Path) -> None:
    before = threads_of_connections()

    async def visit() -> None:
        async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
            await tract.user("hello")
            await tract.compile()

    for step in range(60):
        task = asyncio.create_task(visit())
        await asyncio.sleep(step / 5000)
        task.cancel()
        await asyncio.wait([task])

    assert await threads_left(before) == set()
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        assert (await tract.verify()).faults == ()


async def test_a_closed_store_says_so(db_path: Path) -> None:
    store = await TractStore.open(db_path, tokenizer=COUNTER)
    await store.aclose()

    with pytest.raises(StoreClosedError) as refusal:
        await store.tract("agent").head()
    assert refusal.value.path == str(db_path)
