"""Forks processes that take turns of an agent with tools, and tell each step; they end when killed.

`python -m torture.turner` reads a job a line, `[PATH, RUN, SEED]`, and forks a process for it that
opens the store at PATH. What it tells begins with the step's name. Nothing is open when it forks.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from itertools import count
from random import Random
from typing import Any

from providers.answers import Answer, Call
from providers.servers import SPEAKERS
from torture.checks import COUNTER
from tract import AsyncTract, CommitInfo, OpenCall, ToolIOContent

__all__ = ["MODELS", "STEPS", "TRACT"]

TRACT = "agent"
MODELS = {
    "openai.chat": "gemini-3-pro-preview",
    "openai.responses": "gpt-5.4",
    "anthropic.messages": "claude-sonnet-5-5",
    "google.generate_content": "gemini-3-pro-preview",
}
STEPS = ("started", "opened", "asked", "arriving", "recorded", "answered")

_PLACES = ("Oslo", "Moss", "Bergen")
_ANSWERS = (
    Answer(
        thinking="Where to begin?",
        text="I look up all three.",
        calls=tuple(Call("find_flights", {"to": place}) for place in _PLACES),
    ),
    Answer(thinking="One is left.", calls=(Call("find_hotels", {"city": "Oslo"}),)),
    Answer(text="Fly at 09:40."),
)


def _tell(step: str, *facts: object) -> None:
    """Write a line; it is shorter than PIPE_BUF, so it comes whole."""
    os.write(1, json.dumps([step, *facts]).encode() + b"\n")


async def _take_turns(path: str, run: int, seed: str) -> None:
    dice = Random(seed)
    numbers = count(run * 1000)
    async with AsyncTract.open(path, tract_id=TRACT, tokenizer=COUNTER) as tract:
        if dice.random() < 0.5:
            await tract.settle(reason="The process was killed.")
        _tell("opened")
        while True:
            api = dice.choice([*SPEAKERS])
            asked = await tract.user(f"How do I get there? ({run})")
            _tell("asked", asked.commit_hash)
            for answer in _ANSWERS:
                reply = await _reply(tract, api, answer, next(numbers), dice)
                made = {commit.commit_hash for commit in reply}
                open_calls = (await tract.compile()).open_calls
                own = [call for call in open_calls if call.commit_hash in made]
                _tell("recorded", [*made], [call.id for call in own], len(answer.calls))
                dice.shuffle(own)
                for call in own:
                    result = await tract.commit(_result(call))
                    _tell("answered", result.commit_hash, call.id)


async def _reply(
    tract: AsyncTract, api: str, answer: Answer, number: int, dice: Random
) -> list[CommitInfo]:
    """Commit what the model answers, whole or as a stream."""
    context = await tract.compile()
    request = context.request(api, model=MODELS[api])
    whole = SPEAKERS[api].whole(answer, number, {"model": MODELS[api], **request})
    if dice.random() < 0.5:
        return await tract.record(whole, head_hash=context.head_hash)
    events = [event.data for event in SPEAKERS[api].events(whole)]
    async with tract.record_stream(_arriving(events), head_hash=context.head_hash) as recording:
        async for _ in recording:
            pass
    return recording.commits


async def _arriving(events: list[Any]) -> AsyncIterator[Any]:
    for number, event in enumerate(events):
        if number % 8 == 1:
            _tell("arriving")
            await asyncio.sleep(0)
        yield event


def _result(call: OpenCall) -> ToolIOContent:
    return ToolIOContent(
        tool_name=call.name,
        direction="result",
        payload=f"Of {call.arguments}: none.",
        call_id=call.id,
    )


def _jobs() -> Iterator[tuple[str, int, str]]:
    for line in sys.stdin:
        path, run, seed = json.loads(line)
        yield path, run, seed


def _main() -> None:
    for job in _jobs():
        pid = os.fork()
        if pid:
            _, status = os.waitpid(pid, 0)
            _tell("ended", os.waitstatus_to_exitcode(status))
            continue
        _tell("started", os.getpid())
        try:
            asyncio.run(_take_turns(*job))
        except BaseException:
            _tell("failed", traceback.format_exc()[-2000:])
        os._exit(1)


if __name__ == "__main__":
    _main()
