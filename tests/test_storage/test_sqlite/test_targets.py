"""What a store is opened by: paths to the letter, SQLite's URIs and SQLAlchemy's URLs, or refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from support.opening import COUNTER, refused, used
from tract import AsyncTract, StorageError
from tract.storage.sqlite.targets import parse_target

pytestmark = pytest.mark.measured

NAMES = ["a b.db", "übung-空.db", "a#b.db", "what?.db", "100%41.db", "a&b=c+d.db", ":memory:x"]


def names_in(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


# paths


@pytest.mark.parametrize(
    "target", ["relative.db", "C:\\data\\x.db", "C:/x.db", "FILE:x", "a?b#c%20"]
)
def test_what_is_no_uri_is_a_path_to_the_letter(target: str) -> None:
    assert parse_target(target) == (target, {})


@pytest.mark.parametrize("name", ["file:x.db", "file:x.db?mode=memory", "sqlite:", *NAMES])
async def test_a_path_object_is_a_path_whatever_it_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await used(Path(name)) == ["agent"]

    assert names_in(tmp_path) == [name]


async def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Before a file is made of it; SQLite could not tell of one."""
    for name in ("\udcff.db", "\ud800.db"):
        for path in (f"{tmp_path}/{name}", Path(tmp_path, name)):
            assert "lone surrogate" in str(await refused(path))

    assert names_in(tmp_path) == []


# URIs


@pytest.mark.parametrize(
    "form", ["file:{}", "file://{}", "file://localhost{}", "sqlite:///file:{}"]
)
@pytest.mark.parametrize("name", NAMES)
async def test_a_uri_names_any_file_by_percent_encoding(
    tmp_path: Path, form: str, name: str
) -> None:
    path = quote(str(tmp_path / name))
    if form.startswith("sqlite"):
        path = quote(path)  # decoded once as that of a URL, and once as that of a URI

    assert await used(form.format(path)) == ["agent"]
    assert names_in(tmp_path) == [name]


async def test_a_relative_uri_begins_where_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await used("file:x.db")
    await used("file:y.db?mode=rwc")

    assert names_in(tmp_path) == ["x.db", "y.db"]


@pytest.mark.parametrize(
    "form", ["file:{}?mode=rw", "sqlite:///{}?mode=rw", "sqlite:///file:{}?mode=rw&uri=true"]
)
async def test_mode_rw_opens_what_is_there_and_makes_no_file(db_path: Path, form: str) -> None:
    target = form.format(db_path)

    error = await refused(target)
    assert "there is no such file" in str(error)
    assert error.path == str(db_path)
    assert names_in(db_path.parent) == []

    await used(db_path)
    assert await used(target) == ["agent"]


@pytest.mark.parametrize(
    "target",
    [
        *(
            "file::memory:",
            "file:x?mode=memory",
            "file:?mode=memory",
            "file::memory:?cache=private",
        ),
        *("sqlite:///x?mode=memory", "sqlite+aiosqlite:///file:x?mode=memory&uri=true"),
        "sqlite:///file::memory:?uri=true",
    ],
)
async def test_a_uri_of_memory_is_a_new_database_that_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        async with AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER) as tract:
            assert await tract.head() is None
            await tract.user("hello")
            assert len(await tract.log()) == 1
            assert ":memory:" in repr(tract)

    assert names_in(tmp_path) == []


async def test_a_vfs_is_passed_on_to_sqlite(db_path: Path) -> None:
    assert "no such vfs: nonesuch" in str(await refused(f"file:{db_path}?vfs=nonesuch"))
    assert await used(f"sqlite:///{db_path}?vfs=unix-dotfile") == ["agent"]


# what is refused


@pytest.mark.parametrize("form", ["file:{}?{}", "sqlite:///{}?{}", "sqlite:///file:{}?uri=true&{}"])
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("color=red", "parameter 'color': a store takes mode, immutable and vfs"),
        ("Mode=ro", "parameter 'Mode'"),
        ("nolock=1", "parameter 'nolock'"),
        ("mode=ro&psow=0", "parameter 'psow'"),
        ("timeout=5", "`TractConfig.busy_timeout`"),
        ("cache=shared", "cache=shared: connections that share a cache"),
        ("mode=memory&cache=shared", "cache=shared"),
        ("vfs=memdb", "':memory:'"),
        ("vfs=unix-none", "takes no locks"),
        ("mode=write", "mode of a path has an invalid value. Give ro, rw, rwc, memory."),
        ("immutable=maybe", "Give 1, yes, true, on, 0, no, false, off."),
        ("mode=ro&mode=rwc", "'mode' is given twice"),
    ],
)
async def test_a_parameter_that_a_store_cannot_honour_is_refused_by_name(
    db_path: Path, form: str, query: str, says: str
) -> None:
    error = await refused(form.format(db_path, query))

    assert says in str(error)
    assert names_in(db_path.parent) == []


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("file:", "The path is empty"),
        ("file:?mode=rwc", "The path is empty"),
        ("file://host/x.db", "'host' stands where a URI has its host"),
        ("file://x.db", "'file:path' or 'file:///path'"),
        ("file:a#b.db", "'%23'"),
        ("file:a%00b.db", "null character"),
        ("file:%FF.db", "a byte that is not UTF-8"),
        (
            "sqlite:///x.db?uri=perhaps",
            "uri of a path has an invalid value. Give true, false",
        ),
    ],
)
async def test_a_malformed_uri_is_refused_with_what_to_give_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert says in str(await refused(target))
    assert names_in(tmp_path) == []


async def test_a_url_that_says_it_is_no_uri_names_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await used("sqlite:///file:x.db?uri=false")

    assert names_in(tmp_path) == ["file:x.db"]


async def test_an_error_of_a_uri_names_the_path(db_path: Path) -> None:
    await used(db_path)
    with closing(sqlite3.connect(db_path)) as connection, connection:
        connection.execute("UPDATE _tract_meta SET value = '99'")

    for form in ("file:{}?mode=rw", "sqlite:///{}?mode=ro", "file:{}?immutable=1"):
        error = await refused(form.format(db_path))
        assert error.path == str(db_path)
        assert type(error) is not StorageError
