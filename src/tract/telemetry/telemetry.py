"""`Telemetry`: attaches spans and metrics to the engines of a store."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, StatusCode

from tract.engine.compile.reading import ContextReader, ViewOptions
from tract.engine.streams.arrived import Arrived
from tract.engine.watching.hub import Portion
from tract.models.commit import CommitInfo
from tract.protocols import CompiledContext
from tract.runtime import Runtime
from tract.storage.repositories import BranchName, Cursor, Position, StreamName
from tract.telemetry.conventions import CALLS, Attributes, Call, where
from tract.telemetry.metrics import Metrics

__all__ = ["Telemetry"]

_NAME, _RELEASE = "tract", version("asynctract")

_Compile = Callable[[BranchName, Position, ViewOptions], Awaitable[CompiledContext]]
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
        self._tracer = trace.get_tracer(_NAME, _RELEASE, tracer_provider)
        self._metrics = Metrics(metrics.get_meter(_NAME, _RELEASE, meter_provider))
        self._contents = contents

    def attach(self, runtime: Runtime) -> None:
        """Report what a store does from now on; `open` calls this."""
        for call in CALLS:
            engine = getattr(runtime, call.engine)
            setattr(engine, call.method, self._traced(call, getattr(engine, call.method)))
        contexts, streams, watching = runtime.contexts, runtime.streams, runtime.watching
        for engine, method, reported in (
            (contexts, "compile", self._compile(contexts, contexts.compile)),
            (streams, "land", self._landed(streams.land)),
            (watching, "next_portion", self._watched(watching.next_portion)),
        ):
            setattr(engine, method, reported)
        self._metrics.watch(runtime)

    def _traced(self, call: Call, method: Callable[..., Awaitable[Any]]) -> Any:
        async def traced(place: object, *args: Any, **kwargs: Any) -> Any:
            with self._span(call.span, place) as span:
                result = await method(place, *args, **kwargs)
                if span.is_recording():
                    span.set_attributes(call.told(result))
            return result

        return traced

    def _compile(self, contexts: ContextReader, compile_: _Compile) -> _Compile:
        async def traced(
            branch: BranchName, position: Position, options: ViewOptions
        ) -> CompiledContext:
            before, began = _made(contexts), time.time_ns()
            try:
                context = await compile_(branch, position, options)
            except BaseException as error:
                with self._span("tract.compile", branch, began):
                    raise error
            if _made(contexts) == before:  # a span would take longer than the compile did
                self._metrics.compiled(context)
                return context
            with self._span("tract.compile", branch, began) as span:
                self._metrics.compiled(context)
                if span.is_recording():
                    span.set_attributes(self._context(context))
            return context

        return traced

    def _context(self, context: CompiledContext) -> Attributes:
        given: Attributes = {
            "tract.head": context.head_hash or "",
            "tract.context.entries": context.commit_count,
            "tract.context.tokens": context.token_count,
        }
        if context.stable_prefix is not None:
            given["tract.context.stable_prefix"] = context.stable_prefix.tokens
        if self._contents:
            given["gen_ai.input.messages"] = json.dumps(context.to_otel(), ensure_ascii=False)
        return given

    def _landed(self, land: Callable[..., Awaitable[list[CommitInfo]]]) -> Any:
        """Make a span of a stream, from its first part on, once it is committed."""

        async def traced(
            name: StreamName, arrived: Arrived, *args: Any, **kwargs: Any
        ) -> list[CommitInfo]:
            began = arrived.preamble.get("started_at") if kwargs.get("owner") else None
            with self._span("tract.stream", name.branch, began and began * 1000):
                return await land(name, arrived, *args, **kwargs)

        return traced

    def _watched(self, next_portion: _NextPortion) -> _NextPortion:
        async def measured(branch: BranchName, cursor: Cursor) -> Portion | None:
            portion = await next_portion(branch, cursor)
            if portion is not None and cursor.is_at_head:
                self._metrics.told(portion)
            return portion

        return measured

    @contextmanager
    def _span(self, name: str, place: object, began: int | None = None) -> Iterator[Span]:
        """Enter a span that began at *began*, in nanoseconds, or now; time it as well."""
        began = time.time_ns() if began is None else began
        span = self._tracer.start_span(name, attributes=where(place), start_time=began)
        failure: Attributes = {}
        token = context_api.attach(trace.set_span_in_context(span))
        try:
            yield span
        except BaseException as error:
            failure = {"error.type": type(error).__qualname__}
            span.set_attributes(failure)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            context_api.detach(token)
            ended = time.time_ns()
            span.end(ended)
            seconds = (ended - began) / 1_000_000_000
            self._metrics.took(seconds, {"tract.operation": name.removeprefix("tract."), **failure})


def _made(contexts: ContextReader) -> int:
    """Return how many snapshots were made so far."""
    info = contexts.cache_info()
    return info.folds + info.misses
