"""Merging shared entries: what holds, what is a conflict, and what must be stated again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.counters import WordCounter
from support.graphs import newest_first
from support.steps import annotate, append, edit
from tract import CommitStep, ConflictKind, DefaultContextCompiler, Priority
from tract.engine.branches.conflicts import EntryConflict, SideChanges, Verdict, settle, unmet
from tract.engine.compile.fold import Snapshot
from tract.history.graph import line, merge_bases, parted_at

COMPILER = DefaultContextCompiler(WordCounter())
CONTENT, PRIORITY = ConflictKind.CONTENT, ConflictKind.PRIORITY
SHARED = [append(0, "zero"), append(1, "one")]


def changes(steps: Sequence[CommitStep]) -> SideChanges:
    targets = {"edit": set[str](), "annotate": set[str](), "append": set[str]()}
    for step in steps:
        targets[step.operation].add(step.edit_target or "")
    return SideChanges(targets["edit"], targets["annotate"])


def folded(*steps: CommitStep) -> Snapshot:
    return COMPILER.fold(COMPILER.empty(), steps)


class Fork:
    """Two sides that parted after `SHARED`, and what a merge of the second makes of them."""

    def __init__(self, ours: list[CommitStep], theirs: list[CommitStep]) -> None:
        base = folded(*SHARED)
        self.merged = folded(*SHARED, *ours, *theirs)
        self.settled = settle(
            [base],
            folded(*SHARED, *ours),
            folded(*SHARED, *theirs),
            changes(ours),
            changes(theirs),
        )

    @property
    def conflicts(self) -> list[tuple[str, str]]:
        return [(found.target_hash, found.kind) for found in self.settled.conflicts]

    @property
    def restated(self) -> list[tuple[str, str | None]]:
        return [told(verdict) for verdict in unmet(self.merged, self.settled.verdicts)]


def taken(found: EntryConflict, side: Literal["ours", "theirs"]) -> Verdict:
    entry = found.entry(side)
    assert entry is not None
    return Verdict(found.kind, entry)


def told(verdict: Verdict) -> tuple[str, str | None]:
    entry = verdict.entry
    shown = entry.message.content if verdict.kind is CONTENT else entry.priority.value
    return entry.commit_hash, shown


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([], []),
        ([edit(2, 0, "x")], []),
        ([], [edit(3, 0, "y")]),
        ([edit(2, 0, "x")], [edit(3, 1, "y")]),
        ([edit(2, 0, "x")], [edit(3, 0, "x")]),
        ([edit(2, 0, "w"), edit(4, 0, "x")], [edit(3, 0, "x")]),
        ([edit(2, 0, "x")], [annotate(3, 0, "skip")]),
        ([annotate(2, 0, "skip")], [annotate(3, 0, "skip")]),
        ([annotate(2, 0, "skip")], [annotate(3, 1, "pinned")]),
        ([append(2)], [append(3), edit(4, 3, "own"), annotate(5, 3, "pinned")]),
        ([append(2), edit(4, 2, "own")], [append(3)]),
    ],
)
def test_no_conflict_and_the_fold_shows_what_holds(
    ours: list[CommitStep], theirs: list[CommitStep]
) -> None:
    """One side alone changed an entry, or both alike, or each in another respect."""
    fork = Fork(ours, theirs)

    assert fork.conflicts == []
    assert fork.restated == []


def test_edits_to_different_contents_are_a_conflict_with_all_three() -> None:
    fork = Fork([edit(2, 1, "x")], [edit(3, 1, "v"), edit(4, 1, "y")])

    assert fork.conflicts == [("h1", CONTENT)]
    (found,) = fork.settled.conflicts
    assert found.base is not None
    assert [e.source_hash for e in (found.base, found.ours, found.theirs)] == ["h1", "h2", "h4"]


def test_different_priorities_are_a_conflict_with_all_three() -> None:
    fork = Fork([annotate(2, 0, "skip")], [annotate(3, 0, "pinned")])

    assert fork.conflicts == [("h0", PRIORITY)]
    (found,) = fork.settled.conflicts
    assert found.base is not None
    assert [e.priority for e in (found.base, found.ours, found.theirs)] == [
        Priority.NORMAL,
        Priority.SKIP,
        Priority.PINNED,
    ]


def test_all_conflicts_come_in_the_order_of_the_context() -> None:
    fork = Fork(
        [edit(2, 1, "x"), annotate(3, 1, "skip"), annotate(4, 0, "skip"), edit(5, 0, "x")],
        [annotate(6, 0, "pinned"), edit(7, 0, "y"), edit(8, 1, "y"), annotate(9, 1, "pinned")],
    )

    assert fork.conflicts == [
        ("h0", CONTENT),
        ("h0", PRIORITY),
        ("h1", CONTENT),
        ("h1", PRIORITY),
    ]


@pytest.mark.parametrize(("side", "restated"), [("ours", [("h0", "x")]), ("theirs", [])])
def test_taking_a_side_restates_only_what_the_fold_does_not_show(
    side: Literal["ours", "theirs"], restated: list[tuple[str, str]]
) -> None:
    fork = Fork([edit(2, 0, "x")], [edit(3, 0, "y")])
    (found,) = fork.settled.conflicts

    assert [told(verdict) for verdict in unmet(fork.merged, [taken(found, side)])] == restated


def test_who_went_back_to_the_base_has_changed_nothing() -> None:
    """The other side's edit holds, although theirs come last in the fold."""
    theirs_back = Fork([edit(2, 0, "x")], [edit(3, 0, "y"), edit(4, 0, "zero")])
    ours_back = Fork([edit(2, 0, "x"), edit(4, 0, "zero")], [edit(3, 0, "y")])

    assert (theirs_back.conflicts, theirs_back.restated) == ([], [("h0", "x")])
    assert (ours_back.conflicts, ours_back.restated) == ([], [])


