"""The page itself: one script and one style under a policy that names them, and nothing else."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

import pytest

from support.viewing import elements_of
from tract.viewer.assembling import assembled, embedded_json


@pytest.fixture(params=[False, True], ids=["written", "served"])
def html(request: pytest.FixtureRequest) -> str:
    page = assembled(live=request.param)
    return page.before + page.after


def texts_of(html: str, tag: str) -> list[str]:
    return re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)


def hash_of(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_the_one_script_the_one_style_and_pictures_in_the_page(html: str) -> None:
    metas = [each for tag, each, _ in elements_of(html) if tag == "meta"]
    (policy,) = [each["content"] for each in metas if "http-equiv" in each]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    (script,), (style,) = texts_of(html, "script"), texts_of(html, "style")

    assert rules.pop("connect-src") in ("'none'", "'self'")
    assert rules == {
        "default-src": "'none'",
        "script-src": hash_of(script),
        "style-src": hash_of(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_page_has_no_handlers_no_inline_styles_and_no_addresses(html: str) -> None:
    attributes = {
        (tag, name): value for tag, each, _ in elements_of(html) for name, value in each.items()
    }

    assert [each for each in attributes if each[1].startswith("on") or each[1] == "style"] == []
    assert {each for each in attributes if each[1] in ("src", "href")} == {("link", "href")}
    assert attributes["link", "href"] == "data:,"


def test_the_script_makes_no_elements_of_markup_and_no_code_of_text(html: str) -> None:
    (script,) = texts_of(html, "script")
    makers = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc"
    runners = r"\beval\(|new Function|setTimeout\(|setInterval\(|import\(|javascript:"

    assert re.findall(f"{makers}|{runners}|<!--|-->|</script", script) == []
    assert re.findall(r"https?://\S+", script) == ['http://www.w3.org/2000/svg";']


@pytest.mark.parametrize(
    "text",
    [
        "</script><script>",
        "<!-- <script>",
        "&lt;",
        "\u2028\u2029",
        "\ud800",
        "\x00",
        "]]>",
        "日本語",
    ],
    ids=ascii,
)
def test_embedded_data_have_no_character_that_html_gives_a_meaning(text: str) -> None:
    embedded = embedded_json({text: [text]})

    assert re.search(r"[<>&\u2028\u2029]|[^\x20-\x7e]", embedded) is None
    assert json.loads(embedded) == {text: [text]}
