"""How much properties and long tests do: what a session has time for, or all with `long -- full`."""

from __future__ import annotations

import os

__all__ = ["effort", "examples"]


def effort(enough: int, full: int) -> int:
    """Return *enough* for a run in CI, or *full* where `TRACT_TEST_FULL` is set."""
    return full if os.environ.get("TRACT_TEST_FULL") else enough


def examples(enough: int) -> int:
    """Return *enough* where `TRACT_TEST_EXAMPLES` is `all`, else a quarter of it.

    `nox -s long` tries all of them, of every property; what is quick tries some.
    """
    return enough if os.environ.get("TRACT_TEST_EXAMPLES") == "all" else max(10, enough // 4)
