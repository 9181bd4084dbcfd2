"""Replay transcripts as concurrent agents, and check that every context compiles back exactly.

    python docs/examples/demo.py [--url postgresql://…] [PATH.jsonl]

Each line of the file is `{"id": "...", "messages": [...]}` with Chat Completions messages. Every
conversation becomes an agent, a tract of its own in one store, and all of them run at once.
Before an assistant's turn the agent compiles its context, which must equal the messages so far.
The store is a file, or with `--url` a schema that is made in the database and dropped at the end.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tract import AsyncTract, TiktokenCounter, TractStore, from_openai
from transcripts import SHIPPED, BadTranscript, Message, first_difference, load

MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-5-5")
TEMPERATURES = (0.0, 0.4, 0.7, 1.0)

Advance = Callable[[], None]


@dataclass(frozen=True)
class Conversation:
    """One line of the file, and the parameters that its assistant pretends to use."""

    id: str
    messages: list[Message]
    config: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The result for one conversation: its first difference, if any, and some counts."""

    difference: str | None
    commits: int = 0
    compiles: int = 0
    tokens: int = 0
    faults: int = 0


# The part about the library: one agent, recorded and checked.


async def replay(agent: AsyncTract, conversation: Conversation) -> Outcome:
    """Commit the messages one by one; compile before each assistant's turn."""
    commits = compiles = 0
    for position, message in enumerate(conversation.messages):
        is_assistant = message["role"] == "assistant"
        if is_assistant:
            compiles += 1
            difference = await compare(agent, conversation, position)
            if difference is not None:
                return Outcome(difference, commits, compiles)
        commits += await record(agent, message, conversation.config if is_assistant else None)
    return Outcome(None, commits, compiles)


async def record(agent: AsyncTract, message: Message, config: dict[str, Any] | None) -> int:
    """Commit one message; a turn of text and tool calls lands as a whole or not at all."""
    async with agent.batch() as turn:
        for content in from_openai([message]):
            turn.commit(content, generation_config=config)
    return len(turn.commits)


async def compare(agent: AsyncTract, conversation: Conversation, length: int) -> str | None:
    """Compile, and return the first difference from the first *length* messages."""
    # A transcript says where each message ended, so consecutive ones of a role stay apart.
    context = await agent.compile(aggregate_same_role=False)
    sent = context.to_openai(open_calls="keep")  # in the middle of a step, calls are open
    difference = first_difference(conversation.messages[:length], sent)
    return None if difference is None else f"{conversation.id!a}: {difference}"


async def check(agent: AsyncTract, conversation: Conversation) -> Outcome:
    """Compare the whole conversation, and hash everything that was stored again."""
    difference = await compare(agent, conversation, len(conversation.messages))
    context = await agent.compile()
    report = await agent.verify()
    return Outcome(difference, tokens=context.token_count, faults=len(report.faults))


async def on_all_agents(
    target: Path | str,
    conversations: Sequence[Conversation],
    work: Callable[[AsyncTract, Conversation], Any],
    advance: Advance,
) -> list[Any]:
    """Run *work* for every conversation at once, each as an agent in one store."""

    async def run(conversation: Conversation) -> Any:
        result = await work(store.tract(conversation.id), conversation)
        advance()
        return result

    async with TractStore.open(target) as store, asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(conversation)) for conversation in conversations]
    return [task.result() for task in tasks]


async def query(target: Path | str, conversations: Sequence[Conversation]) -> list[tuple[str, str]]:
    """Ask every agent which of its commits were made with some configs; return table rows."""
    questions: list[tuple[str, str, Any]] = [("model", "=", model) for model in MODELS]
    questions.append(("temperature", ">", 0.5))
    async with TractStore.open(target) as store:
        agents = [store.tract(conversation.id) for conversation in conversations]
        rows = []
        for question in questions:
            found = await asyncio.gather(*(agent.query_by_config(*question) for agent in agents))
            commits, of_agents = sum(map(len, found)), sum(map(bool, found))
            shown = f"{counted(commits, 'commit')} of {counted(of_agents, 'agent')}"
            rows.append(("{} {} {}".format(*question), shown))
    return rows


def conversations_of(path: Path) -> list[Conversation]:
    """Return the conversations of a file, each with the config of its agent."""
    return [
        Conversation(transcript.id, transcript.messages, config_of(index))
        for index, transcript in enumerate(load(path))
    ]


def config_of(index: int) -> dict[str, Any]:
    """Return the generation config of the agent *index*, because transcripts have none."""
    return {
        "model": MODELS[index % len(MODELS)],
        "temperature": TEMPERATURES[index % len(TEMPERATURES)],
        "max_tokens": 1024,
    }


# Telling how it went.


