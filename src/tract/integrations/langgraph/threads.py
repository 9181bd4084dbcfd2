"""Threads in a store: checkpoints and writes are read and written here, in the store's own loop."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tract.exceptions import (
    CommitNotFoundError,
    HeadMovedError,
    TractExistsError,
    TractNotFoundError,
)
from tract.handles.staging import StagedBranch, StagedCommit
from tract.integrations.langgraph.lists import Change, Lists
from tract.integrations.langgraph.messages import CONTENT_TYPES, LangChainContent
from tract.integrations.langgraph.records import (
    DROPS,
    KEYS,
    WRITES,
    Record,
    Shown,
    Write,
    branch_of,
    key_of,
    record_of,
    writes_key,
    writes_of,
)
from tract.integrations.langgraph.values import Element, Large, Packed, Packer, all_made
from tract.models.conditions import metadata
from tract.models.content import StateContent
from tract.models.quoting import quote_id, unquote_id
from tract.store import TractStore
from tract.tract import AsyncTract
from tract.transaction import Transaction

__all__ = ["ParentGoneError", "Plan", "Threads", "Whole"]

_COUNTERS = "counters_since_delta_snapshot"

_MOST_RECORDS = 4096
_PAGE = 64


class Plan(NamedTuple):
    """A checkpoint to be written; it shares nothing with the caller."""

    thread: str
    ns: str
    id: str
    parent_id: str | None
    parent: Record | None
    checkpoint: Packed | Large
    metadata: Packed | Large
    about: Mapping[str, Any]
    values: Sequence[tuple[str, Packed | Large]]
    channels: Sequence[str]
    """All channels that have values, in order."""
    channel: str | None
    """The channel whose list is the context."""
    change: Change
    made_with: Mapping[str | None, Mapping[str, Any]]
    """The options of commits for new messages, by the messages' ids."""


class ParentGoneError(Exception):
    """The parent of a checkpoint was deleted while that was on its way."""


