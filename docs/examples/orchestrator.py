"""Let agents try tasks side by side, each trial a branch, and keep the trial that got it right.

    python docs/examples/orchestrator.py [PATH.jsonl] [--into FOLDER] [--quiet]

Each line of the file is `{"id": "...", "messages": [...], "task": ..., "trial": ..., "reward": ...}`
with Chat Completions messages; what has no task is a task of one trial. Every task becomes a tract
in one store, every trial a branch of it, forked where it parts from those before. All agents run
at once. At the end the trial with the reward is squashed into `main`, and the file is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tasks import Task, Trial, Turn, plan
from tract import (
    AsyncTract,
    BranchComparison,
    BranchReset,
    CommitInfo,
    DialogueContent,
    OutputContent,
    StorageError,
    TiktokenCounter,
    TractStore,
)
from tract.viewer import write_page
from transcripts import SHIPPED, BadTranscript, first_difference, load

DELTA = 24  # characters

Tell = Callable[[AsyncTract, CommitInfo | BranchReset], None]


class Different(Exception):
    """A context differs from its transcript; the text says where."""


class BadFolder(Exception):
    """The store cannot be made where it was asked for."""


# The part about the library: agents on branches.


@dataclass
class Board:
    """Prints and counts what happens while it runs."""

    console: Console
    quiet: bool
    seen: int = 0
    compared: int = 0

    def tell(self, branch: AsyncTract, item: CommitInfo | BranchReset) -> None:
        """Count and print what has landed on a branch."""
        self.seen += 1
        if self.quiet:
            return
        if isinstance(item, CommitInfo):
            temperature = (item.generation_config or {}).get("temperature", "-")
            what = f"{item.commit_hash[:10]}  {temperature:>3}  {item.content_type}"
        else:
            what = f"back to {item.new_hash}"
        line = f"{branch.tract_id:<24} {branch.branch:<8} {what}"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


@dataclass
class Run:
    """One task while it runs, and its result."""

    task: Task
    main: AsyncTract
    board: Board
    landed: dict[int, asyncio.Future[str]] = field(default_factory=dict)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    answer: OutputContent | None = None

    def at(self, turn: Turn) -> asyncio.Future[str]:
        """Return a future of the commit that ends with *turn*."""
        loop = asyncio.get_running_loop()
        return self.landed.setdefault(turn.beginning, loop.create_future())


async def solve(store: TractStore, task: Task, board: Board) -> Run:
    """Run all agents of a task at once, and keep the best one's answer on `main`."""
    run = Run(task, store.tract(task.id), board)
    async with watched(run.main, None, board.tell):
        for turn in task.given:
            run.at(turn).set_result(await say(run.main, turn))
        async with asyncio.TaskGroup() as group:
            for trial in task.trials:
                group.create_task(attempt(run, trial))
        await choose(run)
    return run


async def attempt(run: Run, trial: Trial) -> None:
    """Be the agent of one trial: compile before each of its turns, and commit them."""
    branch, start = await begin(run, trial)
    async with watched(branch, start, run.board.tell):
        for position in range(trial.inherited, len(trial.turns)):
            turn = trial.turns[position]
            if turn.is_assistant:
                await check(branch, trial.turns[:position], run.board)
            run.at(turn).set_result(await say(branch, turn, trial.config))
    await check(branch, trial.turns, run.board)


async def begin(run: Run, trial: Trial) -> tuple[AsyncTract, str | None]:
    """Return a trial's branch and where it starts, once the beginning that it shares was committed."""
    start = None  # where nothing is given, before the first commit
    if trial.inherited:
        start = await asyncio.shield(run.at(trial.turns[trial.inherited - 1]))
    return await run.main.fork(trial.branch, at_commit=start), start


async def say(branch: AsyncTract, turn: Turn, config: dict[str, Any] | None = None) -> str:
    """Commit one message, as a whole or not at all, and return the hash of its last commit."""
    match turn.contents:
        case [DialogueContent(role="assistant", text=text, name=None)] if text:
            return await speak(branch, text, config)
    async with branch.batch() as batch:
        for content in turn.contents:
            batch.commit(content, generation_config=config if turn.is_assistant else None)
    return batch.commits[-1].commit_hash


async def speak(branch: AsyncTract, text: str, config: dict[str, Any] | None) -> str:
    """Commit what an assistant says, which arrives in pieces while the others go on."""
    async with branch.stream(generation_config=config) as stream:
        for start in range(0, len(text), DELTA):
            await stream.write(text[start : start + DELTA])
            await asyncio.sleep(0)
    assert stream.commit_info is not None
    return stream.commit_info.commit_hash


