"""A page in the system's Chromium, with a record of all that it asks for and complains of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Dialog, Page, sync_playwright

__all__ = ["PROGRAMS", "Visit", "chromium", "visit"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
"""Names of the program, of which the first that is installed is used."""


def chromium() -> str | None:
    """Return the path of the browser; None if there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run the browser."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium())
        yield running
        running.close()


@dataclass
class Visit:
    """A page that was opened, and what came of it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def dismiss(self, dialog: Dialog) -> None:
        """Note a dialog and close it."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def show(self, tab: str) -> None:
        """Show one of the views, and wait until it is there."""
        self.page.locator(f"#tab-{tab}").click()
        self.settle()

    def settle(self) -> None:
        """Wait until the panel is drawn."""
        self.page.wait_for_selector("#panel:not([aria-busy])")
        self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def choose(self, words: str) -> None:
        """Select the newest commit in sight whose row has some words."""
        self.page.locator("#commits [role=option]", has_text=words).first.click()
        self.settle()

    @property
    def panel(self) -> str:
        """The text of the panel."""
        return self.page.locator("#panel").inner_text()


@contextmanager
def visit(browser: Browser, address: str, **options: Any) -> Iterator[Visit]:
    """Open a page in a window of its own."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    page = context.new_page()
    opened = Visit(page)
    context.on("request", lambda request: opened.requests.append(request.url))
    page.on("console", lambda message: opened.complaints.append(message.text))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("dialog", opened.dismiss)
    page.goto(address)
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    opened.settle()
    try:
        yield opened
    finally:
        context.close()
