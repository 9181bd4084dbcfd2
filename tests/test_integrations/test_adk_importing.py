"""`import_sessions`: sessions of ADK's own services, as sessions here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("google.adk", reason="google-adk needs an environment of its own")

from google.adk.sessions import DatabaseSessionService, Session
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from support.adk import EVENTS, SESSION, said, state_event
from support.opening import COUNTER
from tract import TractStore
from tract.integrations.adk import ImportReport, TractSessionService, import_sessions

SQLITE, DATABASE = "SqliteSessionService", "DatabaseSessionService"


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


@pytest.fixture
def service(store: TractStore) -> TractSessionService:
    return TractSessionService(store)


@pytest.fixture(params=[SQLITE, DATABASE])
async def source(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == SQLITE:
        yield SqliteSessionService(str(tmp_path / "old.db"))
        return
    async with DatabaseSessionService(f"sqlite+aiosqlite:///{tmp_path / 'old.db'}") as made:
        yield made


async def filled(source: BaseSessionService, **names: Any) -> Session:
    state = {"first": "kept", "app:color": "red", "large": "x" * 3_000}
    session = await source.create_session(**(SESSION | names), state=state)
    for number, event in enumerate(EVENTS):
        copied = event.model_copy(deep=True, update={"timestamp": 1_700_000_000.0 + number})
        await source.append_event(session, copied)
    return session


async def same(one: BaseSessionService, other: BaseSessionService, **names: Any) -> bool:
    found = [await each.get_session(**(SESSION | names)) for each in (one, other)]
    there, here = [each.model_dump() for each in found if each is not None]
    return bool(there == here)


async def test_sessions_come_whole_with_their_states_and_times(
    source: BaseSessionService, service: TractSessionService
) -> None:
    await filled(source)
    await filled(source, user_id="bo", session_id="t")
    await source.create_session(**(SESSION | {"session_id": "empty"}), state={"k": 1})
    report = await import_sessions(source, service, app_name="travel")

    assert report == ImportReport(3, 2 * len(EVENTS), ())
    assert await same(source, service)
    assert await same(source, service, user_id="bo", session_id="t")
    assert await same(source, service, session_id="empty")
    assert await service.get_user_state(app_name="travel", user_id="anna") == {"name": "Anna"}
    again = await import_sessions(source, service, app_name="travel")
    assert again == ImportReport(3, 0, ())


async def test_an_imported_session_goes_back_in_its_state(
    source: BaseSessionService, service: TractSessionService
) -> None:
    session = await source.create_session(**SESSION, state={"kept": 1})
    for number in range(3):
        event = state_event(n=number, **{f"k{number}": 1})
        await source.append_event(session, event.model_copy(update={"invocation_id": str(number)}))
    await import_sessions(source, service, app_name="travel")
    fork = await service.fork_session(**SESSION, before_invocation_id="1")

    assert fork.state == {"kept": 1, "n": 0, "k0": 1}


async def test_an_import_that_was_cut_short_goes_on(
    source: BaseSessionService, service: TractSessionService
) -> None:
    session = await source.create_session(**SESSION, state={"large": "x" * 3_000})
    for number in range(120):
        await source.append_event(session, said(str(number), timestamp=1.7e9 + number))
    cut = 0
    while True:
        task = asyncio.create_task(import_sessions(source, service, app_name="travel"))
        await asyncio.sleep(0.03 * cut)
        cut += 1
        if not task.cancel():
            break
        await asyncio.gather(task, return_exceptions=True)
        assert cut < 200

    assert (await task).different == ()
    assert await same(source, service)


async def test_a_session_that_went_on_here_stays_and_one_that_went_another_way_is_told(
    source: BaseSessionService, service: TractSessionService
) -> None:
    await filled(source)
    await filled(source, session_id="t")
    await import_sessions(source, service, app_name="travel")
    here = await service.get_session(**SESSION)
    assert here is not None
    await service.append_event(here, state_event(app__color="blue"))
    await service.delete_session(**(SESSION | {"session_id": "t"}))
    other = await service.create_session(**(SESSION | {"session_id": "t"}))
    await service.append_event(other, said("mine"))
    report = await import_sessions(source, service, app_name="travel")

    assert report == ImportReport(2, 0, ("app:color", "anna/t"))
    assert await service.get_session(**SESSION) == here
