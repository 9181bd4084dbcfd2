"""The data of a written page: named JSON blocks, each of which the page parses when it needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import anyio.to_thread

from tract import (
    AsyncTract,
    CompiledContext,
    Field,
    TractError,
    TractInfo,
    TractNotFoundError,
    TractStore,
)
from tract.viewer.reading import Pair, TractReader, info_of, point_of, sections_of, usage_of
from tract.viewer.shapes import APIS, Shape, detail_of, row_of

__all__ = ["Block", "blocks_of"]

BLOCK = 5_000
"""How many commits a block has."""
MOST_POINTS = 50
"""Of how many heads of branches and tags a page has the requests."""
MOST_ENTRIES = 2_000
"""The longest context whose requests a page has."""
MOST_USAGES = 1_000
"""How many heads are looked through for usage."""
MOST_MEDIA = 16 * 2**20
"""How many characters all pictures of a tract have at most."""


class Block(NamedTuple):
    """A piece of a page's data."""

    name: str
    value: Any


async def blocks_of(
    store: TractStore, tract_ids: Iterable[str] | None, made: str
) -> AsyncIterator[Block]:
    """Yield the data of tracts, of all if none are named; the index comes last.

    Raises:
        TractNotFoundError: the store does not have one of them.
    """
    listed: list[Shape] = []
    for info in await _chosen(store, tract_ids):
        embedding = _Embedding(store.tract(info.tract_id), f"{len(listed)}", info)
        async for block in embedding.blocks():
            yield block
        listed.append(info_of(info) | {"blocks": embedding.written, "commits": embedding.commits})
    yield Block("index", {"made": made, "tracts": listed})


async def _chosen(store: TractStore, tract_ids: Iterable[str] | None) -> list[TractInfo]:
    if tract_ids is None:
        return await store.tracts(limit=None)
    chosen: list[TractInfo] = []
    for each in dict.fromkeys(tract_ids):
        info = await store.tract(each).info()
        if info is None:
            raise TractNotFoundError(each)
        chosen.append(info)
    return chosen


