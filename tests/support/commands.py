"""Running the command `tract` in this process, and as one of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tract import DialogueContent, SyncStore, ToolIOContent
from tract.cli.app import app

__all__ = ["PROGRAM", "Ended", "environment", "sample", "tract"]

PROGRAM = (sys.executable, "-m", "tract.cli")


@dataclass(frozen=True)
class Ended:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON lines that it printed."""
        return [json.loads(each) for each in self.out.splitlines()]


def tract(*arguments: object, answer: str | None = None) -> Ended:
    """Run a command in this process, whose output is not a terminal."""
    ended = CliRunner().invoke(app, [*map(str, arguments)], input=answer)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def environment(**values: str) -> Mapping[str, str]:
    """Return the environment for a process of its own, without settings of whoever runs the tests."""
    dropped = ("NO_COLOR", "PAGER", "TRACT_PAGER", "LESS", "COLUMNS", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **values}


def sample(path: Path | str) -> dict[str, str]:
    """Make a store with two branches that part and meet again; return commits by name."""
    with SyncStore.open(path) as store:
        main = store.tract("planner")
        made = {"system": main.system("You plan trips.").commit_hash}
        made["asked"] = main.user("Plan a week in Norway.").commit_hash
        fast = main.fork("fast")
        config = {"model": "small", "temperature": 0.7}
        made["oslo"] = main.assistant("Oslo first.", generation_config=config).commit_hash
        config = {"model": "large", "temperature": 0.1}
        made["bergen"] = fast.assistant("Bergen first.", generation_config=config).commit_hash
        call = ToolIOContent(
            tool_name="weather", direction="call", payload={"city": "Oslo"}, call_id="c1"
        )
        made["call"] = main.commit(call, metadata={"user": "anna"}).commit_hash
        result = ToolIOContent(
            tool_name="weather", direction="result", payload={"degrees": 3}, call_id="c1"
        )
        made["result"] = main.commit(result).commit_hash
        edit = DialogueContent(role="user", text="Plan two weeks in Norway.")
        made["edit"] = main.commit(
            edit, operation="edit", edit_target=made["asked"], message="longer"
        ).commit_hash
        main.annotate(made["asked"], "pinned", reason="the brief")
        made["merge"] = main.merge("fast").head_hash or ""
        main.tag("v1")
        made["after"] = fast.user("And then?").commit_hash
    return made
