"""Commands that change a store, what they ask first, and what they carry elsewhere."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from agents import SQLiteSession

from support.commands import tract
from tract import SyncStore

pytestmark = pytest.mark.measured


def test_merge_writes_a_merge_and_says_which(agents: Path, commits: dict[str, str]) -> None:
    done = tract("merge", agents, "fast", "-m", "take it", "--json").document

    (newest, *_) = tract("log", agents, "--json").lines
    assert done["kind"] == "merge"
    assert done["merged"] == [commits["after"]]
    assert (newest["commit_hash"], newest["message"]) == (done["head_hash"], "take it")


def test_conflicts_are_listed_and_decided_by_an_option(
    agents: Path, commits: dict[str, str]
) -> None:
    with SyncStore.open(agents) as store:
        for branch, text in (("main", "ours"), ("fast", "theirs")):
            store.tract("planner", branch=branch).commit(
                {"content_type": "dialogue", "role": "user", "text": text},
                operation="edit",
                edit_target=commits["asked"],
            )
    refused = tract("merge", agents, "fast")

    assert refused.code == 4
    assert refused.out.split("\t")[:4] == [commits["asked"][:12], "content", "ours", "theirs\n"]
    assert tract("merge", agents, "fast", "--on-conflict", "theirs").code == 0
    assert "theirs" in tract("compile", agents).out


DESTRUCTIVE = [
    ["erase", "v1", "--reason", "asked for"],
    ["erase", "--tract", "planner", "--whole-tract", "--reason", "asked for"],
    ["prune", "--keep", "1", "--reason", "old"],
    ["collect"],
]


@pytest.mark.parametrize("command", DESTRUCTIVE, ids=lambda command: "-".join(command[:2]))
def test_what_cannot_be_undone_is_refused_without_a_terminal(
    agents: Path, command: list[str]
) -> None:
    refused = tract(command[0], agents, *command[1:], answer="y\n")

    assert refused.code == 2
    assert "--yes" in refused.err
    assert tract("stats", agents, "--json").document["commits"] == 9
    assert tract("verify", agents, "--json").lines[0]["erased"] == []


@pytest.mark.parametrize("command", DESTRUCTIVE, ids=lambda command: "-".join(command[:2]))
def test_what_cannot_be_undone_is_done_with_yes(agents: Path, command: list[str]) -> None:
    assert tract(command[0], agents, *command[1:], "--yes").code == 0


def test_erase_leaves_a_receipt_and_nothing_of_the_text(
    agents: Path, commits: dict[str, str]
) -> None:
    arguments = ("--reason", "asked for", "--vacuum", "--yes", "--json")
    receipt = tract("erase", agents, commits["bergen"], *arguments).document

    assert (receipt["commits"], receipt["pending"]) == ([commits["bergen"]], None)
    assert b"Bergen first." not in agents.read_bytes()
    assert tract("verify", agents).code == 0


def test_erase_of_a_commit_that_is_not_there_erases_nothing(
    agents: Path, commits: dict[str, str]
) -> None:
    ended = tract("erase", agents, commits["oslo"], "feedfeed", "--reason", "x", "--yes")

    assert ended.code == 3
    assert tract("verify", agents, "--json").lines[0]["erased"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["erase", "--reason", "x"],
        ["erase", "--whole-tract", "--reason", "x"],
        ["erase", "v1"],
        ["prune", "--reason", "x"],
        ["recover", "--commit", "--drop"],
    ],
)
def test_a_command_that_does_not_say_what_to_do_is_a_usage_error(
    agents: Path, arguments: list[str]
) -> None:
    assert tract(arguments[0], agents, *arguments[1:]).code == 2


def test_prune_before_a_time_keeps_all_that_came_later(agents: Path) -> None:
    receipt = tract(
        "prune", agents, "--before", "2001-01-01", "--reason", "old", "--yes", "--json"
    ).document

    assert (receipt["erased"], receipt["deleted"]) == (0, 0)
    assert receipt["before"] == "2001-01-01T00:00:00+00:00"


def test_backup_writes_a_store_and_never_over_a_file(agents: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"

    assert tract("backup", agents, copy).code == 0
    assert tract("log", copy).out == tract("log", agents).out
    assert tract("backup", agents, copy).code == 5


def test_export_and_import_carry_tracts_into_another_store(agents: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "some.db", tmp_path / "other.db"
    exported = tract("export", agents, file, "--tract", "planner", "--json").document

    assert exported["commits"] == 10
    assert tract("import", other, file).code == 3
    assert not other.exists()
    assert tract("import", other, file, "--create", "--json").document == exported
    assert tract("log", other).out == tract("log", agents).out
    assert tract("import", other, file, "--json").document["commits"] == 0


@pytest.mark.skipif(find_spec("tract.viewer") is not None, reason="the viewer is there")
def test_a_page_and_a_server_say_what_to_install(agents: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    for ended in (tract("export", agents, page, "--html"), tract("serve", agents)):
        assert ended.code == 1
        assert "asynctract[viewer]" in ended.err


def test_left_streams_are_listed_committed_and_dropped(left: Path) -> None:
    listed = tract("recover", left, "--json").lines

    assert [each["text"] for each in listed] == ["Half a reply", "Another"]
    assert tract("recover", left, "--tract", "a", "--commit").code == 0
    assert tract("recover", left, "--drop").code == 2
    assert tract("recover", left, "--drop", "--yes").code == 0
    assert tract("recover", left).out == ""
    assert tract("log", left, "--tract", "a").out.splitlines()[0].endswith("Half a reply")
    assert "Another" not in tract("log", left, "--tract", "b").out


def test_migrate_brings_an_old_store_up_to_date_and_nothing_else_does(
    old_store: Path,
) -> None:
    before = old_store.read_bytes()
    refused = [tract(each, old_store, *rest) for each, rest in (("log", []), ("collect", ["-y"]))]

    assert [each.code for each in refused] == [5, 5]
    assert old_store.read_bytes() == before
    done = tract("migrate", old_store, "--json").document
    assert done["schema_before"] < done["schema_version"]
    assert tract("tracts", old_store).code == 0
    assert tract("migrate", old_store, "--json").document["schema_before"] == done["schema_version"]


def test_the_files_of_pydantic_ai_are_imported(tmp_path: Path) -> None:
    file, store = tmp_path / "chat.json", tmp_path / "agents.db"
    part = {"part_kind": "user-prompt", "content": "Hello", "timestamp": "2026-01-31T12:00:00Z"}
    file.write_text(json.dumps([{"kind": "request", "parts": [part]}]))

    done = tract("import", store, file, "--from", "pydantic-ai", "--create", "--json")

    assert (done.code, done.document["conversations"]) == (0, 1)
    assert tract("tracts", store).out.startswith("conversations\t")
    again = tract("import", store, tmp_path, "--from", "pydantic-ai", "--json").document
    assert (again["conversations"], again["present"]) == (0, 1)


def test_the_checkpoints_of_langgraph_are_imported(checkpoints: Path, tmp_path: Path) -> None:
    store = tmp_path / "threads.db"

    done = tract("import", store, checkpoints, "--from", "langgraph", "--create", "--json").document

    assert (done["threads"], done["differences"]) == (1, [])


@pytest.mark.parametrize("by", ["path", "url"])
def test_the_sessions_of_the_agents_sdk_are_imported(tmp_path: Path, by: str) -> None:
    source, store = tmp_path / "sessions.db", tmp_path / "agents.db"

    async def talk() -> None:
        session = SQLiteSession("user-42", source)
        await session.add_items([{"role": "user", "content": "Hello"}])
        session.close()

    asyncio.run(talk())
    given = f"sqlite+aiosqlite:///{source}" if by == "url" else source

    done = tract("import", store, given, "--from", "openai-agents", "--create", "--json")

    assert (done.code, done.document["sessions"], done.document["items"]) == (0, 1, 1)
    assert "Hello" in tract("log", store).out


def test_transcripts_of_codex_and_logs_of_chats_are_imported(tmp_path: Path) -> None:
    store, logs, rollouts = (tmp_path / each for each in ("agents.db", "logs", "sessions"))
    logs.mkdir()
    rollouts.mkdir()
    (logs / "support.jsonl").write_text(json.dumps({"role": "user", "content": "Hello"}) + "\n")
    lines = [
        {"type": "session_meta", "payload": {"id": "019a"}},
        {
            "type": "response_item",
            "payload": {"type": "message", "role": "user", "content": "What is 2 + 2?"},
        },
    ]
    (rollouts / "rollout-1.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))

    chats = tract("import", store, logs, "--from", "chats", "--create", "--json").document
    codex = tract("import", store, rollouts, "--from", "codex", "--json").document

    assert [each["conversations"] for each in (chats, codex)] == [1, 1]
    assert "Hello" in tract("log", store, "--tract", "support").out
    assert "What is 2 + 2?" in tract("log", store, "--tract", "codex/019a").out


@pytest.mark.parametrize(
    ("framework", "code"),
    [
        ("nonsense", 2),
        ("adk", 2),
        ("chats", 3),
        ("codex", 3),
        ("langgraph", 3),
        ("openai-agents", 3),
        ("pydantic-ai", 3),
    ],
)
def test_an_import_from_nothing_makes_nothing(tmp_path: Path, framework: str, code: int) -> None:
    ended = tract("import", tmp_path / "new.db", tmp_path / "no", "--from", framework, "--create")

    assert ended.code == code
    assert [*tmp_path.iterdir()] == []
