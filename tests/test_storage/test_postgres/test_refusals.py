"""What callers are told when a server or a pool refuses, and what they are not."""

from __future__ import annotations

import asyncio
import time
import traceback

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from support.opening import COUNTER, refused, used
from support.postgres.server import Serving
from tract import AsyncTract, StorageError, StoreBusyError, TractConfig, TractStore
from tract.storage.postgres.targets import parse_target

_HBA = "host all bob 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"


def of_engine(url: str) -> str:
    return url.replace("postgresql", "postgresql+asyncpg", 1)


async def test_no_error_shows_a_password(postgres_serving: Serving) -> None:
    with postgres_serving() as server:
        raw = await asyncpg.connect(server.url())
        await raw.execute("CREATE ROLE bob LOGIN PASSWORD 'another'")
        await raw.close()
        (server.data / "pg_hba.conf").write_text(_HBA)
        server.reload()
        plain = server.url()
        url = plain.replace("postgres@", "bob:s3cr3t@")
        await asyncio.sleep(0.1)
        for given, problem in {
            url: "password",
            plain.replace("postgres@", "") + "?user=bob&password=s3cr3t": "password",
            url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:"): "password",
            url.replace("s3cr3t", "s3cr3t/?#"): "password",
            f"{url}?sslmode=require": "encrypted",
            url.replace("127.0.0.1", "nowhere.invalid"): "not known|resolution|nodename",
            url.replace("bob", "postgres").rpartition("/")[0] + "/none": "createdb",
        }.items():
            error = await refused(given)

            assert any(each in str(error) for each in problem.split("|")), given
            assert "s3cr3t" not in "".join(traceback.format_exception(error)), given


async def test_encryption_that_a_server_refuses_is_not_taken_for_a_lost_connection(
    postgres_url: str,
) -> None:
    error = await refused(f"{postgres_url}?sslmode=require")

    assert not isinstance(error, StoreBusyError)


async def test_a_url_of_several_hosts_leads_to_the_one_that_takes_writes(
    postgres_serving: Serving,
) -> None:
    with postgres_serving(options={"wal_level": "replica"}) as server:
        with server.followed() as follower:
            hosts = f"127.0.0.1:{follower.port},127.0.0.1:{server.port}"
            url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

            assert await used(url) == ["agent"]


def test_the_path_that_errors_show_has_no_password_from_a_parameter() -> None:
    path = parse_target("postgresql://host/db?user=u&password=secret&sslpassword=secret").path

    assert path == "postgresql://host/db"


async def test_without_patience_a_lock_of_others_is_not_waited_for(postgres_url: str) -> None:
    config = TractConfig(busy_timeout=0)
    holder = await asyncpg.connect(postgres_url)
    async with AsyncTract.open(
        postgres_url, tract_id="t", tokenizer=COUNTER, config=config
    ) as tract:
        await tract.user("one")
        async with holder.transaction():
            await holder.execute("SELECT FROM tracts FOR UPDATE")
            begun = time.monotonic()
            with pytest.raises(StoreBusyError):
                await tract.user("two")
            took = time.monotonic() - begun
        await tract.user("three")
    await holder.close()

    assert took < 4  # less than the patience that is usual


async def test_patience_may_be_longer_than_the_server_can_count(postgres_url: str) -> None:
    config = TractConfig(busy_timeout=1e9)
    async with TractStore.open(postgres_url, tokenizer=COUNTER, config=config) as store:
        await store.tract("t").user("one")


@pytest.mark.parametrize("options", [{}, {"poolclass": NullPool}], ids=["queue", "null"])
async def test_calls_over_an_engine_wait_for_a_server_that_restarts(
    postgres_serving: Serving, options: dict[str, type[NullPool]]
) -> None:
    with postgres_serving() as server:
        engine = create_async_engine(of_engine(server.url()), **options)
        async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
            tract = store.tract("t")
            await tract.user("one")
            await tract.compile()
            await asyncio.to_thread(server.stop)
            calls = asyncio.gather(tract.user("two"), tract.compile())
            await asyncio.to_thread(server.start)
            await calls

            assert len(await tract.log()) == 2
        await engine.dispose()


async def test_an_engine_that_lends_one_connection_to_all_is_refused(postgres_url: str) -> None:
    engine = create_async_engine(of_engine(postgres_url), poolclass=StaticPool)
    with pytest.raises(StorageError, match="one connection to all"):
        await TractStore.from_engine(engine)
    await engine.dispose()


async def test_an_engine_with_too_small_a_pool_is_refused_when_opening(postgres_url: str) -> None:
    engine = create_async_engine(
        of_engine(postgres_url), pool_size=1, max_overflow=0, pool_timeout=0.1
    )
    with pytest.raises(StorageError, match="two more"):
        await TractStore.from_engine(engine)

    async with engine.connect():  # it was given back
        pass
    await engine.dispose()
