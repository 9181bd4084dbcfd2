"""Commits that the server may have made although nobody was told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
import pytest_asyncio

from support.opening import COUNTER
from support.postgres.proxy import Proxy
from tract import AsyncTract, DialogueContent, StoreBusyError, TractConfig

_WARM = ["one", "two", "three"]
"""Enough for the driver to have prepared the statements of a commit."""
_HOLD = "SELECT FROM tracts WHERE tract_id = 't' FOR UPDATE"


@pytest_asyncio.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_url) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def tract(proxy: Proxy) -> AsyncIterator[AsyncTract]:
    """A warm tract whose connections pass the proxy, and that waits half a second at most."""
    config = TractConfig(busy_timeout=0.5)
    async with AsyncTract.open(proxy.url, tract_id="t", tokenizer=COUNTER, config=config) as tract:
        for text in _WARM:
            await tract.user(text)
        await asyncio.gather(*(tract.user(text) for text in "ab"))
        await asyncio.sleep(0.05)  # until others have been told
        yield tract


async def said(url: str) -> list[str]:
    """Return what a store of its own finds at the server, oldest first, and that it is sound."""
    async with AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as tract:
        assert not (await tract.verify()).faults
        log = await tract.log(limit=None)
        contents = await tract.get_contents([info.commit_hash for info in reversed(log)])
    return [content.text for content in contents if isinstance(content, DialogueContent)]


async def test_a_group_that_was_made_is_not_made_again_when_others_hold_its_tract(
    proxy: Proxy, tract: AsyncTract, postgres_url: str
) -> None:
    holder = await asyncpg.connect(postgres_url)
    cut = proxy.cut_answer(holding=b"second")
    commits = [asyncio.create_task(tract.user(text)) for text in ("first", "second", "third")]
    await cut.done.wait()
    async with holder.transaction():
        await holder.execute(_HOLD)
        await asyncio.sleep(0.8)
    await holder.close()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)

    found = await said(postgres_url)
    assert sorted(found) == sorted([*_WARM, "a", "b", "first", "second", "third"])
    for outcome in outcomes[1:]:
        assert not isinstance(outcome, StoreBusyError) or "may have committed" in str(outcome)


@asynccontextmanager
async def limited(url: str) -> AsyncIterator[tuple[str, Callable[[int], Awaitable[None]]]]:
    """Yield the URL for a user of whom the server can be made to take no more connections."""
    name = f"limited_{secrets.token_hex(6)}"
    raw = await asyncpg.connect(url)
    await raw.execute(f"CREATE ROLE {name} LOGIN; GRANT ALL ON SCHEMA public TO {name}")

    async def limit(most: int) -> None:
        await raw.execute(f"ALTER ROLE {name} CONNECTION LIMIT {most}")

    try:
        yield url.replace("postgres@", f"{name}@"), limit
    finally:
        await raw.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
        await raw.close()


async def test_a_group_that_may_have_been_made_waits_for_a_server_that_is_full(
    postgres_url: str,
) -> None:
    async with (
        limited(postgres_url) as (url, limit),
        Proxy(url) as proxy,
        AsyncTract.open(proxy.url, tract_id="t", tokenizer=COUNTER) as tract,
    ):
        for text in _WARM:
            await tract.user(text)
        cut = proxy.cut_answer(holding=b"second")
        commits = [asyncio.create_task(tract.user(text)) for text in ("first", "second", "third")]
        await limit(0)
        await cut.done.wait()
        await asyncio.sleep(0.3)
        await limit(-1)
        await asyncio.gather(*commits)

        found = await said(postgres_url)
    assert found == [*_WARM, "first", "second", "third"]


_MOVES: dict[str, tuple[bytes, Callable[[AsyncTract], Awaitable[object]]]] = {
    "fork": (b"\x04fork", lambda tract: tract.fork("side")),
    "tag": (b"\x03tag", lambda tract: tract.tag("mark")),
    "reset": (b"\x05reset", lambda tract: tract.reset("first")),
    "delete": (b"\x06delete", lambda tract: tract.delete_branch("gone")),
}
"""What moves a branch, and what the statement that does so holds: its name as an argument."""


async def moved(url: str) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Return a tract's moves but for commits, oldest first, its branches and its tags."""
    async with AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as tract:
        assert not (await tract.verify()).faults
        moves = [(move.action, move.branch) for move in await tract.reflog()]
        branches = [branch.name for branch in await tract.branches()]
        tags = [tag.name for tag in await tract.tags()]
    return [move for move in reversed(moves) if move[0] != "append"], branches, tags


@pytest.mark.parametrize("is_made", [False, True], ids=["lost request", "lost answer"])
@pytest.mark.parametrize("verb", _MOVES)
async def test_a_move_of_which_nobody_was_told_is_made_once(
    proxy: Proxy, tract: AsyncTract, postgres_url: str, verb: str, is_made: bool
) -> None:
    holding, call = _MOVES[verb]
    await tract.tag("first", target_hash=(await tract.log(limit=None))[-1].commit_hash)
    for name in ("gone", "warm"):
        await tract.fork(name)
    await tract.delete_branch("warm")
    await tract.reset(await tract.head())
    before, branches, tags = await moved(postgres_url)
    await asyncio.sleep(0.05)  # until others have been told
    cut = proxy.cut_answer(holding=holding) if is_made else proxy.cut_request(holding=holding)
    await call(tract)

    assert cut.done.is_set()
    assert (
        await moved(postgres_url)
        == {
            "fork": ([*before, ("fork", "side")], [*branches, "side"], tags),
            "tag": (before, branches, [*tags, "mark"]),
            "reset": ([*before, ("reset", "main")], branches, tags),
            "delete": ([*before, ("delete", "gone")], ["main"], tags),
        }[verb]
    )


@pytest.mark.parametrize("trips", range(6))
async def test_when_everything_is_cancelled_at_once_what_was_told_is_there_once(
    proxy: Proxy, tract: AsyncTract, postgres_url: str, trips: int
) -> None:
    """As a shutdown does, during any trip of a commit in conflict."""
    told = ["before"]
    await tract.user("before")
    async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as other:
        await other.user("other")
    proxy.delay, running = 0.02, asyncio.all_tasks()

    def cancel_all() -> None:
        for task in asyncio.all_tasks() - running:
            task.cancel()

    asyncio.get_running_loop().call_later((trips + 0.5) * proxy.delay, cancel_all)
    with suppress(asyncio.CancelledError):
        await tract.user("last")  # this takes six
        told.append("last")
    proxy.delay = 0.0
    for text in ("x", "y"):
        await tract.user(text)

    found = await said(postgres_url)
    assert [text for text in found if text in {*told, "x", "y"}] == [*told, "x", "y"]
    assert found.count("last") <= 1


async def test_a_watch_that_was_cut_short_leaves_no_snapshot_to_reads_that_follow(
    proxy: Proxy, tract: AsyncTract, postgres_url: str
) -> None:
    """A read of one moment begins a transaction, and cancelling it can leave that open."""
    config = TractConfig(readers=1)
    async with AsyncTract.open(
        proxy.url, tract_id="t", tokenizer=COUNTER, config=config
    ) as reading:
        await reading.head()
        proxy.delay = 0.02
        for trips in range(4):
            watch = reading.watch()
            read = asyncio.create_task(anext(watch))
            await asyncio.sleep((trips + 0.5) * proxy.delay)
            read.cancel()
            await asyncio.wait([read])
            async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as other:
                made = await other.user(f"{trips}")

            assert await reading.head() == made.commit_hash
