"""`Upkeep`: the tasks of a store that maintain its branches by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import Context

from tract.engine.compaction.maintaining import Maintainer
from tract.exceptions import StoreClosedError
from tract.models.config import MaintenanceConfig
from tract.running.crossing import called_back
from tract.running.lifecycle import CallGate, ended
from tract.running.waiting import Lock
from tract.storage.repositories import BranchName

__all__ = ["Upkeep"]

_AT_ONCE = 4
"""How many branches of a store are maintained at a time."""
_REST, _LONGEST_REST = 30, 0.25
"""How long one of these rests, in times of what its last branch took, and in seconds at most.

So looking at branches takes a few hundredths of a store's time, however many move how often: what
is committed meanwhile shares the next look. Models take longer than that to reply.
"""


class Upkeep:
    """Maintains the branches that this store has moved, each by one task at a time.

    A branch is looked at as soon as it moves; if it goes on moving, a few times a second. The tasks
    run in the store's event loop, and in no caller's context. Closing cancels them: a shortening
    that they were at has not been written, and any later call may do it.
    """

    def __init__(self, maintainer: Maintainer, gate: CallGate, config: MaintenanceConfig) -> None:
        self._maintainer = maintainer
        self._gate = gate
        self._config = config
        self._tasks: dict[BranchName, asyncio.Task[None]] = {}
        self._again: set[BranchName] = set()
        self._turns = Lock(_AT_ONCE)
        self._closed = False

    def moved(self, branches: Iterable[BranchName]) -> None:
        """Look at branches, soon; one without a name is a tract's that was erased from."""
        for branch in branches:
            if self._closed or not branch.branch:
                continue
            if branch in self._tasks:
                self._again.add(branch)
            else:
                self._begin(branch)

    def _begin(self, branch: BranchName) -> None:
        work = self._work(branch)
        self._tasks[branch] = task = self._gate.loop.create_task(work, context=Context())
        task.add_done_callback(lambda _: self._over(branch))

    def _over(self, branch: BranchName) -> None:
        del self._tasks[branch]
        if branch in self._again and not self._closed:
            self._again.discard(branch)
            self._begin(branch)

    async def _work(self, branch: BranchName) -> None:
        async with self._turns:
            begun = self._gate.loop.time()
            self._again.discard(branch)  # what has moved it until now is seen below
            try:
                with self._gate.call():
                    await self._maintainer.maintain(branch, self._config.summarise, None)
            except StoreClosedError:
                pass  # closing has begun
            except Exception as error:  # whatever it is, the next commit tries again
                await self._report(error, branch)
            took = self._gate.loop.time() - begun
            await asyncio.sleep(min(_REST * took, _LONGEST_REST))

    async def _report(self, error: Exception, branch: BranchName) -> None:
        try:
            if self._config.on_error is not None:
                await called_back(self._config.on_error, error, *branch[:2])
                return
        except Exception as another:
            another.__context__ = error
            error = another
        self._gate.loop.call_exception_handler(
            {"message": f"tract could not maintain {branch[:2]!r}", "exception": error}
        )

    async def aclose(self) -> None:
        """Cancel the tasks and wait for their ends; none begins afterwards."""
        self._closed = True
        for task in [*self._tasks.values()]:
            task.cancel()
            await ended(task)
