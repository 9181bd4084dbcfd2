"""The documentation says what is: its code runs, its links lead somewhere, it leaves nothing out."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, chdir
from dataclasses import is_dataclass
from importlib.metadata import metadata
from pathlib import Path
from types import CodeType
from typing import Any

import anthropic
import openai
import pytest

import tract
from support.frameworks import lacking
from support.markdown import Block, broken_links, directives, fenced, python_blocks, relative_links
from support.offline import run_offline
from support.printed import Printed
from support.provider import provider_api
from tract import exceptions, strategies, summarisers, telemetry, viewer

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ADAPTERS = ("adk", "claude_agent", "langgraph", "openai_agents", "pydantic_ai", "transcripts")
MODULES = [strategies, summarisers, telemetry, viewer]
"""Public modules beside `tract` itself."""
REFERENCE = ROOT / "docs" / "reference.md"


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code_of(path: Path) -> str:
    return "\n".join(block.text for block in python_blocks(text(path)))


def at_its_line(block: Block) -> str:
    """Return the block with its lines numbered as on the page, which tracebacks then name."""
    return "\n" * (block.line - 1) + block.text


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


@pytest.fixture
def agents_database(
    path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set the URL that a page takes from its environment; not in a test, where a loop runs."""
    if "AGENTS_DATABASE" in text(path):
        monkeypatch.setenv("AGENTS_DATABASE", request.getfixturevalue("postgres_url"))


@pytest.mark.usefixtures("agents_database")
@pytest.mark.parametrize("path", PAGES, ids=page_name)
async def test_the_python_blocks_of_a_page_run_in_order_and_print_what_they_say(
    path: Path,
    clients: dict[str, Any],
    tmp_path: Path,
) -> None:
    """A comment behind a `print(...)` is what it prints; see `support.printed`."""
    if framework := lacking(code_of(path)):
        pytest.skip(f"{framework} needs an environment of its own")
    printed = Printed()
    blocks = [printed.compiled(at_its_line(each), str(path)) for each in python_blocks(text(path))]
    namespace = {"__name__": "__main__", **clients, **printed.namespace}

    with chdir(tmp_path):
        for code in blocks:
            await run_block(code, namespace)

    assert printed.drifted() == []


async def run_block(code: CodeType, namespace: dict[str, Any]) -> None:
    """Run a block's code; a whole program, which brings a loop of its own, runs on a thread."""
    if {"asyncio", "run"} <= {*code.co_names}:
        await asyncio.to_thread(eval, code, namespace)
        return
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize(
    "source",
    [
        "print('a', 1)  # a 1",
        "print('id', 'f00', 'at', 9)  # id ... at ...",
        "print(\n    'a',\n    'b',\n)  # a b",
        "for each in 'ab':\n    print(each)  # ...",
        "print('a', end='')  # a",
        "print('a')\n# b",
        "shown = repr('a')  # b",
    ],
)
def test_a_comment_that_says_what_is_printed_has_not_drifted(source: str) -> None:
    assert drifted(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "print('a')  # b",
        "print('a b')  # a",
        "print('a.b')  # a.b...c",
        "print('axb')  # a.b",
        "for each in 'ab':\n    print(each)  # a",
        "if not True:\n    print('a')  # a",
        "[print('a') for _ in ()]  # a",
    ],
)
def test_a_comment_that_says_what_is_not_printed_has_drifted(source: str) -> None:
    (told,) = drifted(f"\n\n{source}")

    assert f"line {2 + len(source.splitlines())}: " in told


def drifted(source: str) -> list[str]:
    printed = Printed()
    exec(printed.compiled(source, "page.md"), printed.namespace)
    return printed.drifted()


