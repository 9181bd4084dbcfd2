"""The documented table of what crosses between APIs is what the requests show."""

from __future__ import annotations

from collections.abc import Sequence

from providers.crossings import APIS, PAGE, crossings, marked, table
from providers.kinds_of_parts import ROWS
from tract import ContentModel, MessageContent, NullTokenCounter, TractStore
from tract.protocols.parts import Part

DOCUMENTED = marked(PAGE.read_text(encoding="utf-8")).strip()


async def test_the_documented_table_is_what_requests_show() -> None:

    assert DOCUMENTED == await table(), "docs/providers.md has drifted: run `nox -s crossings`"


async def test_what_does_not_cross_is_named() -> None:
    """With the hash of its commit, and no text or call is lost by the way."""
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        for row in ROWS:
            for (source, api), (form, losses) in (await crossings(store, row)).items():
                assert form or losses or source == api, (row.title, source, api)
                if form and row.title in ("text", "function call", "result, as text", "refusal"):
                    assert {what for what, _ in losses} <= {"signature"}, (row.title, source, api)


def test_every_kind_of_part_is_in_the_table() -> None:
    shown = {part.type for row in ROWS for content in row.parts for part in _parts(content)}

    assert shown == {
        "media",
        "native",
        "refusal",
        "text",
        "thinking",
        "tool_call",
        "tool_result",
    }
    assert {api for row in ROWS for api in row.items} == set(APIS)


def _parts(content: ContentModel) -> Sequence[Part]:
    return content.parts if isinstance(content, MessageContent) else ()
