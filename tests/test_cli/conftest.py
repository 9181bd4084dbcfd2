"""A store to look at from the command line."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from support.commands import sample
from tract import HeadMovedError, TractStore


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("cli") / "agents.db"
    return path, sample(path)


@pytest.fixture
def agents(made: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    """The path of a store of this test's own."""
    return Path(shutil.copy(made[0], tmp_path / "agents.db"))


@pytest.fixture
def commits(made: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """The commits of `agents`, by name."""
    return made[1]


@pytest.fixture
def damaged(agents: Path, tmp_path: Path) -> Path:
    """A store in which the content of a commit is another than was hashed."""
    path = Path(shutil.copy(agents, tmp_path / "damaged.db"))
    with closing(sqlite3.connect(path)) as connection, connection:
        changed = connection.execute(
            "UPDATE blobs SET data = CAST(replace(CAST(data AS TEXT), 'Oslo', 'Rome') AS BLOB)"
            " WHERE CAST(data AS TEXT) LIKE '%Oslo first.%'"
        )
        assert changed.rowcount == 1
    return path


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A store with two streams that could not be committed, in the tracts a and b."""
    path = tmp_path / "left.db"

    async def leave() -> None:
        async with TractStore.open(path) as store:
            for name, text in (("a", "Half a reply"), ("b", "Another")):
                branch = store.tract(name)
                with suppress(HeadMovedError):
                    async with branch.stream(expected_head=None) as stream:
                        await stream.write(text)
                        await branch.user("Meanwhile")

    asyncio.run(leave())
    return path


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """A store as an earlier release wrote it."""
    path = tmp_path / "old.db"
    script = Path(__file__).parents[1] / "support" / "fifth_schema.sql"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(script.read_text(encoding="utf-8"))
    return path


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """What LangGraph's own saver for SQLite keeps of one thread."""
    path = tmp_path / "checkpoints.db"

    async def save() -> None:
        async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
            config = RunnableConfig(configurable={"thread_id": "42", "checkpoint_ns": ""})
            await saver.aput(config, empty_checkpoint(), {"source": "input", "step": 0}, {})

    asyncio.run(save())
    return path
