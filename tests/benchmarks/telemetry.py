"""A line about what telling OpenTelemetry costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from statistics import median
from time import process_time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from benchmarks.model import OURS, Bar, Line, Row, Sample, Workspace
from benchmarks.ours import Tract
from benchmarks.timing import settle
from benchmarks.workload import ChatMessage, messages
from tract import TractStore
from tract.telemetry import Telemetry

__all__ = ["lines"]

_MOST = 1.05
_ON, _SDK = "telemetry", "telemetry.sdk"
_VERBS = {"commit": "commit", "compile": "compile after it", "again": "compile again"}
_TURNS_A_TRACT = 50
_UNTIL_WARM = 20


def lines() -> tuple[Line, ...]:
    """Return the line about stores that are opened with a `Telemetry`."""
    rows = [
        Row(f"{key}.{verb}", f"{title}, {with_it}, by that without telemetry", "x", bars)
        for key, with_it, bars in (
            (_ON, "with telemetry", (Bar(_MOST),)),
            (_SDK, "with telemetry and OpenTelemetry's SDK", ()),
        )
        for verb, title in _VERBS.items()
    ]
    return (
        Line(
            "telemetry",
            (*rows,),
            {OURS: telemetry},
            "Processor time, of both stores by turns. The first rows have OpenTelemetry's API by "
            "itself, where no provider was configured; what the SDK takes for each span and each "
            "value of a histogram is in the others.",
        ),
    )


def telemetry(workspace: Workspace) -> Sample:
    """What a store takes that tells of what it does, by one that does not."""
    turns = workspace.sizes.shallow * 5
    sdk = Telemetry(
        tracer_provider=TracerProvider(), meter_provider=MeterProvider([InMemoryMetricReader()])
    )
    return {
        f"{kind}.{verb}": ratio
        for kind, each in ((_ON, Telemetry()), (_SDK, sdk))
        for verb, ratio in asyncio.run(_ratios(workspace.folder / kind, each, turns)).items()
    }


async def _ratios(folder: Path, telemetry: Telemetry, turns: int) -> dict[str, float]:
    """Return the medians with *telemetry* by those without, each first in every other turn."""
    await asyncio.to_thread(folder.mkdir)
    taken: dict[bool, list[list[float]]] = {True: [], False: []}
    async with (
        TractStore.open(folder / "on.db", telemetry=telemetry) as on,
        TractStore.open(folder / "off.db") as off,
    ):
        settle()
        for number, message in enumerate(messages(_UNTIL_WARM + turns)):
            both = ((True, on), (False, off))
            for is_on, store in both if number % 2 else both[::-1]:
                name = f"{number // _TURNS_A_TRACT}"
                taken[is_on].append(await _turn(store, name, message))
    with_it, without = (
        map(median, zip(*taken[is_on][_UNTIL_WARM:], strict=True)) for is_on in (True, False)
    )
    return {verb: one / other for verb, one, other in zip(_VERBS, with_it, without, strict=True)}


async def _turn(store: TractStore, name: str, message: ChatMessage) -> list[float]:
    """Return the seconds that each verb takes of the processor."""
    tract = store.tract(name)
    return [
        await _used(Tract(tract).append(message)),
        await _used(tract.compile()),
        await _used(tract.compile()),
    ]


async def _used(work: Awaitable[object]) -> float:
    began = process_time()
    await work
    return process_time() - began
