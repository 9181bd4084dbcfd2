"""Reading conversations: records, entries, and the commits that hold them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord

from tract.engine.compile.reading import settled
from tract.integrations.lending import LentStore
from tract.integrations.pydantic_ai.contents import (
    CONTENT_TYPES,
    ENTRY,
    RECORDS,
    PydanticAIRecord,
)
from tract.integrations.pydantic_ai.foreign import entries_of, is_foreign
from tract.integrations.pydantic_ai.names import JOURNAL, branch_of, entry_key, record_key
from tract.integrations.pydantic_ai.remembering import LAST_READ, Parsed, Place, Recent, Seen
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["Reader", "Stored"]

_HASH = 64  # characters


class Stored(NamedTuple):
    """A conversation as it is: the head of its branch, and its record."""

    head: str | None
    record: ConversationRecord | None

    @property
    def revision(self) -> str | None:
        """The revision of the record; None if there is none."""
        return None if self.record is None else self.record.revision


class Reader:
    """Reads the conversations of one tract."""

    def __init__(self, lent: LentStore, tract_id: str) -> None:
        self.lent: LentStore = lent
        self.tract_id: str = tract_id
        self.recent: Recent = Recent()
        self.parsed: Parsed = Parsed()
        self._known: TractStore | None = None

    @property
    def is_open(self) -> bool:
        """Whether the store was opened, and not closed since."""
        return self._known is not None and self.lent.now is not None

    async def ready(self) -> TractStore:
        """Return the store; it is opened at the first use, and then knows our types."""
        store = await self.lent.get()
        if self._known is not store:
            for name, kind in CONTENT_TYPES.items():
                store.register_content_type(name, kind.model, state=kind.state)
            self._known = store
        return store

    def on(self, branch: str) -> AsyncTract:
        """Return a branch of the tract; the store is open."""
        assert self._known is not None
        return self._known.tract(self.tract_id, branch=branch)

    async def tract(self, branch: str) -> AsyncTract:
        """Return a branch of the tract."""
        return (await self.ready()).tract(self.tract_id, branch=branch)

    def seen(self, conversation_id: str) -> Stored | None:
        """Return a conversation as it was when it was last seen."""
        seen = self.recent.branch(branch_of(conversation_id))
        return None if seen is None else Stored(seen.head, _record(seen.record))

    async def stored(self, conversation_id: str) -> Stored:
        """Return a conversation as it is now."""
        return await settled(partial(self._stored, conversation_id))

    async def _stored(self, conversation_id: str) -> Stored:
        tract = await self.tract(branch_of(conversation_id))
        head = await tract.head()
        if head is None:
            return Stored(None, None)
        seen = self.recent.branch(tract.branch)
        if seen is None or seen.head != head:
            text = await self._record_at(tract, head, conversation_id)
            if text is None:
                return Stored(head, None)
            seen = Seen(head, text)
            self.recent.note(tract.branch, seen)
        record = _record(seen.record)
        LAST_READ.set(Place(self, record.head_id, tract.branch, head))
        return Stored(head, record)

    def _place_of(self, entry_id: str) -> Place | None:
        place = LAST_READ.get()
        ours = place is not None and place.owner is self and place.entry_id == entry_id
        return place if ours else None

    async def history(self, head_id: str, limit: int | None) -> list[ConversationEntry]:
        """Return the entries of the context that ends with one, or the last *limit* of them.

        Raises:
            LookupError: there is no such entry.
        """
        tract, place = await self.tract(JOURNAL), self._place_of(head_id)
        found = await self.commit_of(tract, head_id) if place is None else place.head
        context = await tract.compile(at_commit=found, aggregate_same_role=False)
        natives = (each.native for each in context.messages)
        texts = [each.text for each in natives if each is not None and each.api == ENTRY]
        if len(texts) < context.commit_count:
            history = entries_of(await tract.entries(at_commit=found))
        else:
            some = texts if limit is None else texts[max(len(texts) - limit, 0) :]
            history = self.parsed.entries(some)
        if limit is not None:
            history = history[max(len(history) - limit, 0) :]
        if limit != 0 and (not history or history[-1].id != head_id):
            await self._check(tract, head_id)
        return history

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

    async def commits_of(self, tract: AsyncTract, ids: Iterable[str]) -> dict[str, str]:
        """Return the commits of entries by their ids; those that are gone are left out."""
        keys = {entry_key(each): each for each in ids}
        found = await tract.get_by_keys(keys)
        commits = {keys[key]: info.commit_hash for key, info in found.items()}
        for each in keys.values():  # entries of others are called by their hashes
            if each not in commits and len(each) == _HASH and await tract.get_commit(each):
                commits[each] = each
        return commits

    async def commit_of(self, tract: AsyncTract, entry_id: str) -> str:
        """Return the commit of an entry.

        Raises:
            LookupError: there is no such entry.
        """
        commits = await self.commits_of(tract, [entry_id])
        if entry_id not in commits:
            raise LookupError(entry_id)
        return commits[entry_id]

    async def _check(self, tract: AsyncTract, head_id: str) -> None:
        """Raise a LookupError if an entry is gone with its conversation, and not by itself."""
        place = self._place_of(head_id)
        if place is None or await self.on(place.branch).head() != place.head:
            await self.commit_of(tract, head_id)


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
