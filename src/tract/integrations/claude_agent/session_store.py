"""`TractSessionStore`: a `SessionStore` of the Claude Agent SDK."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Self, TypeVar

import anyio.to_thread
from claude_agent_sdk import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStore,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
)
from pydantic import BaseModel

from tract.exceptions import BranchNotFoundError
from tract.formats.sending import to_anthropic
from tract.integrations.claude_agent.appending import append, summary_in
from tract.integrations.claude_agent.entries import API, entry_of, planned
from tract.integrations.claude_agent.names import Named, session_in, sessions_prefix
from tract.integrations.lending import LentStore
from tract.models.commit import CommitInfo, EntryInfo
from tract.models.content import NativeContent
from tract.models.operations import CommitOperation
from tract.models.store import TractInfo
from tract.running.crossing import is_in_loop
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["TractSessionStore"]

T = TypeVar("T")

_MANY = 200  # entries that are made on a thread
_NOT_MAIN = "%"
"""A branch that nothing is on, whose handle deletes the others."""


class TractSessionStore(SessionStore):
    """A `SessionStore` of the SDK: a transcript is a tract, an entry of it a commit.

    Args:
        store: an open store, which stays the caller's, or a path or URL, which is opened at the
            first use and can be used from any event loop. `aclose()` closes that.
    """

    def __init__(self, store: TractStore | str | os.PathLike[str] = ":memory:") -> None:
        self._store = LentStore(store)

    async def tract(self, key: SessionKey) -> AsyncTract:
        """Return the tract that a transcript is, to compile, fork, diff, search or watch it."""
        return (await self._store.get()).tract(Named.of(key).tract_id)

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Commit entries, and the session's summary, in one transaction.

        What the transcript has already is left out, so that a batch can be repeated: an entry by
        its uuid, if it is equal, and one without an uuid by its place behind one that has it.
        """
        named = Named.of(key)
        batch = list(planned(entries, is_subagent=bool(named.subpath)))  # copied before any await
        if batch:
            await self._run(append, named, batch)

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return the entries of a transcript, equal and in order; None if there is none.

        An entry whose message was edited in the tract has the new one; erased ones are left out.
        """
        return await self._run(_load, Named.of(key))

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return the sessions of a project, and when each was written last; reads no entries."""
        return [
            SessionStoreListEntry(
                session_id=session_in(info.tract_id, project_key), mtime=_mtime(info)
            )
            for info in await self._run(_listed, sessions_prefix(project_key))
        ]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return what the SDK shows of the sessions of a project; reads no entries."""
        return [
            SessionSummaryEntry(
                session_id=session_in(info.tract_id, project_key),
                mtime=_mtime(info),
                data=summary_in(info.metadata),
            )
            for info in await self._run(_listed, sessions_prefix(project_key))
        ]

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Return the subpaths of a session's subagents, sorted."""
        named = Named(key["project_key"], key["session_id"])
        listed = await self._run(_listed, named.subagents_prefix)
        return sorted(named.subpath_in(info.tract_id) for info in listed)

    async def delete(self, key: SessionKey) -> None:
        """Erase a session and its subagents, or one subagent, for good.

        All of them are gone at once. A process that is killed afterwards may leave contents that
        nothing names: call it again. For `TractStore.erase_tract`'s receipt, and to have no byte
        left in the file, see there.
        """
        await self._run(_delete, Named.of(key))

    async def aclose(self) -> None:
        """Close the store if it was opened here; calling it again does nothing."""
        await self._awaited(self._store.aclose())

    async def _run(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Return what *work* does with the store."""
        return await self._awaited(self._store.run(work, *args))

    async def _awaited(self, call: Coroutine[Any, Any, T]) -> T:
        """Await a call; under Trio, which the SDK runs on, too, on a thread."""
        if is_in_loop():
            return await call
        return await anyio.to_thread.run_sync(self._store.block, call)

    async def __aenter__(self) -> Self:
        await self._run(_opened)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        store = self._store.now
        return f"<TractSessionStore of {'no open store' if store is None else store!r}>"


# Each of these is one trip to the store's loop.


async def _opened(store: TractStore) -> None:
    """Do nothing but open it."""


async def _load(store: TractStore, named: Named) -> list[SessionStoreEntry] | None:
    tract = store.tract(named.tract_id)
    head = await tract.head()
    if head is None:
        return None
    log = await tract.log(None, contents=True)
    edited: list[EntryInfo] = []
    if any(info.operation is CommitOperation.EDIT for info, _ in log):
        entries = await tract.entries(at_commit=log[0][0].commit_hash, include_skipped=True)
        edited = [entry for entry in entries if entry.edited_by]
    log.reverse()
    if len(log) > _MANY:
        return await asyncio.to_thread(_entries, log, edited) or None
    return _entries(log, edited) or None


def _entries(
    log: Sequence[tuple[CommitInfo, BaseModel]], edited: Sequence[EntryInfo]
) -> list[SessionStoreEntry]:
    messages = {entry.commit_hash: _message(entry) for entry in edited}
    made = (entry_of(info, content, messages.get(info.commit_hash)) for info, content in log)
    found: list[Any] = [entry for entry in made if entry is not None]
    return found


def _message(entry: EntryInfo) -> Any:
    """Return what an edited entry says, as the API has it."""
    content = entry.content
    if isinstance(content, NativeContent) and content.api == API:
        return content.item
    said = to_anthropic(entry.messages, exact=True)["messages"]
    return said[0] if said else None


async def _listed(store: TractStore, prefix: str) -> list[TractInfo]:
    listed = await store.tracts(prefix=prefix, order_by="id", limit=None)
    return [info for info in listed if info.branches]


def _mtime(info: TractInfo) -> int:
    return int(info.updated_at.timestamp() * 1000)


async def _delete(store: TractStore, named: Named) -> None:
    while True:
        ids = [named.tract_id]
        if not named.subpath:
            subagents = await store.tracts(prefix=named.subagents_prefix, order_by="id", limit=None)
            ids += [info.tract_id for info in subagents]
        try:
            async with store.transaction() as tx:
                for tract_id in ids:
                    tract = store.tract(tract_id, branch=_NOT_MAIN)
                    for branch in await tract.branches():
                        tx.on(tract).delete_branch(branch.name, force=True)
        except BranchNotFoundError:
            continue  # another one has begun to delete them
        break
    for tract_id in ids:
        await store.erase_tract(tract_id, reason="the session was deleted")
