"""What shells complete from a store: tracts, branches and tags, and nothing that a shell would run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tract import SyncStore
from tract.cli.app import app

pytestmark = pytest.mark.measured


def completed(typed: str) -> list[str]:
    """Return what bash is offered for the last word of what was typed."""
    words = typed.split(" ")
    values = {
        "_TRACT_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": f"{len(words) - 1}",
    }
    ended = CliRunner().invoke(app, [], prog_name="tract", env=values)
    assert ended.stderr == ""
    return [each for each in ended.stdout.splitlines() if each]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("log {} --branch ", ["fast", "main"]),
        ("log {} -b f", ["fast"]),
        ("log {} --tract ", ["planner"]),
        ("log {} --tract planner --branch m", ["main"]),
        ("show {} ", ["fast", "main", "v1"]),
        ("show {} main v", ["v1"]),
        ("diff {} v1 f", ["fast"]),
        ("compile {} --at v", ["v1"]),
        ("merge {} f", ["fast"]),
        ("erase {} --reason x v", ["v1"]),
        ("export {} out.db --tract p", ["planner"]),
    ],
)
def test_names_are_completed_from_the_store(agents: Path, typed: str, expected: list[str]) -> None:
    assert completed(f"tract {typed.format(agents)}") == expected


@pytest.mark.parametrize("store", ["no.db", "folder", "text", "postgresql://127.0.0.1:1/nowhere"])
@pytest.mark.parametrize("option", ["--branch", "--tract", "--at"])
def test_where_a_store_says_nothing_there_is_nothing(
    tmp_path: Path, store: str, option: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("not a store")
    place = store if "://" in store else str(tmp_path / store)

    assert completed(f"tract compile {place} {option} ") == []
    assert {each.name for each in tmp_path.iterdir()} == {"folder", "text"}


def test_a_tract_that_is_not_there_has_no_branches(agents: Path) -> None:
    assert completed(f"tract log {agents} --tract nowhere --branch ") == []


def test_a_name_that_a_shell_would_run_is_not_offered(tmp_path: Path) -> None:
    path = tmp_path / "nasty.db"
    with SyncStore.open(path) as store:
        handle = store.tract("main")
        handle.user("Hello")
        for name in ("plain", "ünïcode", "$(touch${IFS}x)", "`id`", "a;b", "a'b", "x&y"):
            handle.tag(name)
        store.tract("$(id)").user("Hello")
        store.tract("\x1b[31m").user("Hello")

    assert completed(f"tract show {path} --tract main ") == ["main", "plain", "ünïcode"]
    assert completed(f"tract log {path} --tract ") == ["main"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read every file")
def test_a_store_that_may_not_be_read_offers_nothing(agents: Path) -> None:
    agents.chmod(0)

    assert completed(f"tract log {agents} --branch ") == []
