"""The page on the command line says what is: its examples run, and its lists are complete."""

from __future__ import annotations

import asyncio
import inspect
import re
import shlex
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from contextlib import chdir
from pathlib import Path

import pytest

from support.commands import tract
from support.markdown import commands, fenced, python_blocks
from tract.cli.app import app
from tract.cli.commands.importers import IMPORTERS
from tract.cli.running import ExitCode

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the store that the page makes."""

    async def made() -> None:
        for block in python_blocks(PAGE):
            code = compile(block.text, "page", "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if inspect.isawaitable(done := eval(code, {})):
                await done

    with chdir(tmp_path):
        asyncio.run(made())
    return tmp_path


def test_each_example_prints_what_the_page_says(folder: Path) -> None:
    consoles = [block.text for language, block in fenced(PAGE) if language == "console"]
    examples = [each for block in consoles for each in commands(block, "tract")]

    assert len(examples) == 9
    with chdir(folder):
        for command, expected in examples:
            ended = tract(*shlex.split(command))
            assert re.fullmatch(expected, ended.out + ended.err), (command, ended)


def test_the_page_names_every_command() -> None:
    named = {name for names in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in
             re.findall(r"`(\w+)(?: --from)?`", names)}  # fmt: skip

    assert named == {each.name for each in app.registered_commands}


def test_the_page_names_every_exit_code() -> None:
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [str(int(each)) for each in ExitCode]


def test_the_page_names_every_framework() -> None:
    assert all(f"`{each}`" in PAGE or f"from {each}" in PAGE for each in IMPORTERS)


def test_every_command_tells_what_it_does() -> None:
    for each in app.registered_commands:
        assert each.callback is not None
        assert each.callback.__doc__, each.name
