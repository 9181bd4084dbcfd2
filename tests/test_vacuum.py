"""`vacuum()`: free space is given back, and no byte is left of what was erased."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from support.effort import effort
from support.opening import COUNTER
from support.probes import probe, workers_of
from tract import (
    AsyncTract,
    CommitInfo,
    DialogueContent,
    MediaPart,
    MessageContent,
    Priority,
    StorageError,
    StoreBusyError,
    StoreClosedError,
    StoreReadOnlyError,
    TractConfig,
    TractStore,
    VacuumReport,
)

MARKER = re.compile(rb"zq[0-9]{4}x")


def content(path: Path) -> bytes:
    return path.read_bytes()


def markers(path: Path) -> list[bytes]:
    """Return what is left of erased texts in a database and its companions."""
    beside = [Path(f"{path}{end}") for end in ("", "-wal", "-shm")]
    return MARKER.findall(b"".join(each.read_bytes() for each in beside if each.exists()))


async def _edit(tract: AsyncTract, text: str) -> CommitInfo:
    entry = await tract.user("harmless")
    content = DialogueContent(role="user", text=text)
    return await tract.commit(content, operation="edit", edit_target=entry.commit_hash)


async def _reason(tract: AsyncTract, text: str) -> CommitInfo:
    entry = await tract.user("harmless")
    await tract.annotate(entry.commit_hash, Priority.PINNED, reason=text)
    return (await tract.log(1))[0]


async def _usage(tract: AsyncTract, text: str) -> CommitInfo:
    made = await tract.user("harmless")
    await tract.record_usage({"prompt_tokens": 7, "completion_tokens": 1, "note": text})
    return made


async def _image(tract: AsyncTract, text: str) -> CommitInfo:
    data = b"\x89PNG" + text.encode()
    part = MediaPart(kind="image", data=data, media_type="image/png")
    return await tract.commit(MessageContent(role="user", parts=(part,)))


async def _streamed(tract: AsyncTract, text: str) -> CommitInfo:
    async with tract.stream() as stream:
        for word in text.split(" "):
            await stream.write(word)
    return (await tract.log(1))[0]


async def _tools(tract: AsyncTract, text: str) -> CommitInfo:
    tool = {"type": "function", "function": {"name": "look", "description": text}}
    return await tract.tools([tool])


PLACES: Mapping[str, Callable[[AsyncTract, str], Awaitable[CommitInfo]]] = {
    "content": lambda t, text: t.user(text),
    "long": lambda t, text: t.user(text * 300),
    "state": lambda t, text: t.state({"of": text}),
    "message": lambda t, text: t.user("harmless", message=text),
    "metadata": lambda t, text: t.user("harmless", metadata={"of": text}),
    "config": lambda t, text: t.user("harmless", generation_config={"user": text}),
    "key": lambda t, text: t.user("harmless", key=text[:300]),
    "edit": _edit,
    "reason": _reason,
    "usage": _usage,
    "tools": _tools,
    "image": _image,
    "streamed": _streamed,
}


async def _marked(tracts: list[AsyncTract], number: int, rng: Random) -> dict[str, list[str]]:
    """Commit texts with markers in all places, among others; return their hashes by tract."""
    made: dict[str, list[str]] = {tract.tract_id: [] for tract in tracts}
    places = [*PLACES.values()]
    for at in range(number):
        tract = rng.choice(tracts)
        text = f"{rng.randrange(10**9)} zq{at:04}x " + "and so on " * rng.choice([0, 8, 90])
        made[tract.tract_id].append((await places[at % len(places)](tract, text)).commit_hash)
        if rng.random() < 0.3:
            await tract.user(f"stays {at} " * rng.choice([1, 50]), key=f"{rng.random()}")
    return made


@pytest.mark.parametrize("number", [130, pytest.param(910, marks=pytest.mark.long)])
@pytest.mark.parametrize("at_last", ["vacuum", "erase"])
async def test_no_byte_of_the_files_has_what_was_erased_in_any_place(
    db_path: Path, number: int, at_last: str
) -> None:
    """Rows that were moved between pages before they were erased have left no copies."""
    rng = Random(number)
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.create_config_index("user")
        tracts = [store.tract(f"t{each}") for each in range(3)]
        made = await _marked(tracts, number, rng)
        assert len({*markers(db_path)}) == number
        shown = [(await tract.compile(include_erased=True)).commit_count for tract in tracts]
        for tract in tracts:
            hashes = made[tract.tract_id]
            rng.shuffle(hashes)
            for start in range(0, len(hashes), 25):
                receipt = await tract.erase(hashes[start : start + 25], reason="asked")
                assert receipt.pending == "vacuum"

        if at_last == "vacuum":
            pending = (await store.vacuum()).pending
        else:
            pending = (await tracts[0].erase([], reason="asked", vacuum=True)).pending

        assert pending is None
        assert markers(db_path) == []
        assert shown == [
            (await tract.compile(include_erased=True)).commit_count for tract in tracts
        ]
        assert [(await tract.verify()).faults for tract in tracts] == [(), (), ()]
    assert markers(db_path) == []


async def test_a_tract_can_be_erased_without_a_trace_in_one_call(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await _marked([store.tract("gone")], 60, Random(1))
        await store.tract("stays").user("stays")

        receipt = await store.erase_tract("gone", reason="asked", vacuum=True)

        assert receipt.pending is None
        assert markers(db_path) == []
        assert await store.tract_ids() == ["stays"]


async def test_what_was_deleted_without_being_overwritten_goes(db_path: Path) -> None:
    """As by releases, or other programs, that did not ask SQLite for `secure_delete`."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("stays")
    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute("PRAGMA secure_delete = OFF").fetchall()
        connection.execute("CREATE TABLE others (text TEXT)")
        for number in range(300):
            connection.execute("INSERT INTO others VALUES (?)", (f"zq{number:04}x",))
        connection.execute("DELETE FROM others WHERE rowid % 30 > 0")
        connection.execute("UPDATE others SET text = ''")
        connection.commit()
    assert markers(db_path)

    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        assert (await store.vacuum()).pending is None
        assert markers(db_path) == []


