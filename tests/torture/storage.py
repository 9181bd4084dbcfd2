"""Disks and files that fail under stores at work: each commit is made or refused, and it goes on.

Tasks commit without a pause while a fault comes and, after a while, goes. Every refusal is a
`StorageError` with the path. Afterwards the file holds all that was acknowledged, and nothing of
what was refused.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    closing,
    suppress,
)
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from support.disks import (
    Unavailable,
    content_of,
    fill,
    immutable,
    move,
    put,
    remove,
    size_of,
    small_disk,
)
from support.probes import probe, workers_of
from torture.checks import COUNTER, check_usable
from torture.model import Fault, Report
from tract import StorageError, TractConfig, TractError, TractStore

__all__ = ["FAULTS"]

_TRACTS = ("a", "b", "c", "d")
_TASKS = 8
_DISK = 6_000_000  # bytes
_LONGEST = 3_000  # words of a commit
_PATIENCE = 0.02  # seconds that a store waits for others
_LIMIT = 60.0  # seconds that a store has to go on


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often the fault is injected."""

    rounds: int


@dataclass(slots=True)
class _Work:
    """What tasks commit to one store, and what became of it."""

    report: Report
    store: TractStore
    path: Path
    rng: Random
    acknowledged: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    said: set[str] = field(default_factory=set)
    """The messages of what was acknowledged."""
    refused: int = 0
    made: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def commit(self, task: int) -> None:
        """Commit until cancelled."""
        for number in range(1_000_000):
            tract = self.store.tract(_TRACTS[task % len(_TRACTS)])
            text = f"{task} {number} " * self.rng.randint(1, _LONGEST // 5)
            message = f"{task} {number}"
            try:
                info = await tract.user(text, message=message)
            except StorageError as error:
                self.refused += 1
                self._changed.set()
                named = error.path == str(self.path) and str(self.path) in str(error)
                self.report.check(named, f"the path is not in {error!r}")
                await asyncio.sleep(0.001)
            except TractError as error:
                self.report.check(False, f"no StorageError: {error!r}")
            else:
                self.made += 1
                self._changed.set()
                self.said.add(message)
                self.acknowledged[tract.tract_id].append(info.commit_hash)

    async def at_the_writer(self, pragma: str) -> tuple[int, ...]:
        """Do to the connection that writes what only it can have done to it."""
        writer = workers_of(probe(self.store).parts.database)[0]
        rows = await writer.run(lambda raw: raw.execute(pragma).fetchall())
        return rows[0] if rows else ()

    def count_made(self) -> int:
        """Return how many commits were acknowledged."""
        return self.made

    def count_refused(self) -> int:
        """Return how many commits were refused."""
        return self.refused

    async def until(self, count: Callable[[], int], more: int) -> None:
        """Wait until *count* has grown by *more*."""
        goal = count() + more
        async with asyncio.timeout(_LIMIT):
            while count() < goal:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def _working(report: Report, path: Path, rng: Random) -> AsyncIterator[_Work]:
    """Have tasks commit to a store at *path*; what they were at is carried through on leaving."""
    config = TractConfig(busy_timeout=_PATIENCE)
    async with TractStore.open(path, tokenizer=COUNTER, config=config) as store:
        work = _Work(report, store, path, rng)
        tasks = [asyncio.create_task(work.commit(number)) for number in range(_TASKS)]
        try:
            await work.until(work.count_made, rng.randint(1, 200))
            yield work
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _check(work: _Work, path: Path) -> None:
    """Look for exactly what was acknowledged; a commit that was cancelled may be there as well."""
    try:
        async with TractStore.open(path, tokenizer=COUNTER) as store:
            logs = [await store.tract(tract_id).log(None) for tract_id in _TRACTS]
    except TractError as error:
        work.report.check_usable(False, f"{path.name}: {error!r}")
        return
    found = {info.message for log in logs for info in log}
    beyond = len(found - work.said)
    work.report.check(beyond <= _TASKS, f"{beyond} commits that were refused are there")
    await check_usable(work.report, path, work.acknowledged)


Passing = Callable[[_Work], AbstractAsyncContextManager[None]]
"""A fault that comes and goes."""


async def pass_by(report: Report, sizes: Sizes, rng: Random, *, fault: Passing) -> None:
    """Inject a fault while tasks commit; when it has gone, all of them go on."""
    for number in range(sizes.rounds):
        with ExitStack() as stack:
            folder = _place(stack, report.folder / str(number), small=fault is _full)
            async with _working(report, folder / "x.db", rng) as work:
                async with fault(work):
                    await work.until(work.count_refused, rng.randint(1, 40))
                report.faults += 1
                await work.until(work.count_made, 3 * _TASKS)
            await _check(work, work.path)
        report.tell(f"{number + 1} of {sizes.rounds}, {report.acknowledged} commits")


def _place(stack: ExitStack, folder: Path, *, small: bool) -> Path:
    """Make *folder*, and a small disk in it if that is wanted and permitted."""
    folder.mkdir()
    if small:
        with suppress(Unavailable):
            return stack.enter_context(small_disk(folder, _DISK))
    return folder


@asynccontextmanager
async def _full(work: _Work) -> AsyncIterator[None]:
    if work.path.parent.name == "disk":
        filler = fill(work.path.parent, leaving=work.rng.choice([0, 4096, 50_000, 200_000]))
        yield
        remove(filler)
        return
    [pages] = await work.at_the_writer("PRAGMA page_count")
    await work.at_the_writer(f"PRAGMA max_page_count = {pages + work.rng.randint(0, 50)}")
    yield
    await work.at_the_writer("PRAGMA max_page_count = 1073741823")


@asynccontextmanager
async def _failing(work: _Work) -> AsyncIterator[None]:
    """Have the kernel fail writes beyond a size, in the middle of a page or between two."""
    log = size_of(Path(f"{work.path}-wal"))
    room = work.rng.choice([0, work.rng.randint(0, 4096), work.rng.randint(0, 100_000)])
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (log + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@asynccontextmanager
async def _locked(work: _Work) -> AsyncIterator[None]:
    with closing(sqlite3.connect(work.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def _unwritable(work: _Work) -> AsyncIterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(immutable(work.path, Path(f"{work.path}-wal")))
        except Unavailable:
            await work.at_the_writer("PRAGMA query_only = 1")
        yield
        await work.at_the_writer("PRAGMA query_only = 0")


@asynccontextmanager
async def _moved_away(work: _Work) -> AsyncIterator[None]:
    aside = work.path.with_name("aside.db")
    move(work.path, aside)
    yield
    move(aside, work.path)


async def replace(report: Report, sizes: Sizes, rng: Random) -> None:
    """Put another database in the place of one that is being written; none harms the other."""
    for number in range(sizes.rounds):
        folder = report.folder / str(number)
        folder.mkdir()
        path, aside, other = (folder / name for name in ("x.db", "aside.db", "other.db"))
        async with _working(report, other, rng) as theirs:
            await theirs.until(theirs.count_made, 1)
        async with _working(report, path, rng) as mine:
            move(path, aside)
            move(other, path)
            report.faults += 1
            await mine.until(mine.count_refused, 2 * _TASKS)
        await _check(mine, aside)
        await _check(theirs, path)
        report.tell(f"{number + 1} of {sizes.rounds}, {report.acknowledged} commits")


async def delete(report: Report, sizes: Sizes, rng: Random) -> None:
    """Delete a database that is being written: until it is closed, all of it can be read."""
    for number in range(sizes.rounds):
        path = report.folder / f"{number}.db"
        async with _working(report, path, rng) as work:
            remove(path)
            report.faults += 1
            await work.until(work.count_refused, 2 * _TASKS)
            made = sum(map(len, work.acknowledged.values()))
            kept = [await work.store.tract(tract_id).log(None) for tract_id in _TRACTS]
            there = {info.commit_hash for log in kept for info in log}
            missing = sum(item not in there for h in work.acknowledged.values() for item in h)
            report.acknowledged += made
            report.check_kept(missing, f"of a deleted file, {made} were made")
        await check_usable(report, path, {})
        report.tell(f"{number + 1} of {sizes.rounds}, {report.acknowledged} commits")


async def damage(report: Report, sizes: Sizes, rng: Random) -> None:
    """Overwrite a page, or cut the file: it is told, or nothing that a hash holds has changed."""
    path = report.folder / "sound.db"
    async with _working(report, path, rng) as work:
        await work.until(work.count_made, 200)
    sound = content_of(path)
    truth = await _all_of(path)
    assert isinstance(truth, list)
    for number in range(sizes.rounds):
        damaged = report.folder / "damaged.db"
        put(damaged, _damaged(sound, rng))
        report.faults += 1
        found = await _all_of(damaged)
        told = isinstance(found, TractError)
        report.check(told or found == truth, "damage was not told and has changed what is read")
        report.check(
            not isinstance(found, StorageError) or found.path == str(damaged), f"no path: {found!r}"
        )
        report.tell(f"{number + 1} of {sizes.rounds}")
    await _check(work, path)


def _damaged(sound: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(sound) // 4096) * 4096
    kind = rng.randrange(4)
    if kind == 0:
        return sound[: max(start, 4096)]  # in place of nothing a new database is made
    if kind == 1:
        flipped = bytearray(sound)
        flipped[rng.randrange(len(sound))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    page = rng.randbytes(4096) if kind == 2 else bytes(4096)
    return sound[:start] + page + sound[start + 4096 :]


async def _all_of(path: Path) -> list[object] | TractError:
    """Return all that is in a database, or the error or the faults that say that it is damaged."""
    found: list[object] = []
    try:
        async with TractStore.open(path, tokenizer=COUNTER) as store:
            for tract_id in _TRACTS:
                tract = store.tract(tract_id)
                report = await tract.verify()
                if report.faults:
                    return TractError(*report.faults)
                found += [info.model_copy(update={"message": ""}) for info in await tract.log(None)]
                found.append((await tract.compile()).to_dicts())
    except TractError as error:
        return error
    return found


def _fault(
    name: str, title: str, run: Callable[[Report, Sizes, Random], Coroutine[None, None, None]]
) -> Fault[Sizes]:
    return Fault(f"storage.{name}", title, run, Sizes(40), Sizes(2))


FAULTS = (
    *(
        _fault(name, title, partial(pass_by, fault=fault))
        for name, title, fault in (
            ("full", "a disk that is full for a while", _full),
            ("failing", "writes that fail for a while, half-way", _failing),
            ("locked", "another program that keeps the database locked", _locked),
            ("unwritable", "files that cannot be written for a while", _unwritable),
            ("moved", "a file that is moved away and back", _moved_away),
        )
    ),
    _fault("replaced", "a file replaced by another while open", replace),
    _fault("deleted", "a file deleted while open", delete),
    Fault(
        "storage.damaged", "a file cut off, overwritten or flipped", damage, Sizes(2000), Sizes(40)
    ),
)
