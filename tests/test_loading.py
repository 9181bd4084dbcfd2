"""The first store of a process loads what it needs on a thread, whoever opens it and how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

USED = """
import asyncio, sys, threading
from tract import AsyncTract, Priority, TractStore, config
loaded = {"on the loop": [], "elsewhere": []}
def note(event, arguments):
    if event == "import":
        here = threading.get_ident() == loop_thread
        loaded["on the loop" if here else "elsewhere"].append(arguments[0])
async def chunks():
    yield {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a reply"}}]}
async def use(path):
    async with TractStore.open(path) as store:
        tract = store.tract("t")
        assert (await tract.compile()).messages == []
        first = await tract.user("question " * 5_000, generation_config={"model": "m"})
        for role in ("system", "assistant"):
            await getattr(tract, role)("text")
        async with tract.batch() as batch:
            batch.commit({"content_type": "dialogue", "role": "user", "text": "one of a batch"})
        async with tract.stream() as stream:
            await stream.write("of a stream")
        async with tract.record_openai(chunks()) as chunk_by_chunk:
            assert len([chunk async for chunk in chunk_by_chunk]) == 1
        await tract.annotate(first.commit_hash, Priority.PINNED)
        context = await tract.compile()
        context.to_openai(), context.to_anthropic()
        other = await tract.fork("other")
        await other.user("theirs")
        await tract.user("ours")
        await tract.merge("other")
        await tract.diff("main", "other"), await tract.compare(["main", "other"])
        await tract.stats(), await tract.reflog(), await tract.tag("here"), await tract.origins()
        await tract.cherry_pick(first.commit_hash)
        await tract.compile(), await tract.record_usage({"prompt_tokens": 1, "completion_tokens": 1})
        await other.reset(first.commit_hash), await tract.get_content(first.commit_hash)
        await store.create_config_index("model")
        assert len(await tract.query_by_config("model", "=", "m")) == 2
        assert len(await tract.query(config("model") == "m")) == 2
        async for info in tract.watch():
            break
        assert (await tract.verify()).faults == ()
        assert await store.recover_streams() == []
async def main():
    global loop_thread
    loop_thread = threading.get_ident()
    sys.addaudithook(note)
    await use(sys.argv[1])
asyncio.run(main())
assert loaded["elsewhere"]
assert loaded["on the loop"] == [], loaded
"""


def test_no_call_imports_a_module_on_the_event_loop(db_path: Path) -> None:
    run(USED, db_path)


MANY = """
import asyncio, sys, threading
from tract import TractStore, loading
async def opened(path):
    async with TractStore.open(path):
        assert loading.is_loaded()
async def main(name):
    await asyncio.gather(*(opened(f"{sys.argv[1]}{name}{number}") for number in range(4)))
    ends.append(name)
ends = []
assert not loading.is_loaded()
threads = [threading.Thread(target=lambda name=name: asyncio.run(main(name))) for name in "ab"]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert sorted(ends) == ["a", "b"]
"""


def test_many_stores_may_be_the_first_at_once(db_path: Path) -> None:
    """Some in one event loop, some in another."""
    run(MANY, db_path)


CANCELLED = """
import asyncio, sys, threading
from tract import AsyncTract, loading
async def used():
    async with AsyncTract.open(sys.argv[1], tract_id="t") as tract:
        return await tract.user("hello")
async def main():
    first = asyncio.create_task(used())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled() and not loading.is_loaded()
    await used()
    assert loading.is_loaded()
asyncio.run(main())
for thread in threading.enumerate()[1:]:
    thread.join(10)  # some are about to end
assert threading.active_count() == 1
"""


def test_a_first_opening_that_is_cancelled_leaves_the_next_one_sound(db_path: Path) -> None:
    run(CANCELLED, db_path)


TAKEN = """
import asyncio, sys, threading
from concurrent.futures import ThreadPoolExecutor
from tract import AsyncTract
async def main():
    loop, done = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    taken = loop.run_in_executor(None, done.wait)
    async with asyncio.timeout(30), AsyncTract.open(sys.argv[1], tract_id="t"):
        done.set()
    assert await taken
asyncio.run(main())
"""


def test_the_threads_of_the_event_loop_are_not_needed(db_path: Path) -> None:
    """They may all be taken, and by callers who wait for the store."""
    run(TAKEN, db_path)


def run(program: str, path: Path) -> None:
    """Run *program* in an interpreter that has loaded nothing yet; it must have nothing to tell."""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert (child.stdout, child.stderr, child.returncode) == ("", "", 0)
