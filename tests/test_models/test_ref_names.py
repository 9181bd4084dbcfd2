"""Names of branches and tags: git's rules, asked of git itself where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.effort import examples
from tract import RefNameError
from tract.models.refs import MAX_REF_NAME, check_ref_name

GOOD = [
    *("main", "a", "feature/login", "v1.2", "über", "ветка", "分支", "🙂", "a-", "a-b"),
    *(
        "a@b",
        "@a",
        "a@",
        "{a}",
        "a{",
        "head",
        "HEAD/a",
        "a/HEAD",
        "refs/heads/a",
        "a.b/c",
        "a.lock.b",
    ),
    *(
        "lock",
        "a#b",
        "a'b",
        'a"b',
        "$a",
        "%",
        "a,b;c!",
        "a|b",
        "(a)",
        "<a>",
        "a&b",
        "a=b",
        "]",
        "+",
    ),
    *(
        "f" * 63,
        "f" * 65,
        "g" * 64,
        "a" * MAX_REF_NAME,
        "é" * (MAX_REF_NAME // 2),
        "\u00a0",
        "\u2028",
    ),
]
BAD = {
    "": "it is empty",
    "a" * (MAX_REF_NAME + 1): "it has 1,025 bytes in UTF-8",
    "é" * (MAX_REF_NAME // 2 + 1): "it has 1,026 bytes in UTF-8",
    "a b": "it contains a space",
    " ": "it contains a space",
    "a\tb": "a control character",
    "a\n": "a control character",
    "\x00": "a control character",
    "a\x7f": "a control character",
    "a~1": "one of ~ ^",
    "a^": "one of ~ ^",
    "a:b": "one of ~ ^",
    "a?": "one of ~ ^",
    "*": "one of ~ ^",
    "a[0]": "one of ~ ^",
    "a\\b": "one of ~ ^",
    "a..b": "it contains '..'",
    "a@{1}": "it contains '@{'",
    "-a": "begins with '-'",
    "/a": "an empty part",
    "a/": "an empty part",
    "a//b": "an empty part",
    "/": "an empty part",
    ".a": "begins with a dot",
    "a/.b": "begins with a dot",
    ".": "begins with a dot",
    "a.lock": "ends with '.lock'",
    "a.lock/b": "ends with '.lock'",
    "a.": "ends with a dot",
    "@": "git reads '@' as HEAD",
    "HEAD": "git reads it as the current commit",
    "f" * 64: "a commit's hash",
    "0123456789abcdef" * 4: "a commit's hash",
    "F" * 64: "a commit's hash",
    "a\ud800": "a lone surrogate",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_passes(name: str) -> None:
    check_ref_name(name)


@pytest.mark.parametrize(("name", "problem"), BAD.items())
def test_a_bad_name_is_told_which_rule_it_breaks_and_what_to_do(name: str, problem: str) -> None:
    with pytest.raises(RefNameError) as caught:
        check_ref_name(name)

    assert caught.value.name == name
    assert problem in caught.value.problem
    assert len(caught.value.problem.split(". ")) == 2
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", [None, 1, b"main", ["main"], ("a",)])
def test_what_is_no_string_is_no_name(name: object) -> None:
    with pytest.raises(RefNameError, match=r"is not a string. Give a string."):
        check_ref_name(name)


def passes(name: str) -> bool:
    try:
        check_ref_name(name)
    except RefNameError:
        return False
    return True


PIECES = st.sampled_from(
    [*"ab./-@{~^:?*[\\ }", "..", ".lock", "//", "@{", "HEAD", "\x1f", "\x7f", "é", "refs/heads/"]
)
NAMES = st.lists(PIECES, max_size=6).map("".join) | st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@settings(max_examples=examples(200), deadline=None)
@given(name=NAMES)
@example(name="@")
@example(name="HEAD")
@example(name="a.lock")
def test_git_thinks_the_same(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of a branch's name; the one thing that we refuse beyond is `@`, which git warns of."""
    outside = tmp_path_factory.getbasetemp()
    accepted = git_accepts(outside, f"refs/heads/{name}") and git_accepts(outside, "--branch", name)

    assert passes(name) == (accepted and name != "@")


def git_accepts(folder: Path, *arguments: str) -> bool:
    """Ask git, in a folder that it must not take for a part of some repository."""
    command = ["git", "check-ref-format", *arguments]
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    run = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, check=False, timeout=240
    )
    return run.returncode == 0


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("name", [name for name in GOOD if len(name.encode()) <= 255])
def test_git_accepts_the_good_ones(name: str, tmp_path: Path) -> None:
    assert git_accepts(tmp_path, "--branch", name)
