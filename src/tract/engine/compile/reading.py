"""Compiling: find the head, take its cached snapshot, or extend the nearest cached one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence, Set
from functools import partial
from time import time_ns
from typing import NamedTuple, Protocol, TypeVar

from tract.engine.compile.cache import CacheKey, SnapshotCache
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.compile.context import SnapshotContext
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.prefixes import Prefixes
from tract.engine.contents.attachments import AttachmentReader
from tract.engine.threads import Threads
from tract.exceptions import (
    AttachmentNotFoundError,
    BlobNotFoundError,
    CommitNotFoundError,
    StoreCorruptError,
)
from tract.formats.pairing import open_calls
from tract.models.operations import rule_of
from tract.models.store import CacheInfo
from tract.protocols import (
    CommitStep,
    CompiledContext,
    CompileSnapshot,
    ContextCompiler,
    TokenUsage,
)
from tract.storage.repositories import (
    BranchName,
    HistoryRepository,
    Located,
    OvertakenError,
    Position,
    TractTimes,
)

__all__ = ["CompileObserver", "ContextReader", "Found", "ViewOptions", "settled"]

T = TypeVar("T")

_QUICK_STEPS = 16
_QUICK_BYTES = 16_000
_HEAD = Position()


class Found(NamedTuple):
    """A head's snapshot, the usage that an API reported for it, and its tract's erasures by then."""

    snapshot: CompileSnapshot
    usage: TokenUsage | None
    erasures: int = 0
    is_new: bool = False
    """Whether it was not cached."""


class CompileObserver(Protocol):
    """What is told of compiles that were not cached; times are nanoseconds since 1970."""

    def compiled(self, branch: BranchName, began: int, context: CompiledContext) -> None:
        """Note a context, and when its compile began."""

    def failed(self, branch: BranchName, began: int, error: BaseException) -> None:
        """Note that a compile raised *error*."""


class ViewOptions(NamedTuple):
    """How a context is shown; see `AsyncTract.compile`."""

    include_edit_annotations: bool = False
    aggregate_same_role: bool = True
    include_erased: bool = False


async def settled(read: Callable[[], Awaitable[T]]) -> T:
    """Return what *read* returns, which reads once more if something is missing.

    An erasure or a prune may have deleted it since the first trip. Another look tells that from
    damage.
    """
    try:
        return await read()
    except (
        AttachmentNotFoundError,
        BlobNotFoundError,
        CommitNotFoundError,
        StoreCorruptError,
    ):
        return await read()


class ContextReader:
    """Compiles contexts of one store."""

    def __init__(
        self,
        histories: HistoryRepository,
        cache: SnapshotCache,
        compiler: ContextCompiler,
        threads: Threads,
        attachments: AttachmentReader | None = None,
    ) -> None:
        self._threads = threads
        self._attachments = attachments
        self._histories = histories
        self._cache = cache
        self._compiler = compiler
        self.prefixes: Prefixes = Prefixes(cache)
        self.on_erasure: list[Callable[[str], object]] = []
        """Called with the id of a tract when contents of it were erased."""
        self.observer: CompileObserver | None = None
        """What is told of new snapshots; a reader without one does nothing for it."""

    async def compile(
        self, branch: BranchName, position: Position, options: ViewOptions
    ) -> CompiledContext:
        """Return the context at *position*; that of the head is noted as the last of its branch.

        Raises:
            CommitNotFoundError: *position* names a commit that the tract does not have.
        """
        observer = self.observer
        began = 0 if observer is None else time_ns()
        try:
            found = await self.snapshot(branch, position)

            async def again() -> Found:
                nonlocal found
                found = await self.snapshot(branch, position)
                return found

            context = await self.show(branch.tract_id, found, options, again)
        except BaseException as error:
            if observer is not None:
                observer.failed(branch, began, error)
            raise
        if position == _HEAD:
            if isinstance(found.snapshot, Snapshot) and isinstance(context, SnapshotContext):
                context = context.following(self.prefixes.note(branch, found.snapshot))
            else:
                self.prefixes.note_head(branch, context.head_hash)
        if observer is not None and found.is_new:
            observer.compiled(branch, began, context)
        return context

    async def snapshot(self, branch: BranchName, position: Position = _HEAD) -> Found:
        """Return the snapshot at *position*, by one trip if it is cached.

        A commit that a caller names and the tract does not have needs no second look.
        """
        read = partial(self._snapshot, branch, position)
        if position == _HEAD:
            return await settled(read)
        try:
            return await read()
        except StoreCorruptError:
            return await read()

    async def _snapshot(self, branch: BranchName, position: Position) -> Found:
        located = await self._located(branch, position)
        if located.head_hash is None:
            return Found(self._compiler.empty(), None)
        key = CacheKey(branch.tract_id, located.head_hash)
        if located.base_hash == located.head_hash:
            snapshot = await self._cache.hit(key)
            if snapshot is not None:
                return Found(snapshot, located.usage, located.erasures)
            located = located._replace(base_hash=None, steps=None)  # evicted since
        snapshot = self._extended(key, located)
        if snapshot is None:
            snapshot = await self._cache.make(key, partial(self._make, key, located))
        return Found(snapshot, located.usage, located.erasures, is_new=True)

    async def _located(self, branch: BranchName, position: Position) -> Located:
        """Return where *position* is, and forget what was read before the last erasure."""
        tract_id = branch.tract_id
        for overtaken in (False, True):
            known = self._cache.heads(tract_id)
            located = await self._histories.locate(branch, position, known)
            erasures = self._cache.erasures(tract_id)
            if located.erasures == erasures:
                break
            if located.erasures > erasures or overtaken:  # a backup may have fewer
                self.forget(tract_id, located.erasures)
                break
        return located

    def noticed(self, tract_id: str, times: TractTimes | None) -> None:
        """Forget what was read of a tract if it has been erased since, in part or whole."""
        erased = 0 if times is None else times.erased
        is_gone = times is None and bool(self._cache.heads(tract_id))
        if is_gone or erased > self._cache.erasures(tract_id):
            self.forget(tract_id, erased)

    def forget(self, tract_id: str, erasures: int) -> None:
        """Forget the contents of a tract that were read before its last erasure."""
        for forget in self.on_erasure:
            forget(tract_id)
        if self._cache.erasures(tract_id) == erasures > 0:
            return
        self._cache.forget(tract_id, erasures)
        self.prefixes.forget(tract_id)
        if self._attachments is not None:
            self._attachments.forget(tract_id)

    def _extended(self, key: CacheKey, located: Located) -> CompileSnapshot | None:
        """Return the next snapshot after a cached one if it is quick to make; otherwise None."""
        compiler, steps, base_hash = self._compiler, located.steps, located.base_hash
        if (
            steps is None
            or base_hash is None
            or not isinstance(compiler, DefaultContextCompiler)
            or not self._may_be_quick(steps)
        ):
            return None
        base_key = CacheKey(key.tract_id, base_hash)
        return self._cache.extend(key, base_key, partial(compiler.fold_at_once, steps=steps))

    def open_calls(self, tract_id: str, head_hash: str) -> int | None:
        """Return how many calls have no result in a head's context; None if that is not cached."""
        snapshot = self._cache.peek(CacheKey(tract_id, head_hash))
        if snapshot is None:
            return None
        if isinstance(snapshot, Snapshot):
            messages = [each for entry in snapshot.entries.shown() for each in entry.messages]
            return len(open_calls(messages))
        context = self._compiler.view(
            snapshot, None, include_edit_annotations=False, aggregate_same_role=False
        )
        return len(context.open_calls)

    def cache_info(self) -> CacheInfo:
        """Return the counters and the size of the snapshot cache."""
        return self._cache.info()

    async def aclose(self) -> None:
        """Wait until no compile is under way."""
        await self._cache.drain()

    async def show(
        self,
        tract_id: str,
        found: Found,
        options: ViewOptions,
        again: Callable[[], Awaitable[Found]] | None = None,
    ) -> CompiledContext:
        """Return the context of a snapshot with the bytes of its attachments, for requests.

        If some are missing, that of what *again* finds: they may have been erased since the first
        trip. Those that are missing from that, too, a request says.
        """
        context, snapshot = await self.view(found, options), found.snapshot
        if (
            self._attachments is not None
            and isinstance(snapshot, Snapshot)
            and snapshot.has_attachments
            and isinstance(context, SnapshotContext)
        ):
            named = snapshot.entries.attachments
            media = await self._attachments.load_encoded(tract_id, named)
            if again is not None and len(media) < len(named):
                return await self.show(tract_id, await again(), options)
            return context.carrying(media)
        return context

    async def view(self, found: Found, options: ViewOptions) -> CompiledContext:
        """Return the context of a snapshot, counting on a thread if that takes long."""
        if self._view_is_quick(found, options):
            return self._compiler.view(
                found.snapshot,
                found.usage,
                include_edit_annotations=False,
                aggregate_same_role=options.aggregate_same_role,
            )
        view = partial(
            self._compiler.view,
            found.snapshot,
            found.usage,
            include_edit_annotations=options.include_edit_annotations,
            aggregate_same_role=options.aggregate_same_role,
            **({"include_erased": True} if options.include_erased else {}),
        )
        return await self._threads.run(view)

    async def after(self, found: Found, steps: Sequence[CommitStep]) -> CompiledContext:
        """Return the context after *steps* on a snapshot; nothing is stored or cached."""
        base = found.snapshot
        if isinstance(base, Snapshot):
            base = base.apart()
        snapshot = await self.folded(base, steps)
        return await self.view(Found(snapshot, None), ViewOptions())

    async def _make(self, key: CacheKey, located: Located) -> CompileSnapshot:
        if located.steps is not None:
            base = await self._base(key.tract_id, located.base_hash)
            if base is not None:
                self._cache.count(folded=located.base_hash is not None)
                return await self.folded(base, located.steps)
        erasures = located.erasures
        try:
            snapshot = await self._make_from_afar(key, self._cache.heads(key.tract_id), erasures)
            if snapshot is None:  # the base was evicted on the way
                snapshot = await self._make_from_afar(key, frozenset(), erasures)
        except OvertakenError:  # an erasure came between two trips
            snapshot = await self._make_from_afar(key, frozenset(), None)
        assert snapshot is not None
        return snapshot

    async def _make_from_afar(
        self, key: CacheKey, known: Set[str], erasures: int | None
    ) -> CompileSnapshot | None:
        """Fold a history that takes many trips; return None if its base was evicted."""
        snapshot: CompileSnapshot | None = None
        history = self._histories.history(key.tract_id, key.head_hash, known, erasures)
        async for base_hash, steps in history:
            if snapshot is None:
                snapshot = await self._base(key.tract_id, base_hash)
                if snapshot is None:
                    return None
                self._cache.count(folded=base_hash is not None)
            if steps:
                snapshot = await self.folded(snapshot, steps)
        return snapshot

    async def _base(self, tract_id: str, base_hash: str | None) -> CompileSnapshot | None:
        if base_hash is None:
            return self._compiler.empty()
        return await self._cache.get(CacheKey(tract_id, base_hash))

    async def folded(self, base: CompileSnapshot, steps: Sequence[CommitStep]) -> CompileSnapshot:
        """Return the snapshot after *steps*; nothing is stored or cached."""
        if isinstance(self._compiler, DefaultContextCompiler) and self._may_be_quick(steps):
            snapshot = self._compiler.fold_at_once(base, steps)
            if snapshot is not None:
                return snapshot
        return await self._threads.run(self._compiler.fold, base, steps)

    def _may_be_quick(self, steps: Sequence[CommitStep]) -> bool:
        return (
            isinstance(self._compiler, DefaultContextCompiler)
            and self._compiler.ready
            and len(steps) <= _QUICK_STEPS
            and not any(rule_of(step.operation).changes_many for step in steps)
            and sum(len(step.data) for step in steps) <= _QUICK_BYTES
        )

    def _view_is_quick(self, found: Found, options: ViewOptions) -> bool:
        return (
            isinstance(self._compiler, DefaultContextCompiler)
            and self._compiler.counts_incrementally
            and not options.include_edit_annotations
            and not options.include_erased
        )
