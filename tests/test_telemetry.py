"""What OpenTelemetry learns of a store: spans and metrics, and no contents unless asked for."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tract import AsyncTract, CommitNotFoundError, HeadMovedError, ToolIOContent, TractStore
from tract.telemetry import Telemetry

SECRET = "the combination is 1234"


class Seen:
    """What an application's providers were given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])

    def telemetry(self, **options: Any) -> Telemetry:
        return Telemetry(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        (span,) = (each for each in self.spans if each.name == name)
        return span

    def points(self, metric: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.data.data_points
        ]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest_asyncio.fixture
async def watched(target: Path | str, seen: Seen) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, telemetry=seen.telemetry()) as store:
        yield store


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_commit_is_a_span_with_its_branch_and_head(watched: TractStore, seen: Seen) -> None:
    info = await watched.tract("chat").user("Hello")
    span = seen.named("tract.commit")

    assert told(span) == {
        "tract.id": "chat",
        "gen_ai.conversation.id": "chat",
        "tract.branch": "main",
        "tract.head": info.commit_hash,
        "tract.commits": 1,
        "tract.tokens": info.token_count,
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_a_commit_tells_how_its_reply_was_generated(watched: TractStore, seen: Seen) -> None:
    config = {"model": "gpt-4o", "temperature": 0.2, "max_tokens": 100, "stop": ["."], "seed": True}
    await watched.tract("chat").assistant("Hello", generation_config=config)

    requested = {
        name: value
        for name, value in told(seen.named("tract.commit")).items()
        if name.startswith("gen_ai.request.")
    }
    assert requested == {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 100,
    }


async def test_a_compile_is_a_span_only_if_it_made_something(
    watched: TractStore, seen: Seen
) -> None:
    chat = watched.tract("chat")
    await chat.user("Hello")
    context = await chat.compile()
    await chat.compile()
    span = seen.named("tract.compile")

    assert told(span)["tract.head"] == context.head_hash
    assert told(span)["tract.context.entries"] == 1
    assert told(span)["tract.context.tokens"] == context.token_count
    results = {
        point.attributes["tract.cache.result"]: point.value
        for point in seen.points("tract.cache.compiles")
    }
    assert results == {"hit": 1, "fold": 0, "miss": 1}


async def test_an_empty_tract_compiles_without_a_span(watched: TractStore, seen: Seen) -> None:
    await watched.tract("nobody").compile()

    assert seen.spans == []


async def merge(main: AsyncTract) -> None:
    other = await main.fork("other")
    await other.user("And this?")
    await main.user("That")
    await main.merge("other")


async def pick(main: AsyncTract) -> None:
    await main.cherry_pick((await main.log())[0].commit_hash)


async def clear(main: AsyncTract) -> None:
    await main.clear_tool_results(keep=1)


async def erase(main: AsyncTract) -> None:
    await main.erase([(await main.log())[0].commit_hash], reason="asked for")


async def prune(main: AsyncTract) -> None:
    await main.prune(keep=1, reason="old")


async def compact_and_expand(main: AsyncTract) -> None:
    for number in range(8):
        await main.user(f"Question {number} " * 20)
        await main.assistant(f"Answer {number} " * 20)

    async def summarise(_: object) -> str:
        return "Eight questions, eight answers."

    done = await main.compact(summarise, target_tokens=400, keep_recent=1)
    assert done is not None
    await main.expand(done.commit_hash)


@pytest.mark.parametrize(
    ("do", "names"),
    [
        (merge, {"tract.merge"}),
        (pick, {"tract.cherry_pick"}),
        (clear, {"tract.clear_tool_results"}),
        (erase, {"tract.erase"}),
        (prune, {"tract.prune"}),
        (compact_and_expand, {"tract.compact", "tract.expand"}),
    ],
)
async def test_each_of_these_is_a_span(
    watched: TractStore,
    seen: Seen,
    do: Callable[[AsyncTract], Awaitable[None]],
    names: set[str],
) -> None:
    main = watched.tract("chat")
    await main.user("Hello")
    await do(main)

    spans = {span.name: span for span in seen.spans}
    assert names < {*spans}
    for name in names:
        assert told(spans[name])["tract.id"] == "chat"
        assert len(told(spans[name])) > 2


async def test_erasing_a_tract_collecting_and_transactions_are_spans(
    watched: TractStore, seen: Seen
) -> None:
    async with watched.transaction() as tx:
        tx.on(watched.tract("a")).user("one")
        tx.on(watched.tract("b")).user("two")
    await watched.erase_tract("a", reason="asked for")
    await watched.collect()

    assert told(seen.named("tract.transaction")) == {"tract.commits": 2, "tract.erasures": 0}
    assert told(seen.named("tract.erase_tract"))["tract.erased.commits"] == 1
    assert "tract.collected.contents" in told(seen.named("tract.collect"))


async def test_what_a_call_does_inside_is_below_its_span(watched: TractStore, seen: Seen) -> None:
    main = watched.tract("chat")
    await main.user("Hello")
    with seen.tracers.get_tracer("app").start_as_current_span("turn") as turn:
        await compact_and_expand(main)

    compact, expand = seen.named("tract.compact"), seen.named("tract.expand")
    inside = next(
        span
        for span in seen.spans
        if span.parent is not None and span.parent.span_id == expand.context.span_id
    )
    assert compact.parent is not None
    assert compact.parent.span_id == turn.get_span_context().span_id
    assert inside.name == "tract.commit"


async def test_a_stream_is_a_span_from_its_beginning(watched: TractStore, seen: Seen) -> None:
    async with watched.tract("chat").stream() as reply:
        await reply.write("Hello")
        await asyncio.sleep(0.05)
        await reply.write(", world")
    span = seen.named("tract.stream")

    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time >= 40_000_000
    assert "tract.commit" in {each.name for each in seen.spans}


async def test_a_failure_has_its_type_and_not_its_text(watched: TractStore, seen: Seen) -> None:
    chat = watched.tract("chat")
    await chat.user("Hello")
    with pytest.raises(HeadMovedError):
        await chat.user(SECRET, expected_head=None)
    span = seen.spans[-1]

    assert span.status.status_code is StatusCode.ERROR
    assert told(span)["error.type"] == "HeadMovedError"
    assert not span.events
    assert not span.status.description
    durations = [point.attributes for point in seen.points("tract.operation.duration")]
    assert {"tract.operation": "commit", "error.type": "HeadMovedError"} in durations


async def test_a_cancelled_call_ends_its_span(watched: TractStore, seen: Seen) -> None:
    task = asyncio.create_task(watched.tract("chat").user("Hello"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert told(seen.named("tract.commit"))["error.type"] == "CancelledError"


async def test_contents_are_told_only_if_asked_for(target: Path | str, seen: Seen) -> None:
    async with TractStore.open(target, telemetry=seen.telemetry()) as store:
        await store.tract("chat").user(SECRET)
        await store.tract("chat").compile()
    assert SECRET not in "".join(span.to_json() for span in seen.spans)

    async with TractStore.open(target, telemetry=seen.telemetry(contents=True)) as store:
        context = await store.tract("chat").compile()
        told_of_it = told(seen.spans[-1])["gen_ai.input.messages"]

    assert json.loads(told_of_it) == context.to_otel()
    assert json.loads(told_of_it) == [
        {"role": "user", "parts": [{"type": "text", "content": SECRET}]}
    ]


async def test_a_store_with_its_own_loop_reports_below_the_callers_span(
    target: Path | str, seen: Seen
) -> None:
    telemetry = seen.telemetry()
    async with TractStore.open(target, telemetry=telemetry, own_loop=True) as store:
        with seen.tracers.get_tracer("app").start_as_current_span("turn") as turn:
            await store.tract("chat").user("Hello")
    parent = seen.named("tract.commit").parent

    assert parent is not None
    assert parent.span_id == turn.get_span_context().span_id


async def test_commits_at_once_share_transactions_and_are_counted(
    watched: TractStore, seen: Seen
) -> None:
    tracts = [watched.tract(f"chat {number}") for number in range(40)]
    await asyncio.gather(*(tract.user("Hello") for tract in tracts))
    (point,) = seen.points("tract.write.group_size")

    assert point.sum >= 40
    assert point.max > 1


async def test_a_waiting_watch_tells_how_far_it_is_behind(watched: TractStore, seen: Seen) -> None:
    chat = watched.tract("chat")
    async with chat.watch(after="head") as commits:
        waiting = asyncio.create_task(anext(commits))
        await asyncio.sleep(0.05)
        await chat.user("Hello")
        await waiting
    (point,) = seen.points("tract.watch.lag")

    assert point.count == 1
    assert 0 <= point.sum < 30


async def test_tokens_and_stable_prefixes_are_measured(watched: TractStore, seen: Seen) -> None:
    chat = watched.tract("chat")
    await chat.user("Hello")
    first = await chat.compile()
    await chat.assistant("Yes?")
    second = await chat.compile()
    (tokens,), (stable,) = (
        seen.points("tract.context.tokens"),
        seen.points("tract.context.stable_prefix"),
    )

    assert tokens.sum == first.token_count + second.token_count
    assert second.stable_prefix is not None
    assert stable.sum == second.stable_prefix.tokens


async def call(tract: AsyncTract, call_id: str) -> None:
    content = ToolIOContent(tool_name="look", direction="call", payload={}, call_id=call_id)
    await tract.commit(content)


async def answer(tract: AsyncTract, call_id: str) -> None:
    content = ToolIOContent(tool_name="look", direction="result", payload="Rain.", call_id=call_id)
    await tract.commit(content)


async def test_open_calls_of_the_newest_contexts_are_counted(
    watched: TractStore, seen: Seen
) -> None:
    def counted() -> int:
        (point,) = seen.points("tract.context.open_calls")
        return int(point.value)

    assert counted() == 0
    chat = watched.tract("chat")
    for call_id in ("call_1", "call_2"):
        await call(chat, call_id)
    other = watched.tract("other")
    await call(other, "call_3")
    await chat.compile()
    await other.compile()
    assert counted() == 3

    await answer(chat, "call_1")
    assert counted() == 3  # nobody has compiled that yet
    context = await chat.compile()
    assert counted() == len(context.open_calls) + 1 == 2
    await other.reset(None)
    await other.compile()
    assert counted() == 1


async def test_open_calls_of_an_earlier_head_are_counted_when_a_branch_is_reset(
    watched: TractStore, seen: Seen
) -> None:
    chat = watched.tract("chat")
    await call(chat, "call_1")
    asked = await chat.compile()
    await answer(chat, "call_1")
    await chat.compile()
    (answered,) = seen.points("tract.context.open_calls")
    await chat.reset(asked.head_hash)
    await chat.compile()
    (again,) = seen.points("tract.context.open_calls")

    assert (answered.value, again.value) == (0, 1)


async def test_a_failed_compile_has_its_errors_type(watched: TractStore, seen: Seen) -> None:
    chat = watched.tract("chat")
    await chat.user("Hello")
    with pytest.raises(CommitNotFoundError):
        await chat.compile(at_commit="f" * 64)
    span = seen.named("tract.compile")

    assert told(span)["error.type"] == "CommitNotFoundError"
    assert span.status.status_code is StatusCode.ERROR


async def test_a_store_without_telemetry_imports_none_of_it(db_path: Path) -> None:
    program = f"""
import asyncio, sys
from tract import AsyncTract

async def main():
    async with AsyncTract.open({str(db_path)!r}) as tract:
        await tract.user("Hello")
        await tract.compile()

asyncio.run(main())
print([name for name in sys.modules if name.startswith(("opentelemetry", "tract.telemetry"))])
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()

    assert printed.decode().strip() == "[]"


async def test_one_telemetry_serves_several_stores(tmp_path: Path, seen: Seen) -> None:
    telemetry = seen.telemetry()
    async with (
        TractStore.open(tmp_path / "a.db", telemetry=telemetry) as one,
        TractStore.open(tmp_path / "b.db", telemetry=telemetry) as other,
    ):
        await one.tract("x").user("Hello")
        await other.tract("y").user("Hello")
        paths = {point.attributes["tract.store"] for point in seen.points("tract.cache.size")}

    assert [told(span)["tract.id"] for span in seen.spans] == ["x", "y"]
    assert {Path(path).name for path in paths} == {"a.db", "b.db"}
    assert seen.points("tract.cache.size") == []


async def test_a_tract_of_its_own_and_the_global_providers(db_path: Path) -> None:
    async with AsyncTract.open(db_path, telemetry=Telemetry()) as tract:
        await tract.user("Hello")

        assert (await tract.compile()).commit_count == 1


async def test_a_provider_that_comes_later_is_told_of_what_comes_after_it(db_path: Path) -> None:
    program = f"""
import asyncio
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tract import AsyncTract
from tract.telemetry import Telemetry

async def main():
    spans, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    async with AsyncTract.open({str(db_path)!r}, telemetry=Telemetry()) as tract:
        await tract.user("before")
        await tract.compile()
        trace.set_tracer_provider(tracers)
        await asyncio.sleep(0.2)
        await tract.user("after")
        await tract.compile()
    print([span.name for span in spans.get_finished_spans()])

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()

    assert printed.decode().strip() == "['tract.commit', 'tract.compile']"
