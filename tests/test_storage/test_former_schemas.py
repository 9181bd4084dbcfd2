"""Databases of every former schema, opened by this release: all that they hold is there, and all works."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.first_schema import Line, write
from support.scripts import printed
from support.tables import create_tables
from tract import (
    MediaPart,
    MergeKind,
    MessageContent,
    NullTokenCounter,
    Priority,
    RefNameError,
    SchemaVersionError,
    TextPart,
    TractStore,
)
from tract.storage.schema import METADATA
from tract.storage.sqlite.migrations import MIGRATIONS, migrate

LINES: tuple[Line, ...] = (
    ("one", "main", ("a", "b", "c")),
    ("one", "side", ("x", "y")),
    ("two", "main", ("a", "d")),
    ("two", "an old name", ("z",)),
)
START = datetime(1970, 1, 1, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"tokenizer": NullTokenCounter()}
SUPPORT = Path(__file__).parents[1] / "support"


def write_first(path: Path) -> None:
    write(path, LINES)


def write_second(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SUPPORT / "second_schema.sql").read_text(encoding="utf-8"))


def write_third(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SUPPORT / "third_schema.sql").read_text(encoding="utf-8"))


def write_fourth(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SUPPORT / "fourth_schema.sql").read_text(encoding="utf-8"))


def write_fifth(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SUPPORT / "fifth_schema.sql").read_text(encoding="utf-8"))


FORMER: tuple[Callable[[Path], None], ...] = (
    write_first,
    write_second,
    write_third,
    write_fourth,
    write_fifth,
)
"""What writes a database of each version before the present one, oldest first."""


def taken(path: Path, steps: int = len(MIGRATIONS)) -> None:
    """Bring a database to a version."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), MIGRATIONS[:steps])


def schema(path: Path) -> dict[str, Any]:
    """Return all that SQLite tells of the tables and indexes of a database, by their names."""
    with closing(sqlite3.connect(path)) as connection:

        def told(pragma: str, name: str) -> list[tuple[Any, ...]]:
            return sorted(connection.execute(f"PRAGMA {pragma}({name})").fetchall(), key=str)

        tables = {row[1]: row[2:] for row in connection.execute("PRAGMA table_list")}
        return {
            name: (tables[name], told("table_xinfo", name), told("foreign_key_list", name))
            for name in tables
            if not name.startswith("sqlite_")
        } | {
            name: (" ".join(sql.split()), told("index_xinfo", name))
            for name, sql in connection.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
            )
        }


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, column by column."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[1] for row in connection.execute("PRAGMA table_list")]
        return {
            name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')]
            for name in names
            if not name.startswith("sqlite_")
        }


def test_there_is_a_database_of_every_former_version(tmp_path: Path) -> None:
    found = []
    for number, write_it in enumerate(FORMER):
        write_it(tmp_path / f"{number}.db")
        there = rows(tmp_path / f"{number}.db")
        found.append(there["_tract_meta"])

        assert [name for name, rows_of_it in there.items() if not rows_of_it] == []
    versions = [[{"key": "schema_version", "value": str(n)}] for n in range(1, len(MIGRATIONS))]
    assert found == versions


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_former_version_is_what_the_steps_made_then(tmp_path: Path, version: int) -> None:
    """The steps are frozen: as many of them as a database took make its schema still."""
    old, made = tmp_path / "old.db", tmp_path / "made.db"
    FORMER[version - 1](old)
    taken(made, version)

    told, wanted = schema(made), schema(old)
    assert _without_defaults(told) == _without_defaults(wanted)


def _without_defaults(told: dict[str, Any]) -> dict[str, Any]:
    """Leave out what columns are filled with where none is given: a step that adds one needs it."""
    return {
        name: (parts[0], [(*row[:4], *row[5:]) for row in parts[1]], *parts[2:])
        for name, parts in told.items()
        if len(parts) == 3
    }


@pytest.mark.parametrize(
    "write_it", [*FORMER, lambda path: None], ids=["1", "2", "3", "4", "5", "new"]
)
def test_it_comes_to_have_the_tables_and_indexes_that_are_declared(
    tmp_path: Path, write_it: Callable[[Path], None]
) -> None:
    old, declared = tmp_path / "old.db", tmp_path / "declared.db"
    write_it(old)
    taken(old)
    with closing(sqlite3.connect(declared)) as connection:
        create_tables(connection)

    assert schema(old) == schema(declared)


