"""Threads as a whole: deleted, copied, and freed of checkpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tract.exceptions import (
    BranchNotFoundError,
    CommitNotFoundError,
    HeadMovedError,
    TractExistsError,
    TractNotFoundError,
)
from tract.integrations.langgraph.landing import moved
from tract.integrations.langgraph.records import DROPS, KEYS, WRITES, Record, writes_key
from tract.integrations.langgraph.threads import Threads
from tract.integrations.langgraph.values import Packer
from tract.models.content import StateContent
from tract.models.refs import quote_id

__all__ = ["Choose", "copy", "copy_writes", "delete", "drop", "newest"]

_COUNTERS = "counters_since_delta_snapshot"

Choose: TypeAlias = Callable[[Threads], Awaitable[Callable[[Record], bool]]]
"""What says which checkpoints are to be erased."""


async def newest(threads: Threads, thread: str, packer: Packer) -> set[str]:
    """Return the newest checkpoint of each namespace, and what delta channels need of others."""
    kept: set[str] = set()
    for ns in await threads.namespaces(thread):
        record = await threads.latest(thread, ns)
        counters = {} if record is None else record.metadata(packer).get(_COUNTERS) or {}
        missing = set(counters).difference(() if record is None else record.values)
        while record is not None:
            kept.add(record.commit)
            if not missing or record.parent is None:
                break
            record = await threads.record(thread, ns, record.parent)
            missing.difference_update(() if record is None else record.values)
    return kept


async def delete(threads: Threads, thread: str) -> None:
    """Delete a thread for good."""
    await threads.store.erase_tract(quote_id(thread), reason="delete_thread")
    await threads.noticed(thread)


async def copy(threads: Threads, source: str, target: str) -> bool:
    """Copy a thread in one transaction; return False if the target exists."""
    try:
        await threads.store.copy_tract(quote_id(source), quote_id(target))
    except TractExistsError:
        return False
    except TractNotFoundError:
        pass
    return True


async def copy_writes(threads: Threads, source: str, target: str) -> None:
    """Copy the pending writes of a thread to another that has its checkpoints."""
    commits = await threads.branch(source).keys(f"{KEYS}writes/")
    commits.sort(key=lambda commit: commit.created_at)
    contents = await threads.branch(source).get_contents(each.commit_hash for each in commits)
    for commit, content in zip(commits, contents, strict=True):
        if not isinstance(content, StateContent) or commit.key is None:
            continue
        payload = dict(content.payload)
        writes = payload.pop("writes")
        large = await threads.large(source, [value for _, _, value in writes])
        values = [
            (index, channel, large[value["at"]] if "at" in value else value)
            for index, channel, value in writes
        ]
        await threads.put_writes(target, commit.key, payload, values)


async def drop(threads: Threads, thread: str, choose: Choose) -> None:
    """Erase checkpoints, their writes, and what no other checkpoint is made of."""
    while True:
        try:
            await _drop(threads, thread, choose)
            break
        except (HeadMovedError, BranchNotFoundError, CommitNotFoundError):
            continue  # others have written or deleted meanwhile
    await threads.noticed(thread)


async def _drop(threads: Threads, thread: str, choose: Choose) -> None:
    drops = threads.store.tract(quote_id(thread), branch=DROPS)
    dropped = await drops.head()
    heads = {ns: await threads.branch(thread, ns).head() for ns in await threads.namespaces(thread)}
    is_doomed = await choose(threads)  # only now: what is put from here on moves a head
    doomed: set[str] = set()
    kept: set[str] = set()
    lines = []
    for ns in heads:
        records = [record async for record in threads.records(thread, ns)]
        left = [record for record in records if not is_doomed(record)]
        for record in records:
            used = await _used(threads, thread, record)
            (doomed if is_doomed(record) else kept).update(used)
        if len(left) < len(records):
            lines.append((ns, records[0], left[0] if left else None))
    if not lines:
        return
    gone = await _only(threads, thread, doomed, kept)
    reached = await drops.reached_by([each.commit for _, _, each in lines if each is not None])
    async with threads.store.transaction() as tx:
        for ns, newest, left_ in lines:
            branch = threads.branch(thread, ns)
            on = tx.on(branch, expected_head=heads[ns])
            if left_ is None or left_.commit != newest.commit:
                moved(tx, on, branch, None if left_ is None else left_.commit, reached)
        tx.on(drops, expected_head=dropped).state({"langgraph": "dropped"})
        tx.on(drops).erase(gone, reason="langgraph")


async def _only(threads: Threads, thread: str, doomed: set[str], kept: set[str]) -> list[str]:
    """Return those of the doomed commits that share no content with one that is kept."""
    commits = {each.commit_hash: each for each in await threads.branch(thread).query()}
    contents = {commits[each].content_hash for each in kept if each in commits}
    return [
        each
        for each in sorted(doomed - kept)
        if each in commits and commits[each].content_hash not in contents
    ]


async def _used(threads: Threads, thread: str, record: Record) -> set[str]:
    """Return all commits that a checkpoint is made of."""
    used = {record.commit}
    for element in await threads.elements(thread, record):
        used |= {element.commit, element.edited} - {""}
    branch = threads.store.tract(quote_id(thread), branch=WRITES)
    writes = await branch.keys(writes_key(record.ns, record.id))
    used |= {each.commit_hash for each in writes}
    packed = [*record.values.values(), *(w.value for w in await threads.writes(thread, record))]
    return used | {each["at"] for each in packed if "at" in each}
