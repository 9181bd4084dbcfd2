"""Watching a database that a backup takes the place of, as SQLite restores it or as a new file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from support.opening import COUNTER
from support.watching import copied, nothing_more, say, take
from tract import AsyncTract, BranchReset, CommitInfo, StorageError, Watch

_RESTORE = """
import sqlite3, sys
source, target = map(sqlite3.connect, sys.argv[1:])
source.backup(target)
"""


def back_up(path: Path, *, vacuum: bool = False) -> Path:
    """Return a backup of a database, which others have open."""
    backup = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        if vacuum:
            source.execute("VACUUM INTO ?", [str(backup)])
        else:
            source.backup(target)
    return backup


async def restore(path: Path, backup: Path, *, in_process: bool = False) -> None:
    """Put a backup in a database's place the way SQLite does it, while others have it open."""
    if in_process:
        command = [sys.executable, "-c", _RESTORE, str(backup), str(path)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        return

    def copy() -> None:
        with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)

    await asyncio.to_thread(copy)


@asynccontextmanager
async def opened_twice(path: Path) -> AsyncIterator[tuple[AsyncTract, AsyncTract]]:
    """Open a tract to write to it, and to watch it."""
    async with (
        AsyncTract.open(path, tract_id="agent", tokenizer=COUNTER) as writer,
        AsyncTract.open(path, tract_id="agent", tokenizer=COUNTER) as reader,
    ):
        yield writer, reader


async def caught_up(
    tract: AsyncTract, watch: Watch[CommitInfo | BranchReset], history: list[CommitInfo]
) -> list[BranchReset]:
    """Have a copy be its branch; return the resets of which the watch told."""
    wanted = (await tract.log(None, order="context"))[::-1]
    resets: list[BranchReset] = []
    while history != wanted:
        [item] = await take(watch, 1)
        copied(history, item)
        if isinstance(item, BranchReset):
            resets.append(item)
    return resets


@pytest.mark.parametrize("vacuum", [False, True], ids=["backup", "vacuum"])
@pytest.mark.parametrize("in_process", [False, True], ids=["here", "elsewhere"])
async def test_a_restored_backup_is_told_as_a_reset(
    db_path: Path, vacuum: bool, in_process: bool
) -> None:
    """To the last commit that the backup has; what is committed then comes as ever."""
    async with opened_twice(db_path) as (writer, reader):
        kept = await say(writer, "a", "b", "c")
        backup = back_up(db_path, vacuum=vacuum)
        lost = await say(writer, "d", "e")
        watch, plain, late = reader.watch(resets=True), reader.watch(), reader.watch("head")
        assert await take(watch, 5) == await take(plain, 5) == [*kept, *lost]
        assert await nothing_more(late)
        await restore(db_path, backup, in_process=in_process)
        [reset] = await take(watch, 1)
        made = await say(writer, "f", "g")

        assert isinstance(reset, BranchReset)
        assert (reset.branch, reset.old_hash) == ("main", lost[-1].commit_hash)
        assert reset.new_hash == kept[-1].commit_hash
        assert await take(watch, 2) == await take(plain, 2) == await take(late, 2) == made
        assert await reader.log(None) == [*kept, *made][::-1]


async def test_a_backup_of_long_ago_leaves_a_copy_that_is_the_branch(db_path: Path) -> None:
    """The copy is cut back somewhat further than need be; without resets few come again."""
    async with opened_twice(db_path) as (writer, reader):
        watch, plain = reader.watch(resets=True), reader.watch()
        history: list[CommitInfo] = []
        given: list[CommitInfo] = []
        backup = db_path
        for number in range(1_000):
            await writer.user(str(number))
            if number == 300:
                backup = back_up(db_path)
            if number % 5 == 4:
                given += await take(plain, 5)
                for item in await take(watch, 5):
                    copied(history, item)
        await restore(db_path, backup)
        [last] = await say(writer, "after")
        resets = await caught_up(reader, watch, history)
        while given[-1] != last:
            given += await take(plain, 1)

        assert len(resets) == 1
        assert {info.commit_hash for info in history} <= {info.commit_hash for info in given}
        assert len(given) - len({info.commit_hash for info in given}) < 700 / 32


async def test_who_watches_from_now_on_gets_no_old_commits_from_a_backup(db_path: Path) -> None:
    """Nothing that the watch has had is in the backup, only what was there before it began."""
    async with opened_twice(db_path) as (writer, reader):
        kept = await say(writer, *map(str, range(300)))
        backup = back_up(db_path)
        await say(writer, "lost")
        async with reader.watch("head") as plain, reader.watch("head", resets=True) as watch:
            seen = await say(writer, "lost, too")
            assert await take(plain, 1) == await take(watch, 1) == seen
            await restore(db_path, backup)
            assert await nothing_more(plain)
            made = await say(writer, "new")
            reset, *everything = await take(watch, 302)

        assert await take(plain, 0) == []
        assert isinstance(reset, BranchReset)
        assert (reset.old_hash, reset.new_hash) == (seen[0].commit_hash, None)
        assert everything == [*kept, *made]


