"""The Python blocks of a page as one module, each line where it stands on the page."""

from __future__ import annotations

import textwrap
from pathlib import Path

from support.frameworks import lacking
from support.markdown import python_blocks

__all__ = ["as_module", "pages_with_code"]

HEAD = (
    # What the pages say of these names; the tests run the blocks with the same. The types of
    # google-genai's client are not complete where Pillow is not installed.
    "import typing, anthropic, openai; from google import genai; client = openai.AsyncOpenAI(); "
    "anthropic_client = anthropic.AsyncAnthropic(); google_client: typing.Any = genai.Client().aio",
    "async def page() -> None:",
)
_INDENT = "    "


def pages_with_code(root: Path) -> list[Path]:
    """Return the README and the pages of the documentation that have Python blocks.

    Those of frameworks that are not installed are left out.
    """
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [page for page in pages if _can_be_checked(page.read_text(encoding="utf-8"))]


def _can_be_checked(page: str) -> bool:
    blocks = python_blocks(page)
    return bool(blocks) and not any(lacking(block.text) for block in blocks)


def as_module(page: str) -> str:
    """Return the blocks of a page within one `async def`, so that they may await.

    Raises:
        ValueError: a block begins where the lines around them have to stand.
    """
    lines = [*HEAD]
    for block in python_blocks(page):
        before = block.line - 1 - len(lines)
        if before < 0:
            raise ValueError(f"Line {block.line}: the page needs {len(HEAD)} lines before its code")
        lines += [""] * before + textwrap.indent(block.text, _INDENT).splitlines()
    return "\n".join(lines) + "\n"
