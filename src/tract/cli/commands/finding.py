"""Commands that find commits: query, search, watch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

import tract
from tract.cli import completing
from tract.cli.commands.conditions import condition
from tract.cli.commands.pages import searchable, with_contents
from tract.cli.escaping import block, line
from tract.cli.opening import chosen, chosen_tract, indexing, reading, writing
from tract.cli.options import Branch, Json, Limit, NoPager, Store, TractId, Types
from tract.cli.output import Output, printing, progressing
from tract.cli.running import CommandError, ExitCode
from tract.cli.views import commit_line, refs_of

if TYPE_CHECKING:
    from tract import CommitInfo, SearchHit, SyncStore, SyncTract

__all__ = ["COMMANDS"]

_PAGE = 500


def query(
    store: Store,
    conditions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONDITION]...", help="Such as 'config.temperature > 0.5'."),
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="Oldest first.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Print only how many there are.")] = False,
    limit: Limit = None,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """List the commits that meet all conditions.

    They are those of all branches, or with --branch of one.

    A condition is a field, an operator and a value: 'config.model = gpt-5', 'metadata.user exists',
    'message contains typo', 'operation = edit', 'token_count > 100', 'created_at >= 2026-01-31'.
    """
    asked = [condition(each) for each in conditions or ()]
    with reading(store, types) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        handle = chosen(opened, tract_id, branch)
        only = branch is not None
        if count:
            number = handle.count(*asked, branch_only=only)
            out.json({"count": number}) if as_json else out.put(str(number))
            return
        found = handle.query(*asked, branch_only=only, limit=limit, newest=not oldest)
        if as_json:
            for commit in found:
                out.json(commit)
            return
        refs = refs_of(handle)
        for start in range(0, len(found), _PAGE):
            for commit, content in with_contents(handle, found[start : start + _PAGE]):
                out.put(commit_line(out, commit, content, refs))


def search(
    store: Store,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Words that a text has.")
    ] = None,
    enable: Annotated[
        bool, typer.Option("--enable", help="Switch search on, and index all there is.")
    ] = False,
    limit: Limit = 20,
    tract_id: TractId = None,
    branch: Branch = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """Find commits by the words of their texts.

    They are those of the whole store, of a tract by --tract, or of a branch by --branch. What was
    committed since the last search is indexed first, unless the store can only be read.
    """
    if enable:
        with writing(store) as opened, progressing("Indexing") as step:
            opened.enable_search(progress=lambda done: step(done, None))
    elif not words:
        raise CommandError("Give words to search for.", ExitCode.USAGE)
    if not words:
        return
    text = " ".join(words)
    with indexing(store) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        for hit in _found(opened, text, limit, tract_id, branch):
            if as_json:
                out.json(hit)
                continue
            named = out.styled(hit.commit.commit_hash[:12], fg="yellow")
            place = out.styled(f"{line(hit.tract_id)} {hit.status.value}", fg="cyan")
            out.put(f"{named} {place}  {_marked(out, hit.snippet, hit.marks)}")


def watch(
    store: Store,
    after: Annotated[
        str,
        typer.Option(
            "--after",
            metavar="COMMIT",
            help="Begin after this one.",
            autocompletion=completing.refs,
        ),
    ] = "head",
    everything: Annotated[
        bool, typer.Option("--all", help="Begin with the first commit of the branch.")
    ] = False,
    limit: Limit = None,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
) -> None:
    """Print the commits of a branch as they are made.

    It goes on until it is interrupted.
    """
    with reading(store, types) as opened, printing(as_json=as_json) as out:
        handle = opened.tract(chosen_tract(opened, tract_id), branch=branch or "main")
        handle.head()  # raises if there is no such branch
        if limit == 0:
            return
        left = limit
        with handle.watch(None if everything else after, resets=True) as commits:
            for event in commits:
                if left is not None:
                    left -= 1
                _watched(out, handle, event)
                out.flush()
                if left == 0:
                    return


def _found(
    store: SyncStore, text: str, limit: int | None, tract_id: str | None, branch: str | None
) -> list[SearchHit]:
    with searchable():
        if tract_id is None and branch is None:
            return store.search(text, limit=limit)
        handle = chosen(store, tract_id, branch)
        return handle.search(text, branch_only=branch is not None, limit=limit)


def _watched(out: Output, handle: SyncTract, event: CommitInfo | tract.BranchReset) -> None:
    if isinstance(event, tract.BranchReset):
        if out.as_json:
            out.json({"reset": event})
        else:
            out.put(f"{line(event.branch)} was reset to {(event.new_hash or 'nothing')[:12]}")
    elif out.as_json:
        out.json(event)
    else:
        ((commit, content),) = with_contents(handle, [event])
        out.put(commit_line(out, commit, content, {}))


def _marked(out: Output, snippet: str, marks: Sequence[tuple[int, int]]) -> str:
    """Return a snippet, escaped, with its words in bold."""
    pieces, end = list[str](), 0
    for start, stop in marks:
        pieces.append(_flat(snippet[end:start]))
        pieces.append(out.styled(_flat(snippet[start:stop]), bold=True))
        end = stop
    return "".join([*pieces, _flat(snippet[end:])])


def _flat(text: str) -> str:
    """Return a piece of a line: as `line`, but with the spaces at its ends."""
    return block(text).replace("\n", " ").replace("\t", " ")


COMMANDS: dict[str, Callable[..., None]] = {"query": query, "search": search, "watch": watch}
