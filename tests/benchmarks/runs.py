"""Several runs beside each other: what they give for each bar, and whether their median holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["judged"]


def judged(paths: Sequence[Path]) -> str:
    """Return a Markdown table of the bars in runs that were kept with `--json`.

    Raises:
        ValueError: the runs do not have the same lines, or were not judged.
        OSError: a file cannot be read.
    """
    runs = [[*_bars(json.loads(path.read_text("utf-8")))] for path in paths]
    if not any(runs):
        raise ValueError("Nothing was judged there: small sizes, or fewer than five repetitions.")
    if len({tuple(bar[:2] for bar in run) for run in runs}) != 1:
        raise ValueError("These runs do not have the same lines: keep them with the same options.")
    numbers = " | ".join(f"run {number + 1}" for number in range(len(runs)))
    lines = [
        f"| line | must be | {numbers} | median | holds |",
        f"| --- | --- | {' | '.join('---:' for _ in runs)} | ---: | --- |",
    ]
    for bars in zip(*runs, strict=True):
        title, text, _ = bars[0]
        values = [value for *_, value in bars]
        shown = " | ".join(f"{value:.3g}" for value in values)
        middle = median(values)
        holds = "yes" if _holds(text, middle) else "NO"
        lines.append(f"| {title} | {text} | {shown} | {middle:.3g} | {holds} |")
    return "\n".join(lines) + "\n"


def _bars(run: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield the title, the bar and our figure for it, of each bar that was judged."""
    for row in run["rows"]:
        for bar in row["bars"]:
            if bar["holds"] is not None:
                yield row["title"], bar["text"], bar["value"]


def _holds(text: str, value: float) -> bool:
    """Tell whether a value meets a bar, which reads `≥ 3 x SQLiteSession` or `≤ 5 ms`."""
    sign, bound = text.split()[:2]
    return value >= float(bound) if sign == "≥" else value <= float(bound)