class Whole(NamedTuple):
    """A checkpoint with everything that it is made of, read at one moment."""

    record: Record
    elements: list[Element]
    writes: list[Write]
    large: Mapping[str, Large]

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
        self._records: OrderedDict[str, Record] = OrderedDict()
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
        found = self._known(head)
        if found is None:
            [(commit, content)] = await branch.log(1, contents=True)
            found = self._kept(record_of(commit.commit_hash, content))
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
            if len(self._writes) > _MOST_RECORDS:
                self._writes.popitem(last=False)
        prefix = writes_key(record.ns, record.id)
        if prefix not in kept:
            commits = await branch.keys(prefix)
            commits.sort(key=lambda commit: commit.created_at)
            contents = await branch.get_contents(commit.commit_hash for commit in commits)
            kept[prefix] = writes_of(contents)
        return kept[prefix]

    async def elements(self, thread: str, record: Record) -> list[Element]:
        """Return the messages that a checkpoint shows."""
        shown = record.shown
        if shown is None:
            return []
        found = self.lists.get(shown.era, shown.length)
        if found is None:
            branch = self.branch(thread, record.ns)
            entries = await branch.entries(at_commit=record.commit)
            found = [
                Element(entry.content, entry.commit_hash, entry.edited_by or "")
                for entry in entries
                if isinstance(entry.content, LangChainContent)
            ]
            self.lists.put(shown.era, found)
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
        if checkpoint_id:
            record = await self.record(thread, ns, checkpoint_id)
        else:
            record = await self.latest(thread, ns)
        return None if record is None else await self.whole(thread, record)

    async def whole(self, thread: str, record: Record) -> Whole | None:
        """Return a checkpoint with all that it refers to; None if it was deleted meanwhile."""
        try:
            elements = await self.elements(thread, record)
            writes = await self.writes(thread, record)
            payload = record.payload
            packed = [payload["checkpoint"], payload["metadata"], *record.values.values()]
            packed += [write.value for write in writes]
            large = await self.large(thread, packed)
        except CommitNotFoundError:
            return None
        shown = record.shown
        if any("at" in each and each["at"] not in large for each in packed):
            return None
        if shown is not None and len(elements) != shown.length:
            return None
        return Whole(record, elements, writes, large)

    async def before(
        self, thread: str, ns: str, checkpoint_id: str | None
    ) -> tuple[Record | None, list[Element]]:
        """Return a parent and the messages that it shows; None and none if there is none."""
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

    async def newest(self, thread: str, packer: Packer) -> set[str]:
        """Return the newest checkpoint of each namespace, and what delta channels need of others."""
        kept: set[str] = set()
        for ns in await self.namespaces(thread):
            record = await self.latest(thread, ns)
            counters = {} if record is None else record.metadata(packer).get(_COUNTERS) or {}
            missing = set(counters).difference(() if record is None else record.values)
            while record is not None:
                kept.add(record.commit)
                if not missing or record.parent is None:
                    break
                record = await self.record(thread, ns, record.parent)
                missing.difference_update(() if record is None else record.values)
        return kept

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
            except HeadMovedError:
                continue

    async def put_writes(
        self, thread: str, key: str, payload: dict[str, Any], values: Sequence[tuple[Any, ...]]
    ) -> None:
        """Write pending writes, all of them in one transaction."""
        branch = self.store.tract(quote_id(thread), branch=WRITES)
        async with branch.batch() as batch:
            payload["writes"] = [
                [index, channel, _staged(batch, value)] for index, channel, value in values
            ]
            batch.state(payload, key=key, on_key="replace" if payload["replace"] else "keep")

    async def _landed(self, plan: Plan, branch: AsyncTract, *, expected: str | None) -> Record:
        """Append a checkpoint to its parent, which is the head of the branch."""
        era = None if plan.parent is None or plan.parent.shown is None else plan.parent.shown.era
        if not plan.change.appends_only:
            era = None
        async with self.store.transaction() as tx:
            staged = _Staged(plan, era)
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
        async with self.store.transaction() as tx:
            staged = _Staged(plan, None, late=late)
            on = tx.on(branch, expected_head=head)
            tx.on(drops, expected_head=dropped)
            if late:
                staged.on(on.fork(_aside_name(plan.id), at_commit=parent))
            else:
                is_left = head is not None and head != parent and reached[head] == [branch.branch]
                if is_left and (latest is None or latest.id != plan.id):
                    on.fork(_aside_name(latest.id if latest else "others"))
                staged.on(self._moved(tx, on, branch, parent, reached))
        return self._written(plan, staged)

    async def _check_parent(self, plan: Plan) -> None:
        """Raise a ParentGoneError if what the plan builds on was deleted."""
        if plan.parent is not None and plan.parent_id is not None:
            found = await self.record(plan.thread, plan.ns, plan.parent_id)
            if found is None or found.commit != plan.parent.commit:
                raise ParentGoneError

    def _moved(
        self,
        tx: Transaction,
        on: StagedBranch,
        branch: AsyncTract,
        parent: str | None,
        reached: Mapping[str, list[str]],
    ) -> StagedBranch:
        """Stage the move of a branch to any commit of the tract, and return it."""
        if parent is None or branch.branch in reached[parent]:
            on.reset(parent, reason="another line of the thread")
            return on
        other = tx.on(self.store.tract(branch.tract_id, branch=WRITES))
        other.delete_branch(branch.branch, force=True)
        return other.fork(branch.branch, at_commit=parent)

    def _written(self, plan: Plan, staged: _Staged) -> Record:
        record, elements = staged.landed()
        self._kept(record)
        if record.shown is not None:
            self.lists.put(record.shown.era, elements)
        return record

    # Threads

    async def delete(self, thread: str) -> None:
        """Delete a thread for good."""
        await self.store.erase_tract(quote_id(thread), reason="delete_thread")

    async def copy(self, source: str, target: str) -> bool:
        """Copy a thread in one transaction; return False if the target exists."""
        try:
            await self.store.copy_tract(quote_id(source), quote_id(target))
        except TractExistsError:
            return False
        except TractNotFoundError:
            pass
        return True

    async def copy_writes(self, source: str, target: str) -> None:
        """Copy the pending writes of a thread to another that has its checkpoints."""
        commits = await self.branch(source).keys(f"{KEYS}writes/")
        commits.sort(key=lambda commit: commit.created_at)
        contents = await self.branch(source).get_contents(each.commit_hash for each in commits)
        for commit, content in zip(commits, contents, strict=True):
            if not isinstance(content, StateContent) or commit.key is None:
                continue
            payload = dict(content.payload)
            writes = payload.pop("writes")
            large = await self.large(source, [value for _, _, value in writes])
            values = [
                (index, channel, large[value["at"]] if "at" in value else value)
                for index, channel, value in writes
            ]
            await self.put_writes(target, commit.key, payload, values)

    async def drop(self, thread: str, is_doomed: Callable[[Record], bool]) -> None:
        """Erase checkpoints, their writes, and what no other checkpoint is made of."""
        doomed: set[str] = set()
        kept: set[str] = set()
        lines = []
        for ns in await self.namespaces(thread):
            records = [record async for record in self.records(thread, ns)]
            left = [record for record in records if not is_doomed(record)]
            for record in records:
                used = await self._used(thread, record)
                (doomed if is_doomed(record) else kept).update(used)
            if len(left) < len(records):
                lines.append((ns, records[0], left[0] if left else None))
        if not lines:
            return
        commits = {each.commit_hash: each for each in await self.branch(thread).query()}
        contents = {commits[each].content_hash for each in kept if each in commits}
        gone = [
            each
            for each in sorted(doomed - kept)
            if each in commits and commits[each].content_hash not in contents
        ]
        await self._drop(thread, gone, lines)

    async def _drop(
        self, thread: str, gone: Sequence[str], lines: Sequence[tuple[str, Record, Record | None]]
    ) -> None:
        drops = self.store.tract(quote_id(thread), branch=DROPS)
        heads = [await self.branch(thread, ns).head() for ns, _, _ in lines]
        named = [each.commit for _, _, each in lines if each is not None]
        reached = await drops.reached_by(named)
        async with self.store.transaction() as tx:
            for (ns, newest, left), head in zip(lines, heads, strict=True):
                branch = self.branch(thread, ns)
                on = tx.on(branch, expected_head=head)
                if left is None or left.commit != newest.commit:
                    self._moved(tx, on, branch, None if left is None else left.commit, reached)
            tx.on(drops).state({"langgraph": "dropped"})
            tx.on(drops).erase(gone, reason="langgraph")
        for each in gone:
            self._records.pop(each, None)

    async def _used(self, thread: str, record: Record) -> set[str]:
        """Return all commits that a checkpoint is made of."""
        used = {record.commit}
        for element in await self.elements(thread, record):
            used |= {element.commit, element.edited} - {""}
        branch = self.store.tract(quote_id(thread), branch=WRITES)
        writes = await branch.keys(writes_key(record.ns, record.id))
        used |= {each.commit_hash for each in writes}
        packed = [record.payload["checkpoint"], record.payload["metadata"]]
        packed += [*record.values.values(), *(w.value for w in await self.writes(thread, record))]
        return used | {each["at"] for each in packed if "at" in each}

    # Records in memory

    async def _late(self, branch: AsyncTract, ns: str) -> list[Record]:
        commits = await branch.keys(key_of(ns, late=True))
        return await self._read(branch, [commit.commit_hash for commit in commits])

    async def _page(
        self, branch: AsyncTract, ns: str, before: str | None, size: int
    ) -> list[Record]:
        at = None if before is None else key_of(ns, before)
        commits = await branch.keys(key_of(ns), newest=True, before=at, limit=size)
        return await self._read(branch, [commit.commit_hash for commit in commits])

    async def _read(self, branch: AsyncTract, commits: Sequence[str]) -> list[Record]:
        missing = [commit for commit in commits if self._known(commit) is None]
        if missing:
            contents = await branch.get_contents(missing)
            for commit, content in zip(missing, contents, strict=True):
                self._kept(record_of(commit, content))
        return [found for each in commits if (found := self._known(each)) is not None]

    def _known(self, commit: str) -> Record | None:
        return self._records.get(commit)

    def _kept(self, record: Record | None) -> Record | None:
        if record is not None:
            self._records[record.commit] = record
            if len(self._records) > _MOST_RECORDS:
                self._records.popitem(last=False)
        return record


