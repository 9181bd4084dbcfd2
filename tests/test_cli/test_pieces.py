"""What the command line is made of, where only a terminal or a rare value reaches it."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from support.commands import tract
from tract import Message
from tract.cli import drawing
from tract.cli.escaping import clipped, line, width
from tract.cli.jsons import written
from tract.cli.output import Output

pytestmark = pytest.mark.measured

Pair = namedtuple("Pair", ["a", "b"])


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00+00:00"),
        (b"ab", "YWI="),
        (frozenset({"a"}), ["a"]),
        (Colour.RED, "red"),
        (Point(1), {"x": 1}),
        (Path("a"), "a"),
        (Message("user", "Hi"), {"role": "user", "content": "Hi"}),
    ],
)
def test_values_are_written_as_json(value: object, expected: object) -> None:
    assert json.loads(written({"value": value})) == {"value": expected}


def test_json_is_ascii_without_control_characters() -> None:
    assert written("é\x7f\x1b") == '"\\u00e9\\u007f\\u001b"'


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("hello", 5, "hello"),
        ("hello", 4, "hel…"),
        ("hello", 0, ""),
        ("日本語", 4, "日…"),
        ("hello", None, "hello"),
    ],
)
def test_lines_are_clipped_to_the_cells_that_they_take(
    text: str, columns: int | None, expected: str
) -> None:
    assert clipped(text, columns) == expected
    assert line(f" {text}\n", columns) == expected


def test_combining_characters_take_no_cell() -> None:
    assert [width("e\u0301"), width("日"), width("a")] == [1, 2, 1]


def test_a_table_for_a_terminal_has_a_head_and_is_cut_to_its_width() -> None:
    drawn = drawing.table(["tract_id", "text"], [["a", "x" * 100]], 40, colours=False)
    lines = drawn.splitlines()

    assert "text" in lines[0]
    assert max(map(len, lines)) <= 40
    assert "\x1b" not in drawn


def test_progress_moves_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with drawing.progress("Copying", colours=False) as move:
        move(1, 2)

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_records_are_a_table_for_a_terminal_and_columns_for_a_pipe(terminal: bool) -> None:
    stream = StringIO()
    out = Output(stream, as_json=False, terminal=terminal)
    out.table([1, 2], lambda number: {"number": number, "gone": None, "ok": number == 1})
    said = stream.getvalue()

    if terminal:
        assert all(name in said.splitlines()[0] for name in ("number", "gone", "ok"))
    else:
        assert said == "1\t-\tyes\n2\t-\tno\n"


def test_an_empty_table_says_nothing_to_a_terminal() -> None:
    stream = StringIO()
    Output(stream, as_json=False, terminal=True).table([], lambda record: {"a": record})

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("nothing=1", "There is no field 'nothing'."),
        ("created_at>soon", "'soon' is not a time such as"),
        ("token_count~1", ""),
        ("no condition", ""),
    ],
)
def test_a_condition_that_cannot_be_asked_is_an_error_of_usage(
    agents: Path, condition: str, said: str
) -> None:
    ended = tract("query", agents, condition)

    assert ended.code == 2
    assert said in ended.err


@pytest.mark.parametrize("time", ["2020-01-01T00:00", "2020-01-01T00:00+00:00", '"2020-01-01"'])
def test_times_without_a_zone_are_utc(agents: Path, time: str) -> None:
    every: Any = tract("query", agents, "--count").out
    assert tract("query", agents, f"created_at>{time}", "--count").out == every


def test_a_page_is_written_once_and_names_tracts_that_are_not_there(
    agents: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    missing = tract("export", agents, page, "--html", "--tract", "nobody")
    made = tract("export", agents, page, "--html")
    again = tract("export", agents, page, "--html")

    assert (missing.code, made.code, again.code) != (0, 0, 0)
    assert made.code == 0, made
    assert missing.code != 0
    assert "already" in again.err
    assert page.read_bytes().lower().startswith(b"<!doctype html>")
