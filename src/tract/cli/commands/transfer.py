"""Commands that carry tracts elsewhere, or show them there: export, import, backup, serve, mcp."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tract
from tract.cli.commands.importers import IMPORTERS, imported
from tract.cli.opening import chosen_tract, creating, imported_types, reading, target_of, writing
from tract.cli.options import Json, Store, Tracts, Types, files
from tract.cli.output import printing, progressing
from tract.cli.running import CommandError, ExitCode, awaited

if TYPE_CHECKING:
    from tract import TractStore

__all__ = ["COMMANDS"]


def export(
    store: Store,
    path: Annotated[str, typer.Argument(metavar="FILE", help="A new file.", autocompletion=files)],
    tracts: Tracts = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write a page to look at, not a store.")
    ] = False,
    types: Types = None,
    as_json: Json = False,
) -> None:
    """Write tracts to a new file, for import or as a page.

    The file is a store, which `tract import` reads. With --html it is a page to look at.
    """
    _check_path(path)
    if html:
        _write_page(store, path, tracts, types)
        with printing(as_json=as_json) as out:
            if as_json:
                out.document({"path": path})
        return
    with (
        reading(store) as opened,
        printing(as_json=as_json) as out,
        progressing("Exporting") as step,
    ):
        report = opened.export(
            path, tracts=tracts, progress=lambda done: step(done.commits, done.of_commits)
        )
        out.fields(_fields(report))


def import_(
    store: Store,
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A file, or a URL, to import.", autocompletion=files),
    ],
    framework: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FRAMEWORK",
            help=f"The source is the own store of {', '.join(IMPORTERS)}.",
            autocompletion=lambda: [*IMPORTERS],
        ),
    ] = None,
    app: Annotated[
        str | None, typer.Option("--app", metavar="NAME", help="The app, from adk.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option("--scope", metavar="NAME", help="The scope, from pydantic-ai.")
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make the store if there is none.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import an exported file, or a framework's own store."""
    if framework is None:
        _check_path(source)
    if not create:
        with writing(store):
            pass  # it is there, and can be written
    if framework is not None:
        given = {name: value for name, value in (("app", app), ("scope", scope)) if value}
        values = imported(framework, store, source, given)
    else:
        with creating(store) as opened, progressing("Importing") as step:
            report = opened.import_(
                source, progress=lambda done: step(done.commits, done.of_commits)
            )
        values = _fields(report)
    with printing(as_json=as_json) as out:
        out.fields(values)


def backup(
    store: Store,
    path: Annotated[str, typer.Argument(metavar="FILE", help="A new file.", autocompletion=files)],
    as_json: Json = False,
) -> None:
    """Write a whole store to a new file, as it is now."""
    _check_path(path)
    with reading(store) as opened, progressing("Writing") as step:
        opened.backup(path, progress=lambda done: step(done.nbytes, done.of_nbytes))
    with printing(as_json=as_json) as out:
        if as_json:
            out.document({"path": path, "nbytes": Path(path).stat().st_size})


def serve(
    store: Store,
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="0 takes any that is free.")
    ] = 0,
    token: Annotated[
        str | None, typer.Option("--token", help="What the page must have; by default a new one.")
    ] = None,
    tracts: Tracts = None,
    types: Types = None,
    as_json: Json = False,
) -> None:
    """Show a store in a browser, live, until interrupted."""
    serve_it = _with_extra("tract.viewer", "viewer").serve
    target, named = target_of(store, "ro"), imported_types(types or ())

    async def served() -> None:
        async with tract.TractStore.open(target, content_types=named) as opened:
            await _present(opened, tracts)
            await serve_it(
                opened,
                host=host,
                port=port,
                token=token,
                tract_ids=tracts,
                on_start=lambda address: _tell(address, as_json=as_json),
            )

    awaited(served())


def mcp(
    store: Store,
    tracts: Tracts = None,
    types: Types = None,
) -> None:
    """Let a model read a store, by the Model Context Protocol over stdin and stdout.

    A client such as an editor or an agent starts this command.
    """
    serve_it = _with_extra("tract.cli.mcp.server", "mcp").serve
    with reading(store, types) as opened:
        for each in tracts or ():
            chosen_tract(opened, each)
        awaited(serve_it(opened, tracts))


def _write_page(store: str, path: str, tracts: list[str] | None, types: list[str] | None) -> None:
    write = _with_extra("tract.viewer", "viewer").write_page
    if Path(path).exists():
        raise CommandError(f"There is a file at {path!r} already.", ExitCode.CONFLICT)
    if not Path(path).absolute().parent.is_dir():
        raise CommandError(f"The folder of {path!r} does not exist.", ExitCode.NOT_FOUND)
    target, named = target_of(store, "ro"), imported_types(types or ())

    async def written() -> None:
        async with tract.TractStore.open(target, content_types=named) as opened:
            await _present(opened, tracts)
            await write(opened, path, tract_ids=tracts)

    awaited(written())


def _check_path(path: str) -> None:
    """Refuse a URL where a file is meant, without a word of it: it may have a password."""
    if "://" in path:
        raise CommandError("A file is meant here, not a URL. Give its path.", ExitCode.USAGE)


def _tell(address: str, *, as_json: bool) -> None:
    """Print where the page is, at once, even into a pipe."""
    with printing(as_json=as_json) as out:
        out.json({"address": address}) if as_json else out.put(address)


async def _present(store: TractStore, tracts: Iterable[str] | None) -> None:
    """Raise a `TractNotFoundError` unless the store has all of these tracts."""
    for each in tracts or ():
        if await store.tract(each).info() is None:
            raise tract.TractNotFoundError(each)


def _with_extra(module: str, extra: str) -> Any:
    """Return a module that an extra brings the packages of, or say what to install."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        problem = f"{error.name} is not installed: install `asynctract[{extra}]`."
        raise CommandError(problem) from error


def _fields(report: object) -> dict[str, object]:
    names: dict[str, object] = getattr(type(report), "model_fields", {})
    return {name: getattr(report, name) for name in names}


COMMANDS: dict[str, Callable[..., None]] = {
    "export": export,
    "import": import_,
    "backup": backup,
    "serve": serve,
    "mcp": mcp,
}