def test_priorities_go_back_too() -> None:
    back = Fork([annotate(2, 0, "pinned")], [annotate(3, 0, "skip"), annotate(4, 0, "normal")])

    assert (back.conflicts, back.restated) == ([], [("h0", "pinned")])


@pytest.mark.parametrize(
    ("ours", "theirs", "holds"),
    [
        ('{"a":1}', None, '{"a":1}'),
        ('{"a":1}', "{}", '{"a":1}'),
        (None, '{"b":1}', '{"b":1}'),
        ('{"a":1}', '{"b":1}', '{"b":1}'),
    ],
)
def test_equal_contents_under_other_configs_are_no_conflict(
    ours: str | None, theirs: str | None, holds: str
) -> None:
    fork = Fork([edit(2, 0, "x", ours)], [edit(3, 0, "x", theirs)])
    (verdict,) = fork.settled.verdicts

    assert fork.conflicts == []
    assert verdict.entry.config_json == holds


def test_a_config_that_the_fold_does_not_show_is_stated_again() -> None:
    fork = Fork([edit(2, 0, "x", '{"a":1}')], [edit(3, 0, "x", "{}")])

    assert fork.restated == [("h0", "x")]


def test_histories_that_share_nothing_have_no_conflict() -> None:
    ours, theirs = [append(0), edit(1, 0, "x")], [append(2), edit(3, 2, "y")]

    settled = settle([], folded(*ours), folded(*theirs), changes(ours), changes(theirs))
    assert (settled.conflicts, settled.verdicts) == ((), ())


def test_nothing_to_meet_is_met() -> None:
    assert unmet(COMPILER.empty(), []) == []


@pytest.mark.parametrize("decided", [3, 70, 199])
@pytest.mark.parametrize("apart", [False, True])
def test_what_a_merge_decided_holds_wherever_the_entry_stands(decided: int, apart: bool) -> None:
    """A side may show something that none of its own commits did, in snapshots that share or not."""
    base = folded(*(append(number) for number in range(200)))
    by_merge = [edit(200, decided, "x"), annotate(201, decided, "skip")]
    ours = COMPILER.fold(base, by_merge)
    theirs = folded(*(append(number) for number in range(200))) if apart else base
    none = SideChanges(goes_on=False)

    settled = settle([base], ours, COMPILER.fold(theirs, [append(202)]), none, SideChanges())

    assert settled.conflicts == ()
    assert [told(verdict) for verdict in settled.verdicts] == [
        (f"h{decided}", "x"),
        (f"h{decided}", "skip"),
    ]


