"""The files that the documentation has for language models, built by MkDocs with the hook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[1]
NAV = """
  - Start:
      - Home: index.md
      - Guides:
          - Ask: guides/ask.md
  - Reference: reference.md
"""
PAGES = {
    "index.md": "# Home\n\n![A picture](guides/ask.md)\n\nIt keeps [contexts](guides/ask.md). And more.\n",
    "guides/ask.md": "# Ask\n\n```python\nask()\n```\n\nHow do you ask? Politely.\n",
    "reference.md": "# Reference\n\n::: tract.quote_id\n    options:\n      x: 1\n\n::: tract.TextPart\n",
    "apart.md": "# Apart\n\nNo page leads here.\n",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small documentation, built."""
    folder = tmp_path_factory.mktemp("documentation")
    for name, text in PAGES.items():
        (folder / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "docs" / name).write_text(text)
    (folder / "mkdocs.yml").write_text(
        "site_name: Tracts\nsite_description: About tracts.\n"
        "site_url: https://tracts.example/docs/\nplugins: []\nnot_in_nav: /apart.md\n"
        f"hooks: [{ROOT / 'mkdocs_llms.py'}]\nnav:{NAV}"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # where the sources are
        build(load_config(str(folder / "mkdocs.yml")))
    return folder / "site"


def test_the_index_lists_the_navigation_with_what_each_page_is_about(site: Path) -> None:
    assert (site / "llms.txt").read_text() == (
        "# Tracts\n\n> About tracts.\n\n## Start\n\n"
        "- [Home](https://tracts.example/docs/index.md): It keeps contexts.\n"
        "- [Ask](https://tracts.example/docs/guides/ask.md): How do you ask?\n"
        "\n## Reference\n\n"
        "- [Reference](https://tracts.example/docs/reference.md)\n"
    )


def test_every_link_of_the_index_leads_to_markdown(site: Path) -> None:
    links = re.findall(r"\]\(https://tracts.example/docs/(.+?)\)", (site / "llms.txt").read_text())

    assert [(site / link).read_text() for link in links[:2]] == [
        PAGES["index.md"],
        PAGES["guides/ask.md"],
    ]


def test_the_reference_says_what_the_docstrings_say(site: Path) -> None:
    text = (site / "reference.md").read_text()

    assert ":::" not in text
    assert "### `tract.quote_id`\n\n```python\nquote_id(text: str) -> str\n```" in text
    assert re.search(r"### `tract\.TextPart`\n\n\w.*- `text: \w+`", text, re.DOTALL)


def test_one_file_has_all_pages_of_the_navigation_in_order(site: Path) -> None:
    text = (site / "llms-full.txt").read_text()

    assert re.findall(r"^<!-- (.*) -->$", text, re.MULTILINE) == [*PAGES][:3]
    assert "Politely." in text
    assert "No page leads here." not in text


def test_the_documentation_is_built_with_it() -> None:
    assert "hooks: [mkdocs_llms.py]" in (ROOT / "mkdocs.yml").read_text()
