"""Raises a KeyboardInterrupt while a store is busy: `python -m support.interrupts`.

*closing* does what a second Ctrl-C does: `asyncio.run` answers the first one by cancelling its main
task, whose store then closes, and the second is raised wherever the event loop is. *going-on* is
what a REPL does, which runs its event loop again after each Ctrl-C; so do the others.
"""

from __future__ import annotations

import asyncio
import dis
import faulthandler
import itertools
import os
import signal
import sqlite3
import sys
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal

import aiosqlite

import tract
from support.opening import COUNTER
from tract import AsyncTract, DialogueContent, MergeConflict, StorageError, TractStore
from tract.engine.branches import turns
from tract.engine.streams import arrived, open_streams
from tract.engine.watching import hub
from tract.formats import deltas
from tract.storage.sql import grouping as groups
from tract.storage.sqlite.freshness import mapping

__all__ = ["busy_until_interrupted"]

_BEFORE = 20  # commits before the first interrupt
_LOAD_CONST = dis.opmap["LOAD_CONST"]
_EACH = 6  # commits of each caller that goes on, and pieces of each stream
_PIECE = "piece " * 3000  # more than a stream may have unsaved
_LIMIT = 15.0  # seconds that a run may take which may hang
_LONG = 60.0  # seconds that a run may take which must not, on a busy machine, too
_FOLDERS = tuple(folder for package in (tract, aiosqlite) for folder in package.__path__)
_LINES = {
    "line": _FOLDERS,
    "grouping": (groups.__file__,),
    "mapping": (mapping.__file__,),
    "saving": (open_streams.__file__, arrived.__file__, deltas.__file__),
    "turns": (turns.__file__,),
    "watching": (hub.__file__,),
}
"""The code at whose lines an interrupt comes."""
_SAVING = {
    *("fold", "grown", "_copied", "apply", "part", "forget_stored"),
    *("save_soon", "_save", "_save_all", "_write", "_go_on_without"),
}
"""The functions in which it comes while streams are saved."""


async def busy(path: object, tell: Callable[[str], object]) -> None:
    """Commit, compile and write to a stream until cancelled, then close; report what was made."""
    async with TractStore.open(str(path), tokenizer=COUNTER) as store:
        async with asyncio.TaskGroup() as group:
            for name in "abcd":
                group.create_task(_commit(store.tract("t"), name, tell))
            group.create_task(_stream(store.tract("u")))


async def _commit(tract: AsyncTract, name: str, tell: Callable[[str], object]) -> None:
    for number in itertools.count():
        await tract.user("hello", message=f"{name} {number}")
        tell(f"{name} {number}")
        if number % 5 == 0:
            await tract.compile()


async def _stream(tract: AsyncTract) -> None:
    async with tract.stream() as stream:
        while True:
            await stream.write("hello ")
            await asyncio.sleep(0.0005)


async def busy_until_interrupted(path: object, tell: Callable[[str], object]) -> None:
    """Run `busy`; the first SIGINT cancels it, and the second is a KeyboardInterrupt anywhere.

    `asyncio.run` behaves like this, too. It can lose the cancellation if the second SIGINT comes
    while it handles the first, and then it waits for ever.
    """
    task = asyncio.current_task()
    assert task is not None
    came = 0
    handling = False

    def handle(*_: object) -> None:
        nonlocal came, handling
        came += 1
        if handling:
            return
        if came == 1:
            handling = True
            task.cancel()
            asyncio.get_running_loop().call_soon_threadsafe(int)  # wakes it
            handling = False
        if came > 1:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    loop = asyncio.get_running_loop()
    threading.Thread(target=_end_what_hangs, args=(loop,), daemon=True).start()
    await busy(path, tell)


def _end_what_hangs(loop: asyncio.AbstractEventLoop) -> None:
    """End a process that hangs, with status 3 if it waits for something of ours.

    An interrupt may also lose a callback of the event loop's own, such as one that tells a task
    group that a task is done; a waiter for that hangs for ever, too.
    """
    time.sleep(_LIMIT)
    ours = [task for task in asyncio.all_tasks(loop) if _is_in_ours(task.get_coro())]
    print(ours, file=sys.stderr, flush=True)
    os._exit(3 if ours or loop.is_closed() else 4)


def _is_in_ours(waiting: Any) -> bool:
    while (code := getattr(waiting, "cr_code", None)) is not None:
        if code.co_filename.startswith(_FOLDERS):
            return True
        waiting = waiting.cr_await
    return False


