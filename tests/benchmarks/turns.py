"""Lines about turns: append a message, then read the whole context back for the provider."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.backends import Backend, Conversation
from benchmarks.limit import PlainStore, plain_rows
from benchmarks.model import Measure, NotThereError, Sample, Workspace
from benchmarks.timing import rate, rate_of
from benchmarks.workload import ChatMessage, messages, transcripts

__all__ = [
    "many_conversations",
    "one_conversation",
    "plain_conversations",
    "plain_replay",
    "plain_turns",
    "replay",
]


def one_conversation(backend: Backend, key: str = "turns.one_task") -> Measure:
    """Return the measurement of one task whose history grows from nothing."""

    def measure(workspace: Workspace) -> Sample:
        said = messages(workspace.sizes.history)
        return {key: asyncio.run(_turns_a_second(backend, workspace, {"main": said}))}

    return measure


def many_conversations(backend: Backend) -> Measure:
    """Return the measurement of many tasks, each with its own history."""

    def measure(workspace: Workspace) -> Sample:
        histories = _histories(workspace)
        return {"turns.many_tasks": asyncio.run(_turns_a_second(backend, workspace, histories))}

    return measure


def plain_turns(workspace: Workspace) -> Sample:
    """Read all rows and parse their JSON after each commit."""
    histories = {"main": messages(workspace.sizes.history)}
    return {"turns.one_task": _plain_turns_a_second(workspace, histories)}


def plain_conversations(workspace: Workspace) -> Sample:
    """The same, one history after the other."""
    return {"turns.many_tasks": _plain_turns_a_second(workspace, _histories(workspace))}


def replay(backend: Backend) -> Measure:
    """Return the measurement of recorded agents, all at once."""

    def measure(workspace: Workspace) -> Sample:
        return {"replay": asyncio.run(_replays_a_second(backend, workspace))}

    return measure


def plain_replay(workspace: Workspace) -> Sample:
    """The same agents, one after the other."""
    recorded = _recorded(workspace)
    rows = {str(number): plain_rows(said, str(number)) for number, said in enumerate(recorded)}
    store = PlainStore(workspace.folder / "plain.db", histories=True)

    def work() -> None:
        for name, said in zip(rows, recorded, strict=True):
            for row, message in zip(rows[name], said, strict=True):
                if message["role"] == "assistant":
                    store.read(name)
                store.commit([row])

    result = rate_of(sum(map(len, recorded)), work)
    store.close()
    return {"replay": result}


def _histories(workspace: Workspace) -> dict[str, list[ChatMessage]]:
    sizes = workspace.sizes
    names = [f"conversation-{number}" for number in range(sizes.conversations)]
    return {name: messages(sizes.turns, name) for name in names}


def _recorded(workspace: Workspace) -> list[list[ChatMessage]]:
    recorded = transcripts(workspace.sizes.agents)
    if recorded is None:
        raise NotThereError("no transcripts")
    return recorded


async def _turns_a_second(
    backend: Backend, workspace: Workspace, histories: dict[str, list[ChatMessage]]
) -> float:
    async with backend.open(workspace.folder / "store.db") as opened:
        conversations = {name: opened.conversation(name) for name in histories}
        for conversation in conversations.values():
            await conversation.load()
        tasks = [_turns(conversations[name], said) for name, said in histories.items()]
        return await rate(sum(map(len, histories.values())), asyncio.gather(*tasks))


async def _turns(conversation: Conversation, said: Sequence[ChatMessage]) -> None:
    read: list[object] = []
    for message in said:
        await conversation.append(message)
        read = await conversation.read()
    assert len(read) == len(said)


def _plain_turns_a_second(workspace: Workspace, histories: dict[str, list[ChatMessage]]) -> float:
    rows = {name: plain_rows(said, name) for name, said in histories.items()}
    store = PlainStore(workspace.folder / "plain.db", histories=True)

    def work() -> None:
        for name, several in rows.items():
            for row in several:
                store.commit([row])
                store.read(name)

    result = rate_of(sum(map(len, rows.values())), work)
    store.close()
    return result


async def _replays_a_second(backend: Backend, workspace: Workspace) -> float:
    recorded = _recorded(workspace)
    async with backend.open(workspace.folder / "store.db") as opened:
        conversations = [opened.conversation(str(number)) for number in range(len(recorded))]
        for conversation in conversations:
            await conversation.load()
        tasks = [
            _replay(conversation, said)
            for conversation, said in zip(conversations, recorded, strict=True)
        ]
        result = await rate(sum(map(len, recorded)), asyncio.gather(*tasks))
        for conversation, said in zip(conversations, recorded, strict=True):
            assert len(await conversation.read()) == len(said)
        return result


async def _replay(conversation: Conversation, said: Sequence[ChatMessage]) -> None:
    for message in said:
        if message["role"] == "assistant":
            await conversation.read()
        await conversation.append(message)
