"""Streams: what comes bit by bit and becomes a commit when it ends, however it ends."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from tract.callers import calling_line, noted
from tract.engine.commit.infos import commit_infos
from tract.engine.streams import landing
from tract.engine.streams.leases import current_owner
from tract.engine.streams.open_streams import OpenStream
from tract.engine.streams.reasons import CLOSED, INCOMPLETE, reason_of
from tract.engine.threads import freeze, is_heavy
from tract.exceptions import ContentValidationError, StreamRecoveredError, TractError
from tract.formats.assembly import Assembly, Fragment
from tract.history.redaction import Redactor
from tract.lifecycle import running_loop, to_the_end
from tract.models.commit import CommitInfo
from tract.protocols import UNSET, ToolCall, UnsetType
from tract.runtime import Runtime
from tract.storage.repositories import BranchName, ExistingBranch

__all__ = ["OnInterrupt", "Recording", "Stream", "StreamOptions"]

T = TypeVar("T")
_Close = Callable[[], Coroutine[Any, Any, None]]
OnInterrupt = Literal["keep", "discard"]
"""Whether a stream that is cut off is committed as far as it came, or not at all."""

_PATIENCE = 1.0  # seconds for closing a response that nobody reads on


class StreamOptions(NamedTuple):
    """What the calls that begin a stream take."""

    role: str = "assistant"
    name: str | None = None
    generation_config: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    message: str | None = None
    on_interrupt: str = "keep"
    expected_head: str | UnsetType | None = UNSET
    head_hash: str | UnsetType | None = UNSET
    redact: bool = True


class _Reader(Protocol):
    def feed(self, chunk: Any) -> list[Fragment]: ...


class _Intake:
    """One stream from its beginning to its commits."""

    def __init__(self, runtime: Runtime, branch: BranchName, options: StreamOptions) -> None:
        if options.on_interrupt not in ("keep", "discard"):
            raise ValueError(f"on_interrupt is 'keep' or 'discard', not {options.on_interrupt!r}")
        self._runtime = runtime
        self._branch = branch
        self._options = options
        self._loop = running_loop(runtime.gate.path)
        self._line = calling_line()
        self._frozen = freeze((options.metadata, options.generation_config))
        self._opening: landing.Opening = {}
        self.incoming: OpenStream | None = None
        self.commits: list[CommitInfo] = []

    def check_loop(self) -> None:
        """Raise a StorageError where the store's event loop does not run, with nothing done yet."""
        self._runtime.gate.check_loop()

    async def begin(self, *, at_head: bool) -> OpenStream:
        """Open the stream; *at_head* notes the head that a response's usage will belong to."""
        options, runtime = self._options, self._runtime
        with runtime.gate.call():
            runtime.storage.commits.check_writable()
            heavy = is_heavy(options.message, options.metadata, options.generation_config)
            self._opening = await runtime.threads.run(self._open) if heavy else self._open()
            if at_head:
                self._opening["head"] = await self._head(options.head_hash)
            self._opening["must_exist"] = isinstance(self._branch, ExistingBranch)
            self.incoming = runtime.spooler.open(self._branch, self._opening, self._redactor)
        return self.incoming

    @property
    def _redactor(self) -> Redactor | None:
        return None if self._options.redact is False else self._runtime.redactor

    def _open(self) -> landing.Opening:
        options = self._options
        metadata, generation_config = self._frozen()
        return landing.opening(
            role=options.role,
            name=options.name,
            message=options.message,
            metadata=metadata,
            generation_config=generation_config,
            started_at=self._runtime.clock(),
            redactor=self._runtime.redactor,
            redact=options.redact is not False,
        )

    async def _head(self, given: str | UnsetType | None) -> str | None:
        if given is UNSET:
            return await self._runtime.storage.refs.head(self._branch)
        if given is None:
            return None
        return await self._runtime.storage.commits.resolve(self._branch.tract_id, given)

    async def finish(self, reason: str | None, close: _Close | None = None) -> None:
        """Commit what came, or drop it, and go on to the end whoever is cancelled; then *close*.

        Raises:
            HeadMovedError: the head is not the one that was expected; what came is in the spool.
            StreamRecoveredError: another has recovered the stream; what came since is in the spool.
            StoreClosedError: the store was closed; what came is in its spool.
        """
        try:
            with self._runtime.gate.call():
                await to_the_end(self._finish(reason))
        finally:
            if close is not None:
                await to_the_end(close())

    async def interrupt(self, error: BaseException, close: _Close | None = None) -> None:
        """Finish because of *error*, which is told what became of it; it raises nothing else."""
        try:
            await self.finish(reason_of(error), close)
        except asyncio.CancelledError:
            if not isinstance(error, asyncio.CancelledError):
                raise
        except Exception as failure:
            if failure is error:
                return
            error.add_note(f"What had come of the stream was not committed: {failure}")

    def abandon(self, reason: str | None, close: _Close) -> None:
        """Finish in the background, as nobody is left to wait; called from any thread."""
        if self._runtime.gate.is_inherited:
            return  # the parent's stream goes on
        try:
            if asyncio.get_running_loop() is self._loop:
                self._leave(reason, close)
                return
        except RuntimeError:
            pass
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._leave, reason, close)

    def _leave(self, reason: str | None, close: _Close) -> None:
        if self._runtime.gate.closed:
            return  # what came was put into the spool
        leaving = self._runtime.leaving
        with noted(self._line):  # nobody has left a block; this is where the recording was made
            task = self._loop.create_task(self.finish(reason, close))
        leaving.add(task)
        task.add_done_callback(leaving.discard)

    async def _finish(self, reason: str | None) -> None:
        incoming = self.incoming
        if incoming is None:
            return
        incoming.end(_over())
        try:
            await self._runtime.spooler.settle()  # it may find that the stream was recovered
            await self._land(incoming, reason)
        except BaseException as error:
            if isinstance(error, StreamRecoveredError):
                incoming.lose()
            incoming.note_end(reason)
            await self._runtime.spooler.save(incoming)
            raise
        finally:
            incoming.let_go()

    async def _land(self, incoming: OpenStream, reason: str | None) -> None:
        runtime = self._runtime
        assembly = incoming.fold()
        if assembly.is_empty or (reason is not None and self._options.on_interrupt == "discard"):
            if incoming.may_be_saved:
                await runtime.storage.spools.drop(incoming.name)
            return
        if incoming.recovered is not None:
            raise incoming.recovered
        records = await runtime.lander.land(
            incoming.name,
            assembly,
            self._opening,
            reason,
            owner=current_owner() if incoming.may_be_saved else None,
            expected_head=self._options.expected_head,
        )
        self.commits = await commit_infos(runtime.threads, records)


def _over() -> TractError:
    return TractError("The stream has ended; begin another.")


class Stream:
    """A message that comes bit by bit and becomes one commit when its block is left.

    Get one from `AsyncTract.stream()`. Left by an exception or a cancellation, the block commits
    what had come, marked in its metadata, or nothing; the exception goes on. Where the branch no
    longer has the head that was expected, leaving the block raises a `HeadMovedError`, and
    `TractStore.recover_streams()` has what came.
    """

    def __init__(self, runtime: Runtime, branch: BranchName, options: StreamOptions) -> None:
        self._intake = _Intake(runtime, branch, options)
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

    def __init__(
        self,
        runtime: Runtime,
        branch: BranchName,
        options: StreamOptions,
        response: AsyncIterable[T],
        reader: _Reader,
    ) -> None:
        self._intake = _Intake(runtime, branch, options)
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
