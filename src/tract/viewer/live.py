"""Telling the page that a tract has changed, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from tract import AsyncTract, TractError
from tract.viewer.reading import TractReader
from tract.viewer.shapes import Shape

__all__ = ["changes"]

LOOK = 1.0
"""After how many seconds branches and tags are looked at, if no watch has noticed a commit."""
WATCHED = 32
"""How many branches are watched; changes of the others show at the next look."""
_PING = 15.0


async def changes(reader: TractReader, closing: asyncio.Event) -> AsyncIterator[str]:
    """Yield the branches and tags of a tract now, and again whenever they have changed.

    It ends once *closing* is set, or the store is closed.
    """
    news = asyncio.Event()
    ending = asyncio.create_task(_pass_on(closing, news))
    watches: dict[str, asyncio.Task[None]] = {}
    told: Shape | None = None
    loop = asyncio.get_running_loop()
    last = loop.time()
    try:
        while not closing.is_set():
            news.clear()
            refs = await reader.refs()
            _follow(reader.tract, refs, watches, news)
            if refs != told:
                told, last = refs, loop.time()
                yield f"data: {json.dumps(refs)}\n\n"
            elif loop.time() - last > _PING:
                last = loop.time()
                yield ": still here\n\n"
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), LOOK)
    except TractError:  # the store was closed
        return
    finally:
        for each in (ending, *watches.values()):
            each.cancel()
        await asyncio.gather(ending, *watches.values(), return_exceptions=True)


async def _pass_on(closing: asyncio.Event, news: asyncio.Event) -> None:
    await closing.wait()
    news.set()


def _follow(
    tract: AsyncTract, refs: Shape, watches: dict[str, asyncio.Task[None]], news: asyncio.Event
) -> None:
    """Watch the branches that moved last; those watched before stay watched while there is room."""
    for name in [each["name"] for each in refs["branches"]]:
        if len(watches) >= WATCHED:
            return
        if name not in watches:
            watches[name] = asyncio.create_task(_watch(tract.on(name), news))


async def _watch(branch: AsyncTract, news: asyncio.Event) -> None:
    with suppress(TractError):  # the looks go on without it
        async for _ in branch.watch(after="head", resets=True):
            news.set()
