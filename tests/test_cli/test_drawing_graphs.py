"""The graph of a history, which is drawn while it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract.cli.graph import ASCII, LINES, Graph, Strokes

pytestmark = pytest.mark.measured


def drawn(history: list[tuple[str, list[str]]], strokes: Strokes = LINES) -> list[str]:
    graph = Graph(strokes)
    return [row for commit, parents in history for row, _ in graph.rows(commit, parents)]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], []),
        ([("b", ["a"]), ("a", [])], ["●", "●"]),
        ([("m", ["b", "c"]), ("c", ["a"]), ("b", ["a"]), ("a", [])],
         ["●", "├─╮", "│ ●", "● │", "├─╯", "●"]),
        ([("c", ["a"]), ("b", ["a"]), ("a", [])], ["●", "│ ●", "├─╯", "●"]),
        ([("b", []), ("a", [])], ["●", "●"]),
        ([("d", ["c"]), ("e", ["c", "b"]), ("b", ["a"]), ("c", ["a"]), ("a", [])],
         ["●", "│ ●", "│ ├─╮", "│ │ ●", "├─╯ │", "●   │", "├───╯", "●"]),
        ([("c", ["b"]), ("m", ["a", "b"]), ("b", ["a"]), ("a", [])],
         ["●", "│ ●", "├─┤", "● │", "├─╯", "●"]),
    ],
    ids=["empty", "line", "merge", "fork", "roots", "crossing", "joining"],
)  # fmt: skip
def test_branches_part_and_meet_where_they_did(
    history: list[tuple[str, list[str]]], expected: list[str]
) -> None:
    assert drawn(history) == expected


def test_a_terminal_without_unicode_gets_ascii() -> None:
    history = [("m", ["b", "c"]), ("c", ["a"]), ("b", ["a"]), ("a", [])]

    assert drawn(history, ASCII) == ["*", "|-.", "| *", "* |", "|-'", "*"]


@given(st.data())
def test_every_commit_is_drawn_once_whatever_the_history(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, 25))
    history = [
        (str(at), data.draw(st.lists(st.sampled_from(list(map(str, range(at)))), max_size=2)
                            if at else st.just([])))
        for at in reversed(range(number))
    ]  # fmt: skip
    rows = drawn(history)

    assert sum(row.count(LINES.commit) for row in rows) == number
    assert all(row == row.rstrip() for row in rows)
