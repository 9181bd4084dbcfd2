"""Stores that can only be read: everything that reads works, and a write says why it does not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from support.first_schema import write
from support.opening import COUNTER, refused, used
from support.probes import probe
from support.replies import reply
from tract import (
    AsyncTract,
    BudgetAction,
    CommitInfo,
    Priority,
    SchemaVersionError,
    StorageError,
    StoreReadOnlyError,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
    config,
)

FORMS = [
    "file:{}?mode=ro",
    "sqlite:///{}?mode=ro",
    "sqlite+aiosqlite:///file:{}?mode=ro&uri=true",
    "file:{}?immutable=1",
    "file:{}?mode=ro&immutable=YES",
]
every_form = pytest.mark.parametrize("form", FORMS)


def content(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def filled(path: Path) -> list[CommitInfo]:
    """Make a store with two branches and a tag, and return what was committed, oldest first."""
    async with AsyncTract.open(path, tract_id="agent", tokenizer=COUNTER) as tract:
        a = await tract.user("a", generation_config={"temperature": 0.5})
        await tract.tag("v1")
        side = await tract.fork("side")
        b = await tract.assistant("b")
        c = await side.assistant("c")
        return [a, b, c]


def opened(target: str, options: TractConfig | None = None) -> Any:
    return AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER, config=options)


@every_form
async def test_everything_that_reads_works(db_path: Path, form: str) -> None:
    a, b, c = await filled(db_path)
    before = content(db_path)

    async with opened(form.format(db_path)) as tract:
        assert await tract.head() == b.commit_hash
        assert (await tract.compile()).commit_hashes == [a.commit_hash, b.commit_hash]
        assert (await tract.compile(at_commit="v1")).commit_hashes == [a.commit_hash]
        assert await tract.log() == [b, a]
        assert await tract.get_commit(c.commit_hash[:8]) == c
        assert (await tract.get_content("v1")).model_dump()["text"] == "a"
        assert await tract.get_annotations("v1") == []
        assert await tract.query(config("temperature") > 0.1) == [a]
        assert [branch.name for branch in await tract.branches()] == ["main", "side"]
        assert [tag.name for tag in await tract.tags()] == ["v1"]
        assert len(await tract.reflog()) == 4
        assert len((await tract.diff("main", "side")).entries) == 2
        assert (await tract.stats()).commits == 2
        assert await tract.origins() == []
        assert [each async for each in _first(tract, 2)] == [a, b]
        assert (await tract.verify()).faults == ()
    assert content(db_path) == before


async def _first(tract: AsyncTract, count: int) -> Any:
    watch = tract.watch()
    for _ in range(count):
        yield await anext(watch)


async def batches(tract: AsyncTract) -> None:
    async with tract.batch():
        pytest.fail("the body ran")


async def streams(tract: AsyncTract) -> None:
    async with tract.stream():
        pytest.fail("the body ran")


async def records(tract: AsyncTract) -> None:
    chunks = reply({"choices": []})
    with pytest.raises(StoreReadOnlyError):
        await anext(tract.record_openai(chunks))
    assert await anext(chunks)  # nothing of a reply that was paid for was taken
    await anext(tract.record_openai(chunks))


async def merges(tract: AsyncTract) -> None:
    await tract.merge("side", on_conflict=lambda conflict: pytest.fail("somebody was asked"))


WRITES: dict[str, Callable[[AsyncTract], Awaitable[Any]]] = {
    "commit": lambda tract: tract.user("no"),
    "edit": lambda tract: tract.user("no", operation="edit", edit_target="v1"),
    "annotate": lambda tract: tract.annotate("v1", Priority.SKIP),
    "batch": batches,
    "stream": streams,
    "record": records,
    "fork": lambda tract: tract.fork("other"),
    "reset": lambda tract: tract.reset("v1"),
    "delete_branch": lambda tract: tract.delete_branch("side", force=True),
    "tag": lambda tract: tract.tag("v2"),
    "delete_tag": lambda tract: tract.delete_tag("v1"),
    "merge": merges,
    "squash": lambda t: t.merge("side", squash={"content_type": "freeform", "payload": 1}),
    "cherry_pick": lambda tract: tract.cherry_pick("side"),
    "record_usage": lambda t: t.record_usage({"prompt_tokens": 1, "completion_tokens": 1}),
}


@pytest.mark.parametrize("form", [FORMS[0], FORMS[3]])
@pytest.mark.parametrize("budgeted", [False, True])
async def test_a_write_says_that_the_store_was_opened_read_only(
    db_path: Path, form: str, budgeted: bool, subtests: pytest.Subtests
) -> None:
    """And does so before anybody is asked, or a block is entered, for nothing."""
    await filled(db_path)
    before = content(db_path)
    budget = TokenBudgetConfig(
        max_tokens=1,
        action=BudgetAction.CALLBACK,
        callback=lambda tokens, max_tokens: pytest.fail("the budget's callback was called"),
    )
    options = TractConfig(token_budget=budget if budgeted else None)
    async with opened(form.format(db_path), options) as tract:
        for call, write in WRITES.items():
            with subtests.test(call=call):
                trips = probe(tract).trips
                with pytest.raises(StoreReadOnlyError, match="was opened read-only, by `") as told:
                    await write(tract)
                assert told.value.path == str(db_path)
                if call in ("commit", "batch", "stream", "merge", "fork", "tag"):
                    assert probe(tract).trips == trips

    assert content(db_path) == before


async def test_an_index_is_not_created_in_a_store_that_is_read_only(db_path: Path) -> None:
    await filled(db_path)
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        assert await store.recover_streams() == []
        with pytest.raises(StoreReadOnlyError):
            await store.create_config_index("temperature")


async def test_what_others_commit_is_read_and_watched(db_path: Path) -> None:
    infos = await filled(db_path)
    async with (
        opened(str(db_path)) as writing,
        opened(f"file:{db_path}?mode=ro") as reading,
        reading.watch(after="head") as news,
    ):
        await reading.compile()
        d = await writing.user("d")

        assert (await reading.compile()).head_hash == d.commit_hash
        async with asyncio.timeout(20):
            assert await anext(news) == d
        assert await reading.log(2) == [d, infos[1]]


async def test_an_engine_of_a_read_only_url_gives_a_store_that_is_read_only(db_path: Path) -> None:
    await filled(db_path)
    engine = create_async_engine(f"sqlite+aiosqlite:///file:{db_path}?mode=ro&uri=true")
    async with TractStore.from_engine(engine, tokenizer=COUNTER) as store:
        assert await store.tract_ids() == ["agent"]
        with pytest.raises(StoreReadOnlyError, match="mode=ro"):
            await store.tract("agent").user("no")
    await engine.dispose()


# what cannot be opened so


@every_form
async def test_a_file_without_a_store_is_refused_and_left_as_it_is(
    db_path: Path, form: str
) -> None:
    put(db_path, b"")

    error = await refused(form.format(db_path))
    assert type(error) is StoreReadOnlyError
    assert "Open it for writing first" in str(error)
    assert content(db_path) == b""


@pytest.mark.parametrize("target", ["file::memory:?mode=ro", "sqlite://?mode=ro"])
async def test_a_new_database_in_memory_cannot_be_read_only(target: str) -> None:
    assert type(await refused(target)) is StoreReadOnlyError


@every_form
async def test_a_file_that_is_not_there_is_not_made(db_path: Path, form: str) -> None:
    error = await refused(form.format(db_path))

    assert "there is no such file" in str(error)
    assert os.listdir(db_path.parent) == []


@every_form
async def test_a_file_of_an_older_schema_is_refused_by_name(db_path: Path, form: str) -> None:
    """It would have to be migrated first."""
    write(db_path, (("agent", "main", ("hello",)),))
    before = content(db_path)

    error = await refused(form.format(db_path))
    assert isinstance(error, SchemaVersionError)
    assert error.found < error.supported
    assert "open it for writing once" in str(error)
    assert content(db_path) == before
    await used(db_path)
    async with TractStore.open(form.format(db_path), tokenizer=COUNTER) as store:
        assert await store.tract_ids() == ["agent"]


async def test_immutable_does_not_pass_over_a_log_with_commits(db_path: Path) -> None:
    """SQLite would, without a word: acknowledged commits would not be there."""
    async with opened(str(db_path)) as tract:
        await tract.user("in the log")
        error = await refused(f"file:{db_path}?immutable=1")

        assert type(error) is StorageError
        assert f"{db_path}-wal" in str(error)
        assert error.path == str(db_path)
    async with opened(f"file:{db_path}?immutable=1") as tract:
        assert len(await tract.log()) == 1


# permissions


_AS_NOBODY = """
import asyncio, os, sys
from tract import AsyncTract, NullTokenCounter, StorageError
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
async def main(target):
    try:
        async with AsyncTract.open(target, tract_id="agent", tokenizer=NullTokenCounter()) as tract:
            print("read", len(await tract.log()), len((await tract.compile()).commit_hashes))
            await tract.user("no")
            print("written")
    except StorageError as error:
        print(type(error).__name__, error)
