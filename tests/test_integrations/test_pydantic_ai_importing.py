"""Conversations of pydantic-ai's other stores, and files of its JSON, come over whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_ai.conversation import Conversation, ConversationTypeAdapter
from pydantic_ai.conversation_store import ConversationStore, InMemoryConversationStore
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.usage import RunUsage

from tract import TractError
from tract.integrations.pydantic_ai import (
    ImportReport,
    TractConversationStore,
    import_conversations,
    import_files,
)


def messages(*texts: str) -> list[ModelMessage]:
    return [
        ModelResponse(parts=[TextPart(text)])
        if number % 2
        else ModelRequest(parts=[UserPromptPart(text)])
        for number, text in enumerate(texts)
    ]


async def filled(source: ConversationStore) -> None:
    """Save a conversation that has left two histories, and a fork of it."""
    given = Conversation(conversation_id="c", messages=messages("1", "2", "3", "4"))
    given.usage = RunUsage(requests=2, input_tokens=9)
    await source.save(given, scope="anna")
    for text in ("three", "drei"):
        given = await source.branch("c", at=2, expected_revision=given.revision)
        given.messages += messages(text)
        await source.save(given)
    await source.fork("c", at=3, new_conversation_id="f")
    await source.save(Conversation(conversation_id="empty"))


async def all_of(store: ConversationStore) -> list[object]:
    records = await store.list_conversations()
    lines = [
        await store.read_history(tip)
        for record in records
        for tip in [*record.branches, record.head_id]
    ]
    return [records, lines]


async def test_a_store_comes_over_with_ids_records_and_branches(target: str) -> None:
    source = InMemoryConversationStore()
    await filled(source)
    async with TractConversationStore.open(target) as store:
        assert await import_conversations(source, store) == ImportReport(3, 6, 0)
        assert await all_of(store) == await all_of(source)
        assert await import_conversations(source, store) == ImportReport(0, 0, 3)

        context = await store.tract("c").compile(aggregate_same_role=False)
        assert [message.content for message in context.messages] == ["1", "2", "drei"]
        names = [branch.name for branch in await store.tract("c").branches()]
        assert len([name for name in names if name.startswith("left/c/")]) == 2


async def test_an_import_goes_on_where_it_was_cut_short(target: str) -> None:
    source = InMemoryConversationStore()
    await filled(source)

    class CutShort(TractConversationStore):
        left = 0

        async def write_record(self, *args: object, **options: object) -> None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            await super().write_record(*args, **options)  # type: ignore[arg-type]

    for left in range(1, 4):
        async with CutShort.open(target) as cut:
            cut.left = left - 1
            with pytest.raises(KeyboardInterrupt):
                await import_conversations(source, cut)
    async with TractConversationStore.open(target) as store:
        report = await import_conversations(source, store)
        assert report.conversations + report.present == 3
        assert await all_of(store) == await all_of(source)


async def test_a_conversation_that_went_on_since_is_present(target: str) -> None:
    source = InMemoryConversationStore()
    await source.save(Conversation(conversation_id="c", messages=messages("1", "2")))
    async with TractConversationStore.open(target) as store:
        await import_conversations(source, store)
        found = await store.load("c")
        assert found is not None
        found.messages += messages("3")
        await store.save(found)

        assert await import_conversations(source, store) == ImportReport(0, 0, 1)


async def test_another_conversation_of_that_id_is_left_alone(target: str) -> None:
    source = InMemoryConversationStore()
    await source.save(Conversation(conversation_id="c", messages=messages("1")))
    async with TractConversationStore.open(target) as store:
        await store.save(Conversation(conversation_id="c", messages=messages("else")))
        with pytest.raises(TractError, match="'c'"):
            await import_conversations(source, store)

        found = await store.load("c")
        assert found is not None
        assert len(found.messages) == 1


async def test_files_of_messages_and_of_conversations_come_over(
    target: str, tmp_path: Path
) -> None:
    given = messages("1", "2", "3")
    dumped = tmp_path / "user-7.json"
    dumped.write_bytes(ModelMessagesTypeAdapter.dump_json(given, indent=1))
    whole = tmp_path / "whole.json"
    conversation = Conversation(conversation_id="w", messages=given, usage=RunUsage(requests=3))
    whole.write_bytes(ConversationTypeAdapter.dump_json(conversation))
    empty = tmp_path / "empty.json"
    empty.write_bytes(b"[]")
    paths = [dumped, whole, empty]

    async with TractConversationStore.open(target) as store:
        assert await import_files(paths, store, scope="old") == ImportReport(3, 6, 0)
        assert await import_files(paths, store) == ImportReport(0, 0, 3)
        for id_ in ("user-7", "w"):
            found = await store.load(id_, scope="old")
            assert found is not None
            assert found.messages == given
            assert found.usage == (RunUsage() if id_ == "user-7" else conversation.usage)


@pytest.mark.parametrize("text", ["[{}]", "", "no", "[1"])
async def test_a_file_that_is_neither_is_refused(target: str, tmp_path: Path, text: str) -> None:
    path = tmp_path / "it.json"
    path.write_text(text)
    async with TractConversationStore.open(target) as store:
        with pytest.raises(TractError, match=r"it\.json"):
            await import_files([path], store)
        assert await store.list_conversations() == []
