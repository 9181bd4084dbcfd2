"""Which of the commits that a watch was given it remembers."""

from __future__ import annotations

import pytest

from tract.engine.watching.trail import Trail


def walked(count: int) -> Trail:
    trail = Trail()
    for number in range(count):
        trail.add(str(number))
    return trail


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1_000, 20_000])
def test_the_last_64_are_remembered_and_of_those_before_ever_fewer(count: int) -> None:
    marks = [int(mark) for mark in walked(count).marks()]

    assert marks == sorted({*marks})
    assert marks[-64:] == [*range(count)][-64:]
    for nearer, farther in zip(marks[:0:-1], marks[-2::-1], strict=True):
        assert nearer - farther <= max(1, (count - farther) / 32)
    assert not marks or marks[0] <= count / 32
    assert len(marks) <= 64 * max(1, count.bit_length() - 4)


def test_marks_that_are_dropped_are_gone_and_others_follow() -> None:
    trail = walked(200)
    trail.drop({str(number) for number in range(150, 200)})

    assert trail.end == trail.marks()[-1] == "149"
    trail.add("new")
    assert trail.marks()[-2:] == ["149", "new"]
    trail.drop({*trail.marks()})
    assert trail.marks() == []
    assert not trail.end
