"""Threads in a store: checkpoints and writes are read and written here, in the store's own loop."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from tract.exceptions import (
    AttachmentNotFoundError,
    BlobNotFoundError,
    BranchNotFoundError,
    CommitNotFoundError,
    HeadMovedError,
)
from tract.integrations.langgraph.landing import (
    ParentGoneError,
    Plan,
    Staged,
    moved,
    staged_value,
)
from tract.integrations.langgraph.lists import Lists
from tract.integrations.langgraph.messages import CONTENT_TYPES, LangChainContent
from tract.integrations.langgraph.records import (
    DROPS,
    KEYS,
    WRITES,
    Record,
    Records,
    Write,
    branch_of,
    key_of,
    record_of,
    writes_key,
    writes_of,
)
from tract.integrations.langgraph.values import Element, Large, Packed, Packer, all_made
from tract.models.content import StateContent
from tract.models.queries.conditions import metadata
from tract.models.refs import quote_id, unquote_id
from tract.storage.repositories import TractTimes
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["Threads", "Whole"]

_MOST_THREADS = 4096
_MOST_WRITES = 64
_PAGE = 64


_GONE = (AttachmentNotFoundError, BlobNotFoundError, CommitNotFoundError)
"""What a read raises if what it names was deleted meanwhile."""


class Whole(NamedTuple):
    """A checkpoint with everything that it is made of, read at one moment."""

    record: Record
    elements: list[Element]
    writes: list[Write]
    large: Mapping[str, Large]

    @property
    def channels(self) -> list[str]:
        """The channels that have values, in order, but for those whose values were erased."""
        values = self.record.values
        return [
            each
            for each in self.record.channels
            if "at" not in values[each] or values[each]["at"] in self.large
        ]

    def unpacked(self, packed: Packed, packer: Packer) -> Any:
        """Return a value as new objects."""
        return packer.unpack(self.large[packed["at"]] if "at" in packed else packed)

    def value(self, channel: str, packer: Packer) -> Any:
        """Return the value of a channel as new objects."""
        packed = self.record.values[channel]
        if packed:
            return self.unpacked(packed, packer)
        return all_made(self.elements, packer)


class Threads:
    """The threads of one store."""

    def __init__(self, store: TractStore, lists: Lists) -> None:
        self.store: TractStore = store
        self.lists: Lists = lists
        self._records = Records()
        self._times: OrderedDict[str, TractTimes | None] = OrderedDict()
        self._writes: OrderedDict[str, tuple[str | None, dict[str, list[Write]]]] = OrderedDict()
        for name, model in CONTENT_TYPES.items():
            store.register_content_type(name, model)

    def branch(self, thread: str, ns: str = "") -> AsyncTract:
        """Return the branch of a namespace of a thread."""
        return self.store.tract(quote_id(thread), branch=branch_of(ns))

    # Reading

    async def latest(self, thread: str, ns: str) -> Record | None:
        """Return the checkpoint of the greatest id."""
        branch = self.branch(thread, ns)
        head = await branch.head()
        if head is None:
            return None
        found = self._records.get(head)
        if found is None:
            logged = await branch.log(1, contents=True)
            if not logged:
                return None  # it was deleted meanwhile
            found = self._kept(record_of(logged[0][0].commit_hash, logged[0][1]))
        if found is not None and found.ns == ns:
            return found
        # others have committed to the branch
        return next(iter(await self._page(branch, ns, None, 1)), None)

    async def record(self, thread: str, ns: str, checkpoint_id: str) -> Record | None:
        """Return the checkpoint of an id."""
        branch = self.branch(thread, ns)
        names = [key_of(ns, checkpoint_id, late=True), key_of(ns, checkpoint_id)]
        found = await branch.get_by_keys(names)
        commits = [found[name].commit_hash for name in names if name in found]
        return next(iter(await self._read(branch, commits[:1])), None)

    async def records(
        self, thread: str, ns: str, before: str | None = None, size: int = _PAGE
    ) -> AsyncIterator[Record]:
        """Yield the checkpoints of a namespace, those of the greatest ids first."""
        await self.noticed(thread)
        branch = self.branch(thread, ns)
        late = {each.id: each for each in await self._late(branch, ns)}
        waiting = sorted(late.values(), key=lambda each: each.id)
        after: str | None = None
        if before is not None and await branch.get_by_keys([key_of(ns, before)]):
            after = before
        while page := await self._page(branch, ns, after, size):
            for record in page:
                while waiting and waiting[-1].id > record.id:
                    yield waiting.pop()
                if record.id not in late:
                    yield record
            after, size = page[-1].id, _PAGE
        while waiting:
            yield waiting.pop()

    async def namespaces(self, thread: str) -> list[str]:
        """Return the namespaces of a thread that have checkpoints."""
        branch = self.branch(thread)
        found: dict[str, None] = {}
        for each in await branch.branches():
            if each.name == "main" or each.name.startswith("ns/"):
                newest = await branch.on(each.name).log(1, contents=True)
                record = record_of(newest[0][0].commit_hash, newest[0][1]) if newest else None
                if record is not None:
                    found[record.ns] = None
                elif each.name == "main" and await self.latest(thread, ""):
                    found[""] = None
        return list(found)

    async def writes(self, thread: str, record: Record) -> list[Write]:
        """Return the pending writes of a checkpoint, in the order in which they are applied."""
        branch = self.store.tract(quote_id(thread), branch=WRITES)
        head = await branch.head()
        if head is None:
            return []
        known, kept = self._writes.get(branch.tract_id, (None, {}))
        if known != head:
            kept = {}
            self._writes[branch.tract_id] = (head, kept)
            if len(self._writes) > _MOST_THREADS:
                self._writes.popitem(last=False)
        prefix = writes_key(record.ns, record.id)
        if prefix not in kept:
            commits = await branch.keys(prefix)
            commits.sort(key=lambda commit: commit.created_at)
            contents = await branch.get_contents(commit.commit_hash for commit in commits)
            if len(kept) >= _MOST_WRITES:  # of a listing of many
                kept.clear()
            kept[prefix] = writes_of(contents)
        return kept[prefix]

    async def elements(self, thread: str, record: Record) -> list[Element]:
        """Return the messages that a checkpoint shows."""
        shown = record.shown
        if shown is None:
            return []
        found = self.lists.get(thread, shown.era, shown.length)
        if found is None:
            branch, times = self.branch(thread, record.ns), self._times.get(thread)
            entries = await branch.entries(at_commit=record.commit)
            found = [
                Element(entry.content, entry.commit_hash, entry.edited_by or "")
                for entry in entries
                if isinstance(entry.content, LangChainContent)
            ]
            is_whole = len(found) == shown.length  # else some were erased, and places are others
            if is_whole and self._times.get(thread) == times:
                self.lists.put(thread, shown.era, found)
        return found

    async def large(self, thread: str, packed: Sequence[Packed]) -> dict[str, Large]:
        """Return the values that are commits of their own, by their hashes."""
        hashes = list(dict.fromkeys(each["at"] for each in packed if "at" in each))
        if not hashes:
            return {}
        contents = await self.branch(thread).get_contents(hashes)
        return {
            commit: Large(content.payload["kind"], content.payload["data"])
            for commit, content in zip(hashes, contents, strict=True)
            if isinstance(content, StateContent)
        }

    async def one(self, thread: str, ns: str, checkpoint_id: str | None) -> Whole | None:
        """Return a checkpoint by its id, or the newest."""
        await self.noticed(thread)
        if checkpoint_id:
            record = await self.record(thread, ns, checkpoint_id)
        else:
            record = await self.latest(thread, ns)
        return None if record is None else await self._whole(thread, record)

    async def whole(self, thread: str, record: Record) -> Whole | None:
        """Return a checkpoint with all that it refers to; None if it was deleted meanwhile.

        Messages and values that were erased by themselves are left out.
        """
        if await self.noticed(thread) and not await self._is_stored(thread, record):
            return None
        return await self._whole(thread, record)

    async def _whole(self, thread: str, record: Record) -> Whole | None:
        try:
            elements = await self.elements(thread, record)
            writes = await self.writes(thread, record)
            packed = [*record.values.values(), *(write.value for write in writes)]
            large = await self.large(thread, packed)
        except _GONE:
            return None
        shown = record.shown
        is_all = all(each["at"] in large for each in packed if "at" in each)
        is_all = is_all and (shown is None or len(elements) == shown.length)
        if not is_all and not await self._is_stored(thread, record):
            return None
        writes = [each for each in writes if "at" not in each.value or each.value["at"] in large]
        return Whole(record, elements, writes, large)

    async def _is_stored(self, thread: str, record: Record) -> bool:
        try:
            [content] = await self.branch(thread).get_contents([record.commit])
        except _GONE:
            return False
        return record_of(record.commit, content) is not None

    async def before(
        self, thread: str, ns: str, checkpoint_id: str | None
    ) -> tuple[Record | None, list[Element]]:
        """Return a parent and the messages that it shows; None and none if there is none."""
        await self.noticed(thread)
        record = None if checkpoint_id is None else await self.record(thread, ns, checkpoint_id)
        if record is None:
            return None, []
        return record, await self.elements(thread, record)

    async def steps(
        self, thread: str, ns: str, checkpoint_id: str | None, channels: Sequence[str]
    ) -> list[Whole]:
        """Return the ancestors of a checkpoint, newest first, until all *channels* had values."""
        record = (
            await self.record(thread, ns, checkpoint_id)
            if checkpoint_id
            else await self.latest(thread, ns)
        )
        found: list[Whole] = []
        missing = set(channels)
        while record is not None and record.parent is not None and missing:
            record = await self.record(thread, ns, record.parent)
            whole = None if record is None else await self.whole(thread, record)
            if whole is None:
                break
            found.append(whole)
            missing.difference_update(whole.record.values)
        return found

    async def ids(self) -> list[str]:
        """Return the names of all threads."""
        return [
            unquote_id(tract_id)
            for tract_id in await self.store.tract_ids()
            if await self.store.tract(tract_id).keys(f"{KEYS}checkpoint/", limit=1)
        ]

    async def of_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Return the threads that have commits of runs."""
        ran = metadata("run_id").in_(run_ids)
        return [
            thread
            for thread in (await self.ids() if run_ids else [])
            if await self.branch(thread).query(ran, limit=1)
        ]

    # Writing

    async def put(self, plan: Plan) -> Record:
        """Write a checkpoint, all of it in one transaction."""
        branch = self.branch(plan.thread, plan.ns)
        head = None if plan.parent is None else plan.parent.commit
        if plan.parent is None or plan.id > plan.parent.id:
            try:
                return await self._landed(plan, branch, expected=head)
            except HeadMovedError:
                pass
        while True:
            try:
                return await self._aside(plan, branch)
            except (HeadMovedError, BranchNotFoundError, CommitNotFoundError):
                continue  # others have written or deleted meanwhile

    async def put_writes(
        self, thread: str, key: str, payload: dict[str, Any], values: Sequence[tuple[Any, ...]]
    ) -> None:
        """Write pending writes, all of them in one transaction."""
        branch = self.store.tract(quote_id(thread), branch=WRITES)
        async with branch.batch() as batch:
            payload["writes"] = [
                [index, channel, staged_value(batch, value)] for index, channel, value in values
            ]
            batch.state(payload, key=key, on_key="replace" if payload["replace"] else "keep")

    async def _landed(self, plan: Plan, branch: AsyncTract, *, expected: str | None) -> Record:
        """Append a checkpoint to its parent, which is the head of the branch."""
        era = None if plan.parent is None or plan.parent.shown is None else plan.parent.shown.era
        if not plan.change.appends_only or plan.change.kept != _length(plan.parent):
            era = None
        async with self.store.transaction() as tx:
            staged = Staged(plan, era)
            staged.on(tx.on(branch, expected_head=expected))
        return self._written(plan, staged)

    async def _aside(self, plan: Plan, branch: AsyncTract) -> Record:
        """Write a checkpoint whose parent is not the head of the branch: a line of its own.

        The branch goes on with the line of the greatest id.
        """
        drops = self.store.tract(branch.tract_id, branch=DROPS)
        dropped, head = await drops.head(), await branch.head()
        await self._check_parent(plan)
        latest = None if head is None else await self.latest(plan.thread, plan.ns)
        parent = None if plan.parent is None else plan.parent.commit
        late = latest is not None and plan.id < latest.id
        reached = await branch.reached_by({each for each in (head, parent) if each is not None})
        if parent is not None and not reached[parent]:
            raise ParentGoneError  # the thread is being deleted
        async with self.store.transaction() as tx:
            staged = Staged(plan, None, late=late)
            on = tx.on(branch, expected_head=head)
            unmoved = tx.on(drops, expected_head=dropped)
            if late:
                unmoved.state({"langgraph": "late"})  # as this moves no head
                staged.on(on.fork(_aside_name(plan.id), at_commit=parent))
            else:
                is_left = head is not None and head != parent and reached[head] == [branch.branch]
                if is_left and (latest is None or latest.id != plan.id):
                    on.fork(_aside_name(latest.id if latest else "others"))
                staged.on(moved(tx, on, branch, parent, reached))
        return self._written(plan, staged)

    async def _check_parent(self, plan: Plan) -> None:
        """Raise a ParentGoneError if what the plan builds on was deleted."""
        if plan.parent is not None and plan.parent_id is not None:
            found = await self.record(plan.thread, plan.ns, plan.parent_id)
            if found is None or found.commit != plan.parent.commit:
                raise ParentGoneError

    def _written(self, plan: Plan, staged: Staged) -> Record:
        record, elements = staged.landed()
        self._kept(record)
        if record.shown is not None:
            self.lists.put(plan.thread, record.shown.era, elements)
        return record

    # Records in memory

    async def _late(self, branch: AsyncTract, ns: str) -> list[Record]:
        commits = await branch.keys(key_of(ns, late=True))
        return await self._read(branch, [commit.commit_hash for commit in commits])

    async def _page(
        self, branch: AsyncTract, ns: str, before: str | None, size: int
    ) -> list[Record]:
        at = None if before is None else key_of(ns, before)
        try:
            commits = await branch.keys(key_of(ns), newest=True, before=at, limit=size)
        except CommitNotFoundError:  # it was erased meanwhile
            listed = await branch.keys(key_of(ns), newest=True)
            commits = [each for each in listed if each.key is not None and each.key < (at or "")]
            commits = commits[:size]
        return await self._read(branch, [commit.commit_hash for commit in commits])

    async def _read(self, branch: AsyncTract, commits: Sequence[str]) -> list[Record]:
        found = {commit: self._records.get(commit) for commit in commits}
        missing = [commit for commit, record in found.items() if record is None]
        if missing:
            try:
                contents = await branch.get_contents(missing)
            except _GONE:
                return []  # the thread is being deleted
            for commit, content in zip(missing, contents, strict=True):
                found[commit] = self._kept(record_of(commit, content))
        return [record for record in found.values() if record is not None]

    def _kept(self, record: Record | None) -> Record | None:
        if record is not None:
            self._records.put(record)
        return record

    async def noticed(self, thread: str) -> bool:
        """Return True if something of a thread was erased since this was asked last.

        What is remembered of it is forgotten then.
        """
        times = await self.store._runtime.times(quote_id(thread))
        is_known = thread in self._times
        if is_known and self._times[thread] == times:
            return False
        self._times[thread] = times
        self._times.move_to_end(thread)
        if len(self._times) > _MOST_THREADS:
            self.lists.forget(self._times.popitem(last=False)[0])
        self._records.forget()
        self._writes.pop(quote_id(thread), None)
        self.lists.forget(thread)
        return is_known


def _length(record: Record | None) -> int:
    return 0 if record is None or record.shown is None else record.shown.length


def _aside_name(checkpoint_id: str) -> str:
    return f"aside/{secrets.token_hex(4)}/{quote_id(checkpoint_id)}"
