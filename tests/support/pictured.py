"""Draw the pictures of the page that the documentation shows, into docs/images."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser

from support.browser import browser, visit
from support.viewing import everything, written

DOCS = Path(__file__).parents[2] / "docs"
IMAGES = DOCS / "images"


class Picture(NamedTuple):
    name: str
    tab: str
    size: tuple[int, int]
    scheme: str


PICTURES = (
    Picture("viewer-light", "context", (1280, 800), "light"),
    Picture("viewer-dark", "compare", (1280, 800), "dark"),
    Picture("viewer-narrow", "context", (400, 860), "light"),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as running:
        draw_trials(running, Path(folder))
        address = written(everything, Path(folder) / "page.html")
        for name, tab, (width, height), scheme in PICTURES:
            window: dict[str, Any] = {"viewport": {"width": width, "height": height}}
            shown = f"{address}#tract=trip&tab={tab}"
            with visit(running, shown, color_scheme=scheme, **window) as opened:
                opened.page.screenshot(path=IMAGES / f"{name}.png")
                print(f"docs/images/{name}.png")


def draw_trials(running: Browser, folder: Path) -> None:
    """Draw the page that the first command of the README writes, at the head of a trial."""
    orchestrator = (DOCS / "examples" / "orchestrator.py", "--quiet", "--into", folder / "trials")
    subprocess.run([sys.executable, *map(str, orchestrator)], check=True, stdout=subprocess.DEVNULL)
    address = f"{(folder / 'trials' / 'agents.html').as_uri()}#tab=context"
    with visit(running, address, viewport={"width": 1440, "height": 720}) as opened:
        opened.choose("Done. Train 2345")
        opened.page.screenshot(path=IMAGES / "trials.png")
        print("docs/images/trials.png")


if __name__ == "__main__":
    main()
