"""What an agent's store does, written to a file that an OpenTelemetry collector reads.

Usage: python telemetry.py [traces.jsonl]

Each line of the file is a request in OTLP's JSON, which the collector's `otlpjsonfile` receiver
takes. Extra packages: opentelemetry-sdk, opentelemetry-exporter-otlp-json-file.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tract import TractStore
from tract.telemetry import Telemetry


async def work(telemetry: Telemetry) -> None:
    """Ask twice, try another way on a branch, and merge it."""
    async with TractStore.open(telemetry=telemetry) as store:
        main = store.tract("planner")
        await main.user("When does the next train to Oslo leave?")
        await main.assistant("At 23:40.", generation_config={"model": "gpt-5", "seed": 7})
        earlier = await main.fork("earlier")
        await earlier.user("Is there none before?")
        await earlier.assistant("At 15:10, with a change.", generation_config={"model": "gpt-5"})
        await main.merge("earlier")
        await main.compile()


async def run(path: Path) -> None:
    """Trace the work."""
    tracers = TracerProvider(resource=Resource.create({"service.name": "planner"}))
    tracers.add_span_processor(BatchSpanProcessor(FileSpanExporter(path)))
    with tracers.get_tracer("example").start_as_current_span("turn"):
        await work(Telemetry(tracer_provider=tracers))
    tracers.shutdown()


def tell(path: Path) -> None:
    """Print the spans of a file, and whether they were part of another."""
    for line in path.read_text(encoding="utf-8").splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    print(span["name"] + (" in a turn" if span.get("parentSpanId") else ""))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder, "traces.jsonl")
        asyncio.run(run(file))
        tell(file)
