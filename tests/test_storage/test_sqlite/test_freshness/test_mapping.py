"""The header of the WAL index: it changes with every commit, and looking at it harms nobody."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from support.drafts import MAIN, draft
from support.opening import COUNTER
from support.probes import probe
from support.scripts import printed, started
from tract import AsyncTract, StorageError, TractConfig, TractStore
from tract.storage.sql.freshness import State
from tract.storage.sqlite.database import open_database
from tract.storage.sqlite.freshness import mapping
from tract.storage.sqlite.freshness.wal_index import WalIndex

TESTS = Path(__file__).parents[3]
LISTED = Path("/proc/self/fd").is_dir()
pytestmark = pytest.mark.skipif(
    os.name != "posix" or sys.maxsize < 2**32, reason="no index is read here"
)


@pytest.fixture
def connection(db_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(db_path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        yield connection


def index_of(connection: sqlite3.Connection) -> WalIndex:
    index = WalIndex()
    index.attach(connection)
    return index


@pytest.fixture
def index(connection: sqlite3.Connection) -> Iterator[WalIndex]:
    index = index_of(connection)
    yield index
    index.close()


def now(index: WalIndex) -> State:
    header = index.state()
    assert header is not None
    return header


_STATEMENT = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    print(connection.execute(sys.argv[2]).fetchall())
except sqlite3.Error as error:
    print(error)
"""


def in_another_process(db_path: Path, sql: str) -> str:
    """Run one statement and return what became of it."""
    return printed(_STATEMENT, db_path, sql)


def descriptors(db_path: Path) -> int:
    """Return how many descriptors of an index this process has, SQLite's own among them."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith(f"{db_path}-shm")
        except OSError:  # that of the listing
            continue
    return count


def test_every_commit_makes_the_next_state(connection: sqlite3.Connection, index: WalIndex) -> None:
    states = [now(index)]
    for number in range(50):
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        states.append(now(index))

    assert len(set(states)) == 51
    assert all(index.is_next(old, new) for old, new in pairwise(states))
    assert not any(index.is_next(old, new) for old, new in zip(states, states[2:], strict=False))


def test_a_commit_of_another_process_changes_the_state(
    connection: sqlite3.Connection, index: WalIndex, db_path: Path
) -> None:
    before = now(index)
    in_another_process(db_path, "INSERT INTO numbers VALUES (1)")

    assert not index.is_now(before)
    assert index.is_next(before, now(index))


def test_reads_and_what_is_rolled_back_leave_the_state(
    connection: sqlite3.Connection, index: WalIndex, db_path: Path
) -> None:
    before = now(index)
    in_another_process(db_path, "SELECT * FROM numbers")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO numbers VALUES (1)")
    connection.execute("ROLLBACK")

    assert index.is_now(before)


@pytest.mark.parametrize("kind", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
def test_a_checkpoint_takes_no_state_back(
    connection: sqlite3.Connection, index: WalIndex, db_path: Path, kind: str
) -> None:
    """A state that was there before a commit must never be there again."""
    seen = {now(index)}
    for number in range(20):
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        assert now(index) not in seen
        seen.add(now(index))
        in_another_process(db_path, f"PRAGMA wal_checkpoint({kind})") if number % 5 == 0 else None
        connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchall()
        seen.add(now(index))


def test_without_a_file_no_state_is_known() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert index_of(connection).state() is None


def real_index(folder: Path) -> bytes:
    """Return what the index of another database has in it."""
    with closing(sqlite3.connect(folder / "other.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        return (folder / "other.db-shm").read_bytes()


@pytest.mark.parametrize("pragma", ["journal_mode = DELETE", "locking_mode = EXCLUSIVE"])
def test_without_an_index_that_is_shared_no_state_is_known(
    db_path: Path, tmp_path: Path, pragma: str
) -> None:
    """Whatever an earlier crash has left there."""
    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        db_path.with_name(f"{db_path.name}-shm").write_bytes(real_index(tmp_path))
        index = index_of(connection)
        known = index.state()
        index.close()

    assert known is None


@pytest.mark.parametrize("content", [b"", bytes(32768), b"\x01" * 32768])
def test_a_file_that_is_no_index_is_not_taken_for_one(db_path: Path, content: bytes) -> None:
    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        shm = db_path.with_name(f"{db_path.name}-shm")
        os.rename(shm, f"{shm}-kept")
        shm.write_bytes(content)
        index = index_of(connection)
        known = index.state()
        os.replace(f"{shm}-kept", shm)
        index.close()

    assert known is None


def test_a_closed_index_knows_no_state(connection: sqlite3.Connection, index: WalIndex) -> None:
    before = now(index)
    index.close()
    index.close()

    assert index.state() is None
    assert not index.is_now(before)


@pytest.mark.skipif(not LISTED, reason="descriptors are not listed here")
def test_an_index_that_was_given_up_before_it_came_is_left_at_once(
    connection: sqlite3.Connection, db_path: Path
) -> None:
    index = WalIndex()
    index.close()
    index.attach(connection)

    assert index.state() is None
    connection.close()
    mapping.MAPPINGS.sweep()
    assert descriptors(db_path) == 0


async def test_to_close_a_store_leaves_the_locks_of_others_in_this_process(db_path: Path) -> None:
    """POSIX gives up all of a process's locks on a file with the first descriptor it closes."""
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("hello")
        with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as again:
                await again.compile()
            await tract.aclose()
            told = in_another_process(db_path, "BEGIN IMMEDIATE")
            other.execute("ROLLBACK")

    assert told == "database is locked"


