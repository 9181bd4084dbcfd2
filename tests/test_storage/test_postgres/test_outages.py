"""What callers get of a server that is full, read-only or out of reach, and that none of it stays."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import asyncpg
import pytest

from support.disks import Unavailable, fill, small_disk
from support.opening import COUNTER
from support.postgres.proxy import Proxy
from support.postgres.server import Serving
from support.probes import probe
from tract import AsyncTract, StoreFullError, StoreReadOnlyError, TractConfig, TractStore

_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name = 'asynctract'"
)
_PEAK = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'asynctract'"


@pytest.mark.long
async def test_a_full_disk_is_named_and_takes_nothing_from_anybody(
    postgres_serving: Serving, tmp_path: Path
) -> None:
    """The tables are on a disk of their own: where the log does not fit, the server itself ends."""
    try:
        with small_disk(tmp_path, 16 << 20) as disk, postgres_serving() as server:
            (disk / "space").mkdir(mode=0o700)
            raw = await asyncpg.connect(server.url())
            await raw.execute(f"CREATE TABLESPACE small LOCATION '{disk / 'space'}'")
            await raw.execute("CREATE DATABASE small TABLESPACE small")
            await raw.close()
            async with TractStore.open(server.url("small"), tokenizer=COUNTER) as store:
                tract = store.tract("t")
                await tract.user("before")
                filler = fill(disk, leaving=0)
                texts = [f"{number} {secrets.token_hex(100_000)}" for number in range(8)]
                outcomes = await asyncio.gather(*map(tract.user, texts), return_exceptions=True)
                refused = [each for each in outcomes if isinstance(each, BaseException)]
                assert {type(error) for error in refused} == {StoreFullError}
                assert "disk is full" in str(refused[0])
                assert len(await tract.log(limit=None)) == 1 + len(texts) - len(refused)
                filler.unlink()
                made = await tract.user("after")

                assert await tract.head() == made.commit_hash
                assert not (await tract.verify()).faults
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.long
async def test_a_standby_is_read_and_takes_writes_once_it_is_promoted(
    postgres_serving: Serving,
) -> None:
    with postgres_serving() as server, server.followed() as standby:
        with pytest.raises(StoreReadOnlyError, match="no store yet"):
            await TractStore.open(standby.url())
        async with AsyncTract.open(server.url(), tract_id="t", tokenizer=COUNTER) as tract:
            made = await tract.user("one")
        async with AsyncTract.open(standby.url(), tract_id="t", tokenizer=COUNTER) as tract:
            async with asyncio.timeout(20):
                while await tract.head() != made.commit_hash:  # noqa: ASYNC110  (it tells nobody)
                    await asyncio.sleep(0.01)
            with pytest.raises(StoreReadOnlyError, match="standby"):
                await tract.user("two")
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(standby.promote)
        async with AsyncTract.open(standby.url(), tract_id="t", tokenizer=COUNTER) as tract:
            await tract.user("two")

            assert len(await tract.log()) == 2


async def test_a_server_that_was_made_read_only_says_so_until_it_no_longer_is(
    postgres_url: str,
) -> None:
    """As a primary that became a standby."""
    raw = await asyncpg.connect(postgres_url)
    name = postgres_url.rpartition("/")[2]
    config = TractConfig(busy_timeout=0.2)
    async with AsyncTract.open(
        postgres_url, tract_id="t", tokenizer=COUNTER, config=config
    ) as tract:
        await tract.user("one")
        await raw.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await raw.execute(_END)
        await asyncio.sleep(0.1)  # until the client has noticed; else it may have been committed
        with pytest.raises(StoreReadOnlyError, match="read-only"):
            await tract.user("two")
        assert len(await tract.log()) == 1
        await raw.execute("SET default_transaction_read_only = off")
        await raw.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await tract.user("three")

        assert len(await tract.log()) == 2
    await raw.close()


async def test_hundreds_of_compiles_at_once_take_no_more_connections_than_agreed(
    postgres_url: str,
) -> None:
    config = TractConfig(readers=3)
    raw = await asyncpg.connect(postgres_url)
    peak = await raw.prepare(_PEAK + " AND datname = current_database()")
    most = 0
    async with TractStore.open(postgres_url, tokenizer=COUNTER, config=config) as store:
        tracts = [store.tract(f"{number}") for number in range(30)]
        await asyncio.gather(*(tract.user("hello") for tract in tracts))
        before = probe(store).trips
        compiles = asyncio.gather(*(tract.compile() for tract in tracts * 10))
        while not compiles.done():
            most = max(most, await peak.fetchval())
        contexts = await compiles
        first = probe(store).trips - before
        await asyncio.gather(*(tract.compile() for tract in tracts * 10))
        again = probe(store).trips - before - first
    await raw.close()

    assert {context.messages[0].content for context in contexts} == {"hello"}
    assert 1 < most <= 2 + 3
    assert first <= 3 * len(tracts)  # the head, the place, the steps; each once for a tract
    assert again <= 3 + 3  # what finds a connection goes alone, all others together


@pytest.mark.long
async def test_idle_connections_that_a_firewall_forgot_are_replaced_and_nobody_sees_it(
    postgres_url: str,
) -> None:
    """Nothing comes back on them, and nobody says so."""
    async with (
        Proxy(postgres_url) as proxy,
        AsyncTract.open(proxy.url, tract_id="t", tokenizer=COUNTER) as tract,
    ):
        await tract.user("one")
        await tract.compile()
        await asyncio.sleep(31)
        proxy.swallow()
        async with asyncio.timeout(20):  # an answer is missed after 5 seconds
            await asyncio.gather(tract.compile(), tract.user("two"))

        assert len(await tract.log()) == 2


@pytest.mark.long
async def test_a_watch_hears_again_after_its_connection_was_forgotten(postgres_url: str) -> None:
    """It does not say anything over that connection, so that it could miss an answer."""
    async with (
        Proxy(postgres_url) as proxy,
        AsyncTract.open(proxy.url, tract_id="t", tokenizer=COUNTER) as tract,
    ):
        await tract.user("one")
        await asyncio.sleep(0.5)  # until others have been told, over the second connection
        assert proxy.connections == 2
        async with tract.watch() as watch:
            waiting = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0.5)
            accepted = proxy.accepted
            proxy.swallow(1)
            async with asyncio.timeout(60):
                while proxy.accepted == accepted:  # noqa: ASYNC110  (it tells nobody)
                    await asyncio.sleep(0.1)
            await tract.user("two")
            await waiting
