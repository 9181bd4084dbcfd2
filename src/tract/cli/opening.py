"""Opening the store that a command names, and choosing a tract and a branch of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote

import tract
from tract.cli.escaping import line
from tract.cli.running import CommandError, ExitCode

if TYPE_CHECKING:
    from tract import CommitInfo, SyncStore, SyncTract

__all__ = [
    "chosen",
    "chosen_tract",
    "commit_of",
    "creating",
    "head_of",
    "imported_types",
    "indexing",
    "reading",
    "schema_of",
    "target_of",
    "writing",
]

_LISTED = 10


@contextmanager
def reading(store: str, types: Iterable[str] | None = None) -> Iterator[SyncStore]:
    """Open a store that must exist, read-only."""
    content_types = imported_types(types or ())
    with tract.SyncStore.open(target_of(store, "ro"), content_types=content_types) as opened:
        yield opened


@contextmanager
def writing(store: str) -> Iterator[SyncStore]:
    """Open a store that must exist, and have today's schema, for reading and writing."""
    with reading(store):
        pass  # a file that is not a store stays as it is, and an old one is for `migrate`
    with tract.SyncStore.open(target_of(store, "rw")) as opened:
        yield opened


@contextmanager
def indexing(store: str) -> Iterator[SyncStore]:
    """Open a store that must exist: for writing if it can be written, to bring its index up to date."""
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(writing(store))
        except tract.StoreReadOnlyError:
            opened = stack.enter_context(reading(store))
        yield opened


@contextmanager
def creating(store: str) -> Iterator[SyncStore]:
    """Open a store for reading and writing, which is made if there is none."""
    with tract.SyncStore.open(store) as opened:
        yield opened


def schema_of(store: str) -> tuple[int, int | None]:
    """Return the schema version of a store, and today's if they differ."""
    try:
        with reading(store) as opened:
            return opened.info().schema_version, None
    except tract.SchemaVersionError as error:
        return error.found, error.supported


def target_of(store: str, mode: str) -> str:
    """Return what opens the store that is at a path or URL, and makes none.

    Raises:
        CommandError: there is no such file, or it is not a file, or a store in memory.
    """
    if store.startswith("file:") or "://" in store:
        return _with_mode(store, mode)
    if store == ":memory:":
        raise _in_memory()
    path = Path(store)
    if not path.exists():
        raise CommandError(f"There is no store at {store!r}.", ExitCode.NOT_FOUND)
    if path.is_dir():
        raise CommandError(f"{store!r} is a folder. Give a file in it.", ExitCode.NOT_FOUND)
    return f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"


def chosen_tract(store: SyncStore, tract_id: str | None) -> str:
    """Return the tract that was asked for, or else the only one, or that called main.

    Raises:
        CommandError: there are several, or none.
    """
    if tract_id is not None:
        if store.tract(tract_id).info() is None:
            raise tract.TractNotFoundError(tract_id)
        return tract_id
    ids = [each.tract_id for each in store.tracts(limit=_LISTED + 1)]
    if not ids:
        raise CommandError("The store has no tracts.", ExitCode.NOT_FOUND)
    if len(ids) == 1:
        return ids[0]
    if store.tract("main").info() is not None:
        return "main"
    raise CommandError(f"Choose a tract by --tract: {_listed(ids)}.", ExitCode.USAGE)


def chosen(store: SyncStore, tract_id: str | None, branch: str | None) -> SyncTract:
    """Return a handle on the branch that was asked for, or else on main, or the only one.

    Raises:
        CommandError: there are several tracts or branches, or no tracts.
        BranchNotFoundError: there is no such branch.
    """
    handle = store.tract(chosen_tract(store, tract_id))
    if branch is None and handle.head() is not None:
        return handle
    names = [each.name for each in handle.branches()]
    if branch is None:
        if len(names) > 1 and "main" not in names:
            raise CommandError(f"Choose a branch by --branch: {_listed(names)}.", ExitCode.USAGE)
        branch = names[0] if len(names) == 1 else "main"
    handle = handle.on(branch)
    handle.head()  # raises if there is no such branch
    return handle


def imported_types(types: Iterable[str]) -> dict[str, Any]:
    """Return the content types that `MODULE:NAME` names, of modules in this folder, too."""
    found: dict[str, Any] = {}
    for each in types:
        module, _, name = each.partition(":")
        if not name:
            raise CommandError(f"{each!r} is not of the form MODULE:NAME.", ExitCode.USAGE)
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        try:
            found.update(getattr(import_module(module), name))
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise CommandError(f"Cannot import {each!r}: {error}", ExitCode.USAGE) from error
    return found


def head_of(handle: SyncTract) -> str:
    """Return the newest commit of a branch, for a command that needs one."""
    head = handle.head()
    if head is None:
        raise CommandError("The branch has no commits.", ExitCode.NOT_FOUND)
    return head


def commit_of(handle: SyncTract, name: str) -> CommitInfo:
    """Return the commit that a hash, a tag or a branch names."""
    commit = handle.get_commit(name)
    if commit is None:
        raise tract.CommitNotFoundError(name)
    return commit


def _listed(names: Sequence[str]) -> str:
    """Return the first names on one line: whoever gave them could write lines of their own."""
    return ", ".join(map(line, names[:_LISTED])) + (", …" if len(names) > _LISTED else "")


def _with_mode(url: str, mode: str) -> str:
    """Return a URL that opens a store in *mode*, or read-only if it says so, and makes none."""
    place, _, query = url.partition("?")
    given = parse_qs(query)
    if "memory" in given.get("mode", ()):
        raise _in_memory()
    if "immutable" in given or not {*given.get("mode", ())} <= {"rw", "rwc"}:
        return url
    others = [each for each in query.split("&") if unquote(each.partition("=")[0]) != "mode"]
    return f"{place}?{'&'.join([*filter(None, others), f'mode={mode}'])}"


def _in_memory() -> CommandError:
    return CommandError("A store in memory is only seen by its own process.", ExitCode.USAGE)
