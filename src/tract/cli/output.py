"""Where a command prints: a terminal, a pager, or a pipe; as text or as JSON."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import IO, Any

import typer

from tract.cli.escaping import block, line
from tract.cli.jsons import written

__all__ = ["Output", "Step", "printing", "progressing"]

Step = Callable[[int, int | None], None]
"""Takes how much is done, and how much there is to do, if that is known."""


class Output:
    """Prints what a command has to say.

    What is passed as text was escaped by its caller, or else is by the call: see each.
    """

    def __init__(self, stream: IO[str], *, as_json: bool, terminal: bool) -> None:
        self._stream = stream
        self.as_json: bool = as_json
        self.terminal: bool = terminal
        """Whether someone looks at it, through a pager or not."""
        self.colours: bool = terminal and not os.environ.get("NO_COLOR") and _term() != "dumb"
        self.columns: int | None = shutil.get_terminal_size().columns if terminal else None

    @property
    def unicode(self) -> bool:
        """Whether lines and circles can be drawn."""
        return (getattr(self._stream, "encoding", None) or "").lower().replace("-", "") in (
            "utf8",
            "utf16",
        )

    def put(self, text: str) -> None:
        """Print a line that is escaped already, and may have styles."""
        self._stream.write(f"{text}\n")

    def block(self, text: str, indent: str = "") -> None:
        """Print a text of several lines, escaped."""
        for each in block(text).split("\n"):
            self._stream.write(f"{indent}{each}\n" if each else "\n")

    def flush(self) -> None:
        """Let the reader see what was printed so far."""
        self._stream.flush()

    def styled(self, text: str, **style: Any) -> str:
        """Return an escaped text with a style, where there are colours."""
        return typer.style(text, **style) if self.colours else text

    def json(self, value: object) -> None:
        """Print one line of JSON."""
        self._stream.write(f"{written(value)}\n")

    def document(self, value: object) -> None:
        """Print one JSON document, on several lines."""
        self._stream.write(f"{written(value, indent=2)}\n")

    def fields(self, values: Mapping[str, object]) -> None:
        """Print names and values, one pair a line, escaped; or one JSON document."""
        if self.as_json:
            return self.document(dict(values))
        named = {name.replace("_", " "): value for name, value in values.items()}
        longest = max(map(len, named))
        for name, value in named.items():
            head = self.styled(name.ljust(longest), bold=True)
            self.put(f"{head}  {line(shown(value))}")

    def table(
        self, records: Iterable[object], cells: Callable[[Any], Mapping[str, object]]
    ) -> None:
        """Print records as a table, escaped: to a pipe as columns parted by tabs, without a head.

        As JSON, it is the records themselves, one a line.
        """
        if self.as_json:
            for record in records:
                self.json(record)
            return
        rows = [cells(record) for record in records]
        if not self.terminal:
            for row in rows:
                self.put("\t".join(line(shown(value)) for value in row.values()))
        elif rows:
            shown_rows = [[line(shown(value)) for value in row.values()] for row in rows]
            drawn = _drawing().table([*rows[0]], shown_rows, self.columns, self.colours)
            self._stream.write(drawn)


def shown(value: object) -> str:
    """Return a value as a cell shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if sys.stdout.isatty() else str(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat(" ", "seconds"))
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence) and all(isinstance(each, str) for each in value):
        return ", ".join(value) or "-"
    return written(value)


@contextmanager
def printing(*, as_json: bool = False, paged: bool = False) -> Iterator[Output]:
    """Return where to print; with *paged*, through a pager if it is a terminal.

    The pager is that of TRACT_PAGER or PAGER, or `less`, and leaves what fits one screen there.
    Who leaves it early ends the command quietly.
    """
    terminal = sys.stdout.isatty()
    command = _pager() if paged and terminal else None
    if command is None:
        if reconfigure := getattr(sys.stdout, "reconfigure", None):
            reconfigure(errors="backslashreplace")
        yield Output(sys.stdout, as_json=as_json, terminal=terminal)
        sys.stdout.flush()
        return
    with _running(command) as stream:
        yield Output(stream, as_json=as_json, terminal=True)


@contextmanager
def progressing(label: str) -> Iterator[Step]:
    """Return a function that shows progress on stderr, if that is a terminal."""
    if not sys.stderr.isatty() or _term() == "dumb":
        yield lambda done, total: None
        return
    with _drawing().progress(label, colours=not os.environ.get("NO_COLOR")) as step:
        yield step


@contextmanager
def _running(command: Sequence[str]) -> Iterator[IO[str]]:
    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
        errors="backslashreplace",
    )
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError):
            yield process.stdin
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        _wait(process)


def _wait(process: subprocess.Popen[str]) -> None:
    """Wait until the reader leaves the pager, which takes an interrupt as it likes."""
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            continue


def _pager() -> list[str] | None:
    """Return the command of the pager; None for none, as when it is not installed."""
    named = os.environ.get("TRACT_PAGER", os.environ.get("PAGER", "less"))
    command = shlex.split(named)
    if not command or command == ["cat"] or shutil.which(command[0]) is None:
        return None
    return command


def _term() -> str:
    return os.environ.get("TERM", "")


def _drawing() -> Any:
    """Return the module that draws with rich, which is slow to import and not always needed."""
    return import_module("tract.cli.drawing")
