"""Every kind of database that a store can stand on, and the repositories over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from support.repositories import Repositories, opened
from tract.protocols import UNSET, UnsetType
from tract.storage.database import Database
from tract.storage.heads import Written
from tract.storage.recent import RecentCommits
from tract.storage.repositories import BranchName, CommitDraft, CommitRecord, StreamEnd
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


class ForgetfulCommits(SqliteCommitRepository):
    """Reads everything anew, as another process would have to."""

    async def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        *,
        expected_head: str | UnsetType | None = UNSET,
        ending: StreamEnd | None = None,
    ) -> list[CommitRecord]:
        records = await super().write(branch, drafts, expected_head=expected_head, ending=ending)
        self._recent = RecentCommits()
        self._database.heads.written(Written(None, None, {}))
        return records


@pytest.fixture(params=[SqliteCommitRepository, ForgetfulCommits], ids=["remembering", "forgetful"])
def store(request: pytest.FixtureRequest, database: Database) -> Repositories:
    return Repositories(
        request.param(database),
        SqliteBlobRepository(database),
        SqliteRefRepository(database),
        SqliteUsageRepository(database),
    )
