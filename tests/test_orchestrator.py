"""The orchestrator: trials as branches at once, the best one kept, shared beginnings held once."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.programs import environment, run_each
from tract import OutputContent, TractStore

ROOT = Path(__file__).parents[1]
ORCHESTRATOR = ROOT / "docs" / "examples" / "orchestrator.py"
TRANSCRIPT = ORCHESTRATOR.with_name("transcript.jsonl")
AIRLINE = ROOT.parent / "shared" / "data" / "airline.jsonl"

Message = dict[str, Any]

CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"to" :"Ø" }'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
FOUND = {"role": "tool", "tool_call_id": "c1", "name": "find", "content": "23:40"}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def said(text: str) -> Message:
    return {"role": "assistant", "content": text}


def orchestrator(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the orchestrator off a terminal, its warnings being errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(ORCHESTRATOR), *map(str, arguments)],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )


def cells(output: str) -> list[list[str]]:
    """Return the rows of all tables of the output."""
    rows = re.findall(r"^[│|](.+)[│|]$", output, re.MULTILINE)
    return [[cell.strip() for cell in re.split("[│|]", row)] for row in rows]


def counts(output: str) -> dict[str, tuple[str, str]]:
    """Return the last table: what was found, and what was expected."""
    return {row[0]: (row[1], row[2]) for row in cells(output) if len(row) == 3}


def trial(task: str, number: int, reward: float | None, *messages: Message) -> Message:
    record = {"id": f"{task}-{number}", "task": task, "trial": number, "messages": messages}
    return record if reward is None else {**record, "reward": reward}


class Ran(NamedTuple):
    """What a run over given trials came to, and the folder that has its store."""

    status: int
    out: str
    err: str
    folder: Path

    def database(self) -> Path:
        return self.folder / "agents.db"

    def commits(self) -> int:
        with closing(sqlite3.connect(self.database())) as database:
            (found,) = database.execute("SELECT count(*) FROM commits").fetchone()
        return int(found)


GIVEN = [user("When?"), user("To Bodø.")]
WHOLE = [user("Why?"), CALLED, FOUND, said("So.")]
SPLIT = [user("Why?"), said("Moment."), CALLED, user("?"), said("So.")]
TRIALS: dict[str, list[Message]] = {
    "shared": [
        trial("t", 0, 0.0, *GIVEN, CALLED, FOUND, said("No.")),
        trial("t", 1, 1.0, *GIVEN, CALLED, FOUND, said("At 23:40.")),
        trial("t", 2, 0.0, *GIVEN, said("Never.")),
    ],
    "picked": [
        trial("t", 0, 0.0, user("When?"), said("Never.")),
        trial("t", 1, 1.0, user("When?"), CALLED, FOUND, said("At 23:40."), user("Thanks!")),
    ],
    "temperatures": [trial("t", n, 0.0, user("Why?"), said(f"{n}")) for n in range(4)],
    "no reward": [trial("t", 0, 0.0, user("Why?"), said("So.")), trial("t", 1, None, CALLED)],
    "apart": [trial("t", 0, 0.0, user("a"), said("b")), trial("t", 1, 1.0, said("c"))],
    "equal": [
        trial("t", 0, 0.0, *WHOLE),
        trial("t", 1, 1.0, *WHOLE),
        trial("t", 2, 0.0, *WHOLE[:2]),
    ],
    "silent": [trial("t", 0, 1.0, user("Hello?"))],
    "two tasks": [trial("a", 0, 0.0, user("Why?")), trial("b", 0, 0.0, user("Why?"))],
    "split": [
        trial("good", 0, 1.0, user("a"), said("b")),
        trial("bad", 0, 1.0, *SPLIT),
    ],
}


def written(path: Path, records: Sequence[Message]) -> Path:
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """The runs over `TRIALS`, by name."""
    folder = tmp_path_factory.mktemp("orchestrator")
    given = [
        [written(folder / f"{name}.jsonl", records), "--quiet", "--into", folder / name]
        for name, records in TRIALS.items()
    ]
    runs = zip(TRIALS, run_each(ORCHESTRATOR, given), strict=True)
    return {name: Ran(*came, folder / name) for name, came in runs}


@pytest.fixture(scope="module")
def shipped() -> subprocess.CompletedProcess[str]:
    """The run without an argument."""
    return orchestrator()


def test_the_shipped_trials_are_all_as_they_should_be(
    shipped: subprocess.CompletedProcess[str],
) -> None:
    rows = counts(shipped.stdout)

    assert (shipped.returncode, shipped.stderr) == (0, "")
    assert rows["faults found by verify()"] == ("0", "0")
    assert all(found == expected for found, expected in rows.values())


def test_the_trial_with_the_reward_and_the_fewest_tokens_is_picked(
    shipped: subprocess.CompletedProcess[str],
) -> None:
    picked = [row for row in cells(shipped.stdout) if row[-1] == "picked"]

    assert [row[:2] for row in picked] == [["trial-2", "1"]]


def test_a_trial_that_goes_on_from_others_shows_their_temperatures(
    shipped: subprocess.CompletedProcess[str],
) -> None:
    temperatures = [row[4] for row in cells(shipped.stdout) if len(row) == 6]

    assert temperatures[-4:] == ["0.0", "0.0, 0.4", "0.0, 0.4, 0.7", "1.0"]


def test_each_commit_is_told_once_on_a_line(shipped: subprocess.CompletedProcess[str]) -> None:
    told = re.findall(r"^\S+ +(?:main|trial-\d) +([0-9a-f]{10}) ", shipped.stdout, re.MULTILINE)

    assert len(told) == len(set(told)) == int(counts(shipped.stdout)["commits in the file"][0])


def test_quiet_tells_of_no_commit_but_watches_all_the_same_and_leaves_no_store_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ran = orchestrator("--quiet")

    assert ran.returncode == 0
    assert "tool_io" not in ran.stdout
    assert counts(ran.stdout)["commits told by watchers"][0] != "0"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_twenty_five_real_tasks_hold_their_beginnings_once() -> None:
    if not AIRLINE.is_file():
        pytest.skip(f"no transcripts at {AIRLINE}")
    ran = orchestrator(AIRLINE)
    rows = counts(ran.stdout)
    records = map(json.loads, AIRLINE.read_text(encoding="utf-8").splitlines())
    rewarded = {record["task"] for record in records if record["reward"]}

    assert (ran.returncode, ran.stderr) == (0, "")
    assert rows["branches in the file"] == ("125", "125")
    assert all(found == expected for found, expected in rows.values())
    assert sum(row[-1] == "picked" for row in cells(ran.stdout)) == len(rewarded)


def test_a_store_that_is_kept_has_a_page_that_names_its_branches(ran: dict[str, Ran]) -> None:
    page = (ran["shared"].folder / "agents.html").read_text(encoding="utf-8")

    address = (ran["shared"].folder / "agents.html").resolve().as_uri()
    assert f"Open {address} in a browser." in ran["shared"].out
    assert all(f'"trial-{number}"' in page for number in range(3))


def test_what_trials_share_is_committed_once(ran: dict[str, Ran]) -> None:
    """Two given messages, two that two trials share, one of its own each, and the answer."""
    assert ran["shared"].status == 0
    assert ran["shared"].commits() == 2 + 2 + 3 + 1


async def test_the_picked_branch_is_squashed_into_main(ran: dict[str, Ran]) -> None:
    async with TractStore.open(ran["picked"].database()) as store:
        main = store.tract("task-t")
        [answer, given] = await main.log()
        content = await main.get_content(answer.commit_hash)
        [origin] = await main.origins(answer.commit_hash)
        picked = await main.on("trial-1").head()

    assert ran["picked"].status == 0
    assert content == OutputContent(text="At 23:40.")
    assert answer.parent_hash == given.commit_hash
    assert origin.source_hash == picked


async def test_each_agent_has_a_temperature_of_its_own(ran: dict[str, Ran]) -> None:
    async with TractStore.open(ran["temperatures"].database()) as store:
        heads = [(await store.tract("task-t").on(f"trial-{n}").log(1))[0] for n in range(4)]

    assert [head.generation_config for head in heads] == [
        {"model": "gpt-4o", "temperature": temperature} for temperature in (0.0, 0.4, 0.7, 1.0)
    ]


async def test_where_no_trial_has_the_reward_main_stays(ran: dict[str, Ran]) -> None:
    async with TractStore.open(ran["no reward"].database()) as store:
        head = await store.tract("task-t").head()

    assert ran["no reward"].status == 0
    assert head is None  # the trials share nothing


def test_trials_that_share_nothing_begin_anew(ran: dict[str, Ran]) -> None:
    assert (ran["apart"].status, ran["apart"].err) == (0, "")
    assert ran["apart"].commits() == 4


def test_equal_trials_and_one_that_stops_early_commit_nothing_again(ran: dict[str, Ran]) -> None:
    assert ran["equal"].status == 0
    assert ran["equal"].commits() == 4 + 1


def test_a_trial_in_which_no_assistant_speaks_has_nothing_to_squash(ran: dict[str, Ran]) -> None:
    assert ran["silent"].status == 0
    assert ran["silent"].commits() == 1


def test_one_message_in_two_tasks_is_two_commits_of_one_content(ran: dict[str, Ran]) -> None:
    rows = counts(ran["two tasks"].out)

    assert rows["commits in the file"] == ("2", "2")
    assert rows["contents in the file"] == ("1", "1")


def test_a_turn_that_is_split_in_two_comes_back_in_two(ran: dict[str, Ran]) -> None:
    assert ran["split"].status == 0


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"task": [1]}, "line 2: the task [1] is no string and no integer"),
    ({"task": "\n"}, "line 2: the task 'task-\\n' is no printable string of 1 to 255"),
    ({"task": "t"}, "line 2: trial 0 of 'task-t' was there before"),
    ({"trial": -1}, "line 2: the trial -1 is no small integer"),
    ({"trial": "0"}, "line 2: the trial '0' is no small integer"),
    ({"trial": True}, "line 2: the trial True is no small integer"),
    ({"reward": "high"}, "line 2: the reward 'high' is no number"),
    ({"reward": float("nan")}, "line 2: the reward nan is no number"),
    ({"messages": []}, "line 2 has no messages"),
]


def test_a_malformed_trial_is_refused_where_it_is_wrong(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    good = trial("t", 0, 1.0, user("a"))
    given = []
    for number, (changed, _) in enumerate(MALFORMED):
        records = [good, {**trial("u", 0, 1.0, user("a")), **changed}]
        path = written(tmp_path / f"{number}.jsonl", records)
        given.append([path, "--quiet", "--into", tmp_path / str(number)])
    runs = run_each(ORCHESTRATOR, given)
    for (changed, problem), (status, out, err) in zip(MALFORMED, runs, strict=True):
        with subtests.test(changed=changed):
            assert (status, out) == (2, "")
            assert problem in err


def test_a_path_that_cannot_be_used_is_refused(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """A file that is not there, a store that is, which is left alone, a folder that cannot be made."""
    (tmp_path / "agents.db").write_text("mine")
    refused: list[tuple[list[object], str]] = [
        ([tmp_path / "missing.jsonl"], "missing.jsonl cannot be read"),
        (["--into", tmp_path], "is there already"),
        (["--into", tmp_path / "agents.db" / "folder"], "cannot be made"),
    ]
    runs = run_each(ORCHESTRATOR, [arguments for arguments, _ in refused])
    for (_, problem), (status, _, err) in zip(refused, runs, strict=True):
        with subtests.test(problem=problem):
            assert status == 2
            assert problem in err
            assert "Traceback" not in err

    assert (tmp_path / "agents.db").read_text() == "mine"
