"""What nobody means to type ends in one line and an exit code, makes nothing and shows no secret."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.commands import tract
from tract import SyncStore

pytestmark = pytest.mark.measured

SERVER = "postgresql://agent:hunter2@127.0.0.1:1/agents?connect_timeout=1"


@pytest.mark.parametrize("command", ["log", "migrate", "import"])
def test_a_url_whose_mode_makes_files_makes_none(tmp_path: Path, command: str) -> None:
    path = tmp_path / "missing.db"
    rest = [path] if command == "import" else []

    assert tract(command, f"file:{path}?mode=rwc", *rest).code == 5
    assert tract(command, f"sqlite:///{path}?mode=rwc&uri=true", *rest).code == 5
    assert not path.exists()


@pytest.mark.parametrize("mode", ["rw", "rwc"])
def test_looking_by_a_url_for_writing_does_not_write(agents: Path, mode: str) -> None:
    before = agents.read_bytes()

    assert tract("log", f"file:{agents}?mode={mode}").code == 0
    assert agents.read_bytes() == before


def test_a_url_that_is_read_only_stays_so(agents: Path) -> None:
    assert tract("collect", f"file:{agents}?mode=ro", "--yes").code == 5


def test_a_url_of_a_store_in_memory_is_a_usage_error() -> None:
    assert tract("log", "file:agents?mode=memory").code == 2


@pytest.mark.parametrize("port", ["99999", "port", "0"])
def test_a_port_that_there_cannot_be_is_told(port: str) -> None:
    ended = tract("log", f"postgresql://agent:hunter2@127.0.0.1:{port}/agents")

    assert (ended.code, len(ended.err.splitlines())) == (5, 1)
    assert "hunter2" not in ended.err


@pytest.mark.parametrize(
    "command", [["backup"], ["export"], ["export", "--html"], ["import"]], ids=" ".join
)
def test_a_url_where_a_file_is_meant_is_refused_without_its_password(
    agents: Path, command: list[str]
) -> None:
    ended = tract(command[0], agents, SERVER, *command[1:])

    assert ended.code == 2
    assert "hunter2" not in ended.out + ended.err


@pytest.mark.parametrize("framework", ["langgraph", "openai-agents"])
def test_a_source_on_a_server_that_does_not_answer_is_told_in_a_line(
    agents: Path, framework: str
) -> None:
    url = SERVER.replace(
        "postgresql:", "postgresql+asyncpg:" if framework != "langgraph" else "postgresql:"
    )

    ended = tract("import", agents, url.partition("?")[0], "--from", framework)

    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "hunter2" not in ended.err


@pytest.mark.parametrize("framework", ["langgraph", "openai-agents"])
def test_a_source_that_is_not_a_database_is_told_in_a_line(
    agents: Path, tmp_path: Path, framework: str
) -> None:
    source = tmp_path / "notes.txt"
    source.write_text("no database\n" * 100)

    ended = tract("import", agents, source, "--from", framework)

    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert source.read_text() == "no database\n" * 100


def test_a_database_of_another_program_is_not_made_a_source(agents: Path, tmp_path: Path) -> None:
    source = tmp_path / "shop.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("CREATE TABLE orders (number INTEGER)")
    before = source.read_bytes()

    assert tract("import", agents, source, "--from", "langgraph").code == 1
    assert source.read_bytes() == before


def test_names_to_choose_from_are_on_one_line_whatever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with SyncStore.open(path) as store:
        for name in ("a\ntract: all is well", "b"):
            branch = store.tract(name, branch="one\u202e")
            branch.user("Hello")
            branch.fork("two")

    for ended in (tract("log", path), tract("log", path, "--tract", "b")):
        assert (ended.code, len(ended.err.splitlines())) == (2, 1)


def test_ten_names_to_choose_from_are_all_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with SyncStore.open(path) as store:
        for number in range(10):
            store.tract(f"t{number}").user("Hello")

    assert "…" not in tract("log", path).err


def test_a_value_that_is_nested_without_end_is_a_usage_error(agents: Path) -> None:
    assert tract("query", agents, "config.a = " + "[" * 100_000).code == 2


def test_no_commits_are_watched_for_a_limit_of_zero(agents: Path) -> None:
    ended = tract("watch", agents, "--all", "--limit", "0")

    assert (ended.code, ended.out) == (0, "")


def test_the_reflog_of_a_branch_that_never_was_is_not_found(agents: Path) -> None:
    assert tract("reflog", agents, "--branch", "nope").code == 3
    assert tract("reflog", agents, "--branch", "fast").code == 0


def test_a_page_into_a_folder_that_is_not_there_is_told_by_its_name(
    agents: Path, tmp_path: Path
) -> None:
    ended = tract("export", agents, tmp_path / "nowhere" / "page.html", "--html")

    assert ended.code == 3
    assert "page.html" in ended.err


def test_files_that_were_written_are_told_as_json(agents: Path, tmp_path: Path) -> None:
    copy, page = tmp_path / "copy.db", tmp_path / "page.html"

    backup = tract("backup", agents, copy, "--json").document
    export = tract("export", agents, page, "--html", "--json").document

    assert backup == {"path": str(copy), "nbytes": copy.stat().st_size}
    assert export == {"path": str(page)}
