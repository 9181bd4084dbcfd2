"""Which store, tract and branch a command takes, and that looking changes nothing."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

import pytest

from support.commands import sample, tract
from tract import SyncStore

pytestmark = pytest.mark.measured


def test_the_only_tract_is_taken_and_of_several_the_one_called_main(agents: Path) -> None:
    with SyncStore.open(agents) as store:
        store.tract("other").user("Hello")
    several = tract("log", agents)
    with SyncStore.open(agents) as store:
        store.tract("main").user("Main")

    assert several.code == 2
    assert "planner" in several.err
    assert "other" in several.err
    assert tract("log", agents).out.endswith("Main\n")
    assert tract("log", agents, "--tract", "other").out.endswith("Hello\n")


def test_the_only_branch_is_taken_where_there_is_no_main(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    with SyncStore.open(path) as store:
        store.tract("t", branch="work").user("Hello")
    one = tract("log", path)
    with SyncStore.open(path) as store:
        store.tract("t", branch="more").user("Again")
    two = tract("log", path)

    assert one.out.endswith("Hello\n")
    assert (two.code, "more, work" in two.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--tract", "nobody"], 3),
        (["--branch", "nowhere"], 3),
        (["--branch", "no such"], 2),
        (["--before", "feedfeed"], 3),
        (["--nonsense"], 2),
        (["--types", "nonsense"], 2),
        (["--types", "no.such:NAME"], 2),
    ],
)
def test_what_is_not_there_or_cannot_be_has_an_exit_code(
    agents: Path, arguments: list[str], code: int
) -> None:
    ended = tract("log", agents, *arguments)

    assert (ended.code, ended.out) == (code, "")
    assert ended.err


def test_a_store_without_tracts_has_nothing_to_choose(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    with SyncStore.open(path):
        pass

    assert tract("log", path).code == 3
    assert tract("tracts", path).out == ""


@pytest.mark.parametrize("command", ["log", "info", "collect", "merge", "import", "migrate"])
def test_a_path_that_is_not_there_is_an_error_and_makes_no_file(
    tmp_path: Path, command: str
) -> None:
    path = tmp_path / "typo.db"
    rest = {"collect": "--yes", "merge": "x", "import": str(tmp_path / "y")}.get(command)

    for target in (path, f"file:{path}", f"sqlite:///{path}"):
        ended = tract(command, target, *([rest] if rest else []))

        assert ended.code in (3, 5), ended.err
        assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("held", [b"", b"no database at all, but long enough for a header" * 20])
def test_a_file_that_is_not_a_store_stays_as_it_is(tmp_path: Path, held: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(held)

    assert tract("log", path).code == 5
    assert tract("collect", path, "--yes").code == 5
    assert path.read_bytes() == held


def test_a_folder_and_a_store_in_memory_cannot_be_looked_at(tmp_path: Path) -> None:
    assert tract("log", tmp_path).code == 3
    assert tract("log", ":memory:").code == 2


@pytest.mark.parametrize("name", ["a b.db", "a?mode=rw.db", "a#b%41.db", "ü.db"])
def test_a_path_is_taken_literally(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with SyncStore.open(path) as store:
        store.tract("t").user("Hello")

    assert tract("log", path).out.endswith("Hello\n")


@pytest.mark.parametrize(
    "command",
    [["log"], ["compile"], ["verify"], ["stats"], ["compare"], ["branches"], ["recover"], ["info"]],
    ids=lambda command: str(command[0]),
)
def test_looking_changes_no_byte_of_a_store(agents: Path, command: list[str]) -> None:
    before = hashlib.sha256(agents.read_bytes()).hexdigest()

    assert tract(command[0], agents).code == 0
    assert hashlib.sha256(agents.read_bytes()).hexdigest() == before


def test_a_type_of_ones_own_is_shown_once_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_kinds.py").write_text(
        "from pydantic import BaseModel\n\n\nclass Order(BaseModel):\n"
        "    content_type: str = 'order'\n    text: str\n\n\nTYPES = {'order': Order}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    types = importlib.import_module("own_kinds").TYPES
    with SyncStore.open("own.db", content_types=types) as store:
        store.tract("t").commit({"content_type": "order", "text": "Two teas"})

    assert tract("log", "own.db").code == 0
    assert tract("compile", "own.db").code != 0
    assert "Two teas" in tract("compile", "own.db", "--types", "own_kinds:TYPES").out
    assert "Two teas" in tract("log", "own.db", "--types", "own_kinds:TYPES").out


def test_a_store_on_a_server_is_looked_at_and_merged(postgres_url: str) -> None:
    empty = tract("log", postgres_url)
    commits = sample(postgres_url)

    assert empty.code == 5
    assert tract("log", postgres_url, "--json").lines[0]["commit_hash"] == commits["merge"]
    assert tract("merge", postgres_url, "fast").code == 0
    assert tract("log", postgres_url, "--json").lines[0]["commit_hash"] != commits["merge"]


@pytest.mark.parametrize("command", ["log", "info", "collect", "import"])
def test_a_password_in_a_url_is_never_printed(command: str) -> None:
    rest = {"collect": ["--yes"], "import": ["x.db"]}.get(command, [])

    ended = tract(command, "postgresql://agent:hunter2@127.0.0.1:1/agents?connect_timeout=1", *rest)

    assert ended.code == 5
    assert "hunter2" not in ended.out + ended.err
