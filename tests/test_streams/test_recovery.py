"""What a killed process leaves of its streams: found once its lease is over, and taken once."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support import sse
from support.opening import later, with_clock
from tract import (
    BranchNotFoundError,
    DialogueContent,
    LeftStream,
    NativeContent,
    NullTokenCounter,
    StoreClosedError,
    TractStore,
)
from tract.engine.streams.leases import HEARTBEAT, LEASE, current_owner, has_lapsed

COUNTER = NullTokenCounter()
ANOTHER = json.dumps({"token": "0" * 32, "lease": LEASE})

_WRITER = """
import asyncio, sys
from tract import NullTokenCounter, TractStore

async def main(path):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        config = {"model": "m"}
        async with store.tract("agent").stream(generation_config=config) as stream:
            for number in range(100_000):
                await stream.write(f"{number} ")
                print(number, flush=True)
                await asyncio.sleep(0.001)

asyncio.run(main(sys.argv[1]))
"""

_CLOSER = """
import asyncio, sys
from tract import NullTokenCounter, TractStore

async def main(path):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        stream = store.tract("agent").stream()
        await stream.__aenter__()
        await stream.write("what came")

asyncio.run(main(sys.argv[1]))
"""

_SILENT = """
import asyncio, sys
from tract import NullTokenCounter, TractStore

async def main(path):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        async with store.tract("agent").stream() as stream:
            await stream.write("x" * 20_000)
            await stream.write("y")
            print("written", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

asyncio.run(main(sys.argv[1]))
"""

_RECOVERER = """
import asyncio, sys
from tract import NullTokenCounter, TractStore

async def main(path):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        left = await store.recover_streams()
        print("ready", flush=True)
        sys.stdin.readline()
        print(sum([len(await stream.commit()) for stream in left]), flush=True)

asyncio.run(main(sys.argv[1]))
"""


@contextmanager
def python(source: str, target: Path | str) -> Iterator[subprocess.Popen[str]]:
    """Run *source*; whatever happens, it has ended and been waited for afterwards."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", source, str(target)], **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def written_for(process: subprocess.Popen[str], seconds: float) -> int:
    """Read what the writer says it wrote, for some time from its first word; return the last."""
    assert process.stdout is not None
    last = int(process.stdout.readline())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        last = int(process.stdout.readline())
    return last


async def left_of_another(target: Path | str) -> list[LeftStream]:
    """Wait for what a process has spooled that writes on, and judge it by a clock that is ahead."""
    async with await later(target, LEASE + 1) as store:
        return await left_in(store)


async def left_in(store: TractStore) -> list[LeftStream]:
    """Return what is left in *store* as soon as something is: a busy machine spools late."""
    while not (left := await store.recover_streams()):  # noqa: ASYNC110  (nobody tells of it)
        await asyncio.sleep(0.01)
    return left


def spooled_streams(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT count(DISTINCT stream_id) FROM spool").fetchone()
    return int(rows[0])


def leave(
    path: Path, text: str, tract_id: str = "agent", owner: str = '{"pid": 1}', hours: int = -1
) -> None:
    """Write a stream into the spool that another host left an hour ago, or some *hours* from now."""
    then = time.time_ns() // 1000 + hours * 3_600_000_000
    opening = {"role": "assistant", "started_at": then, "generation_config": {"model": "m"}}
    data = json.dumps([["opening", opening], ["text", text]])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO spool VALUES (?, ?, 0, 'main', ?, ?, ?)",
            (tract_id, os.urandom(8).hex(), owner, data, then),
        )
        connection.commit()


async def new_store(path: Path) -> None:
    async with TractStore.open(path, tokenizer=COUNTER):
        pass


def test_a_killed_process_loses_at_most_its_last_second(target: Path | str) -> None:
    with python(_WRITER, target) as process:
        before = written_for(process, 1.5)
        written = written_for(process, 2.5)
        process.kill()

        async def recover() -> None:
            async with TractStore.open(target, tokenizer=COUNTER) as store:
                assert await store.recover_streams() == []  # its lease runs on
            async with await later(target, LEASE) as store:
                [left] = await store.recover_streams()
                numbers = left.text.split()
                assert numbers == [str(number) for number in range(len(numbers))]
                assert len(numbers) > before  # which was spooled more than two seconds ago
                assert len(numbers) <= written + 100  # nothing but what was written
                [info] = await left.commit()
                content: Any = await store.tract("agent").get_content(info.commit_hash)
                assert content.text == left.text
                assert info.generation_config == {"model": "m"}
                assert info.metadata == {"interrupted": True, "reason": "recovered"}
                assert await store.recover_streams() == []

        asyncio.run(recover())


