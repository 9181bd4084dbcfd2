"""Heads that are known without a trip: never another than a trip would find."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from support.drafts import MAIN, OTHER_TRACT, draft, ticking
from support.opening import COUNTER, used
from support.probes import probe
from support.scripts import started
from tract import (
    AsyncTract,
    BranchNotFoundError,
    HeadMovedError,
    TokenUsage,
    TractConfig,
    TractError,
    TractStore,
)
from tract.storage.repositories import BranchName, ExistingBranch, SpoolPart, StreamName
from tract.storage.sql import ref_writes, tips
from tract.storage.sql.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.database import Database, open_database
from tract.storage.sqlite.file import DatabaseFile
from tract.storage.sqlite.freshness import wal_index
from tract.storage.sqlite.freshness.heads import KnownHeads, Written
from tract.storage.sqlite.freshness.wal_index import Header, WalIndex
from tract.storage.sqlite.thread.writer import Transactions
from tract.storage.values import KnownHead

pytestmark = pytest.mark.skipif(wal_index._LIBRARY is None, reason="no index is read here")

USAGE = TokenUsage(10, 5, 15)


@pytest_asyncio.fixture
async def database(db_path: Path) -> AsyncIterator[Database]:
    database = await open_database(str(db_path), TractConfig(), ticking())
    yield database
    await database.aclose()


async def commit(database: Database, branch: BranchName = MAIN, text: str = "hello") -> str:
    records = await database.write(lambda transaction: transaction.commit(branch, [draft(text)]))
    return records[0].commit_hash


async def test_a_head_is_known_once_it_was_committed_here(database: Database) -> None:
    head = await commit(database)

    assert database.heads.find(MAIN) == KnownHead(head, None)
    assert database.heads.find(OTHER_TRACT) is None


async def test_no_head_is_known_once_somebody_else_has_written(
    database: Database, db_path: Path
) -> None:
    await commit(database)
    with closing(sqlite3.connect(db_path)) as other, other:
        other.execute("DELETE FROM usage")  # a commit of nothing
        other.execute("UPDATE refs SET updated_at = updated_at + 1")

    assert database.heads.find(MAIN) is None


async def test_commits_of_this_store_take_what_is_known_along(database: Database) -> None:
    first = await commit(database)
    second = await commit(database, OTHER_TRACT)
    third = await commit(database, MAIN, "again")

    assert first != third
    assert database.heads.find(MAIN) == KnownHead(third, None)
    assert database.heads.find(OTHER_TRACT) == KnownHead(second, None)


Change = Callable[[Database, str, str], Awaitable[object]]


CHANGES: dict[str, Change] = {
    "reset": lambda database, old, new: database.write(
        lambda transaction: ref_writes.move(transaction, MAIN, old, action="reset", note=None)
    ),
    "delete": lambda database, old, new: database.write(
        lambda transaction: ref_writes.delete(transaction, MAIN, force=True)
    ),
    "usage": lambda database, old, new: database.write(
        lambda transaction: transaction.set_usage(MAIN.tract_id, new, USAGE, "{}")
    ),
    "reset and commit": lambda database, old, new: database.write(
        lambda transaction: (
            ref_writes.move(transaction, MAIN, old, action="reset", note=None),
            transaction.commit(MAIN, [draft("then")]),
            ref_writes.move(transaction, MAIN, old, action="reset", note=None),
        )
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_a_write_has_changed_otherwise_is_asked_for(
    database: Database, change: str
) -> None:
    old = await commit(database)
    new = await commit(database, MAIN, "again")
    elsewhere = await commit(database, OTHER_TRACT)
    await CHANGES[change](database, old, new)

    assert database.heads.find(MAIN) is None
    assert database.heads.find(OTHER_TRACT) == KnownHead(elsewhere, None)


async def test_a_refused_write_takes_nothing_away(database: Database) -> None:
    head = await commit(database)
    with pytest.raises(HeadMovedError):
        await database.write(lambda transaction: transaction.commit(MAIN, [draft()], "no head"))

    assert database.heads.find(MAIN) == KnownHead(head, None)


async def test_parts_of_a_stream_take_nothing_away(database: Database) -> None:
    head = await commit(database)
    stream = StreamName(MAIN, "s")
    await database.write(
        lambda transaction: transaction.spools.spool("me", [SpoolPart(stream, 0, ["part"])], [])
    )
    await database.write(lambda transaction: transaction.spools.spool("me", [], [stream]))

    assert database.heads.find(MAIN) == KnownHead(head, None)


class Interrupted(WalIndex):
    """The index of a database that others write to, right before we look at it."""

    def __init__(self) -> None:
        super().__init__()
        self.before_looks: list[Callable[[], object]] = []

    def header(self) -> Header | None:
        if self.before_looks:
            self.before_looks.pop(0)()
        return super().header()


OWN_WRITES = {
    "a commit": lambda transaction: transaction.commit(MAIN, [draft("mine")]),
    "usage": lambda transaction: transaction.set_usage("agent", "00" * 32, USAGE, "{}"),
    "nothing": lambda transaction: None,
}


@pytest.mark.parametrize("write", OWN_WRITES)
def test_nothing_is_known_where_another_has_written_right_after_us(
    db_path: Path, write: str
) -> None:
    """What we find then is theirs, and must not be taken for what we have left."""
    asyncio.run(used(db_path))
    with (
        closing(sqlite3.connect(db_path, isolation_level=None)) as ours,
        closing(sqlite3.connect(db_path, isolation_level=None)) as other,
    ):
        ours.execute("PRAGMA foreign_keys = OFF")
        index = Interrupted()
        index.attach(ours)
        transactions = Transactions(DatabaseFile(ours), index, "p", ticking(10_000))
        for others in ([], ["UPDATE refs SET updated_at = updated_at + 1"], []):
            done: list[Written] = []
            index.before_looks = [
                lambda: None,
                *(lambda sql=sql: other.execute(sql) for sql in others),
            ]
            outcomes = transactions.run(ours, jobs=[OWN_WRITES[write]], done=done)
            assert [outcome.error for outcome in outcomes] == [None]
            assert (done[0].after is None) == bool(others)
        index.close()


def test_an_index_that_a_commit_does_not_change_is_not_believed(
    db_path: Path, tmp_path: Path
) -> None:
    """It is that of another database, whatever has led to that."""
    asyncio.run(used(db_path))
    with (
        closing(sqlite3.connect(tmp_path / "other.db")) as strange,
        closing(sqlite3.connect(db_path, isolation_level=None)) as ours,
    ):
        strange.execute("PRAGMA journal_mode = WAL")
        strange.execute("CREATE TABLE numbers (number INTEGER)")
        index = WalIndex()
        index.attach(strange)
        transactions = Transactions(DatabaseFile(ours), index, "p", ticking())
        done: list[Written] = []
        transactions.run(ours, jobs=[OWN_WRITES["a commit"]], done=done)

        assert done[0].after is None
        assert index.header() is None
        index.close()


async def test_branches_are_forgotten_in_the_order_in_which_they_were_written(
    database: Database,
) -> None:
    heads = KnownHeads(database._index, most=3)
    state = database._index.header()
    branches = [BranchName("t", str(number)) for number in range(4)]
    for branch in [*branches[:3], branches[0], branches[3]]:
        heads.seen(branch, KnownHead("0" * 64, None), state)

    found = [heads.find(branch) is not None for branch in branches]
    assert found == [True, False, True, True]


async def test_what_was_read_before_a_write_is_not_remembered_after_it(database: Database) -> None:
    old = await commit(database)
    state = database._index.header()
    new = await commit(database, MAIN, "again")
    database.heads.seen(MAIN, KnownHead(old, None), state)

    assert database.heads.find(MAIN) == KnownHead(new, None)


async def test_a_head_that_was_read_is_known_from_then_on(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        info = await tract.user("hello")
        await tract.record_usage(USAGE)
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.compile()
        before = probe(tract).trips
        context = await tract.compile()

        assert probe(tract).trips == before
        assert context.head_hash == info.commit_hash
        assert context.token_count == USAGE.prompt_tokens


async def test_a_read_tells_of_no_state_where_another_has_written_meanwhile(
    database: Database, db_path: Path
) -> None:
    """By itself or in a group, whose other reads all see what was there before."""
    await commit(database)

    def look(connection: SqliteConnection) -> int:
        return int(connection.raw.execute("SELECT count(*) FROM commits").fetchone()[0])

    def look_slowly(connection: SqliteConnection) -> int:
        found = look(connection)
        with closing(sqlite3.connect(db_path)) as other, other:
            other.execute("UPDATE refs SET updated_at = updated_at + 1")
        return found

    state = database._index.header()
    assert await database.observe(look) == (1, state)
    assert await database.observe(look_slowly) == (1, None)
    together = (database.observe(read) for read in (look, look, look_slowly, look, look))
    results = await asyncio.gather(*together)

    assert [seen for _, seen in results][2:] == [None] * 3
    assert database.heads.find(MAIN) is None
    assert await database.observe(look) == (1, database._index.header())


async def call_for_ever(call: Callable[[], Awaitable[object]]) -> None:
    while True:
        await call()


async def test_a_loop_of_nothing_but_compiles_can_be_timed_out(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("hello")
        for call in (tract.compile, tract.head):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call_for_ever(call), 0.05)


@pytest.mark.unmeasured
async def test_a_writer_knows_only_so_many_branches(database: Database) -> None:
    def job(transaction: WriteTransaction) -> None:
        for number in range(tips._MOST + 1):
            transaction.commit(BranchName("t", str(number)), [draft("hello")])

    await commit(database)
    assert database._writer._transactions._tips is not None
    await database.write(job)
    assert database._writer._transactions._tips is None


async def test_a_writer_keeps_nothing_of_branches_that_are_not_there(database: Database) -> None:
    for number in range(10):
        with pytest.raises(BranchNotFoundError):
            await commit(database, ExistingBranch(str(number), "gone"))
    known = database._writer._transactions._tips

    assert known is not None
    assert known._tips == {}


async def test_a_writer_forgets_a_branch_that_is_deleted(database: Database) -> None:
    for number in range(10):
        await commit(database, MAIN, str(number))
        await database.write(lambda transaction: ref_writes.delete(transaction, MAIN, force=True))
    known = database._writer._transactions._tips

    assert known is not None
    assert known._known == sum(map(len, known._tips.values())) == 0


# the promise: whoever compiles sees what was acknowledged before, by whomever


def stored(db_path: Path) -> dict[tuple[str, str], tuple[str | None, int | None]]:
    """Return where the branches point, and the prompt's tokens as reported for that."""
    with closing(sqlite3.connect(db_path)) as connection:
        rows = connection.execute(
            "SELECT refs.tract_id, substr(name, 12), refs.commit_hash, prompt_tokens FROM refs"
            " LEFT JOIN usage USING (tract_id, commit_hash) WHERE name LIKE 'refs/heads/%'"
        ).fetchall()
    return {
        (tract, branch): (None if head is None else head.hex(), tokens)
        for tract, branch, head, tokens in rows
    }


