"""Disks and files that fail under an open store: a clear error, nothing half done, and it goes on."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random
from time import monotonic
from typing import NamedTuple

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from support.disks import (
    Unavailable,
    content_of,
    cut,
    fill,
    immutable,
    move,
    put,
    remove,
    size_of,
    small_disk,
)
from support.faults import check_kept, commit_all, opening
from support.opening import COUNTER
from tract import (
    AsyncTract,
    CommitInfo,
    StorageError,
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    TractError,
    TractStore,
    VerifyFault,
)

TEXTS = [f"{number} " * 2000 for number in range(64)]
"""A group of commits of some 8 kB each."""


# Disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    with ExitStack() as stack:
        try:
            place = stack.enter_context(small_disk(tmp_path, 4_000_000))
        except Unavailable as reason:
            pytest.skip(f"no small disk can be mounted: {reason}")
        yield place


@pytest.mark.parametrize("room", [0, 40_000, 300_000])
async def test_a_full_disk_refuses_what_does_not_fit_and_takes_it_once_there_is_room(
    disk: Path, room: int
) -> None:
    path = disk / "context.db"
    async with opening(path) as tract:
        before, _ = await commit_all(tract, "abc")
        filler = fill(disk, leaving=room)
        made, refused = await commit_all(tract, TEXTS)
        again, refused_again = await commit_all(tract, TEXTS)

        assert {type(error) for error in refused + refused_again} == {StoreFullError}
        assert "free some space" in str(refused[0])
        assert len(await tract.log(None)) == len(before + made + again)
        remove(filler)
        after, still_refused = await commit_all(tract, TEXTS)
        assert still_refused == []
    await check_kept(path, before + made + again + after)


async def test_a_disk_that_fills_up_under_a_group_takes_what_fits(disk: Path) -> None:
    """The group fails as a whole; then each of it is tried by itself."""
    path = disk / "context.db"
    async with opening(path) as tract:
        before, _ = await commit_all(tract, "abc")
        filler = fill(disk, leaving=300_000)
        made, refused = await commit_all(tract, TEXTS)

    assert len(made) > 5
    assert len(refused) > 5
    remove(filler)
    await check_kept(path, before + made)


async def test_a_store_closed_on_a_full_disk_keeps_everything(disk: Path) -> None:
    """Closing moves the log into the database, for which there is no room either."""
    path = disk / "context.db"
    async with opening(path) as tract:
        before, _ = await commit_all(tract, TEXTS)
        filler = fill(disk, leaving=0)
        made, _ = await commit_all(tract, TEXTS)
    remove(filler)

    await check_kept(path, before + made)


async def test_a_full_disk_takes_no_new_database_and_says_so(disk: Path) -> None:
    filler = fill(disk, leaving=8_000)
    path = disk / "context.db"

    with pytest.raises(StorageError) as refusal:
        async with opening(path):
            pytest.fail("it was opened")
    assert refusal.value.path == str(path)
    remove(filler)
    await check_kept(path, [])


_WRITE_ERRORS = """
import asyncio, json, os, resource, signal, sys
from support.opening import COUNTER
from support.faults import commit_all, opening
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def main(path, room):
    async with opening(path) as tract:
        before, _ = await commit_all(tract, "abc")
        size = os.stat(path + "-wal").st_size + room
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        made, refused = await commit_all(tract, [f"{n} " * 2000 for n in range(64)])
        limited = len(await tract.log(None))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        after, still = await commit_all(tract, [f"after {n}" for n in range(20)])
    made = before + made
    kinds = sorted({type(error).__name__ for error in refused})
    print(json.dumps([len(made) == limited, kinds, len(refused), len(still), str(refused[0])]))
    print(json.dumps([info.model_dump(mode="json") for info in made + after]))
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX systems")
@pytest.mark.parametrize("room", [0, 5_000, 100_000])
def test_a_write_error_in_the_middle_of_a_group_leaves_nothing_of_what_failed(
    db_path: Path, room: int
) -> None:
    """The kernel fails writes beyond a size, wherever in the group and in a page that is."""
    child = subprocess.run(
        [sys.executable, "-c", _WRITE_ERRORS, str(db_path), str(room)],
        capture_output=True,
        text=True,
        timeout=240,
        env=_with_path(),
    )
    assert child.returncode == 0, child.stderr
    facts, acknowledged = map(json.loads, child.stdout.splitlines())

    assert facts[:2] == [True, ["StorageError"]]
    assert facts[2] > 10
    assert facts[3] == 0
    assert facts[4].startswith(f"{db_path}: the database failed: disk I/O error")
    asyncio.run(check_kept(db_path, [CommitInfo.model_validate(item) for item in acknowledged]))


