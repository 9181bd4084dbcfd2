"""`import_sessions`: what the Agents SDK's own sessions stored, as sessions here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Runner, SQLiteSession, set_tracing_disabled
from agents.extensions.memory import AdvancedSQLiteSession, SQLAlchemySession
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from support.agents import ITEMS, Answering, said
from support.opening import COUNTER
from tract import TractError, TractStore, quote_id
from tract.integrations.openai_agents import ImportReport, TractSession, import_sessions

set_tracing_disabled(True)


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions of old? #1.db"


@pytest.fixture
async def engine(path: Path) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(f"sqlite+aiosqlite:///{path.with_name('old.db')}")
    yield made
    await made.dispose()


async def filled(path: Path, session_id: str = "user:1", items: list[Any] = ITEMS) -> None:
    with closing(SQLiteSession(session_id, path)) as session:
        await session.add_items(items)


def changed(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


async def test_a_session_comes_whole_with_the_times_of_its_items(
    store: TractStore, path: Path
) -> None:
    await filled(path)
    await filled(path, "other", ITEMS[:2])
    changed(path, "UPDATE agent_messages SET created_at = '2025-01-02 03:04:05'")
    changed(path, "UPDATE agent_sessions SET created_at = '2025-01-02 03:04:04'")
    report = await import_sessions(path, store)

    assert report == ImportReport(2, 2, len(ITEMS) + 2, (), ())
    session = TractSession("user:1", store)
    assert await session.get_items() == ITEMS
    assert await TractSession("other", store).get_items() == ITEMS[:2]
    infos = await session.tract.log(None)
    assert [info.metadata for info in infos] == [{"created_at": "2025-01-02 03:04:05"}] * len(ITEMS)
    info = await session.tract.info()
    assert info is not None
    assert info.metadata is not None
    assert info.metadata["created_at"] == "2025-01-02 03:04:04"
    assert await import_sessions(str(path), store) == report._replace(items=0)


async def test_the_file_is_only_read(store: TractStore, path: Path) -> None:
    await filled(path)
    changed(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    before = hashlib.sha256(await asyncio.to_thread(path.read_bytes)).digest()
    await import_sessions(path, store)

    assert hashlib.sha256(await asyncio.to_thread(path.read_bytes)).digest() == before


async def test_a_session_comes_while_the_sdk_has_it_open(store: TractStore, path: Path) -> None:
    with closing(SQLiteSession("s", path)) as session:
        await session.add_items(ITEMS[:3])
        assert (await import_sessions(path, store)).items == 3
        await session.add_items(ITEMS[3:])
        assert (await import_sessions(path, store)).items == len(ITEMS) - 3

    assert await TractSession("s", store).get_items() == ITEMS


async def test_some_sessions_are_imported_and_those_of_no_name_are_none(
    store: TractStore, path: Path
) -> None:
    for name in ("a", "b", "c"):
        await filled(path, name, ITEMS[:1])

    assert await import_sessions(path, store, session_ids=[]) == (0, 0, 0, (), ())
    assert await import_sessions(path, store, session_ids=["c", "a", "x"]) == (2, 2, 2, (), ())
    assert sorted(await store.tract_ids()) == ["a", "c"]


async def test_a_session_without_items_is_an_empty_one_here(store: TractStore, path: Path) -> None:
    await filled(path, "empty", ITEMS[:1])
    changed(path, "DELETE FROM agent_messages")

    assert await import_sessions(path, store) == (1, 1, 0, (), ())
    assert await store.tract_ids() == ["empty"]
    assert await TractSession("empty", store).get_items() == []


async def test_sessions_come_from_an_engine_and_other_tables(
    store: TractStore, engine: AsyncEngine
) -> None:
    names: dict[str, Any] = {"sessions_table": "my sessions", "messages_table": "my messages"}
    theirs = SQLAlchemySession("s", engine=engine, create_tables=True, **names)
    await theirs.add_items(ITEMS)
    report = await import_sessions(engine, store, **names)

    assert report == ImportReport(1, 1, len(ITEMS), (), ())
    assert await TractSession("s", store).get_items() == ITEMS
    with pytest.raises(TractError, match="agent_sessions"):
        await import_sessions(engine, store)


async def test_the_order_is_that_in_which_a_sqlalchemy_session_reads(
    store: TractStore, engine: AsyncEngine, path: Path
) -> None:
    theirs = SQLAlchemySession("s", engine=engine, create_tables=True)
    await theirs.add_items(ITEMS)
    sql = "UPDATE agent_messages SET created_at = '2020-01-01 00:00:00' WHERE id = ?"
    changed(path.with_name("old.db"), sql, 4)
    await import_sessions(engine, store)

    items: list[Any] = await TractSession("s", store).get_items()
    assert items == await theirs.get_items()
    assert items[0] == ITEMS[3]


async def branched(path: Path) -> dict[str, list[Any]]:
    """Fill an advanced session with three branches; return their items."""
    made: dict[str, Any] = {"session_id": "s", "db_path": path}
    session = AdvancedSQLiteSession(create_tables=True, **made)
    with closing(session):
        for number in range(4):
            agent = Agent("helper", model=Answering([said(f"answer {number}")]))
            result = await Runner.run(agent, f"question {number}", session=session)
            await session.store_run_usage(result)
        await session.create_branch_from_turn(3, "try 1")
        await session.add_items([{"role": "user", "content": "another way"}])
        await session.create_branch_from_turn(3, "further")
        await session.create_branch_from_turn(1, "anew")
        await session.add_items([{"role": "user", "content": "from the beginning"}])
        names = [branch["branch_id"] for branch in await session.list_branches()]
        return {name: list(await session.get_items(branch_id=name)) for name in names}


async def test_branches_of_an_advanced_session_are_branches_that_share_their_beginning(
    store: TractStore, path: Path
) -> None:
    items = await branched(path)
    report = await import_sessions(path, store)

    assert {name: len(each) for name, each in items.items()} == {
        **{"main": 8, "try 1": 5, "further": 4, "anew": 1}
    }
    assert report == ImportReport(1, 4, 8 + 1 + 1, (), ())
    for name, wanted in items.items():
        assert await TractSession("s", store, branch=quote_id(name)).get_items() == wanted
    main = store.tract("s")
    fourth = (await main.log(None))[-4].commit_hash
    assert {branch.name: branch.head_hash for branch in await main.branches()}["further"] == fourth
    assert await import_sessions(path, store) == report._replace(items=0)


async def test_usage_of_turns_stays_with_them_and_that_of_one_request_is_recorded(
    store: TractStore, path: Path
) -> None:
    await branched(path)
    changed(path, "UPDATE turn_usage SET requests = 2 WHERE user_turn_number = 2")
    changed(path, "INSERT INTO turn_usage (session_id, user_turn_number) VALUES ('s', 99)")
    report = await import_sessions(path, store)

    assert report.unread == ("s/usage of main, turn 99",)
    tract = store.tract("s")
    infos = (await tract.log(None))[::-1]
    told = [info.metadata or {} for info in infos]
    assert [each["turn"] for each in told] == [1, 1, 2, 2, 3, 3, 4, 4]
    usage = [each.get("turn_usage") or {} for each in told]
    assert [each.get("input_tokens") for each in usage] == [None, 11] * 4
    assert [each.get("requests") for each in usage[1::2]] == [1, 2, 1, 1]
    sources = [(await tract.compile(at_commit=info.commit_hash)).token_source for info in infos]
    recorded = [source.startswith("api:11+7") for source in sources]
    assert recorded == [True, False, False, False, True, False, True, False]


async def test_what_no_branch_shows_and_what_is_no_item_is_told(
    store: TractStore, path: Path
) -> None:
    await branched(path)
    await filled(path, "s", ITEMS[:1])  # which an advanced session does not show
    changed(path, "UPDATE agent_messages SET message_data = 'x{' WHERE id = 2")
    changed(path, "UPDATE agent_messages SET message_data = '[1]' WHERE id = 3")
    stray = "INSERT INTO agent_messages (session_id, message_data) VALUES ('stray', ?)"
    changed(path, stray, json.dumps(ITEMS[1]))
    report = await import_sessions(path, store)

    assert report.unread == ("s/2", "s/3", "s/11")
    assert report.different == ()
    assert len(await TractSession("s", store).get_items()) == 6
    assert await TractSession("stray", store).get_items() == [ITEMS[1]]


async def test_an_import_that_was_cut_short_goes_on(store: TractStore, path: Path) -> None:
    items = [{"role": "user", "content": str(number)} for number in range(900)]
    await filled(path, "s", items)
    cut = 0
    while True:
        task = asyncio.create_task(import_sessions(path, store))
        await asyncio.sleep(0.02 * cut)
        cut += 1
        if not task.cancel():
            break
        await asyncio.gather(task, return_exceptions=True)
        assert cut < 200

    assert (await task).different == ()
    assert await TractSession("s", store).get_items() == items


async def test_two_imports_at_once_bring_everything_once(store: TractStore, path: Path) -> None:
    items = await branched(path)
    reports = await asyncio.gather(*(import_sessions(path, store) for _ in range(3)))

    assert [report.different for report in reports] == [()] * 3
    for name, wanted in items.items():
        assert await TractSession("s", store, branch=quote_id(name)).get_items() == wanted
    assert (await import_sessions(path, store)).items == 0


async def test_what_went_on_here_stays_and_what_went_another_way_is_told(
    store: TractStore, path: Path
) -> None:
    await filled(path, "on", ITEMS[:2])
    await filled(path, "away", ITEMS[:2])
    await import_sessions(path, store)
    on, away = TractSession("on", store), TractSession("away", store)
    await on.add_items(ITEMS[2:])
    await away.pop_item()
    await away.add_items(ITEMS[5:])
    report = await import_sessions(path, store)

    assert report == ImportReport(2, 2, 0, (), ("away/main",))
    assert await on.get_items() == ITEMS
    assert await away.get_items() == [ITEMS[0], *ITEMS[5:]]


async def test_what_is_no_store_of_sessions_is_refused(store: TractStore, path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await import_sessions(path, store)
    changed(path, "CREATE TABLE agent_sessions (session_id)")
    with pytest.raises(TractError, match="agent_messages"):
        await import_sessions(path, store)

    assert await store.tract_ids() == []
