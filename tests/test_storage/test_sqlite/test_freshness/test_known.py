"""What is known without a trip: never anything else than a trip would find."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, annotation, draft, edit, ticking
from support.opening import COUNTER, remembering, used
from support.probes import probe
from support.repositories import NONE_KNOWN
from support.scripts import started
from tract import (
    AsyncTract,
    HeadMovedError,
    TokenUsage,
    TractConfig,
    TractError,
    TractStore,
)
from tract.storage.repositories import BranchName, CommitRow, Position, SpoolPart, StreamName
from tract.storage.sql import freshness as known
from tract.storage.sql.freshness import Freshness, State
from tract.storage.sql.repositories import repositories_over
from tract.storage.sql.writing import ref_writes
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.database import Database, open_database
from tract.storage.sqlite.file import DatabaseFile
from tract.storage.sqlite.freshness.wal_index import WalIndex
from tract.storage.sqlite.thread.writer import Transactions
from tract.storage.values import KnownHead

pytestmark = pytest.mark.skipif(
    os.name != "posix" or sys.maxsize < 2**32, reason="no index is read here"
)

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

    assert await database.freshness.head(MAIN) == KnownHead(head, None)
    assert await database.freshness.head(OTHER_TRACT) is None


async def test_no_head_is_known_once_somebody_else_has_written(
    database: Database, db_path: Path
) -> None:
    await commit(database)
    with closing(sqlite3.connect(db_path)) as other, other:
        other.execute("DELETE FROM usage")  # a commit of nothing
        other.execute("UPDATE refs SET updated_at = updated_at + 1")

    assert await database.freshness.head(MAIN) is None


async def test_commits_of_this_store_take_what_is_known_along(database: Database) -> None:
    first = await commit(database)
    second = await commit(database, OTHER_TRACT)
    third = await commit(database, MAIN, "again")

    assert first != third
    assert await database.freshness.head(MAIN) == KnownHead(third, None)
    assert await database.freshness.head(OTHER_TRACT) == KnownHead(second, None)


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

    assert await database.freshness.head(MAIN) is None
    assert await database.freshness.head(OTHER_TRACT) == KnownHead(elsewhere, None)


async def test_a_refused_write_takes_nothing_away(database: Database) -> None:
    head = await commit(database)
    with pytest.raises(HeadMovedError):
        await database.write(lambda transaction: transaction.commit(MAIN, [draft()], "no head"))

    assert await database.freshness.head(MAIN) == KnownHead(head, None)


async def test_parts_of_a_stream_take_nothing_away(database: Database) -> None:
    head = await commit(database)
    stream = StreamName(MAIN, "s")
    await database.write(
        lambda transaction: transaction.spools.spool("me", [SpoolPart(stream, 0, ["part"])], [])
    )
    await database.write(lambda transaction: transaction.spools.spool("me", [], [stream]))

    assert await database.freshness.head(MAIN) == KnownHead(head, None)


class Interrupted(WalIndex):
    """The index of a database that others write to, right before we look at it."""

    def __init__(self) -> None:
        super().__init__()
        self.before_looks: list[Callable[[], object]] = []

    def state(self) -> State | None:
        if self.before_looks:
            self.before_looks.pop(0)()
        return super().state()


BESIDE = BranchName("beside", "main")
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
        freshness = Freshness(index)
        transactions = Transactions(DatabaseFile(ours), freshness, "p", ticking(10_000))
        for others in ([], ["UPDATE refs SET updated_at = updated_at + 1"], []):
            state = index.state()
            freshness.landed()
            freshness.seen(BESIDE, KnownHead("0" * 64, None), state)
            index.before_looks = [
                lambda: None,
                *(lambda sql=sql: other.execute(sql) for sql in others),
            ]
            outcomes = transactions.run(ours, jobs=[OWN_WRITES[write]])
            assert [outcome.error for outcome in outcomes] == [None]
            freshness.landed()
            assert (asyncio.run(freshness.head(BESIDE)) is None) == bool(others)
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
        freshness = Freshness(index)
        transactions = Transactions(DatabaseFile(ours), freshness, "p", ticking())
        transactions.run(ours, jobs=[OWN_WRITES["a commit"]])

        assert freshness.landed() == {MAIN}
        assert asyncio.run(freshness.head(MAIN)) is None
        assert index.state() is None
        index.close()


async def test_only_so_many_branches_are_known(database: Database) -> None:
    freshness = Freshness(database.freshness.index)
    state = database.freshness.index.state()
    branches = [BranchName("t", str(number)) for number in range(known._MOST_HEADS + 1)]
    for branch in branches:
        freshness.seen(branch, KnownHead("0" * 64, None), state)

    found = [branch for branch in branches if await freshness.head(branch) is not None]
    assert found == branches[-1:]


async def test_what_was_read_before_a_write_is_not_remembered_after_it(database: Database) -> None:
    old = await commit(database)
    state = database.freshness.index.state()
    new = await commit(database, MAIN, "again")
    database.freshness.seen(MAIN, KnownHead(old, None), state)

    assert await database.freshness.head(MAIN) == KnownHead(new, None)


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

    state = database.freshness.index.state()
    assert await database.observe(look) == (1, state)
    assert await database.observe(look_slowly) == (1, None)
    together = (database.observe(read) for read in (look, look, look_slowly, look, look))
    results = await asyncio.gather(*together)

    assert [seen for _, seen in results][2:] == [None] * 3
    assert await database.freshness.head(MAIN) is None
    assert await database.observe(look) == (1, database.freshness.index.state())


async def call_for_ever(call: Callable[[], Awaitable[object]]) -> None:
    while True:
        await call()


async def test_a_loop_of_nothing_but_compiles_can_be_timed_out(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("hello")
        for call in (tract.compile, tract.head):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call_for_ever(call), 0.05)


# commits that were just written


async def kept(database: Database, records: Sequence[CommitRow]) -> list[int]:
    """Return the places of *records* whose steps need not be read."""
    freshness = database.freshness
    return [
        place
        for place, item in enumerate(records)
        if freshness.way(item.tract_id, {str(item.parent_hash)}, KnownHead(item.commit_hash, None))
    ]


@pytest_asyncio.fixture
async def in_memory() -> AsyncIterator[Database]:
    database = await open_database(":memory:", TractConfig(), ticking())
    yield database
    await database.aclose()


async def test_what_is_remembered_is_what_would_be_read(db_path: Path) -> None:
    """For appends, edits and annotations on two branches of a tract, and in another tract."""
    database = await open_database(str(db_path), TractConfig(), ticking())
    asking = await open_database(str(db_path), TractConfig(), ticking(), remembers=False)
    writing, reading = repositories_over(database), repositories_over(asking)
    for branch in (MAIN, OTHER_BRANCH, OTHER_TRACT):
        first, *_ = await writing.commits.write(
            branch, [draft("ä", config='{"t":1}'), edit("new", 0)]
        )
        await writing.commits.write(branch, [annotation(first.commit_hash), draft("last")])

    for branch in (MAIN, OTHER_BRANCH, OTHER_TRACT):
        before = database.trips
        remembered = await writing.histories.locate(branch, Position(), NONE_KNOWN)
        assert database.trips == before
        assert remembered == await reading.histories.locate(branch, Position(), NONE_KNOWN)
        assert remembered.steps is not None
        assert len(remembered.steps) == 4
        middle = remembered.steps[1].commit_hash
        assert await writing.histories.locate(branch, Position(), {middle}) == (
            await reading.histories.locate(branch, Position(), {middle})
        )
    await database.aclose()
    await asking.aclose()


async def test_one_hash_in_two_tracts_is_two_commits() -> None:
    """A hash leaves the config out, so tracts may share one and differ in that."""
    database = await open_database(":memory:", TractConfig(), lambda: 1_000)
    commits = repositories_over(database).commits
    [cold] = await commits.write(MAIN, [draft(config='{"t":0}')])
    [warm] = await commits.write(OTHER_TRACT, [draft(config='{"t":1}')])
    head = KnownHead(cold.commit_hash, None)

    assert cold.commit_hash == warm.commit_hash
    for tract_id, config in ((MAIN.tract_id, '{"t":0}'), (OTHER_TRACT.tract_id, '{"t":1}')):
        way = database.freshness.way(tract_id, NONE_KNOWN, head)
        assert way is not None
        assert way.steps is not None
        assert [step.generation_config_json for step in way.steps] == [config]
    assert database.freshness.way("nobody", NONE_KNOWN, head) is None
    await database.aclose()


@pytest.mark.parametrize("at_once", [1, 100])
async def test_the_oldest_make_room_for_the_newest(in_memory: Database, at_once: int) -> None:
    """About a megabyte is kept, whatever the sizes, of large batches as of single commits."""
    commits = repositories_over(in_memory).commits
    records: list[CommitRow] = []
    for _ in range(0, 300, at_once):
        records += await commits.write(MAIN, [draft("x" * 9_000)] * at_once)

    numbers = await kept(in_memory, records)
    assert 80 < len(numbers) < 110
    assert numbers == list(range(300))[-len(numbers) :]


async def test_a_large_content_is_not_kept(in_memory: Database) -> None:
    commits = repositories_over(in_memory).commits
    records = await commits.write(MAIN, [draft("x" * 20_000), draft("y")])

    assert await kept(in_memory, records) == [1]


async def test_what_a_refused_write_would_have_written_is_not_kept(in_memory: Database) -> None:
    [first] = await repositories_over(in_memory).commits.write(MAIN, [draft("first")])
    made: list[CommitRow] = []

    def fail(transaction: WriteTransaction) -> None:
        made.extend(transaction.commit(MAIN, [draft("second")]))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await in_memory.write(fail)

    assert await kept(in_memory, [first, *made[:1]]) == [0]


# heads of watched branches


@pytest_asyncio.fixture
async def pair(db_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    """Two openings of one database."""
    databases = [await open_database(str(db_path), TractConfig(), ticking(n)) for n in (1, 2)]
    yield databases[0], databases[1]
    for database in databases:
        await database.aclose()


async def watched(database: Database, *branches: BranchName) -> tuple[list[str | None], int]:
    """Return where branches point, and how many statements that took."""
    ran: list[str] = []

    def look(connection: SqliteConnection) -> list[str | None]:
        connection.raw.set_trace_callback(ran.append)
        heads = [*database.freshness.watched(connection, branches).heads]
        connection.raw.set_trace_callback(None)
        return heads

    return await database.read(look), len(ran)


@pytest.mark.parametrize("writer", [0, 1])
async def test_watched_branches_are_read_where_something_was_written_and_only_then(
    pair: tuple[Database, Database], writer: int
) -> None:
    reader, both = pair[0], [MAIN, OTHER_BRANCH]
    for number in range(3):
        head = await commit(pair[writer], MAIN, str(number))

        assert await watched(reader, *both) == ([head, None], 3)
        assert await watched(reader, *both) == ([head, None], 0)


async def test_another_choice_of_branches_is_read_anew(database: Database) -> None:
    head = await commit(database)

    assert (await watched(database, MAIN))[0] == [head]
    assert (await watched(database, OTHER_BRANCH))[0] == [None]
    assert (await watched(database, OTHER_BRANCH, MAIN))[0] == [None, head]


# the switch


async def test_where_nothing_is_remembered_every_answer_comes_from_the_database(
    db_path: Path,
) -> None:
    database = await open_database(str(db_path), TractConfig(), ticking(), remembers=False)
    repositories = repositories_over(database)
    head = await commit(database)

    assert await database.freshness.head(MAIN) is None
    assert await watched(database, MAIN) == ([head], 2)
    assert await watched(database, MAIN) == ([head], 2)
    for ask in (
        lambda: repositories.refs.head(MAIN),
        lambda: repositories.histories.locate(MAIN, Position(), {head}),
    ):
        before = database.trips
        await ask()
        assert database.trips == before + 1
    assert await kept(database, await repositories.histories.log(MAIN, limit=None)) == []
    await database.aclose()


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


@pytest.mark.parametrize(
    ("seed", "remembers"), [*((seed, True) for seed in range(10)), (10, False), (11, False)]
)
async def test_two_stores_that_change_one_database_see_each_others_heads(
    db_path: Path, seed: int, remembers: bool
) -> None:
    choose = random.Random(seed)
    async with (
        await remembering(db_path, remembers) as one,
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


@pytest.mark.unmeasured
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
