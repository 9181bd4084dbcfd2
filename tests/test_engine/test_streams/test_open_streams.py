"""What is spooled of open streams, and when: one save at a time, and nothing lost or twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from tract import StoreBusyError, StoreClosedError, TractError
from tract.engine.streams.open_streams import OpenStream, Spooler, is_open_here
from tract.storage.repositories import (
    BranchName,
    SpooledStream,
    SpoolPart,
    SpoolRepository,
    StreamName,
)

MAIN = BranchName("agent", "main")
OPENING: dict[str, Any] = {"role": "assistant", "api": None}
TEXT = ("text",)


class Disk(SpoolRepository):
    """Keeps parts in memory; fails as often as it is told, and is as slow as it is told."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, int], list[Any]] = {}
        self.touched: list[StreamName] = []
        self.released: list[StreamName] = []
        self.failures = 0
        self.recovered: set[StreamName] = set()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.writing = 0
        self.most_writing = 0

    async def save(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName] = ()
    ) -> list[StreamName]:
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)
        await self.may_write.wait()
        self.writing -= 1
        if self.failures:
            self.failures -= 1
            raise StoreBusyError("busy")
        lost = [part.stream for part in parts if part.stream in self.recovered]
        if lost:
            self.failures = 1  # at the next attempt
            return lost
        for part in parts:
            self.parts[part.stream.stream_id, part.number] = list(part.fragments)
            if part.fate is not None:
                part.fate.save(part)
        self.touched += touched
        return []

    async def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        self.released += streams

    async def spooled(self) -> list[SpooledStream]:
        raise NotImplementedError

    async def fragments(self, stream: StreamName) -> list[Any]:
        raise NotImplementedError

    async def drop(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        raise NotImplementedError

    def text(self) -> str:
        kept = [frame for key in sorted(self.parts) for frame in self.parts[key]]
        return "".join(frame[2] for frame in kept if frame[0] == "text")


def fill(stream: OpenStream, letter: str) -> None:
    """Write more than is saved at once."""
    stream.add(("text", TEXT, letter * 9000), 9000)
    stream.add(("text", TEXT, letter * 9000), 9000)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_opening_alone_is_not_saved() -> None:
    disk = Disk()
    spooler = Spooler(disk, "path")
    stream = spooler.open(MAIN, OPENING)
    stream.add(("text", TEXT, ""), 0)
    await spooler.aclose()

    assert disk.parts == {}
    assert not stream.may_be_saved


async def test_the_first_part_tells_how_the_stream_was_opened() -> None:
    disk = Disk()
    spooler = Spooler(disk, "path")
    stream = spooler.open(MAIN, OPENING)
    stream.add(("text", TEXT, "a"), 1)
    await spooler.aclose()

    assert disk.parts == {(stream.name.stream_id, 0): [("opening", OPENING), ("text", TEXT, "a")]}


async def test_what_json_cannot_hold_is_left_out_and_hinders_no_save() -> None:
    disk = Disk()
    spooler = Spooler(disk, "path")
    stream = spooler.open(MAIN, OPENING)
    stream.add(("set", ["usage"], {"prompt_tokens": 1, "cost": object()}), 8)
    stream.add(("set", ["number"], 10**5000), 8)
    stream.add(("text", TEXT, "a"), 1)
    await spooler.aclose()

    [saved] = disk.parts.values()
    assert saved == [
        ("opening", OPENING),
        ("set", ["usage"], {"prompt_tokens": 1}),
        ("text", TEXT, "a"),
    ]


async def test_while_one_save_is_slow_there_is_no_other_and_writing_goes_on() -> None:
    disk = Disk()
    disk.may_write.clear()
    spooler = Spooler(disk, "path")
    stream = spooler.open(MAIN, OPENING)
    for letter in "abcd":
        fill(stream, letter)
        await settle()
    disk.may_write.set()
    await settle()

    assert disk.most_writing == 1
    assert disk.text() == "".join(letter * 18_000 for letter in "abcd")
    stream.end(TractError("over"))


async def test_what_could_not_be_saved_is_saved_later_in_order() -> None:
    disk = Disk()
    disk.failures = 2
    spooler = Spooler(disk, "path")
    stream = spooler.open(MAIN, OPENING)
    for letter in "abc":
        fill(stream, letter)
        await settle()

    assert disk.failures == 0
    assert disk.text() == "".join(letter * 18_000 for letter in "abc")
    stream.end(TractError("over"))


async def test_nothing_is_lost_where_a_save_fails_just_after_others_took_two_streams() -> None:
    disk = Disk()
    spooler = Spooler(disk, "path")
    streams = [spooler.open(MAIN, OPENING) for _ in range(2)]
    for stream in streams:
        fill(stream, "a")
    await settle()
    disk.recovered = {stream.name for stream in streams}
    for stream in streams:
        fill(stream, "b")
    await settle()
    for stream in streams:
        await spooler.save(stream)

    assert disk.text().count("b") == 2 * 18_000


async def test_nothing_is_saved_of_a_stream_that_others_took_whole() -> None:
    disk = Disk()
    spooler = Spooler(disk, "path")
    stream = spooler.open(MAIN, OPENING)
    fill(stream, "a")
    await settle()
    disk.recovered = {stream.name}
    stream.end(TractError("over"))
    stream.note_end("cancelled")
    await spooler.save(stream)

    assert disk.text().count("a") == 18_000
    assert len(disk.parts) == 1


@pytest.mark.parametrize("turns", range(6))
async def test_closing_again_saves_what_a_cancelled_closing_did_not(turns: int) -> None:
    disk = Disk()
    disk.may_write.clear()
    spooler = Spooler(disk, "path")
    streams = [spooler.open(MAIN, OPENING) for _ in range(3)]
    for stream in streams:
        stream.add(("text", TEXT, "a"), 1)
    closing = asyncio.create_task(spooler.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    disk.may_write.set()
    await spooler.aclose()

    assert disk.text() == "aaa"
    assert disk.released == [stream.name for stream in streams]


async def test_a_stream_may_be_saved_if_its_save_was_cancelled() -> None:
    disk = Disk()
    disk.may_write.clear()
    spooler = Spooler(disk, "path")
    stream = spooler.open(MAIN, OPENING)
    stream.add(("text", TEXT, "a"), 1)
    stream.end(TractError("over"))
    saving = asyncio.create_task(spooler.save(stream))
    await asyncio.sleep(0)
    saving.cancel()
    await asyncio.wait([saving])

    assert stream.may_be_saved


async def test_a_sign_is_due_every_five_seconds_without_a_save() -> None:
    spooler = Spooler(Disk(), "path")
    stream = spooler.open(MAIN, OPENING)
    assert not stream.signs(100.0, anyway=False)  # nothing is saved that could look left

    fill(stream, "a")
    await settle()
    saved_at = asyncio.get_running_loop().time()

    assert not stream.signs(saved_at + 4, anyway=False)
    assert stream.signs(saved_at + 6, anyway=False)
    assert not stream.signs(saved_at + 7, anyway=False)
    stream.end(TractError("over"))


async def test_a_stream_is_open_here_until_it_is_let_go() -> None:
    spooler = Spooler(Disk(), "path")
    stream = spooler.open(MAIN, OPENING)
    stream.add(("text", TEXT, "a"), 1)
    stream_id = stream.name.stream_id
    assert is_open_here(stream_id)

    stream.end(TractError("over"))
    assert is_open_here(stream_id)  # its final commit is under way
    stream.let_go()
    assert not is_open_here(stream_id)


async def test_a_stream_that_has_ended_refuses_more_and_keeps_what_it_had() -> None:
    stream = Spooler(Disk(), "path").open(MAIN, OPENING)
    stream.add(("text", TEXT, "a"), 1)
    stream.end(TractError("over"))
    with pytest.raises(TractError, match="over"):
        stream.add(("text", TEXT, "b"), 1)

    assert stream.fold().text == "a"


async def test_closing_saves_and_ends_every_stream() -> None:
    disk = Disk()
    spooler = Spooler(disk, "path")
    streams = [spooler.open(MAIN, OPENING) for _ in range(3)]
    for stream in streams:
        stream.add(("text", TEXT, "a"), 1)
    await spooler.aclose()
    await spooler.aclose()

    assert disk.text() == "aaa"
    assert disk.released == [stream.name for stream in streams]
    for stream in streams:
        with pytest.raises(StoreClosedError):
            stream.add(("text", TEXT, "b"), 1)


class Timers(asyncio.SelectorEventLoop):
    """An event loop that keeps its timers."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[asyncio.TimerHandle] = []

    def call_later(  # type: ignore[override]  # its own types are of arguments that we pass on
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self.made.append(super().call_later(delay, callback, *args, context=context))
        return self.made[-1]


def test_no_timer_is_left_when_no_stream_is() -> None:
    async def write(loop: Timers) -> None:
        stream = Spooler(Disk(), "path").open(MAIN, OPENING)
        stream.add(("text", TEXT, "a"), 1)
        assert [timer.cancelled() for timer in loop.made] == [False]

        stream.end(TractError("over"))
        assert [timer.cancelled() for timer in loop.made] == [True]

    with closing(Timers()) as loop:
        loop.run_until_complete(write(loop))
