"""The metrics of the stores of one `Telemetry`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from tract.engine.watching.hub import Portion
from tract.runtime import Runtime

__all__ = ["Metrics"]


class Metrics:
    """Durations, sizes and counts; their names begin with `tract.`."""

    def __init__(self, meter: Meter) -> None:
        self._stores: WeakKeyDictionary[Runtime, Callable[[], int]] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self.duration: Histogram = meter.create_histogram(
            "tract.operation.duration", "s", "How long calls of stores took."
        )
        self._group = meter.create_histogram(
            "tract.write.group_size", "{write}", "Writes that shared a transaction."
        )
        self._lag = meter.create_histogram(
            "tract.watch.lag", "s", "The age of the newest commit that a waiting watch was given."
        )
        self.tokens: Histogram = meter.create_histogram(
            "tract.context.tokens", "{token}", "The tokens of compiled contexts."
        )
        self.stable: Histogram = meter.create_histogram(
            "tract.context.stable_prefix",
            "{token}",
            "How many of these the context before began with, too.",
        )
        meter.create_observable_counter(
            "tract.cache.compiles", [self._compiles], "{compile}", "Compiles, by what they found."
        )
        meter.create_observable_gauge(
            "tract.cache.size", [self._sizes], "By", "The memory that cached snapshots take."
        )
        meter.create_observable_gauge(
            "tract.context.open_calls",
            [self._open_calls],
            "{call}",
            "Tool calls without a result in the newest context of each branch.",
        )

    def watch(self, runtime: Runtime, open_calls: Callable[[], int]) -> None:
        """Observe a store until it is closed; *open_calls* counts those of its contexts."""
        with self._lock:
            self._stores[runtime] = open_calls
        runtime.database.writes.on_leave = self._group.record

    def told(self, portion: Portion) -> None:
        """Record how far behind a watch is that waited for commits."""
        if portion.records:
            lag = time.time_ns() // 1000 - portion.records[-1].created_at
            self._lag.record(max(lag, 0) / 1_000_000)

    def _open(self) -> list[tuple[Runtime, Callable[[], int]]]:
        with self._lock:
            return [each for each in self._stores.items() if not each[0].database.closed]

    def _compiles(self, options: CallbackOptions) -> Iterable[Observation]:
        for runtime, _ in self._open():
            info, store = runtime.contexts.cache_info(), _named(runtime)
            for result, count in (("hit", info.hits), ("fold", info.folds), ("miss", info.misses)):
                yield Observation(count, {"tract.cache.result": result, **store})

    def _sizes(self, options: CallbackOptions) -> Iterable[Observation]:
        for runtime, _ in self._open():
            yield Observation(runtime.contexts.cache_info().bytes, _named(runtime))

    def _open_calls(self, options: CallbackOptions) -> Iterable[Observation]:
        for runtime, open_calls in self._open():
            yield Observation(open_calls(), _named(runtime))


def _named(runtime: Runtime) -> dict[str, Any]:
    return {"tract.store": runtime.database.path}
