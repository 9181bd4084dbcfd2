"""The recorded exchanges, read once."""

from __future__ import annotations

import pytest

from providers import exchanges
from providers.exchanges import Exchange


@pytest.fixture(scope="session")
def answered() -> list[Exchange]:
    """All exchanges, or none where they are not there."""
    path = exchanges.path()
    return list(exchanges.read(path)) if path.is_file() else []


@pytest.fixture
def recorded(answered: list[Exchange]) -> list[Exchange]:
    """All exchanges; without them the test is skipped."""
    if not answered:
        path = exchanges.path()
        pytest.skip(f"no exchanges at {path}; ASYNCTRACT_TRANSCRIPTS names their folder")
    return answered
