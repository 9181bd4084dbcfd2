"""Telling other processes which branches have moved, and learning it from them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256

from tract.storage.postgres.connections.links import Links, Raw, drop, is_alive, is_due
from tract.storage.postgres.errors import DRIVER_ERRORS, LOSSES
from tract.storage.repositories import BranchName

__all__ = ["News"]

_EVERY = 0.01
"""Seconds between notifications, at least. One in each commit would cost a writer a fifth of its speed or
more: the server commits transactions that notify one after the other."""
_MOST = 7_000  # bytes; the server takes 8,000
_RETRY = 1.0  # seconds until another attempt to listen
_LINGER = 3.0
"""Seconds that a store goes on listening when nobody has watched: each commit would wake it."""


class News:
    """Notifies, and listens, over a connection of its own. Both are hints: `heads` finds all."""

    def __init__(self, links: Links, schema: str) -> None:
        self._links = links
        self._channel = f"tract_{sha256(schema.encode()).hexdigest()[:16]}"
        self._raw: Raw | None = None
        self._used = 0.0
        self._until = float("-inf")
        self._listens = False
        """Whether there are watchers, at least until lately."""
        self._hears = False
        """Whether the connection listens."""
        self._timer: asyncio.TimerHandle | None = None
        self._moved: dict[BranchName, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._callback: Callable[[Iterable[BranchName]], None] | None = None
        self.closed: bool = False

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """Call *callback* with branches that other processes have moved."""
        self._callback = callback

    def tell(self, moved: Iterable[BranchName]) -> None:
        """Tell others of *moved* branches, soon."""
        self._moved.update(dict.fromkeys(moved))
        self._work()

    def listen(self) -> None:
        """Learn of others' moves for a while."""
        self._until = asyncio.get_running_loop().time() + _LINGER
        if self._listens or self.closed:
            return
        self._listens = True
        self._look()
        self._work()

    def _look(self) -> None:
        """Stop listening if this was not asked for lately; else see that the connection is alive."""
        loop = asyncio.get_running_loop()
        if self._until > loop.time():
            self._timer = loop.call_at(self._until, self._look)
            if is_due(self._used):
                self._work()
            return
        self._listens, self._timer = False, None
        self._work()

    def _work(self) -> None:
        if self._task is None and not self.closed:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            raw = await self._connected()
            await self._attend(raw)
            await self._notify(raw)
            await asyncio.sleep(_EVERY)
        except LOSSES:
            await self._drop()
            await asyncio.sleep(_RETRY)
        finally:
            self._task = None
        if self._moved or self._listens is not self._is_heard:
            self._work()

    @property
    def _is_heard(self) -> bool:
        return self._hears and self._raw is not None and not self._raw.is_closed()

    async def _attend(self, raw: Raw) -> None:
        """Listen while there are watchers."""
        if self._listens and not self._hears:
            self._hears = True  # first: cut short, it may listen already
            await raw.add_listener(self._channel, self._heard)
        elif self._hears and not self._listens:
            await raw.remove_listener(self._channel, self._heard)
            self._hears = False

    async def _notify(self, raw: Raw) -> None:
        moved, self._moved = self._moved, {}
        try:
            for payload in _payloads(moved):
                await raw.execute("SELECT pg_notify($1, $2)", self._channel, payload)
        except BaseException:
            self._moved = moved | self._moved
            raise

    async def _connected(self) -> Raw:
        if self._raw is not None and not await is_alive(self._raw, self._used):
            await self._drop()
        if self._raw is None:
            self._raw = await self._links.connect()
            self._raw.add_termination_listener(self._lost)
        self._used = time.monotonic()
        return self._raw

    def _lost(self, raw: object) -> None:
        """Listen again over another connection; what is missed meanwhile, `heads` finds."""
        if raw is self._raw and self._listens:
            self._work()

    async def _drop(self) -> None:
        raw, self._raw, self._hears = self._raw, None, False
        if raw is not None:
            raw.terminate()
            await self._links.close(raw)

    def _heard(self, raw: object, sender: int, channel: str, payload: object) -> None:
        own = self._raw is not None and sender == self._raw.get_server_pid()
        if own or self._callback is None:
            return
        try:
            named = [
                BranchName(str(tract_id), str(branch))
                for tract_id, branch in json.loads(str(payload))
            ]
        except (ValueError, TypeError):
            return  # somebody else's use of the channel
        self._callback(named)

    async def aclose(self) -> None:
        """Tell what is left to tell, and close the connection."""
        self._end()
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        raw, self._raw = self._raw, None
        if raw is not None:
            with suppress(*DRIVER_ERRORS):
                await self._notify(raw)
                if self._hears:
                    await raw.remove_listener(self._channel, self._heard)
            await self._links.close(raw)

    def _end(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()

    def abandon(self) -> None:
        """Close without waiting."""
        self._end()
        if self._raw is not None:
            drop(self._raw)


def _payloads(moved: Iterable[BranchName]) -> Iterable[str]:
    """Return the branches as JSON texts that the server takes."""
    part: list[str] = []
    size = 2
    for branch in moved:
        text = json.dumps([branch.tract_id, branch.branch], ensure_ascii=False)
        nbytes = len(text.encode()) + 1
        if size + nbytes > _MOST and part:
            yield f"[{','.join(part)}]"
            part, size = [], 2
        part.append(text)
        size += nbytes
    if part:
        yield f"[{','.join(part)}]"
