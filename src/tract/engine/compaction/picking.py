"""Picking compactions: a COMPACT of one branch, made again where it means the same."""

from __future__ import annotations

from typing import NamedTuple

from tract.engine.commit.drafts import DraftMaker, Given
from tract.engine.commit.engine import Staged
from tract.engine.commit.infos import parsed
from tract.engine.compaction.bases import Checked, Look, checked, entry_state
from tract.engine.compaction.planning import leaves_whole
from tract.engine.compile.entries import Entries
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.hiding import Hides, hides_of
from tract.engine.compile.reading import ContextReader
from tract.engine.contents.registry import ContentLoader
from tract.engine.threads import Threads
from tract.exceptions import EditTargetError
from tract.history.canonical import canonical_bytes, stored_json
from tract.models.compaction import CompactionContent
from tract.storage.repositories import BranchName, CommitRow, Origin, Position

__all__ = ["CompactionPicker", "Picked"]


class Picked(NamedTuple):
    """A compaction to be committed, and what must hold when it is written."""

    staged: Staged
    checked: Checked


class CompactionPicker:
    """Makes compactions of other branches again."""

    def __init__(
        self,
        contexts: ContextReader,
        drafts: DraftMaker,
        contents: ContentLoader,
        threads: Threads,
    ) -> None:
        self._contexts = contexts
        self._drafts = drafts
        self._contents = contents
        self._threads = threads

    async def pick(self, branch: BranchName, record: CommitRow, data: bytes) -> Picked:
        """Return a compaction, ready for another branch.

        Raises:
            EditTargetError: an entry that it hides or clears is not shown there as it was here.
        """
        assert record.parent_hash is not None  # it hides what came before
        source = await self._contexts.snapshot(branch, Position(record.parent_hash))
        target = await self._contexts.snapshot(branch)
        before, now = source.snapshot, target.snapshot
        fields = stored_json(data, "a compaction")
        found = None
        if isinstance(before, Snapshot) and isinstance(now, Snapshot):
            look = Look(now, target.erasures)
            found = await self._threads.run(_checked, before.entries, look, hides_of(fields))
        if found is None:
            raise EditTargetError(
                record.commit_hash,
                "is a COMPACT, and this branch does not show what it hides as its own did. Merge "
                "that branch, or call compact() here.",
            )
        what = CompactionContent(**{**fields, "summary": None})
        summary = await self._summary(branch, record, fields["summary"])
        draft = await self._threads.run(self._drafts.compaction, what, summary)
        origin = Origin("cherry-pick", record.commit_hash)
        draft = draft._replace(message=record.message, origins=(origin,))
        return Picked(Staged(lambda: draft, is_quick=True), found)

    async def _summary(
        self, branch: BranchName, record: CommitRow, fields: dict[str, object] | None
    ) -> Given | None:
        if fields is None:
            return None
        stored = canonical_bytes(fields, surrogates=True)
        return Given(
            await self._contents.load(branch.tract_id, str(fields["content_type"]), stored),
            metadata=parsed(record.metadata_json),
            generation_config=parsed(record.generation_config_json),
            redact=False,  # the source was redacted when it was stored
        )


def _checked(source: Entries, look: Look, what: Hides) -> Checked | None:
    """Return on what a compaction may be made again; None if it would mean something else."""
    target, named = look.snapshot.entries, what.hides | what.clears
    if not _means_the_same(source, target, what):
        return None
    covered = [entry for entry in target.shown() if entry.commit_hash in named]
    return checked(look, covered, hides=bool(what.hides))


def _means_the_same(source: Entries, target: Entries, what: Hides) -> bool:
    """Return True if what a compaction hid or cleared is shown elsewhere as it was, and whole."""
    named = what.hides | what.clears
    before = {each.commit_hash: each for each in source.shown() if each.commit_hash in named}
    now = {each.commit_hash: each for each in target.shown() if each.commit_hash in named}
    return (
        before.keys() == now.keys()
        and bool(now)
        and all(
            each is now[name] or entry_state(each) == entry_state(now[name])
            for name, each in before.items()
        )
        and leaves_whole(target, what.hides)
    )
