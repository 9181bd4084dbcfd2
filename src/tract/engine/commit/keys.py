"""Callers' own names for commits: their checks, and reading by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from tract.engine.commit.infos import commit_infos
from tract.engine.threads import Threads
from tract.exceptions import ContentValidationError, shown
from tract.history.canonical import plain_text
from tract.models.commit import CommitInfo
from tract.models.operations import OnKey
from tract.storage.repositories import KeyRepository

__all__ = ["KeyReader", "checked_key", "checked_on_key"]

_LONGEST = 1024
_WAYS = frozenset(get_args(OnKey))


class KeyReader:
    """Reads the commits of one store by their keys; each method is that of `AsyncTract`."""

    def __init__(self, keys: KeyRepository, threads: Threads) -> None:
        self._keys = keys
        self._threads = threads

    async def get(self, tract_id: str, keys: Sequence[str]) -> dict[str, CommitInfo]:
        rows = await self._keys.find(tract_id, keys)
        infos = await commit_infos(self._threads, [*rows.values()])
        return dict(zip(rows, infos, strict=True))

    async def listed(
        self, tract_id: str, prefix: str, before: str | None, limit: int | None, *, newest: bool
    ) -> list[CommitInfo]:
        rows = await self._keys.listed(tract_id, prefix, newest=newest, before=before, limit=limit)
        return await commit_infos(self._threads, rows)


def checked_key(value: object, path: str = "key", *, least: int = 1) -> str:
    """Return a key, or with *least* 0 the beginning of one.

    Raises:
        ContentValidationError: it is not a text of 1 to 1,024 characters that UTF-8 can encode, or
            has a NUL.
    """
    if not issubclass(type(value), str):
        raise ContentValidationError(f"a {type(value).__name__} is not a string", path)
    text = str.__str__(value)
    if not least <= len(text) <= _LONGEST:
        raise ContentValidationError(
            f"a key has {least} to {_LONGEST} characters, and this one {len(text)}", path
        )
    return plain_text(text, path)


def checked_on_key(value: object) -> OnKey:
    """Return what is to become of a commit whose key is taken.

    Raises:
        ContentValidationError: it is not one of the three words.
    """
    if not issubclass(type(value), str) or str.__str__(value) not in _WAYS:
        raise ContentValidationError(
            f"{shown(value)} is not 'error', 'keep' or 'replace'", "on_key"
        )
    return cast(OnKey, str.__str__(value))
