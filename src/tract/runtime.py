"""The parts of an open store, wired together for `TractStore` and `AsyncTract`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Mapping
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel

from tract.engine.branches.comparing import Comparer
from tract.engine.branches.merging import Merger
from tract.engine.branches.refs import BranchEngine
from tract.engine.branches.tracts import TractEngine
from tract.engine.bundling import chosen
from tract.engine.commit.attachments import AttachmentEngine
from tract.engine.commit.budget import Budget
from tract.engine.commit.drafts import DraftMaker
from tract.engine.commit.engine import CommitEngine
from tract.engine.commit.keys import KeyReader
from tract.engine.commit.listing import EntryLister
from tract.engine.commit.queries import CommitQueries
from tract.engine.commit.settling import CallSettler
from tract.engine.commit.usage import UsageKeeper
from tract.engine.compaction.compacting import CompactionEngine
from tract.engine.compaction.leasing import Leases
from tract.engine.compaction.maintaining import Maintainer
from tract.engine.compaction.picking import CompactionPicker
from tract.engine.compaction.upkeep import Upkeep
from tract.engine.compile.cache import SnapshotCache
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.compile.reading import ContextReader
from tract.engine.contents.attachments import AttachmentReader
from tract.engine.contents.recent import RecentContents
from tract.engine.contents.registry import ContentLoader, ContentRegistry, register_all
from tract.engine.copying import Copier
from tract.engine.erasing import Eraser
from tract.engine.exporting import Renewal
from tract.engine.housekeeping import Housekeeper
from tract.engine.pruning import Pruner
from tract.engine.searching.searcher import Searcher
from tract.engine.streams.recording import StreamEngine
from tract.engine.threads import Threads
from tract.engine.tokens.counters import TiktokenCounter
from tract.engine.transactions import TransactionEngine
from tract.engine.verifying import Verifier
from tract.engine.watching.hub import WatchHub
from tract.files import back_up, new_file, opened_file
from tract.history.redaction import Redactor
from tract.models.commit import BackupProgress, CopyProgress, CopyReport
from tract.models.config import ContentType, TractConfig
from tract.models.erasure import Retention
from tract.protocols import ContextCompiler, Instrumentation, TokenCounter, UnsetType
from tract.running.crossing import Home
from tract.running.forking import PROCESS
from tract.running.lifecycle import CallGate, ended, to_the_end
from tract.storage.opening import open_database, open_engine
from tract.storage.repositories import Repositories, TractTimes
from tract.storage.sql.database import Database
from tract.storage.sql.repositories import repositories_over

if TYPE_CHECKING:  # its import takes an eighth of that of this package
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Options", "Runtime", "checked_options"]


ContentTypes = Mapping[str, type[BaseModel] | ContentType]
"""Content types of an application's own, by name."""


class Options(NamedTuple):
    """The arguments of `open`, apart from the database."""

    config: TractConfig
    tokenizer: TokenCounter | None = None
    compiler: ContextCompiler | None = None
    clock: Callable[[], int] | None = None
    content_types: ContentTypes = MappingProxyType({})
    remembers: bool = True
    """False has every answer come from the database; see `Freshness`."""
    telemetry: Instrumentation | None = None


def checked_options(
    config: TractConfig | None,
    tokenizer: TokenCounter | None,
    compiler: ContextCompiler | None,
    content_types: ContentTypes | None,
    telemetry: Instrumentation | None,
) -> Options:
    """Return the options of a store, with the defaults filled in.

    Raises:
        ValueError: the compiler would not use the given counter or roles, or a content type cannot
            be registered.
    """
    content_types = dict(content_types or {})
    with PROCESS.building:
        config = config or TractConfig()
    own = compiler if isinstance(compiler, DefaultContextCompiler) else None
    register_all(own.registry if own else ContentRegistry(), content_types)
    if own and (tokenizer is not None or config.type_to_role):
        raise ValueError(
            "The compiler has a counter and roles of its own. Pass `tokenizer` and `type_to_role` "
            "to the compiler: DefaultContextCompiler(counter, type_to_role=...)."
        )
    return Options(config, tokenizer, compiler, content_types=content_types, telemetry=telemetry)


