"""`CompactionEngine`: shortens the context of a branch by a commit, and undoes that by another."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple, cast

from tract.engine.commit.drafts import DraftMaker, Given
from tract.engine.commit.engine import CommitEngine
from tract.engine.commit.infos import commit_infos
from tract.engine.compaction.landing import CompactionWriter
from tract.engine.compaction.planning import (
    Aims,
    Keep,
    clearable,
    free_sections,
    leaves_whole,
    ordered,
    planned,
    views_of,
)
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.compile.entries import Entries, Entry
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader, Found, ViewOptions
from tract.engine.contents.provided import shown_content
from tract.engine.contents.registry import default_priority
from tract.engine.threads import Threads
from tract.exceptions import (
    CompactionError,
    EditTargetError,
    shown,
)
from tract.formats.pairing import matched
from tract.history.canonical import stored_json
from tract.models.annotations import Priority
from tract.models.commit import CommitInfo, moment
from tract.models.compaction import (
    CompactionContent,
    CompactionInfo,
    CompactionPlan,
    CompactionRequest,
    CompactionResult,
    MessageGroup,
    Strategy,
    Summariser,
    Summary,
)
from tract.models.content import DialogueContent
from tract.protocols import Message
from tract.protocols.parts import TextPart, ThinkingPart
from tract.running.crossing import called_back
from tract.storage.repositories import (
    BlobRepository,
    BranchName,
    CommitDraft,
    Position,
    StoredContent,
)

__all__ = ["CompactionEngine", "Demands"]

_HEAD = Position()
_TRIES = 3
"""How many summaries are asked for at most, each after what the last one hides was changed."""


class Demands(NamedTuple):
    """What a compaction is to record, and what its summary must hold."""

    must_keep: Sequence[str | re.Pattern[str]] = ()
    reason: str | None = None


class CompactionEngine:
    """Plans and makes the compactions of one store.

    A summariser runs outside any transaction. What is committed meanwhile becomes the tail. If what
    it was given has changed, the compaction begins again with what is there now.
    """

    def __init__(
        self,
        contexts: ContextReader,
        commits: CommitEngine,
        blobs: BlobRepository,
        drafts: DraftMaker,
        compiler: DefaultContextCompiler,
        threads: Threads,
    ) -> None:
        self._contexts = contexts
        self._commits = commits
        self._blobs = blobs
        self._drafts = drafts
        self._compiler = compiler
        self._threads = threads
        self._writer = CompactionWriter(contexts, commits, compiler, threads)

    async def plan(self, branch: BranchName, aims: Aims) -> CompactionPlan:
        """Return what a compaction would hide; see `AsyncTract.plan_compaction`."""
        return await self._planned(branch, await self._snapshot(branch), aims)

    async def compact(
        self,
        branch: BranchName,
        summarise: Summariser | None,
        aims: Aims,
        plan: CompactionPlan | None,
        demands: Demands,
    ) -> CompactionResult | None:
        """Hide entries behind a summary; see `AsyncTract.compact`."""
        self._commits.check_writable()
        for _ in count() if summarise is None else range(_TRIES):
            snapshot = await self._snapshot(branch)
            here = plan or await self._planned(branch, snapshot, aims)
            if not here.hides:
                return None
            covered = await self._threads.run(_covered, snapshot.entries, here.hides)
            done = None
            if covered is not None:
                draft = await self._draft(branch, summarise, snapshot, covered, here, demands)
                done = await self._writer.land(branch, draft, covered, here)
            if done is not None:
                return done
            if plan is not None:
                raise CompactionError(
                    "what the plan hides was changed meanwhile. Plan again, or leave `plan` out."
                )
        raise CompactionError("what it hides was changed each time while it was summarised.")

    async def _draft(
        self,
        branch: BranchName,
        summarise: Summariser | None,
        snapshot: Snapshot,
        covered: Sequence[Entry],
        plan: CompactionPlan,
        demands: Demands,
    ) -> CommitDraft:
        hides = [each.commit_hash for each in covered]
        content = CompactionContent(hides=hides, reason=demands.reason)
        if summarise is None:
            return await self._threads.run(self._drafts.compaction, content, None)
        request = await self._request(branch, snapshot, covered, plan.summary_tokens)
        given = _given(await called_back(summarise, request))
        draft = await self._threads.run(self._drafts.compaction, content, given)
        await self._threads.run(self._check_kept, draft, demands.must_keep)
        return draft

    def _check_kept(self, draft: CommitDraft, must_keep: Sequence[str | re.Pattern[str]]) -> None:
        """Raise unless the summary says something, and all that it must."""
        content_type, fields = shown_content(draft.content_type, stored_json(draft.data, "summary"))
        if default_priority(content_type, fields) is Priority.SKIP:
            raise CompactionError(
                f"no context shows a summary of type {content_type!r}: it is skipped."
            )
        messages = self._compiler.messages(content_type, fields)
        text = "\n".join(each.content or "" for each in messages)
        if not any(map(_says_something, messages)):
            raise CompactionError("the summariser returned nothing.")
        calls, results = matched(messages)
        if any(call.result is None for call in calls) or any(not each.call for each in results):
            raise CompactionError("the summary has a tool call or a result, and not both.")
        for each in must_keep:
            if not (each in text if isinstance(each, str) else each.search(text)):
                what = each if isinstance(each, str) else each.pattern
                raise CompactionError(f"the summary does not hold {shown(what)}, which it must.")

    async def clear(
        self,
        branch: BranchName,
        keep: int,
        exclude: Collection[str],
        placeholder: str,
        reason: str | None,
        is_worth: Callable[[int, int], bool] | None = None,
    ) -> CompactionResult | None:
        """Clear tool results; see `AsyncTract.clear_tool_results`.

        Nothing is done if *is_worth* is False of the context's tokens before and after.
        """
        self._commits.check_writable()
        while True:
            snapshot = await self._snapshot(branch)
            found = await self._threads.run(self._clearable, snapshot, keep, exclude, placeholder)
            if not found:
                return None
            content = CompactionContent(
                clears=[each.commit_hash for each in found], placeholder=placeholder, reason=reason
            )
            draft = await self._threads.run(self._drafts.compaction, content, None)
            if is_worth is not None and not is_worth(*await self._writer.tokens(snapshot, draft)):
                return None
            done = await self._writer.land(branch, draft, found, None)
            if done is not None:
                return done

    def _clearable(
        self, snapshot: Snapshot, keep: int, exclude: Collection[str], placeholder: str
    ) -> list[Entry]:
        saves = self._compiler.saves_by_clearing
        found = clearable(snapshot, keep, exclude)
        return [each for each in found if saves(each.messages, each.body_tokens, placeholder)]

    async def expand(self, branch: BranchName, target: str, reason: str | None) -> CommitInfo:
        """Undo a compaction; see `AsyncTract.expand`."""
        self._commits.check_writable()
        while True:
            look = await self._writer.look(branch)
            compaction = await self._commits.resolve(branch.tract_id, target) or target
            _check_in_force(look.snapshot.entries, compaction)
            draft = self._commits.expansion_draft(compaction, reason)
            rows = await self._writer.undo(branch, draft, look)
            if rows is not None:
                (info,) = await commit_infos(self._threads, rows)
                return info

    async def list(self, branch: BranchName, position: Position) -> list[CompactionInfo]:
        """Return the compactions in a history, oldest first; see `AsyncTract.compactions`."""
        snapshot = await self._snapshot(branch, position)
        found = {each.commit_hash: each for each in snapshot.entries if each.is_summary}
        stored = await self._blobs.get_many(branch.tract_id, [*found])
        return await self._threads.run(_infos, snapshot, stored)

    async def _snapshot(self, branch: BranchName, position: Position = _HEAD) -> Snapshot:
        return (await self._writer.look(branch, position)).snapshot

    async def _planned(self, branch: BranchName, snapshot: Snapshot, aims: Aims) -> CompactionPlan:
        kept = await self._kept(branch.tract_id, snapshot, aims.keep)
        free = await self._threads.run(free_sections, snapshot, aims, kept)
        if aims.strategy is not None:
            groups = await self._threads.run(views_of, free)
            free = ordered(free, await called_back(_listed, aims.strategy, groups))
        return await self._threads.run(planned, snapshot, self._writer.reply(snapshot), aims, free)

    async def _kept(self, tract_id: str, snapshot: Snapshot, keep: Keep) -> Collection[str]:
        """Return the entries that a caller wants to stay, by their full hashes."""
        if callable(keep):
            return cast(set[str], await called_back(_chosen, keep, [*snapshot.entries.shown()]))
        found = [name for name in keep if snapshot.entries.find(name) is not None]
        others = [name for name in keep if name not in found]
        found += [await self._commits.resolve(tract_id, name) or name for name in others]
        return found

    async def _request(
        self, branch: BranchName, snapshot: Snapshot, covered: Sequence[Entry], room: int | None
    ) -> CompactionRequest:
        named = {each.commit_hash for each in covered}
        part = await self._threads.run(self._compiler.gathered, snapshot, named)
        part = replace(part, has_attachments=snapshot.has_attachments)
        former = [each.message.content for each in covered if each.is_summary]
        pinned = (each for each in snapshot.entries.shown() if each.priority is Priority.PINNED)
        return CompactionRequest(
            context=await self._contexts.show(branch.tract_id, Found(part, None), ViewOptions()),
            previous_summary=former[-1] if former else None,
            pinned=tuple(message for entry in pinned for message in entry.messages),
            target_tokens=room,
        )


def _chosen(keep: Callable[[Message], bool], entries: Iterable[Entry]) -> set[str]:
    return {each.commit_hash for each in entries if any(map(keep, each.messages))}


def _listed(strategy: Strategy, groups: Sequence[MessageGroup]) -> list[MessageGroup]:
    returned = strategy(groups)
    if not isinstance(returned, Iterable):
        raise ValueError(
            f"a strategy returns groups that it was given, not {shown(returned)}"
        )  # as for wrong ones
    return [*returned]


def _says_something(message: Message) -> bool:
    """Return True if a message has more than blanks and thinking, which leads to nothing here."""
    return any(
        part.text.strip() if isinstance(part, TextPart) else not isinstance(part, ThinkingPart)
        for part in message.parts
    )


def _covered(entries: Entries, hides: Sequence[str]) -> list[Entry] | None:
    """Return the entries to hide; None if one is not shown any more, or has to stay by now."""
    wanted = {*hides}
    found = [entry for entry in entries.shown() if entry.commit_hash in wanted]
    return found if len(found) == len(wanted) and leaves_whole(entries, wanted) else None


def _given(returned: object) -> Given:
    """Return what a summariser returned, as the input of a commit."""
    summary = returned if isinstance(returned, Summary) else Summary(returned)  # type: ignore[arg-type]  # checked by the draft
    content = summary.content
    if isinstance(content, str):
        if not content.strip():
            raise CompactionError("the summariser returned nothing.")
        content = DialogueContent(role="user", text=content)
    return Given(content, metadata=summary.metadata, generation_config=summary.generation_config)


def _check_in_force(entries: Entries, compaction: str) -> None:
    position = entries.find(compaction)
    entry = None if position is None else entries[position]
    if entry is None or not entry.is_summary:
        raise EditTargetError(
            compaction,
            "is not a compaction in this branch's history; `compactions()` lists them.",
        )
    if entry.undone:
        raise EditTargetError(compaction, "is a compaction that was undone already.")


def _infos(snapshot: Snapshot, stored: Sequence[StoredContent]) -> list[CompactionInfo]:
    entries = [*snapshot.entries]
    by_hash = {each.commit_hash: each for each in entries if each.is_summary}
    made = sorted(stored, key=lambda each: each.created_at)
    return [_info(entries, by_hash[each.commit_hash], each) for each in made]


def _info(entries: Sequence[Entry], summary: Entry, stored: StoredContent) -> CompactionInfo:
    fields = stored_json(stored.data or b"", "a compaction")
    fields = fields.get("compaction", fields)
    hides = {*fields["hides"]}
    return CompactionInfo(
        commit_hash=stored.commit_hash,
        created_at=moment(stored.created_at),
        hidden=tuple(fields["hides"]),
        cleared=tuple(fields["clears"]),
        tokens_hidden=sum(each.message_tokens for each in entries if each.commit_hash in hides),
        summary_tokens=summary.message_tokens if fields.get("summary") is not None else 0,
        reason=fields.get("reason"),
        undone=summary.undone,
    )
