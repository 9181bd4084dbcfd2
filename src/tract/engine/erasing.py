"""`Eraser`: what it takes to make contents unreadable for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.contents.registry import PRIORITY
from tract.engine.threads import HEAVY, Breath, Threads
from tract.exceptions import BlobNotFoundError, TractError
from tract.history.canonical import canonical_bytes, stored_json
from tract.history.hashing import content_hash
from tract.models.commit import moment
from tract.models.compaction import COMPACTION
from tract.models.erasure import ERASED, CollectReport, ErasureReceipt, TractErasureReceipt
from tract.running.crossing import called_back
from tract.storage.repositories import (
    BlobRepository,
    Erased,
    ErasureRepository,
    Marker,
    Residue,
    StoredContent,
)

__all__ = ["Eraser", "PlannedErasure"]

_ANNOTATION = "annotation"
_LEAST = 1_000
"""What a content costs, in characters of work, however short it is."""


class PlannedErasure(NamedTuple):
    """Commits to erase, by their hashes, and what will stand in the place of their contents."""

    tract_id: str
    commits: Sequence[str]
    markers: Mapping[str, Marker]
    reason: str
    erased_at: int


class Eraser:
    """Erases contents of one store; *forget* drops what the store remembers of a tract."""

    def __init__(
        self,
        erasures: ErasureRepository,
        blobs: BlobRepository,
        compiler: DefaultContextCompiler,
        threads: Threads,
        clock: Callable[[], int],
        forget: Callable[[str, int], None],
    ) -> None:
        self._erasures = erasures
        self._blobs = blobs
        self._compiler = compiler
        self._threads = threads
        self._clock = clock
        self._forget = forget

    async def erase(
        self, tract_id: str, named: Sequence[str], reason: str, *, vacuum: bool
    ) -> ErasureReceipt:
        """Erase commits; see `AsyncTract.erase`."""
        plan = await self.plan(tract_id, named, reason)
        erased = await self._erasures.erase(tract_id, plan.commits, plan.markers)
        return await self.finish(plan, erased, vacuum=vacuum)

    async def plan(self, tract_id: str, named: Sequence[str], reason: str) -> PlannedErasure:
        """Return what the transaction of an erasure needs to know.

        Raises:
            CommitNotFoundError: the tract does not have one of the commits.
        """
        stored = await self._blobs.get_many(tract_id, named)
        now = self._clock()
        stored = await self._blobs.get_many(tract_id, named)
        made = await self._markers(stored, reason, now)
        hashes = [*dict.fromkeys(each.commit_hash for each in stored)]
        return PlannedErasure(tract_id, hashes, made, reason, now)

    async def finish(
        self, plan: PlannedErasure, erased: Erased, *, vacuum: bool = False
    ) -> ErasureReceipt:
        """Forget what was erased, here and in the write-ahead log; return a receipt."""
        self._forget(plan.tract_id, erased.erasures)
        return ErasureReceipt(
            tract_id=plan.tract_id,
            erased_at=moment(plan.erased_at),
            reason=plan.reason,
            commits=tuple(erased.commits),
            along=tuple(erased.along),
            contents=erased.contents,
            kept=erased.kept,
            attachments=erased.attachments,
            pending=await self.scrub(vacuum=vacuum),
        )

    async def scrub(self, *, vacuum: bool = False) -> Residue | None:
        """Take what was erased out of the log; return where it may still be."""
        return await (self._erasures.vacuum() if vacuum else self._erasures.scrub())

    def now(self) -> int:
        """Return the time that markers get."""
        return self._clock()

    async def markers(
        self, tract_id: str, commits: Sequence[str], reason: str, now: int
    ) -> Mapping[str, Marker]:
        """Return what will stand for the contents of commits, by the hashes of these."""
        return await self._markers(await self._blobs.get_many(tract_id, commits), reason, now)

    async def erase_tract(self, tract_id: str, reason: str, *, vacuum: bool) -> TractErasureReceipt:
        """Erase a tract in portions; see `TractStore.erase_tract`."""
        now = self._clock()
        through = await self._erasures.drop_names(tract_id)
        commits = contents = 0
        more = True
        while more:
            freed = await self._erasures.drop_commits(tract_id, through)
            commits, contents, more = commits + freed.commits, contents + freed.blobs, freed.more
        self._forget(tract_id, 0)
        return TractErasureReceipt(
            tract_id=tract_id,
            erased_at=moment(now),
            reason=reason,
            commits=commits,
            contents=contents,
            pending=await self.scrub(vacuum=vacuum),
        )

    async def collect(self, progress: Callable[[int], object] | None) -> CollectReport:
        """Free what nothing refers to, in portions; see `TractStore.collect`."""
        contents = nbytes = tracts = 0
        after, more = b"", True
        while more:
            freed = await self._erasures.collect(after)
            contents, nbytes = contents + freed.blobs, nbytes + freed.nbytes
            after, more, tracts = freed.after, freed.more, tracts + freed.tracts
            if progress is not None:
                await called_back(progress, contents)
        pending = await self.scrub() if contents or tracts else None
        return CollectReport(contents=contents, nbytes=nbytes, pending=pending)

    async def _markers(
        self, stored: Sequence[StoredContent], reason: str, now: int
    ) -> Mapping[str, Marker]:
        size = sum(_LEAST + len(each.data or b"") for each in stored)
        made = self._made(stored, reason, now)
        return await self._threads.run(_at_leisure, made) if size > HEAVY else dict(made)

    def _made(
        self, stored: Iterable[StoredContent], reason: str, now: int
    ) -> Iterator[tuple[str, Marker]]:
        """Yield what stands for each content from now on."""
        for item in stored:
            if item.content_type == ERASED:
                continue
            fields = self._fields(item)
            is_annotation = item.content_type == _ANNOTATION
            says = not is_annotation or fields.get("reason") is not None
            data = canonical_bytes(
                {
                    "content_type": ERASED,
                    "of_type": item.content_type,
                    "role": self._role(item.content_type, fields),
                    "priority": fields.get("priority" if is_annotation else PRIORITY),
                    "reason": reason,
                    "erased_at": moment(now).isoformat(),
                    **_still_hides(item.content_type, fields),
                }
            )
            yield item.content_hash, Marker(content_hash(data), data, along=says)

    def _fields(self, item: StoredContent) -> dict[str, object]:
        """Return the fields of a content; a damaged one can be erased, too."""
        if item.data is None:
            raise BlobNotFoundError(item.content_hash)
        try:
            fields = stored_json(item.data, "")
        except TractError:
            return {}
        return fields if isinstance(fields, dict) else {}

    def _role(self, content_type: str, fields: dict[str, object]) -> str:
        try:
            return self._compiler.messages(content_type, fields)[0].role
        except Exception:  # of a type that is not registered, or of an earlier form
            return "assistant"


def _at_leisure(made: Iterator[tuple[str, Marker]]) -> Mapping[str, Marker]:
    """Return what is made, on a thread that lets others run in between."""
    breath, markers = Breath(), dict[str, Marker]()
    for content, marker in made:
        markers[content] = marker
        breath.take()
    return markers


def _still_hides(content_type: str, fields: Mapping[str, object]) -> dict[str, object]:
    """Return what a marker keeps of a compaction, so that the context goes on hiding the same."""
    if content_type != COMPACTION:
        return {}
    kept = {name: fields[name] for name in ("hides", "clears", "placeholder") if name in fields}
    return {"compaction": kept if fields.get("summary") is None else {**kept, "summary": ""}}
