"""Commands that keep a store in order: erase, prune, collect, recover, migrate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

import tract
from tract.cli import completing
from tract.cli.opening import chosen_tract, reading, schema_of, target_of, writing
from tract.cli.options import Json, Reason, Store, TractId, Yes
from tract.cli.output import Output, printing, progressing, shown
from tract.cli.running import CommandError, ExitCode, confirm, warn

if TYPE_CHECKING:
    from tract import SyncLeftStream

__all__ = ["COMMANDS"]

Vacuum = Annotated[
    bool, typer.Option("--vacuum", help="Write the file anew, so that no byte is left anywhere.")
]


def erase(
    store: Store,
    reason: Reason,
    commits: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMIT]...",
            help="By hash, tag or branch.",
            show_default=False,
            autocompletion=completing.refs,
        ),
    ] = None,
    whole_tract: Annotated[
        bool, typer.Option("--whole-tract", help="Delete the tract of --tract as a whole.")
    ] = False,
    vacuum: Vacuum = False,
    tract_id: TractId = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Erase what commits hold, or a whole tract, for good."""
    if whole_tract == bool(commits) or (whole_tract and tract_id is None):
        problem = "Name commits to erase, or a tract by --tract ID --whole-tract."
        raise CommandError(problem, ExitCode.USAGE)
    with writing(store) as opened, printing(as_json=as_json) as out:
        name = chosen_tract(opened, tract_id)
        if whole_tract:
            confirm(f"Delete the whole tract {name!r}, for good?", yes=yes)
            out.fields(_fields(opened.erase_tract(name, reason=reason, vacuum=vacuum)))
            return
        handle = opened.tract(name)
        named = list(commits or ())
        handle.get_contents(named)  # before asking: is it all there?
        confirm(f"Erase what {len(named)} commits of the tract {name!r} hold, for good?", yes=yes)
        _receipt(out, handle.erase(named, reason=reason, vacuum=vacuum))


def prune(
    store: Store,
    reason: Reason,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=0, help="Keep the newest so many.")
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="TIME|COMMIT", help="Keep what was made from then on."),
    ] = None,
    tract_id: TractId = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Shorten the history of a tract, for good.

    Every context since the boundary stays the same.
    """
    if keep is None and before is None:
        raise CommandError("Say what to keep, by --keep or --before.", ExitCode.USAGE)
    with writing(store) as opened, printing(as_json=as_json) as out:
        name = chosen_tract(opened, tract_id)
        confirm(f"Prune the history of the tract {name!r}, for good?", yes=yes)
        with progressing("Pruning") as step:
            receipt = opened.tract(name).prune(
                keep=keep,
                before=None if before is None else _boundary(before),
                reason=reason,
                progress=lambda done: step(done.erased + done.deleted, None),
            )
        _receipt(out, receipt)


def collect(store: Store, vacuum: Vacuum = False, yes: Yes = False, as_json: Json = False) -> None:
    """Delete contents that nothing refers to any more."""
    with writing(store) as opened, printing(as_json=as_json) as out:
        confirm("Delete what nothing refers to, for good?", yes=yes)
        with progressing("Collecting") as step:
            values = _fields(opened.collect(progress=lambda done: step(done, None)))
        if vacuum:
            report = opened.vacuum()
            values |= {"pending": report.pending, "nbytes_of_store": report.nbytes}
        out.fields(values)


def recover(
    store: Store,
    commit: Annotated[bool, typer.Option("--commit", help="Commit each to its branch.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Delete each.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait up to 15 seconds to tell whether they were left.")
    ] = False,
    tract_id: TractId = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """List replies that were cut off, commit or drop them.

    They are streams whose process ended before they did.
    """
    if commit and drop:
        raise CommandError("Give --commit or --drop, not both.", ExitCode.USAGE)
    opening = writing if commit or drop else reading
    with opening(store) as opened, printing(as_json=as_json) as out:
        left = opened.recover_streams(wait=wait)
        found = [each for each in left if tract_id in (None, each.tract_id)]
        out.table([_left(each) for each in found], dict)
        if drop and found:
            confirm(f"Drop {len(found)} streams, for good?", yes=yes)
        failed = 0
        for each in found:
            if drop:
                each.drop()
            elif commit:
                failed += not _committed(each)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def migrate(store: Store, as_json: Json = False) -> None:
    """Bring a store of an older release up to date.

    Older releases cannot open it then.
    """
    found, supported = schema_of(store)
    if supported is not None:
        with tract.SyncStore.open(target_of(store, "rw")):
            pass
    with printing(as_json=as_json) as out:
        out.fields({"schema_before": found, "schema_version": supported or found})


def _receipt(out: Output, receipt: object) -> None:
    """Print a receipt: as JSON all of it, as text numbers in the place of long lists."""
    values = _fields(receipt)
    if not out.as_json:
        values = {
            name: len(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
    out.fields(values)


def _fields(model: object) -> dict[str, object]:
    names: dict[str, object] = getattr(type(model), "model_fields", {})
    return {name: getattr(model, name) for name in names}


def _left(stream: SyncLeftStream) -> dict[str, object]:
    return {
        "tract": stream.tract_id,
        "branch": stream.branch,
        "started": stream.started_at,
        "touched": stream.touched_at,
        "tool_calls": len(stream.tool_calls),
        "text": stream.text,
    }


def _committed(stream: SyncLeftStream) -> bool:
    try:
        stream.commit()
    except tract.TractError as error:
        warn(f"tract: {shown(stream.tract_id)} on {shown(stream.branch)}: {error}")
        return False
    return True


def _boundary(typed: str) -> datetime | str:
    """Return the time that was typed, in UTC if it names no zone; else it names a commit."""
    try:
        time = datetime.fromisoformat(typed)
    except ValueError:
        return typed
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


COMMANDS: dict[str, Callable[..., None]] = {
    "erase": erase,
    "prune": prune,
    "collect": collect,
    "recover": recover,
    "migrate": migrate,
}
