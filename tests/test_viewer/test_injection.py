"""What agents wrote stays inert in a real browser, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.viewing import served, written
from tract import (
    AsyncTract,
    DialogueContent,
    MediaPart,
    MessageContent,
    NativeContent,
    TextPart,
    ToolIOContent,
    TractStore,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from support.browser import Visit

ELSEWHERE = "https://elsewhere.invalid/x"
CORPUS = {
    "script": "<script>window.pwned = 1; alert(1)</script>",
    "end of a script": "</script><script>window.pwned = 1</script>",
    "comment": "<!-- <script> -->",
    "image": f'<img src="{ELSEWHERE}" onerror="window.pwned = 1">',
    "svg": '<svg onload="window.pwned = 1"><script>window.pwned = 1</script></svg>',
    "frame": f'<iframe srcdoc="<script>parent.pwned = 1</script>" src="{ELSEWHERE}"></iframe>',
    "style": f'<style>@import "{ELSEWHERE}"; * {{ display: none }}</style>',
    "handler": '" onmouseover="window.pwned = 1" autofocus onfocus="window.pwned = 1',
    "link": "javascript:window.pwned = 1",
    "markdown": f"![x]({ELSEWHERE}) [y](javascript:window.pwned=1)",
    "refresh": f'<meta http-equiv="refresh" content="0;url={ELSEWHERE}"><base href="{ELSEWHERE}">',
    "form": f'<form action="{ELSEWHERE}"><button autofocus>Go</button></form>',
    "template": "${window.pwned = 1} {{constructor.constructor('window.pwned = 1')()}} %POLICY%",
    "ansi": "\x1b[2J\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07",
    "bidi": "user\u202e txt.exe \u2066admin\u2069 \u200b\ufeff\U000e0041",
    "separators": "one\u2028two\u2029three\x85four",
    "prototype": "__proto__",
    "huge": "A" * 300_000,
    "huge words": "<b>" * 50_000,
}
KNOWN = {
    *(
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "header",
        "main",
        "section",
        "script",
    ),
    *("h1", "h2", "h3", "p", "div", "span", "b", "code", "ul", "ol", "li", "dl", "dt", "dd"),
    *("label", "select", "option", "form", "input", "button", "dialog", "noscript", "article"),
    *("details", "summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "img"),
    *("svg", "path", "circle", "text"),
}


async def corpus(store: TractStore) -> None:
    """Fill a store with the corpus, in every place that the page shows."""
    for name, text in CORPUS.items():
        tract = store.tract(text[:200].replace("\x00", ""))
        await tract.set_info(title=text[:500], metadata={text[:200]: text[:200]})
        try:
            await _in_every_place(tract, text)
        except Exception as error:
            error.add_note(f"in the corpus: {name}")
            raise


async def _in_every_place(tract: AsyncTract, text: str) -> None:
    short = text[:400]
    await tract.system(text)
    said = await tract.user(text, message=short, metadata={short: short}, key=short[:100])
    await tract.assistant(text, generation_config={short: short, "temperature": 1})
    edit = DialogueContent(role="assistant", text=f"{text}!", name=None)
    await tract.commit(edit, operation="edit", edit_target=said.commit_hash, message=short)
    await tract.annotate(said.commit_hash, "pinned", reason=short)
    call = ToolIOContent(tool_name=short, direction="call", payload=text, call_id=short)
    await tract.commit(call)
    item = {"role": "assistant", "content": text, short: {"url": text[:2_000]}}
    await tract.commit(NativeContent(api="openai.chat", item=item))
    media = [
        MediaPart(kind="image", url=ELSEWHERE, name=short),
        MediaPart(kind="image", url=f"data:image/svg+xml,{short}"),
        MediaPart(kind="image", media_type="image/png", data=text.encode()),
        MediaPart(kind="document", media_type="text/html", data=text.encode(), name=short),
    ]
    await tract.commit(MessageContent(role="user", parts=(TextPart(text=text), *media), name=short))
    await tract.state({short: text})
    erased = await tract.user("to be erased")
    await tract.erase([erased.commit_hash], reason=short)
    await tract.compact(lambda _: text, keep_recent=0, reason=short)


@pytest.fixture(scope="module", params=["written", "served"])
def address(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "written":
        yield written(corpus, tmp_path_factory.mktemp("page") / "page.html")
        return
    with served(corpus) as (served_at, _):
        yield served_at


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Visit]:
    from support.browser import visit  # noqa: PLC0415  # Playwright is not always installed

    with visit(browser, address) as opened:
        yield opened


@pytest.mark.parametrize("name", CORPUS)
def test_nothing_that_an_agent_wrote_runs_or_loads(opened: Visit, name: str) -> None:
    """Every commit of the tract is shown, and its newest one in every view."""
    page = opened.page
    page.locator("#tract").select_option(value=CORPUS[name][:200])
    opened.settle()
    for key in "253461":
        page.keyboard.press(key)
        opened.settle()
    page.keyboard.press("g")
    strange: set[str] = set()
    for _ in range(page.locator("#commits [role=option]").count()):
        opened.settle()
        strange |= {*page.evaluate(ELEMENTS)} - KNOWN
        page.keyboard.press("ArrowDown")

    assert strange == set()
    assert page.evaluate("window.pwned") is None
    own = page.url.partition("#")[0]
    assert [each for each in opened.requests if not each.startswith((own, "data:image/png"))] == []
    assert (opened.complaints, opened.dialogs) == ([], [])


ELEMENTS = """() => [...document.querySelectorAll("*")].flatMap((each) => [
  each.localName,
  ...each.getAttributeNames().filter((name) => /^on|^srcdoc$|^href$|^action$/.test(name)
    && !(each.localName === "link" && each.getAttribute("href") === "data:,"))
    .map((name) => `${each.localName} ${name}`),
])"""


@pytest.mark.parametrize(
    ("name", "signs"),
    [
        ("ansi", "␛[2J"),
        ("bidi", "user⟨U+202E⟩ txt.exe ⟨U+2066⟩admin"),
        ("separators", "one⟨U+2028⟩two"),
    ],
)
def test_what_hides_or_reorders_text_is_shown_as_signs(
    opened: Visit, name: str, signs: str
) -> None:
    opened.page.locator("#tract").select_option(value=CORPUS[name][:200])
    opened.settle()
    opened.show("context")
    opened.page.locator("#panel [role=option]").first.click()

    opened.page.get_by_role("region", name="Entry").get_by_text(signs).first.wait_for()


def test_of_a_huge_line_the_beginning_is_shown_until_more_is_asked_for(opened: Visit) -> None:
    opened.page.locator("#tract").select_option(value=CORPUS["huge"][:200])
    opened.settle()
    opened.show("context")
    opened.page.locator("#panel [role=option]").first.click()
    text = opened.page.locator("#panel .reader .text").first
    text.wait_for()

    assert len(text.inner_text()) < 21_000
    text.locator("button").click()
    assert len(text.inner_text()) > 60_000


def test_the_page_is_served_without_data_to_those_without_a_token(
    browser: Browser, tmp_path: Path
) -> None:
    with served(corpus) as (address, _):
        page = browser.new_page()
        page.goto(address.partition("#")[0])
        page.get_by_label("Token").wait_for()

        assert "pwned" not in page.locator("body").inner_text()
        page.close()