class Interrupts:
    """Raises a KeyboardInterrupt at the *at*-th place that it passes, once it is armed."""

    def __init__(self, how: str, at: int) -> None:
        self._how = how
        self._left = at
        self.armed: bool = False
        self.made: asyncio.AbstractEventLoop | None = None
        self.came: str | None = None
        """Where the interrupt came."""

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop whose callbacks pass through here."""
        self.made = _Loop(self)
        return self.made

    def arm(self) -> None:
        """Start counting."""
        self.armed = True
        if self._how in _LINES:
            sys.settrace(self._trace)

    def disarm(self) -> None:
        """Raise nothing from now on."""
        self.armed = False
        sys.settrace(None)

    def run(self, callback: Callable[..., object], *arguments: object) -> None:
        """Run a callback of the loop, lose it, or interrupt the loop after it."""
        lost = self._how == "lost"
        if not self.armed or self._how in (*_LINES, "untold") or (lost and not _is_ours(callback)):
            callback(*arguments)
        elif lost:
            self._come_by(repr(callback))
            callback(*arguments)
        else:
            callback(*arguments)
            self._come_by(repr(callback))

    def come_between(self, callback: Callable[..., object]) -> None:
        """Interrupt the loop while it schedules a callback."""
        if self.armed and self._how == "untold" and _is_ours(callback):
            self._come_by(repr(callback))

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(_LINES[self._how]):
            return None
        if self._how == "saving" and frame.f_code.co_name not in _SAVING:
            return None
        if event == "line" and self.armed and not _leaves_a_block(frame):
            self._come_by(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return self._trace

    def _come_by(self, place: str) -> None:
        self._left -= 1
        if not self._left:
            self.disarm()
            self.came = place
            raise KeyboardInterrupt


def _leaves_a_block(frame: FrameType) -> bool:
    """Return True where a `with` block is left, which Python does before it looks for signals."""
    start = frame.f_lasti
    return frame.f_code.co_code[start : start + 6 : 2] == bytes([_LOAD_CONST] * 3)


def _is_ours(callback: Any) -> bool:
    """Return True if *callback* is ours, or wakes a task that waits for something of ours."""
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return _waits_in_ours(task)
    callback = getattr(callback, "func", callback)
    code = getattr(getattr(callback, "__func__", callback), "__code__", None)
    return code is not None and code.co_filename.startswith(_FOLDERS)


def _waits_in_ours(task: asyncio.Task[Any]) -> bool:
    """Return True if what a task awaits, innermost, is ours.

    A task that has not begun awaits nothing, and it is up to asyncio whether it ever does.
    """
    code, waiting = None, getattr(task.get_coro(), "cr_await", None)
    if waiting is not None:
        code = _code(task.get_coro())
    while (inner := _code(waiting)) is not None:
        code, waiting = inner, getattr(waiting, "cr_await", None)
    return code is not None and code.co_filename.startswith(_FOLDERS)


def _code(awaited: Any) -> CodeType | None:
    return getattr(awaited, "cr_code", None) or getattr(awaited, "gi_code", None)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, interrupts: Interrupts) -> None:
        super().__init__()
        self._interrupts = interrupts

    def call_soon(  # type: ignore[override]  # its own types are of arguments that we pass on
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        self._interrupts.come_between(callback)
        return super().call_soon(self._interrupts.run, callback, *args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]  # as above
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        return super().call_soon_threadsafe(self._interrupts.run, callback, *args, context=context)


@contextmanager
def limited(interrupts: Interrupts) -> Iterator[None]:
    """End the process, saying where it hangs, if it takes too long."""
    done = threading.Event()

    def watch() -> None:
        if not done.wait(_LONG):
            print("hangs after an interrupt at", interrupts.came)
            for task in asyncio.all_tasks(interrupts.made):
                print(task)
                for frame in _awaited_in(task.get_coro()):
                    print(f"  {frame.f_code.co_filename}:{frame.f_lineno}", frame.f_code.co_name)
            sys.stdout.flush()
            faulthandler.dump_traceback()  # of every thread
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    yield
    done.set()


def _awaited_in(awaitable: Any) -> Iterator[FrameType]:
    """Yield the frames of a task that is not running, from the outermost to what it waits for."""
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is not None:
            yield frame
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)


def interrupted(how: str, at: int, path: Path) -> bool:
    """Return True if an interrupt came; check that everything acknowledged was stored."""
    interrupts = Interrupts(how, at)
    acknowledged: list[str] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None

        def begin() -> None:
            interrupts.arm()
            task.cancel()

        def tell(made: str) -> None:
            acknowledged.append(made)
            if len(acknowledged) == _BEFORE:
                asyncio.get_running_loop().call_soon(begin)

        await busy(path, tell)

    with limited(interrupts), suppress(KeyboardInterrupt, asyncio.CancelledError):
        try:
            with asyncio.Runner(loop_factory=interrupts.loop) as runner:
                runner.run(main())
        finally:
            interrupts.disarm()
    assert stored_in(path).issuperset(acknowledged), interrupts.came
    return interrupts.came is not None


def stored_in(path: Path) -> set[str]:
    """Return the messages of all commits in a file."""
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT message FROM commits")}


class Answers:
    """The messages of the commits that callers were told to be stored, and not to be."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.denied: list[str] = []

    async def ask(self, tract: AsyncTract, name: str) -> None:
        """Commit and compile some times, and note the answers."""
        for number in range(_EACH):
            message = f"{name} {number}"
            try:
                await tract.user(message, message=message)
            except StorageError as error:
                if "Nothing was written" not in str(error):
                    raise
                self.denied.append(message)
            else:
                self.acknowledged.append(message)
                with suppress(StorageError):
                    assert message in str((await tract.compile()).to_openai())


