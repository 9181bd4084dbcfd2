"""`copy_store()`: everything arrives as it was, checked, however often it is cut short."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from support.copied import contexts, fill, leave_stream, rows
from support.naming import STAND_IN, erased, keyed, titled
from support.opening import COUNTER, later
from tract import (
    CopyProgress,
    CopyReport,
    MediaPart,
    MessageContent,
    StoreClosedError,
    StoreCopyError,
    StoreReadOnlyError,
    TokenUsage,
    TractConfig,
    TractStore,
    copy_store,
)
from tract.storage.opening import open_database
from tract.storage.sql.repositories import repositories_over

Place = Path | str
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class Pair(NamedTuple):
    source: Place
    target: Place


def at(request: pytest.FixtureRequest, engine: str, name: str) -> Place:
    """Return a place for a store on an engine; two of one engine differ by their names."""
    if engine == "sqlite":
        path: Path = request.getfixturevalue("tmp_path")
        return path / f"{name}.db"
    return f"{request.getfixturevalue('postgres_url')}?schema={name}"


@pytest.fixture(params=["sqlite-sqlite", "sqlite-postgres", "postgres-sqlite", "postgres-postgres"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Two places for stores, on every pair of engines."""
    source, _, target = request.param.partition("-")
    return Pair(at(request, source, "source"), at(request, target, "target"))


@pytest.fixture(params=["sqlite", "postgres"])
def onto(request: pytest.FixtureRequest, db_path: Path) -> Pair:
    """A file, and a place for a store on each engine."""
    return Pair(db_path, at(request, request.param, "target"))


async def copied(
    pair: Pair, progress: Callable[[CopyProgress], object] | None = None
) -> CopyReport:
    async with (
        TractStore.open(pair.source, tokenizer=COUNTER) as source,
        TractStore.open(pair.target, tokenizer=COUNTER) as target,
    ):
        return await copy_store(source, target, progress=progress)


async def long(place: Place, count: int, tract_id: str = "long") -> None:
    """Commit more than fits into one portion."""
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        async with store.tract(tract_id).batch() as batch:
            for number in range(count):
                batch.commit({"content_type": "dialogue", "role": "user", "text": str(number)})


def damage(path: Path, statement: str, *parameters: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, parameters)


async def test_everything_arrives_as_it_was(pair: Pair) -> None:
    await fill(pair.source)
    before = await contexts(pair.source)

    report = await copied(pair)

    assert await rows(pair.target) == await rows(pair.source)
    assert await contexts(pair.target) == before
    assert (report.tracts, report.attachments) == (5, 3)
    assert report.commits == len((await rows(pair.source))["commits"])


async def test_an_empty_store_is_copied(onto: Pair) -> None:
    assert await copied(onto) == CopyReport(tracts=0, commits=0, attachments=0)


async def test_copying_again_writes_nothing(onto: Pair) -> None:
    await fill(onto.source)
    await copied(onto)

    assert await copied(onto) == CopyReport(tracts=5, commits=0, attachments=0)
    assert await rows(onto.target) == await rows(onto.source)


async def test_copying_again_brings_what_came_later(onto: Pair) -> None:
    await fill(onto.source)
    await copied(onto)
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        planner = store.tract("planner")
        await planner.user("later")
        await planner.reset("v1")
        await planner.user("and elsewhere")
        await planner.delete_branch("other", force=True)
        await planner.delete_tag("v1")
        await planner.tag("v2")
        await planner.record_usage({"prompt_tokens": 9, "completion_tokens": 9})
        await planner.attach(b"never used", "text/markdown")
        await store.tract("new").user("new")
    assert await drop_left(onto.source, "planner") == 1
    await leave_stream(onto.source, "planner", "s3", ["three"])
    report = await copied(onto)

    assert (report.tracts, report.commits) == (6, 3)
    assert await rows(onto.target) == await rows(onto.source)


async def drop_left(place: Place, tract_id: str) -> int:
    """Drop every left stream of a tract, and return how many there were."""
    async with await later(place, 3600) as store:
        found = [left for left in await store.recover_streams() if left.tract_id == tract_id]
        for left in found:
            await left.drop()
        return len(found)