ADDING = """
import sqlite3
import sys

from sqlalchemy import Column, Text

from tract.storage.sqlite.migrations import MIGRATIONS, migrate
from tract.storage.schema import METADATA

def adds(connection):
    for name in METADATA.tables:
        connection.execute(f'ALTER TABLE "{name}" ADD COLUMN added TEXT')

for table in METADATA.tables.values():
    table.append_column(Column("added", Text))
for path in sys.argv[1:]:
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path, [*MIGRATIONS, adds])
    connection.close()
"""


def test_a_column_more_in_every_table_does_not_change_the_steps_before(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("1.db", "2.db", "3.db", "4.db", "5.db", "new.db")]
    for write_it, path in zip(FORMER, paths, strict=False):
        write_it(path)
    printed(ADDING, *paths)

    one, *others = map(schema, paths)
    assert others == [one] * 5
    for name in METADATA.tables:
        assert [row[1] for row in one[name][1] if row[1] == "added"] == ["added"]


@pytest.mark.parametrize("write_it", FORMER)
def test_every_row_is_kept(tmp_path: Path, write_it: Callable[[Path], None]) -> None:
    path = tmp_path / "old.db"
    write_it(path)
    before = rows(path)
    taken(path)
    after = rows(path)

    del before["_tract_meta"]
    for name, former in before.items():
        now = [
            {column: row[column] for column in old}
            for row, old in zip(after[name], former, strict=True)
        ]
        assert now == former
    assert after.keys() == METADATA.tables.keys()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_former_release_is_refused_by_the_version(tmp_path: Path, version: int) -> None:
    path = tmp_path / "new.db"
    taken(path)

    with pytest.raises(SchemaVersionError) as refusal:
        taken(path, version)
    assert (refusal.value.found, refusal.value.supported) == (len(MIGRATIONS), version)


@pytest.mark.parametrize("write_it", FORMER)
async def test_one_that_has_lost_a_commit_opens_and_verify_tells(
    db_path: Path, write_it: Callable[[Path], None]
) -> None:
    write_it(db_path)
    with closing(sqlite3.connect(db_path)) as damaging, damaging:
        [tract_id, head] = damaging.execute(
            "SELECT tract_id, commit_hash FROM refs WHERE name = 'refs/heads/main'"
        ).fetchone()
        damaging.execute("DELETE FROM commits WHERE commit_hash = ?", [head])
    async with TractStore.open(db_path, **OPTIONS) as store:
        report = await store.tract(tract_id).verify()

    assert head.hex() in {fault.commit_hash for fault in report.faults}


async def test_a_view_of_somebodys_on_our_tables_is_no_hindrance(db_path: Path) -> None:
    write_second(db_path)
    with closing(sqlite3.connect(db_path)) as connection, connection:
        connection.execute("CREATE VIEW heads AS SELECT name FROM refs JOIN runs USING (name)")
        before = connection.execute("SELECT * FROM heads").fetchall()
    async with TractStore.open(db_path, **OPTIONS):
        pass

    with closing(sqlite3.connect(db_path)) as connection:
        assert connection.execute("SELECT * FROM heads").fetchall() == before
        assert before


# the fifth schema


async def test_a_database_of_the_fifth_schema_keeps_keys_titles_and_what_was_erased(
    db_path: Path,
) -> None:
    write_fifth(db_path)
    async with TractStore.open(db_path, **OPTIONS) as store:
        planner = store.tract("planner")
        info, report = await planner.info(), await planner.verify()
        named = await planner.get_by_keys(["progress", "wish"])

        assert info is not None
        assert (info.title, info.metadata) == ("Plans", {"of": "a journey"})
        assert sorted(named) == ["progress", "wish"]
        assert (report.faults, [each.reason for each in report.erased]) == ((), ["asked for"])
        assert (await planner.compile()).messages[-1].content.endswith("by train")  # type: ignore[union-attr]


# the fourth schema


