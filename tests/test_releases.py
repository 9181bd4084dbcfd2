"""What the page on releases promises is what the project declares, and what CI tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from support.dependencies import PROJECT, declared, table

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "releases.md").read_text(encoding="utf-8")
CLASSIFIED = re.compile(r"Programming Language :: Python :: (3\.\d+)")


def test_the_page_lists_every_dependency_with_both_ends() -> None:
    assert table() in PAGE, "Run `python -m support.dependencies`, with PYTHONPATH=tests."


@pytest.mark.parametrize(
    "requirement", [each for _, each in declared()], ids=lambda each: str(each)
)
def test_each_dependency_has_one_lower_bound_to_be_tested_at(requirement: Requirement) -> None:
    operators = [each.operator for each in requirement.specifier]

    assert operators.count(">=") == 1
    assert {*operators} <= {">=", "<"}


def test_the_declared_pythons_are_those_that_ci_tests_and_the_page_names() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    tested = re.findall(r'python: "(3\.\d+)", session: tests', workflow)
    classified = [found[1] for found in map(CLASSIFIED.fullmatch, PROJECT["classifiers"]) if found]
    (told,) = re.findall(r"CPython (.*?)\.\s", PAGE)

    assert classified == tested == re.findall(r"3\.\d+", told)
    assert PROJECT["requires-python"] == f">={classified[0]}"


def test_the_newest_version_of_the_changelog_is_the_projects() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    newest, *_ = re.findall(r"^## \[(\d.*?)\]", changes, re.MULTILINE)
    assert newest == PROJECT["version"]
