"""Two conversation stores of pydantic-ai in one: each call goes to both, and both must agree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pydantic_ai.conversation_store import (
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError

__all__ = ["Twins"]

T = TypeVar("T")


class Twins(ConversationStore):
    """Returns what the framework's own store does, if *ours* does the same."""

    def __init__(self, ours: ConversationStore) -> None:
        self.theirs: ConversationStore = InMemoryConversationStore()
        self.ours: ConversationStore = ours

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        return await self._both(lambda store: store.read_record(conversation_id))

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        return await self._both(lambda store: store.read_records(scope=scope, limit=limit))

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        return await self._both(lambda store: store.read_history(head_id, limit=limit))

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        return await self._both(lambda store: store.read_entry(entry_id))

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        await self._both(
            lambda store: store.write_record(
                record, new_entries=new_entries, expected_revision=expected_revision
            )
        )

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        await self._both(
            lambda store: store.delete_record(conversation_id, expected_revision=expected_revision)
        )

    async def _both(self, call: Callable[[ConversationStore], Awaitable[T]]) -> T:
        done: list[tuple[type[Exception] | None, T | None]] = []
        for store in (self.theirs, self.ours):
            try:
                done.append((None, await call(store)))
            except (LookupError, UserError) as error:
                kind = LookupError if isinstance(error, LookupError) else type(error)
                done.append((kind, None))
                failed = error
        (theirs, found), (ours, ours_found) = done
        assert (ours, ours_found) == (theirs, found)
        if theirs is not None:
            raise failed
        return found  # type: ignore[return-value]
