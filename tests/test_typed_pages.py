"""The documentation's code as the type checkers read it; `nox -s types` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.markdown import python_blocks
from typed.pages import as_module, pages_with_code

ROOT = Path(__file__).parents[1]
PAGE = (
    "# Title\n\nText.\n\n```python\nawait f(\n    1,\n)\n```\n\n- item\n\n  ```py\n  x = 1\n  ```\n"
)


def test_every_line_of_code_stands_where_it_stands_on_the_page() -> None:
    lines = as_module(PAGE).splitlines()

    assert lines[5:8] == ["    await f(", "        1,", "    )"]
    assert lines[13] == "    x = 1"
    assert lines[2:5] + lines[8:13] == [""] * 8


@pytest.mark.parametrize("page", pages_with_code(ROOT), ids=lambda page: page.name)
def test_each_page_makes_a_module_with_all_of_its_blocks(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    module = as_module(text)
    code = [line.strip() for block in python_blocks(text) for line in block.text.splitlines()]

    compile(module, str(page), "exec", dont_inherit=True)
    assert [line.strip() for line in module.splitlines()[2:] if line.strip()] == list(
        filter(None, code)
    )


def test_a_page_without_room_above_its_code_is_refused() -> None:
    with pytest.raises(ValueError, match="Line 2"):
        as_module("```python\nx = 1\n```\n")


def test_pages_without_code_are_left_out() -> None:
    assert ROOT / "README.md" in pages_with_code(ROOT)
    assert ROOT / "docs" / "performance.md" not in pages_with_code(ROOT)
