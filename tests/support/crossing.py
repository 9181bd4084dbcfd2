"""Which files of the library a call runs through, on the event loop and on the threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import tract

__all__ = ["Crossing", "crossings"]

_ROOT = f"{Path(tract.__file__).parent}/"


class Crossing:
    """Notes the files with a function that was called while it is `on`."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.on = False

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        """Be the interpreter's profile function."""
        if self.on and event == "call":
            name = frame.f_code.co_filename
            if name.startswith(_ROOT):
                self.files.add(name.removeprefix(_ROOT))

    @contextmanager
    def noted(self) -> Iterator[set[str]]:
        """Note the files of what is called inside."""
        self.files = set()
        self.on = True
        try:
            yield self.files
        finally:
            self.on = False


@contextmanager
def crossings() -> Iterator[Crossing]:
    """Have all threads noted that start inside."""
    crossing = Crossing()
    before = sys.getprofile()
    threading.setprofile(crossing.note)
    sys.setprofile(crossing.note)
    try:
        yield crossing
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
