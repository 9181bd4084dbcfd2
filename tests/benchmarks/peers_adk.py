"""The session service of Google's ADK, beside ADK's own for SQLite.

Measured where google-adk is installed, which needs an environment of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from benchmarks.model import OURS, Bar, Line, Row, Sample, Workspace
from benchmarks.timing import timed
from benchmarks.workload import messages
from tract import TractStore
from tract.integrations.adk import TractSessionService

__all__ = ["LINES"]

_EVENTS, _LISTED = 500, 200
_USER = {"app_name": "app", "user_id": "user"}


def sessions(workspace: Workspace) -> Sample:
    """Append events, read a session, and list sessions: each by turns with ADK's service."""
    return asyncio.run(_sessions(workspace))


async def _sessions(workspace: Workspace) -> Sample:
    theirs = SqliteSessionService(str(workspace.folder / "adk.db"))
    async with TractStore.open(workspace.folder / "tract.db") as store:
        services = (TractSessionService(store), theirs)
        append = await _appended(services)
        get = await _by_turns(services, workspace.sizes.probes, _read)
        for service in services:
            for number in range(_LISTED):
                await _short(service, number)
        listed = await _by_turns(services, workspace.sizes.probes, _listed)
    return {"adk.append": append, "adk.get": get, "adk.list": listed}


async def _appended(services: tuple[BaseSessionService, ...]) -> float:
    taken: list[list[float]] = [[], []]
    held = [await service.create_session(**_USER, session_id="s") for service in services]
    for number in range(_EVENTS):
        for service, session, times in zip(services, held, taken, strict=True):
            times.append(await timed(service.append_event(session, _event(number))))
    return median(taken[0]) / median(taken[1])


async def _by_turns(
    services: tuple[BaseSessionService, ...],
    count: int,
    work: Callable[[BaseSessionService], Awaitable[object]],
) -> float:
    taken: list[list[float]] = [[], []]
    for _ in range(count):
        for service, times in zip(services, taken, strict=True):
            times.append(await timed(work(service)))
    return median(taken[0]) / median(taken[1])


async def _read(service: BaseSessionService) -> None:
    found = await service.get_session(**_USER, session_id="s")
    assert found is not None
    assert len(found.events) == _EVENTS


async def _listed(service: BaseSessionService) -> None:
    found = await service.list_sessions(app_name="app", user_id="lister")
    assert len(found.sessions) == _LISTED


async def _short(service: BaseSessionService, number: int) -> None:
    session = await service.create_session(
        app_name="app", user_id="lister", state={"number": number}
    )
    for each in range(2):
        await service.append_event(session, _event(each))


def _event(number: int) -> Event:
    """Return what a user says, or a model that changes the state now and then."""
    text = messages(1)[0]["content"] + str(number)
    role = "model" if number % 2 else "user"
    changes = {"number": number} if number % 4 == 1 else {}
    usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=9, total_token_count=9)
    return Event(
        author="agent" if number % 2 else "user",
        invocation_id=str(number // 2),
        content=types.Content(role=role, parts=[types.Part(text=text)]),
        usage_metadata=usage if number % 2 else None,
        actions=EventActions(state_delta=changes),
    )


LINES = (
    Line(
        "adk",
        (
            Row(
                "adk.append",
                "append of an event, by that of SqliteSessionService",
                "x",
                (Bar(0.7),),
            ),
            Row("adk.get", f"a session with {_EVENTS} events likewise", "x", (Bar(1),)),
            Row("adk.list", f"a list of {_LISTED} sessions likewise", "x", (Bar(2),)),
        ),
        {OURS: sessions},
        "Both by turns. Only where google-adk is installed: `nox -s adk`.",
    ),
)