async def change_somehow(
    choose: random.Random, store: TractStore, connection: sqlite3.Connection
) -> None:
    """Do one thing that a program may do to a store."""
    tract = store.tract(choose.choice("ab"), branch=choose.choice(["main", "main", "side"]))
    moves = ["fork", "reset", "empty", "delete", "tag"]
    kind = choose.choice([*["commit"] * 4, "usage", *moves, "checkpoint"])
    try:
        match kind:
            case "commit":
                await tract.user(str(choose.random()))
            case "usage":
                await tract.record_usage(TokenUsage(choose.randrange(10**6), 1, 1))
            case "fork":
                await store.tract(tract.tract_id).fork("side")
            case "reset":
                log = await tract.log(limit=3)
                await tract.reset(log[-1].commit_hash)
            case "empty":
                await tract.reset(None)
            case "delete":
                await store.tract(tract.tract_id).delete_branch("side", force=True)
            case "tag":
                await tract.tag(f"t{choose.random()}")
            case _:
                mode = choose.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
                connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    except (TractError, IndexError):
        pass  # such as a branch that is not there


@pytest.mark.parametrize("seed", range(12))
async def test_two_stores_that_change_one_database_see_each_others_heads(
    db_path: Path, seed: int
) -> None:
    choose = random.Random(seed)
    async with (
        TractStore.open(db_path, tokenizer=COUNTER) as one,
        TractStore.open(db_path, tokenizer=COUNTER) as two,
    ):
        with closing(sqlite3.connect(db_path, isolation_level=None, timeout=0)) as connection:
            for _ in range(60):
                await change_somehow(choose, choose.choice([one, two]), connection)
                for (tract_id, branch), (head, tokens) in stored(db_path).items():
                    for store in choose.sample([one, two], choose.randrange(3)):
                        context = await store.tract(tract_id, branch=branch).compile()
                        assert context.head_hash == head
                        assert context.token_source.startswith("api:") == (tokens is not None)
                        assert tokens is None or context.token_count == tokens


