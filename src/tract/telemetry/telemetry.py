"""`Telemetry`: attaches spans and metrics to the engines of a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from opentelemetry import metrics, trace

from tract.engine.streams.arrived import Arrived
from tract.engine.watching.hub import Portion
from tract.models.commit import CommitInfo
from tract.runtime import Runtime
from tract.storage.repositories import BranchName, Cursor, StreamName
from tract.telemetry.compiles import Compiles, NewestContexts
from tract.telemetry.conventions import CALLS, Call
from tract.telemetry.metrics import Metrics
from tract.telemetry.providers import Providers
from tract.telemetry.spans import Spans

__all__ = ["Telemetry"]

_NAME, _RELEASE = "tract", version("asynctract")

_NextPortion = Callable[[BranchName, Cursor], Awaitable[Portion | None]]


class Telemetry:
    """Reports what stores do to OpenTelemetry, as spans and metrics.

        store = await TractStore.open("agents.db", telemetry=Telemetry())

    Commits, compiles that do not come from the cache, merges, compactions, erasures and streams are
    spans, named `tract.commit` and so on. They carry the tract, the branch, the new head and counts,
    and for commits with a generation config the attributes `gen_ai.request.*`. A span that fails has
    the error's type, and not its text. One `Telemetry` may serve any number of stores.

    Args:
        tracer_provider: where spans go; by default the global provider.
        meter_provider: where metrics go; by default the global provider.
        contents: True puts the messages of compiled contexts into their spans, as
            `gen_ai.input.messages`. They may be long, and hold whatever users and tools said.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        contents: bool = False,
    ) -> None:
        meter = metrics.get_meter(_NAME, _RELEASE, meter_provider)
        tracer = trace.get_tracer(_NAME, _RELEASE, tracer_provider)
        self._providers = Providers(tracer_provider, meter_provider)
        self._metrics = Metrics(meter)
        self._spans = Spans(tracer, self._metrics)
        self._contents = contents

    def attach(self, runtime: Runtime) -> None:
        """Report what a store does from now on; `open` calls this.

        Providers that keep nothing are told nothing.
        """
        if self._providers.never_keep:
            return
        for call in CALLS:
            engine = getattr(runtime, call.engine)
            setattr(engine, call.method, self._traced(call, getattr(engine, call.method)))
        streams, watching = runtime.streams, runtime.watching
        for engine, method, reported in (
            (streams, "land", self._landed(streams.land)),
            (watching, "next_portion", self._watched(watching.next_portion)),
        ):
            setattr(engine, method, reported)
        newest = NewestContexts(runtime.contexts)
        runtime.contexts.observer = Compiles(
            self._providers, self._spans, self._metrics, contents=self._contents
        )
        self._metrics.watch(runtime, newest.open_calls)

    def _traced(self, call: Call, method: Callable[..., Awaitable[Any]]) -> Any:
        def traced(place: object, *args: Any, **kwargs: Any) -> Awaitable[Any]:
            return around(span, place, method(place, *args, **kwargs), told)

        around, span, told = self._spans.around, call.span, call.told
        return traced

    def _landed(self, land: Callable[..., Awaitable[list[CommitInfo]]]) -> Any:
        """Make a span of a stream, from its first part on, once it is committed."""

        def traced(
            name: StreamName, arrived: Arrived, *args: Any, **kwargs: Any
        ) -> Awaitable[list[CommitInfo]]:
            began = arrived.preamble.get("started_at") if kwargs.get("owner") else None
            work = land(name, arrived, *args, **kwargs)
            return self._spans.around(
                "tract.stream", name.branch, work, began=began and began * 1000
            )

        return traced

    def _watched(self, next_portion: _NextPortion) -> _NextPortion:
        async def measured(branch: BranchName, cursor: Cursor) -> Portion | None:
            portion = await next_portion(branch, cursor)
            if portion is not None and cursor.is_at_head:
                self._metrics.told(portion)
            return portion

        return measured
