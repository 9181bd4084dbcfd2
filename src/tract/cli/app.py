"""The command `tract`, and `python -m tract.cli`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

import typer

from tract.cli.commands import finding, history, inspection, refs, transfer, upkeep
from tract.cli.running import ExitCode, guarded

__all__ = ["app", "main"]

_COMMANDS: dict[str, Callable[..., None]] = {
    name: guarded(command)
    for subject in (history, finding, refs, inspection, transfer, upkeep)
    for name, command in subject.COMMANDS.items()
}


def _app_of(commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    made = typer.Typer(
        name="tract",
        help="Look into the context of agents, and keep its stores in order.",
        epilog="Every command takes a store, as a path or a URL: tract log agents.db --graph",
        no_args_is_help=True,
        rich_markup_mode=None,  # rich takes longer to import than all the rest of the help
        pretty_exceptions_enable=False,  # they show local variables, and so secrets
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(lambda: None)  # or one command alone would not take its own name
    for name, command in commands.items():
        made.command(name)(command)
    return made


app: typer.Typer = _app_of(_COMMANDS)


def main() -> None:
    """Run the command line, and exit."""
    try:
        _app_for(sys.argv[1:])(prog_name="tract")
    except KeyboardInterrupt:  # before or after a command
        sys.exit(ExitCode.INTERRUPTED)


def _app_for(arguments: list[str]) -> typer.Typer:
    """Return an app that does for *arguments* what the whole one does.

    Typer reads the signatures of all commands before it runs one, which takes longer than the help.
    """
    if "_TRACT_COMPLETE" in os.environ:
        return app
    match arguments:
        case [] | ["-h" | "--help"]:
            return _app_of({name: _only_named(each) for name, each in _COMMANDS.items()})
        case [name, *_] if name in _COMMANDS:
            return _app_of({name: _COMMANDS[name]})
    return app


def _only_named(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that is listed as *command* is, and never run."""

    def named() -> None: ...

    named.__doc__ = command.__doc__
    return named
