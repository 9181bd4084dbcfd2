"""Forked processes: what the parent has open is refused in the child, and nothing else is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.opening import COUNTER
from tract import AsyncTract

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no process forks here")

_PRELUDE = """
import asyncio, gc, os, selectors, sqlite3, sys, threading, time
from pathlib import Path
from sqlalchemy.ext.asyncio import create_async_engine
from support.forking import child, commit, committed, opened, refuses
from support.opening import COUNTER
from tract import AsyncTract, TractStore
path = Path(sys.argv[1])
other = path.with_name("other.db")

def opening(target=path):
    return AsyncTract.open(target, tract_id="t", tokenizer=COUNTER)
"""


def run(code: str, path: Path, *options: str) -> list[str]:
    """Run a script to its end, which must be a good and silent one, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", *options, "-c", _PRELUDE + code, path],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


async def is_sound(path: Path, commits: int) -> bool:
    async with AsyncTract.open(path, tract_id="t", tokenizer=COUNTER) as tract:
        return len(await tract.log(None)) == commits and (await tract.verify()).faults == ()


# What is refused


_NAMES = """
async def main():
    link, hard = path.with_name("link.db"), path.with_name("hard.db")
    link.symlink_to(path)
    async with opening() as tract:
        await tract.user("parent")
        os.link(path, hard)
        os.chdir(path.parent)
        for name in (path, path.name, link, hard, f"sqlite:///{path}",
                     f"sqlite:///file:{path}?uri=true"):
            print(child(lambda: opened(name)))
        await tract.user("parent")
asyncio.run(main())
"""


async def test_a_file_open_at_the_fork_is_refused_in_the_child_by_whatever_name(
    db_path: Path,
) -> None:
    assert run(_NAMES, db_path) == ["ForkedProcessError"] * 6
    assert await is_sound(db_path, 2)


_OPENERS = """
async def by_engine():
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SELECT 1 FROM sqlite_schema")
        print(child(lambda: opened(path)))
    await engine.dispose()

async def by_us():
    tract = await opening()
    print(child(lambda: opened(path)))
    await tract.aclose()

asyncio.run(commit(path))
connection = sqlite3.connect(path)
print(child(lambda: opened(path)))
connection.execute("SELECT 1 FROM sqlite_schema")
print(child(lambda: opened(path)))
connection.close()
asyncio.run(by_engine())
asyncio.run(by_us())
print(child(lambda: opened(path)))
"""


async def test_whoever_has_the_file_open_at_the_fork_it_is_refused(db_path: Path) -> None:
    assert run(_OPENERS, db_path) == [*["ForkedProcessError"] * 4, "committed"]
    assert await is_sound(db_path, 2)


_ENGINES = """
async def by_engine(url, connect_args={}):
    engine = create_async_engine(url, connect_args=connect_args)
    async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
        await store.tract("t").user("hello")
    await engine.dispose()
    return "committed"

async def by_the_parents(engine):
    async with TractStore.from_engine(engine, tokenizer=COUNTER):
        pass

async def main():
    engines = [create_async_engine(url) for url in (f"sqlite+aiosqlite:///{path}", "sqlite+aiosqlite://")]
    for engine in engines:
        async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
            await store.tract("t").user("parent")
    for engine in engines:
        print(child(lambda: asyncio.run(by_the_parents(engine))))
    print(child(lambda: asyncio.run(by_engine(f"sqlite+aiosqlite:///{path}"))))
    print(child(lambda: asyncio.run(by_engine(f"sqlite+aiosqlite:///file:{path}?uri=true"))))
    print(child(lambda: asyncio.run(by_engine(f"sqlite+aiosqlite:///{other}"))))
    print(child(lambda: asyncio.run(by_engine("sqlite+aiosqlite://"))))
    for engine in engines:
        await engine.dispose()
asyncio.run(main())
"""


async def test_an_engine_is_refused_as_a_path_is(db_path: Path) -> None:
    assert run(_ENGINES, db_path) == [*["ForkedProcessError"] * 4, *["committed"] * 2]


_WITHOUT_HOOKS = """
import ctypes
os.fork = ctypes.PyDLL(None).fork  # with the GIL: no other thread holds it in the child
async def main():
    async with opening() as tract:
        await tract.user("parent")
        print(child(lambda: opened(path)))
asyncio.run(main())
"""