def gone_on(how: str, at: int, path: Path) -> bool:
    """Return True if an interrupt came; check that every caller got an answer, and a true one."""
    interrupts = Interrupts(how, at)
    answers = Answers()
    loop = interrupts.loop()
    with limited(interrupts), closing(loop):
        store = loop.run_until_complete(_open(path))
        asking = [loop.create_task(answers.ask(store.tract("t"), name)) for name in "abcdefgh"]
        everything = loop.create_task(asyncio.wait(asking))
        interrupts.arm()
        while not everything.done():
            with suppress(KeyboardInterrupt):
                loop.run_until_complete(everything)
        interrupts.disarm()
        loop.run_until_complete(answers.ask(store.tract("t"), "afterwards"))
        loop.run_until_complete(store.aclose())
    unforeseen = [task.exception() for task in asking if task.exception() is not None]
    assert all(isinstance(error, KeyboardInterrupt) for error in unforeseen), unforeseen
    there = stored_in(path)
    assert there.issuperset(answers.acknowledged), interrupts.came
    assert there.isdisjoint(answers.denied), interrupts.came
    return interrupts.came is not None


def streamed_on(how: str, at: int, path: Path) -> bool:
    """Return True if an interrupt came; check that only the stream that it met was interrupted."""
    interrupts = Interrupts(how, at)
    loop = interrupts.loop()
    with limited(interrupts), closing(loop):
        store = loop.run_until_complete(_open(path))
        tasks = [loop.create_task(_write_in_pieces(store.tract(name))) for name in "abcd"]
        everything = loop.create_task(asyncio.wait(tasks))
        interrupts.arm()
        while not everything.done():
            with suppress(KeyboardInterrupt):
                loop.run_until_complete(everything)
        interrupts.disarm()
        loop.run_until_complete(store.aclose())  # saves those whose end was interrupted, too
        store = loop.run_until_complete(_open(path))
        left = loop.run_until_complete(store.recover_streams())
        made = {name: loop.run_until_complete(_texts(store.tract(name))) for name in "abcd"}
        loop.run_until_complete(store.aclose())
    for name, task in zip("abcd", tasks, strict=True):
        found = [*made[name], *(stream.text for stream in left if stream.tract_id == name)]
        error = task.exception()
        assert error is None or isinstance(error, KeyboardInterrupt), (interrupts.came, error)
        assert len(found) == 1, (interrupts.came, found)
        assert error is not None or found == [_PIECE * _EACH], interrupts.came
    return interrupts.came is not None


async def _write_in_pieces(tract: AsyncTract) -> None:
    async with tract.stream() as stream:
        for _ in range(_EACH):
            await stream.write(_PIECE)
            await asyncio.sleep(0.001)


async def _texts(tract: AsyncTract) -> list[str]:
    contents = [await tract.get_content(info.commit_hash) for info in await tract.log(None)]
    return [content.text for content in contents if isinstance(content, DialogueContent)]


