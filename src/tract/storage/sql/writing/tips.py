"""Where branches point within a transaction, and how they are moved.

A branch is read once, and again after another process has written. One that only gets commits is
written once, at the end of the transaction. Anything else that moves a branch ends its run and
begins another with a new segment. So an earlier commit of a segment is always an ancestor of a
later one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tract.exceptions import BranchExistsError, StoreCorruptError
from tract.models.refs import check_ref_name
from tract.storage.repositories import BranchName, RefRecord
from tract.storage.sql.ancestry.walk import lost
from tract.storage.sql.naming import missing_branch, no_branch, ref_name
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import check_types, head_of, is_in_place, key_or_none, sound
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import refs
from tract.storage.sql.writing.tract_rows import last_change

__all__ = ["Tip", "Tips"]

_MOST = 4_096
"""Branches that are remembered from one transaction to the next."""


class _Run(NamedTuple):
    """What the row of a branch says of its run, and when the branch was created."""

    start_hash: bytes | None
    started_at: int
    action: str
    note: str | None
    created_at: int


@dataclass(slots=True)
class Tip:
    """A branch as this transaction sees it, its own writes included.

    An empty branch `exists` without a head. `born` is the time of the first commit of a branch
    whose row is yet to be written.
    """

    name: str
    """The whole name of its ref."""
    head: str | None
    segment: int
    exists: bool = True
    moved: bool = False
    updated_at: int = 0
    born: int = 0
    run: _Run | None = None
    """None until the branch's row is written."""


