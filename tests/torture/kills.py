"""Killed processes."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from random import Random

from torture.checks import check_usable
from torture.model import Fault, Report

__all__ = ["FAULTS"]

_COMMITTER = """
import asyncio, sys
from tract import AsyncTract, NullTokenCounter
async def main():
    async with AsyncTract.open(sys.argv[1], tract_id="t", tokenizer=NullTokenCounter()) as tract:
        while True:
            print((await tract.user("hello")).commit_hash, flush=True)
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often a process is killed."""

    kills: int


async def run(report: Report, sizes: Sizes, rng: Random) -> None:
    """Kill a process that commits, and look for what it acknowledged."""
    path = report.folder / "killed.db"
    hashes: list[str] = []
    for number in range(sizes.kills):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _COMMITTER, str(path), stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        hashes += [
            (await child.stdout.readline()).decode().strip() for _ in range(rng.randrange(50))
        ]
        child.kill()
        out, _ = await child.communicate()
        hashes += out.decode().split("\n")[:-1]
        report.faults += 1
        report.tell(f"{number + 1} of {sizes.kills}")
    await check_usable(report, path, {"t": hashes})


FAULTS = (Fault("kills", "processes killed while they commit", run, Sizes(200), Sizes(10)),)
