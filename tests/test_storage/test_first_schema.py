"""A database of the first release, opened by this one: all that it holds is there, and all works."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.first_schema import Line, write
from tract import NullTokenCounter, RefNameError, TractStore
from tract.storage.migrations import MIGRATIONS, migrate

LINES: tuple[Line, ...] = (
    ("one", "main", ("a", "b", "c")),
    ("one", "side", ("x", "y")),
    ("two", "main", ("a", "d")),
    ("two", "an old name", ("z",)),
)
START = datetime(1970, 1, 1, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"tokenizer": NullTokenCounter()}


def schema(path: Path) -> set[tuple[Any, ...]]:
    """Return every table's columns, and every index of ours with its own."""
    with closing(sqlite3.connect(path)) as connection:
        names = [
            row[0]
            for row in connection.execute(
                "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
            )
        ]
        return {
            (name, *row[1:4], *row[5:])
            for name in names
            for row in connection.execute(f"PRAGMA table_info({name})")
        } | {
            (name, *row)
            for name in names
            for row in connection.execute(f"PRAGMA index_info({name})")
        }


def test_it_comes_to_have_the_tables_and_indexes_of_a_new_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    write(old, LINES)
    for path in (old, new):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            migrate(connection, str(path))

    assert schema(old) == schema(new)


def test_a_step_that_fails_leaves_it_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    write(path, LINES)
    before = schema(path)

    def fails(connection: sqlite3.Connection) -> None:
        raise RuntimeError("this step fails")

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(RuntimeError, match="this step fails"):
            migrate(connection, str(path), [*MIGRATIONS, fails])
    assert schema(path) == before


async def test_every_branch_reads_as_before_and_verifies(db_path: Path) -> None:
    made = write(db_path, LINES)
    async with TractStore.open(db_path, **OPTIONS) as store:
        for tract_id, branch, texts in LINES:
            tract = store.tract(tract_id, branch=branch)
            context = await tract.compile(aggregate_same_role=False)
            assert [message["content"] for message in context.to_dicts()] == [*texts]
            assert [*context.commit_hashes] == made[tract_id, branch]
            assert (await tract.verify()).faults == ()

        assert await store.tract_ids() == ["one", "two"]


async def test_branches_tell_since_when_they_are_there(db_path: Path) -> None:
    made = write(db_path, LINES)
    async with TractStore.open(db_path, **OPTIONS) as store:
        main, side = await store.tract("one").branches()

    assert (main.name, main.head_hash) == ("main", made["one", "main"][-1])
    assert (main.created_at, main.updated_at) == (
        START + timedelta(seconds=1),
        START + timedelta(seconds=3),
    )
    assert (side.created_at, side.updated_at) == (
        START + timedelta(seconds=4),
        START + timedelta(seconds=5),
    )


async def test_its_branches_are_forked_merged_reset_and_logged(db_path: Path) -> None:
    made = write(db_path, LINES)
    async with TractStore.open(db_path, **OPTIONS) as store:
        main = store.tract("one")
        a, b, c = made["one", "main"]
        fork = await main.fork("fork", at_commit=b)
        await fork.user("d")
        await main.merge("fork")
        await main.merge("side")
        texts = (await main.compile(aggregate_same_role=False)).to_dicts()
        await main.reset(a)

        assert [message["content"] for message in texts] == ["a", "b", "c", "d", "x", "y"]
        assert (await main.compile()).to_dicts() == [{"role": "user", "content": "a"}]
        actions = [entry.action for entry in await main.reflog("main")]
        assert actions == ["reset", "merge", "merge", "append", "append", "append"]
        oldest = (await main.reflog("main"))[-1]
        assert (oldest.old_hash, oldest.new_hash) == (None, a)
        assert c in {info.commit_hash for info in await main.on("fork").log(None)} | {c}
        assert (await main.verify()).faults == ()


async def test_a_branch_of_a_name_that_could_not_be_made_now_stays_within_reach(
    db_path: Path,
) -> None:
    write(db_path, LINES)
    async with TractStore.open(db_path, **OPTIONS) as store:
        old = store.tract("two", branch="an old name")
        await old.user("goes on")
        main = store.tract("two")
        await main.merge("an old name")
        await main.compare(["an old name", "main"])
        await main.delete_branch("an old name")

        assert [branch.name for branch in await main.branches()] == ["main"]
        with pytest.raises(RefNameError):
            await old.user("makes it anew")


async def test_a_newer_release_may_close_and_open_it_again(db_path: Path) -> None:
    made = write(db_path, LINES)
    for number in range(2):
        async with TractStore.open(db_path, **OPTIONS) as store:
            await store.tract("one").user(f"more {number}")

    async with TractStore.open(db_path, **OPTIONS) as store:
        context = await store.tract("one").compile()
        assert [*context.commit_hashes][:3] == made["one", "main"]
        assert context.commit_count == 5
