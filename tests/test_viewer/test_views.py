"""What the page shows in a real browser, of a file and of a server: everything, and to everybody."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from support.viewing import everything, served, written
from tract import TractStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

    from support.browser import Visit

TABS = ("commit", "context", "request", "diff", "compare", "search")


@pytest.fixture(scope="module", params=["written", "served"])
def address(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of the tract `trip` of a store that has everything."""
    if request.param == "written":
        yield written(everything, tmp_path_factory.mktemp("page") / "page.html") + "#tract=trip"
        return
    with served(everything) as (served_at, _):
        yield f"{served_at}&tract=trip"


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Visit]:
    from support.browser import visit  # noqa: PLC0415  # Playwright is not always installed

    with visit(browser, address) as opened:
        yield opened
        own = opened.page.url.partition("#")[0]
        assert [each for each in opened.requests if not each.startswith(own)] == []
        assert opened.complaints == []


def test_the_history_has_names_merges_compactions_and_what_was_erased(opened: Visit) -> None:
    rows = opened.page.locator("#commits [role=option]")
    told = [str(rows.nth(each).get_attribute("aria-label")) for each in range(rows.count())]

    assert told[0].startswith("branch main, assistant, timetable(")
    for beginning in (
        "tag v1, compact, They",
        "merge, try-0.9",
        "erased, [erased]",
        "skip, chatter",
    ):
        assert any(each.startswith(beginning) for each in told), beginning
    assert opened.page.locator("#commits path.lane.hue-1").count() > 0
    assert opened.page.locator("#commits path.mark.compact").count() == 1


def test_a_commit_is_shown_with_its_config_and_the_usage_beside_it(opened: Visit) -> None:
    opened.choose("In Tromsø.")

    for words in (
        "temperature",
        "0.7",
        str(2**60),
        "Usage that the API reported",
        "120",
        "What changed it later",
    ):
        assert words in opened.panel
    assert "edit" in opened.panel


def test_an_erased_content_is_shown_as_erased(opened: Visit) -> None:
    opened.choose("[erased]")

    assert "was erased on" in opened.panel
    assert "asked by the user" in opened.panel
    assert "X123" not in opened.page.content()


def test_a_picture_and_a_tool_call_are_shown_as_such(opened: Visit) -> None:
    opened.choose("This is the harbour.")
    picture = opened.page.locator("#panel img")
    picture.wait_for()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 24

    opened.choose("timetable(")
    assert "Tool call: timetable (c9)" in opened.panel
    assert '"to": "Mehamn"' in opened.panel


def test_the_context_fills_the_window_and_has_open_calls(opened: Visit) -> None:
    opened.show("context")

    assert "1 tool call without a result" in opened.panel
    assert "entries left out" in opened.panel
    assert opened.page.locator("#panel .piece").count() > 3
    entries = opened.page.locator("#panel [role=option]")
    labels = [str(entries.nth(each).get_attribute("aria-label")) for each in range(entries.count())]
    assert labels[0].startswith("system, pinned, You plan trips.")
    assert any(each.startswith("assistant, edited, hidden, In Mehamn.") for each in labels)
    entries.first.click()
    opened.page.get_by_role("region", name="Entry").get_by_text("You plan trips.").wait_for()


def test_the_request_is_shown_as_each_api_gets_it(opened: Visit) -> None:
    opened.show("request")
    for api, words in (
        ("openai", "tools[0]"),
        ("responses", "instructions"),
        ("anthropic", "system"),
        ("google", "contents[0]"),
    ):
        opened.page.get_by_label("API").select_option(api)
        opened.settle()
        opened.page.locator("#panel .section h3", has_text=words).first.wait_for()
        assert "They asked for ships" in opened.panel


def test_two_points_are_compared_line_by_line(opened: Visit) -> None:
    opened.choose("In Mehamn.")
    opened.show("diff")
    parent = opened.page.get_by_label("From").locator("option", has_text="its parent")
    opened.page.get_by_label("From").select_option(parent.get_attribute("value"))
    opened.settle()

    assert "1 entry differs" in opened.panel
    opened.page.locator("#panel details.change summary").click()
    opened.page.locator("#panel .line.new").first.wait_for()
    assert [opened.page.locator(f"#panel .line.{each}").count() for each in ("gone", "new")] == [
        1,
        2,
    ]