def _with_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


# Locks


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    """Have a process that is writing, and takes its time."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield
        process.communicate("")


async def test_a_lock_held_for_longer_than_the_busy_timeout_is_told_to_everybody(
    db_path: Path,
) -> None:
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, "abc")
        with locked_by_another_process(db_path):
            start = monotonic()
            made, refused = await commit_all(tract, TEXTS)
            took = monotonic() - start
            assert len(await tract.log(None)) == 3
            assert (await tract.compile()).head_hash == before[-1].commit_hash

        assert made == []
        assert {type(error) for error in refused} == {StoreBusyError}
        assert "busy_timeout" in str(refused[0])
        assert 0.2 <= took < 8  # a wait for each trip, not for each of the 64: that would be 12.8
        after, _ = await commit_all(tract, TEXTS)
    await check_kept(db_path, before + after)


# Files that cannot be written


async def test_a_file_made_unwritable_is_told_and_written_again_once_it_may_be(
    db_path: Path,
) -> None:
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, "abc")
        try:
            with immutable(db_path, Path(f"{db_path}-wal")):
                made, refused = await commit_all(tract, TEXTS)
                seen = await tract.log(None)
        except Unavailable as reason:
            pytest.skip(f"no file can be made immutable: {reason}")

        assert made == []
        assert {type(error) for error in refused} == {StorageError}
        assert len(seen) == 3
        after, still_refused = await commit_all(tract, TEXTS)
        assert still_refused == []
    await check_kept(db_path, before + after)


async def test_an_unwritable_file_can_be_opened_and_read(db_path: Path) -> None:
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, "abc")
    try:
        with immutable(db_path):
            async with opening(db_path) as tract:
                made, [refused] = await commit_all(tract, "d")
                seen = await tract.log(None)
    except Unavailable as reason:
        pytest.skip(f"no file can be made immutable: {reason}")

    assert made == []
    assert seen == before[::-1]
    assert "read-only" in str(refused)
    assert refused.path == str(db_path)
    await check_kept(db_path, before)


# Files that change under an open store


async def other_database(path: Path) -> list[CommitInfo]:
    """Make a database that is not ours, but of our kind."""
    async with opening(path) as tract:
        made, _ = await commit_all(tract, [f"other {number}" * 50 for number in range(40)])
    return made


@pytest.mark.parametrize("commits", [1, 3, 400], ids=["in the log", "some", "past a checkpoint"])
async def test_a_replaced_file_takes_no_commit_and_neither_file_is_harmed(
    db_path: Path, commits: int
) -> None:
    """Else commits would be acknowledged that nobody could open any more."""
    aside = db_path.with_name("aside.db")
    others = await other_database(db_path.with_name("other.db"))
    async with opening(db_path) as tract:
        mine, _ = await commit_all(tract, [f"mine {number} " * 900 for number in range(commits)])
        move(db_path, aside)
        move(db_path.with_name("other.db"), db_path)
        made, refused = await commit_all(tract, TEXTS)

        assert made == []
        assert {type(error) for error in refused} == {StorageError}
        assert "replaced by another" in str(refused[0])
        assert "open it again" in str(refused[0])
        assert refused[0].path == str(db_path)
        assert len(await tract.log(None)) == commits
    await check_kept(db_path, others)
    await check_kept(aside, mine)


async def test_an_engine_whose_file_was_replaced_takes_no_commit_either(db_path: Path) -> None:
    aside = db_path.with_name("aside.db")
    others = await other_database(db_path.with_name("other.db"))
    engine = create_async_engine(f"sqlite+aiosqlite:///{db_path}")
    async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
        mine, _ = await commit_all(store.tract("t"), "abc")
        move(db_path, aside)
        move(db_path.with_name("other.db"), db_path)
        made, refused = await commit_all(store.tract("t"), TEXTS)
        assert (made, len(refused)) == ([], 64)
    await engine.dispose()

    await check_kept(db_path, others)
    await check_kept(aside, mine)


async def test_a_deleted_file_takes_no_commit_and_can_be_read_to_save_it(db_path: Path) -> None:
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, "abc")
        remove(db_path)
        made, refused = await commit_all(tract, TEXTS)

        assert made == []
        assert "deleted" in str(refused[0])
        assert refused[0].path == str(db_path)
        assert await tract.log(None) == before[::-1]
        assert (await tract.compile()).commit_count == 3
    await check_kept(db_path, [])


async def test_a_file_moved_away_takes_commits_again_once_it_is_back(db_path: Path) -> None:
    aside = db_path.with_name("aside.db")
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, "abc")
        move(db_path, aside)
        made, _ = await commit_all(tract, TEXTS)
        assert made == []
        move(aside, db_path)
        after, refused = await commit_all(tract, TEXTS)
        assert refused == []

    await check_kept(db_path, before + after)


async def test_a_database_that_lives_on_under_another_name_is_the_same(
    db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means where the process was; a link, what it led to."""
    link = db_path.with_name("link.db")
    link.symlink_to(db_path)
    monkeypatch.chdir(db_path.parent)
    acknowledged: list[CommitInfo] = []
    for target in (db_path.name, link.name, f"sqlite:///file:{db_path.name}?uri=true"):
        async with opening(target) as tract:
            monkeypatch.chdir("/")
            made, refused = await commit_all(tract, "abc")
            assert refused == []
            acknowledged += made
        monkeypatch.chdir(db_path.parent)

    await check_kept(db_path, acknowledged)