async def test_a_fork_that_python_is_not_told_of_is_noticed_at_opening(db_path: Path) -> None:
    assert run(_WITHOUT_HOOKS, db_path) == ["ForkedProcessError"]
    assert await is_sound(db_path, 1)


_CLOSED_ALL = """
def daemon():
    os.closerange(3, 60)
    return opened(path)

async def main():
    async with opening() as tract:
        await tract.user("parent")
        reading = os.dup2(1, 100)
        pid = os.fork()
        if not pid:
            try:
                daemon()
            except BaseException as error:
                os.write(100, f"{type(error).__name__}\\n".encode())
            os._exit(0)
        os.waitpid(pid, 0)
asyncio.run(main())
"""


async def test_a_child_that_has_closed_all_descriptors_is_refused_all_the_same(
    db_path: Path,
) -> None:
    """As programs do that become daemons; SQLite's table knows nothing of it."""
    assert run(_CLOSED_ALL, db_path) == ["ForkedProcessError"]
    assert await is_sound(db_path, 1)


_FULL = """
import resource
from contextlib import suppress
def fill(most):
    with suppress(OSError):
        while len(filling) < most:
            filling.append(os.open("/dev/null", os.O_RDONLY))

def free():
    while filling:
        os.close(filling.pop())
    return opened(path)

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (5000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    fill(4200)
    async with opening() as tract:
        await tract.user("parent")
        fill(5000)
        os.close(filling.pop())
        os.close(filling.pop())  # for the pipe to the child
        print(child(free))
        while filling:
            os.close(filling.pop())
filling = []
asyncio.run(main())
"""


async def test_a_fork_with_no_descriptor_left_to_list_them_forgets_no_file(db_path: Path) -> None:
    assert run(_FULL, db_path) == ["ForkedProcessError"]
    assert await is_sound(db_path, 1)


# What is not


_OTHERS = """
def grandchild():
    tract = asyncio.new_event_loop().run_until_complete(opening(other))
    return " ".join(child(lambda: opened(item)) for item in (path, other, other.with_name("third.db")))

async def main():
    tract = await opening()
    await tract.user("parent")
    gone = await opening(other)
    await gone.aclose()
    print(child(lambda: opened(other)))
    print(child(lambda: opened(":memory:")))
    print(child(lambda: opened(path.with_name("new.db"))))
    print(child(grandchild))
    await tract.aclose()
    print(child(lambda: opened(path)))
asyncio.run(main())
"""


async def test_a_child_and_its_children_may_open_what_their_parents_had_not(db_path: Path) -> None:
    assert run(_OTHERS, db_path) == [
        *["committed"] * 3,
        "ForkedProcessError ForkedProcessError committed",
        "committed",
    ]
    assert await is_sound(db_path, 2)


_SPAWNED = """
import multiprocessing
async def main():
    async with opening() as tract:
        await tract.user("parent")
        for method in ("spawn", "forkserver"):
            worker = multiprocessing.get_context(method).Process(target=opened, args=(path,))
            worker.start()
            await asyncio.to_thread(worker.join)
            print(worker.exitcode)
if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_processes_that_are_spawned_open_the_same_file(db_path: Path) -> None:
    assert run(_SPAWNED, db_path) == ["0", "0"]
    assert await is_sound(db_path, 3)


# The store that the child inherits


_INHERITED = """
async def all_refused(tract, stream, store):
    calls = (tract.user("no"), tract.compile(), tract.head(), tract.log(), tract.verify(),
             tract.fork("b"), stream.write("no"), store.tract_ids(),
             store.tract("u").user("no"), store.aclose())
    return [await refuses(call) for call in calls] == [True] * 10

async def main():
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        await tract.user("parent")
        async with tract.stream() as stream:
            await stream.write("begun")
            print(child(lambda: asyncio.run(all_refused(tract, stream, store))))
            await stream.write(" and ended")
        print((await tract.compile()).messages[-1].content)
if policy:
    asyncio.set_event_loop_policy(__import__(policy).EventLoopPolicy())
asyncio.run(main())
"""


@pytest.mark.parametrize("policy", ["", "uvloop"])
async def test_every_call_on_an_inherited_store_is_refused(db_path: Path, policy: str) -> None:
    told = run(f"policy = {policy!r}" + _INHERITED, db_path)

    assert told == ["True", "begun and ended"]
    assert await is_sound(db_path, 2)


_LOOP = """
async def main():
    async with opening() as tract:
        await tract.user("parent")
        print(child(lambda: tract.user("no").send(None)))
        print(child(lambda: tract.stream()))
        print(child(lambda: tract.watch()))
