"""`store.copy_tract()`: a new tract that has what another has, at once and for little."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.copied import contexts, fill, rows
from support.naming import erased, keyed, titled
from support.opening import COUNTER, later
from tract import (
    AsyncTract,
    CommitNotFoundError,
    MediaPart,
    MessageContent,
    Priority,
    StoreReadOnlyError,
    TextPart,
    TokenUsage,
    TractError,
    TractExistsError,
    TractNotFoundError,
    TractStore,
)

Place = Path | str
NOT_COPIED = ("blobs", "attachment_uses", "spool")
EXACT = ("commits", "refs", "runs", "origins", "keys", "usage", "attachments")


@pytest.fixture
def place(target: str) -> Place:
    """Return the place of the store, a file as a path, for `rows`."""
    return target if "://" in str(target) else Path(target)


def of(found: dict[str, list[tuple[Any, ...]]], tract_id: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of a tract, without its id."""
    return {
        table: sorted(
            (
                tuple(value for value in row if value != tract_id)
                for row in found[table]
                if tract_id in row
            ),
            key=repr,
        )
        for table in EXACT
    }


async def test_everything_of_a_tract_is_in_the_copy(place: Place) -> None:
    await fill(place)
    before = await rows(place)
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        copied = await store.copy_tract("planner", "copy")
        assert (copied.tract_id, copied.branch) == ("copy", "main")
    after = await rows(place)

    assert of(after, "copy") == of(before, "planner")
    assert of(after, "planner") == of(before, "planner")
    for table in NOT_COPIED:
        assert after[table] == before[table]
    found = await contexts(place)
    for name in ("main", "other"):
        assert found[f"copy {name}"] == found[f"planner {name}"]
    assert found["copy"] == found["planner"]


async def test_a_copy_goes_its_own_way(place: Place) -> None:
    await fill(place)
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        planner = store.tract("planner")
        before = await planner.compile()
        copied = await store.copy_tract("planner", "copy")
        first = await copied.user("on its own")
        await copied.on("other").merge("main")
        await copied.reset("v1")
        await copied.delete_branch("other", force=True)
        await copied.record_usage(TokenUsage(7, 7))

        assert first.parent_hash == before.head_hash
        assert await planner.compile() == before
        assert [branch.name for branch in await planner.branches()] == ["main", "other"]
        for tract in (planner, copied):
            assert (await tract.verify()).faults == ()
        with pytest.raises(CommitNotFoundError):
            await planner.compile(at_commit=first.commit_hash)


async def test_time_goes_on_in_the_copy_even_if_the_clock_is_behind(place: Place) -> None:
    async with await later(place, 3600) as store:
        head = await store.tract("t").user("ahead")
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        assert await store.tract("copy").head() is None
        copied = await store.copy_tract("t", "copy")
        after = await copied.user("now")

        assert after.created_at > head.created_at
        assert after.parent_hash == head.commit_hash


@pytest.mark.parametrize("id_of", ["commits", "refs", "attachments"])
async def test_a_tract_that_has_anything_is_left_alone(place: Place, id_of: str) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.tract("t").user("said")
        await store.tract("commits").user("said")
        await store.tract("refs").fork("empty", at_commit=None)
        await store.tract("attachments").attach(b"alone", "text/plain")
        before = await rows(place)

        with pytest.raises(TractExistsError, match=id_of):
            await store.copy_tract("t", id_of)
        with pytest.raises(TractExistsError):
            await store.copy_tract("t", "t")
        assert await rows(place) == before


async def test_a_tract_that_has_a_stream_or_a_title_is_left_alone(place: Place) -> None:
    await fill(place)
    await titled(place, "titled", "Norway", "{}")
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        for name in ("stream only", "titled"):
            with pytest.raises(TractExistsError):
                await store.copy_tract("planner", name)


