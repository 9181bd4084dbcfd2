"""Where branches point, and rows of them that do not fit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.drafts import draft
from support.opening import COUNTER
from tract import BranchNotFoundError, HeadMovedError, TractConfig, TractStore
from tract.storage.repositories import BranchName, ExistingBranch
from tract.storage.sql.writing import ref_writes, tips
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.database import open_database
from tract.storage.sqlite.migrations import migrate


async def test_verify_tells_of_a_branch_whose_segment_is_anothers(db_path: Path) -> None:
    """Its next commit would be taken for one of the other branch, whose entries it could edit."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("mine")
        await store.tract("t", branch="other").user("theirs")
    with closing(sqlite3.connect(db_path)) as damaging, damaging:
        damaging.execute("UPDATE refs SET segment = 1 WHERE name = 'refs/heads/main'")

    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        assert (await store.tract("t").verify()).faults


async def test_a_fork_without_commits_of_its_own_fits(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        first = await tract.user("first")
        side = await tract.fork("side")
        await tract.user("second")
        await tract.reset(first.commit_hash)

        assert (await tract.verify()).faults == ()
        await side.user("on the side")
        await tract.user("after the reset")
        assert (await tract.verify()).faults == ()


async def test_a_branch_that_was_looked_for_in_vain_fits_once_it_is_made(
    target: Path | str,
) -> None:
    """However many branches were made and moved meanwhile."""
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        main = store.tract("t")
        first = await main.user("first")
        with pytest.raises(BranchNotFoundError):
            await main.delete_branch("side")
        with pytest.raises(HeadMovedError):
            await store.tract("t", branch="new").user("no", expected_head=first.commit_hash)
        other = await main.fork("other")
        await other.user("second")
        await main.reset(first.commit_hash)
        await other.fork("side")
        await other.fork("new")
        assert (await main.verify()).faults == ()

    async with TractStore.open(target, tokenizer=COUNTER) as store:
        for branch in ("side", "new"):
            await store.tract("t", branch=branch).user("third")
        assert (await store.tract("t").verify()).faults == ()


async def test_a_branch_made_in_one_transaction_with_others_fits(db_path: Path) -> None:
    """What looked for it in vain came before they were made, in the same transaction."""
    main = BranchName("t", "main")

    def job(transaction: WriteTransaction) -> None:
        first = transaction.commit(main, [draft("first")])[0].commit_hash
        with pytest.raises(BranchNotFoundError):
            ref_writes.delete(transaction, BranchName("t", "side"), force=True)
        transaction.commit(main, [draft("second")])
        ref_writes.move(transaction, main, first, action="reset", note=None)
        transaction.commit(main, [draft("third")])
        ref_writes.fork(transaction, main, "side")

    database = await open_database(db_path, TractConfig())
    await database.write(job)
    await database.aclose()
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        assert (await store.tract("t").verify()).faults == ()
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t", branch="side").user("fourth")


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        migrate(raw, ":memory:")
        yield SqliteConnection(raw)


def test_only_so_many_branches_are_carried_over(connection: SqliteConnection) -> None:
    known = tips.Tips(connection)
    for number in range(tips._MOST):
        known.start(BranchName(str(number), "main"), None, action="fork", note=None, now=number)
    assert known.renew()
    known.start(BranchName("t", "more"), None, action="fork", note=None, now=0)

    assert not known.renew()


def test_branches_that_are_not_there_take_no_room(connection: SqliteConnection) -> None:
    known = tips.Tips(connection)
    for number in range(tips._MOST + 1):
        with pytest.raises(BranchNotFoundError):
            known.of(ExistingBranch("t", str(number)))
        assert known.renew()


def test_branches_that_were_deleted_take_no_room(connection: SqliteConnection) -> None:
    known = tips.Tips(connection)
    for number in range(tips._MOST + 1):
        branch = BranchName("t", str(number))
        known.start(branch, None, action="fork", note=None, now=2 * number)
        known.delete(branch, now=2 * number + 1)
        assert known.renew()
