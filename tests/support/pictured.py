"""Draw the pictures of the page that the documentation shows, into docs/images."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from support.browser import browser, visit
from support.viewing import everything, written

IMAGES = Path(__file__).parents[2] / "docs" / "images"


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
        address = written(everything, Path(folder) / "page.html")
        for name, tab, (width, height), scheme in PICTURES:
            window: dict[str, Any] = {"viewport": {"width": width, "height": height}}
            shown = f"{address}#tract=trip&tab={tab}"
            with visit(running, shown, color_scheme=scheme, **window) as opened:
                opened.page.screenshot(path=IMAGES / f"{name}.png")
                print(f"docs/images/{name}.png")


if __name__ == "__main__":
    main()
