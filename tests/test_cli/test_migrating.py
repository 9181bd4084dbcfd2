"""The commands on the page about other stores import what its programs have made."""

from __future__ import annotations

import asyncio
import inspect
import re
import shlex
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Awaitable
from contextlib import chdir
from pathlib import Path
from typing import Any

from support.commands import tract
from support.markdown import commands, fenced
from tract.cli.commands.importers import IMPORTERS

PAGE = (Path(__file__).parents[2] / "docs" / "migration.md").read_text(encoding="utf-8")


def test_each_command_prints_what_the_page_says(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    called = 0
    with chdir(tmp_path):
        for language, block in fenced(PAGE):
            if language == "python":
                run(block.text, names)
            for command, expected in commands(block.text, "tract") if language == "console" else ():
                ended = tract(*shlex.split(command))
                called += 1

                assert ended.code == 0, (command, ended)
                assert re.fullmatch(expected, ended.out + ended.err, re.DOTALL), (command, ended)
    assert called == 4


def run(code: str, names: dict[str, Any]) -> None:
    compiled = compile(code, "page", "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if inspect.isawaitable(done := eval(compiled, names)):
        asyncio.run(awaited(done))


async def awaited(done: Awaitable[Any]) -> None:
    await done


def test_the_page_has_a_command_for_each_framework() -> None:
    named = re.findall(r"^\|.*`tract import agents.db --from ([\w-]+)", PAGE, re.MULTILINE)

    assert sorted(named) == sorted(IMPORTERS)
