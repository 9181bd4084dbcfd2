"""Commands on the history of a branch: log, show, cat, compile, diff."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tract.cli.commands.pages import Pair, paged, reader
from tract.cli.completing import refs as named
from tract.cli.escaping import clipped, line
from tract.cli.graph import ASCII, LINES, Graph
from tract.cli.opening import chosen, commit_of, head_of, reading
from tract.cli.options import At, Branch, Json, Limit, NoPager, Store, TractId, Types
from tract.cli.output import Output, printing
from tract.cli.running import CommandError, ExitCode, warn
from tract.cli.views import (
    Refs,
    commit_details,
    commit_line,
    difference,
    message_lines,
    refs_of,
    text_of,
)

if TYPE_CHECKING:
    from tract import CommitInfo, SyncTract

__all__ = ["COMMANDS"]

_GRAPH = 80  # cells of a graph that are shown


class Api(StrEnum):
    """What a context can be compiled for."""

    OPENAI = "openai"
    RESPONSES = "responses"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"


class OpenCalls(StrEnum):
    """What becomes of tool calls without a result."""

    ERROR = "error"
    DROP = "drop"
    KEEP = "keep"


_APIS = {
    Api.OPENAI: "openai.chat",
    Api.RESPONSES: "openai.responses",
    Api.ANTHROPIC: "anthropic.messages",
    Api.GOOGLE: "google.generate_content",
}


def log(
    store: Store,
    graph: Annotated[bool, typer.Option("--graph", help="Draw branches and merges.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All commits of the tract, of any branch and of none.")
    ] = False,
    limit: Limit = None,
    before: Annotated[
        str | None,
        typer.Option(
            "--before", metavar="COMMIT", help="Go on before this one.", autocompletion=named
        ),
    ] = None,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """List the commits of a branch, newest first."""
    with reading(store, types) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        handle = chosen(opened, tract_id, branch)
        pages = paged(reader(handle, everything=everything), limit, before)
        if as_json:
            for commit, content in pages:
                out.json({**_plain(commit), "content": content})
            return
        refs = refs_of(handle)
        for each in _drawn(out, pages, refs) if graph else _listed(out, pages, refs):
            out.put(each)


def show(
    store: Store,
    commits: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMIT]...",
            help="By hash, tag or branch; else the head.",
            autocompletion=named,
        ),
    ] = None,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """Show commits with all that is stored with them."""
    with reading(store, types) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        handle = chosen(opened, tract_id, branch)
        refs = refs_of(handle)
        for name in commits or [head_of(handle)]:
            commit = commit_of(handle, name)
            _show(out, handle, commit, refs.get(commit.commit_hash, ()))


def cat(
    store: Store,
    commit: Annotated[
        str, typer.Argument(metavar="COMMIT|SHA256", help="What to print.", autocompletion=named)
    ],
    attachment: Annotated[
        bool, typer.Option("--attachment", help="Print the bytes of an attachment, by its SHA-256.")
    ] = False,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
) -> None:
    """Print the text of one commit, and nothing else.

    It goes to a pipe as it is, and to a terminal escaped.
    """
    with reading(store, types) as opened, printing() as out:
        handle = chosen(opened, tract_id, branch)
        if attachment:
            if out.terminal:
                raise CommandError("These are bytes: redirect them to a file.", ExitCode.USAGE)
            sys.stdout.buffer.write(handle.attachment(commit))
            return
        content = handle.get_content(commit)
        if as_json:
            out.document(content)
        elif out.terminal:
            out.block(text_of(content))
        else:
            sys.stdout.buffer.write(text_of(content).encode("utf-8", "surrogatepass"))


def compile_(
    store: Store,
    api: Annotated[
        Api | None,
        typer.Option(
            "--for", metavar="API", help="The request of openai, responses, anthropic or google."
        ),
    ] = None,
    at: At = None,
    at_time: Annotated[
        datetime | None,
        typer.Option("--at-time", help="As it was then, in UTC if no zone is given."),
    ] = None,
    open_calls: Annotated[
        OpenCalls, typer.Option("--open-calls", help="What becomes of calls without a result.")
    ] = OpenCalls.ERROR,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """Print the context as a model gets it, or as an API takes it."""
    with reading(store, types) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        options: dict[str, Any] = {} if at is None else {"at_commit": at}
        if at_time is not None:
            options["at_time"] = at_time if at_time.tzinfo else at_time.replace(tzinfo=UTC)
        context = chosen(opened, tract_id, branch).compile(**options)
        if api is not None:
            out.document(context.request(_APIS[api], open_calls=open_calls.value))
            for loss in context.losses:
                warn(f"tract: not the same for {api.value}: {loss}")
        elif as_json:
            names = ("head_hash", "token_count", "token_source", "commit_count", "tool_tokens")
            lists = ("commit_hashes", "generation_configs", "open_calls", "uncounted", "tools")
            values = {name: getattr(context, name) for name in (*names, *lists)}
            out.document({**values, "messages": context.to_dicts()})
        else:
            for message in context.messages:
                for each in message_lines(out, message):
                    out.put(each)
            counted = f"{context.token_count:,} tokens by {line(context.token_source)}"
            out.put(out.styled(f"── {context.commit_count:,} entries, {counted}", dim=True))


def diff(
    store: Store,
    a: Annotated[
        str, typer.Argument(metavar="A", help="A commit, tag or branch.", autocompletion=named)
    ],
    b: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="Another; else the head.", autocompletion=named),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if they differ.")
    ] = False,
    tract_id: TractId = None,
    branch: Branch = None,
    types: Types = None,
    as_json: Json = False,
    no_pager: NoPager = False,
) -> None:
    """Show how two contexts differ, entry by entry."""
    with reading(store, types) as opened, printing(as_json=as_json, paged=not no_pager) as out:
        handle = chosen(opened, tract_id, branch)
        found = handle.diff(a, b if b is not None else handle.head())
        if as_json:
            out.document(found)
        else:
            for entry in found.entries:
                for each in difference(out, entry):
                    out.put(each)
            out.put(f"{len(found.entries):,} entries differ, by {found.token_difference:+,} tokens")
    if exit_code and found.entries:
        raise typer.Exit(ExitCode.FAILED)


def _listed(out: Output, commits: Iterator[Pair], refs: Refs) -> Iterator[str]:
    for commit, content in commits:
        yield commit_line(out, commit, content, refs)


def _drawn(out: Output, commits: Iterator[Pair], refs: Refs) -> Iterator[str]:
    graph = Graph(LINES if out.unicode else ASCII)
    for commit, content in commits:
        parents = [each for each in (commit.parent_hash, commit.merge_parent) if each]
        for row, is_own in graph.rows(commit.commit_hash, parents):
            drawn = clipped(row, _GRAPH)
            yield commit_line(out, commit, content, refs, f"{drawn} ") if is_own else drawn


def _show(out: Output, handle: SyncTract, commit: CommitInfo, names: Sequence[str]) -> None:
    annotations = handle.get_annotations(commit.commit_hash)
    if out.as_json:
        content = handle.get_content(commit.commit_hash)
        out.document({**_plain(commit), "annotations": annotations, "content": content})
        return
    for each in commit_details(out, commit, names):
        out.put(each)
    for annotation in annotations:
        reason = f": {line(annotation.reason)}" if annotation.reason else ""
        out.put(f"{'priority:':<11}{annotation.priority.value}{reason}")
    out.put("")
    out.block(text_of(handle.get_content(commit.commit_hash)), indent="    ")
    out.put("")


def _plain(commit: CommitInfo) -> dict[str, object]:
    return {name: getattr(commit, name) for name in type(commit).model_fields}


COMMANDS: dict[str, Callable[..., None]] = {
    "log": log,
    "show": show,
    "cat": cat,
    "compile": compile_,
    "diff": diff,
}
