"""The quickstart's agent loops, through the official clients, undisturbed and disturbed.

The server refuses what the providers refuse. Whatever happens, it accepts every request, and the
context keeps every reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from providers.answers import Answer, Call
from support.loops import LOOPS, Loop, Said, Scene, events_of, kept, scene, scripted
from tract import AsyncTract

FLIGHTS, HOTELS = Call("find_flights", {"to": "Oslo"}), Call("find_hotels", {"city": "Oslo"})
FIRST = Answer(thinking="Two things are asked for.", text="Let me see.", calls=(FLIGHTS, HOTELS))
SECOND = Answer(thinking="All full.", calls=(FLIGHTS, Call("find_hotels", {"city": "Moss"})))
LAST = Answer(text="Fly at 09:40, and stay in Moss.")

each_loop = pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
each_stream = pytest.mark.parametrize(
    "loop", [loop for loop in LOOPS if loop.streamed], ids=lambda loop: loop.name
)


def meeting(running: Scene, parties: int) -> None:
    """Have every tool wait until so many run at once."""
    barrier = asyncio.Barrier(parties)

    async def meet(**arguments: str) -> dict[str, str]:
        async with asyncio.timeout(20):
            await barrier.wait()
        return arguments

    running.tools.update(dict.fromkeys(running.tools, meet))


@each_loop
async def test_a_loop_runs_tools_at_once_until_the_model_answers(loop: Loop, db_path: Path) -> None:
    async with scene(loop, FIRST, SECOND, LAST, path=db_path) as running:
        meeting(running, 2)
        answer = await running.ask("How do I get to Oslo, and where do I stay?")

        assert running.server.refused == []
        assert answer == LAST.text
        assert await kept(running.tract) == scripted(FIRST, SECOND, LAST)


@asynccontextmanager
async def committing(tract: AsyncTract) -> AsyncIterator[None]:
    """Commit to a tract's branch all the while, in every role."""

    async def commit() -> None:
        number = 0
        while True:
            for say in (tract.user, tract.assistant, tract.system):
                number += 1
                await say(f"Note {number}.")
                await asyncio.sleep(0.001)

    task = asyncio.create_task(commit())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@each_loop
async def test_a_loop_goes_on_while_another_task_commits_to_its_branch(
    loop: Loop, db_path: Path
) -> None:
    async with scene(loop, FIRST, SECOND, LAST, path=db_path) as running:

        async def note(**arguments: str) -> dict[str, str]:
            """Commit what then stands behind the results, at the end of the next request."""
            await running.tract.assistant("A note.")
            return arguments

        running.tools.update(dict.fromkeys(running.tools, note))
        async with committing(running.tract):
            answer = await running.ask("How do I get to Oslo, and where do I stay?")

        assert running.server.refused == []
        assert answer == LAST.text
        assert await kept(running.tract) == scripted(FIRST, SECOND, LAST)


@each_loop
@pytest.mark.parametrize("text", ["Let me see.", ""], ids=["with a text", "calls alone"])
async def test_two_loops_on_one_branch_answer_their_own_calls(
    loop: Loop, text: str, db_path: Path
) -> None:
    first = replace(FIRST, text=text)
    async with scene(loop, first, first, LAST, LAST, path=db_path) as running:
        meeting(running, 4)
        answers = await asyncio.gather(running.ask("And to Oslo?"), running.ask("And to Bergen?"))

        assert running.server.refused == []
        assert [*answers] == [LAST.text, LAST.text]
        assert await kept(running.tract) == scripted(first, first, LAST, LAST)


@each_loop
@pytest.mark.parametrize("settling", [False, True], ids=["asked again", "settled"])
async def test_a_loop_goes_on_after_a_tool_has_raised(
    loop: Loop, settling: bool, db_path: Path
) -> None:
    async def fail(city: str) -> None:
        raise ConnectionError(city)

    async with scene(loop, FIRST, LAST, path=db_path) as running:
        running.tools["find_hotels"] = fail
        with pytest.raises(ConnectionError, match="Oslo"):
            await running.ask("How do I get to Oslo, and where do I stay?")
        opened = (await running.tract.compile()).open_calls
        if settling:
            await running.tract.settle(reason="The hotels do not answer.")
        answer = await running.ask("Never mind the hotel.")

        assert [call.name for call in opened] == ["find_flights", "find_hotels"]
        assert running.server.refused == []
        assert answer == LAST.text
        assert await kept(running.tract) == scripted(FIRST, LAST)


