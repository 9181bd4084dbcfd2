"""Copying the tracts of one store into another, with every hash computed again."""

from __future__ import annotations

import hashlib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any

from tract.engine.flaws import flaw_of
from tract.engine.threads import Threads
from tract.engine.verifying import own_faults
from tract.exceptions import StoreCopyError, StoreCorruptError, shown
from tract.models.commit import CopyFault, CopyProgress, CopyReport
from tract.storage.repositories import (
    CopyOvertakenError,
    CopyRepository,
    Outline,
    Repositories,
    Rows,
    StoredCommit,
)

__all__ = ["Anew", "Copier"]

Anew = Callable[[Sequence[str]], Awaitable[Mapping[str, CopyRepository]]]
"""Takes tracts out of a target of one's own; returns those that are still there, to copy again."""
_ATTEMPTS = 8
_NBYTES = 4_000_000  # of attachments that are written at once, unless a single one is larger


class Copier:
    """One copy of a store: tract by tract, in portions that are one transaction each."""

    def __init__(
        self,
        source: Repositories,
        target: Repositories,
        threads: Threads,
        path: str,
        progress: Callable[[CopyProgress], object] | None,
        chosen: Mapping[str, CopyRepository] | None = None,
        anew: Anew | None = None,
    ) -> None:
        self._source = source
        self._chosen = chosen
        self._anew = anew
        self._target = target
        self._threads = threads
        self._path = path
        self._progress = progress
        self._numbers: dict[str, int] = {}
        self._done: dict[str, _Tract] = {}
        self._left_out: list[str] = []

    async def copy(self) -> CopyReport:
        """Copy every tract, or those chosen; see `copy_store`."""
        found = self._chosen
        if found is None:
            found = dict.fromkeys(await self._source.copies.tract_ids(), self._source.copies)
        self._numbers = {tract_id: number for number, tract_id in enumerate(found, 1)}
        await self._copy_all(found)
        for _ in range(_ATTEMPTS):
            overtaken = await self._overtaken()
            if self._anew is None or not (again := {*overtaken, *self._empty()}):
                break
            there = await self._anew([*again])
            self._left_out += again - there.keys()
            for each in again:
                del self._done[each]
            await self._copy_all(there)
        return self._report(await self._overtaken())

    def _empty(self) -> list[str]:
        """Return the tracts of which nothing was left when they were looked at."""
        return [each for each, tract in self._done.items() if tract.is_empty]

    async def _copy_all(self, found: Mapping[str, CopyRepository]) -> None:
        for tract_id, copies in found.items():
            source = self._source._replace(copies=copies)
            tract = _Tract(tract_id, source, self._target, self._threads)
            try:
                async for done, of in tract.copy():
                    self._tell(tract_id, done, of)
            except StoreCorruptError as error:
                tract.fault(None, error.problem)
            except CopyOvertakenError:
                tract.fault(None, f"others wrote to it in the target meanwhile. {_REMEDY}")
            self._done[tract_id] = tract

    async def _overtaken(self) -> list[str]:
        """Return the tracts of which contents were erased meanwhile, which can look like damage."""
        begun = {each: tract.begun for each, tract in self._done.items()}
        now = await self._source.erasures.times([*begun])
        return [each for each, at in begun.items() if _is_overtaken(at, now.get(each, _NEVER))]

    def _report(self, overtaken: Sequence[str]) -> CopyReport:
        faults = [
            fault
            for tract_id, tract in self._done.items()
            if tract_id not in overtaken
            for fault in tract.faults
        ]
        faults += [
            CopyFault(tract_id=each, commit_hash=None, problem=_OVERTAKEN) for each in overtaken
        ]
        if faults:
            raise StoreCopyError(faults, self._path)
        return CopyReport(
            tracts=len(self._done),
            commits=sum(tract.commits for tract in self._done.values()),
            attachments=sum(tract.attachments for tract in self._done.values()),
            left_out=tuple(sorted(self._left_out)),
        )

    def _tell(self, tract_id: str, done: int, of: int) -> None:
        if self._progress is not None:
            self._progress(
                CopyProgress(
                    tract_id=tract_id,
                    tract=self._numbers[tract_id],
                    tracts=len(self._numbers),
                    commits=done,
                    of_commits=of,
                )
            )


