"""The commits of a branch or a tract with their contents, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tract
from tract.cli.running import CommandError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tract import CommitInfo, SyncTract

__all__ = ["Pair", "paged", "reader", "searchable", "with_contents"]

Pair = tuple["CommitInfo", "BaseModel | None"]
"""A commit and its content; None if no model for its type is registered."""

_FIRST = 64
"""Commits that are read at first; each page has twice as many as the one before, up to `_MOST`."""
_MOST = 1024


def reader(handle: SyncTract, *, everything: bool) -> Callable[[int, str | None], list[Pair]]:
    """Return a function that reads so many commits, of those before one."""

    def read(limit: int, before: str | None, *, contents: Any = True) -> list[Any]:
        if everything:
            return handle.query(newest=True, limit=limit, before=before, contents=contents)
        bound: dict[str, Any] = {} if before is None else {"before": before}
        return handle.log(limit, contents=contents, **bound)

    def pairs(limit: int, before: str | None) -> list[Pair]:
        try:
            return read(limit, before)
        except tract.ContentValidationError:  # a content type that is not registered
            return with_contents(handle, read(limit, before, contents=False))

    return pairs


def paged(
    read: Callable[[int, str | None], list[Pair]], limit: int | None, before: str | None
) -> Iterator[Pair]:
    """Yield commits as the reader of the output takes them: the first ones at once."""
    page, left = _FIRST, limit
    while left is None or left > 0:
        size = page if left is None else min(page, left)
        found = read(size, before)
        yield from found
        if len(found) < size:
            return
        before = found[-1][0].commit_hash
        left = None if left is None else left - size
        page = min(page * 2, _MOST)


@contextmanager
def searchable() -> Iterator[None]:
    """Say by which command text search is switched on, where a search finds it off."""
    try:
        yield
    except tract.QueryError as error:
        if "enable_search" not in str(error):
            raise
        problem = (
            "Text search is off for this store: switch it on by `tract search STORE --enable`."
        )
        raise CommandError(problem) from None


def with_contents(handle: SyncTract, commits: Sequence[CommitInfo]) -> list[Pair]:
    """Return commits with their contents; None for one whose type is not registered."""
    hashes = [each.commit_hash for each in commits]
    try:
        return list(zip(commits, handle.get_contents(hashes), strict=True))
    except tract.TractError:
        return [(each, _content(handle, each.commit_hash)) for each in commits]


def _content(handle: SyncTract, commit: str) -> BaseModel | None:
    try:
        return handle.get_content(commit)
    except tract.TractError:
        return None
