"""Spans that are timed as well. Every commit passes here, so it is written to take few steps.

Without an SDK, the API answers with spans that record nothing. They need no end, and the one that
stands for no trace at all need not be the current one, either.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from time import time_ns
from typing import TypeVar

from opentelemetry.context import attach, detach
from opentelemetry.trace import INVALID_SPAN, Span, StatusCode, Tracer, set_span_in_context

from tract.telemetry.conventions import Attributes, where
from tract.telemetry.metrics import Metrics

__all__ = ["Spans", "measured"]

T = TypeVar("T")


class Spans:
    """The spans of one `Telemetry`, and how long they took."""

    def __init__(self, tracer: Tracer, metrics: Metrics) -> None:
        self.start: Callable[..., Span] = tracer.start_span
        self._took = metrics.duration.record

    async def around(
        self,
        name: str,
        place: object,
        work: Awaitable[T],
        told: Callable[[T], Attributes] | None = None,
        began: int | None = None,
    ) -> T:
        """Return what *work* returns, in a span that began at *began*, in nanoseconds, or now."""
        began = began or time_ns()
        span = self.start(name, attributes=where(place), start_time=began)
        token = None if span is INVALID_SPAN else attach(set_span_in_context(span))
        failure = None
        try:
            result = await work
            if told is not None and span.is_recording():
                span.set_attributes(told(result))
        except BaseException as error:
            failure = type(error).__qualname__
            raise
        finally:
            if token is not None:
                detach(token)
            self._end(span, name, began, failure)
        return result

    def failed(self, name: str, place: object, began: int, error: BaseException) -> None:
        """Record a span that began at *began*, in nanoseconds, and ended by *error*."""
        span = self.start(name, attributes=where(place), start_time=began)
        self._end(span, name, began, type(error).__qualname__)

    def _end(self, span: Span, name: str, began: int, failure: str | None) -> None:
        if failure is not None:
            span.set_attribute("error.type", failure)
            span.set_status(StatusCode.ERROR)
        ended = time_ns()
        if span is not INVALID_SPAN:
            span.end(ended)
        self._took((ended - began) / 1e9, measured(name, failure))


@cache
def measured(name: str, failure: str | None = None) -> Attributes:
    """Return what a duration is kept by."""
    given = {"tract.operation": name.removeprefix("tract.")}
    return given if failure is None else {**given, "error.type": failure}