def test_the_stream_of_a_living_process_is_not_taken(db_path: Path) -> None:
    with python(_WRITER, db_path):
        assert len(asyncio.run(left_of_another(db_path))) == 1

        async def recover() -> list[Any]:
            async with TractStore.open(db_path, tokenizer=COUNTER) as store:
                return list(await store.recover_streams())

        assert asyncio.run(recover()) == []


async def test_a_stream_of_this_process_is_not_taken_by_another_store(db_path: Path) -> None:
    async with (
        TractStore.open(db_path, tokenizer=COUNTER) as writing,
        TractStore.open(db_path, tokenizer=COUNTER) as looking,
    ):
        async with writing.tract("agent").stream() as stream:
            await stream.write("x" * 20_000)
            await stream.write("y")
            while spooled_streams(db_path) == 0:  # noqa: ASYNC110  (the disk tells nobody)
                await asyncio.sleep(0.01)

            assert await looking.recover_streams() == []
        assert spooled_streams(db_path) == 0


def test_of_two_processes_that_recover_one_stream_one_commits_it(target: Path | str) -> None:
    with python(_CLOSER, target) as process:
        assert process.wait(240) == 0
    with python(_RECOVERER, target) as first, python(_RECOVERER, target) as second:
        both = [first, second]
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        outcomes = [process.communicate("go\n", timeout=240)[0] for process in both]

    assert sorted(outcomes) == ["0\n", "1\n"]


async def test_one_stream_committed_twice_at_once_is_committed_once(db_path: Path) -> None:
    await new_store(db_path)
    leave(db_path, "left behind")
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        [left], [again] = await store.recover_streams(), await store.recover_streams()
        made = await asyncio.gather(left.commit(), again.commit())

        assert sorted(map(len, made)) == [0, 1]
        assert len(await store.tract("agent").log()) == 1


async def test_what_was_left_can_be_dropped(db_path: Path) -> None:
    await new_store(db_path)
    leave(db_path, "left behind")
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()
        await left.drop()

        assert await store.recover_streams() == []
        assert await left.commit() == []
        assert await store.tract_ids() == []


async def test_streams_go_back_to_their_own_tracts(db_path: Path) -> None:
    await new_store(db_path)
    for name in ("ann", "bob"):
        leave(db_path, f"of {name}", tract_id=name)
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        for left in await store.recover_streams():
            await left.commit()

        for name in ("ann", "bob"):
            assert (await store.tract(name).compile()).messages[0].content == f"of {name}"


async def test_what_was_left_on_a_deleted_branch_makes_no_new_one(target: Path | str) -> None:
    """It is kept, for whoever makes the branch again, or reads its text."""
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        main = store.tract("agent")
        first = await main.user("hi")
        fork = await main.fork("experiment")
        stream = fork.stream()
        await stream.__aenter__()
        await stream.write("half a rep")
        await main.delete_branch("experiment")
        with pytest.raises(BranchNotFoundError):
            await stream.__aexit__(None, None, None)
        [left] = await store.recover_streams()
        with pytest.raises(BranchNotFoundError):
            await left.commit()

        assert left.text == "half a rep"
        assert [info.name for info in await main.branches()] == ["main"]

        await main.fork("experiment")
        [info] = await left.commit()

        assert info.parent_hash == first.commit_hash
        assert await store.recover_streams() == []


async def test_the_first_words_on_a_branch_can_be_recovered(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        stream = store.tract("agent", branch="new").stream()
        await stream.__aenter__()
        await stream.write("half a rep")
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()
        [info] = await left.commit()

        assert await store.tract("agent", branch="new").head() == info.commit_hash


async def test_streams_begin_and_are_left_by_the_stores_own_clock(db_path: Path) -> None:
    """A stream counts as left after 15 seconds without a sign, whatever the machine's clock says."""
    now = 1_000_000_000_000_000

    async def opened() -> TractStore:
        return await with_clock(db_path, lambda: now)

    async with await opened() as store:
        stream = store.tract("agent").stream()
        await stream.__aenter__()
        await stream.write("what came")
    async with await opened() as store:
        [left] = await store.recover_streams()

        assert left.started_at == left.touched_at == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)

    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute("UPDATE spool SET owner = ?", (ANOTHER,))
        connection.commit()
    async with await opened() as store:
        now += int(LEASE * 1_000_000)
        assert await store.recover_streams() == []
        now += 1
        assert [left.text for left in await store.recover_streams()] == ["what came"]