async def test_more_than_a_portion_is_copied_with_progress(pair: Pair) -> None:
    await long(pair.source, 600)
    steps: list[CopyProgress] = []

    report = await copied(pair, steps.append)

    assert report.commits == 600
    assert [(step.commits, step.of_commits) for step in steps] == [
        (done, 600) for done in (0, 256, 512, 600)
    ]
    assert {(step.tract_id, step.tract, step.tracts) for step in steps} == {("long", 1, 1)}
    assert await contexts(pair.target) == await contexts(pair.source)


async def test_large_contents_come_in_smaller_portions(onto: Pair) -> None:
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        for letter in "abc":
            await store.tract("t").user(letter * 3_000_000)
            await store.tract("t").attach(letter.encode() * 3_000_000, "text/plain")
    steps: list[CopyProgress] = []

    await copied(onto, steps.append)

    assert [step.commits for step in steps] == [0, 1, 2, 3]
    assert await rows(onto.target) == await rows(onto.source)


class Stop(Exception):
    """Raised to end a copy."""


async def test_a_copy_that_was_cut_short_goes_on_where_it_was(pair: Pair) -> None:
    await long(pair.source, 600)

    def stop(step: CopyProgress) -> None:
        if step.commits == 256:
            raise Stop

    with pytest.raises(Stop):
        await copied(pair, stop)
    assert len((await rows(pair.target))["commits"]) == 256

    assert (await copied(pair)).commits == 600 - 256
    assert await rows(pair.target) == await rows(pair.source)


async def test_a_cancelled_copy_leaves_whole_portions(onto: Pair) -> None:
    await long(onto.source, 900)
    await long(onto.target, 0)
    for steps in range(0, 40, 4):
        copying = asyncio.create_task(copied(onto))
        for _ in range(steps):
            await asyncio.sleep(0.002)
        copying.cancel()
        await asyncio.wait([copying])
        assert len((await rows(onto.target))["commits"]) in (0, 256, 512, 768, 900)
    await copied(onto)

    assert await rows(onto.target) == await rows(onto.source)


_COPY = """
import asyncio, sys
from pathlib import Path
from support.opening import COUNTER
from tract import TractStore, copy_store

async def main():
    async with TractStore.open(sys.argv[1], tokenizer=COUNTER) as source:
        async with TractStore.open(sys.argv[2], tokenizer=COUNTER) as target:
            await copy_store(source, target, progress=lambda step: print(step.commits, flush=True))

asyncio.run(main())
"""


async def test_a_killed_copy_goes_on_where_it_was(onto: Pair) -> None:
    await long(onto.source, 1200)
    command = [sys.executable, "-c", _COPY, *map(str, onto)]
    copying = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    assert copying.stdout is not None
    while int(await copying.stdout.readline()) < 512:
        pass
    copying.kill()
    await copying.communicate()
    there = len((await rows(onto.target))["commits"])

    report = await copied(onto)

    assert 512 <= there < 1200
    assert report.commits == 1200 - there
    assert await rows(onto.target) == await rows(onto.source)
    assert await contexts(onto.target) == await contexts(onto.source)


async def test_a_source_that_is_written_to_is_copied_as_it_was_at_one_moment(pair: Pair) -> None:
    await long(pair.source, 600)
    async with (
        TractStore.open(pair.source, tokenizer=COUNTER) as source,
        TractStore.open(pair.target, tokenizer=COUNTER) as target,
    ):
        head = await source.tract("long").head()
        written: list[asyncio.Task[object]] = []

        def write(step: CopyProgress) -> None:
            written.append(asyncio.create_task(source.tract("long").user(str(step.commits))))

        assert (await copy_store(source, target, progress=write)).commits == 600
        await asyncio.gather(*written)
        assert await target.tract("long").head() == head
        assert (await target.tract("long").verify()).faults == ()

        assert (await copy_store(source, target)).commits == len(written)
        assert await target.tract("long").head() == await source.tract("long").head()
        await target.tract("long").user("goes on there")


