"""`python -m support.dependencies`: the table of `docs/releases.md`, from what the project declares."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

__all__ = ["PROJECT", "declared", "table"]

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]


def declared() -> Iterator[tuple[str, Requirement]]:
    """Yield each dependency with what needs it: an extra, or everything."""
    for each in PROJECT["dependencies"]:
        yield "everything", Requirement(each)
    for extra, dependencies in PROJECT["optional-dependencies"].items():
        for each in dependencies:
            yield f"`{extra}`", Requirement(each)


def table() -> str:
    """Return the dependencies as a table, each once."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for needed_by, requirement in declared():
        bounds = {each.operator: each.version for each in requirement.specifier}
        below = bounds.get("<")
        row = (
            requirement.name,
            bounds[">="],
            f"the newest below {below}" if below else "the newest",
        )
        rows.setdefault(row, []).append(needed_by)
    lines = [
        f"| {name} | {', '.join(by)} | {oldest} | {newest} |"
        for (name, oldest, newest), by in sorted(rows.items())
    ]
    head = ["| package | needed by | from | to |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *lines])


if __name__ == "__main__":
    print(table())