def test_branches_are_compared_as_a_table_and_as_a_plot(opened: Visit) -> None:
    opened.show("compare")
    opened.page.locator("#panel label.field select").first.select_option("temperature")

    assert opened.page.locator("#panel tbody tr").count() == 4
    plot = opened.page.locator("#panel .plot svg")
    assert "try-1.4: 1.4" in str(plot.get_attribute("aria-label"))
    assert plot.locator("circle").count() == 6


def test_a_search_finds_a_commit_and_goes_there(opened: Visit) -> None:
    opened.page.get_by_label("Search").fill("northernmost library")
    opened.page.keyboard.press("Enter")
    opened.settle()

    opened.page.locator("#panel .hit").click()
    opened.settle()
    assert "Tell me about it." in opened.panel


def test_all_can_be_done_with_the_keyboard(opened: Visit) -> None:
    page = opened.page
    page.keyboard.press("g")
    first = page.locator("#commits [role=listbox]").get_attribute("aria-activedescendant")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    opened.settle()
    third = page.locator("#commits [role=option][aria-selected=true]")
    assert third.get_attribute("aria-posinset") == "3"
    assert page.locator("#commits [role=listbox]").get_attribute("aria-activedescendant") != first

    for key, tab in zip("123456", TABS, strict=True):
        page.keyboard.press(key)
        assert page.locator(f"#tab-{tab}").get_attribute("aria-selected") == "true"
    page.locator("#tab-search").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tab-commit").get_attribute("aria-selected") == "true"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "words"
    page.locator("#panel").focus()
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    theme = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") != theme


def test_the_address_leads_back_to_what_was_shown(opened: Visit) -> None:
    opened.choose("Thanks!")
    opened.show("context")
    shown = opened.panel

    opened.page.reload()
    opened.page.wait_for_selector("html[data-ready]")
    opened.settle()

    assert opened.panel == shown
    assert "token" not in opened.page.url


def test_a_commit_is_shown_as_it_comes(browser: Browser) -> None:
    from support.browser import visit  # noqa: PLC0415

    async def say(store: TractStore) -> None:
        await store.tract("trip").user("One more thing.")

    with (
        served(everything) as (served_at, on_store),
        visit(browser, f"{served_at}&tract=trip") as opened,
    ):
        on_store(say)
        opened.page.locator("#commits [role=option]", has_text="One more thing.").wait_for()
        opened.page.locator("#status", has_text="31 commits, live").wait_for()


def test_another_tract_can_be_opened_while_the_server_is_slow(browser: Browser) -> None:
    """The last one that was chosen is shown, whichever answer comes last."""
    from support.browser import visit  # noqa: PLC0415

    def late(route: Route) -> None:
        time.sleep(0.3)
        route.continue_()

    with (
        served(everything) as (served_at, _),
        visit(browser, f"{served_at}&tract=trip") as opened,
    ):
        opened.page.route("**/api/commits?*", late)
        opened.page.route("**/api/refs?*", late)
        for tract in ("recipes", "trip", "recipes"):
            opened.page.locator("#tract").select_option(value=tract)
        opened.settle()

        assert "Waffles?" in opened.panel
        assert opened.page.locator("#commits [role=option]").count() == 1
        assert opened.page.locator("#status").inner_text() == "1 commit, live"
        assert opened.complaints == []


@pytest.fixture(scope="module")
def file_address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(everything, tmp_path_factory.mktemp("page") / "page.html") + "#tract=trip"


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light"), (3840, "dark")]
)
def test_nobody_is_kept_out(browser: Browser, file_address: str, width: int, scheme: Any) -> None:
    """Axe finds no violation of WCAG 2.2 A and AA, and the page is no wider than its window."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    from support.browser import visit  # noqa: PLC0415

    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    size = {"width": width, "height": 1000}
    with visit(browser, file_address, viewport=size, color_scheme=scheme) as opened:
        found = {}
        for tab in TABS:
            opened.show(tab)
            violations = Axe().run(opened.page, options=rules).response["violations"]
            found[tab] = [(each["id"], each["nodes"][0]["html"]) for each in violations]
            scrolled = opened.page.evaluate("document.documentElement.scrollWidth")
            if scrolled > width:
                found[tab].append(("wide", scrolled))

    assert found == {tab: [] for tab in TABS}