async def test_a_watcher_and_a_cache_of_the_target_notice(onto: Pair) -> None:
    await long(onto.source, 2)
    async with (
        TractStore.open(onto.source, tokenizer=COUNTER) as source,
        TractStore.open(onto.target, tokenizer=COUNTER) as target,
    ):
        watched = target.tract("long")
        assert (await watched.compile()).head_hash is None
        for _ in range(2):
            await copy_store(source, target)
            head = await source.tract("long").head()
            assert (await watched.compile()).head_hash == await watched.head() == head
            for reported in (123, 456):
                await source.tract("long").record_usage(TokenUsage(reported))
                await copy_store(source, target)
                assert (await watched.compile()).token_count == reported
            await source.tract("long").user("more")
        watch = watched.watch(after="head")
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0.02)
        await copy_store(source, target)
        async with asyncio.timeout(20):
            info = await waiting
        assert info.commit_hash == await source.tract("long").head()
        after = await watched.user("goes on")
        assert after.parent_hash == info.commit_hash


async def test_a_store_that_was_copied_there_and_back_knows_what_has_changed(pair: Pair) -> None:
    """What a store knows of its own writes is older than what was copied into it, times too."""
    async with (
        TractStore.open(pair.source, tokenizer=COUNTER) as here,
        await later(pair.target, 3600) as there,
    ):
        await here.tract("t").user("here")
        side = await here.tract("t").fork("side")
        assert (await side.compile()).head_hash is not None
        await copy_store(here, there)
        commits = [await there.tract("t").user("there")]
        await there.tract("t").on("side").merge("main")
        commits.append(await there.tract("t").user("and there"))
        await copy_store(there, here)

        assert (await here.tract("t").compile()).head_hash == commits[1].commit_hash
        assert (await side.compile()).head_hash == commits[0].commit_hash
        after = [await here.tract("t").user("here again"), await side.user("and here")]
        assert [each.parent_hash for each in after] == [
            commits[1].commit_hash,
            commits[0].commit_hash,
        ]
        assert (await here.tract("t").verify()).faults == ()


async def test_what_was_written_in_the_target_is_kept(onto: Pair) -> None:
    await fill(onto.source)
    await copied(onto)
    async with TractStore.open(onto.target, tokenizer=COUNTER) as target:
        mine = await target.tract("planner").user("mine")
        await target.tract("träct/2").fork("moved")
    async with TractStore.open(onto.source, tokenizer=COUNTER) as source:
        theirs = await source.tract("planner").user("theirs")
        await source.tract("given only").user("arrives")
    before = await rows(onto.target)

    with pytest.raises(StoreCopyError, match="Copy into an empty store") as caught:
        await copied(onto)

    first = min(mine, theirs, key=lambda info: info.created_at)
    assert [(fault.tract_id, fault.commit_hash) for fault in caught.value.faults] == [
        ("planner", mine.commit_hash),
        ("träct/2", None),
    ]
    assert first == mine
    after = await rows(onto.target)
    assert len(after["commits"]) == len(before["commits"]) + 1  # of the sound tract
    assert [row for row in after["refs"] if row in before["refs"]] == before["refs"]


async def test_others_who_write_to_a_tract_meanwhile_are_noticed(onto: Pair) -> None:
    await long(onto.source, 600)
    async with (
        TractStore.open(onto.source, tokenizer=COUNTER) as source,
        TractStore.open(onto.target, tokenizer=COUNTER) as target,
    ):
        written: list[asyncio.Task[object]] = []

        def write(step: CopyProgress) -> None:
            if step.commits == 256:
                written.append(asyncio.create_task(target.tract("long").user("mine")))

        with pytest.raises(StoreCopyError, match="others wrote to it in the target meanwhile"):
            await copy_store(source, target, progress=write)
        await asyncio.gather(*written)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE blobs SET data = '{}' WHERE content_hash = :content", "its content does not have"),
        ("DELETE FROM blobs WHERE content_hash = :content", "is not in the store"),
        (
            "UPDATE commits SET operation = 'edit' WHERE commit_hash = :commit",
            "do not have its hash",
        ),
        ("UPDATE commits SET message = x'ff' WHERE commit_hash = :commit", "its message cannot be"),
        ("UPDATE commits SET message = 'a' || char(0) WHERE commit_hash = :commit", "has a NUL"),
        (
            "UPDATE commits SET metadata_json = '[' WHERE commit_hash = :commit",
            "its metadata cannot",
        ),
    ],
    ids=["content", "no content", "commit", "text", "NUL", "metadata"],
)
async def test_damage_is_reported_by_commit_and_all_else_is_copied(
    onto: Pair, statement: str, problem: str
) -> None:
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        await store.tract("bad").user("before")
        info = await store.tract("bad").user("damaged")
        await store.tract("bad").user("after")
        await store.tract("sound").user("sound")
    values = {
        "content": bytes.fromhex(info.content_hash),
        "commit": bytes.fromhex(info.commit_hash),
    }
    with closing(sqlite3.connect(str(onto.source))) as connection, connection:
        connection.execute(statement, values)

    with pytest.raises(StoreCopyError, match="1 tracts were not copied whole") as caught:
        await copied(onto)

    assert {(each.tract_id, each.commit_hash) for each in caught.value.faults} == {
        ("bad", info.commit_hash)
    }
    assert problem in caught.value.faults[0].problem
    assert info.commit_hash in str(caught.value)
    found = await rows(onto.target)
    assert len(found["refs"]) == 1
    async with TractStore.open(onto.target, tokenizer=COUNTER) as target:
        assert len((await target.tract("sound").compile()).messages) == 1


