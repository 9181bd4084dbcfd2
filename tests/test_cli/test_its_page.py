"""The page on the command line says what is: its examples run, and its lists are complete."""

from __future__ import annotations

import asyncio
import inspect
import re
import shlex
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import typer

from support.commands import tract
from support.markdown import commands, fenced, python_blocks
from tract.cli.app import app
from tract.cli.commands.importers import IMPORTERS
from tract.cli.running import ExitCode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
PAGES = [*sorted((ROOT / "docs").glob("**/*.md")), ROOT / "README.md"]


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


def test_no_page_names_a_command_or_an_option_that_is_not_there() -> None:
    group = typer.main.get_command(app)
    options = {name: options_of(each) for name, each in group.commands.items()}  # type: ignore[attr-defined]
    options |= {"--": {*options_of(group), "--help"}}
    named = [each for page in PAGES for each in typed(page.read_text(encoding="utf-8"))]

    assert len(named) > 25
    for words in named:
        command = words[1] if words[1:2] and not words[1].startswith("-") else "--"
        assert command in options, words
        given = {each.partition("=")[0] for each in words if re.match("--[a-z]", each)}
        assert given <= options[command] | {"--help"}, words


def test_the_page_names_no_option_that_is_not_there() -> None:
    group = typer.main.get_command(app)
    there = options_of(group).union(*map(options_of, group.commands.values()))  # type: ignore[attr-defined]

    assert {*re.findall(r"`(--[a-z-]+)", PAGE)} <= there


def options_of(command: Any) -> set[str]:
    return {name for each in command.params for name in each.opts}


def typed(text: str) -> Iterator[list[str]]:
    """Yield the words of each command that a page shows, in a block or in a sentence."""
    shown = [line for _, block in fenced(text) for line in block.text.splitlines()]
    shown += re.findall(r"`(tract [^`]+)`", text)
    for line in shown:
        if found := re.match(r"(?:\$ |uvx \S+ )?(tract (?!=)[^#|]+)", line.strip()):
            yield shlex.split(found[1])


def test_every_command_tells_what_it_does() -> None:
    for each in app.registered_commands:
        assert each.callback is not None
        assert each.callback.__doc__, each.name
