"""`TractConversationStore`: pydantic-ai's conversations as branches of one tract."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

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
    ENTRY,
    RECORDS,
    PydanticAIEntry,
    PydanticAIRecord,
)
from tract.integrations.pydantic_ai.foreign import entries_of, is_foreign
from tract.integrations.pydantic_ai.names import (
    JOURNAL,
    LISTED,
    branch_of,
    entry_key,
    left_of,
    record_key,
    safe,
)
from tract.integrations.pydantic_ai.recording import TractCapability
from tract.integrations.pydantic_ai.remembering import LAST_READ, Parsed, Place, Recent, Seen
from tract.integrations.pydantic_ai.writing import Save
from tract.lifecycle import Opening
from tract.loading import load
from tract.models.config import ContentType
from tract.protocols import UNSET, UnsetType
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["TractConversationStore"]

_MOVED = (
    BranchExistsError,
    BranchNotFoundError,
    CommitNotFoundError,
    HeadMovedError,
)
"""What a write raises if another came first; it looks again then."""


class _Stored(NamedTuple):
    """A conversation as it is: the head of its branch, and its record."""

    head: str | None
    record: ConversationRecord | None


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
        self._store = LentStore(store)
        self._tract_id = tract_id
        self._known: TractStore | None = None
        self._recent = Recent()
        self._parsed = Parsed()

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
            await store._ready()
            return store

        return Opening(open_it, load)

    def tract(self, conversation_id: str) -> AsyncTract:
        """Return the branch of a conversation.

        Raises:
            TractError: the store is not open: it was given a path and has not been used yet, or it
                is closed.
        """
        if self._known is None or self._store.now is None:
            raise TractError(
                "This TractConversationStore is not open. It opens when it is first used, or by "
                "`await TractConversationStore.open(...)`."
            )
        return self._on(branch_of(conversation_id))

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        return (await self._stored(conversation_id)).record

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        tract = await self._tract(JOURNAL)
        listed = [
            info.commit_hash
            for info in await tract.keys(LISTED, newest=True)
            if scope is None or (info.metadata or {}).get("scope") == safe(scope)
        ]
        contents = await tract.get_contents(listed)
        texts = [each.record for each in contents if isinstance(each, PydanticAIRecord)]
        found = RECORDS.validate_json(f"[{','.join(texts)}]")
        found.sort(key=lambda record: record.updated_at, reverse=True)
        return found[:limit]

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        if head_id is None:
            return []
        tract, place = await self._tract(JOURNAL), self._place_of(head_id)
        found = await self._commit_of(tract, head_id) if place is None else place.head
        context = await tract.compile(at_commit=found, aggregate_same_role=False)
        natives = (each.native for each in context.messages)
        texts = [each.text for each in natives if each is not None and each.api == ENTRY]
        if len(texts) < context.commit_count:
            history = entries_of(await tract.entries(at_commit=found))
        else:
            some = texts if limit is None else texts[max(len(texts) - limit, 0) :]
            history = self._parsed.entries(some)
        if limit is not None:
            history = history[max(len(history) - limit, 0) :]
        if limit != 0 and (not history or history[-1].id != head_id):
            await self._check(tract, head_id)
        return history

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        tract = await self._tract(JOURNAL)
        named = await self._commit_of(tract, entry_id)
        content = await tract.get_content(named)
        if isinstance(content, PydanticAIEntry):
            return ENTRIES.validate_json(f"[{content.entry}]")[0]
        for entry in entries_of(await tract.entries(at_commit=named, newest=True, limit=1)):
            if entry.id == entry_id:
                return entry
        raise LookupError(entry_id)

    async def known_entries(self, ids: Iterable[str]) -> set[str]:
        """Return those of some ids whose entries are stored."""
        return {*await self._commits_of(await self._tract(JOURNAL), ids)}

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        save = Save.of(record, new_entries, self.capability)
        stored = self._seen(save.conversation_id)
        while True:
            if stored is None or _revision(stored) != expected_revision:
                stored = await self._stored(save.conversation_id)
            if _revision(stored) != expected_revision:
                raise ConversationConflict(save.conversation_id)
            try:
                head = await self._write(save, stored, await self._plan(save, stored))
            except KeyExistsError:
                raise ConversationConflict(save.conversation_id) from None
            except _MOVED:
                stored = None
            else:
                branch = branch_of(save.conversation_id)
                self._recent.note(branch, Seen(head, save.content.record))
                return

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        while True:
            journal = await self._tract(JOURNAL)
            before = await journal.head()
            stored = await self._stored(conversation_id)
            if stored.record is None or stored.record.revision != expected_revision:
                raise ConversationConflict(conversation_id)
            try:
                await self._delete(stored, stored.record, before)
            except _MOVED:
                continue
            return

    async def aclose(self) -> None:
        """Close the store if it was opened here; calling it again does nothing."""
        await self._store.aclose()

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<TractConversationStore of {self._tract_id!r}>"

    # Reading

    async def _ready(self) -> TractStore:
        store = await self._store.get()
        if self._known is not store:
            for name, kind in CONTENT_TYPES.items():
                state = isinstance(kind, ContentType) and kind.state
                model = kind.model if isinstance(kind, ContentType) else kind
                store.register_content_type(name, model, state=state)
            self._known = store
        return store

    def _on(self, branch: str) -> AsyncTract:
        assert self._known is not None
        return self._known.tract(self._tract_id, branch=branch)

    async def _tract(self, branch: str) -> AsyncTract:
        return (await self._ready()).tract(self._tract_id, branch=branch)

    def _seen(self, conversation_id: str) -> _Stored | None:
        """Return a conversation as it was when it was last seen."""
        seen = self._recent.branch(branch_of(conversation_id))
        return None if seen is None else _Stored(seen.head, _record(seen.record))

    async def _stored(self, conversation_id: str) -> _Stored:
        tract = await self._tract(branch_of(conversation_id))
        head = await tract.head()
        if head is None:
            return _Stored(None, None)
        seen = self._recent.branch(tract.branch)
        if seen is None or seen.head != head:
            text = await self._record_at(tract, head, conversation_id)
            if text is None:
                return _Stored(head, None)
            seen = Seen(head, text)
            self._recent.note(tract.branch, seen)
        record = _record(seen.record)
        LAST_READ.set(Place(self, record.head_id, tract.branch, head))
        return _Stored(head, record)

    def _place_of(self, entry_id: str) -> Place | None:
        place = LAST_READ.get()
        ours = place is not None and place.owner is self and place.entry_id == entry_id
        return place if ours else None

    async def _record_at(self, tract: AsyncTract, head: str, conversation_id: str) -> str | None:
        """Return the record that holds at a head as JSON; None if there is none."""
        [content] = await tract.get_contents([head])
        if isinstance(content, PydanticAIRecord):
            record = _record(content.record)
            if record.conversation_id == conversation_id:
                return content.record
            return _dumped(_forked(record, conversation_id))
        key = record_key(conversation_id)  # others have committed since
        named = (await tract.get_by_keys([key])).get(key)
        if named is None:
            return None
        [content] = await tract.get_contents([named.commit_hash])
        if not isinstance(content, PydanticAIRecord):
            return None
        newest = await tract.entries(at_commit=head, newest=True, limit=1)
        if not newest or not is_foreign(newest[0]):
            return content.record
        record = _record(content.record)
        return _dumped(replace(record, head_id=newest[0].commit_hash))

    async def _commits_of(self, tract: AsyncTract, ids: Iterable[str]) -> dict[str, str]:
        """Return the commits of entries by their ids; those that are gone are left out."""
        keys = {entry_key(each): each for each in ids}
        found = await tract.get_by_keys(keys)
        commits = {keys[key]: info.commit_hash for key, info in found.items()}
        for each in keys.values():  # entries of others are called by their hashes
            if each not in commits and len(each) == 64 and await tract.get_commit(each):
                commits[each] = each
        return commits

    async def _commit_of(self, tract: AsyncTract, entry_id: str) -> str:
        commits = await self._commits_of(tract, [entry_id])
        if entry_id not in commits:
            raise LookupError(entry_id)
        return commits[entry_id]

    async def _check(self, tract: AsyncTract, head_id: str) -> None:
        """Raise a LookupError if an entry is gone with its conversation, and not by itself."""
        place = self._place_of(head_id)
        if place is None or await self._on(place.branch).head() != place.head:
            await self._commit_of(tract, head_id)

    # Writing

    async def _plan(self, save: Save, stored: _Stored) -> _Plan:
        was, conversation_id = stored.record, save.conversation_id
        head_id, tips = (None, []) if was is None else (was.head_id, was.branches)
        moves = save.parent_id != head_id
        if not moves and tips == save.branches:
            return _Plan()
        journal = self._on(JOURNAL)
        before, names = await journal.head(), {each.name for each in await journal.branches()}
        new = [tip for tip in dict.fromkeys(save.branches) if tip not in tips]
        asked = [*new, save.parent_id] if moves and save.parent_id is not None else new
        commits = await self._commits_of(journal, asked)
        if moves and save.parent_id is not None and save.parent_id not in commits:
            raise ConversationConflict(conversation_id)
        left = [(left_of(conversation_id, tip), commits[tip]) for tip in new if tip in commits]
        gone = [left_of(conversation_id, tip) for tip in {*tips} - {*save.branches}]
        return _Plan(
            journal=before,
            start=UNSET if not moves else commits.get(save.parent_id or "", None),
            left=[each for each in left if each[0] not in names],
            gone=[name for name in gone if name in names],
        )

    async def _write(self, save: Save, stored: _Stored, plan: _Plan) -> str:
        """Write a save in one transaction, and return the new head."""
        tract, journal = self._on(branch_of(save.conversation_id)), self._on(JOURNAL)
        async with (await self._ready()).transaction() as tx:
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
        self, stored: _Stored, record: ConversationRecord, journal_head: str | None
    ) -> None:
        """Delete a conversation's branches, and erase what no other branch has."""
        journal, branch = self._on(JOURNAL), branch_of(record.conversation_id)
        names = {each.name for each in await journal.branches()}
        lefts = [left_of(record.conversation_id, tip) for tip in dict.fromkeys(record.branches)]
        own = [branch, *(name for name in lefts if name in names)]
        key = record_key(record.conversation_id)
        commits = await self._once_on(own)
        reached = await journal.reached_by(commits)
        erased = [
            commit
            for commit, named in commits.items()
            if named == key or {*reached[commit]} <= {*own}
        ]
        async with (await self._ready()).transaction() as tx:
            tx.on(self._on(branch), expected_head=stored.head)
            moving = tx.on(journal, expected_head=journal_head)
            moving.state({"conversations": "delete"})
            for name in own:
                moving.delete_branch(name, force=True)
            moving.erase(erased, reason="the conversation was deleted")
        self._recent.forget(branch)
        self._parsed.forget()

    async def _once_on(self, branches: Sequence[str]) -> dict[str, str | None]:
        """Return the commits that branches have or had, with their keys."""
        found: dict[str, str | None] = {}
        for name in branches:
            branch = self._on(name)
            moved = (each.old_hash for each in await branch.reflog(name))
            for head in dict.fromkeys([await branch.head(), *moved]):
                if head is None or head in found:
                    continue
                info = await branch.get_commit(head)
                log = await branch.log(None, before=head)
                found |= {each.commit_hash: each.key for each in [*filter(None, [info]), *log]}
        return found


def _revision(stored: _Stored) -> str | None:
    return None if stored.record is None else stored.record.revision


def _record(text: str) -> ConversationRecord:
    return RECORDS.validate_json(f"[{text}]")[0]


def _dumped(record: ConversationRecord) -> str:
    return RECORDS.dump_json([record])[1:-1].decode()


def _forked(record: ConversationRecord, conversation_id: str) -> ConversationRecord:
    """Return the record of a branch that was forked from a conversation's by hand."""
    return replace(
        record,
        conversation_id=conversation_id,
        forked_from=record.conversation_id,
        forked_at=record.head_id,
        branches=[],
    )
