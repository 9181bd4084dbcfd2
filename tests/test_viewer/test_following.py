"""What a reader holds, has typed, opened or scrolled to stays while commits come and views change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from support.viewing import crowd, everything, served
from tract import TractStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

    from support.browser import Visit

FOCUSED = "[document.activeElement.tagName, document.activeElement.closest('#panel') !== null]"


class Live(NamedTuple):
    """A page that shows the newest commit, and commits that others make."""

    visit: Visit
    comes: Callable[[str], None]

    def settle(self) -> None:
        self.visit.settle()

    def js(self, text: str) -> Any:
        return self.visit.page.evaluate(text)

    def hold(self, selector: str) -> None:
        """Press the mouse button on an element."""
        box = self.visit.page.locator(selector).first.bounding_box()
        assert box is not None
        self.visit.page.mouse.move(box["x"] + 6, box["y"] + 6)
        self.visit.page.mouse.down()


@pytest.fixture
def live(browser: Browser) -> Iterator[Live]:
    from support.browser import visit  # noqa: PLC0415  # Playwright is not always installed

    with served(everything) as (address, work), visit(browser, f"{address}&tract=trip") as opened:

        def comes(text: str) -> None:
            async def say(store: TractStore) -> None:
                await store.tract("trip").user(text)

            before = int(opened.page.locator("#status").inner_text().split()[0])
            work(say)
            opened.page.locator("#status", has_text=f"{before + 1} commits, live").wait_for()
            opened.settle()

        yield Live(opened, comes)
        assert opened.complaints == []


def test_the_newest_commit_is_shown_while_the_reader_rests(live: Live) -> None:
    live.comes("Is anybody there?")

    assert "Is anybody there?" in live.visit.panel


def test_a_tab_that_is_held_gets_its_click(live: Live) -> None:
    live.hold("#tab-context")
    live.comes("Meanwhile.")
    live.visit.page.mouse.up()
    live.settle()

    assert live.visit.page.locator("#tab-context").get_attribute("aria-selected") == "true"
    assert live.visit.panel.startswith("Context at")


def test_a_link_that_is_held_gets_its_click(live: Live) -> None:
    parent = live.visit.page.locator("#panel button.link").first.inner_text()
    live.hold("#panel button.link")
    live.comes("Meanwhile.")
    live.visit.page.mouse.up()
    live.settle()

    assert live.visit.page.locator("#panel h2").inner_text().endswith(parent)


SELECT = """
    () => { const text = document.querySelector('#panel h2');
            getSelection().selectAllChildren(text); return String(getSelection()); }
