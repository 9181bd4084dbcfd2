"""The small example programs, run as a user runs them, without a network or an API key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.frameworks import is_installed, lacking
from support.offline import run_offline

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
TESTED_HERE = {
    *("adk_travel", "budget", "chat", "conversations", "fork_and_merge", "graph", "handoff"),
    *("long_talk", "many_agents", "notebook"),
    *("recover_stream", "replica", "telemetry", "tool_loop"),
}
TESTED_ELSEWHERE = {"demo", "orchestrator", "service", "tasks", "transcripts"}


def printed(name: str, *arguments: str, given: str = "") -> list[str]:
    return run_offline(EXAMPLES / f"{name}.py", *arguments, given=given)


def test_the_chat_goes_on_where_the_last_run_has_ended(tmp_path: Path) -> None:
    path = str(tmp_path / "context.db")
    printed("chat", path, given="Hello\n\n")
    said, *_ = printed("chat", path, given="Is it you?\n\n")

    assert said == "> You have said 2 things, the last of them: Is it you?"


def test_the_tool_loop_answers_from_its_tools_and_records_each_step() -> None:
    answer, *steps = printed("tool_loop")

    assert answer == "Train 475 leaves at 23:40, 2 beds are free."
    assert [step.split()[1] for step in steps] == [
        "dialogue",
        *["native", "tool_io"] * 2,
        "dialogue",
    ]


def test_two_answers_are_compared_and_both_are_merged() -> None:
    *compared, merged, system, user, calm, excite, bold, before = printed("fork_and_merge")

    assert [re.findall(r"^\w+, at [\d.]+", line) for line in compared] == [
        ["calm, at 0.2"],
        ["bold, at 1.0"],
    ]
    assert merged == "fast-forward, then merge"
    roles = [line.split(":")[0].strip() for line in (system, user, calm, excite, bold)]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    assert before == "before the fork: 2 messages, as they were"


def test_a_talk_stays_within_its_budget_and_loses_nothing() -> None:
    sizes, system, summary, hidden = printed("budget")

    turns, compactions, largest, limit = map(int, re.findall(r"\d+", sizes))
    assert (turns, limit) == (40, 800)
    assert compactions > 1
    assert largest <= limit
    assert system == "  system: You know every museum."
    assert summary.startswith("  user: The user has asked ")
    assert hidden.endswith("none is gone: What is in room 1 of the museum, and who painted it?")


def test_the_agent_of_a_short_window_answers_about_what_it_no_longer_sees() -> None:
    in_window, answer, sizes, work, faults = printed("long_talk")

    said, sent, window = (int(each.replace(",", "")) for each in re.findall(r"[\d,]*\d", sizes))
    compactions, looked_back = map(int, re.findall(r"\d+", work))
    assert (in_window, answer) == ("still in the window: False", "Your locker is B17.")
    assert sent <= window == 8_000 < said / 4
    assert compactions > 5
    assert looked_back == 1
    assert faults == "faults: 0"


def test_fifty_agents_share_a_store_and_none_writes_what_is_outdated(tmp_path: Path) -> None:
    lines = printed("many_agents", str(tmp_path / "agents.db"))

    assert {"in order: True", "tracts: 51", "faults: 0"} < {*lines}


def test_the_replica_follows_a_merge_and_a_reset() -> None:
    assert printed("replica") == ["5 commits copied", "3 after the reset, 1 reset seen"]


def test_conversations_of_pydantic_ai_go_on_fork_and_are_deleted(tmp_path: Path) -> None:
    assert printed("conversations", str(tmp_path / "desk.db")) == [
        "anna waits: True",
        "Done: order 7 is refunded",
        "Done: The tool call was denied.",
        "102 conversations, 103 responses",
        "left of user-1: None",
        "faults: 0",
    ]


def test_a_graph_resumes_and_its_thread_keeps_both_lines(tmp_path: Path) -> None:
    lines = printed("graph", str(tmp_path / "graphs.db"))

    assert lines == [
        *("model", "__interrupt__"),
        "Book a seat to Bergen?",
        "Done: a seat to Bergen.",
        "Done: nothing.",
        "aside: Done: a seat to Bergen.",
        "main: Done: nothing.",
        "101 threads; left of user-1: {}",
    ]


def test_a_desk_hands_off_waits_for_an_approval_and_forgets_a_user(tmp_path: Path) -> None:
    assert printed("handoff", str(tmp_path / "desk.db")) == [
        *("anna: desk", "anna: refunds"),
        "refused: Done: Tool execution was not approved.",
        "approved: Done: order 7 is refunded",
        "main: fast-forward, 6 items",
        "101 sessions; 4 items of anna's are a model's",
        "user-1: 0 items, 4 commits erased",
        "faults: 0",
    ]


@pytest.mark.skipif(
    lacking("claude_agent_sdk") is not None, reason="claude-agent-sdk is not installed"
)
def test_a_session_of_the_claude_sdk_goes_on_elsewhere_forks_and_is_deleted(tmp_path: Path) -> None:
    assert printed("notebook", str(tmp_path / "sessions.db")) == [
        "1 noted, the first: milk",
        "2 noted, the first: milk",
        "fork: 3 noted, the first: milk",
        "anna: ['milk', 'bread']",
        "2 replies of noter-1",
        "32 sessions",
        "left of one: None",
        "faults: 0",
    ]


@pytest.mark.skipif(lacking("google.adk") is not None, reason="google-adk is not installed")
def test_the_adk_agent_goes_on_in_the_next_run_and_tries_another_way_aside(tmp_path: Path) -> None:
    path = str(tmp_path / "sessions.db")
    first = printed("adk_travel", path)
    second = printed("adk_travel", path)

    assert first == [
        "Booked: night 1.",
        "aside: Booked: night 1, a tent.",
        "sessions: 2",
        "30 users: Booked: a boat. Left: 2 sessions.",
    ]
    assert second == [
        "Booked: night 1, night 2.",
        "aside: Booked: night 1, night 2, a tent.",
        "sessions: 3",
        "30 users: Booked: a boat. Left: 3 sessions.",
    ]


@pytest.mark.long  # the lease of a killed process has to run out
def test_the_stream_of_a_killed_process_is_recovered() -> None:
    left, committed, after = printed("recover_stream")

    assert left.endswith("the last train had left an hour ago ")
    assert committed == "committed, marked with {'interrupted': True, 'reason': 'recovered'}"
    assert after == "left now: 0"


def test_every_example_is_tested_and_listed() -> None:
    programs = {path.stem for path in EXAMPLES.glob("*.py")}
    page = EXAMPLES.with_suffix(".md").read_text(encoding="utf-8")

    assert {name for name in programs if f"`{name}.py`" not in page} == {"tasks", "transcripts"}
    assert programs == TESTED_HERE | TESTED_ELSEWHERE


@pytest.mark.skipif(
    not is_installed("opentelemetry.exporter.otlp.json.file"),
    reason="the exporter is not installed",
)
def test_spans_are_written_to_a_file_for_a_collector(tmp_path: Path) -> None:
    lines = printed("telemetry", str(tmp_path / "traces.jsonl"))

    assert lines == [
        *["tract.commit in a turn"] * 4,
        "tract.merge in a turn",
        "tract.compile in a turn",
        "turn",
    ]
