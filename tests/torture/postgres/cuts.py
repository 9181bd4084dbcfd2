"""Connections that end while clients commit: every call is made exactly once, and none fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import asyncpg

from support.postgres.proxy import Proxy
from support.postgres.server import Server
from torture.model import Report
from torture.postgres.committing import Committers, committers
from torture.postgres.places import database, server

__all__ = ["Sizes", "cut_off", "kill_backends", "restart"]

_BACKENDS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_COMMITS = b"dialogue"
"""What a request holds that commits; others read or notify."""
_BYTES = 200  # of a message, after any of which a connection may be cut


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often something is done."""

    rounds: int


async def kill_backends(report: Report, sizes: Sizes, rng: Random) -> None:
    """Have the server end one of the connections of a committing client, or all of them."""
    async with database(report) as url, committers(report, rng, url) as working:
        admin = await asyncpg.connect(url)

        async def harm() -> None:
            pids = [row["pid"] for row in await admin.fetch(_BACKENDS)]
            chosen = pids if rng.random() < 0.5 else [rng.choice(pids)]
            await admin.execute("SELECT pg_terminate_backend(p) FROM unnest($1::int[]) p", chosen)

        try:
            await _rounds(working, sizes, harm)
        finally:
            await admin.close()


async def cut_off(report: Report, sizes: Sizes, rng: Random) -> None:
    """Cut connections within a request, or within its answer: what came of it is not known."""
    async with (
        database(report) as url,
        Proxy(url) as proxy,
        committers(report, rng, proxy.url) as working,
    ):

        async def harm() -> None:
            way = rng.choice([proxy.cut_answer, proxy.cut_answer, proxy.cut_request])
            holding = rng.choice([b"", _COMMITS, _COMMITS])
            cut = way(holding=holding, after=rng.choice([0, rng.randrange(_BYTES)]))
            with suppress(TimeoutError):
                await asyncio.wait_for(cut.done.wait(), timeout=1)
            report.check(cut.done.is_set(), "no connection was cut")

        await _rounds(working, sizes, harm)


async def restart(report: Report, sizes: Sizes, rng: Random) -> None:
    """Stop, crash or kill the server or one of its processes under a committing client."""
    async with server(report) as started, committers(report, rng, started.url()) as working:

        async def harm() -> None:
            end = rng.choice([started.stop, started.crash, started.kill, None])
            if end is None:
                await _kill_a_process(started, rng)
                return
            await asyncio.to_thread(end)
            await asyncio.sleep(rng.choice([0, 0.3]))
            await asyncio.to_thread(started.start)

        await _rounds(working, sizes, harm)


async def _kill_a_process(started: Server, rng: Random) -> None:
    """Kill the process that serves a connection: the server ends all others, and recovers."""
    admin = await asyncpg.connect(started.url())
    try:
        pids = [row["pid"] for row in await admin.fetch(_BACKENDS)]
        os.kill(rng.choice(pids), signal.SIGKILL)
    finally:
        admin.terminate()


async def _rounds(working: Committers, sizes: Sizes, harm: Callable[[], Awaitable[None]]) -> None:
    for number in range(sizes.rounds):
        async with working.at_work():
            await asyncio.sleep(working.rng.uniform(0, 0.05))
            await harm()
            await asyncio.sleep(working.rng.uniform(0, 0.05))
        working.report.tell(f"{number + 1} of {sizes.rounds}")