class _Tract:
    """One tract, and what was found wrong with it.

    After a fault nothing more is written, but everything is still checked.
    """

    def __init__(
        self, tract_id: str, source: Repositories, target: Repositories, threads: Threads
    ) -> None:
        self._tract_id = tract_id
        self._source = source
        self._target = target
        self._threads = threads
        self.commits: int = 0
        self.attachments: int = 0
        self.begun: tuple[int, int] = _NEVER
        self.is_empty: bool = False
        self.faults: list[CopyFault] = []

    def fault(self, commit_hash: str | None, problem: str) -> None:
        """Note what is wrong."""
        self.faults.append(
            CopyFault(tract_id=self._tract_id, commit_hash=commit_hash, problem=problem)
        )

    async def copy(self) -> AsyncIterator[tuple[int, int]]:
        """Copy the tract as it is now; yield the commits that are there so far, and their number."""
        tract_id = self._tract_id
        if self._is_flawed(None, {"tract_id": tract_id}):
            return
        theirs = await self._source.copies.outline(tract_id)
        self.begun = theirs.facts["created_at"], theirs.facts["erasures"]
        self._check_outline(theirs)
        if not self.faults and theirs.facts["erasures"] % 2 == 1:
            self.fault(None, _PRUNED)
        if self.faults:
            return
        ours = await self._target.copies.outline(tract_id)
        if not await self._goes_on(theirs, ours):
            return
        ours = await self._with_erasures(theirs, ours)
        yield ours.commits, theirs.commits
        await self._copy_attachments(ours.last_time)
        self.is_empty = theirs.is_empty and not self.attachments
        async for count in self._copy_commits(ours.last_time, theirs.last_time):
            yield ours.commits + count, theirs.commits
        await self._copy_usage(theirs.last_time)
        await self._copy_streams(theirs)
        if not self.faults and ours.commits + self.commits != theirs.commits:
            self.fault(None, _OVERTAKEN)
        if not self.faults and _settled(theirs) != _settled(ours):
            await self._target.copy_targets.settle(tract_id, theirs)

    async def _goes_on(self, theirs: Outline, ours: Outline) -> bool:
        """Return True if the target has the beginning of the tract, and nothing else."""
        after = -1
        while True:
            here = await self._target.copies.line(self._tract_id, after, ours.last_time)
            there = await self._source.copies.line(self._tract_id, after, ours.last_time)
            if here != there:
                self._fault_of_other(here, there)
                return False
            if not here:
                break
            after = here[-1][0]
        if ours.commits and theirs.facts["erasures"] != ours.facts["erasures"]:
            self.fault(None, f"contents were erased in it since it was copied first. {_REMEDY}")
        for name in _moved(theirs, ours):
            self.fault(None, f"the branch {shown(name)} was moved in the target. {_REMEDY}")
        return not self.faults

    async def _with_erasures(self, theirs: Outline, ours: Outline) -> Outline:
        """Let the target know of erasures before it has commits, so that a copy can go on."""
        number = theirs.facts["erasures"]
        if ours.facts["erasures"] != number:
            ours = ours._replace(facts={**ours.facts, "erasures": number})
            await self._target.copy_targets.settle(self._tract_id, ours)
        return ours

    def _fault_of_other(
        self, here: Sequence[tuple[int, str]], there: Sequence[tuple[int, str]]
    ) -> None:
        """Name the first commit that only one of the stores has."""
        common = next(
            (at for at, (a, b) in enumerate(zip(here, there, strict=False)) if a != b),
            min(len(here), len(there)),
        )
        if common < len(here):
            problem = f"the target has this commit, and the source does not. {_REMEDY}"
            self.fault(here[common][1], problem)
        else:
            problem = f"the target has later commits, and does not have this one. {_REMEDY}"
            self.fault(there[common][1], problem)

    async def _copy_attachments(self, last_time: int) -> None:
        after = b""
        while rows := await self._source.copies.attachments(self._tract_id, after):
            after = rows[-1]["attachment_hash"]
            keys = [row["attachment_hash"] for row in rows]
            known = await self._target.copy_targets.attached(self._tract_id, keys)
            changed = [
                row
                for key, row in zip(keys, rows, strict=True)
                if known.get(key, _NEW) != row["media_type"]
                and not self._is_flawed(f"the attachment {shown(key)}", row)
            ]
            for some in _within(changed):
                await self._copy_bytes(some, known, last_time)

    async def _copy_bytes(
        self,
        rows: Sequence[Mapping[str, Any]],
        known: Mapping[bytes, str | None],
        last_time: int,
    ) -> None:
        sizes = {row["attachment_hash"]: row["size"] for row in rows}
        new = [key for key in sizes if key not in known]
        loaded = await self._source.attachments.load(self._tract_id, [key.hex() for key in new])
        wrong = await self._threads.run(_wrong, loaded)
        for key in new:
            if key.hex() not in loaded:
                self.fault(None, f"the attachment {key.hex()} is not in the store")
            elif key.hex() in wrong:
                self.fault(None, f"the attachment {key.hex()} does not have that hash")
            elif len(loaded[key.hex()]) != sizes[key]:
                self.fault(None, f"the attachment {key.hex()} has another size than its row says")
        if self.faults:
            return
        blobs = [{"content_hash": key, "data": loaded[key.hex()]} for key in new]
        added = {"blobs": blobs, "attachments": rows}
        await self._target.copy_targets.add(self._tract_id, added, last_time)
        self.attachments += len(new)

    async def _copy_commits(self, after: int, through: int) -> AsyncIterator[int]:
        while (
            portion := await self._source.copies.commits(self._tract_id, after, through)
        ) is not None:
            found = await self._threads.run(_faults, portion.commits, self._tract_id)
            for name, problem in (*found, *portion.faults):
                self.fault(name, problem)
            if not found:
                self._check_rows(portion.rows)
            if not self.faults:
                await self._target.copy_targets.add(self._tract_id, portion.rows, after)
                self.commits += len(portion.commits)
                yield self.commits
            after = portion.through

    def _is_flawed(self, what: str | None, row: Mapping[str, Any], *, may_lack: str = "") -> bool:
        flaw = flaw_of(row, may_lack=may_lack)
        if flaw is not None:
            self.fault(None, flaw if what is None else f"{what}: {flaw}")
        return flaw is not None

    def _check_rows(self, rows: Rows) -> None:
        """Check what commits have that no hash covers."""
        flawed: dict[str, str] = {}
        for table in ("commits", "keys", "origins"):
            for row in rows[table]:
                flaw = flaw_of(row)
                if flaw is not None:
                    flawed.setdefault(row["commit_hash"].hex(), flaw)
        for name, flaw in flawed.items():
            self.fault(name, flaw)

    def _check_outline(self, theirs: Outline) -> None:
        for head in theirs.missing:
            self.fault(head, "a branch points to it, and it is not in the store")
        for row in (*theirs.refs.values(), *theirs.runs.values()):
            self._is_flawed(f"the branch or tag {shown(row['name'])}", row, may_lack="commit_hash")
        for stream_id in theirs.streams:
            self._is_flawed("a left stream", {"stream_id": stream_id})
        self._is_flawed(None, theirs.facts)

    async def _copy_usage(self, through: int) -> None:
        after = b""
        while rows := await self._source.copies.usages(self._tract_id, after, through):
            after = rows[-1]["commit_hash"]
            keys = [row["commit_hash"] for row in rows]
            known = await self._target.copy_targets.reported(self._tract_id, keys)
            new = [row for row in rows if known.get(row["commit_hash"]) != row["created_at"]]
            for row in new:
                flaw = flaw_of(row)
                if flaw is not None:
                    self.fault(row["commit_hash"].hex(), flaw)
            if new and not self.faults:
                await self._target.copy_targets.add(self._tract_id, {"usage": new}, through)

    async def _copy_streams(self, theirs: Outline) -> None:
        for stream_id in theirs.streams:
            rows = await self._source.copies.parts(self._tract_id, stream_id)
            for row in rows:
                self._is_flawed(f"a part of the stream {shown(stream_id)}", row)
            if rows and not self.faults:
                await self._target.copy_targets.add(
                    self._tract_id, {"spool": rows}, theirs.last_time
                )