def test_the_readmes_first_program_runs_offline_and_prints_what_the_readme_says() -> None:
    readme = text(ROOT / "README.md")
    first = python_blocks(readme)[0]
    (shown, *_) = re.findall(r"^```text\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)

    assert run_offline(first.text) == shown.splitlines()


def test_what_a_package_index_shows_has_no_links_that_break_there(tmp_path: Path) -> None:
    """There the README stands alone, so links have to be whole addresses; its picture is left out."""
    description = metadata("asynctract")["Description"]
    shown = tmp_path / "description.md"
    shown.write_text(description, encoding="utf-8")

    assert relative_links(shown) == []
    assert relative_links(ROOT / "README.md") == ["docs/images/trials.png"]
    assert "\n## See it\n" in description


def test_the_first_command_of_the_readme_leaves_a_page_to_look_at() -> None:
    [first, *_] = re.findall(r"^```sh\n(.*?)^```$", text(ROOT / "README.md"), re.M | re.S)

    assert first == "pip install nox && nox -s demo -- orchestrator --into trials\n"


@pytest.mark.parametrize("command", ["nox -s demo", "nox -s tests"])
def test_the_readme_gives_a_newcomer_both_commands(command: str) -> None:
    assert f"\npip install nox && {command}\n" in text(ROOT / "README.md")


def test_the_ci_runs_the_readmes_test_command() -> None:
    assert "pip install nox && nox -s tests" in text(ROOT / ".ci" / "run")


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_the_links_within_the_project_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_block_names_a_language_that_is_highlighted_and_copied_well(path: Path) -> None:
    """In a console block commands have a prompt, which copying leaves out, as what they print."""
    blocks = fenced(text(path))

    assert {language for language, _ in blocks} <= {
        "console",
        "json",
        "python",
        "sh",
        "sql",
        "text",
    }
    assert [
        block for language, block in blocks if language == "console" and block.text[0] != "$"
    ] == []


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = relative_links(folder / "index.md")

    assert sorted(listed) == sorted({path.name for path in folder.glob("*.md")} - {"index.md"})


def test_the_glossary_gives_each_word_one_meaning() -> None:
    glossary = text(ROOT / "docs" / "design.md").split("## Glossary")[1]
    words = re.findall(r"^\| ([^|]+?) \| [^|-]", glossary, re.MULTILINE)
    told = [word.strip() for row in words for word in row.split(",") if row != "word"]

    assert len(told) > 50
    assert [word for word in told if told.count(word) > 1] == []


def in_order(name: str) -> tuple[bool, bool, str]:
    """Sort constants first, then classes, then functions, as the linter has it."""
    return not name.isupper(), name.islower(), name


def test_the_public_names_are_sorted_and_there() -> None:
    assert tract.__all__ == sorted(tract.__all__, key=in_order)
    assert [name for name in tract.__all__ if not hasattr(tract, name)] == []


def test_the_reference_documents_each_public_name_once_and_no_other() -> None:
    """Building the docs then fails on a name that it cannot document."""
    documented = directives(text(REFERENCE))
    public = [
        f"{module.__name__}.{name}" for module in (tract, *MODULES) for name in module.__all__
    ]
    for adapter in ADAPTERS:
        public += [f"tract.integrations.{adapter}.{name}" for name in exported(adapter)]

    assert sorted(documented) == sorted(public)


def test_the_reference_shows_constructors_only_of_what_callers_construct() -> None:
    """Stores, handles, streams and conditions come from calls; their constructors are private."""
    hidden = re.findall(
        r"^::: (\S+)\n    options:\n      merge_init_into_class: false$",
        text(REFERENCE),
        re.MULTILINE,
    )
    constructors = {
        f"{module.__name__}.{name}"
        for module in (tract, *MODULES)
        for name in module.__all__
        if has_constructor(getattr(module, name))
    }

    assert constructors - {*hidden} == {
        "tract.DefaultContextCompiler",
        "tract.TiktokenCounter",
        "tract.telemetry.Telemetry",
    }


def has_constructor(item: object) -> bool:
    """Return True for a class with a constructor of ours, but for values and errors."""
    if not inspect.isclass(item) or issubclass(item, Exception):
        return False
    written = inspect.isfunction(item.__init__) and item.__init__.__module__.startswith("tract")
    return written and not is_dataclass(item)


def exported(adapter: str) -> list[str]:
    """Return the public names of an adapter, whose framework need not be installed."""
    place = Path(tract.__path__[0]) / "integrations" / adapter
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    for node in ast.parse(text(file)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise AssertionError(f"{file} has no __all__")


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
