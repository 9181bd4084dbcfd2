"""What the benchmark says of several runs; what it measures is tried by its quick mode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.runs import judged


def kept(path: Path, commits: float, p99: float, *, judged: bool = True) -> Path:
    """Keep a run with two lines, as `--json` does."""
    bars = {
        "commits": {"text": "≥ 0.2 x limit", "value": commits, "holds": commits >= 0.2},
        "stall": {"text": "≤ 5 ms", "value": p99, "holds": p99 <= 5},
    }
    rows = [{"title": title, "bars": [bar]} for title, bar in bars.items()]
    if not judged:
        for bar in bars.values():
            bar["holds"] = None
    path.write_text(json.dumps({"rows": [*rows, {"title": "no bar", "bars": []}]}))
    return path


def test_a_bar_holds_where_the_median_of_the_runs_does(tmp_path: Path) -> None:
    figures = [(0.1, 9.0), (0.21, 4.0), (0.25, 5.5)]
    runs = [kept(tmp_path / f"{number}", *figure) for number, figure in enumerate(figures)]

    assert judged(runs).splitlines()[2:] == [
        "| commits | ≥ 0.2 x limit | 0.1 | 0.21 | 0.25 | 0.21 | yes |",
        "| stall | ≤ 5 ms | 9 | 4 | 5.5 | 5.5 | NO |",
    ]


def test_runs_with_other_lines_are_refused(tmp_path: Path) -> None:
    runs = [kept(tmp_path / "a", 0.1, 1), kept(tmp_path / "b", 0.1, 1, judged=False)]

    with pytest.raises(ValueError, match="same lines"):
        judged(runs)


def test_runs_that_were_not_judged_are_refused(tmp_path: Path) -> None:
    runs = [kept(tmp_path / name, 0.1, 1, judged=False) for name in ("a", "b")]

    with pytest.raises(ValueError, match="Nothing was judged"):
        judged(runs)