class Tips:
    """The branches that a transaction has looked up."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._tips: dict[str, dict[str, Tip]] = {}
        self._known = 0
        self._looked_at: dict[BranchName, Tip] = {}
        self._segments: dict[str, int] = {}  # the last of each known tract, but for those of tips
        self.last_times: dict[str, int] = {}
        """The newest time of each known tract."""
        self.row_times: dict[str, int | None] = {}
        """The times that rows of tracts have, 0 if nothing was done there; None without a row."""
        self.changed: dict[BranchName, str | None] = {}
        """Branches that were written, with their new commit; None if there is no new one."""
        self.erasures: dict[str, int] = {}
        """When contents of each known tract were last erased; 0 for those that are not listed."""

    def renew(self) -> bool:
        """Prepare for another transaction; only valid if no other process writes before it.

        Call this once the current one is committed. Returns False if too much is remembered to
        go on.
        """
        self.changed = {}
        for (tract_id, branch), tip in self._looked_at.items():
            if not tip.exists:  # its segment must be the highest when it is born
                self._drop(tract_id, branch)
        self._looked_at.clear()
        return max(self._known, len(self.last_times), len(self.row_times)) <= _MOST

    def of(self, branch: BranchName) -> Tip:
        """Return where a branch points.

        Raises:
                BranchNotFoundError: it must exist and does not.
        """
        tip = self._looked_at.get(branch)
        if tip is None:
            known = self._tips.get(branch.tract_id)
            tip = known.get(branch.branch) if known else None
            if tip is None:
                tip = self._put(branch, self._read(branch))
            else:
                self._looked_at[branch] = tip
        if not tip.exists:
            missing_branch(self.connection, branch)
        return tip

    def advance(self, tip: Tip, commit_hash: str, created_at: int) -> None:
        """Move a branch to a new commit on its head."""
        if not tip.exists:
            tip.born = created_at
        tip.exists = True
        tip.head = commit_hash
        tip.updated_at = created_at
        tip.moved = True

    def start(
        self, branch: BranchName, at: str | None, *, action: str, note: str | None, now: int
    ) -> None:
        """Make a branch that points to a commit, or an empty one.

        Raises:
            BranchExistsError: a branch of that name exists.
        """
        check_ref_name(branch.branch)
        unborn = self.of(_plain(branch))
        if unborn.exists:
            raise BranchExistsError(branch.branch)
        segment = self._next_segment(branch.tract_id)  # others may have begun one meanwhile
        self._add_row(branch, at, segment, action=action, note=note, now=now)
        self.changed[_plain(branch)] = None
        run = _Run(key_or_none(at), now, action, note, now)
        self._put(branch, Tip(ref_name(branch.branch), at, segment, run=run))

    def move(
        self, branch: BranchName, to: str | None, *, action: str, note: str | None, now: int
    ) -> RefRecord:
        """Point a branch elsewhere: its run ends and is stored, and another begins."""
        self._settle(branch)
        self.changed[_plain(branch)] = None
        segment = self._next_segment(branch.tract_id)
        created_at = self._end_run(branch, action, now)
        run = _Run(key_or_none(to), now, action, note, created_at)
        moved = {
            "commit_hash": key_or_none(to),
            "segment": segment,
            "updated_at": now,
            "started_at": now,
            "start_hash": key_or_none(to),
            "action": action,
            "note": note,
        }
        self.connection.run(
            refs.MOVE_REF,
            of_tract=branch.tract_id,
            of_name=ref_name(branch.branch),
            **{f"new_{column}": value for column, value in moved.items()},
        )
        self._put(branch, Tip(ref_name(branch.branch), to, segment, run=run))
        return RefRecord(branch.branch, to, created_at, now)

    def delete(self, branch: BranchName, *, now: int) -> None:
        """Delete a branch; its commits stay."""
        self._settle(branch)
        self.changed[_plain(branch)] = None
        self._end_run(branch, "delete", now)
        name = ref_name(branch.branch)
        self.connection.run(refs.DELETE_REF, tract_id=branch.tract_id, name=name)
        segments = self._segments
        if branch.tract_id in segments:
            segments[branch.tract_id] = max(segments[branch.tract_id], self.of(branch).segment)
        del self._looked_at[branch]
        self._drop(branch.tract_id, branch.branch)

    def forget(self, tract_id: str, moved: Iterable[str] = ()) -> None:
        """Forget a tract whose rows were written by others than this, and note branches as moved."""
        self._known -= len(self._tips.pop(tract_id, {}))
        self.last_times.pop(tract_id, None)
        self.erasures.pop(tract_id, None)
        self.row_times.pop(tract_id, None)
        self._segments.pop(tract_id, None)
        for branch in [each for each in self._looked_at if each[0] == tract_id]:
            del self._looked_at[branch]
        self.changed.update({BranchName(tract_id, branch): None for branch in moved})

    def note_time(self, tract_id: str, found: int) -> int:
        """Note a time that a tract is known to have reached, and return its newest."""
        last = self.last_times.get(tract_id)
        if last is None:
            last = last_change(self.connection, self.row_times, tract_id) or 0
        last = self.last_times[tract_id] = max(last, found)
        return last

    def finish(self) -> None:
        """Write the branches that got commits; called before COMMIT."""
        for branch, tip in self._looked_at.items():
            if tip.moved:
                self._write(branch, tip)

    def _put(self, branch: BranchName, tip: Tip) -> Tip:
        of_tract = self._tips.setdefault(branch.tract_id, {})
        self._known += branch.branch not in of_tract
        of_tract[branch.branch] = self._looked_at[branch] = tip
        return tip

    def _drop(self, tract_id: str, branch: str) -> None:
        of_tract = self._tips[tract_id]
        del of_tract[branch]
        self._known -= 1
        if not of_tract:
            del self._tips[tract_id]

    def _settle(self, branch: BranchName) -> None:
        """Write what the transaction knows into a branch's row."""
        tip = self.of(branch)
        if not tip.exists:
            no_branch(self.connection, branch)
        self._write(branch, tip)

    def _write(self, branch: BranchName, tip: Tip) -> None:
        if not tip.moved or tip.head is None:
            return
        tip.moved = False
        self.changed[_plain(branch)] = tip.head
        if not tip.born:
            self.connection.run(
                sql.ADVANCE_BRANCH,
                of_tract=branch.tract_id,
                of_name=tip.name,
                to=bytes.fromhex(tip.head),
                now=tip.updated_at,
            )
            return
        self.connection.run(
            sql.SET_BRANCH,
            tract_id=branch.tract_id,
            name=tip.name,
            commit_hash=bytes.fromhex(tip.head),
            segment=tip.segment,
            created_at=tip.born,
            updated_at=tip.updated_at,
            started_at=tip.born,
            start_hash=None,
            action="create",
            note=None,
        )
        tip.run = _Run(None, tip.born, "create", None, tip.born)
        tip.born = 0

    def _add_row(
        self,
        branch: BranchName,
        at: str | None,
        segment: int,
        *,
        action: str,
        note: str | None,
        now: int,
    ) -> None:
        self.connection.run(
            refs.ADD_REF,
            tract_id=branch.tract_id,
            name=ref_name(branch.branch),
            commit_hash=key_or_none(at),
            segment=segment,
            created_at=now,
            updated_at=now,
            started_at=now,
            start_hash=key_or_none(at),
            action=action,
            note=note,
        )

    def _end_run(self, branch: BranchName, by: str, now: int) -> int:
        """Store the branch's run as ended, and return when the branch was created."""
        tip = self.of(branch)
        run = tip.run
        assert run is not None
        self.connection.run(
            refs.ADD_RUN,
            tract_id=branch.tract_id,
            segment=tip.segment,
            name=tip.name,
            start_hash=run.start_hash,
            started_at=run.started_at,
            action=run.action,
            note=run.note,
            end_hash=key_or_none(tip.head),
            ended_at=now,
            ended_by=by,
        )
        return run.created_at

    def _read(self, branch: BranchName) -> Tip:
        name = ref_name(branch.branch)
        row = self.connection.one(sql.TIP, tract_id=branch.tract_id, name=name)
        if row is None:
            return Tip(name, None, self._next_segment(branch.tract_id), exists=False)
        head, segment, last_time, head_time, updated_at, of_head, erasures = row[:7]
        run = _Run(*row[7:])
        self._note_erasures(branch.tract_id, erasures)
        if head is None:
            list(sound([(segment, updated_at)], int, int))
        elif head_time is None:
            raise lost(head)
        else:
            check_types(head, (segment, last_time, updated_at, of_head), int, int, int, int)
        if not is_in_place(segment, of_head, head, run.start_hash):
            raise StoreCorruptError(
                f"the row of the branch {branch.branch!r} does not fit its head: the store was "
                "damaged. Run `verify()` to list all damage, and restore the file from a backup."
            )
        # moving a branch is not a commit, but it takes a time too
        self.note_time(branch.tract_id, max(last_time or 0, updated_at))
        return Tip(name, head_of(head), segment, run=run)

    def _next_segment(self, tract_id: str) -> int:
        last = self._segments.get(tract_id)
        if last is None:
            [row] = self.connection.all(refs.LAST_SEGMENTS, tract_id=tract_id)
            of_refs, of_runs, last_time, erasures = row
            last = max(-1 if segment is None else segment for segment in (of_refs, of_runs))
            self._segments[tract_id] = last
            self._note_erasures(tract_id, erasures)
            self.note_time(tract_id, last_time or 0)
        taken = [tip.segment for tip in self._tips.get(tract_id, {}).values()]
        return 1 + max(last, *taken, -1)

    def _note_erasures(self, tract_id: str, erasures: int | None) -> None:
        if erasures:
            self.erasures[tract_id] = erasures


def _plain(branch: BranchName) -> BranchName:
    """Return a branch as a plain `BranchName`, as watchers name it."""
    return branch if type(branch) is BranchName else BranchName(*branch)
