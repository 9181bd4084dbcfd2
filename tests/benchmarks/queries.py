"""Lines about `query_by_config`."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from statistics import median

from benchmarks.limit import scan
from benchmarks.model import Measure, Sample, Workspace
from benchmarks.ours import Ours, OursBackend
from benchmarks.stock import MAIN
from benchmarks.timing import timed, timed_call
from benchmarks.workload import RARE_CONFIG, Sizes

__all__ = ["indexed_query", "plain_scan", "query", "query_of"]

_MODEL = RARE_CONFIG["model"]
_MILLISECONDS = 1e3


def query(workspace: Workspace) -> Sample:
    """Ask for the few commits of another model, without an index."""
    path = workspace.stock.queried()
    return {"query.scan": asyncio.run(query_of(Ours(), path, workspace.sizes))}


def indexed_query(workspace: Workspace) -> Sample:
    """The same with an index on the model, in a copy of the store."""
    path = Path(shutil.copy(workspace.stock.queried(), workspace.folder))
    return {"query.indexed": asyncio.run(query_of(Ours(), path, workspace.sizes, index=True))}


async def query_of(ours: OursBackend, path: Path, sizes: Sizes, *, index: bool = False) -> float:
    """Return how many milliseconds the query takes in the store at *path*."""
    async with ours.open(path) as opened:
        if index:
            await opened.store.create_config_index("model")
        tract = opened.store.tract(MAIN)
        found = await tract.query_by_config("model", "=", _MODEL)
        assert len(found) == sizes.matches
        times = [
            await timed(tract.query_by_config("model", "=", _MODEL)) for _ in range(sizes.queries)
        ]
    return median(times) * _MILLISECONDS


def plain_scan(key: str) -> Measure:
    """Return the measurement of a scan with `json_extract` over the same rows."""

    def measure(workspace: Workspace) -> Sample:
        connection = sqlite3.connect(workspace.stock.queried())
        found = scan(connection, MAIN, _MODEL)
        assert len(found) == workspace.sizes.matches
        times = [
            timed_call(lambda: scan(connection, MAIN, _MODEL))
            for _ in range(workspace.sizes.queries)
        ]
        connection.close()
        return {key: median(times) * _MILLISECONDS}

    return measure
