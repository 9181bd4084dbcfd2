"""`TractStore`: one database with many tracts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from pydantic import BaseModel

from tract.engine.branches.tracts import conditions_of, cursor_of
from tract.exceptions import StorageError
from tract.handles.abroad import abroad, with_caller
from tract.handles.arguments import (
    checked_commit,
    checked_limit,
    checked_name,
    checked_text,
    checked_tract_order,
    checked_tracts,
)
from tract.handles.blocking import SyncStore
from tract.handles.recovery import LeftStream, left_streams
from tract.handles.twins import pair, twin
from tract.loading import load
from tract.models.annotations import Priority
from tract.models.commit import BackupProgress, CopyProgress, CopyReport
from tract.models.config import ContentType, TractConfig
from tract.models.erasure import (
    CollectReport,
    PruneProgress,
    Retention,
    RetentionReport,
    TractErasureReceipt,
)
from tract.models.queries.conditions import checked_conditions
from tract.models.queries.query import ConfigField
from tract.models.queries.searching import SearchHit, checked_cursor, search_terms
from tract.models.store import CacheInfo, StoreInfo, TractInfo, VacuumReport
from tract.protocols import UNSET, ContextCompiler, Instrumentation, TokenCounter, UnsetType
from tract.running.crossing import Home
from tract.running.lifecycle import Opening
from tract.runtime import Runtime, checked_options
from tract.storage.repositories import Listing, TractOrder
from tract.tract import AsyncTract
from tract.transaction import Transaction

if TYPE_CHECKING:  # its import takes an eighth of that of this package
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["TractStore", "copy_store"]


class TractStore:
    """One database with many tracts, which share one writer and one snapshot cache.

    Get one from `TractStore.open` or `TractStore.from_engine`. It belongs to the event loop it
    was opened in, unless it was opened with a loop of its own.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @classmethod
    def open(
        cls,
        target: str | PathLike[str] = ":memory:",
        *,
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        compiler: ContextCompiler | None = None,
        content_types: Mapping[str, type[BaseModel] | ContentType] | None = None,
        telemetry: Instrumentation | None = None,
        own_loop: bool = False,
    ) -> Opening[TractStore]:
        """Open a database; `await` the result, or use it in `async with`, which closes the store.

        With *own_loop*, the store runs an event loop in a thread of its own. It and the handles
        that it returns may then be used from any event loop and, by `sync`, from none. Callbacks
        and the streams of providers stay in the loop or thread of their caller.

        See `AsyncTract.open` for the other arguments and the errors.
        """
        options = checked_options(config, tokenizer, compiler, content_types, telemetry)

        async def open_it() -> TractStore:
            if not own_loop:
                return cls(await Runtime.open(target, options))
            home = Home()
            try:
                runtime = await home.call(partial(Runtime.open, target, options, home))
            except BaseException:
                home.end()
                raise
            home.path = runtime.database.path
            return abroad(cls(runtime), home)

        return Opening(open_it, load)

    @classmethod
    def from_engine(
        cls,
        engine: AsyncEngine,
        *,
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        compiler: ContextCompiler | None = None,
        content_types: Mapping[str, type[BaseModel] | ContentType] | None = None,
        telemetry: Instrumentation | None = None,
    ) -> Opening[TractStore]:
        """Use the connections of an engine; the result is as that of `open`.

        The engine is of `sqlite+aiosqlite` or `postgresql+asyncpg`. The store takes one connection
        for writes and up to `TractConfig.readers` for reads from the engine's pool, on PostgreSQL
        one more for notifications, and returns them when it is closed. It never disposes of the
        engine.

        Raises:
            StorageError: the engine is of another kind, or does not have enough connections.
        """
        options = checked_options(config, tokenizer, compiler, content_types, telemetry)

        async def open_it() -> TractStore:
            return cls(await Runtime.from_engine(engine, options))

        return Opening(open_it, load)

    @property
    @with_caller
    def sync(self) -> SyncStore:
        """This store with blocking calls, for threads that have no running event loop.

        Raises:
            TractError: the store was opened without `own_loop=True`.
        """
        return cast(SyncStore, twin(self))

    def tract(self, tract_id: str, *, branch: str = "main") -> AsyncTract:
        """Return a handle on a branch of a tract; this is cheap and does no I/O.

        The first commit creates the branch, and raises a `RefNameError` if a branch cannot have
        that name. Branches that older releases stored under such names can still be used.

        Raises:
            ValueError: a name is empty or too long; for a branch, this is a `RefNameError`.
        """
        return AsyncTract(self._runtime, tract_id, branch)

    def transaction(self) -> Transaction:
        """Return a transaction: changes to branches and tracts of this store, all or none.

            async with store.transaction() as tx:
                asked = tx.on(planner).user("Book me a flight to Oslo.")
                tx.on(log).state({"asked": asked}, key="turn/1")

        What is staged in the block is written when it ends. Nothing is, if the block raises or is
        cancelled, or if one of the changes fails: leaving it then raises what the call on
        `AsyncTract` would.

        Raises:
            StoreClosedError: this store was closed.
        """
        self._runtime.gate.check_open()
        return Transaction(self._runtime)

    async def tract_ids(self) -> list[str]:
        """Return the ids of all tracts, sorted: of those that ever had a commit, branch or title.

        A tract whose branches were all deleted is included: its commits are kept.
        """
        with self._runtime.gate.call():
            return await self._runtime.tracts.ids()

    async def tracts(
        self,
        *,
        prefix: str = "",
        metadata: Mapping[str, Any] | None = None,
        order_by: Literal["updated", "created", "id"] = "updated",
        descending: bool | None = None,
        after: str | None = None,
        limit: int | None = 50,
    ) -> list[TractInfo]:
        """Return tracts with their titles, metadata and numbers, those changed last first.

            page = await store.tracts(metadata={"user": "anna"}, limit=20)
            following = await store.tracts(metadata={"user": "anna"}, after=page[-1].cursor)

        The order is exact. Paging returns each tract once while none changes; one that changes
        meanwhile moves to the front. By `updated`, a page takes as long whatever the number of
        tracts; *prefix* and *metadata* read on until the page is full. `created` reads all rows of
        tracts.

        Args:
            prefix: what their ids begin with.
            metadata: members that their metadata have, with equal values.
            order_by: `updated`, `created` or `id`; equals are sorted by their ids.
            descending: newest first; by default for times, and not for ids.
            after: the `cursor` of the last tract of the page before.
            limit: how many at most; None for all.

        Raises:
            ValueError: *limit* is negative, or *order_by* or *after* is not valid.
            ContentValidationError, QueryError: *prefix* or *metadata* cannot be asked for.
        """
        order = checked_tract_order(order_by)
        listing = Listing(
            order,
            descending=order is not TractOrder.ID if descending is None else bool(descending),
            prefix=checked_text("prefix", prefix),
            conditions=checked_conditions(conditions_of(metadata)),
            after=None if after is None else cursor_of(order, after),
            limit=checked_limit(limit),
        )
        with self._runtime.gate.call():
            return await self._runtime.tracts.listed(listing)

    async def backup(
        self,
        path: str | PathLike[str],
        *,
        progress: Callable[[BackupProgress], object] | None = None,
    ) -> None:
        """Write the whole store to a new file, byte for byte as it is at one moment.

        Others may write meanwhile, in any process. The file appears at *path* once it is whole: a
        call that fails or is cancelled leaves none. It opens as a store. With a store in memory,
        writers wait until it is copied.

        Args:
            path: where no file is yet.
            progress: is called after each megabyte. What it raises ends the backup.

        Raises:
            StorageError: there is a file at *path*, none can be written, or the store is on a
                PostgreSQL server, which has `pg_dump` and `pg_basebackup` for that.
        """
        with self._runtime.gate.call():
            await self._runtime.backup(path, progress)

    async def copy_tract(
        self, source: str, target: str, *, at: str | UnsetType | None = UNSET
    ) -> AsyncTract:
        """Make a new tract of everything that another has, and return a handle on its `main`.

        It is one transaction, and takes no content twice. Others may write to *source* meanwhile:
        the copy is as it was at one moment. Commits keep their hashes and times. Copied are
        branches and tags, the reflog, keys, title and metadata, usage, and which attachments the
        tract may refer to; not streams that are open or were left.

        Args:
            source: the tract to copy.
            target: the id of the new tract.
            at: a commit, by its hash or by a tag or branch. Then the new tract has only the history
                of that commit, as its branch `main`, with the keys, usage and attachments that
                belong to it.

        Raises:
            TractExistsError: the store has something of a tract *target*, be it one attachment.
            TractNotFoundError: the store has nothing of a tract *source*.
            CommitNotFoundError: *source* has no commit *at*.
            ValueError: *target* is empty or too long.
        """
        copied = AsyncTract(self._runtime, checked_name("target", target))
        given = checked_name("source", source), checked_commit(at)
        with self._runtime.gate.call():
            await self._runtime.copy_tract(given[0], target, given[1])
        return copied

    async def export(
        self,
        path: str | PathLike[str],
        *,
        tracts: Iterable[str] | Mapping[str, str | UnsetType] | None = None,
        progress: Callable[[CopyProgress], object] | None = None,
    ) -> CopyReport:
        """Write tracts to a new file, which `import_` reads and `open` opens, on any machine.

        The file is a SQLite store, whatever engine this one is on. Every hash is computed again on
        the way. Each tract is as it was at one moment; others may write meanwhile. One of which
        contents are erased or pruned meanwhile is begun anew; one that is gone is left out, and the
        report names it. The file appears at *path* once it is whole: a call that fails or is
        cancelled leaves none.

        Args:
            path: where no file is yet.
            tracts: ids of tracts; by default all. A mapping names a commit for each, by its hash or
                by a tag or branch: of that tract, only the history of that commit is written, as
                the branch `main`, with the keys, usage and attachments that belong to it. `UNSET`
                takes a tract whole.
            progress: is called before each tract and after each portion. What it raises ends the
                export.

        Raises:
            TractNotFoundError: the store has nothing of a tract.
            CommitNotFoundError: a tract has no such commit.
            StoreCopyError: tracts are damaged, a prune of them is under way, or they were erased
                from again and again; no file is left.
            StorageError: there is a file at *path*, or none can be written.
        """
        chosen = checked_tracts(tracts)
        with self._runtime.gate.call():
            return await self._runtime.export(path, chosen, progress)

    async def import_(
        self,
        path: str | PathLike[str],
        *,
        progress: Callable[[CopyProgress], object] | None = None,
    ) -> CopyReport:
        """Copy all tracts of a file into this store: of one that `export` or `backup` wrote.

        Every hash is computed again. Tracts keep their ids, commits their hashes and times. Each
        tract gets its branches once all of its commits are here. Call it again after it was cut
        short: it goes on where it was. Importing a file again changes nothing, and importing a
        later one adds what is new. A tract that has gone another way here is left alone. The file
        stays as it is.

        Raises:
            StoreCopyError: tracts of the file are damaged, or others have written to them here. All
                others were imported.
            SchemaVersionError: a newer release wrote the file.
            StorageError: there is no such file, or no whole store in it.
            StoreReadOnlyError: this store is read-only.
        """
        with self._runtime.gate.call():
            self._runtime.database.check_writable()
            return await self._runtime.import_(path, progress)

    async def recover_streams(self, *, wait: bool = False) -> list[LeftStream]:
        """Return the left streams of all tracts, those without a sign of life for longest first.

        These are streams that could not be committed, and streams of processes that were killed.
        A process gives a sign of life at least every 5 seconds; a stream is left after 15 seconds
        without one. Commit or drop each stream.

        Args:
            wait: wait, for about 15 seconds at most, until it is known of each present stream
                whether it was left. A process that was killed and restarted at once then gets its
                own streams back, and the streams of a machine whose clock was ahead are
                found.
        """
        return await left_streams(self._runtime.streams, wait=wait)

    async def create_config_index(self, field: ConfigField) -> None:
        """Create an index that speeds up queries on a field in every tract of this database.

        The index stays in the database and adds a small cost to each commit.
        The operators `!=`, `not in` and `exists`, and comparisons with null, lists or objects, do
        not use it. Creating the index reads all commits once; creating it again costs nothing.

        Args:
            field: as `query_by_config` takes it.

        Raises:
            QueryError: the field is malformed, or one of its keys has quotes, backslashes or
                control characters, which cannot be indexed.
        """
        with self._runtime.gate.call():
            await self._runtime.queries.create_index(field)

    async def enable_search(
        self, *, rebuild: bool = False, progress: Callable[[int], object] | None = None
    ) -> int:
        """Switch text search on for this database, and index what it holds.

        Once it is on, this indexes what came since, which a search does, too; so an application can
        call it in the background to keep searches quick. It works in slices, and goes on where it
        was if it was cut short. The index stays in the database, for every process.

        Args:
            rebuild: drop the index first, as if it is damaged.
            progress: is called after each slice with the number of commits so far. What it raises
                ends the call.

        Returns:
            How many commits were indexed.

        Raises:
            StorageError: the SQLite of this Python has no FTS5.
            StoreReadOnlyError: the store was opened read-only.
        """
        with self._runtime.gate.call():
            self._runtime.database.check_writable()
            return await self._runtime.searcher.enable(progress, rebuild=bool(rebuild))

    async def disable_search(self) -> None:
        """Switch text search off, and drop the index; nothing happens if it is off.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
        """
        with self._runtime.gate.call():
            self._runtime.database.check_writable()
            await self._runtime.searcher.disable()

    async def search(
        self, text: str, *, limit: int | None = 20, after: str | None = None
    ) -> list[SearchHit]:
        """Return the commits of all tracts whose contents have all words of *text*.

        See `AsyncTract.search`. The status of a hit is that in the branch `main` of its tract.
        """
        terms = search_terms(text)
        most, cursor = checked_limit(limit), checked_cursor(after)
        with self._runtime.gate.call():
            return await self._runtime.searcher.search(terms, None, most, cursor)

    async def erase_tract(
        self, tract_id: str, *, reason: str, vacuum: bool = False
    ) -> TractErasureReceipt:
        """Delete a whole tract, for good: commits, branches, tags, keys, usage, streams, attachments.

        Contents that other tracts hold stay for these. This takes a transaction for every few
        hundred commits. The first one deletes the branches, so that all handles find an empty
        tract, and nobody can build on what is still there; what comes later begins the tract anew.
        `tract_ids()` lists it until the last commit is gone. Call this again if it was cut short.

        Args:
            tract_id: one that does not exist is fine.
            reason: is in the receipt, and is not stored.
            vacuum: then do what `vacuum()` does, so that no byte is left anywhere.

        Raises:
            ValueError: *tract_id* cannot be one.
            ContentValidationError: *reason* is not a text.
            StoreReadOnlyError: the store was opened read-only.
        """
        name, why = checked_name("tract_id", tract_id), checked_text("reason", reason)
        with self._runtime.gate.call():
            return await self._runtime.eraser.erase_tract(name, why, vacuum=bool(vacuum))

    async def collect(self, *, progress: Callable[[int], object] | None = None) -> CollectReport:
        """Delete contents and attachments that nothing refers to any more.

        On PostgreSQL a refused call may leave a row with the name of its tract, though nothing was
        ever written there: these go, too. It looks at a few thousand at a time, and can be cut
        short and called again.

        Args:
            progress: is called with the number that was deleted so far, after each portion. What
                it raises ends the call.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
        """
        with self._runtime.gate.call():
            self._runtime.database.check_writable()
            return await self._runtime.eraser.collect(progress)

    async def vacuum(self) -> VacuumReport:
        """Give the space of what was deleted back, and leave no byte of what was erased.

        On SQLite the file is written anew, which takes as much room again and a second or two for
        every 100 MB. Readers go on meanwhile; writers, of other processes too, wait. Call it after
        erasures that leave `pending="vacuum"` in their receipts, once for many, or when
        `info().free_nbytes` is large. On PostgreSQL it is the server's `VACUUM` of the store's
        tables, which nobody waits for. A call that is cancelled or killed changes nothing.

        Raises:
            StoreBusyError: another process wrote for longer than `TractConfig.busy_timeout`.
            StoreFullError: there is no room for the copy.
            StoreReadOnlyError: the store was opened read-only.
        """
        with self._runtime.gate.call():
            self._runtime.database.check_writable()
            return await self._runtime.keeper.vacuum()

    async def info(self, *, exact: bool = False) -> StoreInfo:
        """Return what this store is, how much it holds, and how large it is.

        It reads the rows of tracts, branches and tags, and no commits.

        Args:
            exact: count contents, attachments and keys, too, which reads an index of each from
                end to end. Without it they are None.
        """
        with self._runtime.gate.call():
            return await self._runtime.keeper.info(exact=bool(exact))

    async def retain(
        self,
        retention: Retention | None = None,
        *,
        reason: str,
        tract_ids: Iterable[str] | None = None,
        progress: Callable[[PruneProgress], object] | None = None,
    ) -> RetentionReport:
        """Prune tracts by how much is to be kept of them, and collect: one call for a cron job.

        It can be cut short and called again.

        Args:
            retention: instead of that of the store's `TractConfig`.
            reason: see `AsyncTract.prune`.
            tract_ids: only these; by default all of the store.
            progress: see `AsyncTract.prune`.

        Raises:
            ContentValidationError: *reason* is not a text.
            StoreReadOnlyError: the store was opened read-only.
            ValueError: nothing says how much to keep, or *tract_ids* are not ids of tracts.
        """
        why, policy = checked_text("reason", reason), retention or self._runtime.retention
        if not isinstance(policy, Retention):
            raise ValueError("give a Retention here, or TractConfig(retention=...) at opening")
        some = checked_tracts(tract_ids)
        with self._runtime.gate.call():
            self._runtime.database.check_writable()
            names = await self._runtime.tracts.ids() if some is None else [*some]
            receipts = await self._runtime.pruner.retain(names, policy, why, progress)
            collected = await self._runtime.eraser.collect(None)
        return RetentionReport(receipts=tuple(receipts), collected=collected)

    def cache_info(self) -> CacheInfo:
        """Return the counters and the size of the snapshot cache."""
        return self._runtime.contexts.cache_info()

    def register_content_type(
        self,
        name: str,
        model: type[BaseModel],
        *,
        state: bool = False,
        priority: Priority | Literal["skip", "normal", "pinned"] | None = None,
        redact: bool | None = None,
    ) -> None:
        """Let this store hold contents of *model*; see `AsyncTract.register_content_type`."""
        self._runtime.gate.check_open()
        kind = ContentType(model, state=state, priority=priority, redact=redact)
        self._runtime.registry.register(name, kind)

    async def aclose(self) -> None:
        """Refuse new calls, wait for those under way, and close. Closing twice is fine."""
        await self._runtime.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<TractStore {self._runtime.database.path!r}>"


