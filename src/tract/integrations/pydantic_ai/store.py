"""`TractConversationStore`: pydantic-ai's conversations as branches of one tract.

The tract holds an entry for each message, and after each save a state with the conversation's
record. So the head of a branch is a record, and what the branch compiles to is the conversation:

    conversation/user-42    e1 - e2 - record - e3 - e4 - record
    conversation/aside      e1 - e2 - record                       forked at e2
    left/user-42/e6         e1 - e2 - record - e5 - e6             a history that was left
    main                    one state for each fork, move and delete

A save appends to the branch if its head has not moved since the record was read. Going back begins
the branch anew at an earlier entry. Forks, moves and deletes also move `main`, by
compare-and-swap, so that a delete never erases what a fork has just begun to share.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import NamedTuple, Self

from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from tract.engine.compile.reading import settled
from tract.exceptions import (
    BranchExistsError,
    BranchNotFoundError,
    CommitNotFoundError,
    HeadMovedError,
    KeyExistsError,
    TractError,
)
from tract.integrations.lending import LentStore
from tract.integrations.pydantic_ai.contents import (
    CONTENT_TYPES,
    ENTRIES,
    RECORDS,
    PydanticAIEntry,
    PydanticAIRecord,
)
from tract.integrations.pydantic_ai.foreign import entries_of
from tract.integrations.pydantic_ai.names import (
    JOURNAL,
    LISTED,
    branch_of,
    left_of,
    record_key,
    safe,
)
from tract.integrations.pydantic_ai.reading import Reader, Stored
from tract.integrations.pydantic_ai.recording import TractCapability
from tract.integrations.pydantic_ai.remembering import Seen
from tract.integrations.pydantic_ai.writing import Save
from tract.loading import load
from tract.models.commit import CommitInfo
from tract.protocols import UNSET, UnsetType
from tract.running.lifecycle import Opening
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["TractConversationStore"]

_MOVED = (BranchExistsError, BranchNotFoundError, CommitNotFoundError, HeadMovedError)
"""What a write raises if another came first; it looks again then."""


class _Plan(NamedTuple):
    """What a save does beside appending; UNSET where it does nothing."""

    journal: str | UnsetType | None = UNSET
    """The head of the journal, from before anything else was read."""
    start: str | UnsetType | None = UNSET
    """Where the branch begins anew."""
    left: Sequence[tuple[str, str]] = ()
    """New branches for histories that are left, with their heads."""
    gone: Sequence[str] = ()
    """Branches of such histories that are no longer listed."""


class TractConversationStore(ConversationStore):
    """A `ConversationStore` of pydantic-ai, whose conversations are branches of one tract.

    Args:
        store: an open store, which stays the caller's, or a path or URL, which is opened at the
            first use and can be used from any event loop. `aclose()` closes that.
        tract_id: the tract that holds the conversations.

    Entries are commits under the key `entry/` and their id. Deleting a conversation erases its
    messages, but for those that another conversation has, too.
    """

    def __init__(
        self,
        store: TractStore | str | os.PathLike[str] = ":memory:",
        *,
        tract_id: str = "conversations",
    ) -> None:
        self.capability: TractCapability = TractCapability()
        """Records how responses were made: one of the `capabilities` of an agent or a run."""
        self._reader = Reader(LentStore(store), tract_id)

    @classmethod
    def open(
        cls,
        target: TractStore | str | os.PathLike[str] = ":memory:",
        *,
        tract_id: str = "conversations",
    ) -> Opening[Self]:
        """Open a store; `await` the result, or use it in `async with`, which closes it at the end.

        Raises:
            StorageError: the database cannot be opened.
        """
        store = cls(target, tract_id=tract_id)

        async def open_it() -> Self:
            await store._reader.ready()
            return store

        return Opening(open_it, load)

    def tract(self, conversation_id: str) -> AsyncTract:
        """Return the branch of a conversation.

        Raises:
            TractError: the store is not open: it was given a path and has not been used yet, or it
                is closed.
        """
        if not self._reader.is_open:
            raise TractError(
                "This TractConversationStore is not open. It opens when it is first used, or by "
                "`await TractConversationStore.open(...)`."
            )
        return self._reader.on(branch_of(conversation_id))

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        return (await self._reader.stored(conversation_id)).record

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        return await settled(partial(self._read_records, scope, limit))

    async def _read_records(
        self, scope: str | None, limit: int | None
    ) -> Sequence[ConversationRecord]:
        tract = await self._reader.tract(JOURNAL)
        asked = None if scope is None else safe(scope)
        listed = [
            (datetime.fromisoformat(noted["updated_at"]), info.commit_hash)
            for info in await tract.keys(LISTED, newest=True)
            if (noted := info.metadata) and (asked is None or noted.get("scope") == asked)
        ]
        listed.sort(key=itemgetter(0), reverse=True)
        contents = await tract.get_contents(named for _, named in listed[:limit])
        texts = [each.record for each in contents if isinstance(each, PydanticAIRecord)]
        return RECORDS.validate_json(f"[{','.join(texts)}]")

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        if head_id is None:
            return []
        try:
            return await self._reader.history(head_id, limit)
        except CommitNotFoundError:  # the tract was erased since the record was read
            raise LookupError(head_id) from None

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        tract = await self._reader.tract(JOURNAL)
        named = await self._reader.commit_of(tract, entry_id)
        with suppress(CommitNotFoundError):  # the tract was erased meanwhile
            content = await tract.get_content(named)
            if isinstance(content, PydanticAIEntry):
                return ENTRIES.validate_json(f"[{content.entry}]")[0]
            for entry in entries_of(await tract.entries(at_commit=named, newest=True, limit=1)):
                if entry.id == entry_id:
                    return entry
        raise LookupError(entry_id)

    async def known_entries(self, ids: Iterable[str]) -> set[str]:
        """Return those of some ids whose entries are stored."""
        return {*await self._reader.commits_of(await self._reader.tract(JOURNAL), ids)}

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        save = Save.of(record, new_entries, self.capability)
        stored = self._reader.seen(save.conversation_id)
        while True:
            if stored is None or stored.revision != expected_revision:
                stored = await self._reader.stored(save.conversation_id)
            if stored.revision != expected_revision:
                raise ConversationConflict(save.conversation_id)
            try:
                head = await self._write(save, stored, await self._plan(save, stored))
            except KeyExistsError:
                raise ConversationConflict(save.conversation_id) from None
            except _MOVED:
                stored = None
            else:
                branch = branch_of(save.conversation_id)
                self._reader.recent.note(branch, Seen(head, save.content.record))
                return

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        while True:
            journal = await self._reader.tract(JOURNAL)
            before = await journal.head()
            stored = await self._reader.stored(conversation_id)
            if stored.record is None or stored.record.revision != expected_revision:
                raise ConversationConflict(conversation_id)
            try:
                await self._delete(stored, stored.record, before)
            except _MOVED:
                continue
            return

    async def aclose(self) -> None:
        """Close the store if it was opened here; calling it again does nothing."""
        await self._reader.lent.aclose()

    async def __aenter__(self) -> Self:
        await self._reader.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<TractConversationStore of {self._reader.tract_id!r}>"

    async def _plan(self, save: Save, stored: Stored) -> _Plan:
        was, conversation_id = stored.record, save.conversation_id
        head_id, tips = (None, []) if was is None else (was.head_id, was.branches)
        moves = save.parent_id != head_id
        if not moves and tips == save.branches:
            return _Plan()
        journal = self._reader.on(JOURNAL)
        before, names = await journal.head(), {each.name for each in await journal.branches()}
        new = [tip for tip in dict.fromkeys(save.branches) if tip not in tips]
        asked = [*new, save.parent_id] if moves and save.parent_id is not None else new
        commits = await self._reader.commits_of(journal, asked)
        if moves and save.parent_id is not None and save.parent_id not in commits:
            raise ConversationConflict(conversation_id)
        left = [(left_of(conversation_id, tip), commits[tip]) for tip in new if tip in commits]
        gone = [left_of(conversation_id, tip) for tip in {*tips} - {*save.branches}]
        return _Plan(
            journal=before,
            start=_start(save.parent_id, commits) if moves else UNSET,
            left=[each for each in left if each[0] not in names],
            gone=[name for name in gone if name in names],
        )

    async def _write(self, save: Save, stored: Stored, plan: _Plan) -> str:
        """Write a save in one transaction, and return the new head."""
        tract, journal = self._reader.on(branch_of(save.conversation_id)), self._reader.on(JOURNAL)
        async with (await self._reader.ready()).transaction() as tx:
            branch = tx.on(tract, expected_head=stored.head)
            if plan.journal is not UNSET:
                moving = tx.on(journal, expected_head=plan.journal)
                moving.state({"conversations": "branch"})
                for name, at in plan.left:
                    moving.fork(name, at_commit=at)
                for name in plan.gone:
                    moving.delete_branch(name, force=True)
            if plan.start is None and stored.head is not None:
                branch.reset(None, reason="branch")
            elif isinstance(plan.start, str):
                if stored.head is not None:
                    moving.delete_branch(tract.branch, force=True)
                moving.fork(tract.branch, at_commit=plan.start)
            begun = isinstance(plan.start, str) or (plan.start is UNSET and stored.head is not None)
            save.stage(branch, begun=begun)
        return tx.commits[-1].commit_hash

    async def _delete(
        self, stored: Stored, record: ConversationRecord, journal_head: str | None
    ) -> None:
        """Delete a conversation's branches, and erase its entries that no other branch has.

        What others committed is left: a content of theirs may be another conversation's, too.
        """
        journal, branch = self._reader.on(JOURNAL), branch_of(record.conversation_id)
        names = {each.name for each in await journal.branches()}
        lefts = [left_of(record.conversation_id, tip) for tip in dict.fromkeys(record.branches)]
        own = {branch, *(name for name in lefts if name in names)}
        key = record_key(record.conversation_id)
        commits = await self._once_on(own)
        reached = await journal.reached_by(commits)
        erased = [
            commit
            for commit, info in commits.items()
            if info.key == key
            or (info.content_type in CONTENT_TYPES and own.issuperset(reached[commit]))
        ]
        async with (await self._reader.ready()).transaction() as tx:
            tx.on(self._reader.on(branch), expected_head=stored.head)
            moving = tx.on(journal, expected_head=journal_head)
            moving.state({"conversations": "delete"})
            for name in own:
                moving.delete_branch(name, force=True)
            moving.erase(erased, reason="the conversation was deleted")
        self._reader.recent.forget(branch)
        self._reader.parsed.forget()

    async def _once_on(self, branches: Iterable[str]) -> dict[str, CommitInfo]:
        """Return the commits that branches have or had."""
        found: dict[str, CommitInfo] = {}
        for name in branches:
            branch = self._reader.on(name)
            moved = (each.old_hash for each in await branch.reflog(name))
            for head in dict.fromkeys([await branch.head(), *moved]):
                if head is None or head in found:
                    continue
                info = await branch.get_commit(head)
                log = await branch.log(None, before=head)
                found |= {each.commit_hash: each for each in [*filter(None, [info]), *log]}
        return found


def _start(parent_id: str | None, commits: Mapping[str, str]) -> str | None:
    return None if parent_id is None else commits[parent_id]
