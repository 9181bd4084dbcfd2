"""Every kind of database that a store can stand on, and the repositories over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.repositories import Repositories, opened
from tract.storage.database import Database
from tract.storage.sqlite import (
    SqliteBlobRepository,
    SqliteCommitRepository,
    SqliteRefRepository,
    SqliteUsageRepository,
)


@pytest_asyncio.fixture(params=["file", "memory", "engine"])
async def database(request: pytest.FixtureRequest, db_path: Path) -> AsyncIterator[Database]:
    async with opened(request.param, db_path) as database:
        yield database


@pytest.fixture
def store(database: Database) -> Repositories:
    return Repositories(
        SqliteCommitRepository(database),
        SqliteBlobRepository(database),
        SqliteRefRepository(database),
        SqliteUsageRepository(database),
    )
