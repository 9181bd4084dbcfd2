"""What crosses from one API to another, as the requests show it: `nox -s crossings` writes the table.

Each kind of part goes into a store, once in neutral terms and once as each API's own item, and each
API's request is searched for it: there it is, in a block of some kind, or the losses name it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from providers.kinds_of_parts import ROWS, Row
from tract import (
    ContentModel,
    Loss,
    NativeContent,
    NullTokenCounter,
    TractStore,
)

__all__ = ["APIS", "Crossing", "crossings", "marked", "table", "written"]

Json = dict[str, Any]

APIS = {
    "openai.chat": "Chat Completions",
    "openai.responses": "Responses",
    "anthropic.messages": "Messages",
    "google.generate_content": "generateContent",
}
PAGE = Path(__file__).parents[2] / "docs" / "providers.md"

_MARKS = ("<!-- crossings -->\n", "<!-- end of crossings -->\n")
_LISTS = {"openai.responses": "input", "google.generate_content": "contents"}
_SHOWN_ROLES = ("developer", "system", "tool")
_GOOGLES = (
    "fileData",
    "functionCall",
    "functionResponse",
    "inlineData",
    "text",
    "thoughtSignature",
)


class Crossing(NamedTuple):
    """What became of a part in one request: the block that has it, and what was lost."""

    form: str | None
    losses: tuple[tuple[str, str], ...]


async def crossings(store: TractStore, row: Row) -> dict[tuple[str | None, str], Crossing]:
    """Return what becomes of a row's parts, by the API that they come from (or None) and go to."""
    found: dict[tuple[str | None, str], Crossing] = {}
    sources: dict[str | None, Sequence[ContentModel]] = {None: row.parts} if row.parts else {}
    for api, items in row.items.items():
        sources[api] = [NativeContent(api=api, item=item) for item in items]
    for source, contents in sources.items():
        tract = store.tract(f"{row.title} {source}")
        await tract.user("Hello.")
        hashes = {(await tract.commit(content)).commit_hash for content in contents}
        await tract.user("Go on.")
        context = await tract.compile(aggregate_same_role=False)
        for api in APIS:
            request = context.request(api)
            lost = [loss for loss in context.losses if loss.commit_hash in hashes]
            found[source, api] = Crossing(_form(api, request, row), _said(lost))
        if source is not None:
            _assert_as_it_came(context.request(source, open_calls="keep"), source, row)
    return found


def _said(losses: Sequence[Loss]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys((loss.what, loss.why) for loss in losses))


def _assert_as_it_came(request: Json, api: str, row: Row) -> None:
    listed = request[_LISTS.get(api, "messages")]
    wanted = [item for item in row.items[api] if "role" in item or "type" in item]
    found = json.dumps(listed[1:-1], sort_keys=True)
    assert found == json.dumps(wanted, sort_keys=True), (api, row.title)


def _form(api: str, request: Json, row: Row) -> str | None:
    """Return where a request has what a row looks for, in the API's own words."""
    found = (place for marker in row.markers for place in _places(request, marker, ()))
    place = next(found, None)
    if place is None:
        return None
    if place[0] not in ("contents", "input", "messages"):
        return "`system_instruction`" if place[0] == "config" else f"`{place[0]}`"
    words = list(_words(api, request, place))
    return " in ".join(f"`{word}`" for word in reversed(words))


def _places(value: Any, marker: str, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each key or string that has the marker."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if f'"{key}": {json.dumps(each)}' == marker:
                yield (*path, key)
            yield from _places(each, marker, (*path, key))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _places(each, marker, (*path, at))
    elif isinstance(value, str) and marker in value:
        yield path


def _words(api: str, request: Json, place: tuple[Any, ...]) -> Iterator[str]:
    item = request[place[0]][place[1]]
    if item.get("role") in _SHOWN_ROLES:
        yield item["role"]
    if place[2] in ("name", "tool_calls"):
        yield place[2]
        return
    inside = [key for key in place[2:] if isinstance(key, str)]
    if api == "google.generate_content":
        yield from (key for key in inside if key in _GOOGLES)
        return
    kinds = [item["type"]] if item.get("type") not in (None, "message") else []
    value: Any = item
    for key in place[2:]:
        value = value[key]
        if isinstance(value, dict) and key != "source" and isinstance(value.get("type"), str):
            kinds.append(value["type"])
    yield from kinds
    if not kinds and item.get("role") not in _SHOWN_ROLES:
        yield "content"


async def table() -> str:
    """Return the table in Markdown, and below it the words of the losses, by their numbers."""
    notes: dict[tuple[str, str], int] = {}
    lines = [f"| part | {' | '.join(APIS.values())} |", f"|{' --- |' * (len(APIS) + 1)}"]
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        for row in ROWS:
            found = await crossings(store, row)
            first = None if row.parts else next(iter(row.items))
            lines.append(_line(row.title, first, found, notes))
            for source in row.items:
                if source != first and not _is_same(source, first, found):
                    title = f"the same, as {APIS[source]} has it"
                    lines.append(_line(title, source, found, notes))
    said = [f"{number}. `{what}`: {why}." for (what, why), number in notes.items()]
    return "\n".join([*lines, "", *said])


def _is_same(
    source: str, other: str | None, found: Mapping[tuple[str | None, str], Crossing]
) -> bool:
    apis = [api for api in APIS if api not in (source, other)]
    return all(found[source, api] == found[other, api] for api in apis)


def _line(
    title: str,
    source: str | None,
    found: Mapping[tuple[str | None, str], Crossing],
    notes: dict[tuple[str, str], int],
) -> str:
    cells = []
    for api in APIS:
        form, losses = found[source, api]
        if source == api:
            cells.append("as it came")
            continue
        assert form is not None or losses, f"{title}: {api} loses it in silence"
        numbers = [notes.setdefault(loss, len(notes) + 1) for loss in losses]
        # Between two in a row Markdown would see a reference to a link.
        said = " " + ", ".join(f"[{number}]" for number in numbers) if numbers else ""
        cells.append(f"{form or 'no'}{said}")
    return f"| {title} | {' | '.join(cells)} |"


def marked(page: str) -> str:
    """Return what stands between the marks of a page."""
    return page.split(_MARKS[0], 1)[1].split(_MARKS[1], 1)[0]


def written(page: str, text: str) -> str:
    """Return a page with *text* between its marks."""
    begin, end = _MARKS
    return f"{page.split(begin)[0]}{begin}\n{text}\n\n{end}{page.split(end)[1]}"


def main() -> int:
    """Write the table into the page about providers."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(written(page, asyncio.run(table())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