async def test_to_drop_a_store_leaves_the_locks_of_others_in_this_process(db_path: Path) -> None:
    with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
        store = await TractStore.open(db_path, tokenizer=COUNTER)
        await store.tract("t").user("hello")
        other.execute("BEGIN IMMEDIATE")
        with pytest.warns(ResourceWarning):
            del store
        gc.collect()
        await asyncio.sleep(0.05)
        told = in_another_process(db_path, "BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    await (await _opened(db_path)).aclose()

    assert told == "database is locked"
    assert not LISTED or descriptors(db_path) == 0


@pytest.mark.skipif(not LISTED, reason="descriptors are not listed here")
async def test_closed_stores_leave_no_descriptor(db_path: Path) -> None:
    for _ in range(5):
        async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
            await tract.user("hello")
            async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as again:
                assert len((await again.compile()).messages) == 1
        assert descriptors(db_path) == 0


@pytest.mark.skipif(not LISTED, reason="descriptors are not listed here")
async def test_a_database_that_others_have_open_is_mapped_once(db_path: Path) -> None:
    with closing(sqlite3.connect(db_path)) as other:
        async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
            await tract.user("hello")
            other.execute("SELECT * FROM commits").fetchall()
            while_open = descriptors(db_path)
        for _ in range(5):
            async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
                await tract.compile()
                assert descriptors(db_path) == while_open
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER):
        pass

    assert descriptors(db_path) == 0


