"""Lines that need a fresh process: first compiles, memory, imports.

Each figure comes from a process of its own. `child.py` is what most of them run; an import is
measured in an interpreter that has imported nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.backends import Backend
from benchmarks.model import Measure, Sample, Workspace
from benchmarks.stock import MAIN
from benchmarks.workload import LENGTH

__all__ = [
    "crowd",
    "first_load",
    "import_time",
    "opened",
    "plain_first_load",
    "plain_opened",
]

_MEGABYTE = 1024 * 1024


def first_load(backend: Backend) -> Measure:
    """Return the measurement of opening a database and loading a long history, imports aside."""

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.filled(backend, {MAIN: workspace.sizes.head})
        loaded, read = (_child("open", backend.name, path, how) for how in ("load", "read"))
        return {"compile.first": loaded["seconds"] * 1000, "read.first": read["seconds"] * 1000}

    return measure


def plain_first_load(ours: Backend) -> Measure:
    """Return the measurement of fetching the same rows and parsing their JSON."""

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.filled(ours, {MAIN: workspace.sizes.head})
        found = _child("plain", path)
        return {"compile.first": found["seconds"] * 1000, "read.first": found["seconds"] * 1000}

    return measure


def opened(backend: Backend) -> Measure:
    """Return the measurement of the memory that loading a very long history takes at its peak."""

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.filled(backend, {MAIN: workspace.sizes.opened})
        return _by_text(_child("open", backend.name, path, "load"), workspace)

    return measure


def plain_opened(ours: Backend) -> Measure:
    """Return the measurement of the memory of the same rows and their JSON, parsed."""

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.filled(ours, {MAIN: workspace.sizes.opened})
        return _by_text(_child("plain", path), workspace)

    return measure


def crowd(workspace: Workspace) -> Sample:
    """Compile many tracts one after the other; peak growth beyond the cache's bound."""
    found = _child("crowd", workspace.stock.crowded(), str(workspace.sizes.tracts))
    return {
        "memory.crowd": (found["growth"] - found["cache"]) / _MEGABYTE,
        "memory.crowd_half": (found["half"] - found["cache"]) / _MEGABYTE,
    }


def import_time(*modules: str) -> Measure:
    """Return the measurement of importing modules, their bytecode being there."""
    program = (
        f"import time; start = time.perf_counter(); import {', '.join(modules)}; "
        "print(time.perf_counter() - start)"
    )

    def measure(workspace: Workspace) -> Sample:
        seconds = [float(_output("-c", program)) for _ in range(3)]  # the first makes the bytecode
        return {"import": median(seconds) * 1000}

    return measure


def _by_text(found: Mapping[str, float], workspace: Workspace) -> Sample:
    return {"memory.open": found["growth"] / (workspace.sizes.opened * LENGTH)}


def _child(*arguments: str | Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(_output("-m", "benchmarks.child", *map(str, arguments)))
    return found


def _output(*arguments: str) -> bytes:
    command = [sys.executable, *arguments]
    # Where Python writes no bytecode, files that are new would be compiled at every start.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout
