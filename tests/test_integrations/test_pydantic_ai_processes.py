"""Conversations of pydantic-ai that several processes write, and that a killed one leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationStore
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart

from support.killing import started
from support.opening import COUNTER
from tract import TractStore
from tract.integrations.pydantic_ai import TractConversationStore

ENGINES = pytest.mark.parametrize("target", ["sqlite", "postgres"], indirect=True)

SAVING = """
import asyncio, sys
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelRequest, UserPromptPart
from tract.integrations.pydantic_ai import TractConversationStore

async def main(target, name, turns):
    async with TractConversationStore.open(target) as store:
        done = 0
        while done < int(turns):
            found = await store.load("c") or Conversation(conversation_id="c")
            texts = [f"{name}:{done}:{part}" for part in range(3)]
            found.messages += [ModelRequest(parts=[UserPromptPart(text)]) for text in texts]
            try:
                await store.save(found)
            except ConversationConflict:
                continue
            done += 1
            print("saved", flush=True)
            if done % 3 == 0:
                await store.fork("c", new_conversation_id=f"{name}:{done}")

asyncio.run(main(*sys.argv[1:]))
"""


def asked(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


async def texts(store: ConversationStore, id_: str = "c") -> list[str]:
    found = await store.load(id_)
    assert found is not None
    parts: list[Any] = [part for each in found.messages for part in each.parts]
    return [str(part.content) for part in parts]


def is_whole(found: list[str]) -> bool:
    """Return True if saves are there with all of their messages, one after the other."""
    saves = [found[start : start + 3] for start in range(0, len(found), 3)]
    return all(
        [text.rpartition(":")[0] for text in save] == [save[0].rpartition(":")[0]] * 3
        for save in saves
    )


@ENGINES
async def test_processes_that_save_one_conversation_lose_nothing(target: Path | str) -> None:
    running = await started(SAVING, target, "one", 6)
    async with TractConversationStore.open(target) as store:
        done = 0
        while done < 6:
            found = await store.load("c")
            assert found is not None
            found.messages += [asked(f"two:{done}:{part}") for part in range(3)]
            try:
                await store.save(found)
            except ConversationConflict:
                continue
            done += 1
        assert await running.ended() == 0

        found_texts = await texts(store)
        assert is_whole(found_texts)
        assert sorted(found_texts) == sorted(
            f"{name}:{turn}:{part}"
            for name in ("one", "two")
            for turn in range(6)
            for part in range(3)
        )
        ids = {record.conversation_id for record in await store.list_conversations()}
        assert ids == {"c", "one:3", "one:6"}
        assert all([is_whole(await texts(store, id_)) for id_ in ids])
        assert (await store.tract("c").verify()).faults == ()


@ENGINES
async def test_a_killed_process_leaves_whole_saves(target: Path | str) -> None:
    running = await started(SAVING, target, "one", 10_000)
    await asyncio.sleep(0.3)
    await running.kill()

    async with TractConversationStore.open(target) as store:
        found = await store.load("c")
        assert found is not None
        assert is_whole(await texts(store))
        found.messages.append(asked("more"))
        await store.save(found)
        assert (await store.tract("c").verify()).faults == ()


@ENGINES
async def test_a_fork_and_a_delete_at_once_leave_the_fork_whole_or_none(
    target: Path | str,
) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as other,
    ):
        stores = [await TractConversationStore.open(each) for each in (one, other)]
        for number in range(12):
            id_, fork = f"c{number}", f"f{number}"
            messages = [asked("a"), asked("b")]
            await stores[0].save(Conversation(conversation_id=id_, messages=messages))

            async def fork_it(id_: str = id_, fork: str = fork, number: int = number) -> None:
                await asyncio.sleep(number % 4 / 1000)
                await stores[1].fork(id_, new_conversation_id=fork)

            done = await asyncio.gather(fork_it(), stores[0].delete(id_), return_exceptions=True)
            assert done[1] is None
            assert await stores[1].load(id_) is None
            found = await stores[0].load(fork)
            assert (found is None) == isinstance(done[0], Exception)
            assert found is None or len(found.messages) == 2
        assert (await one.tract("conversations").verify()).faults == ()


@ENGINES
async def test_what_another_process_deleted_or_saved_is_seen_at_once(target: Path | str) -> None:
    async with (
        TractConversationStore.open(target) as one,
        TractConversationStore.open(target) as other,
    ):
        given = Conversation(conversation_id="c", messages=[asked("1")])
        await one.save(given)
        found = await other.load("c")
        assert found is not None
        found.messages.append(asked("2"))
        await other.save(found)

        assert await texts(one) == ["1", "2"]
        given.messages.append(asked("two"))
        with pytest.raises(ConversationConflict):
            await one.save(given)
        await other.delete("c")
        assert await one.load("c") is None
        with pytest.raises(ConversationConflict):
            await one.save(given)