# Whole histories with merges --------------------------------------------------------------------


class Repository:
    """Branches over commits in memory, merged by the rules under test."""

    def __init__(self) -> None:
        self.parents: dict[int, tuple[int | None, int | None]] = {}
        self.steps: dict[int, CommitStep | None] = {}  # None for a merge commit
        self.heads: dict[str, int | None] = {"a": None}

    def snapshot(self, head: int | None) -> Snapshot:
        return folded(*self.own(line(newest_first(self.parents), head)))

    def own(self, commits: list[int]) -> list[CommitStep]:
        return [step for commit in commits if (step := self.steps[commit]) is not None]

    def changes(self, head: int | None, own: list[int], bases: list[int]) -> SideChanges:
        parted = parted_at(self.parents, head, {*own})
        return changes(self.own(own))._replace(goes_on=parted is not None and parted in bases)

    def texts(self, branch: str) -> list[str | None]:
        return [entry.message.content for entry in self.snapshot(self.heads[branch]).entries]

    def commit(self, branch: str, step: CommitStep | None, merged: int | None = None) -> int:
        number = len(self.steps)
        self.steps[number] = None if step is None else step._replace(commit_hash=f"h{number}")
        self.parents[number] = (self.heads[branch], merged)
        self.heads[branch] = number
        return number

    def fork(self, branch: str, new: str) -> None:
        self.heads[new] = self.heads[branch]

    def say(self, branch: str, text: str) -> int:
        return self.commit(branch, append(0, text))

    def edit(self, branch: str, target: int, text: str) -> None:
        self.commit(branch, edit(0, target, text))

    def annotate(self, branch: str, target: int, priority: str) -> None:
        self.commit(branch, annotate(0, target, priority))

    def merge(
        self, branch: str, other: str, prefer: Literal["ours", "theirs"] = "theirs"
    ) -> tuple[EntryConflict, ...]:
        """Merge *other* into *branch*, always with a merge commit; return what conflicted."""
        ours, theirs = self.heads[branch], self.heads[other]
        new = line(newest_first(self.parents), theirs, base=ours)
        if not new:
            return ()
        bases = merge_bases(newest_first(self.parents), ours, theirs)
        settled = settle(
            [self.snapshot(base) for base in bases],
            self.snapshot(ours),
            self.snapshot(theirs),
            self.changes(ours, line(newest_first(self.parents), ours, base=theirs), bases),
            self.changes(theirs, new, bases),
        )
        merge = self.commit(branch, None, theirs)
        decided = [taken(conflict, prefer) for conflict in settled.conflicts]
        for verdict in unmet(self.snapshot(merge), [*settled.verdicts, *decided]):
            target = int(verdict.entry.commit_hash[1:])
            if verdict.kind is CONTENT:
                self.edit(branch, target, verdict.entry.message.content or "")
            else:
                self.annotate(branch, target, verdict.entry.priority)
        return settled.conflicts


def test_an_edit_that_was_given_up_does_not_come_back() -> None:
    """Theirs edited an entry and then took ours; its old edit is folded behind ours all the same."""
    repository = Repository()
    entry = repository.say("a", "base")
    repository.fork("a", "b")
    repository.edit("b", entry, "b's")
    repository.edit("a", entry, "a's")
    assert len(repository.merge("b", "a", "theirs")) == 1
    repository.edit("a", entry, "a's, improved")

    assert repository.texts("b") == ["a's"]
    assert repository.merge("a", "b") == ()
    assert repository.texts("a") == ["a's, improved"]


def test_a_decision_is_not_asked_for_again() -> None:
    repository = Repository()
    entry = repository.say("a", "base")
    repository.fork("a", "b")
    repository.edit("a", entry, "a's")
    repository.edit("b", entry, "b's")
    assert len(repository.merge("a", "b", "ours")) == 1
    repository.say("b", "more")

    assert repository.merge("a", "b") == ()
    assert repository.texts("a") == ["a's", "more"]
    assert repository.merge("b", "a") == ()
    assert repository.texts("b") == ["a's", "more"]


