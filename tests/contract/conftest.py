"""An engine under test, and its repositories over a new database."""

from __future__ import annotations

from collections.abc import AsyncIterator

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


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """Where the engine under test can open a database and none is yet: a path, or a URL."""
    name = "shared" if "shared" in request.fixturenames else "engine"
    under_test: EngineUnderTest = request.getfixturevalue(name)
    return str(request.getfixturevalue(under_test.place))


@pytest_asyncio.fixture
async def store(engine: EngineUnderTest, place: str) -> AsyncIterator[Repositories]:
    async with engine.opened(place, ticking()) as repositories:
        yield repositories


@pytest_asyncio.fixture
async def pair(
    shared: EngineUnderTest, place: str
) -> AsyncIterator[tuple[Repositories, Repositories]]:
    """Two openings of one database."""
    async with shared.opened(place, ticking()) as one, shared.opened(place, ticking(2)) as two:
        yield one, two