@each_loop
async def test_a_loop_goes_on_after_it_was_cancelled_in_its_tools(
    loop: Loop, db_path: Path
) -> None:
    async with scene(loop, FIRST, LAST, path=db_path) as running:
        started = asyncio.Event()

        async def hang(city: str) -> None:
            started.set()
            await asyncio.Event().wait()

        running.tools["find_hotels"] = hang
        asking = asyncio.create_task(running.ask("How do I get to Oslo, and where do I stay?"))
        await started.wait()
        asking.cancel()
        await asyncio.wait([asking])
        answer = await running.ask("Never mind the hotel.")

        assert asking.cancelled()
        assert running.server.refused == []
        assert answer == LAST.text
        assert await kept(running.tract) == scripted(FIRST, LAST)


each_end = pytest.mark.parametrize("cut", [False, True], ids=["cancelled", "cut off"])


async def end(running: Scene, asking: asyncio.Task[str], *, cut: bool) -> None:
    """End a held call: the client is cancelled, or the server closes the connection."""
    if cut:
        await running.server.close()
    else:
        asking.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait([asking])
    assert asking.cancelled() or asking.exception() is not None


@each_end
@each_loop
async def test_a_loop_goes_on_after_a_reply_that_never_came(
    loop: Loop, cut: bool, db_path: Path
) -> None:
    async with scene(loop, replace(FIRST, hold_after=0), LAST, path=db_path) as running:
        asking = asyncio.create_task(running.ask("How do I get to Oslo?"))
        await running.server.holding.wait()
        await end(running, asking, cut=cut)
        answer = await running.ask("Are you there?")

        assert running.server.refused == []
        assert answer == LAST.text
        assert await kept(running.tract) == scripted(LAST)


@each_end
@pytest.mark.parametrize(
    ("until", "arrived"),
    [
        ("ngs are", Answer(thinking="Two things are")),
        ("Let me ", replace(FIRST, text="Let me ", calls=())),
        ("find_hotels", replace(FIRST, calls=(FLIGHTS,))),
    ],
    ids=["thinking", "speaking", "calling"],
)
@each_stream
async def test_a_loop_goes_on_after_a_stream_that_broke_off_and_keeps_what_came(
    loop: Loop, until: str, arrived: Answer, cut: bool, db_path: Path
) -> None:
    events = events_of(loop.api, FIRST)
    number = next(n for n, event in enumerate(events, 1) if until in str(event.data))
    first = replace(FIRST, hold_after=number)
    if loop.api == "google.generate_content" and arrived.calls:  # whose calls come whole
        arrived = FIRST
    async with scene(loop, first, LAST, path=db_path) as running:
        asking = asyncio.create_task(running.ask("How do I get to Oslo, and where do I stay?"))
        await running.arrival(scripted(arrived))
        await end(running, asking, cut=cut)
        answer = await running.ask("Are you there?")

        assert running.server.refused == []
        assert answer == LAST.text
        assert await kept(running.tract) == scripted(arrived, LAST)


@pytest.mark.long
@each_stream
async def test_a_loop_goes_on_wherever_its_stream_breaks_off(loop: Loop, db_path: Path) -> None:
    events = range(1, len(events_of(loop.api, FIRST)))
    script = [each for n in events for each in (replace(FIRST, hold_after=n), LAST)]
    said: Said = []
    async with scene(loop, *script, path=db_path) as running:
        for number in events:
            running.server.holding.clear()
            asking = asyncio.create_task(running.ask(f"How do I get to Oslo? ({number})"))
            await running.server.holding.wait()
            await asyncio.sleep(0.02)  # what was sent arrives, or else is not kept
            await end(running, asking, cut=number % 2 == 0)
            said += running.arrived
            await running.ask("Are you there?")
            said += scripted(LAST)

        assert running.server.refused == []
        assert await kept(running.tract) == said
        assert len(said) > 2 * len(events)
