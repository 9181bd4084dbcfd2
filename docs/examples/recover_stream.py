"""Recover a reply whose process was killed while it arrived.

    python docs/examples/recover_stream.py

The program starts itself as a second process, which streams a reply; it kills that process and
recovers what had arrived.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tract import TractStore

WORDS = "It was a dark and stormy night and the last train had left an hour ago".split()


async def stream_slowly(path: Path) -> None:
    """Be the process that is killed: stream a reply that never ends."""
    async with TractStore.open(path) as store:
        tract = store.tract("novelist")
        await tract.user("Tell me a story.")
        async with tract.stream(generation_config={"model": "novelist-1"}) as stream:
            for word in WORDS:
                await stream.write(f"{word} ")
            await asyncio.sleep(1.5)  # what has arrived is spooled each second
            print("spooled", flush=True)
            await asyncio.sleep(3600)


async def main(path: Path) -> None:
    """Kill a process in the middle of its reply, and recover that some 15 seconds later."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    await child.stdout.readline()
    child.kill()
    await child.communicate()

    async with TractStore.open(path) as store:
        # Whether a process lives, another one cannot tell: its lease on the stream has to run out.
        for left in await store.recover_streams(wait=True):
            print("left on", left.tract_id, "-", left.text)
            [commit] = await left.commit()
            print("committed, marked with", commit.metadata)
        print("left now:", len(await store.recover_streams()))


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(stream_slowly(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(main(Path(folder) / "stories.db"))