for target in sys.argv[1:]:
    asyncio.run(main(target))
    print("---")
"""


def as_nobody(*targets: str) -> list[list[str]]:
    """Read from and write to *targets* without root's rights; return what each has printed."""
    command = [sys.executable, "-c", _AS_NOBODY, *targets]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return [part.strip().splitlines() for part in done.stdout.split("---\n")[:-1]]


@pytest.fixture
def folder() -> Any:
    """Return a folder that everybody can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o777)
        yield Path(path)
        Path(path).chmod(0o777)


posix = pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions of POSIX systems")


@posix
def test_a_file_that_may_not_be_written_is_opened_read_only(folder: Path) -> None:
    path = folder / "context.db"
    asyncio.run(filled(path))
    path.chmod(0o444)
    [[read, told]] = as_nobody(str(path))

    assert read == "read 2 2"
    assert told.startswith(f"StoreReadOnlyError {path}: the store was opened read-only, as this")


@posix
@pytest.mark.parametrize("mode", [0o444, 0o666])
def test_a_folder_that_may_not_be_written_is_told_with_the_uri_that_opens_the_file(
    folder: Path, mode: int
) -> None:
    path = folder / "a b.db"
    asyncio.run(filled(path))
    path.chmod(mode)
    folder.chmod(0o555)
    uri = f"file:{folder}/a%20b.db?immutable=1"
    [refused], [read, told] = as_nobody(str(path), uri)

    assert refused.startswith(
        f"StoreReadOnlyError {path}: the database is read-only, and so is its"
    )
    assert repr(uri) in refused
    assert read == "read 2 2"
    assert told.startswith("StoreReadOnlyError")


def protect(folder: Path) -> None:
    for item in folder.iterdir():
        item.chmod(0o444)
    folder.chmod(0o555)


@posix
def test_a_folder_that_may_not_be_written_is_read_while_another_process_has_the_file_open(
    folder: Path,
) -> None:
    """Then SQLite's two files are there."""
    path = folder / "context.db"

    async def share() -> list[list[str]]:
        await filled(path)
        async with opened(str(path)) as tract:
            await tract.user("in the log")
            protect(folder)
            return await asyncio.to_thread(as_nobody, str(path))

    [[read, told]] = asyncio.run(share())
    assert read == "read 3 3"
    assert told.startswith("StoreReadOnlyError")
