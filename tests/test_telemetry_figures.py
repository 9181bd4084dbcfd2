"""What telling OpenTelemetry costs, in calls of functions, which are steadier than seconds."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType

import pytest_asyncio
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from tract import AsyncTract
from tract.telemetry import Telemetry

_UNTIL_WARM = 20
_TOLD = 3
"""Calls that find out that no provider was configured which would keep what a compile is told."""


async def compiling(tract: AsyncTract) -> int:
    """Return how many functions a compile calls."""
    calls = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    former = sys.getprofile()
    sys.setprofile(profile)
    try:
        await tract.compile()
    finally:
        sys.setprofile(former)
    return calls


async def calls_of(tract: AsyncTract) -> tuple[int, int]:
    """Return the calls of a compile after a commit, and of another after that, at least."""
    counted = []
    for _ in range(_UNTIL_WARM):
        await tract.user("The night train leaves at 23:40.")
        counted.append((await compiling(tract), await compiling(tract)))
    return min(new for new, _ in counted), min(again for _, again in counted)


@pytest_asyncio.fixture
async def alone(tmp_path: Path) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(tmp_path / "alone.db") as tract:
        yield tract


async def test_a_cached_compile_calls_nothing_more(alone: AsyncTract, tmp_path: Path) -> None:
    _, without = await calls_of(alone)
    async with AsyncTract.open(tmp_path / "told.db", telemetry=Telemetry()) as told:
        _, with_it = await calls_of(told)

    assert with_it == without > 0


async def test_a_new_context_calls_little_more_without_a_provider(
    alone: AsyncTract, tmp_path: Path
) -> None:
    without, _ = await calls_of(alone)
    async with AsyncTract.open(tmp_path / "told.db", telemetry=Telemetry()) as told:
        with_it, _ = await calls_of(told)

    assert without < with_it <= without + _TOLD


async def test_providers_that_keep_nothing_are_told_nothing(
    alone: AsyncTract, tmp_path: Path
) -> None:
    nothing = Telemetry(tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider())
    async with AsyncTract.open(tmp_path / "told.db", telemetry=nothing) as told:
        assert await calls_of(told) == await calls_of(alone)