async def test_another_programs_vacuum_is_not_taken_for_damage(db_path: Path) -> None:
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, TEXTS)
        with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
            other.execute("CREATE TABLE theirs AS SELECT randomblob(1000000) AS x")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            large = size_of(db_path)
            more, _ = await commit_all(tract, "abc")
            other.execute("DROP TABLE theirs")
            other.execute("VACUUM")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert size_of(db_path) < large - 900_000
        after, refused = await commit_all(tract, TEXTS)
        assert refused == []

    await check_kept(db_path, before + more + after)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
async def test_a_truncated_file_takes_no_commit_until_it_is_restored(
    db_path: Path, kept: float
) -> None:
    async with opening(db_path) as tract:
        before, _ = await commit_all(tract, TEXTS)
    backup = content_of(db_path)
    tract = await opening(db_path)
    await commit_all(tract, "abc")
    cut(db_path, int(len(backup) * kept) // 4096 * 4096)
    made, refused = await commit_all(tract, TEXTS)

    assert made == []
    assert {type(error) for error in refused} == {StoreCorruptError}
    assert "backup" in str(refused[0])
    assert refused[0].path == str(db_path)
    await tract.aclose()
    remove(*db_path.parent.iterdir())
    put(db_path, backup)
    await check_kept(db_path, before)


async def test_a_truncated_file_is_noticed_though_all_of_it_is_still_remembered(
    db_path: Path,
) -> None:
    """The pages that were read or written last stay in memory, and hide what is gone."""
    async with opening(db_path) as tract:
        for number in range(500):  # few pages, written often enough to be moved into the file
            await tract.user(str(number))
        assert size_of(db_path) > 100_000
        cut(db_path, size_of(db_path) // 2 // 4096 * 4096)
        made, refused = await commit_all(tract, "def")

    assert made == []
    assert {type(error) for error in refused} == {StoreCorruptError}
    assert "truncated" in str(refused[0])


async def sound_database(path: Path) -> tuple[bytes, Facts]:
    """Return a database as the bytes of its file and as what is read from it."""
    async with opening(path) as tract:
        for number in range(60):
            await tract.user(
                f"{number} " * (1 + number * number % 700),
                message="mëssage",
                generation_config={"n": number},
            )
        side = await tract.fork("side")
        picked = await side.user("on the side")
        await tract.user("beside it")
        await tract.merge("side")
        await tract.cherry_pick(picked.commit_hash)
        await tract.record_usage({"prompt_tokens": 1, "completion_tokens": 1})
        await side.reset(picked.commit_hash)
        facts = await all_facts(tract)
    return content_of(path), facts


class Facts(NamedTuple):
    """What can be read from a database, without what no hash holds."""

    infos: list[CommitInfo]
    messages: list[dict[str, object]]
    faults: tuple[VerifyFault, ...]


_IN_NO_HASH = {"message": None, "generation_config": None}


async def all_facts(tract: AsyncTract) -> Facts:
    faults = (await tract.verify()).faults
    infos = [info.model_copy(update=_IN_NO_HASH) for info in await tract.log(None)]
    await tract.query_by_config("n", ">=", 0)
    await tract.reflog()
    await tract.origins()
    await tract.branches()
    return Facts(infos, (await tract.compile()).to_dicts(), faults)


async def damage_is_told(path: Path, data: bytes, truth: Facts) -> bool:
    """Read all of a database that has *data*; tell whether it was called damaged.

    Where it was not, it must be as it was; where reading fails, the error names the path.
    """
    put(path, data)
    facts: Facts | TractError
    try:
        async with opening(path) as tract:
            facts = await all_facts(tract)
    except TractError as error:
        facts = error

    if isinstance(facts, TractError):
        assert not isinstance(facts, StorageError) or facts.path == str(path)
        return True
    assert facts.faults or facts == truth
    return bool(facts.faults)


_READ = {
    *("sqlite_schema", "_tract_meta", "refs", "commits", "blobs", "ix_commits_created_at"),
    *("sqlite_autoindex_commits_1", "sqlite_autoindex_blobs_1"),
}
"""What a history is read from, so that nothing can be amiss with it unnoticed."""


def pages_that_are_read(path: Path) -> set[int]:
    """Return where in the file the pages are that a history is read from."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            rows = connection.execute("SELECT name, pageno FROM dbstat").fetchall()
        except sqlite3.OperationalError:
            pytest.skip("this build of SQLite does not tell what its pages hold")
    return {(number - 1) * 4096 for name, number in rows if name in _READ}


@pytest.mark.parametrize("overwriting", ["noise", "zeros", "another page"])
async def test_an_overwritten_page_is_told_wherever_it_is(tmp_path: Path, overwriting: str) -> None:
    sound, truth = await sound_database(tmp_path / "sound.db")
    put(tmp_path / "copy.db", sound)
    read = pages_that_are_read(tmp_path / "copy.db")
    dice = Random(overwriting)
    told = set[int]()
    same = set[int]()
    for page in range(0, len(sound), 4096):
        other = dice.randrange(len(sound) // 4096) * 4096
        new = {
            "noise": dice.randbytes(4096),
            "zeros": bytes(4096),
            "another page": sound[other : other + 4096],
        }[overwriting]
        damaged = sound[:page] + new + sound[page + 4096 :]
        if damaged == sound:
            same.add(page)
        elif await damage_is_told(tmp_path / f"{page}.db", damaged, truth):
            told.add(page)

    assert len(read) > 20
    assert read <= told | same


@pytest.mark.unmeasured
async def test_a_flipped_bit_anywhere_is_told_or_changes_nothing_that_is_hashed(
    tmp_path: Path,
) -> None:
    sound, truth = await sound_database(tmp_path / "sound.db")
    dice = Random(4)
    told = 0
    for _ in range(120):
        flipped = bytearray(sound)
        flipped[dice.randrange(len(sound))] ^= 1 << dice.randrange(8)
        told += await damage_is_told(tmp_path / "flipped.db", bytes(flipped), truth)

    assert told > 30
