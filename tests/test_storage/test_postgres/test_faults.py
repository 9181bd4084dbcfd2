"""What holds when the server, or the way to it, fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import func, select

from support.opening import COUNTER
from support.postgres.proxy import Proxy
from support.probes import probe
from tract import (
    AsyncTract,
    DialogueContent,
    HeadMovedError,
    StorageError,
    StoreBusyError,
    TractConfig,
    TractStore,
)
from tract.storage.opening import open_database
from tract.storage.sql.statements.compiled import Statement

_WARM = ["one", "two", "three"]
"""Enough for the driver to have prepared the statements of a commit."""
_PATIENT = TractConfig(busy_timeout=5)
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest_asyncio.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_url) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def tract(proxy: Proxy) -> AsyncIterator[AsyncTract]:
    """A warm tract whose connections pass the proxy."""
    async with AsyncTract.open(
        proxy.url, tract_id="t", tokenizer=COUNTER, config=_PATIENT
    ) as tract:
        for text in _WARM:
            await tract.user(text)
        await asyncio.sleep(0.05)  # until others have been told
        yield tract


async def said(url: str) -> list[str]:
    """Return what a store of its own finds at the server, oldest first, and that it is sound."""
    async with AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as tract:
        assert not (await tract.verify()).faults
        log = await tract.log(limit=None)
        contents = await tract.get_contents([info.commit_hash for info in reversed(log)])
    return [content.text for content in contents if isinstance(content, DialogueContent)]


async def test_a_commit_takes_one_trip(proxy: Proxy, tract: AsyncTract) -> None:
    before = proxy.trips
    await tract.user("next")

    assert proxy.trips - before == 1


async def test_a_compile_of_a_known_head_takes_one_trip(proxy: Proxy, tract: AsyncTract) -> None:
    await tract.compile()
    before = proxy.trips
    await tract.compile()

    assert proxy.trips - before == 1


async def test_a_compile_after_a_commit_takes_one_trip(proxy: Proxy, tract: AsyncTract) -> None:
    await tract.compile()
    await tract.user("next")
    await asyncio.sleep(0.05)  # until others have been told
    before = proxy.trips
    await tract.compile()

    assert proxy.trips - before == 1


async def test_after_a_conflict_a_commit_takes_five_trips_at_most(
    tract: AsyncTract, postgres_url: str
) -> None:
    counted = probe(tract)  # not what others are told of, over a connection of its own
    async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as other:
        for text in ("a conflict", "another, with all statements prepared"):
            for number in range(10):  # until none is expected
                await tract.user(f"{number}")
            await other.user(text)
            before = counted.trips
            await tract.user("in conflict")
            in_conflict = counted.trips - before
            await tract.user("expecting one")
            expecting = counted.trips - before - in_conflict

    assert in_conflict <= 1 + 5
    assert expecting <= 5
    assert (await said(postgres_url))[-3:] == [text, "in conflict", "expecting one"]


async def test_a_head_that_is_no_longer_there_is_not_taken_for_the_expected_one(
    tract: AsyncTract, postgres_url: str
) -> None:
    known = await tract.head()
    async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as other:
        moved = await other.user("meanwhile")
        with pytest.raises(HeadMovedError):
            await tract.user("next", expected_head=known)
        await tract.user("next", expected_head=moved.commit_hash)

    assert await said(postgres_url) == [*_WARM, "meanwhile", "next"]


@pytest.mark.parametrize("crowded", [False, True])
async def test_a_commit_whose_answer_is_lost_is_made_once(
    proxy: Proxy, tract: AsyncTract, postgres_url: str, crowded: bool
) -> None:
    expected = [*_WARM]
    if crowded:  # the next group takes the locks, and ends by COMMIT
        async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as other:
            await other.user("meanwhile")
        expected += ["meanwhile"]
    cut = proxy.cut_answer(holding=b"COMMIT" if crowded else b"next")
    info = await tract.user("next")

    assert cut.done.is_set()
    assert await said(postgres_url) == [*expected, "next"]
    assert await tract.head() == info.commit_hash


@pytest.mark.parametrize("crowded", [False, True])
async def test_a_commit_that_never_arrived_is_made_once(
    proxy: Proxy, tract: AsyncTract, postgres_url: str, crowded: bool
) -> None:
    expected = [*_WARM]
    if crowded:
        async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as other:
            await other.user("meanwhile")
        expected += ["meanwhile"]
    cut = proxy.cut_request(holding=b"COMMIT" if crowded else b"next")
    await tract.user("next")

    assert cut.done.is_set()
    assert await said(postgres_url) == [*expected, "next"]


async def test_calls_go_on_over_new_connections_when_all_were_cut(
    proxy: Proxy, tract: AsyncTract, postgres_url: str
) -> None:
    await tract.compile()
    proxy.cut()
    await asyncio.sleep(0.05)

    assert len((await tract.compile()).messages) == 1
    await tract.user("next")
    assert await said(postgres_url) == [*_WARM, "next"]


async def test_calls_go_on_when_their_backends_are_killed(
    tract: AsyncTract, postgres_url: str
) -> None:
    async def kill() -> None:
        raw = await asyncpg.connect(postgres_url)
        for _ in range(8):
            await raw.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'asynctract' AND datname = current_database()"
            )
            await asyncio.sleep(0.05)
        await raw.close()

    killing = asyncio.create_task(kill())
    texts: list[str] = []
    while not killing.done():
        texts.append(f"commit {len(texts)}")
        await tract.user(texts[-1])
        await tract.compile()
    await killing

    assert await said(postgres_url) == [*_WARM, *texts]


async def test_a_server_that_cannot_be_reached_is_named_without_its_password() -> None:
    config = TractConfig(busy_timeout=0)
    with pytest.raises(StoreBusyError, match=r"127\.0\.0\.1.*cannot be reached") as refusal:
        await TractStore.open("postgresql://user:secret@127.0.0.1:1/db", config=config)

    assert "secret" not in str(refusal.value)


async def test_a_database_that_is_not_there_is_named(postgres_url: str) -> None:
    head, _, _ = postgres_url.rpartition("/")
    with pytest.raises(StorageError, match="createdb"):
        await TractStore.open(f"{head}/nowhere")


async def test_of_many_that_open_an_empty_database_at_once_each_gets_the_same_store(
    postgres_url: str,
) -> None:
    async def commit(number: int) -> None:
        async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as tract:
            await tract.user(f"{number}")

    await asyncio.gather(*map(commit, range(8)))

    assert sorted(await said(postgres_url)) == sorted(map(str, range(8)))


async def test_a_newer_schema_is_refused_by_name(postgres_url: str) -> None:
    async with TractStore.open(postgres_url):
        pass
    raw = await asyncpg.connect(postgres_url)
    await raw.execute("UPDATE _tract_meta SET value = '99'")
    await raw.close()

    with pytest.raises(StorageError, match="99"):
        await TractStore.open(postgres_url)


async def test_stores_in_two_schemas_of_one_database_have_nothing_in_common(
    postgres_url: str,
) -> None:
    async with (
        AsyncTract.open(f"{postgres_url}?schema=One%22s", tract_id="t", tokenizer=COUNTER) as one,
        AsyncTract.open(f"{postgres_url}?schema=two", tract_id="t", tokenizer=COUNTER) as two,
    ):
        await one.user("here")

        assert await two.head() is None
        assert not await two.log()


async def test_a_store_that_is_opened_read_only_reads_and_says_so_on_a_write(
    postgres_url: str,
) -> None:
    async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("one")
    async with AsyncTract.open(f"{postgres_url}?mode=ro", tract_id="t", tokenizer=COUNTER) as tract:
        assert len((await tract.compile()).messages) == 1
        with pytest.raises(StorageError, match="mode=ro"):
            await tract.user("two")


async def test_commits_are_durable_whatever_the_default_of_the_database_is(
    postgres_url: str,
) -> None:
    raw = await asyncpg.connect(postgres_url)
    name = postgres_url.rpartition("/")[2]
    await raw.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    database = await open_database(postgres_url, TractConfig())
    asked = Statement(lambda: select(func.current_setting("synchronous_commit")))
    found = await database.read(lambda connection: connection.one(asked))
    await database.aclose()
    await raw.execute(f"ALTER DATABASE {name} RESET synchronous_commit")
    await raw.close()

    assert found == ("on",)


async def test_everything_works_through_a_pooler_in_transaction_mode(postgres_pooled: str) -> None:
    url = f"{postgres_pooled}?pooler=transaction"
    async with (
        AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as one,
        AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as two,
    ):
        seen: list[str] = []

        async def watch() -> None:
            async for info in two.watch():
                seen.append(info.commit_hash)
                if len(seen) == 40:
                    return

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(tract.user(f"{n}") for n in range(20) for tract in (one, two)))
        fork = await one.fork("fork")
        await fork.user("forked")
        await one.merge("fork")
        async with asyncio.timeout(20):
            await watching

        assert seen == [info.commit_hash for info in (await one.log(limit=None))[::-1]][:40]
        assert len((await two.compile(aggregate_same_role=False)).messages) == 41
        assert not (await two.verify()).faults


async def test_what_an_attempt_in_vain_was_called_says_nothing_of_the_next(
    proxy: Proxy, tract: AsyncTract, postgres_url: str
) -> None:
    """The first has the locks and an id, and writes nothing; the next has neither, and commits."""
    holder, looking = [await asyncpg.connect(postgres_url) for _ in range(2)]
    held = holder.transaction()
    await held.start()
    await holder.execute("UPDATE tracts SET version = version + 1")
    last = asyncio.create_task(tract.user("the last"))
    async with asyncio.timeout(20):
        while not await looking.fetchval(_WAITING):
            await looking.execute("SELECT pg_sleep(0.01)")
    in_vain = proxy.cut_request(holding=b"the last")
    await held.commit()
    await in_vain.done.wait()
    unanswered = proxy.cut_answer(holding=b"the last")
    await last
    await holder.close()
    await looking.close()

    assert unanswered.done.is_set()
    assert await said(postgres_url) == [*_WARM, "the last"]
