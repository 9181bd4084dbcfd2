"""Streams: what comes bit by bit and becomes a commit when it ends, however it ends."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypedDict, TypeVar

from tract.engine.streams.open_streams import OpenStream
from tract.engine.streams.reasons import CLOSED, INCOMPLETE
from tract.engine.streams.recording import Intake
from tract.exceptions import ContentValidationError, TractError
from tract.formats.assembly import Assembly, Fragment
from tract.models.commit import CommitInfo
from tract.protocols import ToolCall, UnsetType

__all__ = ["ChunkReader", "OnInterrupt", "RecordOptions", "Recording", "Stream"]

T = TypeVar("T")
OnInterrupt = Literal["keep", "discard"]
"""Whether a stream that is cut off is committed as far as it came, or not at all."""

_PATIENCE = 1.0  # seconds for closing a response that nobody reads on


class RecordOptions(TypedDict, total=False):
    """The keywords of `AsyncTract.record_openai` and `AsyncTract.record_anthropic`."""

    generation_config: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    message: str | None
    on_interrupt: OnInterrupt
    expected_head: str | UnsetType | None
    head_hash: str | UnsetType | None
    redact: bool


class ChunkReader(Protocol):
    """Reads a provider's chunks into fragments."""

    def feed(self, chunk: Any) -> list[Fragment]:
        """Return what a chunk adds."""
        ...


class Stream:
    """A message that comes bit by bit and becomes one commit when its block is left.

    Get one from `AsyncTract.stream()`. Left by an exception or a cancellation, the block commits
    what had come, marked in its metadata, or nothing; the exception goes on. Where the branch no
    longer has the head that was expected, leaving the block raises a `HeadMovedError`, and
    `TractStore.recover_streams()` has what came.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._incoming: OpenStream | None = None
        self._entered = False

    async def write(self, delta: str) -> None:
        """Add *delta* to the message; this never waits for the disk.

        Raises:
            ContentValidationError: *delta* is no string.
            TractError: called outside the block.
            StoreClosedError: the store was closed meanwhile.
        """
        incoming = self._incoming
        if incoming is None:
            raise TractError("Write inside the stream's `async with` block.")
        if not isinstance(delta, str):
            raise ContentValidationError(f"a {type(delta).__name__} is no string", "delta")
        incoming.add(("text", delta), len(delta) if delta.isascii() else 4 * len(delta))

    @property
    def text(self) -> str:
        """What has come so far."""
        return "" if self._incoming is None else self._incoming.fold().text

    @property
    def commit_info(self) -> CommitInfo | None:
        """The commit; None before the block is left, and where nothing came or was kept."""
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
    """A provider's stream, passed on chunk by chunk and committed when it ends.

    Get one from `AsyncTract.record_openai()` or `AsyncTract.record_anthropic()`, and iterate over
    it once. The commits are made before the loop over it is left: what was thought (skipped), what
    was said, then the tool calls, all in one transaction. A loop that is left early closes the
    response; enter the recording with `async with` to have that done, and the reason known, by the
    time that the block is left. Otherwise it is done in the background.
    """

    def __init__(self, intake: Intake, response: AsyncIterable[T], reader: ChunkReader) -> None:
        self._intake = intake
        self._response = response
        self._reader = reader
        self._chunks: AsyncIterator[T] | None = None
        self._incoming: OpenStream | None = None
        self._over = False

    @property
    def text(self) -> str:
        """What was said so far."""
        return self._assembly.text

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls that are whole so far; arguments to the byte as they came."""
        return self._assembly.calls

    @property
    def usage(self) -> dict[str, Any] | None:
        """The usage that the response reported; None if it has not."""
        return dict(self._assembly.usage) or None

    @property
    def commits(self) -> list[CommitInfo]:
        """What was committed, in order; empty before the end, and where nothing came or was kept."""
        return list(self._intake.commits)

    @property
    def _assembly(self) -> Assembly:
        return Assembly() if self._incoming is None else self._incoming.fold()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._over:
            raise StopAsyncIteration
        self._intake.check_loop()  # before a chunk is taken that nobody could commit
        if self._incoming is None:
            self._incoming = await self._intake.begin(at_head=True)
        if self._chunks is None:
            self._chunks = aiter(self._response)
        try:
            chunk = await anext(self._chunks)
            for fragment in self._reader.feed(chunk):
                self._incoming.add(fragment, 64 + sum(map(_size, fragment)))
        except StopAsyncIteration:
            self._over = True
            await self._intake.finish(self._reason(INCOMPLETE))
            raise
        except BaseException as error:
            await self._interrupt(error)
            raise
        return chunk

    async def aclose(self) -> None:
        """Break off: commit what came as it was asked for, and close the response."""
        if not self._over:
            self._intake.check_loop()
            self._over = True
            await self._intake.finish(self._reason(CLOSED), self._close_response)

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
            self._intake.abandon(
                self._reason(CLOSED), partial(_close, self._chunks, self._response)
            )

    def _reason(self, otherwise: str) -> str | None:
        """Return None where the response is whole, though nobody may have read to its very end."""
        return None if self._assembly.finish_reason is not None else otherwise

    async def _interrupt(self, error: BaseException) -> None:
        self._over = True
        await self._intake.interrupt(error, self._close_response)

    async def _close_response(self) -> None:
        await _close(self._chunks, self._response)


async def _close(*sources: object) -> None:
    """Close what nobody reads any more, so that the provider stops; its errors help nobody."""
    for source in sources:
        close = getattr(source, "aclose", None) or getattr(source, "close", None)
        if close is None:
            continue
        try:
            async with asyncio.timeout(_PATIENCE):
                closing = close()
                if inspect.isawaitable(closing):
                    await closing
        except Exception:  # what was recorded is kept however a foreign response closes
            pass


def _size(value: object) -> int:
    return 4 * len(value) if isinstance(value, str) else 8
