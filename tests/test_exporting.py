"""`store.export()` and `store.import_()`: tracts in one file, checked on the way in."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from support.copied import contexts, fill, rows
from support.naming import erased, keyed, titled
from support.opening import COUNTER, threads_left, threads_of_connections
from support.probes import probe
from tract import (
    UNSET,
    CommitNotFoundError,
    CopyProgress,
    CopyReport,
    DialogueContent,
    MediaPart,
    MessageContent,
    SchemaVersionError,
    StorageError,
    StoreCopyError,
    StoreReadOnlyError,
    TextPart,
    TokenUsage,
    TractNotFoundError,
    TractStore,
    UnsetType,
)
from tract.engine.bundling import chosen
from tract.engine.copying import Copier
from tract.engine.exporting import Renewal
from tract.engine.threads import Threads
from tract.storage.repositories import Portion
from tract.storage.sql.database import Database
from tract.storage.sql.repositories import repositories_over
from tract.storage.sql.repositories.copies import SqlCopyRepository

Place = Path | str
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
def place(target: str) -> Place:
    """Return the place of the store, a file as a path, for `rows`."""
    return target if "://" in str(target) else Path(target)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "bundle.tract"


def files(bundle: Path) -> list[str]:
    return sorted(each.name for each in bundle.parent.iterdir())


def data_of(path: Path) -> bytes:
    return path.read_bytes()


def remove(path: Path) -> None:
    path.unlink()


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def exported(place: Place, bundle: Path, **options: object) -> CopyReport:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        return await store.export(bundle, **options)  # type: ignore[arg-type]


async def imported(place: Place, bundle: Path) -> CopyReport:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        return await store.import_(bundle)


async def test_everything_goes_out_into_one_file_and_comes_in(
    place: Place, bundle: Path, tmp_path: Path
) -> None:
    await fill(place)
    there = await exported(place, bundle)
    assert files(bundle) == ["bundle.tract"]
    data = data_of(bundle)
    here = await imported(tmp_path / "other.db", bundle)

    assert here == there
    assert await rows(tmp_path / "other.db") == await rows(place)
    assert await contexts(tmp_path / "other.db") == await contexts(place)
    assert (data_of(bundle), files(bundle)) == (data, ["bundle.tract"])
    assert (await imported(tmp_path / "other.db", bundle)).commits == 0
    assert (await imported(place, bundle)) == CopyReport(tracts=5, commits=0, attachments=0)


async def test_a_file_comes_into_any_engine_and_opens_as_a_store(
    place: Place, bundle: Path, tmp_path: Path
) -> None:
    await fill(tmp_path / "source.db")
    await exported(tmp_path / "source.db", bundle)
    await imported(place, bundle)

    assert await rows(place) == await rows(tmp_path / "source.db")
    async with TractStore.open(bundle, tokenizer=COUNTER) as opened:
        assert await opened.tract("planner").user("goes on in the file")


async def test_an_empty_store_is_an_empty_file(place: Place, bundle: Path) -> None:
    assert await exported(place, bundle) == CopyReport(tracts=0, commits=0, attachments=0)
    assert await imported(place, bundle) == CopyReport(tracts=0, commits=0, attachments=0)


async def test_a_store_in_memory_goes_out_and_in(bundle: Path) -> None:
    async with TractStore.open(tokenizer=COUNTER) as store:
        info = await store.tract("t").user("said")
        await store.export(bundle)
    async with TractStore.open(tokenizer=COUNTER) as store:
        await store.import_(bundle)
        assert await store.tract("t").head() == info.commit_hash


async def test_only_the_chosen_tracts_go_out(place: Place, bundle: Path) -> None:
    await fill(place)
    report = await exported(place, bundle, tracts=["träct/2", "given only"])

    assert report.tracts == 2
    async with TractStore.open(bundle, tokenizer=COUNTER) as store:
        assert await store.tract_ids() == ["träct/2"]
    assert b"Norway" not in data_of(bundle)
    assert b"alone" in data_of(bundle)


class Overtaken(SqlCopyRepository):
    """Lets something happen once after the first commits of `t` were read."""

    def __init__(self, database: Database, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database)
        self._todo = [meanwhile]

    async def commits(self, tract_id: str, after: int, through: int) -> Portion | None:
        found = await super().commits(tract_id, after, through)
        while self._todo and tract_id == "t":
            await self._todo.pop()()
        return found


@pytest.mark.parametrize("how", ["erased", "pruned", "a content of a tract before"])
async def test_a_tract_that_shrinks_before_a_copy_is_done_is_refused(
    place: Place, how: str
) -> None:
    async with (
        TractStore.open(place, tokenizer=COUNTER) as store,
        TractStore.open(tokenizer=COUNTER) as other,
    ):
        tract = store.tract("t")
        branch = await tract.fork("lost")
        async with branch.batch() as batch:
            lost = [batch.commit(DialogueContent(role="user", text=str(n))) for n in range(300)]
        await tract.user("stays")
        before = await store.tract("before").user("a secret")
        await tract.delete_branch("lost", force=True)
        gone = [each.info.commit_hash for each in reversed(lost)]
        database = probe(store).parts.database
        storage, target = repositories_over(database), probe(other).parts.database
        plan = await storage.prunes.plan("t", before=None, keep=0)

        async def shrink() -> object:
            if how == "erased":
                return await store.erase_tract("t", reason="asked")
            if how != "pruned":
                return await store.tract("before").erase([before.commit_hash], reason="asked")
            return await storage.prunes.drop("t", plan, gone[:40])

        source = storage._replace(copies=Overtaken(database, shrink))
        threads = Threads()
        copier = Copier(source, repositories_over(target), threads, "target", None)
        with pytest.raises(
            StoreCopyError, match=r"erased or pruned meanwhile.*export again"
        ) as told:
            await copier.copy()
        threads.close()
        refused = "before" if how == "a content of a tract before" else "t"
        assert [each.tract_id for each in told.value.faults] == [refused]
        assert (await other.tract("t").branches() == []) == (refused == "t")


MARK = "the xyzzy of a secret"


async def _erase(store: TractStore) -> None:
    [first] = await store.tract("t").query(limit=1)
    await store.tract("t").erase([first.commit_hash], reason="asked")


async def _erase_tract(store: TractStore) -> None:
    await store.erase_tract("t", reason="asked")


async def _begin_anew(store: TractStore) -> None:
    await store.erase_tract("t", reason="asked")
    await store.tract("t").user("anew")


SHRINKING: dict[str, tuple[Callable[[TractStore], Awaitable[None]], int]] = {
    "erased": (_erase, 301),
    "erased whole": (_erase_tract, 0),
    "begun anew": (_begin_anew, 1),
}


@pytest.mark.parametrize("tracts", [None, {"t": "main", "a": "main"}], ids=["all", "chosen"])
@pytest.mark.parametrize("how", SHRINKING)
async def test_a_tract_that_is_erased_meanwhile_goes_out_as_it_is_then(
    place: Place, bundle: Path, how: str, tracts: dict[str, str | UnsetType | None] | None
) -> None:
    """The others go out as ever, and nothing that was erased is in the file."""
    shrink, left = SHRINKING[how]
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.tract("a").user("stays")
        async with store.tract("t").batch() as batch:
            for number in range(301):
                batch.user(f"{MARK if number == 0 or left < 2 else 'text'} {number}")
        database, threads = probe(store).parts.database, Threads()
        source = repositories_over(database)._replace(
            copies=Overtaken(database, partial(shrink, store))
        )
        some = None if tracts is None else await chosen(source.copies, tracts)
        async with TractStore.open(bundle, tokenizer=COUNTER) as exported:
            target = repositories_over(probe(exported).parts.database)
            renewal = Renewal(source, target, tracts)
            copier = Copier(source, target, threads, "target", None, some, renewal.again)
            report = await copier.copy()
            await renewal.finish()
        threads.close()

        assert report.left_out == (() if left else ("t",))
        assert (report.tracts, report.commits) == (2 if left else 1, 1 + left)
    assert MARK.encode() not in data_of(bundle)
    assert files(bundle) == ["bundle.tract"]
    async with TractStore.open(bundle, tokenizer=COUNTER) as exported:
        assert await exported.tract_ids() == (["a", "t"] if left else ["a"])
        assert len(await exported.tract("t").log(None)) == left
        for tract_id in await exported.tract_ids():
            assert (await exported.tract(tract_id).verify()).faults == ()


async def test_nothing_goes_out_of_a_tract_whose_erasure_was_cut_short(
    place: Place, bundle: Path
) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.tract("a").user("stays")
        await store.tract("t").user(MARK)
        erasures = repositories_over(probe(store).parts.database).erasures
        await erasures.drop_names("t")
        report = await store.export(bundle)

        assert (report.tracts, report.commits, report.left_out) == (1, 1, ("t",))
    assert MARK.encode() not in data_of(bundle)


async def test_nothing_goes_out_of_a_tract_while_a_prune_of_it_is_under_way(
    place: Place, bundle: Path
) -> None:
    """A killed one, too: until another has ended. A copy within the store is of one moment."""
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        entry = await tract.user("kept")
        branch = await tract.fork("lost")
        lost = await branch.user("lost")
        await tract.delete_branch("lost", force=True)
        prunes = repositories_over(probe(store).parts.database).prunes
        plan = await prunes.plan("t", before=None, keep=0)
        await prunes.drop("t", plan, [lost.commit_hash])
        for tracts in (["t"], {"t": "main"}):
            with pytest.raises(
                StoreCopyError, match="a prune of it is under way, or was cut short"
            ):
                await store.export(bundle, tracts=tracts)
        assert files(bundle) == []
        await store.copy_tract("t", "copy")

        assert (await store.export(bundle, tracts=["copy"])).commits == 1
        await tract.prune(before=entry.commit_hash, reason="old")
        assert (await store.export(bundle.with_name("whole"))).tracts == 2


async def test_a_first_commit_meanwhile_does_not_look_like_an_erasure(place: Place) -> None:
    async with (
        TractStore.open(place, tokenizer=COUNTER) as store,
        TractStore.open(tokenizer=COUNTER) as other,
    ):
        begun = store.tract("begun")
        await begun.attach(b"given", media_type="image/png")
        await store.tract("t").user("said")
        database, target = probe(store).parts.database, probe(other).parts.database
        source = repositories_over(database)._replace(
            copies=Overtaken(database, lambda: begun.user("first"))
        )
        threads = Threads()
        report = await Copier(source, repositories_over(target), threads, "target", None).copy()
        threads.close()

        assert report == CopyReport(tracts=2, commits=1, attachments=1)


async def test_no_chosen_tracts_are_none(place: Place, bundle: Path) -> None:
    await fill(place)

    assert (await exported(place, bundle, tracts=[])).tracts == 0


async def branched(place: Place) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        main = store.tract("t")
        first = await main.user("first")
        side = await main.fork("side")
        picture = MediaPart(kind="image", media_type="image/png", data=b"\x89PNG\r\n\x1a\npicture")
        await side.commit(MessageContent(role="user", parts=(TextPart(text="see"), picture)))
        async with main.batch() as batch:
            for number in range(300):
                batch.commit({"content_type": "dialogue", "role": "user", "text": f"<{number}>"})
        secret = await main.fork("secret", at_commit=first.commit_hash)
        other = MediaPart(kind="image", media_type="image/png", data=b"\x89PNG\r\n\x1a\nsecret")
        async with secret.batch() as batch:
            for number in range(300):
                batch.commit(
                    {"content_type": "dialogue", "role": "user", "text": f"secret {number}"}
                )
        await secret.commit(MessageContent(role="user", parts=(TextPart(text="look"), other)))
        await secret.record_usage(TokenUsage(9, 9))
        await secret.reset(first.commit_hash, reason="secret reason")
        await main.merge("side")
        await main.record_usage(TokenUsage(3, 4))
        key = await main.user("after")
        await secret.attach(b"secret bytes", "text/plain")
        await store.tract("another").user("secret of another tract")
    await keyed(place, key, "key")
    await titled(place, "t", "Title", "{}")


async def test_a_bundle_of_a_branch_is_enough_for_every_context_in_it(
    place: Place, bundle: Path, tmp_path: Path
) -> None:
    await branched(place)
    await exported(place, bundle, tracts={"t": "main"})
    await imported(tmp_path / "other.db", bundle)

    async with (
        TractStore.open(place, tokenizer=COUNTER) as source,
        TractStore.open(tmp_path / "other.db", tokenizer=COUNTER) as target,
    ):
        here, there = source.tract("t"), target.tract("t")
        log = await here.log(None)
        assert [info.commit_hash for info in await there.log(None)] == [i.commit_hash for i in log]
        for info in [*log[:5], *log[-5:]]:
            expected = await here.compile(at_commit=info.commit_hash)
            assert await there.compile(at_commit=info.commit_hash) == expected
        assert (await there.verify()).faults == ()
        assert [branch.name for branch in await there.branches()] == ["main"]
        await there.user("goes on")
    assert len((await rows(tmp_path / "other.db"))["keys"]) == 1
    assert b"secret" not in data_of(bundle)
    assert b"Title" in data_of(bundle)


async def test_a_bundle_equals_the_copy_of_the_same_commit(place: Place, bundle: Path) -> None:
    await branched(place)
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.copy_tract("t", "copy", at="main")
    await exported(place, bundle, tracts={"t": "main"})
    found, expected = await rows(bundle), await rows(place)

    for table in ("commits", "refs", "runs", "origins", "keys", "usage", "attachments"):
        copied = [[v for v in row if v != "copy"] for row in expected[table] if "copy" in row]
        assert [[v for v in row if v != "t"] for row in found[table]] == copied


async def test_whole_tracts_and_histories_go_together(place: Place, bundle: Path) -> None:
    await branched(place)
    await exported(place, bundle, tracts={"t": "side", "another": UNSET})

    async with TractStore.open(bundle, tokenizer=COUNTER) as store:
        assert await store.tract_ids() == ["another", "t"]
        assert len(await store.tract("t").log(None)) == 2


async def test_a_later_bundle_adds_what_is_new(place: Place, bundle: Path, tmp_path: Path) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        for number in range(3):
            await tract.user(str(number))
            await store.export(bundle, tracts={"t": "main"})
            assert (await imported(tmp_path / "other.db", bundle)).commits == 1
            remove(bundle)
        head = await tract.head()
    async with TractStore.open(tmp_path / "other.db", tokenizer=COUNTER) as store:
        assert await store.tract("t").head() == head


async def test_a_tract_that_went_another_way_is_left_alone(place: Place, bundle: Path) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.tract("t").user("first")
        await store.export(bundle)
        mine = await store.tract("t").user("second")
        with pytest.raises(StoreCopyError, match=mine.commit_hash):
            await store.import_(bundle)
        assert await store.tract("t").head() == mine.commit_hash


async def test_what_was_erased_is_in_no_file(place: Place, bundle: Path, tmp_path: Path) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        info = await store.tract("t").user("a secret")
        await store.tract("t").user("said")
        await store.tract("u").user("a secret")
    await erased(place, info, shared=True)
    await exported(place, bundle, tracts={"t": "main"})
    await imported(tmp_path / "other.db", bundle)

    assert b"a secret" not in data_of(bundle)
    assert len((await rows(tmp_path / "other.db"))["commits"]) == 2


async def test_what_cannot_go_out_makes_no_file(place: Place, bundle: Path) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.tract("t").user("said")
        with pytest.raises(TractNotFoundError, match="nobody"):
            await store.export(bundle, tracts=["t", "nobody"])
        with pytest.raises(CommitNotFoundError, match="no-such"):
            await store.export(bundle, tracts={"t": "no-such"})
        for wrong in ("t", 5, [5], {"t": 5}):
            with pytest.raises((ValueError, CommitNotFoundError)):
                await store.export(bundle, tracts=wrong)  # type: ignore[arg-type]
        with pytest.raises(StorageError, match="folder does not exist"):
            await store.export(bundle.parent / "no" / "such")
    assert files(bundle) == []


@pytest.mark.parametrize("beside", ["", "-wal", "-journal"])
async def test_no_file_is_overwritten(place: Place, bundle: Path, beside: str) -> None:
    there = bundle.with_name(bundle.name + beside)
    put(there, b"mine")
    with pytest.raises(StorageError, match="no file is overwritten"):
        await exported(place, bundle)

    assert data_of(there) == b"mine"
    assert files(bundle) == [there.name]


async def test_a_cancelled_export_leaves_no_file(place: Place, bundle: Path) -> None:
    await branched(place)
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        for number in range(10):
            exporting = asyncio.create_task(store.export(bundle))
            await asyncio.sleep(number * 0.01)
            exporting.cancel()
            await asyncio.wait([exporting])
            if not exporting.cancelled():
                remove(bundle)
            assert files(bundle) == []

        def stop(step: CopyProgress) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            await store.export(bundle, progress=stop)
    assert files(bundle) == []


async def test_cancelling_over_and_over_leaves_no_connection_open(
    place: Place, bundle: Path
) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.tract("t").user("hello")
        await store.export(bundle)
        before = threads_of_connections()
        for turns in range(24):
            importing = asyncio.create_task(store.import_(bundle))
            for _ in range(turns):
                await asyncio.sleep(0.0002)
            while not importing.done():
                importing.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([importing])
        assert await threads_left(before) == set()


async def test_progress_is_told(place: Place, bundle: Path, tmp_path: Path) -> None:
    await branched(place)
    steps: list[CopyProgress] = []
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        await store.export(bundle, tracts={"t": "main"}, progress=steps.append)
        assert [(step.commits, step.of_commits) for step in steps][-1] == (304, 304)
    steps.clear()
    async with TractStore.open(tmp_path / "other.db", tokenizer=COUNTER) as store:
        await store.import_(bundle, progress=steps.append)
    assert [step.commits for step in steps][-1] == 304


async def test_an_import_that_was_cut_short_goes_on(
    place: Place, bundle: Path, tmp_path: Path
) -> None:
    await branched(tmp_path / "source.db")
    await exported(tmp_path / "source.db", bundle)

    def stop(step: CopyProgress) -> None:
        if step.commits:
            raise LookupError

    async with TractStore.open(place, tokenizer=COUNTER) as store:
        with pytest.raises(LookupError):
            await store.import_(bundle, progress=stop)
        assert await store.tract("t").branches() == []
        await store.import_(bundle)
    assert await rows(place) == await rows(tmp_path / "source.db")
    assert files(bundle) == ["bundle.tract"]


def spoil(bundle: Path, kind: str) -> None:
    data = bundle.read_bytes()
    if kind == "cut short":
        bundle.write_bytes(data[: len(data) // 2])
    elif kind == "cut to nothing":
        bundle.write_bytes(b"")
    elif kind == "not a database":
        bundle.write_bytes(b"{}" * 5000)
    elif kind == "newer":
        change(bundle, "UPDATE _tract_meta SET value = '99' WHERE key = 'schema_version'")
    elif kind == "text changed":
        bundle.write_bytes(data.replace(b"<17>", b"<71>"))
    elif kind == "commit lost":
        change(
            bundle, "DELETE FROM commits WHERE created_at = (SELECT min(created_at) FROM commits)"
        )


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("kind", "error", "problem"),
    [
        ("cut short", StorageError, "malformed"),
        ("cut to nothing", StorageError, "no store in this file"),
        ("not a database", StorageError, "not a database"),
        ("newer", SchemaVersionError, "version 99"),
        ("text changed", StoreCopyError, "its content does not have the hash"),
        ("commit lost", StoreCopyError, "is not in the store"),
    ],
)
async def test_a_file_that_is_not_sound_is_refused(
    place: Place, bundle: Path, tmp_path: Path, kind: str, error: type[Exception], problem: str
) -> None:
    await branched(tmp_path / "source.db")
    await exported(tmp_path / "source.db", bundle, tracts={"t": "main"})
    spoil(bundle, kind)
    with pytest.raises(error, match=problem):
        await imported(place, bundle)

    async with TractStore.open(place, tokenizer=COUNTER) as store:
        assert await store.tract("t").branches() == []


async def test_a_file_that_is_not_there_is_refused_and_not_made(place: Place, bundle: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        await imported(place, bundle)

    assert files(bundle) == []


async def test_a_file_of_an_older_release_comes_in_and_stays_as_it_is(
    place: Place, bundle: Path
) -> None:
    schema = Path(__file__).parent / "support" / "fourth_schema.sql"
    with closing(sqlite3.connect(bundle)) as connection, connection:
        connection.executescript(data_of(schema).decode())
    data = data_of(bundle)
    report = await imported(place, bundle)

    assert report.commits > 0
    assert (data_of(bundle), files(bundle)) == (data, ["bundle.tract"])
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        for tract_id in await store.tract_ids():
            assert (await store.tract(tract_id).verify()).faults == ()


async def test_a_file_of_an_older_release_comes_in_with_its_log(
    place: Place, bundle: Path, tmp_path: Path
) -> None:
    schema = Path(__file__).parent / "support" / "fourth_schema.sql"
    with closing(sqlite3.connect(tmp_path / "open.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        connection.executescript(data_of(schema).decode())
        for beside in ("", "-wal"):  # as a process leaves it that is killed
            put(Path(f"{bundle}{beside}"), data_of(Path(f"{tmp_path / 'open.db'}{beside}")))

    assert (await imported(place, bundle)).commits > 0


@pytest.mark.parametrize("name", ["", ".", "a\0b", "\ud800", "x" * 300, "file:here", "here?a=b"])
@pytest.mark.parametrize("verb", ["backup", "export", "import_"])
async def test_a_file_is_at_the_path_or_the_error_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with TractStore.open("store.db", tokenizer=COUNTER) as store:
        await store.tract("t").user("said")
        if name.startswith(("file:", "here")) and verb != "import_":
            await getattr(store, verb)(name)
            assert {*names(tmp_path)} - {*names(tmp_path, "store.db")} == {name}
        else:
            with pytest.raises(StorageError):
                await getattr(store, verb)(name)
            assert names(tmp_path) == names(tmp_path, "store.db")


def names(folder: Path, start: str = "") -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.name.startswith(start))


async def test_a_link_to_a_file_comes_in_with_the_log_of_that_file(
    place: Place, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "open.db")
    async with TractStore.open(tmp_path / "open.db", tokenizer=COUNTER) as store:
        info = await store.tract("t").user("in the log")
        await imported(place, link)
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        assert await store.tract("t").head() == info.commit_hash


async def test_nothing_is_imported_into_a_read_only_store(db_path: Path, bundle: Path) -> None:
    await fill(db_path)
    await exported(db_path, bundle)
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        with pytest.raises(StoreReadOnlyError):
            await store.import_(bundle)
        remove(bundle)
        await store.export(bundle)


async def test_a_file_that_a_process_has_open_comes_in_with_its_log(
    place: Place, tmp_path: Path
) -> None:
    async with TractStore.open(tmp_path / "open.db", tokenizer=COUNTER) as store:
        info = await store.tract("t").user("in the log")
        await imported(place, tmp_path / "open.db")
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        assert await store.tract("t").head() == info.commit_hash


_EXPORT = """
import asyncio, sys
from support.opening import COUNTER, threads_left, threads_of_connections
from tract import TractStore

async def main():
    async with TractStore.open(sys.argv[1], tokenizer=COUNTER) as store:
        await store.export(sys.argv[2], progress=lambda step: print(step.commits, flush=True))

asyncio.run(main())
"""


async def test_a_killed_export_leaves_no_file_of_that_name(db_path: Path, bundle: Path) -> None:
    await branched(db_path)
    exporting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _EXPORT, str(db_path), str(bundle)),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert exporting.stdout is not None
    await exporting.stdout.readline()
    exporting.kill()
    await exporting.communicate()
    assert all(".part" in name for name in files(bundle))

    await exported(db_path, bundle)
    assert "bundle.tract" in files(bundle)