async def check(branch: AsyncTract, turns: Sequence[Turn], board: Board) -> None:
    """Compile a branch, and raise Different if it does not say what the turns said."""
    # A transcript says where each message ended, so consecutive ones of a role stay apart.
    context = await branch.compile(aggregate_same_role=False)
    sent = context.to_openai(open_calls="keep")  # in the middle of a step, calls are open
    difference = first_difference([turn.message for turn in turns], sent)
    if difference is not None:
        raise Different(f"{branch.tract_id!a} on {branch.branch!a}: {difference}")
    board.compared += 1


async def choose(run: Run) -> None:
    """Compare the branches, and squash the one with the reward into `main`, if there is one."""
    trials = {trial.branch: trial for trial in run.task.trials}
    since = ["main"] if run.task.given else []  # what is compared came after it
    compared = (await run.main.compare([*since, *trials]))[len(since) :]
    ranked = [(trials[one.branch].reward or 0, -one.token_count, one.branch) for one in compared]
    best, _, picked = max(ranked, key=lambda rank: rank[:2])
    if best > 0:
        await squash(run, picked)
    for one in compared:
        is_picked = run.answer is not None and one.branch == picked
        run.rows.append(row_of(one, trials[one.branch].reward, is_picked))


def row_of(one: BranchComparison, reward: float | None, is_picked: bool) -> tuple[str, ...]:
    """Return a trial's row of the table."""
    temperatures = [str(config["temperature"]) for config in one.generation_configs]
    return (
        one.branch,
        "-" if reward is None else f"{reward:g}",
        f"{one.entries:,}",
        f"{one.token_count:,}",
        ", ".join(temperatures),
        "picked" if is_picked else "",
    )


async def squash(run: Run, picked: str) -> None:
    """Commit the last thing that a trial's assistant said to `main`, in place of the trial."""
    context = await run.main.on(picked).compile()
    said = (message for message in reversed(context.messages) if message.role == "assistant")
    answer = OutputContent(text=next((message.content for message in said if message.content), ""))
    result = await run.main.merge(picked, squash=answer, message=f"{picked} has the reward")
    if result.kind == "squash":  # else it has nothing that is not on main
        run.answer = answer
        [origin] = await run.main.origins(result.head_hash)
        assert origin.source_hash == context.head_hash


class Watcher:
    """Reports what lands on a branch, up to the last commit."""

    def __init__(self, branch: AsyncTract, after: str | None, tell: Tell) -> None:
        self._branch = branch
        self._commits = branch.watch(after=after, resets=True)
        self._tell = tell
        self._seen = after
        self._last: str | None = "to come"

    async def run(self) -> None:
        """Report each commit, however many there will be."""
        async for item in self._commits:
            self._tell(self._branch, item)
            self._seen = item.commit_hash if isinstance(item, CommitInfo) else item.new_hash
            if self._seen == self._last:
                return

    async def finish(self) -> None:
        """Make it end at the branch's head."""
        self._last = await self._branch.head()
        if self._seen == self._last:
            await self._commits.aclose()


@asynccontextmanager
async def watched(branch: AsyncTract, after: str | None, tell: Tell) -> AsyncIterator[None]:
    """Report everything that lands on a branch while the block runs."""
    watcher = Watcher(branch, after, tell)
    async with asyncio.TaskGroup() as group:
        group.create_task(watcher.run())
        yield
        await watcher.finish()


async def solve_all(path: Path, tasks: Sequence[Task], board: Board) -> list[Run]:
    """Run all tasks at once in one store."""
    async with TractStore.open(path) as store, asyncio.TaskGroup() as group:
        solving = [group.create_task(solve(store, task, board)) for task in tasks]
    return [task.result() for task in solving]


async def review(path: Path, runs: Sequence[Run], board: Board) -> int:
    """Open the store again, compare every branch once more, and count what verify() finds."""
    faults = 0
    async with TractStore.open(path) as store:
        for run in runs:
            main = store.tract(run.task.id)
            for trial in run.task.trials:
                await check(main.on(trial.branch), trial.turns, board)
            answer = {"role": "assistant", "content": run.answer.text} if run.answer else None
            closing_turn = [Turn(answer, (), -1)] if answer else []
            await check(main, [*run.task.given, *closing_turn], board)
            faults += len((await main.verify()).faults)
    return faults


# Counting what the file holds, and telling how it went.


