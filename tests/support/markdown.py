"""Markdown pages: Python blocks, links, headings, directives, and the part that a run fills in."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)\n"
    r"(?P<body>.*?)^[ \t]*(?P=fence)[`~]*[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_CODE_SPAN = re.compile(r"(?P<ticks>`+).+?(?P=ticks)")
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*#*$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^::: (?P<name>\S+)$", re.MULTILINE)

SQLITE = "measured"
POSTGRES = "measured on PostgreSQL"


class Block(NamedTuple):
    """A fenced block's text and the number of the line that it begins on, counted from 1."""

    text: str
    line: int


def python_blocks(page: str) -> list[Block]:
    """Return the blocks fenced as `python` or `py`, in order, including nested ones."""
    return [block for language, block in fenced(page) if language in ("python", "py")]


def fenced(page: str) -> list[tuple[str, Block]]:
    """Return all fenced blocks with their languages, in order, including nested ones."""
    return [
        (
            fence["info"].strip().partition(" ")[0],
            Block(textwrap.dedent(fence["body"]), page.count("\n", 0, fence.start("body")) + 1),
        )
        for fence in _FENCE.finditer(page)
    ]


def commands(block: str, program: str) -> list[tuple[str, str]]:
    """Return what a console block calls *program* with, and patterns of what that prints.

    `...` stands for any text.
    """
    calls = (each.partition("\n") for each in block.split(f"$ {program} ") if each)
    return [(call, re.escape(prints).replace(r"\.\.\.", ".*")) for call, _, prints in calls]


def broken_links(path: Path) -> list[str]:
    """Return the links of the page at *path* that lead to no file or heading of the project."""
    return [link for link in relative_links(path) if not _resolves(path, link)]


def relative_links(path: Path) -> list[str]:
    """Return the links of the page at *path* that are not absolute, in order."""
    links = [match["target"] for match in _LINK.finditer(_prose(path))]
    return [link for link in links if not _leads_outside(link)]


def directives(page: str) -> list[str]:
    """Return the dotted names that the page documents from their docstrings, in order."""
    return [match["name"] for match in _DIRECTIVE.finditer(page)]


def write_measured(path: Path, text: str, what: str = SQLITE) -> None:
    """Put *text* between the marks of a page that has them; else replace the whole page."""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    begin, end = f"<!-- {what} -->", f"<!-- end of {what} -->"
    if begin in page and end in page:
        before, rest = page.split(begin, 1)
        after = rest.split(end, 1)[1]
        text = f"{before}{begin}\n\n{text}\n{end}{after}"
    path.write_text(text, encoding="utf-8")


def _prose(path: Path) -> str:
    return _CODE_SPAN.sub("", _FENCE.sub("", path.read_text(encoding="utf-8")))


def _leads_outside(link: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*:", link) is not None


def _resolves(path: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = path.parent / file if file else path
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(path: Path) -> set[str]:
    """Return the anchors of the page's headings and of what its directives document."""
    page = path.read_text(encoding="utf-8")
    titles = [match["title"] for match in _HEADING.finditer(_FENCE.sub("", page))]
    slugs = {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower())) for title in titles}
    return slugs | set(directives(page))
