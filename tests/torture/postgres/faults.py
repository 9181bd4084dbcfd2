"""What must not harm a store on PostgreSQL; much of it is what must not harm one in a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Any

from torture import cancellation, compactions, erasures, kills, many_processes, tract_erasures
from torture.model import Fault, Report
from torture.postgres import clocks, cuts
from torture.postgres.places import database

__all__ = ["FAULTS", "OF_CLIENTS", "OF_CONNECTIONS"]


def _in_a_database(run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Return *run* with its stores in schemas of a database that is made for it."""

    async def within(report: Report, sizes: Any, rng: Random) -> None:
        async with database(report):
            await run(report, sizes, rng)

    return within


OF_CLIENTS: tuple[Fault[Any], ...] = (
    Fault(
        "postgres.kills",
        "processes killed while they commit",
        _in_a_database(partial(kills.run, durability="normal")),
        kills.Sizes(100, 10),
        kills.Sizes(4, 2),
    ),
    Fault(
        "postgres.erasures",
        "pairs of processes killed while they erase, copy and collect",
        _in_a_database(erasures.run),
        erasures.Sizes(50, 10),
        erasures.Sizes(2, 2),
    ),
    Fault(
        "postgres.tract_erasures",
        "pairs of processes killed while they erase tracts that both fill",
        _in_a_database(tract_erasures.run),
        tract_erasures.Sizes(50, 10),
        tract_erasures.Sizes(2, 2),
    ),
    Fault(
        "postgres.compactions",
        "pairs of processes that shorten the same branches, killed",
        _in_a_database(compactions.run),
        compactions.Sizes(50, 8),
        compactions.Sizes(2, 2),
    ),
    Fault(
        "postgres.commits",
        "processes that commit to one branch at once, read meanwhile",
        _in_a_database(many_processes.commit_at_once),
        many_processes.Sizes(8, 250, 2, 3),
        many_processes.Sizes(4, 20, 1, 1),
    ),
    Fault(
        "postgres.expected_head",
        "rounds of writers in several processes on one expected head",
        _in_a_database(many_processes.race),
        many_processes.RaceSizes(4, 300),
        many_processes.RaceSizes(2, 10),
    ),
    Fault(
        "postgres.clocks",
        "processes whose clocks differ by up to two hours, on one branch",
        clocks.apart,
        clocks.Sizes(100, 5),
        clocks.Sizes(5, 1),
    ),
    Fault(
        "postgres.cancellation",
        "calls cancelled while others use the store",
        _in_a_database(cancellation.run),
        cancellation.Sizes(2_000, 500),
        cancellation.Sizes(100, 100),
    ),
)
OF_CONNECTIONS: tuple[Fault[Any], ...] = (
    Fault(
        "postgres.backends",
        "connections that the server ends under a committing client",
        cuts.kill_backends,
        cuts.Sizes(300),
        cuts.Sizes(4),
    ),
    Fault(
        "postgres.acknowledgements",
        "connections cut within a request or its answer",
        cuts.cut_off,
        cuts.Sizes(300),
        cuts.Sizes(4),
    ),
    Fault(
        "postgres.restarts",
        "servers stopped, crashed or killed, and started again",
        cuts.restart,
        cuts.Sizes(40),
        cuts.Sizes(2),
    ),
)
FAULTS: tuple[Fault[Any], ...] = (*OF_CLIENTS, *OF_CONNECTIONS)