def merged_on(how: str, at: int, path: Path) -> bool:
    """Return True if an interrupt came; check that every merge but the interrupted one was made."""
    interrupts = Interrupts(how, at)
    loop = interrupts.loop()
    with limited(interrupts), closing(loop):
        store = loop.run_until_complete(_open(path))
        tract = store.tract("t")
        loop.run_until_complete(_diverge(store))
        tasks = [loop.create_task(tract.merge(name, on_conflict=_judge)) for name in "abcde"]
        everything = loop.create_task(asyncio.wait(tasks))
        interrupts.arm()
        while not everything.done():
            with suppress(KeyboardInterrupt):
                loop.run_until_complete(everything)
        interrupts.disarm()
        loop.run_until_complete(store.aclose())
    failed = [task.exception() for task in tasks if task.exception() is not None]
    assert all(isinstance(error, KeyboardInterrupt) for error in failed), (interrupts.came, failed)
    assert len(failed) <= 1, interrupts.came
    return interrupts.came is not None


async def _diverge(store: TractStore) -> None:
    """Edit one entry on several branches."""
    first = await store.tract("t").user("hello")
    for name in "abcde":
        fork = await store.tract("t").fork(name)
        await fork.commit(
            DialogueContent(role="user", text=name),
            operation="edit",
            edit_target=first.commit_hash,
        )
    await store.tract("t").commit(
        DialogueContent(role="user", text="ours"), operation="edit", edit_target=first.commit_hash
    )


async def _judge(_: MergeConflict) -> Literal["theirs"]:
    await asyncio.sleep(0)
    return "theirs"


def _to_the_end(
    loop: asyncio.AbstractEventLoop, call: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    """Make a call again until no interrupt ends it."""
    while True:
        task = loop.create_task(call())
        while not task.done():
            with suppress(KeyboardInterrupt):
                loop.run_until_complete(asyncio.wait([task]))
        if not isinstance(task.exception(), KeyboardInterrupt):
            return


def watched_on(how: str, at: int, path: Path, before: int = 0) -> bool:
    """Return True if an interrupt came; check that all watchers but an interrupted one go on.

    They begin with *before* commits to read, which the first of them reads for the others, too.
    """
    interrupts = Interrupts(how, at)
    loop = interrupts.loop()
    with limited(interrupts), closing(loop):
        store = loop.run_until_complete(_open(path))
        for _ in range(before):
            loop.run_until_complete(store.tract("t").user("hello"))
        watching = [loop.create_task(_watch(store.tract("t"))) for _ in range(3)]
        writing = loop.create_task(_commit_some(store.tract("t")))
        interrupts.arm()
        while not writing.done():
            with suppress(KeyboardInterrupt):
                loop.run_until_complete(asyncio.wait([writing]))
        _to_the_end(loop, lambda: store.tract("t").user("last", message="last"))
        while not all(task.done() for task in watching):
            with suppress(KeyboardInterrupt):
                loop.run_until_complete(asyncio.wait(watching))
        interrupts.disarm()
        loop.run_until_complete(store.aclose())
        failed = [task.exception() for task in watching if task.exception() is not None]
    assert all(isinstance(error, KeyboardInterrupt) for error in failed), (interrupts.came, failed)
    assert len(failed) <= 1, interrupts.came
    return interrupts.came is not None


async def _watch(tract: AsyncTract) -> None:
    async for commit in tract.watch():
        if commit.message == "last":
            break


async def _commit_some(tract: AsyncTract) -> None:
    for _ in range(_EACH):
        await tract.user("hello")
        await asyncio.sleep(0.005)


async def _open(path: Path) -> TractStore:
    return await TractStore.open(str(path), tokenizer=COUNTER)


PROGRAMS: dict[str, Callable[[str, int, Path], bool]] = {
    "catching-up": partial(watched_on, before=3),
    "closing": interrupted,
    "going-on": gone_on,
    "merging": merged_on,
    "streaming": streamed_on,
    "watching": watched_on,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)  # a store that could not be closed is dropped
    program, how, folder = PROGRAMS[sys.argv[1]], sys.argv[2], Path(sys.argv[5])
    first, step = int(sys.argv[3]), int(sys.argv[4])
    for number in itertools.count(first, step):
        if not program(how, number, folder / f"{number}.db"):
            print("closed", number)
            break
