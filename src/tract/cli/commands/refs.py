"""Commands on branches: branches, tags, reflog, merge, compare, compactions."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

import tract
from tract.cli import completing
from tract.cli.opening import chosen, chosen_tract, reading, writing
from tract.cli.options import At, Branch, Json, Limit, NoPager, Store, TractId, Types
from tract.cli.output import Output, printing
from tract.cli.running import CommandError, ExitCode

if TYPE_CHECKING:
    from tract import (
        BranchComparison,
        BranchInfo,
        CompactionInfo,
        MergeConflict,
        MergeResult,
        ReflogEntry,
        TagInfo,
    )

__all__ = ["COMMANDS"]


class OnConflict(StrEnum):
    """Which side a merge takes where both changed an entry."""

    RAISE = "raise"
    OURS = "ours"
    THEIRS = "theirs"


def branches(
    store: Store, tract_id: TractId = None, as_json: Json = False, no_pager: NoPager = False
) -> None:
    """List the branches of a tract."""
    with reading(store) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        out.table(opened.tract(chosen_tract(opened, tract_id)).branches(), _branch)


def tags(
    store: Store, tract_id: TractId = None, as_json: Json = False, no_pager: NoPager = False
) -> None:
    """List the tags of a tract."""
    with reading(store) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        out.table(opened.tract(chosen_tract(opened, tract_id)).tags(), _tag)


def reflog(
    store: Store,
    limit: Limit = None,
    tract_id: TractId = None,
    branch: Branch = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """List where the branches have pointed, newest first.

    Branches that were deleted are included.
    """
    with reading(store) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        handle = opened.tract(chosen_tract(opened, tract_id))
        moves = handle.reflog(branch)
        if branch is not None and not moves:
            handle.on(branch).head()  # raises if there is no such branch
        out.table(moves[:limit], _move)


def merge(
    store: Store,
    other: Annotated[
        str,
        typer.Argument(
            metavar="OTHER", help="The branch to merge.", autocompletion=completing.branches
        ),
    ],
    on_conflict: Annotated[
        OnConflict, typer.Option("--on-conflict", help="What holds where both sides differ.")
    ] = OnConflict.RAISE,
    no_ff: Annotated[
        bool, typer.Option("--no-ff", help="Write a merge commit, even for a fast-forward.")
    ] = False,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="The commit's note.")
    ] = None,
    tract_id: TractId = None,
    branch: Branch = None,
    as_json: Json = False,
) -> None:
    """Merge a branch into another.

    If there are conflicts, nothing is written: they are listed, and the exit code is 4.
    """
    with writing(store) as opened, printing(as_json=as_json) as out:
        handle = chosen(opened, tract_id, branch)
        try:
            done = handle.merge(
                other, on_conflict=on_conflict.value, fast_forward=not no_ff, message=message
            )
        except tract.MergeConflictError as error:
            out.table(error.conflicts, _conflict)
            raise CommandError(
                f"{len(error.conflicts)} entries differ on both sides, and nothing was written. "
                "Choose by --on-conflict ours or theirs.",
                ExitCode.CONFLICT,
            ) from None
        _merged(out, done)


def compare(
    store: Store,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BRANCH]...",
            help="By default all branches.",
            autocompletion=completing.branches,
        ),
    ] = None,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """Compare the sizes, usage and parameters of branches."""
    with reading(store, types) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        handle = chosen(opened, tract_id, branch)
        chosen_names = names or [each.name for each in handle.branches()]
        out.table(handle.compare(chosen_names), _comparison)


def compactions(
    store: Store,
    at: At = None,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """List what was hidden behind summaries, oldest first."""
    with reading(store, types) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        handle = chosen(opened, tract_id, branch)
        found = handle.compactions() if at is None else handle.compactions(at_commit=at)
        out.table(found, _compaction)


def _merged(out: Output, done: MergeResult) -> None:
    if out.as_json:
        out.document(done)
        return
    head = (done.head_hash or "-")[:12]
    decided = f", {len(done.conflicts)} conflicts decided" if done.conflicts else ""
    out.put(f"{done.kind.value}: {len(done.merged)} commits{decided}; the head is {head}")


def _branch(info: BranchInfo) -> dict[str, object]:
    return {"branch": info.name, "head": _short(info.head_hash), "updated": info.updated_at}


def _tag(info: TagInfo) -> dict[str, object]:
    return {"tag": info.name, "commit": _short(info.target_hash), "created": info.created_at}


def _move(entry: ReflogEntry) -> dict[str, object]:
    return {
        "time": entry.created_at,
        "branch": entry.branch,
        "from": _short(entry.old_hash),
        "to": _short(entry.new_hash),
        "action": entry.action,
        "note": entry.note,
    }


def _conflict(conflict: MergeConflict) -> dict[str, object]:
    return {
        "entry": _short(conflict.target_hash),
        "kind": conflict.kind.value,
        "ours": _side(conflict.ours),
        "theirs": _side(conflict.theirs),
    }


def _comparison(found: BranchComparison) -> dict[str, object]:
    used = found.usage_since_fork
    return {
        "branch": found.branch,
        "head": _short(found.head_hash),
        "entries": found.entries,
        "tokens": found.token_count,
        "prompt": used.prompt_tokens,
        "completion": used.completion_tokens,
        "configs": list(found.generation_configs),
        "last message": found.last_message.content if found.last_message else None,
    }


def _compaction(info: CompactionInfo) -> dict[str, object]:
    return {
        "commit": _short(info.commit_hash),
        "time": info.created_at,
        "hidden": len(info.hidden),
        "cleared": len(info.cleared),
        "tokens": info.tokens_hidden,
        "summary": info.summary_tokens,
        "undone": info.undone,
        "reason": info.reason,
    }


def _side(value: object) -> object:
    return getattr(value, "value", None) or getattr(value, "text", value)


def _short(commit_hash: str | None) -> str | None:
    return None if commit_hash is None else commit_hash[:12]


COMMANDS: dict[str, Callable[..., None]] = {
    "branches": branches,
    "tags": tags,
    "reflog": reflog,
    "merge": merge,
    "compare": compare,
    "compactions": compactions,
}
