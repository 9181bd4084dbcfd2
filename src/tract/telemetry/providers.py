"""Where spans and metrics go, and whether anything there keeps them."""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import TracerProvider, get_tracer_provider

__all__ = ["Providers"]

_APIS_OWN = ("opentelemetry.trace", "opentelemetry.metrics")
_ASK_AGAIN = 100_000_000  # nanoseconds


class Providers:
    """The providers of one `Telemetry`; None is the global one, which may be configured later."""

    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
        self._tracers = tracers
        self._meters = meters
        self._asked = 0
        self._is_fixed = tracers is not None and meters is not None

    @property
    def never_keep(self) -> bool:
        """Whether nothing that these are told is ever kept."""
        return self._is_fixed and not self._keep()

    def keep_nothing(self, now: int) -> bool:
        """Return whether nothing is kept that these are told at *now*, in nanoseconds since 1970.

        OpenTelemetry's API takes longer to make a span of nothing than a short call has. So the
        answer holds for a tenth of a second if there is no provider yet.
        """
        if 0 <= now - self._asked < _ASK_AGAIN:
            return True
        if self._keep():
            return False
        self._asked = now
        return True

    def _keep(self) -> bool:
        """Return whether there is a provider that is not of the API itself, which keep nothing."""
        tracers = self._tracers or get_tracer_provider()
        meters = self._meters or get_meter_provider()
        return not all(type(each).__module__.startswith(_APIS_OWN) for each in (tracers, meters))
