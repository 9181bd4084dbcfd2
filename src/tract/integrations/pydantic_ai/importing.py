"""Importing: conversations of other stores, and files of messages that were dumped as JSON."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_ai.conversation import Conversation, ConversationTypeAdapter
from pydantic_ai.conversation_store import (
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.messages import ModelMessagesTypeAdapter

from tract.exceptions import TractError
from tract.integrations.pydantic_ai.contents import ENTRIES, RECORDS
from tract.integrations.pydantic_ai.store import TractConversationStore

__all__ = ["ImportReport", "import_conversations", "import_files"]


_PENDING = "import:"
"""How the revision of a conversation begins while some of its branches are still to come."""


class ImportReport(NamedTuple):
    """What an import did."""

    conversations: int
    """Those that were imported now."""
    messages: int
    """Their messages, but for those that another conversation brought."""
    present: int
    """Conversations that the store had already, with the same messages or more."""


async def import_conversations(
    source: ConversationStore, store: TractConversationStore
) -> ImportReport:
    """Copy all conversations of another store of pydantic-ai, with their records and branches.

    Entries keep their ids, and forks share theirs. Each conversation is read again, and compared.
    Call this again after it was cut short: it goes on where it was.

    Raises:
        TractError: a conversation of that id is in the store with another history, or does not read
            as it does in *source*. Those before it were imported.
    """
    report = ImportReport(0, 0, 0)
    for record in reversed(await source.read_records()):
        lines = [await source.read_history(tip) for tip in record.branches]
        lines.append(await source.read_history(record.head_id))
        report = _sum(report, await _import(store, record, lines))
    return report


async def import_files(
    paths: Iterable[str | os.PathLike[str]],
    store: TractConversationStore,
    *,
    scope: str | None = None,
) -> ImportReport:
    """Import JSON files: lists of messages, or whole conversations.

    A list, as `ModelMessagesTypeAdapter` dumps it, becomes the conversation of its messages' own
    `conversation_id`, or of the file's name without its ending. An object is what
    `ConversationTypeAdapter` dumps. Each file is one transaction, is read again, and compared. Call
    this again after it was cut short: it goes on where it was.

    Raises:
        TractError: a file holds neither, or a conversation of that id is in the store with another
            history. The files before it were imported.
    """
    report = ImportReport(0, 0, 0)
    for path in map(Path, paths):
        conversation = _conversation(path, await asyncio.to_thread(path.read_bytes))
        entries: list[ConversationEntry] = []
        for number, message in enumerate(conversation.messages):
            id_ = f"{conversation.conversation_id}/{number}"
            parent_id = entries[-1].id if entries else None
            entries.append(ConversationEntry(id=id_, parent_id=parent_id, message=message))
        record = ConversationRecord(
            conversation_id=conversation.conversation_id,
            head_id=entries[-1].id if entries else None,
            usage=conversation.usage,
            deferred_tool_requests=conversation.deferred_tool_requests,
            scope=scope,
        )
        report = _sum(report, await _import(store, record, [entries]))
    return report


async def _import(
    store: TractConversationStore,
    record: ConversationRecord,
    lines: Sequence[list[ConversationEntry]],
) -> ImportReport:
    """Import a conversation: the histories that it left, oldest first, and its own."""
    stored = await store.read_record(record.conversation_id)
    if stored is not None and not stored.revision.startswith(_PENDING):
        await _compare(store, record.conversation_id, lines)
        return ImportReport(0, 0, 1)
    revision = None if stored is None else stored.revision
    done = 0 if revision is None else int(revision.removeprefix(_PENDING))
    number = 0
    for position, line in list(enumerate(lines, 1))[done:]:
        part = record
        if position < len(lines):
            tips = record.branches[: position - 1]
            pending = f"{_PENDING}{position}"
            part = replace(record, head_id=line[-1].id, branches=tips, revision=pending)
        new = await _missing(store, line)
        await store.write_record(part, new_entries=new, expected_revision=revision)
        revision, number = part.revision, number + len(new)
    await _compare(store, record.conversation_id, lines)
    kept = await store.read_record(record.conversation_id)
    if kept is None or RECORDS.dump_json([kept]) != RECORDS.dump_json([record]):
        raise _differs(record.conversation_id)
    return ImportReport(1, number, 0)


async def _missing(
    store: TractConversationStore, line: Sequence[ConversationEntry]
) -> Sequence[ConversationEntry]:
    """Return the end of a history that the store does not have."""
    known = await store.known_entries(entry.id for entry in line)
    return [entry for entry in line if entry.id not in known]


async def _compare(
    store: TractConversationStore, conversation_id: str, lines: Sequence[list[ConversationEntry]]
) -> None:
    for line in filter(None, lines):
        try:
            found = await store.read_history(line[-1].id)
        except LookupError:
            found = []
        if ENTRIES.dump_json(found) != ENTRIES.dump_json(line):
            raise _differs(conversation_id)


def _differs(conversation_id: str) -> TractError:
    return TractError(
        f"The conversation {conversation_id!r} in this store is not the one to import. Delete it, "
        "or import into another store or tract."
    )


def _conversation(path: Path, data: bytes) -> Conversation:
    """Return what a file holds.

    Raises:
        TractError: it is neither a list of messages nor a conversation.
    """
    try:
        if not data.lstrip().startswith(b"["):
            return ConversationTypeAdapter.validate_json(data)
        messages = ModelMessagesTypeAdapter.validate_json(data)
    except ValidationError as error:
        raise TractError(f"{path} holds neither messages nor a conversation: {error}") from None
    named = {message.conversation_id for message in messages}
    own = named.pop() if len(named) == 1 else None
    return Conversation(messages=messages, conversation_id=own or path.stem)


def _sum(one: ImportReport, other: ImportReport) -> ImportReport:
    return ImportReport(*map(sum, zip(one, other, strict=True)))