def proof(path: Path, runs: Sequence[Run], board: Board) -> list[tuple[str, int, int]]:
    """Return what was counted in the closed file, and what it should be."""
    turns = [turn for run in runs for turn in run.task.beginnings.values()]
    answers = [run.answer for run in runs if run.answer]
    contents = [content for turn in turns for content in turn.contents] + answers
    distinct = {content.model_dump_json() for content in contents}
    branches = sum(1 + len(run.task.trials) for run in runs)
    bare = sum(not run.task.given and not run.answer for run in runs)  # their main has no commit
    with closing(sqlite3.connect(path)) as database:
        commits, blobs, refs = (
            database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("commits", "blobs", "refs")
        )
    return [
        ("commits in the file", commits, len(contents)),
        ("contents in the file", blobs, len(distinct)),
        ("branches in the file", refs, branches - bare),
        ("commits told by watchers", board.seen, len(contents)),
    ]


def show_tasks(console: Console, runs: Sequence[Run]) -> None:
    """Print a table for each task."""
    for run in runs:
        table = Table("trial", "reward", "entries", "tokens", "temperature", "", expand=False)
        table.title = escape(run.task.id)
        table.columns[2].justify = table.columns[3].justify = "right"
        for row in run.rows:
            table.add_row(*row)
        console.print(table)


def show_proof(console: Console, rows: Sequence[tuple[str, int, int]]) -> None:
    """Print the last table: what is, and what should be."""
    table = Table("what", "found", "expected", title="Shared beginnings, once each")
    table.columns[1].justify = table.columns[2].justify = "right"
    for what, found, expected in rows:
        table.add_row(what, f"{found:,}", f"{expected:,}")
    console.print(table)


def orchestrate(tasks: Sequence[Task], path: Path, board: Board) -> int:
    """Run the tasks, check and print their results; return the exit status."""
    TiktokenCounter().load()  # once per process, and so not to be timed
    began = time.perf_counter()
    runs = asyncio.run(solve_all(path, tasks, board))
    seconds = time.perf_counter() - began
    faults = asyncio.run(review(path, runs, board))
    rows = proof(path, runs, board)
    rows.append(("faults found by verify()", faults, 0))
    show_tasks(board.console, runs)
    show_proof(board.console, rows)
    given = sum(len(trial.turns) for task in tasks for trial in task.trials)
    kept = sum(len(task.beginnings) for task in tasks)
    board.console.print(
        f"{given:,} messages of {sum(len(task.trials) for task in tasks):,} trials have {kept:,} "
        f"distinct beginnings. {sum(run.answer is not None for run in runs):,} of {len(tasks):,} "
        f"tasks had a trial to pick. {board.compared:,} contexts were compiled and compared; the "
        f"agents took {seconds:.1f} s.",
        highlight=False,
    )
    return 0 if all(found == expected for _, found, expected in rows) else 1


async def page_of(path: Path) -> Path:
    """Write the page of a store beside it; return where it is."""
    page = path.with_suffix(".html")
    async with TractStore.open(path) as store:
        await write_page(store, page)
    return page


@contextmanager
def database(folder: Path | None) -> Iterator[Path]:
    """Yield the path of a new database; without a *folder* it is deleted after the block."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary, "agents.db")
        return
    path = folder / "agents.db"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFolder(f"{folder} cannot be made: {error.strerror or error}") from error
    if path.exists():
        raise BadFolder(f"{path} is there already; give another folder")
    yield path


def main(arguments: Sequence[str]) -> int:
    """Return 0 if all is as it should be, 1 if something differs, 2 for a bad file or folder."""
    parser = argparse.ArgumentParser(description="Let agents try tasks on branches side by side.")
    parser.add_argument("path", nargs="?", type=Path, default=SHIPPED, help="transcripts (JSONL)")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="keep the store in there, and a page of it"
    )
    parser.add_argument("--quiet", action="store_true", help="do not print each commit")
    given = parser.parse_args(arguments)
    status, problems = 0, []
    try:
        tasks = plan(load(given.path))
        with database(given.into) as path:
            board = Board(Console(), given.quiet)
            status = orchestrate(tasks, path, board)
            if given.into is not None:
                page = asyncio.run(page_of(path))
                address = page.resolve().as_uri()
                board.console.print(f"Open {address} in a browser.", soft_wrap=True, markup=False)
    except* Different as group:
        status, problems = 1, leaves(group)
    except* (BadTranscript, BadFolder, StorageError) as group:
        status, problems = 2, leaves(group)
    for problem in problems:
        print(problem, file=sys.stderr)
    return status


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors of a group and of the groups in it."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for member in error.exceptions for leaf in leaves(member)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
