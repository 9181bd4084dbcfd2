"""Databases that are made once a run; measurements that write get a copy."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmarks.backends import Backend
from benchmarks.ours import Ours, OursBackend
from benchmarks.workload import Sizes, config_of, messages, worded

__all__ = ["MAIN", "Stock", "key_of", "searched_tract"]

MAIN = "main"
"""The conversation that a stock database holds, where it holds one."""
_AT_ONCE = 1_000
_SEARCHED_TRACTS = 20
_TURN = 50  # commits of a tract, before some of the next


def key_of(number: int) -> str:
    """Return the key of a commit; keys are sorted otherwise than commits."""
    return f"thread/{number * 7_919 % 100_003:06}-{number}"


def searched_tract(number: int) -> str:
    """Return the name of one of the tracts of a store that is searched."""
    return f"searched-{number % _SEARCHED_TRACTS}"


class Stock:
    """Makes databases when somebody asks for them first."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self._folder = folder
        self._sizes = sizes

    def filled(self, backend: Backend, counts: Mapping[str, int]) -> Path:
        """Return a database with a conversation of so many messages for each name."""
        label = "-".join(f"{name}{count}" for name, count in counts.items())
        path = self._folder / f"{backend.name}-{label}.db"
        if not path.exists():
            asyncio.run(_fill(backend, path, counts))
        return path

    def copied(self, backend: Backend, counts: Mapping[str, int], folder: Path) -> Path:
        """Return a copy of `filled` in *folder*."""
        return Path(shutil.copy(self.filled(backend, counts), folder))

    def queried(self, ours: OursBackend | None = None, name: str = "queried") -> Path:
        """Return a store with a tract in which a few commits have another model."""
        path = self._folder / f"{name}.db"
        if not path.exists():
            asyncio.run(_fill_queried(ours or Ours(), path, self._sizes))
        return path

    def keyed(self) -> Path:
        """Return a store with a tract in which each commit has a key."""
        path = self._folder / "keyed.db"
        if not path.exists():
            asyncio.run(_fill_keyed(path, self._sizes))
        return path

    def listed(self) -> Path:
        """Return a store with very many tracts of one commit."""
        path = self._folder / "listed.db"
        if not path.exists():
            asyncio.run(_fill_listed(path, self._sizes))
        return path

    def searched(self, ours: OursBackend) -> Path:
        """Return a store of tracts that were written in turn, with an index of their texts."""
        path = self._folder / "searched.db"
        if not path.exists():
            asyncio.run(_fill_searched(ours, path, self._sizes.searched))
            path.touch()  # it may stand for a schema of a server
        return path

    def crowded(self) -> Path:
        """Return a store with many tracts, named by their numbers."""
        path = self._folder / "crowded.db"
        if not path.exists():
            asyncio.run(_fill_crowded(path, self._sizes))
        return path


async def _fill(backend: Backend, path: Path, counts: Mapping[str, int]) -> None:
    async with backend.open(path) as opened:
        for name, count in counts.items():
            await opened.conversation(name).extend(messages(count, name))


async def _fill_queried(ours: OursBackend, path: Path, sizes: Sizes) -> None:
    count = sizes.queried
    given = [
        (message, config_of(number, sizes.matches, count))
        for number, message in enumerate(messages(count))
    ]
    async with ours.open(path) as opened:
        await opened.conversation(MAIN).extend_with(given)


async def _fill_keyed(path: Path, sizes: Sizes) -> None:
    said = messages(sizes.opened)
    async with Ours().open(path) as opened:
        tract = opened.store.tract(MAIN)
        for start in range(0, len(said), _AT_ONCE):
            async with tract.batch() as batch:
                for number, each in enumerate(said[start : start + _AT_ONCE], start):
                    content = {"content_type": "dialogue", "role": "user", "text": each["content"]}
                    batch.commit(content, key=key_of(number))


async def _fill_listed(path: Path, sizes: Sizes) -> None:
    async with Ours().open(path) as opened:
        for start in range(0, sizes.listed, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, sizes.listed))
            said = [opened.store.tract(f"tract-{number}").user("Hello.") for number in numbers]
            await asyncio.gather(*said)


async def _fill_searched(ours: OursBackend, path: Path, count: int) -> None:
    async with ours.open(path) as opened:
        for number in range(count // _TURN):
            async with opened.store.tract(searched_tract(number)).batch() as batch:
                for text in worded(_TURN, str(number)):
                    batch.commit({"content_type": "dialogue", "role": "user", "text": text})
        await opened.store.enable_search()


async def _fill_crowded(path: Path, sizes: Sizes) -> None:
    async with Ours().open(path) as opened:
        for number in range(sizes.tracts):
            name = str(number)
            await opened.conversation(name).extend(messages(sizes.tract_length, name))