async def test_free_space_is_given_back_and_everything_stays(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        for number in range(40):
            await store.tract("gone").user(f"{number} " * 4000)
        kept = await store.tract("kept").user("kept", key="k")
        await store.erase_tract("gone", reason="asked")

        report = await store.vacuum()

        assert isinstance(report, VacuumReport)
        assert report.seconds > 0
        info = await store.info()
        assert info.nbytes == report.nbytes
        assert info.free_nbytes in (0, None)
        if info.engine == "sqlite":  # a server keeps the room for what comes
            assert report.nbytes < report.nbytes_before / 2
        assert await store.tract("kept").get_by_keys(["k"]) == {"k": kept}
        await store.tract("kept").user("goes on")
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert len(await store.tract("kept").log(None)) == 2
        assert (await store.tract("kept").verify()).faults == ()


async def test_an_empty_store_and_one_in_memory_take_it(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert (await store.vacuum()).pending is None
        assert await store.tract_ids() == []
    async with TractStore.open(tokenizer=COUNTER) as store:
        made = await store.tract("t").user("a")
        assert (await store.vacuum()).pending is None
        assert await store.tract("t").head() == made.commit_hash
    with pytest.raises(StoreClosedError):
        await store.vacuum()


async def test_other_openings_read_and_write_meanwhile_and_afterwards(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        for number in range(100):
            await one.tract("t").user(f"{number} " * 1000)

        async def write() -> None:
            for number in range(20):
                await two.tract("t").user(f"meanwhile {number}")
                assert (await two.tract("t").log(1))[0].message is None

        await asyncio.gather(one.vacuum(), write(), one.tract("t").user("mine"), two.vacuum())

        for store in (one, two):
            assert len(await store.tract("t").log(None)) == 121
            assert (await store.tract("t").verify()).faults == ()


async def test_it_waits_for_a_writer_as_long_as_any_write_does(db_path: Path) -> None:
    config = TractConfig(busy_timeout=0.1)
    async with TractStore.open(db_path, config=config, tokenizer=COUNTER) as store:
        await store.tract("t").user("a")
        with closing(sqlite3.connect(db_path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusyError):
                await store.vacuum()
        assert (await store.vacuum()).pending is None


async def test_a_reader_elsewhere_keeps_the_log_and_the_report_says_so(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("a")
        with closing(sqlite3.connect(db_path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM commits").fetchall()
            held_up = await store.vacuum()
        again = await store.vacuum()

        assert (held_up.pending, again.pending) == ("log", None)


async def test_a_file_that_was_replaced_is_not_written_to(db_path: Path, tmp_path: Path) -> None:
    async with TractStore.open(tmp_path / "other.db", tokenizer=COUNTER) as other:
        await other.tract("theirs").user("theirs")
    store = await TractStore.open(db_path, tokenizer=COUNTER)
    await store.tract("t").user("a")
    os.replace(tmp_path / "other.db", db_path)
    before = content(db_path)

    with pytest.raises(Exception, match="replaced"):
        await store.vacuum()
    await store.aclose()

    assert content(db_path) == before


async def test_the_file_is_looked_at_while_nobody_can_write(db_path: Path, tmp_path: Path) -> None:
    """A log that grows during the look would seem to be cut.

    The file is another one only from just before the lock is taken until just before it is released.
    """
    other, aside = tmp_path / "other.db", tmp_path / "aside.db"
    async with TractStore.open(other, tokenizer=COUNTER):
        pass

    def traced(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            os.replace(db_path, aside)
            os.replace(other, db_path)
        elif statement == "ROLLBACK":
            os.replace(db_path, other)
            os.replace(aside, db_path)

    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("a")
        [writer, *_] = workers_of(probe(store).parts.database)
        await writer.run(lambda raw: raw.set_trace_callback(traced))
        with pytest.raises(StorageError, match="replaced"):
            await store.vacuum()
        await writer.run(lambda raw: raw.set_trace_callback(None))
        await store.tract("t").user("b")

        assert len(await store.tract("t").log(None)) == 2


async def test_a_store_that_is_read_only_is_left_as_it_is(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("a")
    before = content(db_path)
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        with pytest.raises(StoreReadOnlyError):
            await store.vacuum()
    assert content(db_path) == before


async def left_after(seconds: float, store: TractStore) -> float:
    """Vacuum for some seconds at most, and return how many it took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await store.vacuum()
    return loop.time() - start


async def test_a_caller_that_is_cancelled_ends_it_soon_and_loses_nothing(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        async with tract.batch() as batch:
            for number in range(4000):
                batch.commit(DialogueContent(role="user", text=f"{number} " * 400))
        head = await tract.head()
        whole = (await store.vacuum()).seconds
        for share in (0.0, 0.1, 0.3, 0.9, 1.0):
            took = await left_after(share * whole, store)
            for _ in range(4):  # others may take the machine from an attempt
                if share < 0.2 and took >= 0.8 * whole:
                    took = await left_after(share * whole, store)
            assert share >= 0.2 or took < 0.8 * whole
            assert await tract.head() == head
        await tract.user("goes on")
        assert (await tract.verify()).faults == ()
    with closing(sqlite3.connect(db_path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


_PROGRAM = """
import asyncio, sys
from support.opening import COUNTER
from tract import TractStore

async def main():
    async with TractStore.open(sys.argv[1], tokenizer=COUNTER) as store:
        tract = store.tract("t")
        print(flush=True)
        while True:
            made = await tract.user("zq0000x " * 300)
            await tract.erase([made.commit_hash], reason="asked", vacuum=True)

asyncio.run(main())
"""
_PATHS = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])


@pytest.mark.parametrize("kills", [1, pytest.param(effort(6, 20), marks=pytest.mark.long)])
async def test_a_killed_process_leaves_a_whole_store(db_path: Path, kills: int) -> None:
    rng = Random(kills)
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        async with store.tract("t").batch() as batch:
            for number in range(300):
                batch.commit(DialogueContent(role="user", text=f"{number} " * 400))
    least = 300
    for _ in range(kills):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM, str(db_path)),
            env={**os.environ, "PYTHONPATH": _PATHS},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            made = len(await store.tract("t").log(None))
            assert made >= least
            least = made
            assert (await store.tract("t").verify()).faults == ()
            log = await store.tract("t").log(1)
            await store.tract("t").erase(
                [each.commit_hash for each in log], reason="asked", vacuum=True
            )
        assert markers(db_path) == []