async def test_a_lost_commit_is_reported(onto: Pair) -> None:
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        lost = await store.tract("t").user("lost")
        child = await store.tract("t").user("child")
    key = bytes.fromhex(lost.commit_hash)
    damage(Path(onto.source), "DELETE FROM commits WHERE commit_hash = ?", key)

    with pytest.raises(StoreCopyError, match=f"{child.commit_hash}: its parent {lost.commit_hash}"):
        await copied(onto)


async def test_a_damaged_attachment_is_reported_with_its_hash(onto: Pair) -> None:
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        part = MediaPart(kind="image", media_type="image/png", data=b"picture")
        await store.tract("t").commit(MessageContent(role="user", parts=(part,)))
    damage(Path(onto.source), "UPDATE blobs SET data = 'x' WHERE data = ?", b"picture")

    with pytest.raises(StoreCopyError, match=r"the attachment \w{64} does not have that hash"):
        await copied(onto)


async def test_a_target_for_reading_is_refused_and_a_source_is_not(tmp_path: Path) -> None:
    place = tmp_path / "source.db"
    await long(place, 2)
    source = f"file:{place}?mode=ro"
    await copied(Pair(source, tmp_path / "target.db"))
    await long(place, 1, "another")

    with pytest.raises(StoreReadOnlyError):
        await copied(Pair(place, f"file:{tmp_path / 'target.db'}?mode=ro"))


async def test_a_closed_store_is_refused(tmp_path: Path) -> None:
    async with (
        TractStore.open(tmp_path / "a.db", tokenizer=COUNTER) as one,
        TractStore.open(tmp_path / "b.db", tokenizer=COUNTER) as two,
    ):
        await two.aclose()
        for source, target in ((one, two), (two, one)):
            with pytest.raises(StoreClosedError):
                await copy_store(source, target)


async def facts(place: Place, tract_id: str) -> dict[str, object]:
    database = await open_database(place, TractConfig())
    outline = await repositories_over(database).copies.outline(tract_id)
    await database.aclose()
    return dict(outline.facts)


async def test_keys_arrive_even_if_they_go_over_to_another_commit_later(pair: Pair) -> None:
    async with TractStore.open(pair.source, tokenizer=COUNTER) as store:
        first = await store.tract("t").user("first")
        second = await store.tract("t").user("second")
    await keyed(pair.source, first, "a")
    await keyed(pair.source, second, "b")
    await copied(pair)
    assert await rows(pair.target) == await rows(pair.source)

    async with TractStore.open(pair.source, tokenizer=COUNTER) as store:
        third = await store.tract("t").user("third")
        fourth = await store.tract("t").user("fourth")
    await keyed(pair.source, third, "a")
    await keyed(pair.source, fourth, "a")
    await copied(pair)
    there = await rows(pair.target)

    assert there == await rows(pair.source)
    assert len(there["keys"]) == 2


async def test_titles_and_metadata_arrive_and_so_do_their_changes(pair: Pair) -> None:
    async with TractStore.open(pair.source, tokenizer=COUNTER) as store:
        await store.tract("t").user("said")
    for title in ("Norway", "Sweden 🏔"):
        await titled(pair.source, "t", title, '{"b":1,"a":[2.50]}')
        await titled(pair.source, "only a title", title, "{}")
        await copied(pair)

        for tract_id in ("t", "only a title"):
            assert await facts(pair.target, tract_id) == await facts(pair.source, tract_id)
        assert (await facts(pair.target, "t"))["title"] == title


