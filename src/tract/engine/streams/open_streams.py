"""Open streams: their deltas in memory, which are saved to disk with little delay.

A store has one timer for all its streams, and at most one save under way. Writing to a stream only
appends and compares. The spooler saves new deltas every second, or at once when a stream has 16 KiB
of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Container, Iterable, Sequence
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from tract.engine.streams.arrived import FRAME, Arrived, Frame
from tract.engine.streams.frames import copied, joined, redacted
from tract.engine.streams.leases import HEARTBEAT, current_owner
from tract.exceptions import (
    StoreClosedError,
    StreamRecoveredError,
    TractError,
)
from tract.formats.deltas import Delta, compacted
from tract.history.redaction import Redactor
from tract.running.forking import PROCESS
from tract.running.waiting import one_of
from tract.storage.repositories import (
    BranchName,
    SpoolPart,
    SpoolRepository,
    StreamFate,
    StreamName,
)

__all__ = ["OpenStream", "Spooler", "is_open_here"]

_EVERY = 1.0  # seconds between saves
_ROOM = 16 * 1024  # bytes after which a stream is saved at once

_open_here: WeakValueDictionary[str, OpenStream] = WeakValueDictionary()


def is_open_here(stream_id: str) -> bool:
    """Return True if this process is still writing a stream."""
    return stream_id in _open_here


def _disown() -> None:
    """Make the parent's streams refuse writes in a forked child."""
    for stream in [*_open_here.values()]:
        stream.disown()
    _open_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)


