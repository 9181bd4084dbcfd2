"""Turns of pydantic-ai: a conversation of 500 messages is loaded, goes on, and is saved.

Beside our store stands what its documentation shows for persistence without one: the whole
conversation as JSON, in one row. https://ai.pydantic.dev/persistence/
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from functools import partial
from statistics import median
from typing import Any

from pydantic_ai.conversation import Conversation, ConversationTypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from benchmarks.model import LIMIT, OURS, Bar, Line, Row, Sample, Workspace
from benchmarks.timing import settle, timed, timed_call
from tract.integrations.pydantic_ai import TractConversationStore

__all__ = ["CONVERSATIONS"]

_MESSAGES = 500
_TURNS = 20
_ID = "user-42"


class _Row:
    """One row a conversation."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE conversations (id TEXT PRIMARY KEY, json TEXT)")

    async def load(self, name: str) -> Conversation:
        query = "SELECT json FROM conversations WHERE id = ?"
        [text] = self._connection.execute(query, (name,)).fetchone()
        return ConversationTypeAdapter.validate_json(text)

    async def save(self, conversation: Conversation) -> None:
        text = ConversationTypeAdapter.dump_json(conversation).decode()
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO conversations VALUES (?, ?)",
                (conversation.conversation_id, text),
            )


def _turn(number: int) -> list[ModelMessage]:
    call = f"call_{number}"
    return [
        ModelRequest(parts=[UserPromptPart(f"Question {number}: {'and what of it? ' * 10}")]),
        ModelResponse(
            parts=[
                TextPart("Let me look."),
                ToolCallPart("weather", {"city": "Oslo", "day": number}, tool_call_id=call),
            ],
            model_name="a-model",
        ),
        ModelRequest(parts=[ToolReturnPart("weather", "rain, " * 20, tool_call_id=call)]),
        ModelResponse(parts=[TextPart("It rains. " * 20)], model_name="a-model"),
    ]


async def _turns(store: Any) -> Sample:
    messages = [message for turn in range(_MESSAGES // 4) for message in _turn(turn)]
    await store.save(Conversation(conversation_id=_ID, messages=messages[:-_TURNS]))
    await store.load(_ID)
    settle()
    loads, saves = [], []
    for number in range(_TURNS):
        found: list[Conversation] = []
        loads.append(await timed(_into(found, store.load)))
        found[0].messages += _turn(number)[:2]
        saves.append(await timed(store.save(found[0])))
    load, save = median(loads) * 1e3, median(saves) * 1e3
    return {"pydantic_ai.turn": load + save, "pydantic_ai.load": load, "pydantic_ai.save": save}


async def _into(found: list[Conversation], load: Callable[[str], Awaitable[Conversation]]) -> None:
    found.append(await load(_ID))


def _ours(space: Workspace) -> Sample:
    return asyncio.run(_of_ours(space))


async def _of_ours(space: Workspace) -> Sample:
    path = space.folder / "ours.db"
    async with TractConversationStore.open(path) as store:
        figures = await _turns(store)
    async with TractConversationStore.open(path) as store:
        await store.list_conversations()
        return {**figures, "pydantic_ai.first": await timed(store.load(_ID)) * 1e3}


def _row(space: Workspace) -> Sample:
    with closing(sqlite3.connect(space.folder / "row.db")) as connection:
        row = _Row(connection)
        figures = asyncio.run(_turns(row))
        first = timed_call(partial(asyncio.run, row.load(_ID)))
    return {**figures, "pydantic_ai.first": first * 1e3}


_MEASURES: Mapping[str, Callable[[Workspace], Sample]] = {LIMIT: _row, OURS: _ours}

CONVERSATIONS = (
    Line(
        "pydantic_ai",
        (
            Row(
                "pydantic_ai.turn",
                "pydantic-ai: load and save at 500 messages",
                "ms",
                (Bar(0.7, LIMIT),),
            ),
            Row("pydantic_ai.load", "the load alone", "ms"),
            Row("pydantic_ai.save", "the save alone", "ms"),
            Row("pydantic_ai.first", "the first load of a process", "ms"),
        ),
        _MEASURES,
        "Limit: one row a conversation that holds all of it as JSON, written by plain sqlite3.",
    ),
)