_WRITER = """
import asyncio, sys
from tract import AsyncTract, NullTokenCounter

async def main():
    async with AsyncTract.open(sys.argv[1], tract_id="t", tokenizer=NullTokenCounter()) as tract:
        while True:
            info = await tract.user("theirs")
            print(info.commit_hash, flush=True)
            if not sys.stdin.readline():
                return

asyncio.run(main())
"""


async def test_a_compile_sees_what_another_process_was_told_is_committed(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        writer = await started(_WRITER, db_path)
        for number in range(200):
            told = await writer.line()
            assert (await tract.compile()).head_hash == told
            if number % 3 == 0:
                mine = await tract.user("mine")
                assert (await tract.compile()).head_hash == mine.commit_hash
            writer.tell()
        writer.stdin.close()
        await writer.process.wait()


async def test_a_compile_never_goes_back_while_others_commit_without_pause(db_path: Path) -> None:
    """Also where their commits come between one of ours and our look at what it has left."""
    async with (
        TractStore.open(db_path, tokenizer=COUNTER) as one,
        TractStore.open(db_path, tokenizer=COUNTER) as two,
    ):
        acknowledged = 0
        ours, theirs = one.tract("t", branch="ours"), two.tract("t", branch="theirs")

        async def commit_on() -> None:
            nonlocal acknowledged
            while True:
                await theirs.user("theirs")
                acknowledged += 1

        committing = asyncio.create_task(commit_on())
        seen = one.tract("t", branch="theirs")
        for number in range(1, 301):
            mine = await ours.user("mine")
            context = await ours.compile()
            assert (context.head_hash, context.commit_count) == (mine.commit_hash, number)
            known = acknowledged
            assert known <= (await seen.compile()).commit_count
        committing.cancel()
        await asyncio.wait([committing])
        assert acknowledged > 50
