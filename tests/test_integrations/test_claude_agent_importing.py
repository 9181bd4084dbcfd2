"""`import_transcripts`: files of Claude Code become transcripts in the store."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("claude_agent_sdk", reason="it bundles 400 MB: an environment of its own")

from claude_agent_sdk import InMemorySessionStore, import_session_to_store

from support.claude import ENTRIES, KEY, asked, subagent
from tract.integrations.claude_agent import ImportReport, TractSessionStore, import_transcripts

SESSION = "3f0c8e9a-1b2c-4d5e-8f90-a1b2c3d4e5f6"
MAIN: Any = {**KEY, "session_id": SESSION}
AGENT: Any = {**subagent("1"), "session_id": SESSION}
META = {"agentType": "Explore", "toolUseId": "t1"}


def write(path: Path, entries: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in entries))
    return path


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    project: Path = tmp_path / "claude" / "projects" / KEY["project_key"]
    write(project / f"{SESSION}.jsonl", ENTRIES)
    agent = write(project / SESSION / "subagents" / "agent-1.jsonl", ENTRIES[2:5])
    agent.with_suffix(".meta.json").write_text(json.dumps(META))
    write(project.parent / "-other" / "s.jsonl", [asked("1", "other")])
    return project.parent


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TractSessionStore]:
    async with TractSessionStore(tmp_path / "s.db") as opened:
        yield opened


async def test_files_come_with_their_subagents_and_are_compared(
    projects: Path, store: TractSessionStore
) -> None:
    report = await import_transcripts(projects, store)

    assert report == ImportReport(3, len(ENTRIES) + 5, len(ENTRIES) + 5, (), ())
    assert await store.load(MAIN) == ENTRIES
    assert await store.load(AGENT) == [{**META, "type": "agent_metadata"}, *ENTRIES[2:5]]
    assert await store.load({"project_key": "-other", "session_id": "s"}) == [asked("1", "other")]
    again = await import_transcripts(str(projects), store)
    assert again == report._replace(written=0)


async def test_a_file_or_some_paths_are_enough(projects: Path, store: TractSessionStore) -> None:
    main = projects / KEY["project_key"] / f"{SESSION}.jsonl"
    report = await import_transcripts(main, store)
    assert (report.transcripts, report.entries) == (2, len(ENTRIES) + 4)
    assert await import_transcripts([], store) == (0, 0, 0, (), ())
    report = await import_transcripts([main, projects / "-other", projects], store)

    assert (report.transcripts, report.written) == (3, 1)


async def test_an_import_goes_on_where_it_was_cut_short(
    projects: Path, store: TractSessionStore
) -> None:
    """Or where the SDK's mirror was, and when the file has grown."""
    main = projects / KEY["project_key"] / f"{SESSION}.jsonl"
    await store.append(MAIN, ENTRIES[:9])
    report = await import_transcripts(projects, store)
    assert report.written == len(ENTRIES) + 5 - 9
    more: list[Any] = [asked("m", "more"), ENTRIES[-1], ENTRIES[0]]
    write(main, [*ENTRIES, *more])
    report = await import_transcripts(projects, store)

    assert (report.written, report.different) == (3, ())
    assert await store.load(MAIN) == [*ENTRIES, *more]


async def test_what_is_not_read_or_not_the_same_is_told(
    projects: Path, store: TractSessionStore
) -> None:
    main = projects / KEY["project_key"] / f"{SESSION}.jsonl"
    twice = asked("1", "one")
    lines = [json.dumps(twice), "[1]", "", json.dumps(twice), '{"type": "user", "uui']
    main.write_text("\n".join(lines))
    (main.with_suffix("") / "subagents" / "agent-1.meta.json").write_text("{")
    (projects / "-other" / "notes.txt").write_text("")
    await store.append({"project_key": "-other", "session_id": "s"}, [asked("2", "two")])
    write(projects / "-other" / "s.jsonl", [asked("1", "one"), asked("2", "two")])
    report = await import_transcripts([projects, projects / "-other" / "notes.txt"], store)

    assert [Path(each).name for each in report.unread] == [
        *("notes.txt", "agent-1.meta.json", f"{SESSION}.jsonl:2", f"{SESSION}.jsonl:5")
    ]
    assert [Path(each).name for each in report.different] == ["s.jsonl"]
    assert await store.load(MAIN) == [twice]
    with pytest.raises(FileNotFoundError):
        await import_transcripts(projects / "none", store)


async def test_it_brings_what_the_sdks_own_import_does(
    projects: Path, store: TractSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(projects.parent))
    theirs = InMemorySessionStore()
    await import_session_to_store(SESSION, theirs)
    await import_transcripts(projects, store)
    project = KEY["project_key"]

    assert await store.load(MAIN) == await theirs.load(MAIN)
    agents = [await each.load(AGENT) or [] for each in (store, theirs)]
    assert [sorted(json.dumps(entry, sort_keys=True) for entry in each) for each in agents] == [
        sorted(json.dumps(entry, sort_keys=True) for entry in agents[1])
    ] * 2
    [ours] = await store.list_session_summaries(project)
    [summary] = await theirs.list_session_summaries(project)
    assert ours["data"] == summary["data"]
    await import_session_to_store(SESSION, store)
    assert (await import_transcripts(projects, store)).written == 0
