"""The tools: each reads the store and returns a JSON object, all of it over the public names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field

import tract
from tract.cli.commands.pages import paged, reader, searchable
from tract.cli.mcp.answers import Cursor, bounded, fitting, page
from tract.cli.opening import chosen, chosen_tract, commit_of, head_of
from tract.cli.running import CommandError
from tract.cli.views import Refs, refs_of, text_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tract import CommitInfo, SyncStore, SyncTract

__all__ = ["Shape", "Tools"]

Shape: TypeAlias = dict[str, Any]
"""A JSON object."""

Tract = Annotated[str | None, Field(description="The tract; by default the only one, or main.")]
Branch = Annotated[str | None, Field(description="The branch; main by default.")]
Limit = Annotated[int, Field(ge=1, le=200, description="How many at most.")]
Start = Annotated[int, Field(ge=0, description="The item to begin at, from `next`.")]
Offset = Annotated[int, Field(ge=0, description="How much of that item was read, from `next`.")]
Api = Literal["openai", "responses", "anthropic", "google"]

_APIS: Mapping[Api, str] = {
    "openai": "openai.chat",
    "responses": "openai.responses",
    "anthropic": "anthropic.messages",
    "google": "google.generate_content",
}
_EXCERPT = 240  # characters of a text in a list
_NAMES = 20  # branches and tags that are named beside a commit


class Tools:
    """Reads one store, or some of its tracts; every public method is a tool."""

    def __init__(self, store: SyncStore, tract_ids: Collection[str] | None = None) -> None:
        self._store = store
        self._only = None if tract_ids is None else sorted(set(tract_ids))

    def tracts(
        self,
        prefix: Annotated[str, Field(description="What their ids begin with.")] = "",
        after: Annotated[str | None, Field(description="The page's cursor, from `next`.")] = None,
        limit: Limit = 50,
    ) -> Shape:
        """List the tracts of the store, those changed last first: one tract is one conversation."""
        if self._only is None:
            found = self._store.tracts(prefix=prefix, after=after, limit=limit)
            cursors = {each.tract_id: each.cursor for each in found}
        else:
            names = [
                each for each in self._only if each.startswith(prefix) and each > (after or "")
            ]
            infos = [self._store.tract(each).info() for each in names[:limit]]
            found = [each for each in infos if each is not None]
            cursors = {each.tract_id: each.tract_id for each in found}
        fit = fitting(_bounded(_told(each, without=("cursor",))) for each in found)
        done = len(fit) == len(found) < limit
        following = None if done else {"prefix": prefix, "limit": limit}
        if following is not None:
            following["after"] = cursors[found[len(fit) - 1].tract_id]
        return {"tracts": fit, "next": following}

    def branches(self, tract: Tract = None, start: Start = 0) -> Shape:
        """List the branches and tags of a tract, by name, and the commits that they point to."""
        handle = self._tract(tract)
        branches = sorted(handle.branches(), key=lambda each: each.name)
        tags = sorted(handle.tags(), key=lambda each: each.name)
        items: list[Shape] = [
            *({"branch": each.name, "head": each.head_hash} for each in branches),
            *({"tag": each.name, "commit": each.target_hash} for each in tags),
        ]
        fit = fitting(items[start : start + 200])
        end = start + len(fit)
        following = {"tract": handle.tract_id, "start": end} if end < len(items) else None
        return {"tract": handle.tract_id, "names": fit, "next": following}

    def log(
        self,
        tract: Tract = None,
        branch: Branch = None,
        everything: Annotated[
            bool, Field(description="The commits of all branches, and of none.")
        ] = False,
        before: Annotated[
            str | None, Field(description="Go on before this commit, from `next`.")
        ] = None,
        limit: Limit = 30,
    ) -> Shape:
        """List commits, newest first, each with how its text begins; `show` has all of one."""
        handle = self._branch(tract, branch)
        pairs = [*paged(reader(handle, everything=everything), limit, before)]
        refs = refs_of(handle)
        fit = fitting(_row(*each, refs) for each in pairs)
        following = None
        if fit and (len(fit) < len(pairs) or len(pairs) == limit):
            following = {"before": pairs[len(fit) - 1][0].commit_hash, "limit": limit}
            following |= _place(handle, branch=handle.branch, everything=everything)
        return {**_place(handle), "commits": fit, "next": following}

    def show(
        self,
        commit: Annotated[str, Field(description="A commit, tag or branch.")],
        tract: Tract = None,
        start: Start = 0,
        offset: Offset = 0,
    ) -> Shape:
        """Show one commit with all that is stored with it, and its content in full."""
        handle = self._tract(tract)
        found = commit_of(handle, commit)
        items: list[object] = [
            {**_told(found), "annotations": handle.get_annotations(found.commit_hash)},
            {"content": _told(handle.get_content(found.commit_hash))},
        ]
        return _paged(items, Cursor(start, offset), _place(handle, commit=found.commit_hash))

    def compile(
        self,
        tract: Tract = None,
        branch: Branch = None,
        at: Annotated[
            str | None, Field(description="A commit, tag or branch instead of the head.")
        ] = None,
        api: Annotated[
            Api | None, Field(description="As a request of this API, instead of as messages.")
        ] = None,
        start: Start = 0,
        offset: Offset = 0,
    ) -> Shape:
        """Show the context that a model would get: its messages, and how many tokens they have."""
        handle = self._branch(tract, branch)
        context = handle.compile() if at is None else handle.compile(at_commit=at)
        place = _place(handle, branch=handle.branch, at=context.head_hash)
        told: Shape = {
            "token_count": context.token_count,
            "token_source": context.token_source,
            "entries": context.commit_count,
        }
        if api is None:
            items: Sequence[object] = context.to_dicts()
        else:
            items = [*_sections(context.request(_APIS[api], open_calls="keep"))]
            told["losses"] = bounded([str(each) for each in context.losses])
            place["api"] = api
        return told | _paged(items, Cursor(start, offset), place)

    def diff(
        self,
        a: Annotated[str, Field(description="A commit, tag or branch.")],
        b: Annotated[str | None, Field(description="Another; the head by default.")] = None,
        tract: Tract = None,
        branch: Branch = None,
        start: Start = 0,
        offset: Offset = 0,
    ) -> Shape:
        """Show how the contexts at two points differ, entry by entry."""
        handle = self._branch(tract, branch)
        old, new = (commit_of(handle, each).commit_hash for each in (a, b or head_of(handle)))
        found = handle.diff(old, new)
        told = {"entries_that_differ": len(found.entries)}
        told["token_difference"] = found.token_difference
        items = [_told(each) for each in found.entries]
        return told | _paged(
            items, Cursor(start, offset), _place(handle, branch=handle.branch, a=old, b=new)
        )

    def search(
        self,
        text: Annotated[str, Field(description='Words; "quotes" make a phrase, wor* a prefix.')],
        tract: Annotated[
            str | None, Field(description="The tract; by default the whole store.")
        ] = None,
        after: Annotated[str | None, Field(description="The page's cursor, from `next`.")] = None,
        limit: Limit = 20,
    ) -> Shape:
        """Find commits by the words of their texts, the best first."""
        with searchable():
            if tract is None and self._only is None:
                hits = self._store.search(text, limit=limit, after=after)
            else:
                tract = self._tract(tract).tract_id
                hits = self._store.tract(tract).search(text, limit=limit, after=after)
        fit = fitting(
            {
                "tract": each.tract_id,
                "commit": each.commit.commit_hash,
                "created_at": each.commit.created_at,
                "status": each.status,
                "snippet": bounded(each.snippet),
            }
            for each in hits
        )
        following = None
        if fit and (len(fit) < len(hits) or len(hits) == limit):
            following = {"text": text, "after": hits[len(fit) - 1].cursor, "limit": limit}
            following |= {} if tract is None else {"tract": tract}
        return {"hits": fit, "next": following}

    def _tract(self, tract_id: str | None) -> SyncTract:
        """Return the tract that was asked for, or else the only one, or that called main."""
        if self._only is None:
            return self._store.tract(chosen_tract(self._store, tract_id))
        if tract_id is None and len(self._only) == 1:
            tract_id = self._only[0]
        if tract_id is None:
            raise CommandError(f"Choose a tract: {', '.join(self._only[:10])}.")
        if tract_id not in self._only:  # which says nothing of whether the store has it
            raise tract.TractNotFoundError(tract_id)
        return self._store.tract(tract_id)

    def _branch(self, tract_id: str | None, branch: str | None) -> SyncTract:
        return chosen(self._store, self._tract(tract_id).tract_id, branch)


def _paged(items: Sequence[object], at: Cursor, place: Shape) -> Shape:
    """Return a page of items, with the arguments that ask for the next one."""
    shown, following = page(items, at)
    return {**place, "items": shown, "next": following and {**place, **following._asdict()}}


def _place(handle: SyncTract, **more: object) -> Shape:
    return {"tract": handle.tract_id, **more}


def _row(commit: CommitInfo, content: BaseModel | None, refs: Refs) -> Shape:
    """Return a commit as a list has it."""
    text, names = text_of(content), refs.get(commit.commit_hash, ())
    row = {
        "commit": commit.commit_hash,
        "created_at": commit.created_at,
        "parents": [each for each in (commit.parent_hash, commit.merge_parent) if each],
        "operation": commit.operation,
        "target": commit.edit_target,
        "type": commit.content_type,
        "role": getattr(content, "role", None),
        "tokens": commit.token_count,
        "key": commit.key,
        "message": commit.message,
        "names": [*names[:_NAMES], *(["…"] if len(names) > _NAMES else ())],
        "text": text[:_EXCERPT],
        "characters": len(text),
    }
    return _bounded({name: value for name, value in row.items() if value not in (None, [])})


def _bounded(shape: Mapping[str, object]) -> Shape:
    return {name: bounded(value) for name, value in shape.items()}


def _told(value: Any, without: Collection[str] = ()) -> Shape:
    """Return the fields of a value of the library that are set."""
    names = [each for each in type(value).model_fields if each not in without]
    found = {name: getattr(value, name) for name in names}
    return {
        name: each.to_dict() if isinstance(each, tract.Message) else each
        for name, each in found.items()
        if each is not None
    }


def _sections(request: Mapping[str, Any]) -> Iterator[Shape]:
    """Yield the pieces of a request: the elements of its lists, and its other fields."""
    for name, value in request.items():
        if isinstance(value, list):
            yield from ({f"{name}[{number}]": each} for number, each in enumerate(value))
        else:
            yield {name: value}
