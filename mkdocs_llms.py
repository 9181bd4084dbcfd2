"""Writes `llms.txt`, `llms-full.txt` and each page's Markdown into the built documentation.

`llms.txt` lists the pages of the navigation, as https://llmstxt.org describes it, and links their
Markdown. `llms-full.txt` is all of that in one file. `mkdocs.yml` names this file under `hooks`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import griffe

_DIRECTIVE = re.compile(r"^::: (?P<name>\S+)\n(?:    .*\n)*", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")


@dataclass(frozen=True)
class Page:
    """A page of the navigation: the titles above it and its own, its file and its Markdown."""

    titles: tuple[str, ...]
    file: str
    markdown: str

    @property
    def summary(self) -> str:
        """The first sentence of its first paragraph, without links."""
        prose = _FENCE.sub("", _DIRECTIVE.sub("", self.markdown))
        paragraphs = re.split(r"\n\s*\n", prose.strip())
        first = next((each for each in paragraphs if re.match(r"[\w`*\[]", each)), "")
        text = " ".join(_LINK.sub(r"\1", first).split())
        return re.split(r"(?<=[.:?])\s", text)[0].rstrip(":")


def index(name: str, description: str, pages: Iterable[Page], address: str = "") -> str:
    """Return `llms.txt`: a heading for each group of pages, and a line for each page."""
    lines, group = [f"# {name}", "", f"> {description}"], ""
    for page in pages:
        if page.titles[0] != group:
            group = page.titles[0]
            lines += ["", f"## {group}", ""]
        about = f": {page.summary}" if page.summary else ""
        lines.append(f"- [{page.titles[-1]}]({address}{page.file}){about}")
    return "\n".join([*lines, ""])


def full(name: str, description: str, texts: Mapping[str, str]) -> str:
    """Return `llms-full.txt`: the Markdown of all files, one after the other."""
    parts = [f"# {name}\n\n> {description}\n"]
    parts += [f"<!-- {file} -->\n\n{text.strip()}\n" for file, text in texts.items()]
    return "\n".join(parts)


def documented(markdown: str, describe: Callable[[str], str]) -> str:
    """Return the Markdown with each directive `::: name` replaced by what *describe* says of it."""
    return _DIRECTIVE.sub(lambda found: describe(found["name"]), markdown)


# What the reference says of a name, from the sources.


@cache
def _package() -> griffe.Object | griffe.Alias:
    return griffe.load("tract", search_paths=["src"], resolve_aliases=True)


def described(name: str) -> str:
    """Return the docstring of a public name and, of a class, what its public members are."""
    item = _target(_package()[name.removeprefix("tract.")])
    public = [each for each in item.members.values() if not each.name.startswith("_")]
    members = [_target(each) for each in public] if item.is_class else []
    fields = [_field(each) for each in members if each.is_attribute]
    calls = [_call(each, f"#### `{item.name}.") for each in members if each.is_function]
    about = _call(item, f"### `{name.rpartition('.')[0]}.")
    return "\n".join([about, *fields, *([""] if fields else []), *calls])


def _target(item: Any) -> Any:
    return item.final_target if item.is_alias else item


def _call(item: Any, heading: str) -> str:
    signature = f"```python\n{item.signature()}\n```\n\n" if item.is_function else ""
    return f"{heading}{item.name}`\n\n{signature}{_docstring(item)}\n"


def _field(item: Any) -> str:
    kind = f": {item.annotation}" if item.annotation else ""
    about = " ".join(_docstring(item).split())
    return f"- `{item.name}{kind}`{f': {about}' if about else ''}"


def _docstring(item: Any) -> str:
    return inspect.cleandoc(item.docstring.value) if item.docstring else ""


# What MkDocs calls.

_nav: list[Any] = []
"""The pages of the navigation, in its order."""


def on_nav(nav: Any, **_: object) -> None:
    """Note which pages the navigation has."""
    _nav[:] = nav.pages


def on_post_build(config: Any, **_: object) -> None:
    """Write the files."""
    name, description = config.site_name, config.site_description
    pages = [Page(_titles(page), page.file.src_uri, page.markdown) for page in _nav]
    texts = {page.file: documented(page.markdown, described) for page in pages}
    listed = index(name, description, pages, config.site_url or "")
    whole = full(name, description, texts)
    for file, text in {"llms.txt": listed, "llms-full.txt": whole, **texts}.items():
        (Path(config.site_dir) / file).write_text(text, encoding="utf-8")


def _titles(page: Any) -> tuple[str, ...]:
    return (*(each.title for each in reversed(page.ancestors)), page.title)