async def test_a_tract_that_does_not_exist_is_not_copied(place: Place) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        with pytest.raises(TractNotFoundError, match="nobody"):
            await store.copy_tract("nobody", "copy")
        with pytest.raises(TractNotFoundError, match="nobody"):
            await store.copy_tract("nobody", "copy", at="main")
        await store.tract("t").user("said")
        for at in ("no such", "f" * 64, None, "empty"):
            await store.tract("t").fork("empty", at_commit=None) if at == "empty" else None
            with pytest.raises(TractError):
                await store.copy_tract("t", "copy", at=at)
        await store.tract("other").user("of another")
        with pytest.raises(CommitNotFoundError):
            await store.copy_tract("t", "copy", at=await store.tract("other").head())
        for name in ("", "x" * 1025, "nul\0"):
            with pytest.raises(ValueError, match="target"):
                await store.copy_tract("t", name)

        assert await store.tract_ids() == ["other", "t"]
        await store.copy_tract("t", "copy")


async def test_what_has_no_commits_is_copied_too(place: Place) -> None:
    await fill(place)
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        copied = await store.copy_tract("given only", "copy")
        sha256 = (await store.tract("given only").attach(b"alone", "text/plain")).sha256

        assert await copied.head() is None
        assert await copied.attachment(sha256) == b"alone"
        assert (await copied.user("first")).parent_hash is None


async def branched(store: TractStore) -> AsyncTract:
    """Make a history with two merges of one branch, a reset, and what none of it reaches."""
    main = store.tract("t")
    first = await main.user("first")
    side = await main.fork("side")
    picture = MediaPart(kind="image", media_type="image/png", data=b"\x89PNG\r\n\x1a\npicture")
    await side.commit(MessageContent(role="user", parts=(TextPart(text="see"), picture)))
    await main.user("meanwhile")
    await main.merge("side")
    await main.annotate(first.commit_hash, Priority.PINNED)
    await side.user("more on the side")
    await main.merge("side")
    await main.record_usage(TokenUsage(3, 4))
    await main.tag("merged")
    await main.user("lost by a reset")
    await main.reset("merged")
    await main.assistant("after the reset")
    secret = await main.fork("secret", at_commit=first.commit_hash)
    await secret.user("of another branch")
    await secret.record_usage(TokenUsage(9, 9))
    await secret.attach(b"never used", "text/plain")
    await secret.tag("secret-tag")
    return main


@pytest.mark.parametrize("at", ["main", "merged", "side", "secret"])
async def test_a_history_becomes_a_tract_with_one_branch(place: Place, at: str) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        main = await branched(store)
        source = await main.compile(at_commit=at)
        log = await main.fork("to-log", at_commit=at)
        copied = await store.copy_tract("t", "copy", at=at)

        assert (await copied.compile()).messages == source.messages
        assert (await copied.compile()).token_count == source.token_count
        assert await copied.head() == source.head_hash
        assert [branch.name for branch in await copied.branches()] == ["main"]
        assert await copied.tags() == []
        hashes = [info.commit_hash for info in await log.log(None)]
        assert [info.commit_hash for info in await copied.log(None)] == hashes
        report = await copied.verify()
        assert (report.faults, report.checked) == ((), len(hashes))
        after = await copied.user("goes on")
        assert after.parent_hash == source.head_hash
        fork = await copied.fork("again", at_commit=hashes[-1])
        await fork.user("elsewhere")
        await copied.merge("again")
        await copied.delete_branch("again")
        assert (await copied.verify()).faults == ()
        assert [each for each in await copied.reflog("main") if each.new_hash == after.commit_hash]
    if at != "secret":
        told = repr([of(await rows(place), "copy")[table] for table in EXACT])
        assert "secret" not in told
        assert len(of(await rows(place), "copy")["attachments"]) == 1


