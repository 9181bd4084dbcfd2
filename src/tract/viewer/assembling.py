"""One HTML page from the files in `page/`: its script and its style are named by their hashes."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple

__all__ = ["Page", "assembled", "embedded_json", "policy"]

_SOURCES = files("tract.viewer") / "page"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "([./\w-]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function\*?|class|const) (\w+)", re.MULTILINE)


class Page(NamedTuple):
    """A page without data: what comes before and after that, and the sources of its policy."""

    before: str
    after: str
    script_hash: str
    style_hash: str


def embedded_json(value: Any) -> str:
    """Return *value* as ASCII JSON that no HTML parser takes for anything else."""
    text = json.dumps(value, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def policy(script_hash: str, style_hash: str, *, connects: bool) -> str:
    """Return the content security policy: one script, one style, pictures from `data:` URLs."""
    sources = {
        "default-src": "'none'",
        "script-src": f"'sha256-{script_hash}'",
        "style-src": f"'sha256-{style_hash}'",
        "img-src": "data:",
        "connect-src": "'self'" if connects else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {source}" for name, source in sources.items())


@cache
def assembled(*, live: bool) -> Page:
    """Return the page; it reads files the first time, so call it on a thread."""
    script, style = _bundle("main.js"), _read("style.css")
    script_hash, style_hash = _hash(script), _hash(style)
    html = _read("page.html")
    html = html.replace("%POLICY%", policy(script_hash, style_hash, connects=live))
    html = html.replace("%STYLE%", style).replace("%SOURCE%", "server" if live else "page")
    before, _, after = html.partition("%DATA%\n")
    return Page(before, after.replace("%SCRIPT%", script), script_hash, style_hash)


def _hash(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return _SOURCES.joinpath(*name.split("/")).read_text(encoding="utf-8")


def _bundle(main: str) -> str:
    """Return one script of the modules that *main* imports, each in a scope of its own."""
    modules: dict[str, str] = {}
    _add(main, modules, ())
    return '"use strict";\nconst modules = {};\n' + "".join(modules.values())


def _add(name: str, modules: dict[str, str], importers: tuple[str, ...]) -> None:
    if name in importers:
        raise ValueError(f"modules import each other: {' '.join((*importers, name))}")
    source = _read(name)
    for _, imported in _IMPORT.findall(source):
        if (path := _resolved(name, imported)) not in modules:
            _add(path, modules, (*importers, name))
    modules[name] = _module(name, source)


def _resolved(name: str, imported: str) -> str:
    steps = name.split("/")[:-1]
    for step in imported.split("/"):
        if step == "..":
            steps.pop()
        elif step != ".":
            steps.append(step)
    return "/".join(steps)


def _module(name: str, source: str) -> str:
    exported = ", ".join(found[1] for found in _EXPORT.findall(source))
    source = _IMPORT.sub(lambda found: _taken(name, found), source)
    source = _EXPORT.sub(r"\1 \2", source)
    return f'modules["{name}"] = (() => {{\n{source}\nreturn {{ {exported} }};\n}})();\n'


def _taken(name: str, found: re.Match[str]) -> str:
    return f'const {{{found[1]}}} = modules["{_resolved(name, found[2])}"];\n'
