"""The files of the library that a call runs through, on the event loop and on the threads."""

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
    """Records the files of the functions that are called while it is `on`."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.on = False

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        """Act as the interpreter's profile function."""
        if self.on and event == "call":
            name = frame.f_code.co_filename
            if name.startswith(_ROOT):
                self.files.add(name.removeprefix(_ROOT))

    @contextmanager
    def noted(self) -> Iterator[set[str]]:
        """Record the files of all calls inside the block."""
        self.files = set()
        self.on = True
        try:
            yield self.files
        finally:
            self.on = False


@contextmanager
def crossings() -> Iterator[Crossing]:
    """Profile all threads that start inside the block."""
    crossing = Crossing()
    before = sys.getprofile()
    threading.setprofile(crossing.note)
    sys.setprofile(crossing.note)
    try:
        yield crossing
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
