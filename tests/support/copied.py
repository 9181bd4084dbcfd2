"""A store with everything in it, and all that a store holds, to be compared."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from support.drafts import ticking
from support.opening import COUNTER
from tract import (
    CommitOperation,
    DialogueContent,
    MediaPart,
    MessageContent,
    Priority,
    TextPart,
    TokenUsage,
    TractConfig,
    TractStore,
)
from tract.storage.opening import open_database
from tract.storage.repositories import BranchName, SpoolPart, StreamName
from tract.storage.sql.repositories import repositories_over
from tract.storage.sql.statements.compiled import Statement
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["TABLES", "contexts", "fill", "leave_stream", "rows", "stored"]

TABLES = (
    "blobs",
    "attachments",
    "attachment_uses",
    "commits",
    "refs",
    "runs",
    "origins",
    "keys",
    "usage",
    "spool",
    "tracts",
)
_BUT = {"tracts": " WHERE updated_at <> 0"}
"""A server has rows without anything to tell, for locks."""
_OWN = {"version", "commits", "updated_at"}
"""Columns whose values are an engine's, or of the moment when a row was written."""
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


async def fill(place: Path | str) -> None:
    """Fill a store with tracts that have everything a tract can have."""
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        main = store.tract("planner")
        await main.system("Plan. 旅行 🏔 \u202e naïve ﬁ \ue000")
        first = await main.user(
            "Norway", message="né 'à' 🙂", metadata={"z": "\0", "ü": [1.5, None]}
        )
        await main.assistant("Yes", generation_config={"model": "m\0", "temperature": 1e-7})
        await main.tag("v1")
        side = await main.fork("side/ways")
        picture = MediaPart(kind="image", media_type="image/png", data=PICTURE)
        await side.commit(MessageContent(role="user", parts=(TextPart(text="see"), picture)))
        await main.user("meanwhile")
        await main.set_info(title="Norway ü", metadata={"z": "\0", "ü": [1.50, None]})
        await store.tract("titled").set_info(title="nothing was said yet")
        await main.commit(
            DialogueContent(role="user", text="Sweden"),
            operation=CommitOperation.EDIT,
            edit_target=first.commit_hash,
        )
        await main.annotate(first.commit_hash, Priority.PINNED)
        await main.merge("side/ways")
        head = await main.assistant("after")
        await main.record_usage(TokenUsage(3, 4), head_hash=head.commit_hash)
        other = await main.fork("other")
        picked = await other.user("picked")
        await main.cherry_pick(picked.commit_hash)
        await other.reset("v1", reason="zurück")
        await main.delete_branch("side/ways", force=True)
        await main.attach(b"never used", "text/plain")
        await store.tract("träct/2").user("a tract of its own")
        await store.tract("given only").attach(b"alone", "text/plain")
    await leave_stream(place, "planner", "s1", ["one", "two"])
    await leave_stream(place, "stream only", "s2", ["x" * 9000])


async def leave_stream(place: Path | str, tract_id: str, stream_id: str, texts: list[str]) -> None:
    """Leave the parts of a stream behind, as a process does that is killed."""
    database = await open_database(place, TractConfig(), ticking())
    stream = StreamName(BranchName(tract_id, "main"), stream_id)
    opening = {"role": "assistant", "started_at": 1, "generation_config": {"model": "m"}}
    parts = [SpoolPart(stream, 0, [["opening", opening]])]
    parts += [SpoolPart(stream, at, [["text", text]]) for at, text in enumerate(texts, 1)]
    await repositories_over(database).spools.save('{"pid": 1}', parts)
    await database.aclose()


async def stored(
    place: Path | str, tract_id: str, *writes: tuple[Statement, dict[str, Any]]
) -> None:
    """Write rows to a tract that no verb writes yet."""
    database = await open_database(place, TractConfig(), ticking())

    def job(transaction: WriteTransaction) -> None:
        for statement, parameters in writes:
            transaction.connection.run(statement, **parameters)

    await database.write(job, [tract_id])
    await database.aclose()


async def contexts(place: Path | str) -> dict[str, Any]:
    """Return what is compiled of every branch, and the reflog of every tract; nothing is faulty."""
    found: dict[str, Any] = {}
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        for tract_id in await store.tract_ids():
            tract = store.tract(tract_id)
            assert (await tract.verify()).faults == ()
            for branch in await tract.branches():
                context = await store.tract(tract_id, branch=branch.name).compile()
                found[f"{tract_id} {branch.name}"] = context.head_hash, context.messages
            found[tract_id] = await tract.reflog(), await tract.tags()
    return found


async def rows(place: Path | str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table that a copy brings, read without the library."""
    if isinstance(place, Path):
        return await asyncio.to_thread(_rows_of_file, place)
    found: dict[str, list[tuple[Any, ...]]] = {}
    url, _, schema = str(place).partition("?schema=")
    connection = await asyncpg.connect(url, server_settings={"search_path": schema or "public"})
    try:
        for table in TABLES:
            records = await connection.fetch(f"SELECT * FROM {table}{_BUT.get(table, '')}")
            found[table] = _sorted(records)
    finally:
        await connection.close()
    return found


def _rows_of_file(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: _sorted(connection.execute(f"SELECT * FROM {table}{_BUT.get(table, '')}"))
            for table in TABLES
        }


def _sorted(records: Any) -> list[tuple[Any, ...]]:
    """Return rows with their columns and themselves in one order on every engine."""
    by_name: list[Mapping[str, Any]] = [
        {name: value for name, value in dict(record).items() if name not in _OWN}
        for record in records
    ]
    return sorted((tuple(row[name] for name in sorted(row)) for row in by_name), key=repr)
