"""An engine under test, and its repositories over a new database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.drafts import ticking
from support.engines import ENGINES, SHARED
from support.repositories import EngineUnderTest, Repositories


@pytest.fixture(params=ENGINES, ids=[engine.name for engine in ENGINES])
def engine(request: pytest.FixtureRequest) -> EngineUnderTest:
    under_test: EngineUnderTest = request.param
    return under_test


@pytest.fixture(params=SHARED, ids=[engine.name for engine in SHARED])
def shared(request: pytest.FixtureRequest) -> EngineUnderTest:
    """An engine whose databases can be opened more than once."""
    under_test: EngineUnderTest = request.param
    return under_test


@pytest_asyncio.fixture
async def store(engine: EngineUnderTest, db_path: Path) -> AsyncIterator[Repositories]:
    async with engine.opened(db_path, ticking()) as repositories:
        yield repositories


@pytest_asyncio.fixture
async def pair(
    shared: EngineUnderTest, db_path: Path
) -> AsyncIterator[tuple[Repositories, Repositories]]:
    """Two openings of one database."""
    async with shared.opened(db_path, ticking()) as one, shared.opened(db_path, ticking(2)) as two:
        yield one, two
