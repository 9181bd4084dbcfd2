"""The recorded exchanges, read once."""

from __future__ import annotations

import pytest

from providers import exchanges
from providers.exchanges import Exchange


@pytest.fixture(scope="session")
def recorded() -> list[Exchange]:
    """All exchanges; without them the test is skipped."""
    path = exchanges.path()
    if not path.is_file():
        pytest.skip(f"no exchanges at {path}; ASYNCTRACT_TRANSCRIPTS names their folder")
    return list(exchanges.read(path))