async def test_a_database_of_the_fourth_schema_keeps_its_attachments_and_its_tracts(
    db_path: Path,
) -> None:
    write_fourth(db_path)
    async with TractStore.open(db_path, **OPTIONS) as store:
        planner = store.tract("planner")
        last = (await planner.compile(aggregate_same_role=False)).messages[-1].parts
        shown = [part.attachment for part in last if isinstance(part, MediaPart)]
        pictures = [await planner.attachment(each) for each in shown if each is not None]
        reports = [await store.tract(each).verify() for each in await store.tract_ids()]

    assert [part.text for part in last if isinstance(part, TextPart)] == ["What is this?"]
    assert pictures == [b"bytes of a picture"]
    assert [report.faults for report in reports] == [(), ()]
    assert [row["commits"] for row in rows(db_path)["tracts"]] == [
        report.checked for report in reports
    ]


# the third schema


async def test_a_database_of_the_third_schema_reads_as_before_and_takes_attachments(
    db_path: Path,
) -> None:
    write_third(db_path)
    async with TractStore.open(db_path, **OPTIONS) as store:
        main = store.tract("planner")
        context = await main.compile(aggregate_same_role=False)
        picture = await main.attach(b"bytes", "image/png")
        await main.commit(MessageContent(role="user", parts=(picture.part(),)))

        assert [message.content for message in context.messages] == PLANNED
        assert [branch.head_hash for branch in await main.branches()].count(None) == 2
        assert await main.attachment(picture.sha256) == b"bytes"
        for tract_id in ("critic", "planner"):
            assert (await store.tract(tract_id).verify()).faults == ()


# the second schema


PLANNED = [
    *("You plan trips.", "Oslo, or Bergen?", "Oslo.", "Thanks.", "Bergen.", "Quick one."),
    *("Drafts.", "Draft 2."),
]


async def test_a_database_of_the_second_schema_reads_as_before(db_path: Path) -> None:
    write_second(db_path)
    async with TractStore.open(db_path, **OPTIONS) as store:
        main = store.tract("planner")
        context = await main.compile(aggregate_same_role=False)
        answer = (await main.query_by_config("model", "=", "m1"))[0]
        sent = await main.compile(at_commit=answer.commit_hash)
        moves = [(move.branch, move.action) for move in await main.reflog()]

        assert await store.tract_ids() == ["critic", "planner"]
        assert [message.content for message in context.messages] == PLANNED
        assert sent.token_source == "api:11+3"
        assert [branch.name for branch in await main.branches()] == ["main", "quick", "side"]
        assert [tag.name for tag in await main.tags()] == ["asked"]
        assert [origin.kind for origin in await main.origins()] == ["squash", "cherry-pick"]
        [pinned] = await main.get_annotations(answer.commit_hash)
        assert (pinned.priority, pinned.reason) == (Priority.PINNED, "the answer")
        assert moves[:2] == [("draft", "delete"), ("main", "append")]
        assert ("main", "reset") in moves
        assert ("main", "fast-forward") in moves
        assert len(moves) == 20
        for tract_id in ("critic", "planner"):
            assert (await store.tract(tract_id).verify()).faults == ()


async def test_a_database_of_the_second_schema_goes_on(db_path: Path) -> None:
    """It is committed to, merged, reset and emptied, and its streams are recovered."""
    write_second(db_path)
    async with TractStore.open(db_path, **OPTIONS) as store:
        main = store.tract("planner")
        head = await main.head()
        side = main.on("side")
        await side.user("More.")
        merged = await main.merge("side")
        [left] = await store.recover_streams()
        [recovered] = await left.commit()
        await main.on("quick").reset(None)
        restarted = await main.on("quick").user("Anew.")
        report = await main.verify()

    assert head is not None
    assert merged.kind is MergeKind.MERGE
    assert recovered.parent_hash == merged.head_hash
    assert restarted.parent_hash is None
    assert report.faults == ()
    async with TractStore.open(db_path, **OPTIONS) as store:
        texts = (await store.tract("planner").compile(aggregate_same_role=False)).messages
        assert [message.content for message in texts] == [*PLANNED, "More.", "Half a rep"]


# the first schema


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
