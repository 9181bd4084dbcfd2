"""Databases that are made once a run; measurements that write get a copy."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmarks.backends import Backend
from benchmarks.ours import Ours, OursBackend
from benchmarks.workload import Sizes, config_of, messages

__all__ = ["MAIN", "Stock"]

MAIN = "main"
"""The conversation that a stock database holds, where it holds one."""


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


async def _fill_crowded(path: Path, sizes: Sizes) -> None:
    async with Ours().open(path) as opened:
        for number in range(sizes.tracts):
            name = str(number)
            await opened.conversation(name).extend(messages(sizes.tract_length, name))
