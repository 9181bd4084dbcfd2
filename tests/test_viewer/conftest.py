"""A browser for the tests that need one; without Playwright or Chromium they are skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. `nox -s viewer` insists on it; elsewhere its tests may be skipped."""
    if "TRACT_TEST_BROWSER" not in os.environ:
        pytest.skip("the page is tested in a browser by `nox -s viewer`")
    from support import browser as support  # noqa: PLC0415  # Playwright is not always installed

    assert support.chromium(), "install Chromium: apt-get install chromium"
    with support.browser() as running:
        yield running
