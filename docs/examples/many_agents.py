"""Fifty agents on one store: each on a tract of its own, and all on a shared one.

python docs/examples/many_agents.py [agents.db]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tract import HeadMovedError, TractStore

AGENTS = 50


async def work(store: TractStore, number: int) -> int:
    """Take some notes for oneself, then report; return how often somebody else was faster."""
    own = store.tract(f"agent-{number}")
    await own.system(f"You are agent {number}.")
    async with asyncio.TaskGroup() as group:
        for note in range(5):
            group.create_task(own.assistant(f"Note {note}."))

    board = store.tract("board")
    retries = 0
    while True:
        context = await board.compile()
        report = f"Agent {number} comes after {context.commit_count} others."
        try:
            await board.assistant(report, expected_head=context.head_hash)
        except HeadMovedError:  # the report would be wrong: look again
            retries += 1
        else:
            return retries


async def main(path: str | Path) -> None:
    """Run all agents at once, and check what they have done."""
    async with TractStore.open(path) as store:
        retries = await asyncio.gather(*(work(store, number) for number in range(AGENTS)))

        board = await store.tract("board").compile(aggregate_same_role=False)
        places = [int((message.content or "").split()[-2]) for message in board.messages]
        print("in order:", places == list(range(AGENTS)))
        print("tracts:", len(await store.tract_ids()))
        print("reports written again:", sum(retries))
        print("faults:", len((await store.tract("board").verify()).faults))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(sys.argv[1] if sys.argv[1:] else Path(folder) / "agents.db"))
