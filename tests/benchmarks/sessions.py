"""Sessions of the OpenAI Agents SDK: ours and its `SQLiteSession`, by turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from agents import SQLiteSession

from benchmarks.model import OURS, Bar, Line, Row, Sample, Workspace
from benchmarks.timing import settle, timed
from tract import TractStore
from tract.integrations.openai_agents import TractSession

__all__ = ["SESSIONS"]

_ITEMS, _ANEW = 500, 518
_ROUNDS = 3  # of so many probes each

_Work = Callable[[Any], Awaitable[object]]


def _item(number: int) -> Any:
    text = f"Item {number}: {'and some words of what was said. ' * 6}"
    if number % 2:
        part = {"type": "output_text", "text": text, "annotations": []}
        return {
            "type": "message",
            "id": f"msg_{number}",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
    return {"role": "user", "content": text}


def _sessions(workspace: Workspace) -> Sample:
    return asyncio.run(_measured(workspace.folder, workspace.sizes.probes))


async def _measured(folder: Path, probes: int) -> Sample:
    ours, theirs = folder / "ours.db", folder / "theirs.db"
    async with TractStore.open(ours) as store, TractSession("by-path", ours) as by_path:
        with closing(SQLiteSession("s", theirs)) as peer:
            sessions: list[Any] = [TractSession("s", store), by_path, peer]
            for session in sessions:
                await session.add_items([_item(number) for number in range(_ITEMS)])
            get = await _by_turns(sessions, probes, _get)
            change = await _by_turns(sessions, probes, _add_and_pop)
            await sessions[0].add_items([_item(number) for number in range(_ITEMS, _ANEW)])
            await peer.add_items([_item(number) for number in range(_ITEMS, _ANEW)])
    anew = await _anew((ours, theirs), probes)
    return {
        "agents.get": get[0] / get[2],
        "agents.get_by_path": get[1] / get[2],
        "agents.change": change[0] / change[2],
        "agents.change_by_path": change[1] / change[2],
        "agents.anew": anew[0] / anew[1],
    }


async def _by_turns(sessions: Sequence[Any], probes: int, work: _Work) -> list[float]:
    taken: list[list[float]] = [[] for _ in sessions]
    settle()
    for _ in range(probes * _ROUNDS):
        for session, times in zip(sessions, taken, strict=True):
            times.append(await timed(work(session)))
    return [median(times) for times in taken]


async def _get(session: Any) -> None:
    assert len(await session.get_items()) == _ITEMS


async def _add_and_pop(session: Any) -> None:
    await session.add_items([_item(_ITEMS)])
    assert await session.pop_item() is not None


async def _anew(paths: tuple[Path, Path], probes: int) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = ([], [])
    settle()
    for _ in range(probes):
        for path, work, times in zip(paths, (_open_ours, _open_theirs), taken, strict=True):
            times.append(await timed(work(path)))
    return median(taken[0]), median(taken[1])


async def _open_ours(path: Path) -> None:
    async with TractStore.open(path) as store:
        assert len(await TractSession("s", store).get_items()) == _ANEW


async def _open_theirs(path: Path) -> None:
    with closing(SQLiteSession("s", path)) as session:
        assert len(await session.get_items()) == _ANEW


SESSIONS = (
    Line(
        "agents",
        (
            Row(
                "agents.get",
                f"Agents SDK: get_items at {_ITEMS} items, by that of SQLiteSession",
                "x",
                (Bar(1),),
            ),
            Row("agents.get_by_path", "the same of a session that was given a path", "x"),
            Row("agents.change", "add an item and pop it, likewise", "x", (Bar(1),)),
            Row("agents.change_by_path", "the same of a session that was given a path", "x"),
            Row("agents.anew", f"open anew and read {_ANEW} items, likewise", "x", (Bar(2),)),
        ),
        {OURS: _sessions},
        "By turns, in one process. A session that is given a path has an event loop of its own. "
        "SQLiteSession waits for the disk at every write.",
    ),
)
