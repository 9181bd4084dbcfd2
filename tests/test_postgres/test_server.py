"""The servers that tests are given: they run as anybody, are fresh, fail as told, leave nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from support.opening import COUNTER
from support.postgres.databases import Databases
from support.postgres.server import Server, Serving
from support.postgres.shared import Run
from tract import TractStore

_OWNER = """
import sys, time
from pathlib import Path
from support.postgres.binaries import Binaries
from support.postgres.server import serving
with serving(Binaries(Path(sys.argv[1])), Path(sys.argv[2])) as server:
    print(server.folder, server.pid, flush=True)
    time.sleep(60)
"""
_PARTNER = """
import sys
from pathlib import Path
from support.postgres.shared import Run
print(Run(Path(sys.argv[1])).url())
"""
_RUNNER = """
import sys
import time
from support.postgres.shared import Run
run = Run.begin()
print(run.folder, run.url(), (run.folder / "data/postmaster.pid").read_text().split()[0], flush=True)
time.sleep(60)
"""


async def fetched(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def spawned(program: str, *arguments: object) -> subprocess.Popen[str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "TRACT_POSTGRES_URL": ""},
    )


def has_ended(pid: int) -> bool:
    """Return True once no process has the id *pid*, False if that takes long."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def has_gone(folder: Path) -> bool:
    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not folder.exists()


async def test_a_database_is_empty_and_takes_tables(postgres_url: str) -> None:
    assert (
        await fetched(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        == 0
    )

    await fetched(postgres_url, "CREATE TABLE t (a int)")
    assert await fetched(postgres_url, "SELECT count(*) FROM t") == 0


async def test_the_servers_version_is_one_that_is_supported(postgres_url: str) -> None:
    version = await fetched(postgres_url, "SELECT current_setting('server_version_num')::int")

    assert isinstance(version, int)
    assert version >= 150_000


async def test_the_shared_server_promises_what_a_durable_one_does(postgres_url: str) -> None:
    """Tests run fast without `fsync`; what a client can see of durability is as by default."""
    assert await fetched(postgres_url, "SELECT current_setting('synchronous_commit')") == "on"


def test_databases_at_the_same_time_differ(postgres_databases: Databases) -> None:
    with postgres_databases.empty() as one, postgres_databases.empty() as other:
        assert one != other


def test_a_database_that_is_used_again_is_empty(postgres_databases: Databases) -> None:
    names = "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1"
    asking = f"SELECT array_agg(nspname) || ARRAY(SELECT relname::text FROM pg_class WHERE relname IN ('a', 'b')) FROM ({names}) n"
    with postgres_databases.empty() as first:
        asyncio.run(fetched(first, "CREATE TABLE a (a int)"))
        asyncio.run(fetched(first, "CREATE SCHEMA mine CREATE TABLE b (b int)"))
    with postgres_databases.empty() as again:
        assert again == first
        assert asyncio.run(fetched(again, asking)) == ["information_schema", "public"]


@pytest.mark.parametrize("commits", [1, 900], ids=["few rows", "many rows"])
def test_a_store_that_is_used_again_has_no_rows(
    postgres_databases: Databases, commits: int
) -> None:
    async def fill(url: str) -> None:
        async with TractStore.open(url, tokenizer=COUNTER) as store:
            async with store.tract("t").batch() as batch:
                for number in range(commits):
                    batch.commit({"content_type": "freeform", "payload": f"{number}" * 100})

    async def rows(url: str) -> int:
        names = "SELECT array_agg(relname::text) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> '_tract_meta'"
        tables = await fetched(url, names)
        assert isinstance(tables, list)
        counts = (f"(SELECT count(*) FROM {name})" for name in tables)
        found = await fetched(url, f"SELECT {' + '.join(counts)}")
        assert isinstance(found, int)
        return found

    with postgres_databases.standing() as first:
        asyncio.run(fill(first))
        assert asyncio.run(rows(first)) > 3
    with postgres_databases.standing() as again:
        assert again == first
        assert asyncio.run(rows(again)) == 0


def test_a_connection_that_is_left_open_fails_the_test(postgres_url: str) -> None:
    with closing(Databases(postgres_url, patience=0.1)) as databases, asyncio.Runner() as runner:
        lent = databases.empty()
        left = runner.run(asyncpg.connect(lent.__enter__()))
        with pytest.raises(AssertionError, match="left open"):
            lent.__exit__(None, None, None)

        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            runner.run(left.execute("SELECT 1"))


@pytest.mark.parametrize("crash", [Server.kill, Server.crash], ids=["killed", "crashed"])
async def test_what_was_committed_outlives_a_crash(
    postgres_serving: Serving, crash: Callable[[Server], None]
) -> None:
    with postgres_serving() as server:
        connection = await asyncpg.connect(server.url())
        await connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        await asyncio.to_thread(crash, server)
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.execute("INSERT INTO t VALUES (2)")
        connection.terminate()
        await asyncio.to_thread(server.start)

        assert await fetched(server.url(), "SELECT sum(a) FROM t") == 1
        assert await fetched(server.url(by_socket=True), "SELECT sum(a) FROM t") == 1
        assert await fetched(server.url(), "SELECT current_setting('fsync')") == "on"


async def test_a_follower_refuses_writes_until_it_is_promoted(postgres_serving: Serving) -> None:
    with postgres_serving() as server, server.followed() as follower:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await fetched(follower.url(), "CREATE TABLE t (a int)")
        await asyncio.to_thread(server.crash)
        await asyncio.to_thread(follower.promote)
        await fetched(follower.url(), "CREATE TABLE t (a int)")

        assert await fetched(follower.url(), "SELECT count(*) FROM t") == 0


def test_a_server_ends_with_its_block(postgres_serving: Serving) -> None:
    with postgres_serving() as server:
        pid = server.pid

    assert has_ended(pid)
    assert not server.folder.exists()


def test_a_server_ends_with_the_process_that_started_it(
    postgres_run: Run, postgres_serving: Serving
) -> None:
    owner = spawned(_OWNER, postgres_run.binaries.folder, postgres_run.cluster())
    with owner:
        assert owner.stdout is not None
        folder, pid = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)

    assert has_ended(int(pid))
    assert has_gone(Path(folder))


def test_the_processes_of_a_run_share_a_server_that_ends_with_the_first(
    postgres_serving: Serving,
) -> None:
    with spawned(_RUNNER) as runner:
        assert runner.stdout is not None
        folder, url, pid = runner.stdout.readline().split()
        with spawned(_PARTNER, folder) as partner:
            assert partner.stdout is not None
            assert partner.stdout.read().strip() == url
        assert asyncio.run(fetched(url, "SELECT 1")) == 1
        runner.kill()

    assert has_ended(int(pid))
    assert has_gone(Path(folder))
