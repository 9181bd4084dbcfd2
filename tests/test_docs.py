"""The documentation says what is: its code runs, its links lead somewhere, it leaves nothing out."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, chdir
from pathlib import Path
from types import CodeType
from typing import Any

import anthropic
import openai
import pytest

import tract
from support.markdown import Block, broken_links, directives, python_blocks
from support.provider import provider_api
from tract import exceptions

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = ROOT / "docs" / "reference.md"


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def compiled(block: Block, path: Path) -> CodeType:
    """Compile so that `await` is allowed outside functions and tracebacks name the page's line."""
    source = "\n" * (block.line - 1) + block.text
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(source, path, "exec", flags=flags, dont_inherit=True)
    return code


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    with provider_api() as url:
        yield url


@pytest.fixture
async def clients(provider_url: str) -> AsyncIterator[dict[str, Any]]:
    """The providers' own clients, by the names that the pages use."""
    async with AsyncExitStack() as stack:
        chat = openai.AsyncOpenAI(api_key="none", base_url=f"{provider_url}/v1", max_retries=0)
        messages = anthropic.AsyncAnthropic(api_key="none", base_url=provider_url, max_retries=0)
        yield {
            "client": await stack.enter_async_context(chat),
            "anthropic_client": await stack.enter_async_context(messages),
        }


@pytest.mark.parametrize("path", PAGES, ids=page_name)
async def test_the_python_blocks_of_a_page_run_in_order(
    path: Path, clients: dict[str, Any], tmp_path: Path
) -> None:
    blocks = [compiled(block, path) for block in python_blocks(text(path))]
    namespace = {"__name__": "__main__", **clients}

    with chdir(tmp_path):
        for code in blocks:
            result = eval(code, namespace)
            if inspect.isawaitable(result):
                await result


def test_the_readme_shows_an_example() -> None:
    assert python_blocks(text(ROOT / "README.md"))


@pytest.mark.parametrize("command", ["nox -s demo", "nox -s tests"])
def test_the_readme_gives_a_newcomer_both_commands(command: str) -> None:
    assert f"\npip install nox && {command}\n" in text(ROOT / "README.md")


def test_the_ci_runs_the_readmes_test_command() -> None:
    assert "pip install nox && nox -s tests" in text(ROOT / ".ci" / "run")


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_the_links_within_the_project_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def in_order(name: str) -> tuple[bool, bool, str]:
    """Sort constants first, then classes, then functions, as the linter has it."""
    return not name.isupper(), name.islower(), name


def test_the_public_names_are_sorted_and_there() -> None:
    assert tract.__all__ == sorted(tract.__all__, key=in_order)
    assert [name for name in tract.__all__ if not hasattr(tract, name)] == []


def test_the_reference_documents_each_public_name_once_and_no_other() -> None:
    """Building the docs then fails on a name that it cannot document."""
    documented = directives(text(REFERENCE))

    assert sorted(documented) == sorted(f"tract.{name}" for name in tract.__all__)


@pytest.mark.parametrize("name", exceptions.__all__)
def test_each_error_is_public_and_has_a_text_and_a_place_in_the_tree(name: str) -> None:
    error = getattr(exceptions, name)

    assert getattr(tract, name) is error
    assert error.__dict__.get("__doc__")
    assert re.search(rf"\b{name}\b", exceptions.__doc__ or "")


def test_each_public_class_and_function_has_a_docstring_of_its_own() -> None:
    public = [getattr(tract, name) for name in tract.__all__]
    classes = [item for item in public if inspect.isclass(item)]
    functions = [item for item in public if inspect.isfunction(item)]

    assert [cls.__name__ for cls in classes if not vars(cls).get("__doc__")] == []
    assert [function.__name__ for function in functions if not function.__doc__] == []


def undocumented_methods(cls: type) -> list[str]:
    """Return *cls*'s own public methods and properties for which neither it nor a base has a text."""
    own = [(name, member) for name, member in vars(cls).items() if not name.startswith("_")]
    callables = (property, classmethod, staticmethod)
    methods = [
        name for name, item in own if inspect.isfunction(item) or isinstance(item, callables)
    ]
    return [f"{cls.__name__}.{name}" for name in methods if not inspect.getdoc(getattr(cls, name))]


def test_each_public_method_has_a_docstring() -> None:
    """Overrides may leave it to the base class, as the reference does."""
    classes = [item for name in tract.__all__ if inspect.isclass(item := getattr(tract, name))]

    assert [method for cls in classes for method in undocumented_methods(cls)] == []