"""


def test_selected_text_stays(live: Live) -> None:
    selected = live.js(SELECT)
    live.comes("Meanwhile.")

    assert live.js("String(getSelection())") == selected != ""


def test_what_was_scrolled_to_stays(live: Live) -> None:
    live.visit.page.set_viewport_size({"width": 1280, "height": 300})
    before = live.visit.panel
    live.js("document.getElementById('panel').scrollTop = 60")
    live.comes("Meanwhile.")

    assert live.js("document.getElementById('panel').scrollTop") == 60
    assert live.visit.panel == before


def test_details_that_were_opened_stay_open(live: Live) -> None:
    live.visit.page.locator("#panel summary").first.click()
    live.comes("Meanwhile.")

    assert live.visit.page.locator("#panel details[open]").count() == 1


def test_the_page_goes_on_from_what_was_held_once_it_is_let_go(live: Live) -> None:
    live.js(SELECT)
    live.comes("Meanwhile.")
    assert "Meanwhile." not in live.visit.panel
    live.js("getSelection().removeAllRanges()")
    live.visit.page.locator("#panel", has_text="Meanwhile.").wait_for()

    assert live.visit.page.locator("#commits [aria-selected=true]").inner_text().count("Meanwhile")


def test_a_commit_that_the_reader_chose_stays(live: Live) -> None:
    live.visit.choose("This is the harbour.")
    live.comes("Meanwhile.")

    assert "This is the harbour." in live.visit.panel


def test_the_word_that_is_typed_stays_with_its_caret(live: Live) -> None:
    words = live.visit.page.locator("#words")
    words.press_sequentially("harbour")
    words.press("ArrowLeft")
    live.comes("Meanwhile.")

    assert live.js("[document.activeElement.id, document.activeElement.selectionStart]") == [
        "words",
        6,
    ]
    assert words.input_value() == "harbour"


def test_a_branch_that_was_chosen_stays_chosen(live: Live) -> None:
    refs = live.visit.page.locator("#refs")
    label = live.visit.page.locator("#refs option", has_text="try-").first.inner_text()
    refs.select_option(label=label)
    live.settle()
    live.comes("Meanwhile.")

    assert live.js("document.getElementById('refs').selectedOptions[0].text") == label


def test_rows_that_were_scrolled_to_stay_in_their_place(browser: Browser) -> None:
    from support.browser import visit  # noqa: PLC0415

    async def talk(store: TractStore) -> None:
        await store.tract("crowd").user("One more.")

    with served(partial(crowd, commits=300)) as (address, work), visit(browser, address) as opened:
        status = opened.page.locator("#status")
        before = int(status.inner_text().split()[0])
        opened.page.evaluate("document.querySelector('#commits .list').scrollTop = 2000")
        opened.settle()
        row = opened.page.locator("#commits [aria-posinset='90']")
        name, place = row.get_attribute("aria-label"), row.bounding_box()
        work(talk)
        status.filter(has_text=f"{before + 1} commits, live").wait_for()
        opened.settle()
        now = opened.page.locator("#commits [aria-posinset='91']")

        assert (now.get_attribute("aria-label"), now.bounding_box()) == (name, place)


def test_the_api_can_be_chosen_by_arrow_keys(live: Live) -> None:
    live.visit.show("request")
    live.visit.page.locator("#panel select").focus()
    for _ in range(3):
        live.visit.page.keyboard.press("ArrowDown")
        live.settle()
    live.comes("Meanwhile.")

    assert live.js(FOCUSED) == ["SELECT", True]
    assert live.visit.page.locator("#panel select").input_value() == "google"
    assert "Meanwhile." in live.visit.panel


@pytest.mark.parametrize(("tab", "label"), [("context", "Window"), ("compare", "Measure")])
def test_what_was_chosen_of_a_view_stays_chosen(live: Live, tab: str, label: str) -> None:
    live.visit.show(tab)
    select = live.visit.page.get_by_label(label)
    select.select_option(index=2)
    chosen = select.input_value()
    live.comes("Meanwhile.")

    assert live.visit.page.get_by_label(label).input_value() == chosen


def test_a_link_that_is_followed_by_keys_keeps_the_focus_in_its_view(live: Live) -> None:
    live.visit.page.locator("#panel button.link").first.press("Enter")
    live.settle()

    assert live.js(FOCUSED) == ["DIV", True]


def test_more_of_a_text_keeps_the_focus_where_it_was(browser: Browser) -> None:
    from support.browser import visit  # noqa: PLC0415

    async def long(store: TractStore) -> None:
        await store.tract("long").user("All work and no play. " * 5_000)

    with served(long) as (address, _), visit(browser, address) as opened:
        more = opened.page.locator("#panel button", has_text="Show more").first
        more.press("Enter")
        assert opened.page.evaluate(FOCUSED) == ["BUTTON", True]
        more.press("Enter")

        assert opened.page.evaluate(FOCUSED) == ["DIV", True]
        assert opened.page.evaluate("document.activeElement.className") == "text"


def test_an_entry_that_is_read_slowly_does_not_take_the_place_of_a_later_one(live: Live) -> None:
    live.visit.show("context")
    answers: list[Route] = []
    live.visit.page.route("**/api/commit?*", lambda route: answers.append(route))
    live.visit.page.locator("#panel [role=listbox]").focus()
    live.visit.page.keyboard.press("Home")
    live.visit.page.keyboard.press("ArrowDown")
    live.visit.page.wait_for_timeout(200)
    reader = live.visit.page.locator("#panel .reader")
    second, first = reversed(answers)
    second.continue_()
    reader.locator("button.link").first.wait_for()
    shown = reader.inner_text()
    first.continue_()
    live.visit.page.wait_for_timeout(300)

    assert reader.inner_text() == shown


def test_commits_that_come_are_not_read_aloud_one_by_one(live: Live) -> None:
    status = live.visit.page.locator("#status")
    assert status.get_attribute("aria-live") == "polite"
    live.comes("Meanwhile.")

    assert status.get_attribute("aria-live") == "off"