_REMEDY = "Copy into an empty store, and write there only once the last copy is done."
_OVERTAKEN = (
    "contents of it were erased or pruned meanwhile, and the copy may still have them. Delete the "
    "copy, and copy or export again."
)
_PRUNED = (
    "a prune of it is under way, or was cut short. Copy or export again once it has ended; prune the "
    "tract again if it was cut short."
)
"""Its portions leave the number of erasures as it is, so nothing tells if one came meanwhile."""
_NEVER = (0, 0)
_NEW = object()


def _is_overtaken(then: tuple[int, int], now: tuple[int, int]) -> bool:
    """Return True if contents of a tract may have gone between two looks at its times.

    One that had no commits then may have been begun since.
    """
    (begun, erased), (begun_now, erased_now) = then, now
    return erased != erased_now or begun not in (0, begun_now)


def _settled(outline: Outline) -> tuple[object, ...]:
    return outline.refs, outline.runs, sorted(outline.streams), outline.facts


def _moved(theirs: Outline, ours: Outline) -> Iterator[str]:
    """Yield the branches that did in the target what they did not in the source."""
    for segment, row in ours.runs.items():
        if theirs.runs.get(segment) != row:
            yield row["name"]
    for name, row in ours.refs.items():
        segment = row["segment"]
        run = theirs.runs.get(segment) or theirs.refs.get(name)
        if segment >= 0 and (run is None or (run["name"], run["segment"]) != (name, segment)):
            yield name


def _within(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield attachments in groups that fit into memory."""
    group: list[Mapping[str, Any]] = []
    nbytes = 0
    for row in rows:
        nbytes += row["size"]
        if group and nbytes > _NBYTES:
            yield group
            group, nbytes = [], row["size"]
        group.append(row)
    if group:
        yield group


def _wrong(loaded: Mapping[str, bytes]) -> set[str]:
    return {name for name, data in loaded.items() if hashlib.sha256(data).hexdigest() != name}


def _faults(commits: Sequence[StoredCommit], tract_id: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for stored in commits:
        name = stored.record.commit_hash
        found += [(name, problem) for problem in own_faults(stored, tract_id)]
    return found
