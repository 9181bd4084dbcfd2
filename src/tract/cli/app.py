"""The command `tract`, and `python -m tract.cli`."""

from __future__ import annotations

import sys

import typer

from tract.cli.commands import finding, history, inspection, refs, transfer, upkeep
from tract.cli.running import ExitCode, guarded

__all__ = ["app", "main"]

app: typer.Typer = typer.Typer(
    name="tract",
    help="Look into the context of agents, and keep its stores in order.",
    epilog="Every command takes a store, as a path or a URL: tract log agents.db --graph",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich takes longer to import than all the rest of the help
    pretty_exceptions_enable=False,  # they show local variables, and so secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _register() -> None:
    for subject in (history, finding, refs, inspection, transfer, upkeep):
        for name, command in subject.COMMANDS.items():
            app.command(name)(guarded(command))


_register()


def main() -> None:
    """Run the command line, and exit."""
    try:
        app(prog_name="tract")
    except KeyboardInterrupt:  # before or after a command
        sys.exit(ExitCode.INTERRUPTED)