@pytest.mark.parametrize(("erasing", "keeping"), ["ab", "ba"])
async def test_an_erased_content_does_not_arrive_unless_another_tract_has_it(
    pair: Pair, erasing: str, keeping: str
) -> None:
    async with TractStore.open(pair.source, tokenizer=COUNTER) as store:
        lost = await store.tract(erasing).user("a secret")
        shared = await store.tract(erasing).user("kept elsewhere")
        await store.tract(keeping).user("kept elsewhere")
    await erased(pair.source, lost)
    await erased(pair.source, shared, shared=True)
    await copied(pair)

    assert await rows(pair.target) == await rows(pair.source)
    assert "a secret" not in repr(await rows(pair.target))
    assert (await facts(pair.target, erasing))["erasures"] == 4


async def test_a_content_that_was_erased_does_not_come_along_with_the_erasure(onto: Pair) -> None:
    """The other tract, which still has it, is not copied."""
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        info = await store.tract("t").user("a secret")
        await store.tract("u").user("a secret")
    await erased(onto.source, info, shared=True)
    damage(Path(onto.source), "UPDATE commits SET operation = 'x' WHERE tract_id = 'u'")
    with pytest.raises(StoreCopyError, match="'u'"):
        await copied(onto)

    assert "a secret" not in repr(await rows(onto.target))


async def test_an_erasure_after_the_first_copy_is_not_passed_over_in_silence(onto: Pair) -> None:
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        info = await store.tract("t").user("a secret")
    await copied(onto)
    await erased(onto.source, info)

    with pytest.raises(StoreCopyError, match="contents were erased in it since"):
        await copied(onto)


async def test_a_copy_of_what_was_erased_before_goes_on_where_it_was(pair: Pair) -> None:
    async with TractStore.open(pair.source, tokenizer=COUNTER) as store:
        info = await store.tract("long").user("a secret")
        await store.tract("long").erase([info.commit_hash], reason="asked")
    await long(pair.source, 600)

    def stop(step: CopyProgress) -> None:
        if step.commits == 256:
            raise Stop

    with pytest.raises(Stop):
        await copied(pair, stop)

    assert (await copied(pair)).commits == 601 - 256
    assert await rows(pair.target) == await rows(pair.source)


async def test_a_copy_does_not_go_on_over_an_erasure(pair: Pair) -> None:
    await long(pair.source, 600)

    def stop(step: CopyProgress) -> None:
        if step.commits == 256:
            raise Stop

    with pytest.raises(Stop):
        await copied(pair, stop)
    async with TractStore.open(pair.source, tokenizer=COUNTER) as store:
        [info] = await store.tract("long").log(1)
        await store.tract("long").erase([info.commit_hash], reason="asked")

    with pytest.raises(StoreCopyError, match="contents were erased in it since"):
        await copied(pair)


async def test_a_damaged_stand_in_is_reported(onto: Pair) -> None:
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        info = await store.tract("t").user("a secret")
    await erased(onto.source, info)
    damage(Path(onto.source), "UPDATE blobs SET data = 'x' WHERE data = ?", STAND_IN)

    with pytest.raises(StoreCopyError, match=f"{info.commit_hash}: its content does not have"):
        await copied(onto)


async def test_what_only_sqlite_stores_in_keys_and_titles_is_reported(onto: Pair) -> None:
    async with TractStore.open(onto.source, tokenizer=COUNTER) as store:
        info = await store.tract("t").user("said")
        await store.tract("u").user("said")
        await store.tract("v").user("said")
    await keyed(onto.source, info, "nul\0")
    await titled(onto.source, "u", "nul\0", "{}")
    await titled(onto.source, "v", "title", "[")

    with pytest.raises(StoreCopyError) as caught:
        await copied(onto)

    problems = [(fault.tract_id, fault.problem[:12]) for fault in caught.value.faults]
    assert problems == [("t", "its key has "), ("u", "its title ha"), ("v", "its metadata")]