class _Embedding:
    """Writes one tract as blocks. It keeps no contents: a page of them is read and shaped at a time."""

    def __init__(self, tract: AsyncTract, prefix: str, info: TractInfo) -> None:
        self._tract = tract
        self._reader = TractReader(tract)
        self._prefix = prefix
        self._info = info
        self._tokens: dict[str, int] = {}
        self._priorities: dict[str, str] = {}
        self._attachments: dict[str, None] = {}
        self._with_config: list[str] = []
        self._hashes: list[str] = []
        self.written: int = 0
        self.commits: int = 0

    async def blocks(self) -> AsyncIterator[Block]:
        refs = await self._reader.refs()
        heads = [each["head"] for each in refs["branches"]]
        heads = [*dict.fromkeys([*heads, *(each["target"] for each in refs["tags"])])]
        heads = [each for each in heads if each is not None]
        await self._learn(heads[:MOST_POINTS])
        async for rows, details in self._commits():
            yield self._block(f"commits-{self.written}", rows)
            yield self._block(f"details-{self.written}", details)
            self.written += 1
        points, texts = await self._points(heads[:MOST_POINTS])
        yield self._block("refs", refs)
        yield self._block("points", points)
        yield self._block("texts", texts)
        yield self._block("compare", await self._compared())
        yield self._block("usage", await self._usage())
        yield self._block("media", await self._media())

    def _block(self, name: str, value: Any) -> Block:
        return Block(f"{self._prefix}-{name}", value)

    async def _learn(self, heads: Sequence[str]) -> None:
        """Note what entries cost, and the priorities that their types begin with."""
        annotations = await self._tract.query(Field.operation == "annotate")
        annotated = {each.edit_target for each in annotations}
        for head in heads:
            with suppress(TractError):  # a content there cannot be read; its row says so
                entries = await self._tract.entries(at_commit=head, include_skipped=True)
                for each in entries:
                    if each.edited_by is None and each.commit_hash not in annotated:
                        self._priorities.setdefault(each.content_type, each.priority.value)
                    self._tokens[each.edited_by or each.commit_hash] = each.token_count

    async def _commits(self) -> AsyncIterator[tuple[list[Shape], Shape]]:
        rows, details, before = list[Shape](), Shape(), None
        while pairs := await self._reader.pairs(before=before):
            shaped, found = await anyio.to_thread.run_sync(self._shaped, pairs)
            rows, details = [*rows, *shaped], details | found
            before = pairs[-1][0].commit_hash
            if len(rows) >= BLOCK:
                yield rows, details
                rows, details = [], {}
        if rows:
            yield rows, details

    def _shaped(self, pairs: Sequence[Pair]) -> tuple[list[Shape], Shape]:
        rows, details = list[Shape](), Shape()
        for info, content in pairs:
            row, detail = row_of(info, content), detail_of(content)
            if info.commit_hash in self._tokens:
                row["entry_tokens"] = self._tokens[info.commit_hash]
            if info.operation == "append" and row.get("priority") is None:
                row["priority"] = self._first_priority(info.content_type)
            if info.generation_config is not None and info.parent_hash is not None:
                self._with_config.append(info.parent_hash)
            if not _is_in_row(row, detail):
                details[info.commit_hash] = detail
                self._attachments |= dict.fromkeys(_attachments(detail["messages"]))
            rows.append(row)
            self._hashes.append(info.commit_hash)
        self.commits += len(rows)
        return rows, details

    def _first_priority(self, content_type: str) -> str:
        default = "pinned" if content_type == "instruction" else "normal"
        if content_type in ("instruction", "dialogue"):
            return default
        return self._priorities.get(content_type, default)

    async def _points(self, heads: Sequence[str]) -> tuple[Shape, list[str]]:
        """Return what contexts say of themselves at some commits, and the texts of their requests.

        Contexts have most of their texts in common, so requests have the numbers of these.
        """
        points, texts = Shape(), dict[str, int]()
        for head in heads:
            try:
                context = await self._tract.compile(at_commit=head)
            except TractError:  # as above
                continue
            points[head] = point_of(context)
            if context.commit_count <= MOST_ENTRIES:
                asked = (context, texts)
                points[head]["requests"] = await anyio.to_thread.run_sync(_requests, *asked)
        return points, [*texts]

    async def _compared(self) -> Shape:
        try:
            return await self._reader.compare()
        except TractError as error:
            return {"branches": [], "left_out": 0, "why": str(error)}

    async def _usage(self) -> dict[str, list[int]]:
        """Return the usage of heads: first of those that contents with a config followed."""
        left = self._info.prompt_tokens + self._info.completion_tokens
        found: dict[str, list[int]] = {}
        asked = dict.fromkeys([*self._with_config, *self._hashes])
        for each, _ in zip(asked, range(MOST_USAGES), strict=False):
            if left <= 0:
                break
            try:
                usage = usage_of(await self._tract.compile(at_commit=each))
            except TractError:
                continue
            if usage is not None:
                found[each] = usage
                left -= sum(usage)
        return found

    async def _media(self) -> Shape:
        found, room = Shape(), MOST_MEDIA
        for each in self._attachments:
            picture = await self._reader.media(each)
            room -= len(picture.get("url", ""))
            found[each] = picture if room >= 0 else {"why": "this page has no room for it"}
        return found


def _is_in_row(row: Shape, detail: Shape) -> bool:
    """Return True if a row's preview is all that there is."""
    if detail["raw"] is not None or len(detail["messages"]) != 1:
        return detail["raw"] is None and not detail["messages"]
    (message,) = detail["messages"]
    whole = [{"type": "text", "text": row["preview"]}]
    return message["name"] is None and bool(message["parts"] == whole)


def _attachments(parts: Any) -> Iterable[str]:
    for part in parts:
        if "attachment" in part:
            yield part["attachment"]
        yield from _attachments(part.get("parts", ()))


def _requests(context: CompiledContext, texts: dict[str, int]) -> Shape:
    requests: Shape = {}
    for api in APIS:
        told = sections_of(context, api)
        numbered = [(label, texts.setdefault(text, len(texts))) for label, text in told["sections"]]
        requests[api] = {"sections": numbered, "losses": told["losses"]}
    return requests
