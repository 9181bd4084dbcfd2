"""Every engine makes the same commits: what is done under one clock has the same hashes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from support.doing import Doing
from support.meanwhile import everything
from support.opening import with_clock
from support.plans import Plan, plans
from support.postgres.databases import Databases
from tract import TiktokenCounter, TractStore

COUNTER = TiktokenCounter()
_SECOND = 1_000_000


async def told(target: Path | str, todo: Sequence[Plan]) -> list[Any]:
    """Carry out plans, the second half after reopening; return all that the store says of them.

    Time stands still during each: how often an engine looks at the clock makes no difference.
    """
    now = _SECOND

    async def opened() -> TractStore:
        return await with_clock(target, lambda: now, tokenizer=COUNTER)

    doing = Doing(await opened())
    found: list[Any] = []
    for number, plan in enumerate(todo):
        now += _SECOND
        if number == len(todo) // 2:
            await doing.store.aclose()
            doing.store = await opened()
        tract = doing.tract(await doing.do(plan))
        found.append((await tract.head(), await tract.compile()))
    found += [doing.hashes, doing.said, await everything(doing.store)]
    await doing.store.aclose()
    return found


def check_alike(databases: Databases, todo: Sequence[Plan]) -> None:
    """Carry out plans on a file and on a server, and compare what both say."""
    with tempfile.TemporaryDirectory() as folder, databases.standing() as url:
        in_a_file = asyncio.run(told(Path(folder, "context.db"), todo))
        at_a_server = asyncio.run(told(url, todo))

    assert at_a_server == in_a_file


_FEW = settings(
    max_examples=8,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@_FEW
@given(todo=plans)
def test_a_file_and_a_server_make_the_same_hashes(
    postgres_databases: Databases, todo: list[Plan]
) -> None:
    check_alike(postgres_databases, todo)


@pytest.mark.long
@settings(_FEW, max_examples=60, phases=[*Phase])
@given(todo=plans)
def test_a_file_and_a_server_make_the_same_hashes_in_any_graph(
    postgres_databases: Databases, todo: list[Plan]
) -> None:
    check_alike(postgres_databases, todo)