pair(TractStore, SyncStore)


async def copy_store(
    source: TractStore,
    target: TractStore,
    *,
    progress: Callable[[CopyProgress], object] | None = None,
) -> CopyReport:
    """Copy all tracts of *source* into *target*, on whichever engines they are.

    Commits keep their hashes and times. Every hash is computed again on the way. Copied are also
    branches and tags, the reflog, attachments, usage, and the parts of streams; not indexes on
    configs.

    Call it again after it was cut short: it goes on where it was. Others may write to *source*
    meanwhile. Each tract is copied as it was at one moment, and another call brings what came
    later. Until the last one is done, nothing else may write to *target*. A tract that has commits
    or moves of branches there that *source* does not have is left alone.

    Args:
        source: an open store, which may be read-only.
        target: an open store, as a rule an empty one.
        progress: is called before each tract and after each portion. What it raises ends the copy.

    Raises:
        StoreCopyError: tracts are damaged, or others have written to them in *target*. All others
            were copied.
        StoreReadOnlyError: *target* is read-only.
        StorageError: a store belongs to another event loop, or has one of its own.
    """
    here, there = source._runtime, target._runtime
    for runtime in (here, there):
        if runtime.home is not None:
            path = runtime.database.path
            raise StorageError("open the store without `own_loop=True` to copy it.", path)
    with here.gate.call(), there.gate.call():
        return await here.copier_to(there, progress).copy()
