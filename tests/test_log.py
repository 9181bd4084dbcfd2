"""The log in the order of the context, beside that of time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from support.customs import Ticket
from support.opening import COUNTER, engine_of
from support.pictures import in_base64
from support.probes import probe
from support.working import counted
from tract import (
    AsyncTract,
    CommitInfo,
    CommitNotFoundError,
    ContentValidationError,
    MediaPart,
    MessageContent,
    NativeContent,
    TractStore,
)

URL = f"data:image/png;base64,{in_base64(b'other picture' * 500)}"


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER) as opened:
        yield opened


async def text(tract: AsyncTract, info: CommitInfo) -> str:
    content = await tract.get_content(info.commit_hash)
    return str(content.model_dump().get("text", info.message))


async def texts(tract: AsyncTract, log: list[CommitInfo]) -> str:
    return " ".join([await text(tract, info) for info in log])


async def merged_twice(main: AsyncTract) -> None:
    """Merge into `main` what has itself been merged, made in another order than it stands in."""
    await main.user("A")
    one, two = await main.fork("one"), await main.fork("two")
    await two.user("Y")
    await one.user("X")
    await one.merge("two", message="M")
    await main.user("B")
    await main.merge("one", message="N")
    await main.user("C")


async def test_the_context_order_is_that_of_the_context(tract: AsyncTract) -> None:
    await merged_twice(tract)
    context = await tract.compile(aggregate_same_role=False)
    log = await tract.log(None, order="context")

    assert await texts(tract, log) == "C N M Y X B A"
    assert await texts(tract, await tract.log(None)) == "C N B M X Y A"
    assert await texts(tract, await tract.log(None, order="time")) == "C N B M X Y A"
    shown = [info.commit_hash for info in log[::-1] if info.operation == "append"]
    assert shown == [*context.commit_hashes]


@pytest.mark.parametrize("order", ["time", "context"])
async def test_a_log_may_come_with_the_content_of_each_commit(
    tract: AsyncTract, order: Literal["time", "context"]
) -> None:
    assert await tract.log(contents=True) == []
    await merged_twice(tract)
    first = (await tract.log(None))[-1]
    await tract.annotate(first.commit_hash, "skip")
    shown = MediaPart(kind="image", data=b"picture" * 500)
    await tract.commit(MessageContent(role="user", parts=(shown,)))
    item = {"role": "user", "content": [{"type": "input_image", "image_url": URL}]}
    await tract.commit(NativeContent(api="openai.responses", item=item))

    for limit in (None, 0, 1, 5):
        log = await tract.log(limit, order=order)
        named = [info.commit_hash for info in log]
        pairs = await tract.log(limit, order=order, contents=True)
        assert [info for info, _ in pairs] == log
        assert [content for _, content in pairs] == await tract.get_contents(named)
    assert pairs[0][1] == NativeContent(api="openai.responses", item=item)


async def test_a_log_with_a_content_that_is_not_known_says_so(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        store.register_content_type("ticket", Ticket)
        await store.tract("a").commit(Ticket(title="t"))
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert len(await store.tract("a").log()) == 1
        with pytest.raises(ContentValidationError, match="register_content_type"):
            await store.tract("a").log(contents=True)


async def test_contents_come_in_the_trip_of_the_log(tract: AsyncTract, target: Path | str) -> None:
    """At a server whatever is read takes a trip: merges, and contents beside the log."""
    await merged_twice(tract)
    trips = probe(tract).trips
    await tract.log(None, contents=True)

    assert probe(tract).trips == trips + (4 if engine_of(target) == "postgres" else 1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8])
async def test_pages_of_the_context_order_follow_on_each_other(
    tract: AsyncTract, size: int
) -> None:
    await merged_twice(tract)
    whole = await tract.log(None, order="context")
    page = await tract.log(size, order="context")
    found = [*page]
    while page:
        page = await tract.log(size, before=page[-1].commit_hash, order="context")
        found += page

    assert found == whole
    for at, info in enumerate(whole):
        rest = await tract.log(None, before=info.commit_hash, order="context")
        assert rest == whole[at + 1 :]


async def test_behind_a_commit_of_another_branch_its_own_context_follows(
    tract: AsyncTract,
) -> None:
    await merged_twice(tract)
    one = tract.on("one")
    last = await one.user("D")

    log = await tract.log(before=last.commit_hash, order="context")
    assert await texts(tract, log) == "M Y X A"
    assert await tract.log(before="one", order="context") == log


async def test_in_a_history_without_merges_both_orders_are_one(tract: AsyncTract) -> None:
    await tract.user("a")
    other = await tract.fork("other")
    for number in range(30):
        await tract.user(str(number))
        await other.user(str(number))

    assert await tract.log(None, order="context") == await tract.log(None)
    assert await tract.log(order="context") == await tract.log()


async def test_the_log_of_nothing_is_empty_in_both_orders(tract: AsyncTract) -> None:
    assert await tract.log(order="context") == await tract.log(None, order="context") == []
    await tract.user("a")
    assert await tract.log(0, order="context") == []


async def test_what_is_no_order_or_no_commit_is_refused(tract: AsyncTract) -> None:
    await tract.user("a")
    for order in ("newest", "", None, 5):
        with pytest.raises(ValueError, match="'time' or 'context'"):
            await tract.log(order=order)  # type: ignore[call-overload]
    with pytest.raises(CommitNotFoundError):
        await tract.log(before="0" * 64, order="context")
    with pytest.raises(ValueError, match="limit"):
        await tract.log(-1, order="context")


async def say(tract: AsyncTract, count: int) -> None:
    async with tract.batch() as batch:
        for number in range(count):
            batch.commit({"content_type": "output", "text": f"{tract.branch} {number}"})


@pytest.mark.unmeasured
async def test_a_page_below_a_merge_costs_little_more_than_without_one(db_path: Path) -> None:
    """What was there before a merge has its order by itself, so little else is read."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await say(store.tract("t"), 100)
        branches = [await store.tract("t").fork(name) for name in ("plain", "merged")]
        for tract in branches:
            await say(tract, 1_000)
        before = [(await tract.log(600))[-1].commit_hash for tract in branches]
        await (await branches[1].fork("side")).user("aside")
        await branches[1].user("more")
        await branches[1].merge("side")

    costs: list[int] = []
    for tract, info in zip(branches, before, strict=True):
        async with counted(db_path) as (store, work):
            again = store.tract("t", branch=tract.branch)
            costs.append(await work.of(again.log(10, before=info, order="context")))

    assert costs[1] <= 2 * costs[0]
