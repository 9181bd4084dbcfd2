"""Resolving the conflicts of a merge: showing them, asking, and drafting the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from tract.engine.branches.conflicts import EntryConflict, Side, Verdict
from tract.engine.branches.turns import Turn
from tract.engine.commit.drafts import Given
from tract.engine.commit.engine import CommitEngine
from tract.engine.compile.entries import Entry
from tract.engine.contents.provided import shown_content
from tract.engine.contents.registry import ContentLoader
from tract.exceptions import ContentValidationError, shown
from tract.history.canonical import canonical_bytes, canonical_json, stored_json
from tract.history.hashing import content_hash
from tract.models.compaction import COMPACTION
from tract.models.merging import ConflictKind, MergeConflict, OnConflict, Resolution
from tract.models.operations import CommitOperation
from tract.running.crossing import called_back
from tract.storage.repositories import BlobRepository, BranchName, CommitDraft

__all__ = [
    "AskedTooOftenError",
    "Resolver",
    "Shown",
    "Sides",
    "checked_way",
    "given_by",
    "kept_config",
]

_SIDES: tuple[Side, ...] = ("ours", "theirs", "base")
_QUESTIONS = 10
"""How often the function is called about one entry that others keep changing."""


class AskedTooOftenError(Exception):
    """Others changed an entry after each answer about it. Callers never see this."""


class Shown(NamedTuple):
    """A conflict as callers see it, the entries it was found in, and its contents' hashes."""

    conflict: MergeConflict
    found: EntryConflict
    hashes: Mapping[Side, str]


class Sides:
    """Reads the contents that the sides of a merge have."""

    def __init__(self, blobs: BlobRepository, contents: ContentLoader) -> None:
        self._blobs = blobs
        self._contents = contents

    async def show(self, branch: BranchName, found: EntryConflict) -> Shown:
        """Return a conflict as callers see it."""
        told: dict[str, Any] = {}
        hashes: dict[Side, str] = {}
        for side in _SIDES:
            entry = found.entry(side)
            if entry is None:
                told[side] = told[f"{side}_config"] = None
            elif found.kind is ConflictKind.PRIORITY:
                told[side], told[f"{side}_config"] = entry.priority, {}
            else:
                told[side], hashes[side] = await self._stored(branch, entry)
                told[f"{side}_config"] = _config(entry)
        conflict = MergeConflict(target_hash=found.target_hash, kind=found.kind, **told)
        return Shown(conflict, found, hashes)

    async def content(self, branch: BranchName, entry: Entry) -> BaseModel:
        """Return the content that an entry shows."""
        content, _ = await self._stored(branch, entry)
        return content

    async def _stored(self, branch: BranchName, entry: Entry) -> tuple[BaseModel, str]:
        record, data = await self._blobs.get(branch.tract_id, entry.source_hash)
        content_type, hashed = record.content_type, record.content_hash
        if content_type == COMPACTION:
            content_type, fields = shown_content(content_type, stored_json(data, "a compaction"))
            data = canonical_bytes(fields, surrogates=True)
            hashed = content_hash(data)
        return await self._contents.load(branch.tract_id, content_type, data), hashed