class OpenStream:
    """What has arrived of one stream. Made by `Spooler.open`; `add` never waits for anything."""

    __slots__ = (
        "__weakref__",
        "_ended",
        "_fresh",
        "_preamble",
        "_redactor",
        "_room",
        "_saved",
        "_sent",
        "_signed",
        "_spooler",
        "_unsaved",
        "arrived",
        "discards",
        "fate",
        "may_be_saved",
        "name",
        "recovered",
    )

    def __init__(
        self,
        spooler: Spooler,
        name: StreamName,
        preamble: dict[str, Any],
        redactor: Redactor | None,
        *,
        discards: bool,
    ) -> None:
        self._spooler = spooler
        self._redactor = redactor
        self._fresh: list[Delta] = []
        self._preamble: Frame = ("opening", preamble)
        self._unsaved: list[Frame] = [self._preamble]
        self._room = 0  # so that the first delta registers the stream with the spooler
        self._ended: Exception | None = None
        self._saved = 0
        self._sent = 0  # frames that were sent to be saved, and may have been
        self._signed = 0.0
        self.recovered: StreamRecoveredError | None = None
        """Set once another process has recovered the stream."""
        self.may_be_saved: bool = False
        """Whether a part of the stream may be on disk: a save that was cancelled may have landed."""
        self.discards: bool = discards
        """Whether nothing is to be kept if the stream is interrupted."""
        self.name: StreamName = name
        self.fate: StreamFate = StreamFate()
        self.arrived: Arrived = Arrived(preamble)
        """What had arrived at the last `fold`."""

    def add(self, delta: Delta, size: int) -> None:
        """Add a delta of about *size* bytes.

        Raises:
            TractError: the stream has ended, or its store was closed.
        """
        self._fresh.append(delta)
        self._room -= size
        if self._room < 0:
            self._make_room()

    def fold(self) -> Arrived:
        """Return what has arrived so far."""
        if self._fresh:
            made = [copied(delta) for delta in compacted(self._fresh)]
            fresh = [delta for delta, _ in made if delta is not None]
            unsaved = [*self._unsaved, *(_storable(delta, self._redactor) for delta in fresh)]
            arrived = self.arrived.grown(fresh)
            arrived.misfits += tuple(path for _, lost in made for path in lost)
            # No interrupt comes between these: it would lose what arrived, or add it twice.
            self.arrived, self._unsaved, self._fresh = arrived, unsaved, []
        return self.arrived

    def end(self, error: Exception) -> None:
        """Refuse further deltas with *error*, and stop saving in the background."""
        if self._ended is None:
            self.fold()
            self._ended = error
            self._room = -1
            self._spooler.forget(self)

    def note_end(self, reason: str | None) -> None:
        """Record for its recovery that the stream has ended, with the reason if interrupted."""
        if self._saved or len(self._unsaved) > 1:  # something has arrived
            self._unsaved.append(("ended", reason))

    def disown(self) -> None:
        """Check on the next delta whether this process opened the stream."""
        self._room = -1

    def let_go(self) -> None:
        """Leave the saved part of the stream to be recovered."""
        _open_here.pop(self.name.stream_id, None)

    def part(self) -> SpoolPart | None:
        """Return the part that is not saved yet, or None.

        It stays here until its fate says that it was stored, so that nothing is lost if saving it
        fails, and nothing is saved twice if only its caller was cancelled.
        """
        self.fold()
        self.forget_stored()
        if self._saved == 0 and all(kind in FRAME for kind, *_ in self._unsaved):
            return None  # nothing has arrived that is worth saving
        if not self._unsaved:
            return None
        self._unsaved = self._unsaved[: self._sent] + joined(self._unsaved[self._sent :])
        self._sent = len(self._unsaved)
        self.may_be_saved = True
        if self._ended is None:
            self._room = _ROOM
        return SpoolPart(self.name, self._saved, tuple(self._unsaved), self.fate)

    def forget_stored(self) -> None:
        """Forget the part that was stored last, if its fate tells of one."""
        part = self.fate.saved
        if part is not None and part.number == self._saved:
            rest = self._unsaved[len(part.fragments) :]
            self._unsaved, self._saved, self._sent = rest, part.number + 1, 0

    def lose(self) -> None:
        """End, because another process has recovered the stream; keep the rest as a new stream."""
        self.forget_stored()
        tract_id, branch = self.name.branch.tract_id, self.name.branch.branch
        self.recovered = StreamRecoveredError(tract_id, branch)
        self.end(self.recovered)
        self._unsaved, self._saved, self._sent = [self._preamble, *self._unsaved], 0, 0
        self.may_be_saved = False
        self.fate = StreamFate()
        self.let_go()
        self.name = StreamName(self.name.branch, uuid4().hex)
        _open_here[self.name.stream_id] = self

    def signs(self, now: float, *, anyway: bool) -> bool:
        """Return True if a sign of life is due, and note that it was given."""
        if not (anyway or (self._saved and now - self._signed >= HEARTBEAT)):
            return False
        self._signed = now
        return True

    def _make_room(self) -> None:
        self._spooler.check_process()
        if self._ended is not None:
            self._fresh.clear()
            raise self._ended
        self._room += _ROOM
        if not self._spooler.look_after(self) or self._room < 0:
            self._room = _ROOM
            self._spooler.save_soon()


