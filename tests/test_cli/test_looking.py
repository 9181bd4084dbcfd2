"""Commands that read: what they print as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from support.commands import tract
from tract import NullTokenCounter, SyncStore
from tract.cli.commands.pages import paged

pytestmark = pytest.mark.measured


@dataclass(frozen=True)
class Named:
    """As much of a commit as its place in a list takes."""

    commit_hash: str


LOGGED = ("merge", "edit", "result", "call", "bergen", "oslo", "asked", "system")


def test_log_lists_the_branch_newest_first_with_its_names_and_texts(
    agents: Path, commits: dict[str, str]
) -> None:
    lines = tract("log", agents).out.splitlines()

    shown = [line.partition(" ")[0] for line in lines]
    assert [each for each in shown if each in {commits[name][:12] for name in LOGGED}] == [
        commits[name][:12] for name in LOGGED
    ]
    assert "(main, tag: v1) merge Merge branch 'fast'" in lines[0]
    assert lines[-1].endswith("instruction You plan trips.")


def test_log_as_json_has_commits_with_contents_one_a_line(
    agents: Path, commits: dict[str, str]
) -> None:
    lines = tract("log", agents, "--json").lines

    assert lines[-2]["commit_hash"] == commits["asked"]
    assert lines[-2]["content"]["text"] == "Plan a week in Norway."
    assert lines[0]["merge_parent"] == commits["bergen"]


@pytest.mark.parametrize(
    "arguments",
    [("log", "STORE", "--limit", "2"), ("log", "--limit", "2", "STORE"), ("log", "-n2", "STORE")],
)
def test_options_and_arguments_come_in_any_order(agents: Path, arguments: tuple[str, ...]) -> None:
    given = [agents if each == "STORE" else each for each in arguments]

    assert len(tract(*given).out.splitlines()) == 2


def test_log_goes_on_before_a_commit_and_prints_nothing_for_a_limit_of_zero(
    agents: Path, commits: dict[str, str]
) -> None:
    (line,) = tract("log", agents, "--before", commits["asked"], "--json").lines

    assert line["commit_hash"] == commits["system"]
    assert tract("log", agents, "-n", 0) == tract("log", agents, "--before", commits["system"])


def test_log_of_all_has_what_only_other_branches_have(
    agents: Path, commits: dict[str, str]
) -> None:
    hashes = [line["commit_hash"] for line in tract("log", agents, "--all", "--json").lines]

    assert hashes[0] == commits["after"]
    assert len(hashes) == len({*hashes}) == 10


def test_log_of_more_commits_than_a_page_has_each_once(tmp_path: Path) -> None:
    path = tmp_path / "many.db"
    with SyncStore.open(path) as store, store.tract("t").batch() as batch:
        for number in range(200):
            batch.user(str(number))

    texts = [line["content"]["text"] for line in tract("log", path, "--json").lines]

    assert texts == [str(number) for number in reversed(range(200))]


def test_the_log_reads_as_far_as_its_reader_does() -> None:
    asked: list[tuple[int, str | None]] = []

    def read(limit: int, before: str | None) -> list[Any]:
        asked.append((limit, before))
        start = int(before or 100_000)
        return [(Named(str(start - number)), None) for number in range(1, limit + 1)]

    commits = paged(read, None, None)
    first = list(islice(commits, 50))

    assert len(first) == 50
    assert sum(limit for limit, _ in asked) <= 64
    assert [int(each.commit_hash) for each, _ in [*first, *islice(commits, 500)]] == [
        *range(99_999, 99_449, -1)
    ]


def test_the_graph_shows_where_branches_part_and_meet(agents: Path) -> None:
    drawn = [line.partition(" 2")[0] for line in tract("log", agents, "--graph").out.splitlines()]
    shapes = ["".join(each for each in line if each in "●│├─╮╯┤") for line in drawn]

    assert shapes[:4] == ["●", "├─╮", "●│", "●│"]
    assert "├─╯" in shapes
    assert shapes[-1] == "●"


def test_show_tells_all_of_a_commit_and_takes_the_head_by_default(
    agents: Path, commits: dict[str, str]
) -> None:
    shown = tract("show", agents, commits["asked"]).out

    assert f"commit {commits['asked']}" in shown
    assert "priority:  pinned: the brief" in shown
    assert "    Plan a week in Norway." in shown
    assert tract("show", agents).out == tract("show", agents, "v1").out


def test_show_as_json_has_annotations_and_the_content(
    agents: Path, commits: dict[str, str]
) -> None:
    shown = tract("show", agents, commits["call"][:8], "--json").document

    assert shown["metadata"] == {"user": "anna"}
    assert shown["content"]["payload"] == {"city": "Oslo"}
    assert shown["annotations"] == []


def test_cat_prints_a_text_and_nothing_else(agents: Path, commits: dict[str, str]) -> None:
    assert tract("cat", agents, commits["oslo"]).out == "Oslo first."
    assert tract("cat", agents, commits["oslo"], "--json").document["role"] == "assistant"


def test_cat_prints_the_bytes_of_an_attachment(agents: Path, tmp_path: Path) -> None:
    with SyncStore.open(agents) as store:
        attached = store.tract("planner").attach(b"\x89PNG", "image/png")

    assert (
        tract("cat", agents, attached.sha256, "--attachment")
        .out.encode("utf-8", "surrogateescape")
        .endswith(b"PNG")
    )


def test_compile_prints_the_context(agents: Path) -> None:
    shown = tract("compile", agents).out

    assert "── user\nPlan two weeks in Norway.\n── assistant\nOslo first." in shown
    assert "6 entries" in shown


@pytest.mark.parametrize(
    ("api", "member"),
    [("openai", "messages"), ("responses", "input"), ("anthropic", "system"), ("google", "config")],
)
def test_compile_for_an_api_prints_what_a_request_takes(
    agents: Path, api: str, member: str
) -> None:
    assert member in tract("compile", agents, "--for", api).document


def test_compile_at_a_commit_and_at_a_time(agents: Path, commits: dict[str, str]) -> None:
    early = tract("compile", agents, "--at", commits["asked"], "--json").document

    assert [each["content"] for each in early["messages"]][-1] == "Plan a week in Norway."
    assert tract("compile", agents, "--at-time", "2001-01-01", "--json").document["messages"] == []


def test_diff_shows_texts_line_by_line_and_tells_by_its_exit_code(
    agents: Path, commits: dict[str, str]
) -> None:
    shown = tract("diff", agents, "fast", "main")

    assert "  -Plan a week in Norway.\n  +Plan two weeks in Norway." in shown.out
    assert shown.code == 0
    assert tract("diff", agents, "fast", "main", "--exit-code").code == 1
    assert tract("diff", agents, "main", "v1", "--exit-code").code == 0
    assert tract("diff", agents, commits["asked"], "--json").document["token_difference"] > 0


def test_branches_tags_and_reflog_are_columns_with_tabs_in_a_pipe(
    agents: Path, commits: dict[str, str]
) -> None:
    branches = [line.split("\t")[:2] for line in tract("branches", agents).out.splitlines()]

    assert branches == [["fast", commits["after"][:12]], ["main", commits["merge"][:12]]]
    assert tract("tags", agents, "--json").lines[0]["target_hash"] == commits["merge"]
    assert (
        tract("reflog", agents, "--branch", "fast", "-n1", "--json").lines[0]["action"] == "append"
    )


def test_compare_takes_all_branches_unless_some_are_named(agents: Path) -> None:
    assert [each["branch"] for each in tract("compare", agents, "--json").lines] == ["fast", "main"]
    assert [each["branch"] for each in tract("compare", agents, "main", "--json").lines] == ["main"]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["config.temperature > 0.5"], ["oslo"]),
        (['config.model in ["small", "large"]'], ["bergen", "oslo"]),
        (["config.model=large", "operation = append"], ["bergen"]),
        (["metadata.user exists"], ["call"]),
        (["message contains long"], ["edit"]),
        (["content_type startswith instr"], ["system"]),
        (["created_at < 2001-01-01"], []),
    ],
)
def test_query_finds_what_meets_all_conditions(
    agents: Path, commits: dict[str, str], conditions: list[str], found: list[str]
) -> None:
    lines = tract("query", agents, *conditions, "--json").lines

    assert [each["commit_hash"] for each in lines] == [commits[name] for name in found]
    assert tract("query", agents, *conditions, "--count").out == f"{len(found)}\n"


@pytest.mark.parametrize(
    "typed", ["nonsense", "config.x ~ 1", "color = red", "token_count contains 1"]
)
def test_a_condition_that_cannot_be_is_a_usage_error(agents: Path, typed: str) -> None:
    assert tract("query", agents, typed).code == 2


def test_search_says_how_to_switch_it_on_and_finds_words_then(
    agents: Path, commits: dict[str, str]
) -> None:
    refused = tract("search", agents, "bergen")
    tract("search", agents, "--enable")

    assert (refused.code, "--enable" in refused.err) == (1, True)
    (hit,) = tract("search", agents, "bergen", "--json").lines
    assert hit["commit"]["commit_hash"] == commits["bergen"]
    assert "Bergen first." in tract("search", agents, "bergen", "--tract", "planner").out


def test_tracts_stats_and_info_say_how_much_there_is(agents: Path) -> None:
    assert tract("tracts", agents).out.split("\t")[0] == "planner"
    assert tract("stats", agents, "--json").document["entries"] == 6
    assert tract("info", agents, "--json").document["commits"] == 10
    assert "attachments" in tract("info", agents, "--exact").out


def test_verify_finds_a_sound_store_sound_and_a_damaged_one_not(
    agents: Path, damaged: Path
) -> None:
    assert tract("verify", agents, "--json").lines == [
        {"tract_id": "planner", "checked": 10, "faults": [], "erased": []}
    ]
    found = tract("verify", damaged)
    assert found.code == 1
    assert len(found.out.splitlines()) > 1


def test_a_store_of_another_tokenizer_verifies_and_compiles(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with SyncStore.open(path, tokenizer=NullTokenCounter()) as store:
        store.tract("t").user("Hello")

    assert tract("verify", path).code == 0
    assert "Hello" in tract("compile", path).out


def test_watch_prints_commits_from_the_first_on(agents: Path, commits: dict[str, str]) -> None:
    lines = tract("watch", agents, "--all", "--limit", 2, "--json").lines

    assert [each["commit_hash"] for each in lines] == [commits["system"], commits["asked"]]


def test_search_finds_what_was_committed_since_the_last_one(agents: Path) -> None:
    tract("search", agents, "--enable")
    with SyncStore.open(agents) as store:
        store.tract("planner").user("Trondheim, too?")

    assert tract("search", f"file:{agents}?mode=ro", "trondheim").out == ""
    assert "Trondheim, too?" in tract("search", agents, "trondheim").out
    assert "Trondheim, too?" in tract("search", f"file:{agents}?mode=ro", "trondheim").out


def test_a_compaction_is_shown_by_what_it_did_and_its_summary(agents: Path) -> None:
    with SyncStore.open(agents) as store:
        planner = store.tract("planner")
        cleared = planner.clear_tool_results(keep=0, placeholder=".", reason="long")
        hidden = planner.compact(lambda request: "They asked for ships.", keep_recent=1)
    assert cleared is not None
    assert hidden is not None
    count = len(hidden.hidden)

    first, second = tract("log", agents, "-n", 2).out.splitlines()
    assert first.endswith(f"compact hides {count} entries: They asked for ships.")
    assert second.endswith("compact clears 1 entry (long)")


def test_compactions_are_listed(agents: Path) -> None:
    with SyncStore.open(agents) as store:
        store.tract("planner").clear_tool_results(keep=0, placeholder=".", reason="long")

    (found,) = tract("compactions", agents, "--json").lines
    assert (len(found["cleared"]), found["reason"]) == (1, "long")


def test_an_empty_branch_lists_nothing_and_has_nothing_to_show(agents: Path) -> None:
    with SyncStore.open(agents) as store:
        store.tract("planner").fork("empty", at_commit=None)

    assert (tract("log", agents, "-b", "empty").out, tract("log", agents, "-b", "empty").code) == (
        "",
        0,
    )
    assert tract("show", agents, "-b", "empty").code == 3
    assert tract("compile", agents, "-b", "empty", "--json").document["messages"] == []