@contextmanager
def progress(console: Console, title: str, total: int) -> Iterator[Advance]:
    """Show a bar on a terminal, else a line for every tenth part."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
            task = bar.add_task(title, total=total)
            yield lambda: bar.advance(task)
        return
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done * 10 // total > (done - 1) * 10 // total:
            print(f"{title}: {done} of {total} conversations", flush=True)

    yield advance


def deduplication(target: Path | str) -> list[tuple[str, str]]:
    """Return table rows on how often contents were stored; the store must be closed."""
    (blobs, stored), (contents, given) = [
        asyncio.run(run_sql(target, f"SELECT count(*), sum(length(data)) FROM {rows}"))[0]
        for rows in ("blobs", "commits JOIN blobs USING (content_hash)")
    ]
    rows = [
        ("blobs stored / contents committed", f"{blobs:,} / {contents:,}"),
        ("bytes stored / bytes committed", f"{stored:,} / {given:,}"),
    ]
    if isinstance(target, Path):
        rows.append(("database size", f"{target.stat().st_size:,} bytes"))
    return rows


async def run_sql(target: Path | str, statement: str) -> Sequence[Any]:
    """Return the rows that a statement gives in the database of a closed store, if any."""
    engine = engine_of(target)
    async with engine.begin() as connection:
        result = await connection.execute(text(statement))
        rows = result.all() if result.returns_rows else []
    await engine.dispose()
    return rows


def engine_of(target: Path | str) -> AsyncEngine:
    """Return an engine of SQLAlchemy over a store's database."""
    if isinstance(target, Path):
        return create_async_engine(f"sqlite+aiosqlite:///{target}")
    url, _, schema = target.partition("?schema=")
    return create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1),
        connect_args={"server_settings": {"search_path": schema}},
    )


def summary(
    recorded: Sequence[Outcome], reopened: Sequence[Outcome], seconds: float
) -> list[tuple[str, str]]:
    """Return table rows on what the agents did."""
    identical = sum(
        before.difference is None and after.difference is None
        for before, after in zip(recorded, reopened, strict=True)
    )
    commits = sum(outcome.commits for outcome in recorded)
    return [
        ("agents", f"{len(recorded):,}"),
        ("conversations identical", f"{identical:,} of {len(recorded):,}"),
        ("contexts compiled and compared", f"{sum(outcome.compiles for outcome in recorded):,}"),
        ("commits", f"{commits:,}"),
        ("commits per second, compiling between", f"{commits / seconds:,.0f}"),
        ("tokens in the final contexts", f"{sum(outcome.tokens for outcome in reopened):,}"),
        ("faults found by verify()", f"{sum(outcome.faults for outcome in reopened):,}"),
    ]


def show(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Print a table of two columns."""
    table = Table("what", "how much", title="Recorded and compiled back")
    table.columns[1].justify = "right"
    for row in rows:
        table.add_row(*row)
    console.print(table)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def run(conversations: Sequence[Conversation], target: Path | str, console: Console) -> str | None:
    """Record, reopen, compare, print; return the first difference."""
    total = len(conversations)
    TiktokenCounter().load()  # once per process, and so not to be timed
    with progress(console, "recording", total) as advance:
        began = time.perf_counter()
        recorded = asyncio.run(on_all_agents(target, conversations, replay, advance))
        seconds = time.perf_counter() - began
    with progress(console, "comparing after reopening", total) as advance:
        reopened = asyncio.run(on_all_agents(target, conversations, check, advance))
    queried = [
        (f"commits where {question}", found)
        for question, found in asyncio.run(query(target, conversations))
    ]
    show(
        console,
        [*summary(recorded, reopened, seconds), *deduplication(target), *queried],
    )
    differences = [outcome.difference for outcome in (*recorded, *reopened)]
    return next((difference for difference in differences if difference is not None), None)


@contextmanager
def new_target(url: str | None) -> Iterator[Path | str]:
    """Yield where a new store can be: a file, or a schema that nobody else uses."""
    if url is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, "agents.db")
        return
    schema = f"demo_{secrets.token_hex(4)}"
    target = f"{url}?schema={schema}"
    try:
        yield target
    finally:
        asyncio.run(run_sql(target, f"DROP SCHEMA IF EXISTS {schema} CASCADE"))


def main(arguments: Sequence[str]) -> int:
    """Return 0 if all conversations are identical, 1 if one differs, 2 for a bad file."""
    url: str | None = None
    if arguments[:1] == ["--url"]:
        url, arguments = "".join(arguments[1:2]), arguments[2:]
    if len(arguments) > 1 or url == "":
        print("Give one file at most: demo.py [--url URL] [PATH.jsonl]", file=sys.stderr)
        return 2
    try:
        conversations = conversations_of(Path(arguments[0]) if arguments else SHIPPED)
    except BadTranscript as error:
        print(error, file=sys.stderr)
        return 2
    with new_target(url) as target:
        difference = run(conversations, target, Console())
    if difference is not None:
        print(f"The first difference is in {difference}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
