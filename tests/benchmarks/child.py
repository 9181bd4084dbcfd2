"""What the fresh processes do: `python -m benchmarks.child TASK ARGUMENTS` prints JSON.

Each task imports by name what it needs, and not what only others need.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

_BACKENDS = {
    "AsyncTract": ("benchmarks.ours", "Ours"),
    "SQLiteSession": ("benchmarks.peers_openai", "SqliteBackend"),
    "SQLAlchemySession": ("benchmarks.peers_openai", "AlchemyBackend"),
    "AsyncSqliteSaver": ("benchmarks.peers_langgraph", "SaverBackend"),
}
_STATUS = Path("/proc/self/status")


def main() -> None:
    task, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(_TASKS[task](*arguments)))


def _open(name: str, path: str, how: str) -> dict[str, float]:
    """Open a database and `load` or `read` its conversation."""
    module, backend = _BACKENDS[name]
    made = getattr(importlib.import_module(module), backend)()
    return asyncio.run(_open_from(made, Path(path), how))


async def _open_from(backend: Any, path: Path, how: str) -> dict[str, float]:
    gc.collect()
    before, start = _memory("VmRSS"), perf_counter()
    async with backend.open(path) as opened:
        got = await getattr(opened.conversation("main"), how)()
        seconds, growth = perf_counter() - start, _memory("VmHWM") - before
    assert got
    return {"seconds": seconds, "growth": growth}


def _plain(path: str) -> dict[str, float]:
    read_steps = importlib.import_module("benchmarks.limit").read_steps
    gc.collect()
    before, start = _memory("VmRSS"), perf_counter()
    rows = read_steps(Path(path), "main")
    seconds = perf_counter() - start
    assert rows
    return {"seconds": seconds, "growth": _memory("VmHWM") - before}


def _crowd(path: str, count: str) -> dict[str, float]:
    tract = importlib.import_module("tract")
    return asyncio.run(_crowd_of(tract, Path(path), int(count)))


async def _crowd_of(tract: Any, path: Path, count: int) -> dict[str, float]:
    gc.collect()
    before, half = _memory("VmRSS"), 0.0
    async with tract.TractStore.open(path) as store:
        for number in range(count):
            await store.tract(str(number)).compile()
            if number == count // 2:
                half = _memory("VmHWM") - before
        bound = store.cache_info().max_bytes
    return {"growth": _memory("VmHWM") - before, "half": half, "cache": bound}


def _memory(field: str) -> float:
    """Return this process's resident memory in bytes, `VmRSS` now or `VmHWM` at its peak.

    On Linux `getrusage` would give the peak of the process that started this one, if that is
    larger: it is kept across `exec` (getrusage(2)). Elsewhere there is nothing but `getrusage`.
    """
    if _STATUS.exists():
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return 1024.0 * int(lines[field].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


_TASKS: dict[str, Callable[..., dict[str, float]]] = {
    "open": _open,
    "plain": _plain,
    "crowd": _crowd,
}

if __name__ == "__main__":
    main()
