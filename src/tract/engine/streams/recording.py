"""`StreamEngine`: what comes bit by bit, from its beginning to its commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from tract.callers import calling_line, noted
from tract.engine.commit.engine import CommitEngine, Staged
from tract.engine.streams import landing
from tract.engine.streams.leases import current_owner
from tract.engine.streams.open_streams import OpenStream, Spooler
from tract.engine.streams.reasons import reason_of
from tract.engine.threads import Threads, freeze, is_heavy
from tract.exceptions import StreamRecoveredError, TractError
from tract.formats.assembly import Assembly
from tract.history.redaction import Redactor
from tract.lifecycle import CallGate, running_loop, to_the_end
from tract.models.annotations import Priority
from tract.models.commit import CommitInfo
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import (
    BranchName,
    ExistingBranch,
    Repositories,
    SpooledStream,
    SpoolRepository,
    StreamName,
)
from tract.waiting import one_of

__all__ = ["Intake", "StreamEngine", "StreamOptions"]

_Close = Callable[[], Coroutine[Any, Any, None]]


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


class StreamEngine:
    """The streams of one store: opened, spooled, landed, and what is left of those that were not."""

    def __init__(
        self,
        storage: Repositories,
        commits: CommitEngine,
        threads: Threads,
        gate: CallGate,
        clock: Callable[[], int],
        redactor: Redactor | None,
    ) -> None:
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
        """Return a stream that is yet to begin."""
        return Intake(self, branch, options)

    async def head(self, branch: BranchName, given: str | UnsetType | None) -> str | None:
        """Return the head that a response belongs to: the branch's where none was given."""
        if given is UNSET:
            return await self._storage.refs.head(branch)
        return (
            None if given is None else await self._storage.commits.resolve(branch.tract_id, given)
        )

    async def land(
        self,
        name: StreamName,
        assembly: Assembly,
        opened: Mapping[str, Any],
        reason: str | None,
        *,
        owner: str | None = None,
        claim: SpooledStream | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitInfo]:
        """Commit what came, keep its usage, and drop the stream's parts, in one transaction.

        Give its *owner* if parts of it were saved, or a *claim* on what somebody left.

        Raises:
            StreamRecoveredError: the stream is not *owner*'s any more.
            HeadMovedError: the head is not *expected_head*; the parts are kept.
            ContentValidationError: what came is too large.
            BudgetExceededError: the context would exceed a budget whose action is `reject`.
        """
        made = landing.pieces(assembly, opened, reason)
        staged: list[Staged] = []
        for piece, given in zip(made, landing.givens(made, opened), strict=True):
            staged.append(self.commits.stage(given))
            if piece.skip:
                target = len(staged) - 1
                staged.append(self.commits.stage_annotation(target, Priority.SKIP, None))
        ending = landing.ending(name, assembly, opened, self.redactor, owner=owner, claim=claim)
        return await self.commits.land(name.branch, staged, expected_head, ending)

    def leave(self, task: asyncio.Task[None]) -> None:
        """Keep a stream that nobody waits for any more, on its way to its commits."""
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def settle(self) -> None:
        """Wait for the streams that nobody else waits for."""
        while leaving := [task for task in self._leaving if not task.done()]:
            await one_of(*leaving)

    async def aclose(self) -> None:
        """Save what came of the streams that are still open."""
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
        self._frozen = freeze((options.metadata, options.generation_config))
        self._opening: landing.Opening = {}
        self.incoming: OpenStream | None = None
        self.commits: list[CommitInfo] = []

    def check_loop(self) -> None:
        """Raise a StorageError where the store's event loop does not run, with nothing done yet."""
        self._gate.check_loop()

    async def begin(self, *, at_head: bool) -> OpenStream:
        """Open the stream; *at_head* notes the head that a response's usage will belong to."""
        options, streams = self._options, self._streams
        with self._gate.call():
            streams.commits.check_writable()
            heavy = is_heavy(options.message, options.metadata, options.generation_config)
            self._opening = await streams.threads.run(self._open) if heavy else self._open()
            if at_head:
                self._opening["head"] = await streams.head(self._branch, options.head_hash)
            self._opening["must_exist"] = isinstance(self._branch, ExistingBranch)
            redactor = None if options.redact is False else streams.redactor
            self.incoming = streams.spooler.open(self._branch, self._opening, redactor)
        return self.incoming

    def _open(self) -> landing.Opening:
        options = self._options
        metadata, generation_config = self._frozen()
        return landing.opening(
            role=options.role,
            name=options.name,
            message=options.message,
            metadata=metadata,
            generation_config=generation_config,
            started_at=self._streams.clock(),
            redactor=self._streams.redactor,
            redact=options.redact is not False,
        )

    async def finish(self, reason: str | None, close: _Close | None = None) -> None:
        """Commit what came, or drop it, and go on to the end whoever is cancelled; then *close*.

        Raises:
            HeadMovedError: the head is not the one that was expected; what came is in the spool.
            StreamRecoveredError: another has recovered the stream; what came since is in the spool.
            StoreClosedError: the store was closed; what came is in its spool.
        """
        try:
            with self._gate.call():
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

    def _leave(self, reason: str | None, close: _Close) -> None:
        if self._gate.closed:
            return  # what came was put into the spool
        with noted(self._line):  # nobody has left a block; this is where the recording was made
            self._streams.leave(self._loop.create_task(self.finish(reason, close)))

    async def _finish(self, reason: str | None) -> None:
        incoming = self.incoming
        if incoming is None:
            return
        incoming.end(_over())
        try:
            await self._streams.spooler.settle()  # it may find that the stream was recovered
            await self._land(incoming, reason)
        except BaseException as error:
            if isinstance(error, StreamRecoveredError):
                incoming.lose()
            incoming.note_end(reason)
            await self._streams.spooler.save(incoming)
            raise
        finally:
            incoming.let_go()

    async def _land(self, incoming: OpenStream, reason: str | None) -> None:
        options, assembly = self._options, incoming.fold()
        if assembly.is_empty or (reason is not None and options.on_interrupt == "discard"):
            if incoming.may_be_saved:
                await self._streams.spools.drop(incoming.name)
            return
        if incoming.recovered is not None:
            raise incoming.recovered
        self.commits = await self._streams.land(
            incoming.name,
            assembly,
            self._opening,
            reason,
            owner=current_owner() if incoming.may_be_saved else None,
            expected_head=options.expected_head,
        )


def _over() -> TractError:
    return TractError("The stream has ended; begin another.")
