"""Locks that no interrupted task can keep."""

from __future__ import annotations

import asyncio

import pytest

from tract.running.waiting import Lock


class Holders:
    """Tasks that hold a lock until they are told to go."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self.came: list[int] = []
        self.inside: int = 0
        self.go: asyncio.Event = asyncio.Event()

    async def hold(self, number: int) -> None:
        async with self._lock:
            self.came.append(number)
            self.inside += 1
            await self.go.wait()
            await asyncio.sleep(0)
            self.inside -= 1


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("most", [1, 4])
async def test_a_lock_admits_its_number_of_tasks_in_the_order_in_which_they_came(most: int) -> None:
    holders = Holders(Lock(most))
    tasks = [asyncio.create_task(holders.hold(number)) for number in range(10)]
    await turns()

    assert holders.came == [*range(most)]
    holders.go.set()
    while not all(task.done() for task in tasks):
        assert holders.inside <= most
        await asyncio.sleep(0)
    assert holders.came == [*range(10)]


async def test_a_task_cancelled_in_the_queue_holds_up_no_other() -> None:
    holders = Holders(Lock())
    tasks = [asyncio.create_task(holders.hold(number)) for number in range(5)]
    await turns()
    tasks[1].cancel()
    tasks[3].cancel()
    holders.go.set()
    async with asyncio.timeout(20):
        await asyncio.wait(tasks)

    assert holders.came == [0, 2, 4]


async def test_a_task_cancelled_just_as_it_gets_the_lock_passes_it_on() -> None:
    holders = Holders(Lock())
    tasks = [asyncio.create_task(holders.hold(number)) for number in range(3)]
    await turns()
    holders.go.set()
    await tasks[0]
    tasks[1].cancel()
    async with asyncio.timeout(20):
        await asyncio.wait(tasks)

    assert holders.came[-1] == 2


async def test_the_end_of_a_task_releases_a_lock_that_it_took() -> None:
    """As when an interrupt comes between taking it and the block that releases it."""
    lock = Lock()

    async def take() -> None:
        await lock.__aenter__()
        await turns()

    holders = Holders(lock)
    holders.go.set()
    taking, waiting = asyncio.create_task(take()), asyncio.create_task(holders.hold(1))
    await taking
    async with asyncio.timeout(20):
        await waiting
        await holders.hold(2)

    assert holders.came == [1, 2]
