"""What every command does alike: exit codes, errors in one line, interrupts, and questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import IntEnum
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

import typer

import tract
from tract.cli.escaping import block

__all__ = ["CommandError", "ExitCode", "awaited", "confirm", "guarded", "warn"]

P = ParamSpec("P")
T = TypeVar("T")


class ExitCode(IntEnum):
    """What a command's end says; the documentation lists them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    STORE = 5
    INTERRUPTED = 130
    READER_GONE = 141


class CommandError(Exception):
    """A command cannot do what it was asked to, for a reason that is not the library's."""

    def __init__(self, problem: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(problem, code)
        self.problem = problem
        self.code = code

    def __str__(self) -> str:
        return self.problem


def guarded(function: Callable[P, None]) -> Callable[P, None]:
    """Let a command end with a line on stderr and an exit code, whatever it raises on purpose."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
            sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            _forget_stdout()
            raise typer.Exit(ExitCode.READER_GONE) from None
        except (CommandError, OSError) as error:
            code = error.code if isinstance(error, CommandError) else ExitCode.FAILED
            _fail(error, code)
        except Exception as error:
            if isinstance(error, (tract.TractError, ValueError)):
                _fail(error, _code_of(error))
            raise

    return run


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone, unless *yes* says that it was decided.

    Raises:
        CommandError: there is no terminal to ask on, or the answer is no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandError("This cannot be undone: give --yes.", ExitCode.USAGE)
    if not typer.confirm(block(question), err=True):
        raise CommandError("Nothing was done.")


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* in an event loop of its own; an interrupt cancels it, and is raised."""
    asyncio = import_module("asyncio")  # which the help would wait for
    done: T = asyncio.run(work)
    return done


def warn(text: str) -> None:
    """Print a line on stderr."""
    typer.echo(block(text), err=True)


def _fail(error: Exception, code: ExitCode) -> None:
    old = isinstance(error, tract.SchemaVersionError) and error.found < error.supported
    warn(f"tract: {error}{' `tract migrate` does that.' if old else ''}")
    raise typer.Exit(code) from None


def _code_of(error: Exception) -> ExitCode:
    for code, kinds in _codes():
        if isinstance(error, kinds):
            return code
    return ExitCode.FAILED if isinstance(error, tract.TractError) else ExitCode.USAGE


def _codes() -> list[tuple[ExitCode, tuple[type[Any], ...]]]:
    missing = (
        tract.AttachmentNotFoundError,
        tract.BranchNotFoundError,
        tract.CommitNotFoundError,
        tract.TagNotFoundError,
        tract.TractNotFoundError,
    )
    conflicts = (
        tract.BranchNotMergedError,
        tract.HeadMovedError,
        tract.MergeConflictError,
        tract.StoreCopyError,
        tract.TractExistsError,
    )
    wrong = (tract.AmbiguousHashError, tract.QueryError, tract.RefNameError)
    return [
        (ExitCode.NOT_FOUND, missing),
        (ExitCode.CONFLICT, conflicts),
        (ExitCode.USAGE, wrong),
        (ExitCode.STORE, (tract.StorageError,)),
    ]


def _forget_stdout() -> None:
    """Let Python flush what is left at its end into nothing, without an error message."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