class Spooler:
    """Saves the deltas of a store's streams in the background."""

    def __init__(self, repository: SpoolRepository, path: str) -> None:
        self._repository = repository
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._forks = PROCESS.forks
        self._streams: dict[str, OpenStream] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[None] | None = None
        self._again = False
        self._last: dict[str, OpenStream] = {}  # ended by closing, and not all saved yet

    def check_process(self) -> None:
        """Raise a ForkedProcessError in a forked child of the process that opened the store."""
        PROCESS.check(self._forks, self._path)

    def open(
        self,
        branch: BranchName,
        preamble: dict[str, Any],
        redactor: Redactor | None = None,
        *,
        discards: bool = False,
    ) -> OpenStream:
        """Return a new stream; *preamble* describes it as JSON values, without secrets.

        *redactor* removes secrets from usage reports; None saves them unchanged. With *discards*,
        closing drops the stream if it is still open.
        """
        name = StreamName(branch, uuid4().hex)
        return OpenStream(self, name, preamble, redactor, discards=discards)

    def look_after(self, stream: OpenStream) -> bool:
        """Save *stream* from now on; return False if it was registered already."""
        stream_id = stream.name.stream_id
        if stream_id in self._streams:
            return False
        self._streams[stream_id] = stream
        _open_here[stream_id] = stream
        if self._timer is None:
            self._timer = self._loop.call_later(_EVERY, self._tick)
        return True

    def forget(self, stream: OpenStream) -> None:
        """Stop saving *stream*."""
        self._streams.pop(stream.name.stream_id, None)
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def save(self, stream: OpenStream) -> None:
        """Save the rest of an ended stream whose commit failed, and release it for recovery.

        Nothing is saved if the commit was made after all.
        """
        await self.settle()
        part = stream.part()
        if part is not None:
            await self._write([(stream, part)], [])
        await self._release([stream])

    async def drop(self, stream: OpenStream) -> None:
        """Delete what was saved of an ended stream."""
        await self.settle()  # it may find that the stream was recovered
        if stream.may_be_saved:
            await self._repository.drop(stream.name)

    async def settle(self) -> None:
        """Wait for the save under way, if any."""
        while self._saving is not None and not self._saving.done():
            await one_of(self._saving)

    async def aclose(self) -> None:
        """End the streams that are still open; save the rest of them and release them, or drop them.

        If that fails or is cancelled, the next call goes on with it.
        """
        await self.settle()
        for stream_id, stream in [*self._streams.items()]:
            self._last[stream_id] = stream
            stream.end(StoreClosedError(self._path))
        streams = [*self._last.values()]
        kept = [stream for stream in streams if not stream.discards]
        parts = [(stream, part) for stream in kept if (part := stream.part()) is not None]
        try:
            if parts:
                await self._write(parts, [])
            await self._release(kept)
            for stream in streams:
                if stream.discards:
                    await self.drop(stream)
        finally:
            for stream in streams:
                stream.let_go()
        self._last.clear()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_EVERY, self._tick)
        self.save_soon()

    def save_soon(self) -> None:
        """Save new deltas of all streams, as soon as no other save is under way."""
        self._again = True
        if self._saving is None or self._saving.done():  # it may have ended before it began
            self._saving = self._loop.create_task(self._save())
            self._saving.add_done_callback(_retrieved)

    async def _save(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._save_all()
        except TractError:
            pass  # retried at the next tick; if the store is broken, the final commit raises
        finally:
            self._saving = None

    async def _save_all(self) -> None:
        now = self._loop.time()
        parts: list[tuple[OpenStream, SpoolPart]] = []
        quiet: list[OpenStream] = []
        for stream in self._streams.values():
            part = stream.part()
            if part is not None:
                parts.append((stream, part))
            if stream.signs(now, anyway=part is not None) and part is None:
                quiet.append(stream)
        if parts or quiet:
            await self._write(parts, quiet)

    async def _write(
        self, parts: Sequence[tuple[OpenStream, SpoolPart]], quiet: Sequence[OpenStream]
    ) -> None:
        names = {stream.name: stream for stream in quiet}
        lost = await self._repository.save(current_owner(), [part for _, part in parts], [*names])
        for stream, _ in parts:
            stream.forget_stored()
        if lost:
            await self._go_on_without([*(stream for stream, _ in parts), *quiet], {*lost})

    async def _go_on_without(
        self, written: Iterable[OpenStream], lost: Container[StreamName]
    ) -> None:
        """End streams that others have recovered, and save what arrived since as new streams."""
        recovered = [stream for stream in written if stream.name in lost]
        for stream in recovered:  # all of them first: saving one may fail
            stream.lose()
        parts = [(stream, part) for stream in recovered if (part := stream.part()) is not None]
        if parts:
            await self._write(parts, [])

    async def _release(self, streams: Iterable[OpenStream]) -> None:
        names = [stream.name for stream in streams if stream.may_be_saved]
        if names:
            await self._repository.release(current_owner(), names)


def _storable(delta: Delta, redactor: Redactor | None) -> Delta:
    """Return a delta to save, which shares no value with what is built from *delta*."""
    apart, _ = copied(delta)
    assert apart is not None
    return redacted(apart, redactor)


def _retrieved(task: asyncio.Task[None]) -> None:
    """Retrieve an interrupt, which the loop has raised; asyncio would report it once more."""
    if not task.cancelled():
        task.exception()
