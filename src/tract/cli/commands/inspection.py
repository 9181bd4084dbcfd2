"""Commands that look at stores: tracts, stats, info, verify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tract.cli.opening import chosen, chosen_tract, reading
from tract.cli.options import Branch, Json, Limit, NoPager, Store, TractId, Types
from tract.cli.output import printing, progressing
from tract.cli.running import ExitCode

if TYPE_CHECKING:
    from tract import SyncStore, TractInfo, VerifyReport

__all__ = ["COMMANDS"]

_PAGE = 500


class Order(StrEnum):
    """How tracts are sorted."""

    UPDATED = "updated"
    CREATED = "created"
    ID = "id"


def tracts(
    store: Store,
    prefix: Annotated[str, typer.Option("--prefix", help="What their ids begin with.")] = "",
    order_by: Annotated[Order, typer.Option("--order-by", help="What to sort by.")] = Order.UPDATED,
    limit: Limit = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """List the tracts of a store, those changed last first."""
    with reading(store) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        found = _tracts(opened, limit, prefix=prefix, order_by=order_by.value)
        out.table(found, _tract)


def stats(
    store: Store,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
) -> None:
    """Say how much one branch holds."""
    with reading(store, types) as opened, printing(as_json=as_json) as out:
        found = chosen(opened, tract_id, branch).stats()
        kept = ("commits", "entries", "tokens", "blobs", "bytes", "attachments", "attachment_bytes")
        out.fields({name: getattr(found, name) for name in kept})


def info(
    store: Store,
    exact: Annotated[
        bool, typer.Option("--exact", help="Count contents, attachments and keys, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a store is, and how large."""
    with reading(store) as opened, printing(as_json=as_json) as out:
        found = opened.info(exact=exact)
        # It was opened read-only for this alone, and its cache is empty.
        names = [each for each in type(found).model_fields if each not in ("cache", "read_only")]
        values = {name: getattr(found, name) for name in names}
        out.fields({name: value for name, value in values.items() if as_json or value is not None})


def verify(
    store: Store,
    tract_id: TractId = None,
    types: Types = None,
    as_json: Json = False,
) -> None:
    """Hash everything again, and list what is damaged.

    The exit code is 1 then.
    """
    faults = 0
    with (
        reading(store, types) as opened,
        printing(as_json=as_json) as out,
        progressing("Verifying tracts") as step,
    ):
        ids = opened.tract_ids() if tract_id is None else [chosen_tract(opened, tract_id)]
        for number, each in enumerate(ids):
            step(number, len(ids))
            report = opened.tract(each).verify()
            faults += len(report.faults)
            out.table([{"tract_id": each, **_fields(report)}], _verified)
            if not as_json:
                for fault in report.faults:
                    out.fields({fault.commit_hash[:12]: fault.problem})
    if faults:
        raise typer.Exit(ExitCode.FAILED)


def _tracts(store: SyncStore, limit: int | None, **options: Any) -> Iterator[TractInfo]:
    """Yield tracts page by page."""
    after = None
    while limit is None or limit > 0:
        size = _PAGE if limit is None else min(_PAGE, limit)
        page = store.tracts(limit=size, after=after, **options)
        yield from page
        if len(page) < size:
            return
        after, limit = page[-1].cursor, None if limit is None else limit - size


def _tract(found: TractInfo) -> dict[str, object]:
    return {
        "tract": found.tract_id,
        "title": found.title,
        "commits": found.commits,
        "branches": found.branches,
        "prompt": found.prompt_tokens,
        "completion": found.completion_tokens,
        "updated": found.updated_at,
    }


def _verified(report: dict[str, Any]) -> dict[str, object]:
    return {
        "tract": report["tract_id"],
        "checked": report["checked"],
        "faults": len(report["faults"]),
        "erased": len(report["erased"]),
    }


def _fields(report: VerifyReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in type(report).model_fields}


COMMANDS: dict[str, Callable[..., None]] = {
    "tracts": tracts,
    "stats": stats,
    "info": info,
    "verify": verify,
}
