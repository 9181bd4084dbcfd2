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
        timeout=120,
        check=False,
    )


def table(output: str) -> dict[str, str]:
    """Return the rows of the table at the end of the output."""
    rows = re.findall(r"^[│|] (.+?) +[│|] +(.+?) [│|]$", output, re.MULTILINE)
    return dict(rows)


def file_of(folder: Path, *conversations: Any) -> Path:
    path = folder / "given.jsonl"
    path.write_text("\n".join(map(json.dumps, conversations)), encoding="utf-8")
    return path


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
    """Each agent is of one model; a turn is its text, if any, and its calls."""
    lines = TRANSCRIPT.read_text(encoding="utf-8").splitlines()
    messages = [m for line in lines for m in json.loads(line)["messages"]]
    said = sum(m["role"] == "assistant" and m["content"] is not None for m in messages)
    called = sum(len(m.get("tool_calls", [])) for m in messages)
    rows = table(shipped.stdout)
    found = [text for what, text in rows.items() if what.startswith("commits where model = ")]

    assert sum(int(text.split()[0]) for text in found) == said + called


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


def test_keys_that_say_nothing_make_no_difference(tmp_path: Path) -> None:
    """What an SDK dumps has them: `refusal: None`, `annotations: []`."""
    empty: dict[str, Any] = {"refusal": None, "annotations": []}
    reply = {"role": "assistant", "content": "Spät.", **empty}
    ran = demo(file_of(tmp_path, {"id": "a", "messages": [USER, reply]}))

    assert ran.returncode == 0


def test_consecutive_messages_of_a_role_stay_apart(tmp_path: Path) -> None:
    reply = {"role": "assistant", "content": "Spät."}
    ran = demo(file_of(tmp_path, {"id": "a", "messages": [USER, USER, reply]}))

    assert ran.returncode == 0


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    """A turn that a transcript splits in two compiles to one, as providers want it."""
    said = {"role": "assistant", "content": "Moment."}
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    split = {"id": "split", "messages": [USER, said, called, {**USER, "content": "?"}, said]}
    good = {"id": "good", "messages": [USER, said]}
    ran = demo(file_of(tmp_path, good, split))

    assert ran.returncode == 1
    assert table(ran.stdout)["conversations identical"] == "1 of 2"
    assert ran.stderr.startswith("The first difference is in 'split': message 1 should be {")


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
    ('{"id": "a", "messages": [{"role": "pope", "content": ""}]}', "messages[0].role: unknown"),
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


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    conversation = {"id": "a", "messages": [USER]}
    ran = demo(file_of(tmp_path, conversation, conversation))

    assert ran.returncode == 2
    assert "line 2: the id 'a' was there before" in ran.stderr


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.jsonl"
    path.write_bytes(b"\xff\xfe")
    ran = demo(path)

    assert ran.returncode == 2
    assert "is no text in UTF-8" in ran.stderr


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_path_without_a_file_is_refused(tmp_path: Path, name: str) -> None:
    ran = demo(tmp_path / name)

    assert ran.returncode == 2
    assert "cannot be read" in ran.stderr


def test_more_than_one_file_is_refused() -> None:
    ran = demo(TRANSCRIPT, TRANSCRIPT)

    assert ran.returncode == 2
    assert "one file at most" in ran.stderr