class _Staged:
    """A checkpoint that is staged."""

    def __init__(self, plan: Plan, era: str | None, *, late: bool = False) -> None:
        self._plan = plan
        self._late = late
        self._new: list[tuple[Element, StagedCommit]] = []
        self._edits: list[tuple[str, StagedCommit]] = []
        self._at: list[tuple[dict[str, Any], StagedCommit]] = []
        self._state: StagedCommit | None = None
        count = len(plan.change.elements)
        shown = plan.channel is not None
        self._shown = Shown(plan.channel or "", era or secrets.token_hex(8), count)
        self._payload: dict[str, Any] = {
            "langgraph": "checkpoint",
            "id": plan.id,
            "ns": plan.ns,
            "parent": plan.parent_id,
            "shown": list(self._shown) if shown else None,
        }

    def on(self, branch: StagedBranch) -> None:
        """Stage everything on a branch."""
        plan, change = self._plan, self._plan.change
        for entry in change.skipped:
            branch.annotate(entry, "skip")
        for entry, content in change.edited:
            edit = branch.commit(content, operation="edit", edit_target=entry)
            self._edits.append((entry, edit))
        for element in change.elements[change.kept :]:
            options = plan.made_with.get(element.id, {})
            self._new.append((element, branch.commit(element.content, **options)))
        self._payload["checkpoint"] = self._placed(branch, plan.checkpoint)
        self._payload["metadata"] = self._placed(branch, plan.metadata)
        values = dict(plan.values)
        self._payload["values"] = [
            [channel, self._placed(branch, values[channel]) if channel in values else {}]
            for channel in plan.channels
        ]
        key = key_of(plan.ns, plan.id, late=self._late)
        self._state = branch.state(
            self._payload, key=key, on_key="replace", metadata=plan.about or None
        )

    def _placed(self, branch: StagedBranch, value: Packed | Large) -> Packed:
        if not isinstance(value, Large):
            return value
        staged = branch.state({"kind": value.kind, "data": value.data})
        placed: dict[str, Any] = {"at": staged.reference}
        self._at.append((placed, staged))
        return placed

    def landed(self) -> tuple[Record, list[Element]]:
        """Return the checkpoint and its messages, once they are written."""
        assert self._state is not None
        for placed, staged in self._at:
            placed["at"] = staged.info.commit_hash
        for element, staged in self._new:
            element.commit = staged.info.commit_hash
        elements = self._plan.change.elements
        edits = {entry: staged.info.commit_hash for entry, staged in self._edits}
        for element in elements if edits else ():
            element.edited = edits.get(element.commit, element.edited)
        return Record(self._state.info.commit_hash, self._payload), elements


def _staged(batch: StagedBranch, value: Packed | Large) -> Packed:
    if not isinstance(value, Large):
        return value
    return {"at": batch.state({"kind": value.kind, "data": value.data})}


def _aside_name(checkpoint_id: str) -> str:
    return f"aside/{secrets.token_hex(4)}/{quote_id(checkpoint_id)}"
