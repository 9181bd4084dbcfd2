"""Keep a copy of a branch elsewhere, here in a list, through merges and resets.

    python docs/examples/replica.py

The copy could as well be a table of another database, or a page that somebody looks at.
"""

from __future__ import annotations

import asyncio

from tract import AsyncTract, BranchReset, CommitInfo


class Replica:
    """A branch's commits in the order of its context."""

    def __init__(self) -> None:
        self.commits: list[CommitInfo] = []
        self.resets = 0
        self.changed = asyncio.Event()

    async def follow(self, tract: AsyncTract) -> None:
        """Follow the branch until the store is closed or this task is cancelled."""
        async for item in tract.watch(resets=True):
            if isinstance(item, BranchReset):
                hashes = [None, *(commit.commit_hash for commit in self.commits)]
                del self.commits[hashes.index(item.new_hash) :]
                self.resets += 1
            else:
                self.commits.append(item)
            self.changed.set()

    async def until(self, tract: AsyncTract) -> None:
        """Wait until the copy has caught up with the branch."""
        while True:
            self.changed.clear()  # before looking, so that nothing is missed meanwhile
            log = await tract.log(None, order="context")
            if self.commits[::-1] == log:
                return
            await self.changed.wait()


async def main() -> None:
    """Copy a branch while it is committed to, merged into and reset."""
    async with AsyncTract.open(tract_id="planner") as tract:
        replica = Replica()
        following = asyncio.create_task(replica.follow(tract))

        await tract.user("Book me a flight to Oslo.")
        asked = await tract.assistant("Which day?")
        helper = await tract.fork("helper")
        await helper.assistant("Fridays are cheaper.")
        await tract.user("Tuesday.")
        await tract.merge("helper")
        await replica.until(tract)
        print(len(replica.commits), "commits copied")

        await tract.reset(asked.commit_hash)
        await tract.user("Never mind.")
        await replica.until(tract)
        print(len(replica.commits), "after the reset,", replica.resets, "reset seen")
        following.cancel()


if __name__ == "__main__":
    asyncio.run(main())
