"""A save, as it is staged: made before anything is awaited, so that later changes have no effect."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelResponse

from tract.handles.staging import StagedBranch
from tract.integrations.pydantic_ai.contents import (
    ENTRIES,
    RECORDS,
    PydanticAIEntry,
    PydanticAIRecord,
)
from tract.integrations.pydantic_ai.names import entry_key, record_key, safe
from tract.integrations.pydantic_ai.recording import TractCapability
from tract.protocols import TokenUsage

__all__ = ["Save"]


class _Draft(NamedTuple):
    content: PydanticAIEntry
    options: dict[str, Any]
    usage: TokenUsage | None


class Save(NamedTuple):
    """A record and the entries that come with it, in the form in which they are stored."""

    conversation_id: str
    parent_id: str | None
    """The entry that the new ones follow; without new ones, the newest."""
    head_id: str | None
    branches: list[str]
    content: PydanticAIRecord
    metadata: dict[str, Any]
    drafts: list[_Draft]

    @classmethod
    def of(
        cls,
        record: ConversationRecord,
        entries: Sequence[ConversationEntry],
        capability: TractCapability,
    ) -> Self:
        """Return the save of a record.

        Raises:
            UserError: the entries are not a chain that ends with the record's head.
        """
        for before, after in pairwise(entries):
            if after.parent_id != before.id:
                raise UserError(
                    f"Entry {after.id!r} does not follow {before.id!r}, the one before."
                )
        if entries and entries[-1].id != record.head_id:
            raise UserError(f"The last new entry is {entries[-1].id!r}, not {record.head_id!r}.")
        metadata = {"updated_at": record.updated_at.isoformat()}
        if record.scope is not None:
            metadata["scope"] = safe(record.scope)
        return cls(
            record.conversation_id,
            entries[0].parent_id if entries else record.head_id,
            record.head_id,
            list(record.branches),
            PydanticAIRecord(record=RECORDS.dump_json([record])[1:-1].decode()),
            metadata,
            [_draft(entry, capability) for entry in entries],
        )

    def stage(self, branch: StagedBranch, *, begun: bool) -> None:
        """Stage all of it; *begun* says whether the branch has commits already."""
        for content, options, usage in self.drafts:
            if usage is not None and begun:
                branch.record_usage(usage)  # of the context that what follows is the answer to
            branch.commit(content, **options)
            begun = True
        key = record_key(self.conversation_id)
        branch.commit(self.content, key=key, on_key="replace", metadata=self.metadata)


def _draft(entry: ConversationEntry, capability: TractCapability) -> _Draft:
    content = PydanticAIEntry(entry=ENTRIES.dump_json([entry])[1:-1].decode())
    options: dict[str, Any] = {"key": entry_key(entry.id)}
    usage = None
    if isinstance(entry.message, ModelResponse):
        config, metadata = capability.made(entry.message)
        options |= {"generation_config": config, "metadata": metadata}
        counted = entry.message.usage
        if counted.input_tokens:
            usage = TokenUsage(counted.input_tokens, counted.output_tokens)
    return _Draft(content, options, usage)
