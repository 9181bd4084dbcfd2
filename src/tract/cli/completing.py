"""What shells complete from a store: its tracts, branches and tags.

A word that a shell completes stands on the command line as it is, and names are written by agents. So
only names are offered that no shell takes for anything but a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import typer

from tract.cli.opening import chosen_tract, reading

if TYPE_CHECKING:
    from tract import SyncStore

__all__ = ["branches", "refs", "tracts"]

_MOST = 1_000
_PLAIN = re.compile(r"[\w.,/@+=-]+")


def tracts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the tracts of the store that was typed whose ids begin as typed."""

    def found(store: SyncStore) -> Iterator[str]:
        for each in store.tracts(prefix=incomplete, order_by="id", limit=_MOST):
            yield each.tract_id

    return _offered(ctx, incomplete, found)


def branches(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the branches of the tract that was typed, or would be taken."""

    def found(store: SyncStore) -> Iterator[str]:
        for each in store.tract(chosen_tract(store, ctx.params.get("tract_id"))).branches():
            yield each.name

    return _offered(ctx, incomplete, found)


def refs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the branches and tags of the tract that was typed, or would be taken."""

    def found(store: SyncStore) -> Iterator[str]:
        handle = store.tract(chosen_tract(store, ctx.params.get("tract_id")))
        yield from (each.name for each in handle.branches())
        yield from (each.name for each in handle.tags())

    return _offered(ctx, incomplete, found)


def _offered(
    ctx: typer.Context, incomplete: str, found: Callable[[SyncStore], Iterable[str]]
) -> list[str]:
    """Return what is found that begins as typed; nothing where the store cannot say so at once."""
    # An option that lacks its value, as it does here, ends the parsing before arguments are named.
    store = ctx.params.get("store") or next(iter(ctx.args), None)
    if not isinstance(store, str) or "://" in store:  # a server may take its time
        return []
    try:
        with reading(store) as opened:
            names = {each for each in found(opened) if each.startswith(incomplete)}
    except Exception:  # a shell has no place for errors
        return []
    return sorted(each for each in names if _PLAIN.fullmatch(each) and not each.startswith("-"))[
        :_MOST
    ]
