"""How much the long tests do: what CI needs, or all with `nox -s long -- full`."""

from __future__ import annotations

import os

__all__ = ["effort"]


def effort(enough: int, full: int) -> int:
    """Return *enough* for a run in CI, or *full* where `TRACT_TEST_FULL` is set."""
    return full if os.environ.get("TRACT_TEST_FULL") else enough