class Resolver:
    """Resolves the conflicts of one merge, asking each question once.

    A question is identified by what it shows: target, contents, configs. If others change entries
    meanwhile, the function is called about those entries only.
    """

    def __init__(
        self, branch: BranchName, sides: Sides, engine: CommitEngine, way: OnConflict, turn: Turn
    ) -> None:
        self._branch = branch
        self._sides = sides
        self._engine = engine
        self._way = way
        self._turn = turn
        self._decided: dict[str, Verdict | CommitDraft] = {}
        self._asked: Counter[tuple[str, ConflictKind]] = Counter()

    @property
    def asked(self) -> set[str]:
        """The entries that the function was called about."""
        return {target for target, _ in self._asked}

    def knows(self, item: Shown) -> bool:
        """Return True if a conflict can be resolved without calling the function."""
        return isinstance(self._way, str) or _question(item) in self._decided

    async def may_ask(self) -> bool:
        """Wait for the turn to ask; return False if others had it and may have merged."""
        return not await self._turn.take()

    async def decide(self, item: Shown) -> Verdict | CommitDraft:
        """Return the resolution of a conflict: a verdict that one side has, or a draft.

        Raises:
            AskedTooOftenError: the function was called about the entry as often as allowed.
            ContentValidationError: what it returned cannot be stored.
        """
        if isinstance(self._way, str):
            return _taken(item.found, "ours" if self._way == "ours" else "theirs")
        question = _question(item)
        if question not in self._decided:
            about = item.found.target_hash, item.found.kind
            if self._asked[about] == _QUESTIONS:
                raise AskedTooOftenError
            self._asked[about] += 1
            answer = await called_back(self._way, item.conflict)
            self._decided[question] = await self._made(item, answer)
        return self._decided[question]

    async def _made(self, item: Shown, answer: Any) -> Verdict | CommitDraft:
        """Return the resolution for an answer, which is copied before anything is awaited."""
        if issubclass(type(answer), str) and str.__str__(answer) in _SIDES:
            return _taken(item.found, cast(Side, str.__str__(answer)))
        if item.found.kind is ConflictKind.HIDDEN:
            raise ContentValidationError(
                f"whether the entry {item.found.target_hash} stays hidden is decided by 'ours' or "
                "'theirs'",
                "on_conflict",
            )
        if item.found.kind is ConflictKind.PRIORITY:
            return await self._engine.annotation(item.found.target_hash, answer, "merge")
        target = item.found.target_hash
        _check_answer(target, answer)
        given = given_by(answer)._replace(
            operation=CommitOperation.EDIT, edit_target=target, message="merge"
        )
        draft = await self._engine.draft(given)
        if draft.generation_config_json is not None:
            return draft
        return draft._replace(generation_config_json=await self._config_of(item, draft))

    async def _config_of(self, item: Shown, draft: CommitDraft) -> str:
        """Return the config of the side that has the draft's content, or `{}`."""
        for side, stored in item.hashes.items():
            entry = item.found.entry(side)
            assert entry is not None
            if draft.content_hash == stored or draft.content_hash == await self._hash_now(entry):
                return kept_config(entry)
        return "{}"

    async def _hash_now(self, entry: Entry) -> str:
        """Return the hash of an entry's content as its model serialises it now.

        The model may have gained a field since the content was stored.
        """
        content = await self._sides.content(self._branch, entry)
        return (await self._engine.draft(Given(content))).content_hash


def given_by(answer: Any) -> Given:
    """Return a content or a `Resolution` as the input of a commit."""
    if not issubclass(type(answer), Resolution):
        return Given(answer)
    return Given(
        answer.content, metadata=answer.metadata, generation_config=answer.generation_config
    )


def kept_config(entry: Entry) -> str:
    """Return an entry's config for a commit that restates it: as stored, or `{}` for none."""
    return canonical_json(_config(entry))


def checked_way(on_conflict: object) -> OnConflict:
    """Return the checked `on_conflict` argument.

    Raises:
        ValueError: it is neither one of the words nor a function.
    """
    if issubclass(type(on_conflict), str):
        word = str.__str__(on_conflict)
        if word in ("raise", "ours", "theirs"):
            return cast(OnConflict, word)
    elif callable(on_conflict):
        return cast(OnConflict, on_conflict)
    raise ValueError(
        "on_conflict must be 'raise', 'ours', 'theirs' or a function that decides, "
        f"not {shown(on_conflict)}"
    )


def _taken(found: EntryConflict, side: Side) -> Verdict:
    entry = found.entry(side)
    if entry is None:
        raise ContentValidationError(
            "there is no single base where merges have crossed. Return another side, or what the "
            f"entry {found.target_hash} should have.",
            "on_conflict",
        )
    return Verdict(found.kind, entry)


def _check_answer(target: str, answer: object) -> None:
    """Raise unless *answer* is a content or a `Resolution`."""
    if not issubclass(type(answer), (BaseModel, Mapping, Resolution)):
        raise ContentValidationError(
            f"the function returned a {type(answer).__name__}, which does not resolve the content "
            f"of the entry {target}. Return 'ours', 'theirs' or 'base', a content, or a Resolution",
            "on_conflict",
        )


def _question(item: Shown) -> str:
    return item.conflict.model_dump_json()


def _config(entry: Entry) -> dict[str, Any]:
    config = stored_json(entry.config_json or "{}", "a generation config")
    return cast(dict[str, Any], config)