def test_crossed_merges_that_chose_differently_are_a_conflict_without_a_base() -> None:
    repository = Repository()
    entry = repository.say("a", "base")
    repository.fork("a", "b")
    repository.edit("a", entry, "a's")
    repository.edit("b", entry, "b's")
    repository.fork("b", "old")
    repository.merge("b", "a", "theirs")
    repository.merge("a", "old", "theirs")
    assert (repository.texts("a"), repository.texts("b")) == (["b's"], ["a's"])

    (found,) = repository.merge("a", "b")
    assert (found.kind, found.base) == (CONTENT, None)


def test_what_a_merge_decided_holds_where_nobody_has_changed_it_since() -> None:
    """Though no commit of its own tells, as the fold showed the side that was taken."""
    repository = Repository()
    entry = repository.say("a", "base")
    repository.fork("a", "b")
    repository.edit("a", entry, "a's")
    repository.edit("b", entry, "b's")
    repository.fork("b", "old")
    repository.merge("b", "a", "theirs")
    repository.merge("a", "old", "theirs")
    assert len(repository.merge("a", "b", "ours")) == 1

    assert repository.merge("b", "a") == ()
    assert repository.texts("a") == repository.texts("b") == ["b's"]


def test_crossed_merges_that_agree_are_none() -> None:
    repository = Repository()
    first, second = repository.say("a", "first"), repository.say("a", "second")
    repository.fork("a", "b")
    repository.edit("a", first, "a's")
    repository.annotate("b", second, "skip")
    repository.fork("b", "old")
    repository.merge("b", "a")
    repository.merge("a", "old")
    repository.edit("a", first, "a's, improved")

    assert repository.merge("b", "a") == ()
    assert repository.texts("b") == ["a's, improved", "second"]


DEEDS = st.tuples(
    st.sampled_from(["say", "edit", "edit", "edit", "annotate", "merge", "merge", "merge"]),
    st.sampled_from("abc"),
    st.sampled_from("abc"),
    st.integers(0, 9),
    st.sampled_from(["ours", "theirs"]),
)


@given(st.lists(DEEDS, max_size=25))
def test_a_merge_shows_what_a_side_shows_and_loses_no_change(
    deeds: list[tuple[str, str, str, int, Literal["ours", "theirs"]]],
) -> None:
    repository = Repository()
    for text in ("zero", "one"):
        repository.say("a", text)
    repository.fork("a", "b")
    repository.fork("a", "c")
    for kind, branch, other, number, prefer in deeds:
        if kind == "say":
            repository.say(branch, f"said {number}")
        elif kind == "edit":
            repository.edit(branch, number % 2, f"text {number % 4}")
        elif kind == "annotate":
            repository.annotate(branch, number % 2, ("skip", "normal", "pinned")[number % 3])
        else:
            _check_merge(repository, branch, other, prefer)


def _check_merge(
    repository: Repository, branch: str, other: str, prefer: Literal["ours", "theirs"]
) -> None:
    heads = repository.heads[branch], repository.heads[other]
    bases = merge_bases(newest_first(repository.parents), *heads)
    ours, theirs = (_shown(repository.snapshot(head)) for head in heads)
    conflicts = {
        (found.target_hash, found.kind) for found in repository.merge(branch, other, prefer)
    }
    merged = _shown(repository.snapshot(repository.heads[branch]))

    assert list(merged) == [*ours, *(name for name in theirs if name not in ours)]
    for name in ours.keys() & theirs.keys():
        for at, kind in enumerate((CONTENT, PRIORITY)):
            mine, yours, now = ours[name][at], theirs[name][at], merged[name][at]
            assert now in (mine, yours)
            if (name, kind) in conflicts:
                assert mine != yours
                assert now == (mine if prefer == "ours" else yours)
            elif len(bases) == 1 and mine != yours:
                base = _shown(repository.snapshot(bases[0]))[name][at]
                assert (now == yours) is (base == mine)


def _shown(snapshot: Snapshot) -> dict[str, tuple[str | None, str]]:
    return {e.commit_hash: (e.message.content, e.priority) for e in snapshot.entries}