def test_what_a_closed_store_left_is_found_at_once_by_another_process(target: Path | str) -> None:
    with python(_CLOSER, target) as process:
        assert process.wait(240) == 0

    async def recover() -> None:
        async with TractStore.open(target, tokenizer=COUNTER) as store:
            [left] = await store.recover_streams()
            assert left.text == "what came"
            assert len(await left.commit()) == 1

    asyncio.run(recover())


def test_who_waits_gets_what_a_process_left_that_was_killed_just_now(target: Path | str) -> None:
    ahead = 0.0

    def clock() -> int:
        return time.time_ns() // 1000 + int(ahead * 1_000_000)

    with python(_WRITER, target) as process:
        written_for(process, 0)
        asyncio.run(left_of_another(target))
        process.kill()

    async def recover() -> None:
        nonlocal ahead
        async with await with_clock(target, clock) as store:
            assert await store.recover_streams() == []
            ahead = LEASE - 2
            began = time.monotonic()
            [left] = await store.recover_streams(wait=True)

            assert time.monotonic() - began < 0.8 * LEASE  # what is left of it, not another one
            assert left.text.startswith("0 1 2 ")
            assert await left.commit() != []

    asyncio.run(recover())


@pytest.mark.parametrize("lease", [1.0, LEASE + 2])
async def test_waiting_finds_what_a_machine_left_whose_clock_was_ahead(
    db_path: Path, lease: float
) -> None:
    """It gave no sign while it was watched for its owner's lease, though its last seems new."""
    owner = json.dumps({"token": "t", "lease": lease})

    async def give_sign() -> None:
        await asyncio.sleep(0.5)
        with closing(sqlite3.connect(db_path)) as connection:
            connection.execute(
                "UPDATE spool SET updated_at = updated_at + 1 WHERE tract_id = 'alive'"
            )
            connection.commit()

    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        leave(db_path, "what came", owner=owner, hours=1)
        leave(db_path, "what comes", "alive", owner, hours=1)
        assert await store.recover_streams() == []
        left, _ = await asyncio.gather(store.recover_streams(wait=True), give_sign())

        assert [stream.text for stream in left] == ["what came"]
        assert len(await left[0].commit()) == 1


def test_waiting_ends_with_the_next_sign_of_those_who_live(db_path: Path) -> None:
    with python(_WRITER, db_path) as process:
        written_for(process, 0)

        async def recover() -> None:
            await left_of_another(db_path)
            async with TractStore.open(db_path, tokenizer=COUNTER) as store:
                began = time.monotonic()
                assert await store.recover_streams(wait=True) == []
                assert time.monotonic() - began < 0.8 * LEASE

        asyncio.run(recover())


def test_a_store_can_be_closed_while_somebody_waits_for_leases(db_path: Path) -> None:
    with python(_SILENT, db_path) as process:
        assert process.stdout is not None
        process.stdout.readline()

        async def recover() -> None:
            await left_of_another(db_path)
            store = await TractStore.open(db_path, tokenizer=COUNTER)
            waiting = asyncio.create_task(store.recover_streams(wait=True))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await store.aclose()
            with pytest.raises(StoreClosedError):
                await waiting
            assert time.monotonic() - began < HEARTBEAT

        asyncio.run(recover())


def test_a_silent_stream_gives_signs_of_life(db_path: Path) -> None:
    with python(_SILENT, db_path) as process:
        assert process.stdout is not None
        process.stdout.readline()

        async def touched() -> datetime:
            [left] = await left_of_another(db_path)
            return left.touched_at

        first = second = asyncio.run(touched())
        deadline = time.monotonic() + LEASE  # by then others would take it
        while second == first and time.monotonic() < deadline:
            time.sleep(0.5)
            second = asyncio.run(touched())
        assert process.communicate("go on\n", timeout=240)[0] == ""

    assert second > first