async def test_a_history_that_ends_within_a_run_is_copied_up_to_there(place: Place) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        infos = [await store.tract("t").user(str(number)) for number in range(5)]
        copied = await store.copy_tract("t", "copy", at=infos[2].commit_hash)
        once = await store.copy_tract("copy", "copy of it", at=infos[1].commit_hash)

        assert len((await copied.compile()).messages) == 1
        assert [info.commit_hash for info in await copied.log()] == [
            info.commit_hash for info in infos[2::-1]
        ]
        assert len(await once.log()) == 2
        assert (await once.verify()).faults == ()


async def test_a_key_means_what_it_meant_at_that_commit(place: Place) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        infos = [await store.tract("t").user(str(number)) for number in range(4)]
    for info, key in zip(infos, ["a", "b", "a", "a"], strict=True):
        await keyed(place, info, key)
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.copy_tract("t", "whole")
        await store.copy_tract("t", "part", at=infos[2].commit_hash)
    found = await rows(place)

    assert of(found, "whole")["keys"] == of(found, "t")["keys"]
    keys = {row[2]: row[0].hex() for row in found["keys"] if "part" in row}
    assert keys == {"a": infos[2].commit_hash, "b": infos[1].commit_hash}


async def test_a_title_comes_along_and_erased_commits_stay_erased(place: Place) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        info = await store.tract("t").user("a secret")
        await store.tract("t").user("said")
    await erased(place, info)
    await titled(place, "t", "Norway", '{"a":1}')
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.copy_tract("t", "whole")
        await store.copy_tract("t", "part", at="main")
    found = await rows(place)

    assert (
        of(found, "whole")["commits"] == of(found, "t")["commits"] == of(found, "part")["commits"]
    )
    assert "a secret" not in repr(found)


async def test_a_copy_is_of_one_moment_while_others_write(place: Place) -> None:
    async with (
        TractStore.open(place, tokenizer=COUNTER) as store,
        TractStore.open(place, tokenizer=COUNTER) as elsewhere,
    ):
        await store.tract("t").user("first")
        await store.tract("t").fork("side")

        async def write(branch: str) -> None:
            for number in range(40):
                await elsewhere.tract("t", branch=branch).user(str(number))

        async def copy(number: int) -> AsyncTract:
            await asyncio.sleep(number * 0.01)
            return await store.copy_tract("t", f"copy {number}")

        copies = await asyncio.gather(*map(copy, range(8)), write("main"), write("side"))
        for copied in copies[:8]:
            assert copied is not None
            assert (await copied.verify()).faults == ()
            await copied.user("goes on")
            await copied.on("side").user("goes on")


async def test_a_watcher_of_the_new_tract_notices(place: Place) -> None:
    async with (
        TractStore.open(place, tokenizer=COUNTER) as store,
        TractStore.open(place, tokenizer=COUNTER) as elsewhere,
    ):
        await store.tract("t").user("said")
        watches = [each.tract("copy").watch() for each in (store, elsewhere)]
        waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
        await asyncio.sleep(0.05)
        copied = await store.copy_tract("t", "copy")
        async with asyncio.timeout(20):
            infos = await asyncio.gather(*waiting)

        assert {info.commit_hash for info in infos} == {await copied.head()}


async def test_a_cancelled_copy_is_whole_or_nothing(place: Place) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        async with store.tract("t").batch() as batch:
            for number in range(300):
                batch.commit({"content_type": "dialogue", "role": "user", "text": str(number)})
        for number in range(12):
            copying = asyncio.create_task(store.copy_tract("t", f"copy {number}"))
            for _ in range(number):
                await asyncio.sleep(0.001)
            copying.cancel()
            await asyncio.wait([copying])
            await store.tract("t").head()
    found = await rows(place)
    for number in range(12):
        assert len(of(found, f"copy {number}")["commits"]) in (0, 300)


async def test_nothing_is_copied_in_a_read_only_store(db_path: Path) -> None:
    await fill(db_path)
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        with pytest.raises(StoreReadOnlyError):
            await store.copy_tract("planner", "copy")
