"""What agents wrote reaches no terminal as something that it obeys."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.commands import tract
from tract import SyncStore
from tract.cli.escaping import block, line, width

pytestmark = pytest.mark.measured

HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;http://example.org\x07link\x1b]8;;\x07",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b31mC1",
    "\x90q\x9c",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "\u200f\u061c",
    "a\x00b",
    "back\x08\x08\x08space",
    "over\rwritten",
    "\x7f",
    "\u2028\u2029\x85\x0b\x0c",
    "\ufeff\u00ad\U000e0041",
)
EXCEPTED = "\u200c\u200d"  # joiners, which emoji and scripts need
FORBIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def obeyed(text: str) -> set[str]:
    """Return the characters of a text that a terminal obeys or does not show."""
    kept = f"\n\t{EXCEPTED}"
    return {each for each in text if unicodedata.category(each) in FORBIDDEN and each not in kept}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which everything that an agent may choose is hostile."""
    path = tmp_path_factory.mktemp("hostile") / "hostile.db"
    text = " ".join(HOSTILE)
    note = text.replace("\0", "")  # which databases do not take as text of their own
    name = "t\x1b[2J\u202e"
    with SyncStore.open(path) as store:
        main = store.tract(name)
        main.set_info(title=note, metadata={note: note})
        first = main.system(text, message=note, metadata={note: note}, key=note)
        other = main.fork("side\u202e")
        main.user(text, name="n", generation_config={"model": note, note: 1})
        other.user("plain")
        main.annotate(first.commit_hash, "pinned", reason=note)
        main.merge("side\u202e", message=note)
        main.tag("tag\u202e\u2066")
        main.commit({"content_type": "tool_io", "tool_name": text, "direction": "call",
                     "payload": {text: text}, "call_id": "c"})  # fmt: skip
        main.clear_tool_results(keep=0)
        item = {"role": "user", "content": [{"type": "text", "text": text}]}
        main.commit({"content_type": "native", "api": "openai.chat", "item": item})
        store.enable_search()
    return path


COMMANDS = [
    ["log"],
    ["log", "--graph", "--all"],
    ["show", "tag\u202e\u2066", "main"],
    ["compile"],
    ["compile", "--for", "anthropic", "--open-calls", "keep"],
    ["diff", "side\u202e", "main"],
    ["branches"],
    ["tags"],
    ["reflog"],
    ["compare"],
    ["query"],
    ["search", "red"],
    ["tracts"],
    ["stats"],
    ["info"],
    ["verify"],
    ["compactions"],
    ["recover"],
    ["watch", "--all", "--limit", "3"],
]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command[:2]).strip("-"))
def test_no_command_prints_what_a_terminal_obeys(
    hostile: Path, command: list[str], as_json: bool
) -> None:
    name, *rest = command
    ended = tract(name, hostile, *rest, *(["--json"] if as_json else []))

    assert ended.code == 0, ended.err
    assert obeyed(ended.out) == obeyed(ended.err) == set()
    if as_json:
        assert ended.out.isascii()


@pytest.mark.parametrize(
    "arguments",
    [["log", "--tract", "\x1b[31m"], ["show", "\x1b]0;x\x07"], ["log", "-b", "\u202e"]],
    ids=["tract", "commit", "branch"],
)
def test_no_error_prints_what_a_terminal_obeys(hostile: Path, arguments: list[str]) -> None:
    ended = tract(arguments[0], hostile, *arguments[1:])

    assert ended.code == 3
    assert obeyed(ended.err) == set()


def test_a_huge_line_is_one_line_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "huge.db"
    with SyncStore.open(path) as store:
        store.tract("t").user("\x1b[31m" * 200_000)

    (shown,) = tract("log", path).out.splitlines()

    assert len(shown) < 40_000


def test_emoji_and_every_script_are_shown_as_they_are() -> None:
    text = "日本語 👩\u200d👩\u200d👧 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 é"

    assert block(text) == text


@given(st.text())
def test_an_escaped_text_has_nothing_that_is_obeyed(text: str) -> None:
    assert obeyed(block(text)) == set()
    assert re.search(r"[\n\t]", line(text)) is None


@given(st.text(), st.integers(0, 30))
def test_a_clipped_line_is_not_wider_than_asked(text: str, columns: int) -> None:
    assert width(line(text, columns)) <= columns


@pytest.mark.parametrize("text", HOSTILE)
def test_each_hostile_text_is_shown_otherwise_than_it_is(text: str) -> None:
    assert block(text) != text