def test_who_lost_a_stream_to_another_is_told_and_nothing_is_lost_or_committed_twice(
    target: Path | str,
) -> None:
    """The clocks of two machines differ by more than a lease, say, or one of them was suspended."""
    with python(_WRITER, target) as process:
        written_for(process, 0)

        async def take() -> str:
            async with await later(target, LEASE + 1) as store:
                [left] = await left_in(store)
                assert len(await left.commit()) == 1
                return left.text

        taken = asyncio.run(take())
        assert process.stdout is not None
        last = list(process.stdout)[-2:]
        assert process.wait(240) == 1

    async def rest() -> str:
        async with TractStore.open(target, tokenizer=COUNTER) as store:
            [left] = await store.recover_streams()
            [info] = await left.commit()
            assert info.generation_config == {"model": "m"}
            assert info.metadata == {"interrupted": True, "reason": "error: StreamRecoveredError"}
            assert len(await store.tract("agent").log()) == 2
            return left.text

    numbers = (taken + asyncio.run(rest())).split()
    assert numbers == [str(number) for number in range(len(numbers))]
    assert int(numbers[-1]) >= int(last[-1])


@pytest.mark.parametrize("dropped", [False, True], ids=["committed", "dropped"])
def test_a_stream_that_was_recovered_meanwhile_is_not_committed_at_its_end(
    db_path: Path, dropped: bool
) -> None:
    with python(_SILENT, db_path) as process:
        assert process.stdout is not None
        process.stdout.readline()

        async def take() -> None:
            async with await later(db_path, LEASE + 1) as store:
                [left] = await left_in(store)
                await (left.drop() if dropped else left.commit())

        asyncio.run(take())
        process.communicate("go on\n", timeout=240)
        assert process.returncode == 1

    async def rest() -> None:
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            texts = [left.text for left in await store.recover_streams()]
            assert texts in ([], ["y"])
            assert len(await store.tract("agent").log()) == (0 if dropped else 1)

    asyncio.run(rest())


def test_what_its_process_goes_on_with_is_neither_committed_nor_dropped(db_path: Path) -> None:
    with python(_WRITER, db_path) as process:
        written_for(process, 0)

        async def take() -> None:
            async with await later(db_path, LEASE + 1) as store:
                [left] = first = await left_in(store)
                while first[0].touched_at == left.touched_at:  # it is saved again
                    await asyncio.sleep(0.05)
                    first = await store.recover_streams()
                assert await left.commit() == []
                await left.drop()
                assert len(await store.recover_streams()) == 1

        asyncio.run(take())


async def test_a_stream_that_two_owners_have_written_is_listed_once(db_path: Path) -> None:
    """Earlier versions let that happen."""
    await new_store(db_path)
    leave(db_path, "left behind")
    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute(
            "INSERT INTO spool SELECT tract_id, stream_id, 1, branch, 'another', "
            '\'[["text", " by two"]]\', updated_at + 1 FROM spool'
        )
        connection.commit()
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()

        assert left.text == "left behind by two"