async def test_a_backup_without_the_tract_takes_everything_back(db_path: Path) -> None:
    async with opened_twice(db_path) as (writer, reader):
        async with AsyncTract.open(db_path, tract_id="rival", tokenizer=COUNTER) as rival:
            await say(rival, "there")
        backup = back_up(db_path)
        watch, plain = reader.watch(resets=True), reader.watch()
        lost = await say(writer, "a", "b")
        assert await take(watch, 2) == await take(plain, 2) == lost
        await restore(db_path, backup)
        [reset] = await take(watch, 1)
        made = await say(writer, "c")

        assert isinstance(reset, BranchReset)
        assert reset.new_hash is None
        assert await take(watch, 1) == await take(plain, 1) == made


@pytest.mark.parametrize(("read", "length"), [(1, 600), (256, 600), (300, 600), (4_300, 5_000)])
async def test_a_backup_takes_away_what_a_slow_watcher_has_still_to_read(
    db_path: Path, read: int, length: int
) -> None:
    """Also where it stands within what a merge has brought."""
    async with opened_twice(db_path) as (writer, reader):
        [first] = await say(writer, "a")
        other = await writer.fork("other")
        async with writer.batch() as batch:
            batch.commit({"content_type": "freeform", "payload": "ours"})
        backup = back_up(db_path)
        async with other.batch() as batch:
            for number in range(length):
                batch.commit({"content_type": "freeform", "payload": number})
        await writer.merge("other")
        watch, plain = reader.watch(resets=True), reader.watch()
        history: list[CommitInfo] = []
        for item in await take(watch, read):
            copied(history, item)
        given = await take(plain, read)
        await restore(db_path, backup)
        await say(writer, "b")
        await caught_up(reader, watch, history)
        last = history[-1]
        while given[-1] != last:
            given += await take(plain, 1)

        assert [info for info in history if info not in given] == []
        assert history[0] == first


async def test_a_backup_that_brings_back_what_a_reset_took_is_told_from_before_that(
    db_path: Path,
) -> None:
    """Without resets, what was yielded before the reset does not come again."""
    async with opened_twice(db_path) as (writer, reader):
        first, *taken = await say(writer, "a", "b", "c")
        backup = back_up(db_path)
        watch, plain = reader.watch(resets=True), reader.watch()
        history: list[CommitInfo] = []
        await caught_up(reader, watch, history)
        assert await take(plain, 3) == [first, *taken]
        await writer.reset(first.commit_hash)
        lost = await say(writer, "d")
        await caught_up(reader, watch, history)
        assert await take(plain, 1) == lost
        await restore(db_path, backup)
        [reset] = await caught_up(reader, watch, history)
        made = await say(writer, "e")

        assert (reset.old_hash, reset.new_hash) == (lost[0].commit_hash, first.commit_hash)
        assert await take(plain, 1) == made


async def test_a_restored_backup_with_the_same_head_is_not_noticed(db_path: Path) -> None:
    async with opened_twice(db_path) as (writer, reader):
        made = await say(writer, "a", "b")
        watch = reader.watch(resets=True)
        assert await take(watch, 2) == made
        await restore(db_path, back_up(db_path))

        assert await nothing_more(watch)
        assert await take(watch, 0) == []


# Another file at the path


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("deleted", [False, True], ids=["replaced", "deleted"])
async def test_who_waits_is_told_that_others_write_to_another_file(
    db_path: Path, resets: bool, deleted: bool
) -> None:
    async with opened_twice(db_path) as (writer, reader):
        made = await say(writer, "a", "b")
        backup = back_up(db_path)
        watch = reader.watch(resets=resets)
        assert await take(watch, 2) == made
        waiting = asyncio.create_task(take(watch, 1))
        await asyncio.sleep(0.01)
        if deleted:
            os.remove(db_path)
        else:
            os.replace(backup, db_path)

        problem = "deleted" if deleted else "replaced by another"
        with pytest.raises(StorageError, match=f"{problem}.*Other processes") as caught:
            await waiting
        assert str(db_path) in str(caught.value)
        with pytest.raises(StorageError, match=problem):
            await take(reader.watch("head"), 1)


async def test_what_was_there_comes_before_the_word_of_another_file(db_path: Path) -> None:
    async with opened_twice(db_path) as (writer, reader):
        made = await say(writer, *map(str, range(600)))
        watch = reader.watch()
        assert await take(watch, 1) == made[:1]
        os.replace(back_up(db_path), db_path)

        assert await take(watch, 599) == made[1:]
        with pytest.raises(StorageError, match="replaced"):
            await take(watch, 1)
