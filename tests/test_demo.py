"""The demo, run as a user runs it: recorded conversations come back as they were."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.programs import environment, run_each

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "docs" / "examples" / "demo.py"
TRANSCRIPT = DEMO.with_name("transcript.jsonl")
SHIPPED = len(TRANSCRIPT.read_text(encoding="utf-8").splitlines())
AIRLINE = ROOT.parent / "shared" / "data" / "airline.jsonl"

USER = {"role": "user", "content": "Wo bleibt der Zug nach Tromsø? 🚆"}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"to" :"Ø" }'}}


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the demo off a terminal, its warnings being errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(DEMO), *map(str, arguments)],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )


def table(output: str) -> dict[str, str]:
    """Return the rows of the table at the end of the output."""
    rows = re.findall(r"^[│|] (.+?) +[│|] +(.+?) [│|]$", output, re.MULTILINE)
    return dict(rows)


@pytest.fixture(scope="module")
def shipped() -> subprocess.CompletedProcess[str]:
    """The demo's run without an argument."""
    return demo()


def test_the_shipped_transcript_comes_back_identical(
    shipped: subprocess.CompletedProcess[str],
) -> None:
    rows = table(shipped.stdout)

    assert (shipped.returncode, shipped.stderr) == (0, "")
    assert rows["conversations identical"] == f"{SHIPPED} of {SHIPPED}"
    assert rows["faults found by verify()"] == "0"


def test_it_tells_how_far_it_is(shipped: subprocess.CompletedProcess[str]) -> None:
    assert f"recording: 1 of {SHIPPED} conversations\n" in shipped.stdout
    assert f"comparing after reopening: {SHIPPED} of {SHIPPED} conversations\n" in shipped.stdout


def test_shared_contents_are_stored_once(shipped: subprocess.CompletedProcess[str]) -> None:
    blobs, contents = table(shipped.stdout)["blobs stored / contents committed"].split(" / ")

    assert int(blobs) < int(contents)


def test_the_query_finds_the_assistants_commits_alone(
    shipped: subprocess.CompletedProcess[str],
) -> None:
    """Each agent is of one model; a turn is its text and its calls, or one item of calls alone."""
    lines = TRANSCRIPT.read_text(encoding="utf-8").splitlines()
    messages = [m for line in lines for m in json.loads(line)["messages"]]
    turns = [m for m in messages if m["role"] == "assistant"]
    said = sum(m["content"] is not None for m in turns)
    called = sum(
        len(m.get("tool_calls", [])) if m["content"] is not None else 1
        for m in turns
        if m.get("tool_calls")
    )
    rows = table(shipped.stdout)
    found = [text for what, text in rows.items() if what.startswith("commits where model = ")]

    assert sum(int(text.split()[0]) for text in found) == said + called


def test_the_shipped_transcript_comes_back_identical_from_a_server(postgres_url: str) -> None:
    ran = demo("--url", postgres_url)
    rows = table(ran.stdout)
    blobs, contents = rows["blobs stored / contents committed"].split(" / ")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert rows["conversations identical"] == f"{SHIPPED} of {SHIPPED}"
    assert rows["faults found by verify()"] == "0"
    assert int(blobs) < int(contents)


@pytest.mark.long
def test_a_hundred_real_conversations_come_back_identical() -> None:
    if not AIRLINE.is_file():
        pytest.skip(f"no transcripts at {AIRLINE}")
    ran = demo(AIRLINE)
    rows = table(ran.stdout)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert rows["agents"] == "100"
    assert rows["conversations identical"] == "100 of 100"
    assert rows["faults found by verify()"] == "0"


SPOKEN = {"role": "assistant", "content": "Spät."}
SAID = {"role": "assistant", "content": "Moment."}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
CONVERSATIONS: dict[str, list[tuple[str, list[dict[str, Any]]]]] = {
    "empty keys": [("a", [USER, {**SPOKEN, "refusal": None, "annotations": []}])],
    "consecutive": [("a", [USER, USER, SPOKEN])],
    "split": [
        ("good", [USER, SAID]),
        ("split", [USER, SAID, CALLED, {**USER, "content": "?"}, SAID]),
    ],
    "twice": [("a", [USER]), ("a", [USER])],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """The status, output and errors of a run over each of `CONVERSATIONS`, by name."""
    folder = tmp_path_factory.mktemp("demo")
    paths = [folder / f"{name}.jsonl" for name in CONVERSATIONS]
    for path, given in zip(paths, CONVERSATIONS.values(), strict=True):
        lines = [json.dumps({"id": name, "messages": messages}) for name, messages in given]
        path.write_text("\n".join(lines), encoding="utf-8")
    return dict(zip(CONVERSATIONS, run_each(DEMO, [[path] for path in paths]), strict=True))


def test_keys_that_say_nothing_make_no_difference(ran: dict[str, tuple[int, str, str]]) -> None:
    """What an SDK dumps has them: `refusal: None`, `annotations: []`."""
    assert ran["empty keys"][0] == 0


def test_consecutive_messages_of_a_role_stay_apart(ran: dict[str, tuple[int, str, str]]) -> None:
    assert ran["consecutive"][0] == 0


def test_a_turn_that_is_split_in_two_comes_back_in_two(
    ran: dict[str, tuple[int, str, str]],
) -> None:
    assert ran["split"][0] == 0


def test_an_id_that_comes_twice_is_refused(ran: dict[str, tuple[int, str, str]]) -> None:
    status, _, err = ran["twice"]

    assert status == 2
    assert "line 2: the id 'a' was there before" in err


MALFORMED: list[tuple[str, str]] = [
    ("", "holds no conversations"),
    ("\n\n", "holds no conversations"),
    ("{", "line 1 is no JSON"),
    ("[" * 100_000, "line 1 is no JSON"),
    ("[]", "line 1 is no object with 'id' and 'messages'"),
    ('{"id": "a"}', "line 1 is no object with 'id' and 'messages'"),
    ('{"id": 1, "messages": []}', "line 1: the id 1 is no printable string"),
    ('{"id": "\\ud800", "messages": []}', "line 1: the id '\\ud800' is no printable string"),
    ('{"id": "a", "messages": []}', "line 1 has no messages"),
    ('{"id": "a", "messages": "hi"}', "line 1: messages: must be a list"),
    ('{"id": "a", "messages": [1]}', "messages[0]: must be"),
]


def test_a_malformed_file_is_refused_where_it_is_wrong(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(len(MALFORMED))]
    for path, (text, _) in zip(paths, MALFORMED, strict=True):
        path.write_text(text, encoding="utf-8")
    runs = run_each(DEMO, [[path] for path in paths])
    for (text, problem), (status, out, err) in zip(MALFORMED, runs, strict=True):
        with subtests.test(text=text[:80]):
            assert (status, out) == (2, "")
            assert problem in err


def test_what_is_no_file_of_conversations_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Bytes that are no text, a path without a file, a folder, and two files."""
    path = tmp_path / "given.jsonl"
    path.write_bytes(b"\xff\xfe")
    refused: list[tuple[list[Path], str]] = [
        ([path], "is no text in UTF-8"),
        ([tmp_path / "missing.jsonl"], "cannot be read"),
        ([tmp_path], "cannot be read"),
        ([TRANSCRIPT, TRANSCRIPT], "one file at most"),
    ]
    runs = run_each(DEMO, [paths for paths, _ in refused])
    for (paths, problem), (status, _, err) in zip(refused, runs, strict=True):
        with subtests.test(paths=paths):
            assert status == 2
            assert problem in err