class Runtime:
    """The engines of one open store, and its life. Dropping it open issues a ResourceWarning.

    Each method of a facade enters `gate` and calls one method of one engine.
    """

    def __init__(self, database: Database, options: Options, home: Home | None = None) -> None:
        self.database: Database = database
        self.home: Home | None = home
        """Where everything of the store happens, if it has a loop of its own."""
        self.clock: Callable[[], int] = database.clock
        self.retention: Retention | None = options.config.retention
        self.gate: CallGate = CallGate(database.path)
        self._threads = Threads()
        self._closing: asyncio.Task[None] | None = None
        compiler = _default_compiler(options)
        redactor = Redactor(options.config.redact_keys) if options.config.redact_keys else None
        self._storage = storage = repositories_over(database)
        self.registry: ContentRegistry = compiler.registry
        register_all(self.registry, options.content_types)
        self._wire_commits(options, compiler, storage, redactor)
        self._wire_branches(compiler, storage)
        self._upkeep: Upkeep | None = None
        if options.config.maintenance is not None:
            self._upkeep = Upkeep(self.maintainer, self.gate, options.config.maintenance)
            self.watching.on_moves = self._upkeep.moved
        self.tracts: TractEngine = TractEngine(storage.tracts, redactor)
        self.keeper: Housekeeper = Housekeeper(
            storage.stores, storage.erasures, database.path, self.contexts.cache_info
        )
        self.searcher: Searcher = Searcher(storage.searches, self.contexts, self._threads)
        self.streams: StreamEngine = StreamEngine(
            storage, self.commits, self._threads, self.gate, self.clock, redactor, self.contexts
        )
        if options.telemetry is not None:
            options.telemetry.attach(self)

    def _wire_commits(
        self,
        options: Options,
        compiler: DefaultContextCompiler,
        storage: Repositories,
        redactor: Redactor | None,
    ) -> None:
        config, commits, threads = options.config, storage.commits, self._threads
        cache = SnapshotCache(config.cache_max_bytes)
        reader = AttachmentReader(storage.attachments, threads, config.attachment_cache_bytes)
        self.contents: ContentLoader = ContentLoader(self.registry, reader, threads)
        self.attachments: AttachmentEngine = AttachmentEngine(
            storage.attachments, reader, threads, config.max_content_bytes
        )
        self.contexts: ContextReader = ContextReader(
            storage.histories, cache, options.compiler or compiler, threads, reader
        )
        drafts = DraftMaker(compiler, config.max_content_bytes, redactor)
        limits = config.token_budget
        self._budget = budget = None if limits is None else Budget(commits, self.contexts, limits)
        self.commits: CommitEngine = CommitEngine(
            commits, storage.keys, storage.comparisons, self.contexts, drafts, threads, budget
        )
        self.settler: CallSettler = CallSettler(self.contexts, self.commits)
        recent = RecentContents(storage.blobs, config.cache_max_bytes // 16)
        self.contexts.on_erasure.append(recent.forget)
        self.lister: EntryLister = EntryLister(
            self.contexts, storage.blobs, recent, self.contents, threads
        )
        self.compactor: CompactionEngine = CompactionEngine(
            self.contexts, self.commits, storage.blobs, drafts, compiler, threads
        )
        self._picker = CompactionPicker(self.contexts, drafts, self.contents, threads)
        self.maintainer: Maintainer = Maintainer(
            self.contexts, storage.usages, self.compactor, Leases(storage.leases), config.compaction
        )
        if budget is not None:
            budget.on_compact = self.maintainer.make_room
        self.keys: KeyReader = KeyReader(storage.keys, threads)
        self.queries: CommitQueries = CommitQueries(storage, self.contents, threads)
        self.usage: UsageKeeper = UsageKeeper(storage.usages, self.contexts, redactor)

    def _wire_branches(self, compiler: DefaultContextCompiler, storage: Repositories) -> None:
        self.branches: BranchEngine = BranchEngine(storage.refs, storage.tags)
        self.merging: Merger = Merger(
            storage, self.contexts, self.commits, self.contents, self._picker.pick
        )
        self.comparing: Comparer = Comparer(storage.comparisons, self.contexts, self._threads)
        self.watching: WatchHub = WatchHub(storage, self._threads, self.gate)
        self.contexts.on_erasure.append(self.watching.forget)
        self.watching.on_times = self.contexts.noticed
        self.eraser: Eraser = Eraser(
            storage.erasures,
            storage.blobs,
            compiler,
            self._threads,
            self.clock,
            self.contexts.forget,
        )
        self.transactions: TransactionEngine = TransactionEngine(
            storage.transactions,
            storage.refs,
            self.commits,
            self.contexts,
            self.eraser,
            self._threads,
            self._budget,
        )
        self.pruner: Pruner = Pruner(storage.prunes, self.contexts, self.eraser, self._threads)
        self.verifier: Verifier = Verifier(
            storage.checks, storage.attachments, compiler, self._threads
        )

    @classmethod
    async def open(
        cls, target: str | PathLike[str], options: Options, home: Home | None = None
    ) -> Runtime:
        """Open a path, `:memory:`, a URI or a URL."""
        clock, remembers = options.clock, options.remembers
        database = await open_database(target, options.config, clock, remembers=remembers)
        return cls(database, options, home)

    @classmethod
    async def from_engine(cls, engine: AsyncEngine, options: Options) -> Runtime:
        """Use the connections of an engine that the caller goes on owning."""
        clock, remembers = options.clock, options.remembers
        return cls(await open_engine(engine, options.config, clock, remembers=remembers), options)

    def copier_to(
        self, target: Runtime, progress: Callable[[CopyProgress], object] | None
    ) -> Copier:
        """Return what copies this store into another."""
        return Copier(self._storage, target._storage, self._threads, target.database.path, progress)

    async def export(
        self,
        path: str | PathLike[str],
        tracts: Mapping[str, str | UnsetType | None] | None,
        progress: Callable[[CopyProgress], object] | None,
    ) -> CopyReport:
        """Write tracts to a new file; see `TractStore.export`."""
        storage, threads = self._storage, self._threads
        some = None if tracts is None else await chosen(storage.copies, tracts)
        async with new_file(path, threads) as temporary:
            database = await open_database(temporary, TractConfig())
            try:
                target = repositories_over(database)
                renewal = Renewal(storage, target, tracts)
                to, again = str(path), renewal.again
                report = await Copier(storage, target, threads, to, progress, some, again).copy()
                await renewal.finish()
                return report
            finally:
                await to_the_end(database.aclose())

    async def import_(
        self, path: str | PathLike[str], progress: Callable[[CopyProgress], object] | None
    ) -> CopyReport:
        """Read the tracts of a file; see `TractStore.import_`."""
        async with opened_file(path, self._threads, TractConfig()) as database:
            source = repositories_over(database)
            to = self.database.path
            return await Copier(source, self._storage, self._threads, to, progress).copy()

    async def backup(
        self,
        path: str | PathLike[str],
        progress: Callable[[BackupProgress], object] | None,
    ) -> None:
        """Write the whole database to a new file; see `TractStore.backup`."""
        async with new_file(path, self._threads) as temporary:
            await back_up(self.database, temporary, progress)

    async def times(self, tract_id: str) -> TractTimes | None:
        """Return when a tract was begun and last erased, for what remembers contents."""
        with self.gate.call():
            return (await self._storage.erasures.times([tract_id])).get(tract_id)

    async def copy_tract(self, source: str, target: str, at: str | UnsetType | None) -> None:
        """Copy a tract within this store."""
        await self._storage.copy_targets.copy_within(source, target, at)

    async def aclose(self) -> None:
        """Refuse new calls, wait for those under way, and close.

        A second `aclose()` waits for the first.

        Raises:
            StorageError: called from within a call, or on another event loop.
        """
        if self.home is not None and self.home.ended:
            return
        self.gate.check_loop()
        self.gate.check_outside()
        cancelled: asyncio.CancelledError | None = None
        while not self.database.closed:
            if self._closing is None or self._closing.done():
                self._closing = asyncio.create_task(self._close())
            closing = self._closing
            cancelled = await ended(closing) or cancelled
            if not _is_interrupted(closing):  # if it was, as by cancelling every task: try again
                closing.result()
        if self.home is not None:
            self.home.end()
        if cancelled is not None:
            raise cancelled

    async def _close(self) -> None:
        if self._upkeep is not None:
            await self._upkeep.aclose()
        self.watching.close()
        await self.streams.settle()
        await self.gate.close()
        await self.streams.aclose()
        await self.contexts.aclose()
        self._threads.close()  # first: once the database is closed, `aclose` does nothing
        await self.database.aclose()

    def __del__(self) -> None:
        database = getattr(self, "database", None)
        if database is None or self.gate.is_inherited:
            return  # the parent has it open, and closes it
        if not database.closed:
            database.abandon()  # first: the warning may be raised as an error
            if self.home is not None:
                self.home.end()
            warnings.warn(
                f"the store {database.path} was dropped without being closed. "
                "Use `async with`, or `await aclose()`.",
                ResourceWarning,
                source=self,
                stacklevel=1,
            )


def _is_interrupted(task: asyncio.Task[None]) -> bool:
    """Return True if a task was cancelled, or hit an interrupt, which the loop has raised."""
    return task.cancelled() or isinstance(task.exception(), (KeyboardInterrupt, SystemExit))


def _default_compiler(options: Options) -> DefaultContextCompiler:
    """Return the compiler that renders and counts new commits."""
    if isinstance(options.compiler, DefaultContextCompiler):
        return options.compiler
    return DefaultContextCompiler(
        options.tokenizer or TiktokenCounter(), type_to_role=options.config.type_to_role
    )
