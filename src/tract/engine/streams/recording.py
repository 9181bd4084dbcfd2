"""`StreamEngine`: streams, from their beginning to their commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import uuid4

from tract.engine.commit.engine import CommitEngine, Staged
from tract.engine.compile.reading import ContextReader
from tract.engine.streams import landing
from tract.engine.streams.arrived import Arrived
from tract.engine.streams.leases import current_owner
from tract.engine.streams.naming import restore_names
from tract.engine.streams.open_streams import OpenStream, Spooler
from tract.engine.streams.reasons import reason_of
from tract.engine.threads import Threads, freeze, is_heavy
from tract.exceptions import (
    KeyExistsError,
    StorageError,
    StreamRecoveredError,
    TractError,
    UnknownKindWarning,
)
from tract.formats.format import as_json
from tract.formats.items import is_model
from tract.formats.telling import told
from tract.history.redaction import Redactor
from tract.models.annotations import Priority
from tract.models.commit import CommitInfo
from tract.models.operations import OnKey
from tract.protocols import UNSET, UnsetType
from tract.running.callers import calling_line, noted, warn
from tract.running.crossing import called_back, caller, serving
from tract.running.lifecycle import CallGate, despite_cancellation, running_loop, to_the_end
from tract.running.waiting import one_of
from tract.storage.repositories import (
    BranchName,
    ExistingBranch,
    Repositories,
    SpooledStream,
    SpoolRepository,
    StreamEnd,
    StreamFate,
    StreamName,
)

__all__ = ["Intake", "StreamEngine", "StreamOptions", "warn_of_unknown"]

_Close = Callable[[], Coroutine[Any, Any, None]]


class StreamOptions(NamedTuple):
    """The arguments of the calls that begin a stream."""

    role: str = "assistant"
    name: str | None = None
    generation_config: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    message: str | None = None
    on_interrupt: str = "keep"
    expected_head: str | UnsetType | None = UNSET
    head_hash: str | UnsetType | None = UNSET
    redact: bool = True
    key: str | None = None
    on_key: OnKey = "error"


class StreamEngine:
    """The streams of one store: opening, spooling and committing them, and recovering left ones."""

    def __init__(
        self,
        storage: Repositories,
        commits: CommitEngine,
        threads: Threads,
        gate: CallGate,
        clock: Callable[[], int],
        redactor: Redactor | None,
        contexts: ContextReader,
    ) -> None:
        self.contexts: ContextReader = contexts
        self.spools: SpoolRepository = storage.spools
        self.spooler: Spooler = Spooler(storage.spools, gate.path)
        self.commits: CommitEngine = commits
        self.threads: Threads = threads
        self.gate: CallGate = gate
        self.clock: Callable[[], int] = clock
        self.redactor: Redactor | None = redactor
        self._storage = storage
        self._leaving: set[asyncio.Task[None]] = set()

    def intake(self, branch: BranchName, options: StreamOptions) -> Intake:
        """Return a stream that has not begun."""
        return Intake(self, branch, options)

    async def head(self, branch: BranchName, given: str | UnsetType | None) -> str | None:
        """Return the head that a response belongs to: by default the branch's."""
        if given is UNSET:
            return await self._storage.refs.head(branch)
        return (
            None if given is None else await self._storage.commits.resolve(branch.tract_id, given)
        )

    async def record(
        self, branch: BranchName, reply: object, options: StreamOptions
    ) -> list[CommitInfo]:
        """Commit a whole reply; see `AsyncTract.record`."""
        heavy = is_heavy(reply)
        if heavy:
            reply = as_json(reply) if is_model(reply) else freeze(reply)()
        found = await self.threads.run_if(heavy, told, reply)
        opened = self.preamble(options, options.metadata, options.generation_config)
        opened["api"] = found.format.api
        arrived = Arrived(opened, found.reply)
        arrived.misfits = found.left_out
        opened["head"] = await self.head(branch, options.head_hash)
        name = StreamName(branch, uuid4().hex)  # nothing of it was ever saved
        made = await self.land(name, arrived, None, expected_head=options.expected_head)
        warn_of_unknown(arrived)
        return made

    def preamble(
        self, options: StreamOptions, metadata: object, generation_config: object
    ) -> landing.Preamble:
        """Return the description of a stream that begins now; see `landing.preamble`."""
        return landing.preamble(
            role=options.role,
            name=options.name,
            message=options.message,
            metadata=metadata,
            generation_config=generation_config,
            started_at=self.clock(),
            redactor=self.redactor,
            redact=options.redact is not False,
            key=options.key,
            on_key=options.on_key,
        )

    async def check_key(self, branch: BranchName, options: StreamOptions) -> None:
        """Raise a KeyExistsError early, before a stream that could not be committed begins."""
        if options.key is None or options.on_key != "error":
            return
        found = await self._storage.keys.find(branch.tract_id, [options.key])
        for record in found.values():
            raise KeyExistsError(options.key, record.commit_hash)

    async def land(
        self,
        name: StreamName,
        arrived: Arrived,
        reason: str | None,
        *,
        owner: str | None = None,
        claim: SpooledStream | None = None,
        fate: StreamFate | None = None,
        expected_head: str | UnsetType | None = UNSET,
        on_key: OnKey | None = None,
    ) -> list[CommitInfo]:
        """Commit a stream, store its usage and drop its spooled parts, in one transaction.

        Pass its *owner* and *fate*, or a *claim* on a left stream.

        Raises:
            StreamRecoveredError: *owner* no longer owns the stream.
            HeadMovedError: the head is not *expected_head*; the parts are kept.
            KeyExistsError: a commit has its key; the parts are kept.
            ContentValidationError: the stream is too large.
            BudgetExceededError: the context would exceed a budget whose action is `reject` or `compact`.
        """
        run = partial(self.threads.run_if, arrived.is_heavy)
        called = await run(attrgetter("called"), arrived)
        await restore_names(arrived, called, name.branch, self.contexts)
        usage, staged = await run(self._staged, arrived, reason, on_key)
        head = arrived.preamble.get("head")
        ending = StreamEnd(name, owner, claim, head, usage if head else None, fate)
        return await self.commits.land(name.branch, staged, expected_head, ending)

    def _staged(
        self, arrived: Arrived, reason: str | None, on_key: OnKey | None
    ) -> tuple[landing.Usage | None, list[Staged]]:
        """Return the usage and the commits of a stream."""
        usage = landing.usage_of(arrived, self.redactor)
        made = landing.pieces(arrived, arrived.contents(), reason, usage)
        staged: list[Staged] = []
        opened = arrived.preamble if on_key is None else {**arrived.preamble, "on_key": on_key}
        for piece, given in zip(made, landing.givens(made, opened), strict=True):
            staged.append(self.commits.stage(given))
            if piece.skip:
                target = len(staged) - 1
                staged.append(self.commits.stage_annotation(target, Priority.SKIP, None))
        return usage, staged

    def leave(self, finish: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Finish a stream in the background; closing the store waits for that."""
        begun = False

        async def begin() -> None:
            nonlocal begun
            begun = True
            await finish()

        def ended(task: asyncio.Task[None]) -> None:
            if not begun:  # a task that is cancelled before its first step does nothing at all
                self.leave(finish)
            self._leaving.discard(task)

        task = asyncio.create_task(begin())
        self._leaving.add(task)
        task.add_done_callback(ended)

    async def settle(self) -> None:
        """Wait for the streams that are committed in the background."""
        while leaving := [task for task in self._leaving if not task.done()]:
            await one_of(*leaving)

    async def aclose(self) -> None:
        """End the streams that are still open, and save the rest of them."""
        await self.spooler.aclose()


class Intake:
    """One stream from its beginning to its commits."""

    def __init__(self, streams: StreamEngine, branch: BranchName, options: StreamOptions) -> None:
        if options.on_interrupt not in ("keep", "discard"):
            raise ValueError(f"on_interrupt is 'keep' or 'discard', not {options.on_interrupt!r}")
        self._streams = streams
        self._gate = streams.gate
        self._branch = branch
        self._options = options
        self._loop = running_loop(streams.gate.path)
        self._line = calling_line()
        self._caller = caller()
        self._frozen = freeze((options.metadata, options.generation_config))
        self._preamble: landing.Preamble = {}
        self.incoming: OpenStream | None = None
        self.commits: list[CommitInfo] = []

    def check_loop(self) -> None:
        """Raise a StorageError unless called on the store's event loop."""
        self._gate.check_loop()

    async def begin(self, *, at_head: bool) -> OpenStream:
        """Open the stream; with *at_head*, note the head that a response's usage belongs to."""
        options, streams = self._options, self._streams
        with self._gate.call():
            streams.commits.check_writable()
            await streams.check_key(self._branch, options)
            heavy = is_heavy(options.message, options.metadata, options.generation_config)
            self._preamble = await streams.threads.run(self._open) if heavy else self._open()
            if at_head:
                self._preamble["head"] = await streams.head(self._branch, options.head_hash)
            self._preamble["must_exist"] = isinstance(self._branch, ExistingBranch)
            redactor = None if options.redact is False else streams.redactor
            self.incoming = streams.spooler.open(
                self._branch, self._preamble, redactor, discards=options.on_interrupt == "discard"
            )
        return self.incoming

    def _open(self) -> landing.Preamble:
        return self._streams.preamble(self._options, *self._frozen())

    async def finish(self, reason: str | None, close: _Close | None = None) -> None:
        """Commit or drop the stream, to the end even if the caller is cancelled; then *close*.

        Raises:
            HeadMovedError: the head is not the expected one; the stream is in the spool.
            StreamRecoveredError: another process recovered the stream; the rest is in the spool.
            StoreClosedError: the store was closed, which has put the stream into the spool, unless
                interrupted streams are discarded.
        """
        await self._end(reason, close)
        self._warn()

    async def interrupt(self, error: BaseException, close: _Close | None = None) -> None:
        """Finish because of *error*; if committing fails, add a note to *error* that says so."""
        try:
            await self._end(reason_of(error), close)
        except asyncio.CancelledError:
            if not isinstance(error, asyncio.CancelledError):
                raise
        except Exception as failure:
            if failure is error:
                return
            error.add_note(f"The received part of the stream was not committed: {failure}")
        else:
            self._warn()

    async def _end(self, reason: str | None, close: _Close | None) -> None:
        try:
            with self._gate.call():
                await to_the_end(self._finish(reason))
        finally:
            if close is not None:
                with suppress(StorageError):  # the caller's loop has ended
                    await to_the_end(called_back(close))

    def _warn(self) -> None:
        if self.incoming is not None and self.commits:
            warn_of_unknown(self.incoming.arrived)

    def reason(self, otherwise: str) -> str | None:
        """Return None if a response is complete, even if it was not read to its very end."""
        arrived = Arrived() if self.incoming is None else self.incoming.fold()
        return None if arrived.reply.finish_reason is not None else otherwise

    def abandon(self, reason: str, close: _Close) -> None:
        """Finish in the background, because no caller can wait; may be called from any thread.

        The *reason* applies unless the response is complete.
        """
        if self._gate.is_inherited:
            return  # the parent's stream goes on
        try:
            if asyncio.get_running_loop() is self._loop:
                self._leave(reason, close)
                return
        except RuntimeError:
            pass
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._leave, reason, close)

    def _leave(self, reason: str, close: _Close) -> None:
        if self._gate.closed:
            return  # closing the store sees to the stream
        with (
            noted(self._line),
            serving(self._caller),
        ):  # no caller is left but that of the recording
            self._streams.leave(partial(self.finish, self.reason(reason), close))

    async def _finish(self, reason: str | None) -> None:
        incoming = self.incoming
        if incoming is None:
            return
        incoming.end(_over())
        incoming.arrived.end(reason)
        discarded = reason is not None and incoming.discards
        try:
            if discarded or incoming.arrived.is_empty:
                await despite_cancellation(partial(self._streams.spooler.drop, incoming))
            else:
                await self._land_or_save(incoming, reason)
        finally:
            incoming.let_go()

    async def _land_or_save(self, incoming: OpenStream, reason: str | None) -> None:
        """Land a stream, or save all of it; if that was cancelled, its fate tells which of them."""
        try:
            await self._streams.spooler.settle()  # it may find that the stream was recovered
            await self._land(incoming, reason)
        except BaseException as error:
            if isinstance(error, StreamRecoveredError) and incoming.recovered is None:
                incoming.lose()
            incoming.note_end(reason)
            await despite_cancellation(partial(self._streams.spooler.save, incoming))
            raise

    async def _land(self, incoming: OpenStream, reason: str | None) -> None:
        if incoming.recovered is not None:
            raise incoming.recovered
        self.commits = await self._streams.land(
            incoming.name,
            incoming.arrived,
            reason,
            owner=current_owner(),
            fate=incoming.fate,
            expected_head=self._options.expected_head,
        )


def warn_of_unknown(arrived: Arrived) -> None:
    """Warn of what a reply held that no format knows, or that could not be kept."""
    if arrived.misfits:
        warn(
            "pieces of the reply are not JSON or do not fit what came before, and were left out: "
            f"{', '.join(arrived.misfits)[:500]}",
            UnknownKindWarning,
        )
    unknown = arrived.reply.unknown
    if unknown:
        warn(
            f"the reply holds kinds that this release does not know: {', '.join(unknown)[:500]}. "
            "They are kept and sent back as they came",
            UnknownKindWarning,
        )


def _over() -> TractError:
    return TractError("The stream has ended; begin another.")
