"""What stores do, for OpenTelemetry: spans and metrics. Extra: `asynctract[otel]`.

    from tract.telemetry import Telemetry

    store = await TractStore.open("agents.db", telemetry=Telemetry())

A store that is opened without one runs none of this.
"""

from tract.telemetry.telemetry import Telemetry

__all__ = ["Telemetry"]