asyncio.run(main())
"""


async def test_a_child_that_goes_on_with_its_parents_loop_is_refused_as_well(db_path: Path) -> None:
    assert run(_LOOP, db_path) == ["ForkedProcessError"] * 3


_LEFT = """
async def open_all():
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    store = await TractStore.from_engine(engine, tokenizer=COUNTER)
    held.extend([engine, store, await opening(), await opening()])
    await held[2].user("parent")

async def close_all():
    engine, *stores = held
    for store in stores:
        await store.aclose()
    await engine.dispose()

def collect():
    held.clear()
    gc.collect()

def size():
    return os.stat(f"{path}-wal").st_size

held = []
# A child that ends takes the descriptors of an inherited loop out of the epoll that both have.
def poller():
    return asyncio.SelectorEventLoop(selectors.PollSelector())

with asyncio.Runner(loop_factory=poller) as runner:
    runner.run(open_all())
    before = size()
    print(repr(child(collect)), repr(child(list, exits=True)), before == size())
    runner.run(held[2].user("parent"))
    runner.run(close_all())
"""


async def test_collecting_or_leaving_an_inherited_store_does_nothing(db_path: Path) -> None:
    """It neither warns nor waits for threads that are gone, nor does it empty the log."""
    told = run(_LEFT, db_path, "-W", "error::ResourceWarning:tract")

    assert told == ["'None' '[]' True"]
    assert await is_sound(db_path, 2)


_OUTLIVED = """
async def main():
    tract = await opening()
    info = await tract.user("parent")
    reading, writing = os.pipe()
    if not os.fork():
        os.close(writing)
        os.read(reading, 1)  # until the parent has been killed
        gc.collect()
        sys.exit()
    print(info.commit_hash, flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


async def test_a_child_that_outlives_its_killed_parent_leaves_the_log_to_whoever_opens_next(
    db_path: Path,
) -> None:
    """The last one to close a database deletes the log, and a child would do so unlocked."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PRELUDE + _OUTLIVED, str(db_path)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    told, _ = await process.communicate()  # the child has the pipe, too

    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        assert [info.commit_hash for info in await tract.log()] == [told.decode().strip()]
        assert (await tract.verify()).faults == ()


# Forks at any moment


_ANY_MOMENT = """
def use(number, stop):
    async def work():
        while not stop.is_set():
            async with opening(path) as tract:
                for _ in range(20):
                    await asyncio.gather(*(tract.user("hello", message="m") for _ in range(8)))
                    await tract.compile()
                    made.append(8)
    asyncio.run(work())

made, stop = [], threading.Event()
threads = [threading.Thread(target=use, args=(n, stop)) for n in range(2)]
for thread in threads: thread.start()
told = []
for number in range(25):
    time.sleep(0.001 * (number % 7))
    told.append(child(lambda: opened(other)))
    told.append(child(lambda: opened(path)))
stop.set()
for thread in threads: thread.join()
print(sorted(set(told)))
print(sum(made) == len(asyncio.run(committed(path))) - told[1::2].count("committed"))
print(told[::2].count("committed"))
"""


@pytest.mark.long
async def test_a_fork_while_threads_open_and_commit_neither_hangs_nor_loses_anything(
    db_path: Path,
) -> None:
    kinds, kept, others = run(_ANY_MOMENT, db_path)

    assert "ForkedProcessError" in kinds
    assert "Traceback" not in kinds
    assert (kept, others) == ("True", "25")


_FIRST = """
from tract import TiktokenCounter
def use(target, tokenizer=COUNTER):
    async def work():
        async with AsyncTract.open(target, tract_id="t", tokenizer=tokenizer) as tract:
            await tract.user("hello")
            return (await tract.compile()).commit_count
    return asyncio.run(work())
thread = threading.Thread(target=use, args=(path, TiktokenCounter()))
thread.start()
time.sleep(delay)
print(child(lambda: use(other, TiktokenCounter())))
thread.join()
"""


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "delay", [0, pytest.param(0.02, marks=LONG), 0.1, pytest.param(0.3, marks=LONG)]
)
async def test_a_fork_while_a_thread_opens_the_first_store_leaves_the_child_one_to_open(
    db_path: Path, delay: float
) -> None:
    assert run(f"delay = {delay}" + _FIRST, db_path) == ["1"]
