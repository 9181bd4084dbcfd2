"""Tool turns killed at each of their steps: every API takes what is left, and no call is hidden.

An agent's loop goes on over one file through several processes, each of which is killed: while it
opens, while a reply arrives, before, within and after the commit of a reply or of a result.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from providers.validators import APIS, problems
from torture.checks import COUNTER, check_chain, check_commits, check_tract
from torture.children import child
from torture.model import Fault, Report
from torture.turner import MODELS, STEPS, TRACT
from tract import AsyncTract, CompiledContext, Message, ToolCallPart, ToolResultPart, TractError

__all__ = ["FAULTS"]

_LINES = 24  # what a process tells in its first turn, about
_TOOLS = [
    {"name": name, "input_schema": {"type": "object"}} for name in ("find_flights", "find_hotels")
]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many processes are killed, so many of them on each file."""

    kills: int
    each: int


@dataclass(slots=True)
class _Told:
    """What the processes on one file told before they were killed."""

    commits: list[str] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    last: str = ""

    def add(self, step: str, *facts: Any) -> None:
        """Note one step."""
        self.last = step
        match step, facts:
            case "asked", [commit_hash]:
                self.commits.append(commit_hash)
            case "recorded", [hashes, calls, _]:
                self.commits += hashes
                self.calls |= set(calls)
            case "answered", [commit_hash, call]:
                self.commits.append(commit_hash)
                self.answered.add(call)


async def run(report: Report, sizes: Sizes, rng: Random) -> None:
    """Kill processes in their turns, and look after each at what a model would be sent."""
    steps: Counter[str] = Counter()
    told = _Told()
    async with child("turner") as forking:
        for number in range(sizes.kills):
            path = report.folder / f"{number // sizes.each}.db"
            if number % sizes.each == 0:
                told = _Told()
                await _begin(path)
            await _kill_one(report, forking, (path, number, rng), told)
            steps[told.last] += 1
            report.faults += 1
            is_last = number % sizes.each == sizes.each - 1 or number == sizes.kills - 1
            await _examine(report, path, told, thoroughly=is_last)
            report.tell(f"{number + 1} of {sizes.kills}, last told {dict(steps)}")
    if sizes.kills >= 100:
        report.check(set(steps) == set(STEPS), f"killed after {dict(steps)} alone")


async def _begin(path: Path) -> None:
    async with AsyncTract.open(path, tract_id=TRACT, tokenizer=COUNTER) as tract:
        await tract.system("You are a travel agent.")
        await tract.tools(_TOOLS)
        await tract.user("Hello.")


async def _kill_one(
    report: Report, forking: Process, job: tuple[Path, int, Random], told: _Told
) -> None:
    """Have a process forked, and kill it a moment after one of its steps."""
    path, number, rng = job
    assert forking.stdin is not None
    assert forking.stdout is not None
    line = json.dumps([str(path), number, f"{rng.random()}"])
    forking.stdin.write(line.encode() + b"\n")
    _, pid = json.loads(await forking.stdout.readline())
    told.last = "started"
    steps = rng.randrange(_LINES)
    while steps and told.last not in ("ended", "failed"):
        told.add(*json.loads(await forking.stdout.readline()))
        steps -= 1
    await asyncio.sleep(rng.choice((0.0, rng.uniform(0, 0.004))))
    if told.last not in ("ended", "failed"):
        os.kill(pid, signal.SIGKILL)
    while (last := json.loads(await forking.stdout.readline()))[0] != "ended":
        told.add(*last)
    report.check(last[1] == -signal.SIGKILL, f"a process was not killed: {told.last} {last}")


async def _examine(report: Report, path: Path, told: _Told, *, thoroughly: bool) -> None:
    """Open what was left, and look at the context and at the requests made from it."""
    try:
        async with AsyncTract.open(path, tract_id=TRACT, tokenizer=COUNTER) as tract:
            context = await tract.compile()
            _check_calls(report, context, told)
            for api in APIS:
                _check_request(report, context, api)
            if thoroughly:
                await check_commits(report, tract, told.commits)
                check_chain(report, await tract.log(None))
                await check_tract(report, tract)
    except TractError as error:
        report.check_usable(False, f"{path.name}: {error!r}")


def _check_calls(report: Report, context: CompiledContext, told: _Told) -> None:
    """Check that the context has each call that was recorded, and knows those without a result."""
    calls, answered = {*_calls(context.messages)}, {*_answered(context.messages)}
    opened = [str(call.id) for call in context.open_calls]
    report.check(told.calls <= calls, f"calls hidden: {told.calls - calls}")
    report.check(told.answered <= answered, f"results hidden: {told.answered - answered}")
    report.check(
        sorted(opened) == sorted(calls - answered), f"open: {opened}, not {calls - answered}"
    )


def _calls(messages: Iterable[Message]) -> Iterator[str]:
    parts = (part for message in messages for part in message.parts)
    return (str(part.id) for part in parts if isinstance(part, ToolCallPart))


def _answered(messages: Iterable[Message]) -> Iterator[str]:
    parts = (part for message in messages for part in message.parts)
    return (str(part.call_id) for part in parts if isinstance(part, ToolResultPart))


def _check_request(report: Report, context: CompiledContext, api: str) -> None:
    """Check that an API takes the context, with every call in it."""
    request = context.request(api, model=MODELS[api])
    found = problems(api, {"model": MODELS[api], **request}, model=MODELS[api])
    report.check(not found, f"{api} refuses {context.head_hash}: {found[:3]}")
    sent, calls = json.dumps(request), [*_calls(context.messages)]
    count = sum(sent.count(f'"{key}"') for key in _CALLS[api])
    report.check(count == len(calls), f"{api} gets {count} of {len(calls)} calls")


_CALLS = {
    "openai.chat": ("arguments",),
    "openai.responses": ("function_call",),
    "anthropic.messages": ("tool_use",),
    "google.generate_content": ("functionCall", "function_call"),
}
"""What each call in a request has once."""

FAULTS = (
    Fault("turns", "tool turns killed at each of their steps", run, Sizes(1000, 10), Sizes(10, 5)),
)