async def test_a_store_without_streams_has_none_left(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert await store.recover_streams() == []


# Leases


def quiet(seconds: float) -> int:
    return int(seconds * 1_000_000)


def test_an_owner_is_a_random_name_and_tells_how_long_its_leases_are() -> None:
    told = json.loads(current_owner())

    assert set(told) == {"token", "lease"}
    assert re.fullmatch("[0-9a-f]{32}", told["token"])
    assert told["lease"] == LEASE


def test_a_lease_ends_fifteen_seconds_after_the_last_sign() -> None:
    assert LEASE == 15
    assert not has_lapsed(current_owner(), quiet(15))
    assert has_lapsed(current_owner(), quiet(15) + 1)


def test_an_owner_may_have_longer_leases() -> None:
    theirs = json.dumps({"token": "t", "lease": 100.0})

    assert not has_lapsed(theirs, quiet(100))
    assert has_lapsed(theirs, quiet(100) + 1)


def test_a_lease_does_not_end_where_the_clock_goes_back() -> None:
    assert not has_lapsed(current_owner(), -quiet(1000))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_process_is_another_owner() -> None:
    source = (
        "import os; from tract.engine.streams.leases import current_owner as o; a = o();\n"
        "if os.fork() == 0: os._exit(o() == a)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]), o() == a)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )

    assert done.stdout == "0 True\n"


@pytest.mark.parametrize(
    "theirs",
    ["{}", "nonsense", "[]", '{"pid": 1}', '{"lease": "1"}', '{"lease": -1.0}', '{"lease": 1e9}'],
)
def test_an_owner_who_tells_no_sound_lease_has_a_minute(theirs: str) -> None:
    assert not has_lapsed(theirs, quiet(60))
    assert has_lapsed(theirs, quiet(60) + 1)


# streams that earlier releases saved


FORMER: list[Any] = [
    ["opening", {"role": "assistant", "name": None, "message": "a note", "metadata": {"try": 1}}],
    ["model", "claude-sonnet-4"],
    ["id", "msg_1"],
    ["usage", {"input_tokens": 30, "output_tokens": 1}],
    ["reasoning", "Oslo, "],
    ["reasoning", "then."],
    ["signature", "c2lnbmVk"],
    ["redacted", "aGlkZGVu"],
    ["text", "Let me look."],
    ["call", 2, "toolu_1", "find", None],
    ["call", 2, None, None, '{"to": "Oslo"}'],
    ["call", 3, "toolu_2", "get", '{"city": '],
    ["usage", {"output_tokens": 12}],
    ["ended", "error: ConnectionError"],
]
"""What a release that knew no deltas saved of a stream that was cut in its second call."""


def spool_former(path: Path, frames: list[Any]) -> None:
    then = time.time_ns() // 1000 - 3_600_000_000
    with closing(sqlite3.connect(path)) as connection:
        for number, part in enumerate((frames[:7], frames[7:])):
            connection.execute(
                "INSERT INTO spool VALUES ('agent', 'former', ?, 'main', '', ?, ?)",
                (number, json.dumps(part), then),
            )
        connection.commit()


async def test_a_recording_that_an_earlier_release_saved_is_recovered_whole(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        asked = await store.tract("agent").user("q")
    opening, *rest = FORMER
    spool_former(db_path, [[opening[0], {**opening[1], "head": asked.commit_hash}], *rest])
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()
        assert left.text == "Let me look."
        assert [call.name for call in left.tool_calls] == ["find"]
        [said] = await left.commit()
        tract = store.tract("agent")
        content = await tract.get_content(said.commit_hash, as_=NativeContent)
        shown = await tract.compile(at_commit=asked.commit_hash)

        assert await store.recover_streams() == []
    assert content.item["reasoning_content"] == "Oslo, then."
    assert content.item["content"] == "Let me look."
    function = {"name": "find", "arguments": '{"to": "Oslo"}'}
    assert content.item["tool_calls"] == [
        {"id": "toolu_1", "type": "function", "function": function}
    ]
    assert said.message == "a note"
    assert said.metadata == {
        "try": 1,
        "model": "claude-sonnet-4",
        "response_id": "msg_1",
        "interrupted": True,
        "reason": "error: ConnectionError",
        "signatures": ["c2lnbmVk"],
        "redacted": ["aGlkZGVu"],
        "unfinished_tool_calls": [{"id": "toolu_2", "name": "get", "arguments": '{"city": '}],
    }
    assert shown.token_source == "api:30+12"


async def test_plain_text_that_an_earlier_release_saved_keeps_its_role_and_name(
    db_path: Path,
) -> None:
    await new_store(db_path)
    opening = {"role": "user", "name": "Ann", "metadata": None, "generation_config": {"t": 1}}
    spool_former(db_path, [["opening", opening], ["text", "half "], ["text", "a word"]])
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()
        [said] = await left.commit()
        content = await store.tract("agent").get_content(said.commit_hash)

    assert content == DialogueContent(role="user", text="half a word", name="Ann")
    assert said.metadata == {"interrupted": True, "reason": "recovered"}
    assert said.generation_config == {"t": 1}


async def test_a_recording_is_recovered_with_all_that_its_api_sent(target: Path | str) -> None:
    events = [sse.message_start(), *sse.thinking_block(0, "x" * 20_000), *sse.text_block(1, "Hi")]

    async def response() -> AsyncIterator[dict[str, Any]]:
        for event in events:
            yield event
        await asyncio.sleep(3600)

    async with TractStore.open(target, tokenizer=COUNTER) as store:
        sent = await store.tract("agent").user("q")
        recording = store.tract("agent").record_stream(response(), metadata={"try": 1})
        for _ in events:
            await anext(recording)
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()
        assert left.text == "Hi"
        [said] = await left.commit()
        tract = store.tract("agent")
        content = await tract.get_content(said.commit_hash, as_=NativeContent)
        shown = await tract.compile(at_commit=sent.commit_hash)

    thinking = {"type": "thinking", "thinking": "x" * 20_000, "signature": "c2lnbmVk"}
    assert content.item["content"] == [thinking, {"type": "text", "text": "Hi"}]
    assert said.metadata is not None
    assert (said.metadata["try"], said.metadata["reason"]) == (1, "recovered")
    assert shown.token_source == "api:40+1"
