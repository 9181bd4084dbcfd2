"""Streams: replies that arrive in pieces and are committed when they end, however they end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypedDict, TypeVar

from tract.engine.streams.arrived import Arrived
from tract.engine.streams.open_streams import OpenStream
from tract.engine.streams.reasons import CLOSED, INCOMPLETE
from tract.engine.streams.recording import Intake
from tract.exceptions import ContentValidationError, TractError
from tract.formats.deltas import Delta
from tract.formats.telling import Reader
from tract.handles.abroad import at_home, home_of, with_caller
from tract.models.commit import CommitInfo
from tract.protocols import ToolCall, UnsetType

__all__ = ["OnInterrupt", "RecordOptions", "Recording", "Stream"]

T = TypeVar("T")
OnInterrupt = Literal["keep", "discard"]
"""Whether to commit the part of an interrupted stream that was received, or nothing."""

_PATIENCE = 1.0  # seconds for closing a response that is not read to its end
_TEXT = ("text",)  # where a written stream's text is


class RecordOptions(TypedDict, total=False):
    """The keywords of `AsyncTract.record_stream` and its short forms."""

    generation_config: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    message: str | None
    on_interrupt: OnInterrupt
    expected_head: str | UnsetType | None
    head_hash: str | UnsetType | None
    redact: bool


class Stream:
    """A message that is written in pieces and committed when its block is left.

    Get one from `AsyncTract.stream()`. If an exception or a cancellation ends the block, the text
    written so far is committed and marked as interrupted in the metadata, or discarded; the
    exception propagates. If the branch no longer has the expected head, leaving the block raises a
    `HeadMovedError`, and `TractStore.recover_streams()` returns the text.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._incoming: OpenStream | None = None
        self._entered = False

    async def write(self, delta: str) -> None:
        """Add *delta* to the message; this never waits for the disk.

        Raises:
            ContentValidationError: *delta* is not a string.
            TractError: called outside the block.
            StoreClosedError: the store was closed meanwhile.
        """
        incoming = self._incoming
        if incoming is None:
            raise TractError("Write inside the stream's `async with` block.")
        if not isinstance(delta, str):
            raise ContentValidationError(f"a {type(delta).__name__} is not a string", "delta")
        incoming.add(("text", _TEXT, delta), len(delta) if delta.isascii() else 4 * len(delta))

    @property
    def text(self) -> str:
        """The text written so far."""
        return "" if self._incoming is None else self._incoming.fold().text

    @property
    def commit_info(self) -> CommitInfo | None:
        """The commit; None before the block is left, or if nothing was written or kept."""
        return self._intake.commits[0] if self._intake.commits else None

    async def __aenter__(self) -> Self:
        if self._entered:
            raise TractError("A stream is used once; call `stream()` for another.")
        self._entered = True
        self._incoming = await self._intake.begin(at_head=False)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            await self._intake.finish(None)
        else:
            await self._intake.interrupt(exc)


