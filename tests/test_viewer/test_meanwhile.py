"""The page while the server is slow, fails or restarts, and while what it shows changes under it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.commands import PROGRAM, environment
from support.viewing import TOKEN, crowd, everything, in_thread, served
from tract import TractStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

LISTED = "#commits [role=option]"


def late(route: Route) -> None:
    time.sleep(0.3)
    route.continue_()


def test_commits_that_come_faster_than_the_server_answers_are_shown_once(browser: Browser) -> None:
    from support.browser import visit  # noqa: PLC0415

    async def talk(store: TractStore) -> None:
        await store.tract("crowd").user("One more.")

    with served(partial(crowd, commits=4)) as (address, work), visit(browser, address) as opened:
        before = opened.page.locator(LISTED).count()
        opened.page.route("**/api/commits?*", late)
        for _ in range(6):
            work(talk)
            opened.page.wait_for_timeout(100)
        opened.page.locator("#status", has_text=f"{before + 6} commits, live").wait_for()
        opened.settle()

        assert opened.page.locator(LISTED).count() == before + 6


def test_a_row_that_is_drawn_again_while_it_is_clicked_is_selected(browser: Browser) -> None:
    from support.browser import visit  # noqa: PLC0415

    with served(everything) as (address, _), visit(browser, f"{address}&tract=trip") as opened:
        box = opened.page.locator(LISTED, has_text="This is the harbour.").bounding_box()
        assert box is not None
        opened.page.mouse.move(box["x"] + 9, box["y"] + 9)
        opened.page.mouse.down()
        opened.page.set_viewport_size({"width": 1280, "height": 790})  # all rows are drawn again
        opened.settle()
        opened.page.mouse.up()
        opened.settle()

        assert "This is the harbour." in opened.panel


def test_a_failing_server_is_told_and_asked_again(browser: Browser) -> None:
    """Not taken for the end of the history, or for a tract without commits."""
    from support.browser import visit  # noqa: PLC0415

    with (
        served(partial(crowd, commits=2_500)) as (address, _),
        visit(browser, address) as opened,
    ):
        opened.page.route("**/api/commits?*before*", lambda route: route.abort())
        opened.page.locator("#commits [role=listbox]").press("End")
        opened.page.locator("#status", has_text="could not be loaded").wait_for()
        opened.page.unroute("**/api/commits?*before*")
        opened.page.locator("#commits [role=listbox]").press("Home")
        opened.page.locator("#commits [role=listbox]").press("End")

        opened.page.wait_for_selector("#commits [aria-posinset='1001']")


@pytest.mark.parametrize("failing", ["refs", "commits"])
def test_a_tract_that_cannot_be_read_does_not_show_the_last_one(
    browser: Browser, failing: str
) -> None:
    from support.browser import visit  # noqa: PLC0415

    with (
        served(everything) as (address, _),
        visit(browser, f"{address}&tract=trip") as opened,
    ):
        opened.page.route(f"**/api/{failing}?*", lambda route: route.abort())
        opened.page.locator("#tract").select_option(value="recipes")
        opened.page.locator("#panel", has_text="fetch").wait_for()
        assert opened.page.locator(LISTED).count() == 0
        opened.page.unroute(f"**/api/{failing}?*")
        opened.page.locator("#tract").select_option(value="trip")
        opened.page.locator("#status", has_text="live").wait_for()

        assert opened.page.locator(LISTED).count() > 1


def test_a_tract_that_is_erased_while_it_is_shown_goes_from_the_page(browser: Browser) -> None:
    from support.browser import visit  # noqa: PLC0415

    async def erase(store: TractStore) -> None:
        await store.erase_tract("recipes", reason="asked to")

    async def begin_anew(store: TractStore) -> None:
        await store.tract("recipes").user("Pancakes?")

    with (
        served(everything) as (address, work),
        visit(browser, f"{address}&tract=recipes") as opened,
    ):
        work(erase)
        opened.page.locator("#status", has_text="0 commits, live").wait_for()
        assert opened.page.locator(LISTED).count() == 0
        assert "Waffles?" not in opened.panel
        work(begin_anew)
        opened.page.locator("#status", has_text="1 commit, live").wait_for()
        opened.settle()

        assert "Pancakes?" in opened.panel


def test_the_page_goes_on_when_the_server_is_back(browser: Browser, tmp_path: Path) -> None:
    from support.browser import visit  # noqa: PLC0415

    path = tmp_path / "agents.db"
    in_thread(say(path, "First"))
    server = Server(path)

    with ExitStack() as opening:
        with server.running(TOKEN) as address:
            opened = opening.enter_context(visit(browser, address))
            status = opened.page.locator("#status")
            status.filter(has_text="1 commit, live").wait_for()
        status.filter(has_text="Trying again").wait_for()
        in_thread(say(path, "Meanwhile"))
        with server.running(TOKEN):
            status.filter(has_text="2 commits, live").wait_for()
        status.filter(has_text="Trying again").wait_for()
        with server.running("another"):
            status.filter(has_text="another token").wait_for()

        assert opened.page.locator(LISTED).count() == 2


async def say(path: Path, text: str) -> None:
    async with TractStore.open(path) as store:
        await store.tract("main").user(text)


class Server:
    """`tract serve` as a process that can be stopped, and started again at the same address."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]

    @contextmanager
    def running(self, token: str) -> Iterator[str]:
        """Run until the end of the block; yield the page's address."""
        options = ["--port", str(self._port), "--token", token]
        with subprocess.Popen(
            [*PROGRAM, "serve", str(self._path), *options],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment(),
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip()
            finally:
                process.kill()
