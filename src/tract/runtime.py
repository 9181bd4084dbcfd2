"""An open store's parts, wired: what `TractStore` and `AsyncTract` both stand on."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from os import PathLike
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from tract.engine.branches.comparing import Comparer
from tract.engine.branches.merging import Merger
from tract.engine.commit.budget import BudgetedCommits
from tract.engine.commit.drafts import DraftMaker
from tract.engine.compile.cache import SnapshotCache
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.compile.contents import ContentRegistry
from tract.engine.compile.reading import ContextReader
from tract.engine.streams.landing import StreamLander
from tract.engine.streams.open_streams import Spooler
from tract.engine.threads import Threads
from tract.engine.tokens.counters import TiktokenCounter
from tract.engine.watching.hub import WatchHub
from tract.forking import PROCESS
from tract.history.redaction import Redactor
from tract.lifecycle import CallGate, ended
from tract.models.config import TractConfig
from tract.protocols import ContextCompiler, TokenCounter
from tract.storage.repositories import Repositories
from tract.storage.sqlite.database import Database, now_microseconds, open_database, open_engine
from tract.storage.sqlite.repositories import repositories_over
from tract.waiting import one_of

__all__ = ["Options", "Runtime", "checked_options"]


class Options(NamedTuple):
    """What `open` takes besides the database."""

    config: TractConfig
    tokenizer: TokenCounter | None = None
    compiler: ContextCompiler | None = None
    clock: Callable[[], int] = now_microseconds


def checked_options(
    config: TractConfig | None, tokenizer: TokenCounter | None, compiler: ContextCompiler | None
) -> Options:
    """Return the options of a store, the defaults filled in.

    Raises:
        ValueError: a counter or roles that the compiler would not use.
    """
    with PROCESS.building:
        config = config or TractConfig()
    own = isinstance(compiler, DefaultContextCompiler)
    if own and (tokenizer is not None or config.type_to_role):
        raise ValueError(
            "The compiler has a counter and roles of its own. Give `tokenizer` and `type_to_role` "
            "to the compiler: DefaultContextCompiler(counter, type_to_role=...)."
        )
    return Options(config, tokenizer, compiler)


class Runtime:
    """The parts of one open store. Who drops it open gets a ResourceWarning."""

    def __init__(self, database: Database, options: Options) -> None:
        config = options.config
        compiler = _default_compiler(options)
        self.config: TractConfig = config
        self.clock: Callable[[], int] = options.clock
        self.database: Database = database
        self.gate: CallGate = CallGate(database.path)
        self.threads: Threads = Threads()
        self.registry: ContentRegistry = compiler.registry
        self.cache: SnapshotCache = SnapshotCache(config.cache_max_bytes)
        storage = repositories_over(database)
        self.storage: Repositories = storage
        self.redactor: Redactor | None = (
            Redactor(config.redact_keys) if config.redact_keys else None
        )
        self.drafts: DraftMaker = DraftMaker(
            self.registry, compiler, self.threads, config.max_content_bytes, self.redactor
        )
        self.reader: ContextReader = ContextReader(
            storage.histories, self.cache, options.compiler or compiler, self.threads
        )
        self.writer: BudgetedCommits = BudgetedCommits(
            storage.commits, storage.comparisons, self.reader, config.token_budget
        )
        self.merger: Merger = Merger(storage, self.reader, self.drafts, self.writer, self.registry)
        self.comparer: Comparer = Comparer(storage.comparisons, self.reader, self.threads)
        self.spooler: Spooler = Spooler(storage.spools, database.path)
        self.lander: StreamLander = StreamLander(self.drafts, self.writer, self.redactor)
        self.leaving: set[asyncio.Task[None]] = set()
        """Streams that nobody waits for any more, on their way to their commits."""
        self.watching: WatchHub = WatchHub(storage, self.threads, self.gate)
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, target: str | PathLike[str], options: Options) -> Runtime:
        """Open a path, `:memory:`, a URI or a URL."""
        return cls(await open_database(target, options.config, options.clock), options)

    @classmethod
    async def from_engine(cls, engine: AsyncEngine, options: Options) -> Runtime:
        """Use an engine that stays its owner's."""
        return cls(await open_engine(engine, options.config, options.clock), options)

    async def aclose(self) -> None:
        """Finish the calls under way, refuse new ones, close; closing again waits for the first.

        Raises:
            StorageError: called from within a call, or on another event loop.
        """
        self.gate.check_loop()
        self.gate.check_outside()
        cancelled: asyncio.CancelledError | None = None
        while not self.database.closed:
            if self._closing is None or self._closing.done():
                self._closing = asyncio.create_task(self._close())
            closing = self._closing
            cancelled = await ended(closing) or cancelled
            if not _is_interrupted(closing):  # else by who cancels every task: once more
                closing.result()
        if cancelled is not None:
            raise cancelled

    async def _close(self) -> None:
        self.watching.close()
        while leaving := [task for task in self.leaving if not task.done()]:
            await one_of(*leaving)
        await self.gate.close()
        await self.spooler.aclose()
        await self.cache.drain()
        self.threads.close()  # first: once the database is closed, nobody closes anything again
        await self.database.aclose()

    def __del__(self) -> None:
        database = getattr(self, "database", None)
        if database is None or self.gate.is_inherited:
            return  # it is open in the parent, which closes it
        if not database.closed:
            database.abandon()  # first: the warning may be an error
            warnings.warn(
                f"the store {database.path} was dropped without being closed. "
                "Use `async with`, or `await aclose()`.",
                ResourceWarning,
                source=self,
                stacklevel=1,
            )


def _is_interrupted(task: asyncio.Task[None]) -> bool:
    """Return True if a task was cancelled, or met an interrupt, which the loop has told already."""
    return task.cancelled() or isinstance(task.exception(), (KeyboardInterrupt, SystemExit))


def _default_compiler(options: Options) -> DefaultContextCompiler:
    """Return the compiler that renders and counts what is committed."""
    if isinstance(options.compiler, DefaultContextCompiler):
        return options.compiler
    return DefaultContextCompiler(
        options.tokenizer or TiktokenCounter(), type_to_role=options.config.type_to_role
    )
