"""What the page asks of a tract, as JSON, over the public calls of `AsyncTract` alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import anyio.to_thread
from pydantic import BaseModel

from tract import (
    AsyncTract,
    AttachmentNotFoundError,
    BranchComparison,
    CommitInfo,
    CommitNotFoundError,
    CompiledContext,
    Field,
    QueryError,
    TractError,
    TractInfo,
)
from tract.viewer.media import picture
from tract.viewer.shapes import APIS, Shape, detail_of, entry_of, plain, pretty, row_of

__all__ = ["MOST_BRANCHES", "Pair", "TractReader", "info_of", "point_of", "sections_of", "usage_of"]

Pair = tuple[CommitInfo, BaseModel | None]
"""A commit and its content; None where that cannot be read."""

PAGE = 1_000
"""How many commits a page of them has."""
MOST_BRANCHES = 50
"""How many branches are compared."""
_SCANNED = 5_000
"""How many of the newest commits are looked through where text search is off."""
_CHANGES = ("edit", "annotate", "expand", "compact")
_USAGE = re.compile(r"api:(\d+)\+(\d+)")


def info_of(info: TractInfo) -> Shape:
    """Return a tract as the page lists it."""
    shape: Shape = plain(info)
    return shape


def usage_of(context: CompiledContext) -> list[int] | None:
    """Return the prompt and completion tokens that an API reported for a head; None if none did."""
    told = _USAGE.fullmatch(context.token_source)
    return [int(told[1]), int(told[2])] if told else None


def point_of(context: CompiledContext) -> Shape:
    """Return what a compiled context says of itself as a whole."""
    return {
        "tokens": context.token_count,
        "source": context.token_source,
        "open_calls": [plain(each._asdict()) for each in context.open_calls],
        "uncounted": [each._asdict() for each in context.uncounted],
        "tool_tokens": context.tool_tokens,
        "tools": [pretty(each) for each in context.tools],
    }


def sections_of(context: CompiledContext, api: str) -> Shape:
    """Return a request as named pieces of JSON text, and what it lost."""
    sections: list[tuple[str, str]] = []
    for key, value in context.request(APIS[api]).items():
        if isinstance(value, list):
            sections += [(_label(key, at, each), pretty(each)) for at, each in enumerate(value)]
        else:
            sections.append((key, pretty(value)))
    return {"sections": sections, "losses": [plain(each._asdict()) for each in context.losses]}


def _label(key: str, at: int, item: Any) -> str:
    told = [str(item[name]) for name in ("role", "type") if name in item] if item else []
    return " ".join([f"{key}[{at}]", *told])


class TractReader:
    """Reads one tract for the page; every method returns JSON."""

    def __init__(self, tract: AsyncTract) -> None:
        self.tract: AsyncTract = tract

    async def refs(self) -> Shape:
        """Return the branches, those moved last first, and the tags."""
        branches = sorted(await self.tract.branches(), key=lambda each: each.updated_at)
        tags = await self.tract.tags()
        return {
            "branches": [{"name": each.name, "head": each.head_hash} for each in branches[::-1]],
            "tags": [{"name": each.name, "target": each.target_hash} for each in tags],
        }

    async def commits(
        self, *, before: str | None = None, after: str | None = None, limit: int = PAGE
    ) -> Shape:
        """Return a page of the commits of all branches, newest first."""
        pairs = await self.pairs(before=before, after=after, limit=limit)
        rows = await anyio.to_thread.run_sync(_rows, pairs)
        return {"commits": rows, "more": len(pairs) == limit}

    async def pairs(
        self, *, before: str | None = None, after: str | None = None, limit: int = PAGE
    ) -> Sequence[Pair]:
        """Return a page of commits with their contents, newest first."""
        ask = self.tract.query
        try:
            return await ask(newest=True, before=before, after=after, limit=limit, contents=True)
        except CommitNotFoundError:
            raise
        except TractError:  # one of the contents is damaged, or its type is not registered
            infos = await ask(newest=True, before=before, after=after, limit=limit)
            return [(each, await self._content(each)) for each in infos]

    async def _content(self, info: CommitInfo) -> BaseModel | None:
        try:
            return await self.tract.get_content(info.commit_hash)
        except TractError:
            return None

    async def commit(self, commit_hash: str) -> Shape:
        """Return one commit: what it holds, what changed it later, and the usage beside it.

        Raises:
            CommitNotFoundError: the tract has no such commit.
        """
        info = await self.tract.get_commit(commit_hash)
        if info is None:
            raise CommitNotFoundError(commit_hash)
        content = await self._content(info)
        detail = await anyio.to_thread.run_sync(detail_of, content)
        changes = await self._changes(info)
        return {
            "row": row_of(info, content),
            **detail,
            "changes": [row_of(*each) for each in changes],
            "usage": await self.usages([info.commit_hash, info.parent_hash]),
        }

    async def _changes(self, info: CommitInfo) -> list[Pair]:
        """Return the edits, priorities and compactions of an entry, on any branch, oldest first."""
        meant = Field.operation.in_(_CHANGES)
        found: list[Pair] = []
        for later in await self.tract.query(meant, after=info.commit_hash):
            if later.edit_target == info.commit_hash:
                found.append((later, await self._content(later)))
            elif later.operation == "compact":
                content = await self._content(later)
                if info.commit_hash in _changed_by(row_of(later, content)):
                    found.append((later, content))
        return found

    async def usages(self, hashes: Iterable[str | None]) -> dict[str, list[int]]:
        """Return the usage that was reported for some heads, by their hashes."""
        found: dict[str, list[int]] = {}
        for each in filter(None, hashes):
            try:
                usage = usage_of(await self.tract.compile(at_commit=each))
            except TractError:
                continue
            if usage is not None:
                found[each] = usage
        return found

    async def point(self, commit_hash: str) -> Shape:
        """Return the context at a commit, with the entries that it leaves out."""
        context = await self.tract.compile(at_commit=commit_hash)
        compactions = await self.tract.compactions(at_commit=commit_hash)
        in_force = [each for each in compactions if not each.undone]
        cleared = {each: info.commit_hash for info in in_force for each in info.cleared}
        entries = await self.tract.entries(at_commit=commit_hash, include_skipped=True)

        def shaped() -> Shape:
            shapes = [entry_of(each, cleared) for each in entries]
            return {"hash": context.head_hash, **point_of(context), "entries": shapes}

        return await anyio.to_thread.run_sync(shaped)

    async def request(self, commit_hash: str, api: str) -> Shape:
        """Return the request that a model would get at a commit.

        Raises:
            ValueError: the page has no such API.
        """
        if api not in APIS:
            raise ValueError(f"api must be one of {', '.join(APIS)}")
        context = await self.tract.compile(at_commit=commit_hash)
        return await anyio.to_thread.run_sync(sections_of, context, api)

    async def compare(self) -> Shape:
        """Return the size, usage and parameters of the branches that moved last."""
        names = [each["name"] for each in (await self.refs())["branches"]]
        if not names:
            return {"branches": [], "left_out": 0}
        compared = await self.tract.compare(names[:MOST_BRANCHES])
        branches = [_compared(each) for each in compared]
        return {"branches": branches, "left_out": max(0, len(names) - MOST_BRANCHES)}

    async def search(self, text: str) -> Shape:
        """Return commits that have all words of *text*, and how they were looked for."""
        try:
            hits = await self.tract.search(text, limit=100)
        except QueryError:
            return await self._scan(text)
        found = [
            {**row_of(each.commit, None), "preview": each.snippet, "status": each.status.value}
            for each in hits
        ]
        return {"hits": found, "note": None}

    async def _scan(self, text: str) -> Shape:
        """Look through the newest commits, where the store has no index."""
        words = text.casefold().split()
        scanned, hits, before = 0, list[Shape](), None
        while words and len(hits) < 100 and scanned < _SCANNED:
            pairs = await self.pairs(before=before)
            hits += await anyio.to_thread.run_sync(_with_words, pairs, words)
            scanned += len(pairs)
            if len(pairs) < PAGE:
                break
            before = pairs[-1][0].commit_hash
        note = f"Text search is off for this store: the newest {scanned:,} commits were looked through."
        return {"hits": hits[:100], "note": note}

    async def media(self, sha256: str) -> dict[str, str]:
        """Return an attachment as a picture, or why it cannot be shown as one."""
        try:
            data = await self.tract.attachment(sha256)
        except AttachmentNotFoundError:
            return {"why": "not in the store any more"}
        return picture(data)


def _rows(pairs: Sequence[Pair]) -> list[Shape]:
    return [row_of(*each) for each in pairs]


def _changed_by(row: Shape) -> set[str]:
    return {*row.get("hides", ()), *row.get("clears", ())}


def _with_words(pairs: Sequence[Pair], words: Sequence[str]) -> list[Shape]:
    found: list[Shape] = []
    for info, content in pairs:
        if content is None:
            continue
        whole = pretty(content).casefold()
        if all(word in whole for word in words):
            found.append({**row_of(info, content), "status": None})
    return found


def _compared(branch: BranchComparison) -> Shape:
    parameters: dict[str, list[Any]] = {}
    for config in branch.generation_configs:
        for name, value in _leaves(config):
            values = parameters.setdefault(name, [])
            if value not in values:
                values.append(value)
    last = branch.last_message
    return {
        "branch": branch.branch,
        "head": branch.head_hash,
        "entries": branch.entries,
        "tokens": branch.token_count,
        "prompt": branch.usage_since_fork.prompt_tokens,
        "completion": branch.usage_since_fork.completion_tokens,
        "parameters": parameters,
        "last": (last.content or "")[:400] if last else "",
    }


def _leaves(config: dict[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    """Return the values of a config with dotted paths; lists are values."""
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", plain(value)
