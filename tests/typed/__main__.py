"""`python -m typed`: what the documentation shows passes mypy and pyright, both strict.

So do the calls in `accepted.py`, and those in `refused.py` do not.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from typed.pages import as_module, pages_with_code

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

PYRIGHT = {
    "typeCheckingMode": "strict",
    "reportUnnecessaryTypeIgnoreComment": "error",
    # A page shows what calls return and how functions are written, and need not use them.
    "reportUnusedFunction": "none",
    "reportUnusedVariable": "none",
    # LangGraph has types, but no py.typed that says so.
    "reportMissingTypeStubs": "none",
}
_OVERLOADS = re.compile(r": note: +(def |Possible overload)")
_COLUMN = re.compile(r"(\.md:\d+):\d+")


def main() -> int:
    """Check pages and calls; return 0 if both checkers are content."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        pages = _written(folder)
        running = [_mypy(pages), _pyright(folder)]
        for process in running:
            output, _ = process.communicate()
            print(_told(output, pages), flush=True)
    return int(any(process.returncode for process in running))


def _written(folder: Path) -> dict[Path, str]:
    """Write the pages as modules; return each file with the name of its page."""
    files: dict[Path, str] = {}
    for page in pages_with_code(ROOT):
        name = page.relative_to(ROOT).as_posix()
        file = folder / (re.sub(r"\W", "_", name) + ".py")
        file.write_text(as_module(page.read_text(encoding="utf-8")), encoding="utf-8")
        files[file] = name
    return files


def _mypy(pages: dict[Path, str]) -> subprocess.Popen[str]:
    return _started("mypy", *map(str, pages))


def _pyright(folder: Path) -> subprocess.Popen[str]:
    config = folder / "pyrightconfig.json"
    calls = os.path.relpath(HERE, folder)  # pyright takes relative paths alone
    options = PYRIGHT | {"include": [".", calls], "extraPaths": [str(ROOT / "tests")]}
    config.write_text(json.dumps(options), encoding="utf-8")
    return _started("pyright", "--project", str(config), "--pythonpath", sys.executable)


def _started(module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _told(output: str, pages: dict[Path, str]) -> str:
    """Return what a checker told, of the pages in place of what was written of them."""
    for file, name in pages.items():  # mypy tells again what it found in another folder
        output = re.sub(rf"\S*\b{re.escape(file.name)}", name, output)
    lines = [line for line in output.splitlines() if not _OVERLOADS.search(line)]
    return "\n".join(_COLUMN.sub(r"\1", line) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