class Recording(AsyncIterator[T], Generic[T]):
    """A provider's stream, passed on event by event and committed when it ends.

    Get one from `AsyncTract.record_stream()`, and iterate over it once. Before the loop ends, one
    transaction commits the reply as the next request wants it: plain text and plain calls as the
    content types of those names, anything else as the API's own item.

    Leaving the loop early ends the recording in the background, which commits or discards the
    received part and closes the response. To have this done by the end of a block, and the reason
    recorded, enter the recording with `async with`.

    A stream of no known API raises a `ContentValidationError`. Iterating again passes on all of its
    events, and records nothing.
    """

    def __init__(self, intake: Intake, response: AsyncIterable[T], reader: Reader) -> None:
        self._intake = intake
        self._response = response
        self._reader = reader
        self._chunks: AsyncIterator[T] | None = None
        self._incoming: OpenStream | None = None
        self._over = False
        self._unknown: list[T] | None = None

    @property
    def text(self) -> str:
        """The text received so far, a refusal's too; texts of different blocks are paragraphs."""
        return self._arrived.text

    @property
    def reasoning(self) -> str:
        """The model's thinking received so far, as far as the API shows it."""
        return self._arrived.reasoning

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls that are complete so far, with their arguments exactly as received."""
        return self._arrived.tool_calls

    @property
    def usage(self) -> dict[str, Any] | None:
        """The usage that the response reported; None if it has not reported any."""
        return dict(self._arrived.reply.usage or {}) or None

    @property
    def commits(self) -> list[CommitInfo]:
        """The commits, in order; empty before the end, or if nothing was received or kept."""
        return list(self._intake.commits)

    @property
    def _arrived(self) -> Arrived:
        return Arrived() if self._incoming is None else self._incoming.fold()

    def __aiter__(self) -> Self:
        return self

    @with_caller  # whose response is iterated over in its own task
    async def __anext__(self) -> T:
        if self._unknown is not None:
            return self._unknown.pop() if self._unknown else await anext(self._source())
        if self._over:
            raise StopAsyncIteration
        if home_of(self) is None:
            self._intake.check_loop()  # before taking a chunk that could not be committed
        if self._incoming is None:
            await self._begin()
        try:
            chunk = await anext(self._source())
            self._take(chunk)
        except StopAsyncIteration:
            await self._end(INCOMPLETE)
            raise
        except BaseException as error:
            if self._unknown is None:
                await self._interrupt(error)
            raise
        return chunk

    def _source(self) -> AsyncIterator[T]:
        if self._chunks is None:
            self._chunks = aiter(self._response)
        return self._chunks

    @at_home
    async def _begin(self) -> None:
        self._incoming = await self._intake.begin(at_head=True)

    @at_home
    def _take(self, chunk: T) -> None:
        """Add what a chunk says."""
        reader, incoming = self._reader, self._incoming
        assert incoming is not None
        deltas = self._begun(chunk, incoming) if reader.api is None else reader.feed(chunk)
        for delta in deltas:
            value = delta[2]
            size = len(value) if type(value) is str and value.isascii() else _size(value)
            incoming.add(delta, 64 + size)

    def _begun(self, chunk: T, incoming: OpenStream) -> list[Delta]:
        """Return what one of the first chunks says; put it back if it is of no known API."""
        try:
            deltas = self._reader.feed(chunk)
        except ContentValidationError:
            self._unknown, self._over = [chunk], True
            raise
        incoming.arrived.preamble["api"] = self._reader.api
        return deltas

    async def aclose(self) -> None:
        """Stop: commit or discard the received part, as `on_interrupt` says; close the response."""
        if not self._over:
            self._intake.check_loop()
            await self._end(CLOSED, self._close_response)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            await self.aclose()
        elif not self._over:
            await self._interrupt(exc)

    def __del__(self) -> None:
        if getattr(self, "_incoming", None) is not None and not self._over:
            self._intake.abandon(CLOSED, partial(_close, self._chunks, self._response))

    @at_home
    async def _end(
        self, reason: str, close: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> None:
        """Finish; the *reason* applies unless the response is complete."""
        self._over = True
        await self._intake.finish(self._intake.reason(reason), close)

    @at_home
    async def _interrupt(self, error: BaseException) -> None:
        self._over = True
        await self._intake.interrupt(error, self._close_response)

    async def _close_response(self) -> None:
        await _close(self._chunks, self._response)


async def _close(*sources: object) -> None:
    """Close a response, so that the provider stops sending; errors are ignored."""
    for source in sources:
        close = getattr(source, "aclose", None) or getattr(source, "close", None)
        if close is None:
            continue
        try:
            async with asyncio.timeout(_PATIENCE):
                closing = close()
                if inspect.isawaitable(closing):
                    await closing
        except Exception:  # failing to close a provider's response must not lose the recording
            pass


def _size(value: object) -> int:
    """Return about how many bytes a delta's value takes."""
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    if isinstance(value, dict):
        return 8 + sum(_size(key) + _size(each) for key, each in value.items())
    return 8 + sum(map(_size, value)) if isinstance(value, list) else 8