def test_what_is_in_use_by_others_is_left_behind_only_so_many_times(tmp_path: Path) -> None:
    others: list[sqlite3.Connection] = []
    known: list[bool] = []
    for number in range(mapping._LINGERING + 5):
        connection = sqlite3.connect(tmp_path / f"{number}.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        others.append(connection)
        index = index_of(connection)
        known.append(index.state() is not None)
        index.close()
    for connection in others:
        connection.close()

    assert known.index(False) == known.count(True) <= mapping._LINGERING
    with closing(sqlite3.connect(tmp_path / "0.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE letters (letter TEXT)")
        index = index_of(connection)
        assert index.state() is not None  # those that are deleted were let go of
        index.close()


_WAITING = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
print(connection.execute("SELECT count(*) FROM commits").fetchall(), flush=True)
sys.stdin.readline()
try:
    print(connection.execute("BEGIN IMMEDIATE").fetchall())
except sqlite3.Error as error:
    print(error)
"""


async def test_a_store_that_is_dropped_within_a_commit_keeps_its_lock_until_that_is_done(
    db_path: Path,
) -> None:
    """Even where somebody has removed the index, by which those who had it open still go."""
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(10)

    database = await open_database(str(db_path), TractConfig())
    await database.write(lambda transaction: transaction.commit(MAIN, [draft("first")]))
    other = await started(_WAITING, db_path)
    await other.line()
    slow = asyncio.ensure_future(database.write(lambda _: hold()))
    await asyncio.to_thread(begun.wait, 10)
    await asyncio.to_thread(os.unlink, f"{db_path}-shm")
    database.abandon()
    mapping.MAPPINGS.sweep()
    other.tell()
    told = await other.line()
    go_on.set()
    with pytest.raises(StorageError, match=r"index .* was deleted"):
        await slow
    await other.process.wait()

    assert told == "database is locked"


_WITHOUT_A_C_LIBRARY = """
import asyncio, sys
sys.path.append(sys.argv[3])
if sys.argv[2] == "no ctypes":
    sys.modules["ctypes"] = None
else:
    import ctypes
    def refuse(name):
        raise {"no loading": OSError("dynamic loading not supported")}.get(sys.argv[2], AttributeError)
    ctypes.CDLL = refuse

async def main():
    from support.opening import COUNTER
    from support.probes import probe
    from tract import AsyncTract
    async with AsyncTract.open(sys.argv[1], tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("hello")
        before = probe(tract).trips
        await tract.compile()
        print(probe(tract).trips - before)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["no ctypes", "no loading", "no function"])
def test_without_a_c_library_every_compile_asks_the_database(db_path: Path, how: str) -> None:
    assert printed(_WITHOUT_A_C_LIBRARY, db_path, how, TESTS) == "1"


@pytest.mark.parametrize("taken", [False, True])
def test_a_descriptor_that_is_no_longer_ours_is_left_alone(
    connection: sqlite3.Connection, tmp_path: Path, taken: bool
) -> None:
    """Who becomes a daemon closes all there are, and opens others with the same numbers."""
    before = {*mapping.MAPPINGS.all}
    index = index_of(connection)
    [mapped] = {*mapping.MAPPINGS.all} - before
    connection.close()
    os.close(mapped.descriptor)
    (tmp_path / "theirs").touch()
    theirs = os.open(tmp_path / "theirs", os.O_RDONLY) if taken else -1
    if taken:
        os.dup2(theirs, mapped.descriptor)
        (tmp_path / "theirs").unlink()
    index.close()

    assert mapped not in mapping.MAPPINGS.all
    if taken:
        assert os.fstat(mapped.descriptor).st_nlink == 0
        for descriptor in {theirs, mapped.descriptor}:
            os.close(descriptor)


def test_to_let_go_waits_for_nobody_who_takes(
    connection: sqlite3.Connection, index: WalIndex
) -> None:
    """It may be the same thread, where an opening that was given up is collected."""
    with mapping.MAPPINGS.lock:
        index.close()

    assert index.state() is None


_MEMORY_IS_SHORT = """
import resource, sqlite3, sys
from tract.storage.sqlite.freshness.wal_index import WalIndex

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE numbers (number INTEGER)")
connection.execute("BEGIN IMMEDIATE")
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("SELECT * FROM numbers").fetchall()
usual = resource.getrlimit(resource.RLIMIT_AS)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
if sys.argv[2] == "short":
    resource.setrlimit(resource.RLIMIT_AS, (used, usual[1]))
index = WalIndex()
index.attach(other)
resource.setrlimit(resource.RLIMIT_AS, usual)
print(index.state() is not None, flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="sizes are not told here")
@pytest.mark.parametrize("memory", ["enough", "short"])
async def test_an_index_that_cannot_be_mapped_gives_up_no_locks(db_path: Path, memory: str) -> None:
    """What fails must not close a descriptor either."""
    script = await started(_MEMORY_IS_SHORT, db_path, memory)
    known = await script.line()
    told = await asyncio.to_thread(in_another_process, db_path, "BEGIN IMMEDIATE")
    script.tell()
    await script.process.wait()

    assert known == str(memory == "enough")
    assert told == "database is locked"


_COLLECTED_ANYWHERE = """
import asyncio, gc, os, sys, warnings
from tract import NullTokenCounter, TractStore

async def main(path):
    usual = os.fstat
    async with TractStore.open(path + "1", tokenizer=NullTokenCounter()):
        dropped = [await TractStore.open(path + "2", tokenizer=NullTokenCounter())]
        dropped.append(dropped)
        del dropped
        os.fstat = lambda descriptor: (gc.collect(), usual(descriptor))[1]
    print("closed")

warnings.simplefilter("ignore")
asyncio.run(main(sys.argv[1]))
"""


def test_a_dropped_store_that_is_collected_while_another_closes_stops_nobody(db_path: Path) -> None:
    """The collector may run wherever something is allocated, with a lock held or without."""
    assert printed(_COLLECTED_ANYWHERE, db_path) == "closed"


_FORKED_MEANWHILE = """
import asyncio, os, signal, sys, threading
from tract import NullTokenCounter, TractStore

async def use(path):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        await store.tract("t").user("hello")

def slow_stat(path, *given, **named):
    if str(path).endswith("-shm"):
        inside.set()
        go_on.wait(10)
    return usual(path, *given, **named)

inside, go_on = threading.Event(), threading.Event()
usual, os.stat = os.stat, slow_stat
thread = threading.Thread(target=lambda: asyncio.run(use(sys.argv[1])))
thread.start()
inside.wait(10)
child = os.fork()
if not child:
    os.stat = usual
    signal.alarm(10)
    asyncio.run(use(sys.argv[1] + "-child"))
    os._exit(0)
go_on.set()
thread.join()
print(os.waitpid(child, 0)[1])
"""


def test_a_process_forked_while_a_thread_opens_a_store_can_open_its_own(db_path: Path) -> None:
    assert printed(_FORKED_MEANWHILE, db_path) == "0"


@pytest.mark.skipif(not LISTED, reason="descriptors are not listed here")
async def test_an_opening_that_is_cancelled_leaves_no_descriptor(
    db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right when the index is being mapped, too."""
    loop = asyncio.get_running_loop()
    attach = WalIndex.attach

    def cancelling(index: WalIndex, connection: sqlite3.Connection) -> None:
        cancelled = threading.Event()
        loop.call_soon_threadsafe(opening.cancel)
        loop.call_soon_threadsafe(cancelled.set)
        assert cancelled.wait(10)
        attach(index, connection)

    monkeypatch.setattr(WalIndex, "attach", cancelling)
    for _ in range(3):
        opening = asyncio.ensure_future(_opened(db_path))
        await asyncio.wait([opening])
        assert opening.cancelled()
    monkeypatch.undo()
    await (await _opened(db_path)).aclose()

    assert descriptors(db_path) == 0


async def _opened(db_path: Path) -> TractStore:
    return await TractStore.open(db_path, tokenizer=COUNTER)


@pytest.mark.parametrize("parameter", ["mode=ro", "immutable=1", "vfs=unix-excl"])
async def test_with_some_parameters_no_index_is_read(
    db_path: Path, tmp_path: Path, parameter: str
) -> None:
    """Who only reads does not delete it, so that we could not let go of it; that VFS has another."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("hello")
    db_path.with_name(f"{db_path.name}-shm").write_bytes(real_index(tmp_path))
    async with TractStore.open(f"file:{db_path}?{parameter}", tokenizer=COUNTER) as store:
        assert probe(store).parts.database.freshness.index.state() is None
        before = probe(store).trips
        await store.tract("t").compile()

        assert probe(store).trips == before + 1
    assert descriptors(db_path) == 0
