"""Tables and progress, drawn with rich for terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

__all__ = ["progress", "table"]


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, colours: bool
) -> str:
    """Return a table of escaped texts, cut to *width* columns."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in head:
        drawn.add_column(Text(name.replace("_", " ")), overflow="ellipsis", no_wrap=True)
    for row in rows:
        drawn.add_row(*map(Text, row))
    stream = StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=colours,
        no_color=not colours,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(drawn)
    return "".join(f"{each.rstrip()}\n" for each in stream.getvalue().splitlines())


@contextmanager
def progress(label: str, *, colours: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Return a function that moves a bar on stderr, which is gone at the end."""
    console = Console(stderr=True, no_color=not colours, highlight=False, markup=False, emoji=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
