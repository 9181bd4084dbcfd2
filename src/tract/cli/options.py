"""The arguments and options that several commands take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tract.cli.completing import branches, refs, tracts

__all__ = [
    "At",
    "Branch",
    "Json",
    "Limit",
    "NoPager",
    "Reason",
    "Store",
    "TractId",
    "Tracts",
    "Types",
    "Yes",
]


def files(incomplete: str) -> Iterator[str]:
    """Yield the files and folders whose paths begin as typed, for completion."""
    begun = Path(incomplete)
    folder = begun if incomplete.endswith("/") or not incomplete else begun.parent
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        named = f"{path}/" if path.is_dir() else str(path)
        if named.startswith(incomplete):
            yield named


Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="The path of a store, or its URL.",
        show_default=False,
        autocompletion=files,
    ),
]
TractId = Annotated[
    str | None,
    typer.Option(
        "--tract",
        "-t",
        metavar="ID",
        help="The tract; by default the only one, or main.",
        autocompletion=tracts,
    ),
]
Tracts = Annotated[
    list[str] | None,
    typer.Option(
        "--tract",
        "-t",
        metavar="ID",
        help="Only this one; can be repeated.",
        autocompletion=tracts,
    ),
]
Branch = Annotated[
    str | None,
    typer.Option(
        "--branch",
        "-b",
        metavar="NAME",
        help="The branch; main by default.",
        autocompletion=branches,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", metavar="N", min=0, help="How many at most.", show_default=False),
]
NoPager = Annotated[bool, typer.Option("--no-pager", help="Do not page the output.")]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="COMMIT",
        help="A commit, tag or branch instead of the head.",
        autocompletion=refs,
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--types",
        metavar="MODULE:NAME",
        help="Import content types of your own: a mapping of names to models.",
        show_default=False,
    ),
]
Reason = Annotated[
    str,
    typer.Option("--reason", metavar="TEXT", help="Why; the receipt says it.", show_default=False),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
