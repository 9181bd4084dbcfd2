"""`TractSaver`: LangGraph's checkpointer over a store."""

from __future__ import annotations

import hashlib
import os
import random
from collections import OrderedDict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from functools import partial
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from tract.integrations.langgraph import housekeeping
from tract.integrations.langgraph.landing import ParentGoneError, Plan
from tract.integrations.langgraph.lists import Lists
from tract.integrations.langgraph.planning import Place, planned
from tract.integrations.langgraph.recorder import TractRecorder
from tract.integrations.langgraph.records import Record, writes_key
from tract.integrations.langgraph.threads import Threads, Whole
from tract.integrations.langgraph.tuples import (
    config_of,
    delta_of,
    is_wanted,
    namespace_of,
    thread_of,
    tuple_of,
)
from tract.integrations.langgraph.values import Element, Large, Packed, Packer
from tract.integrations.lending import LentStore
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["TractSaver"]

T = TypeVar("T")

_INLINE = 512
"""Bytes of a serialized value that stay in the checkpoint."""
_PAGE = 64
_MOST_THREADS = 4096


class TractSaver(BaseCheckpointSaver[Any]):
    """A checkpointer whose threads are tracts.

    Its calls take any event loop, and those that block any thread without one. With a store of the
    caller's that has no loop of its own, they take that store's loop, and other threads.

    Args:
        store: an open store, which stays the caller's, or a path or URL, which is opened at the
            first use. `aclose()` and `close()` close that, and so do `async with` and `with`.
        serde: LangGraph's serializer. With another than its default one, such as one that
            encrypts, messages are stored as that writes them, and no context shows them.
        messages_key: the channel whose list of messages is the context of a thread.

    `recorder` is a callback that records how each message was made: give it to a run.
    """

    def __init__(
        self,
        store: TractStore | str | os.PathLike[str] = ":memory:",
        *,
        serde: SerializerProtocol | None = None,
        messages_key: str = "messages",
    ) -> None:
        super().__init__(serde=serde)
        self.messages_key: str = messages_key
        self.recorder: TractRecorder = TractRecorder()
        self._lent = LentStore(store)
        self._lists = Lists()
        self._threads: list[Threads] = []
        self._newest: OrderedDict[tuple[str, str], Record] = OrderedDict()

    @classmethod
    def open(
        cls,
        target: str | os.PathLike[str] = ":memory:",
        *,
        serde: SerializerProtocol | None = None,
        messages_key: str = "messages",
    ) -> TractSaver:
        """Return a saver with a store of its own, for `async with` or `with`; see `TractStore.open`."""
        return cls(target, serde=serde, messages_key=messages_key)

    async def store(self) -> TractStore:
        """Return the store, opened if it is not yet."""
        return (await self._opened()).store

    async def tract(self, thread_id: str, checkpoint_ns: str = "") -> AsyncTract:
        """Return the branch of a thread, whose head is the newest checkpoint."""
        return (await self._opened()).branch(str(thread_id), checkpoint_ns)

    # Reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that *config* names, or the newest of its thread and namespace."""
        thread, ns = thread_of(config), namespace_of(config)
        packer = self._packer
        wanted = get_checkpoint_id(config)
        found = await self._run(lambda threads: threads.one(thread, ns, wanted))
        return (
            None if found is None else tuple_of(thread, found, packer, config if wanted else None)
        )

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, those of the greatest ids first.

        Without a *config* they are of all threads, without a `checkpoint_ns` in it of all
        namespaces.
        """
        packer, count = self._packer, 0
        size = _PAGE if limit is None or filter else limit
        lines = await self._run(partial(_lines, config))
        async for thread, record in self._merged(
            lines, get_checkpoint_id(before) if before else None, size
        ):
            if limit is not None and count >= limit:
                return
            if is_wanted(record, config, before, filter, packer):
                found = await self._run(partial(_whole, thread, record))
                if found is not None:
                    yield tuple_of(thread, found, packer)
                    count += 1

    async def _merged(
        self, lines: Sequence[tuple[str, str]], before: str | None, size: int
    ) -> AsyncIterator[tuple[str, Record]]:
        """Yield the checkpoints of several namespaces, those of the greatest ids first."""
        if len(lines) == 1:
            [(thread, ns)] = lines
            records = await self._run(partial(_listing, thread, ns, before, size))
            while found := await self._run(partial(_some, records, size)):
                for record in found:
                    yield thread, record
            return
        found_in_all: list[tuple[str, Record]] = []
        for thread, ns in lines:
            records = await self._run(partial(_listing, thread, ns, None, _PAGE))
            while found := await self._run(partial(_some, records, _PAGE)):
                found_in_all += [(thread, record) for record in found]
        for each in sorted(found_in_all, key=lambda each: each[1].id, reverse=True):
            yield each

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return the writes of channels since each had a value last, and that value."""
        if not channels:
            return {}
        thread, ns, wanted = thread_of(config), namespace_of(config), get_checkpoint_id(config)
        packer = self._packer
        steps = await self._run(lambda threads: threads.steps(thread, ns, wanted, channels))
        return {channel: delta_of(steps, channel, packer) for channel in channels}

    # Writing

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint and the messages that are new in it, in one transaction."""
        thread, ns, parent_id = thread_of(config), namespace_of(config), get_checkpoint_id(config)
        packer = self._packer
        about = get_checkpoint_metadata(config, metadata)
        before = self._at_hand(thread, ns, parent_id)
        while True:
            if before is None:
                before = await self._run(lambda threads: threads.before(thread, ns, parent_id))
            plan = planned(
                Place(thread, ns, parent_id, *before),
                checkpoint,
                about,
                new_versions,
                packer,
                self.messages_key,
                self.recorder,
            )
            try:
                record = await self._run(partial(_put, plan))
            except ParentGoneError:
                before = None, []  # so that all of it is written
            else:
                break
        self._newest[thread, ns] = record
        if len(self._newest) > _MOST_THREADS:
            self._newest.popitem(last=False)  # at once, as threads share it
        return config_of(config["configurable"]["thread_id"], ns, checkpoint["id"])

    def _at_hand(
        self, thread: str, ns: str, parent_id: str | None
    ) -> tuple[Record | None, list[Element]] | None:
        """Return a parent and its messages, if this process wrote them just now."""
        parent = self._newest.get((thread, ns))
        if parent is None or parent.id != parent_id:
            return None
        shown = parent.shown
        found = [] if shown is None else self._lists.get(thread, shown.era, shown.length)
        return None if found is None else (parent, found)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task has written, in one transaction; storing it again changes nothing."""
        packer = self._packer
        values = [
            (WRITES_IDX_MAP.get(channel, place), channel, packer.pack(value))
            for place, (channel, value) in enumerate(writes)
        ]
        is_special = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        await self._put_writes(config, values, task_id, task_path, replace=is_special)

    async def aput_write(
        self,
        config: RunnableConfig,
        task_id: str,
        task_path: str,
        place: int,
        channel: str,
        value: Any,
    ) -> None:
        """Store one write that another saver had at a *place* of its task; see `import_threads`."""
        values = [(place, channel, self._packer.pack(value))]
        await self._put_writes(config, values, task_id, task_path, replace=place < 0)

    async def _put_writes(
        self,
        config: RunnableConfig,
        values: Sequence[tuple[int, str, Packed | Large]],
        task_id: str,
        task_path: str,
        *,
        replace: bool,
    ) -> None:
        thread, checkpoint_id = thread_of(config), str(config["configurable"]["checkpoint_id"])
        payload = {
            "langgraph": "writes",
            "checkpoint": checkpoint_id,
            "task": task_id,
            "path": task_path,
            "replace": replace,
        }
        told = hashlib.sha256(repr((task_path, values)).encode()).hexdigest()[:16]
        key = writes_key(namespace_of(config), checkpoint_id, f"{task_id}/{told}")
        await self._run(lambda threads: threads.put_writes(thread, key, payload, values))

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Return the version after *current*: a number, or a string in threads that have these."""
        if isinstance(current, str):
            return f"{int(current.split('.')[0]) + 1:032}.{random.random():016}"
        return 1 if current is None else int(current) + 1

    # Threads

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread for good: its tract is erased."""
        thread = str(thread_id)
        await self._run(lambda threads: housekeeping.delete(threads, thread))
        for key in [*self._newest]:
            if key[0] == thread:
                self._newest.pop(key, None)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Erase the checkpoints of runs, with their writes and the messages that no other shows."""
        gone, packer = set(run_ids), self._packer

        def is_doomed(record: Record) -> bool:
            return record.metadata(packer).get("run_id") in gone

        async def choose(_: Threads) -> Callable[[Record], bool]:
            return is_doomed

        for thread in await self._run(lambda threads: threads.of_runs(sorted(gone))):
            await self._run(partial(_drop, thread, choose))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Erase all but the newest checkpoints of threads, or with `delete` whole threads.

        What delta channels of the newest checkpoints are rebuilt from is kept.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}")
        packer = self._packer
        for thread in map(str, thread_ids):
            if strategy == "delete":
                await self.adelete_thread(thread)
                continue
            await self._run(partial(_drop, thread, partial(_old, thread, packer)))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all that it has; into one that exists, checkpoint by checkpoint."""
        source, target = str(source_thread_id), str(target_thread_id)
        if source == target or await self._run(
            lambda threads: housekeeping.copy(threads, source, target)
        ):
            return
        for ns in await self._run(lambda threads: threads.namespaces(source)):
            config = RunnableConfig(configurable={"thread_id": source, "checkpoint_ns": ns})
            found = [each async for each in self.alist(config)]
            for each in reversed(found):
                parent = get_checkpoint_id(each.parent_config) if each.parent_config else None
                versions = each.checkpoint["channel_versions"]
                at = config_of(target, ns, parent)
                await self.aput(at, each.checkpoint, each.metadata, versions)
            await self._run(lambda threads: housekeeping.copy_writes(threads, source, target))

    # Opening and closing

    async def aclose(self) -> None:
        """Close the store if the saver opened it."""
        await self._lent.aclose()

    def close(self) -> None:
        """Close the store if the saver opened it, from a thread without an event loop."""
        self._lent.block(self._lent.aclose())

    async def __aenter__(self) -> TractSaver:
        await self._opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> TractSaver:
        self._lent.block(self._opened())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The same, blocking

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return what `aget_tuple` returns."""
        return self._lent.block(self.aget_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield what `alist` yields."""
        found = self.alist(config, filter=filter, before=before, limit=limit)
        while (each := self._lent.block(_next(found))) is not None:
            yield each

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Do what `aput` does."""
        return self._lent.block(self.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Do what `aput_writes` does."""
        self._lent.block(self.aput_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Do what `adelete_thread` does."""
        self._lent.block(self.adelete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do what `adelete_for_runs` does."""
        self._lent.block(self.adelete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do what `acopy_thread` does."""
        self._lent.block(self.acopy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do what `aprune` does."""
        self._lent.block(self.aprune(thread_ids, strategy=strategy))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what `aget_delta_channel_history` returns."""
        return self._lent.block(self.aget_delta_channel_history(config=config, channels=channels))

    @property
    def _packer(self) -> Packer:
        return Packer(self.serde, _INLINE)

    async def _opened(self) -> Threads:
        return await self._run(_itself)

    async def _run(self, work: Callable[[Threads], Awaitable[T]]) -> T:
        return await self._lent.run(partial(self._with_threads, work))

    def _with_threads(
        self, work: Callable[[Threads], Awaitable[T]], store: TractStore
    ) -> Awaitable[T]:
        if not self._threads:
            self._threads.append(Threads(store, self._lists))
        return work(self._threads[0])


def _is_old(kept: Collection[str], record: Record) -> bool:
    return record.commit not in kept


async def _next(found: AsyncIterator[T]) -> T | None:
    return await anext(found, None)


async def _itself(threads: Threads) -> Threads:
    return threads


async def _lines(config: RunnableConfig | None, threads: Threads) -> list[tuple[str, str]]:
    if config is not None and config["configurable"].get("checkpoint_ns") is not None:
        return [(thread_of(config), namespace_of(config))]
    names = [thread_of(config)] if config is not None else await threads.ids()
    return [(thread, ns) for thread in names for ns in await threads.namespaces(thread)]


async def _listing(
    thread: str, ns: str, before: str | None, size: int, threads: Threads
) -> AsyncIterator[Record]:
    return threads.records(thread, ns, before, size)


async def _some(records: AsyncIterator[Record], size: int, _: Threads) -> list[Record]:
    found: list[Record] = []
    async for record in records:
        found.append(record)
        if len(found) >= max(size, 1):
            break
    return found


async def _whole(thread: str, record: Record, threads: Threads) -> Whole | None:
    return await threads.whole(thread, record)


async def _put(plan: Plan, threads: Threads) -> Record:
    return await threads.put(plan)


async def _drop(thread: str, choose: housekeeping.Choose, threads: Threads) -> None:
    await housekeeping.drop(threads, thread, choose)


async def _old(thread: str, packer: Packer, threads: Threads) -> Callable[[Record], bool]:
    return partial(_is_old, await housekeeping.newest(threads, thread, packer))
