"""The ways in which a call is cancelled, at a moment that is chosen beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import anyio

__all__ = ["CANCELLERS", "PATIENCE", "Call", "Canceller", "Moment", "Outcome"]

PATIENCE = 30.0  # seconds after which a call hangs
_CANCELLED = object()

Call = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Moment:
    """A number of turns of the event loop and, for the threads to get on, a time."""

    turns: int
    seconds: float
    again: int
    """Turns until a second cancellation."""

    @classmethod
    def chosen(cls, rng: Random) -> Moment:
        """Choose: often so early that the call has hardly begun, sometimes late.

        A transaction is away for about half a millisecond.
        """
        turns = rng.choice([0, rng.randrange(4), rng.randrange(16)])
        seconds = rng.choice([0.0, rng.uniform(0, 0.0008), rng.uniform(0, 0.004)])
        return cls(turns, seconds, rng.randrange(4))

    async def come(self) -> None:
        """Wait for it."""
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.seconds:
            await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: it gave a value, or an error, or neither because it was cancelled."""

    finished: bool
    value: Any = None
    problem: str = ""


async def by_cancel(call: Call, moment: Moment) -> Outcome:
    task = asyncio.ensure_future(call())
    await moment.come()
    task.cancel()
    return await _ended(task)


async def by_cancelling_twice(call: Call, moment: Moment) -> Outcome:
    task = asyncio.ensure_future(call())
    await moment.come()
    task.cancel()
    for _ in range(moment.again):
        await asyncio.sleep(0)
    task.cancel()
    return await _ended(task)


async def by_timeout(call: Call, moment: Moment) -> Outcome:
    async def limited() -> Any:
        try:
            async with asyncio.timeout(moment.seconds):
                return await call()
        except TimeoutError:
            return _CANCELLED

    return await _ended(asyncio.create_task(limited()))


async def by_moving_on(call: Call, moment: Moment) -> Outcome:
    async def limited() -> Any:
        value = _CANCELLED
        with anyio.move_on_after(moment.seconds):
            value = await call()
        return value

    return await _ended(asyncio.create_task(limited()))


async def by_sibling(call: Call, moment: Moment) -> Outcome:
    """Cancel by a task that fails in the same group."""

    class SiblingError(Exception):
        pass

    async def fail() -> None:
        await moment.come()
        raise SiblingError

    async def together() -> Any:
        task: asyncio.Future[Any] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(_awaited(call))
                group.create_task(fail())
        except* SiblingError:
            pass
        assert task is not None
        return _CANCELLED if task.cancelled() else task.result()

    return await _ended(asyncio.create_task(together()))


async def _awaited(call: Call) -> Any:
    return await call()


async def _ended(task: asyncio.Future[Any]) -> Outcome:
    """Wait for *task*, but not for ever."""
    await asyncio.wait([task], timeout=PATIENCE)
    if not task.done():
        return Outcome(finished=False, problem=f"still runs {PATIENCE} s after it was cancelled")
    if task.cancelled():
        return Outcome(finished=False)
    error = task.exception()
    if error is not None:
        return Outcome(finished=False, problem=f"raised {error!r}")
    value = task.result()
    return Outcome(finished=value is not _CANCELLED, value=value)


Canceller = Callable[[Call, Moment], Awaitable[Outcome]]
CANCELLERS: dict[str, Canceller] = {
    "cancel": by_cancel,
    "cancel, twice": by_cancelling_twice,
    "asyncio.timeout": by_timeout,
    "anyio.move_on_after": by_moving_on,
    "a failing sibling": by_sibling,
}
