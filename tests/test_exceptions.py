"""Errors: one tree, facts inside, texts that say what to do, and all of it through pickle."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from tract import (
    AmbiguousHashError,
    AttachmentNotFoundError,
    BlobNotFoundError,
    BranchBusyError,
    BranchExistsError,
    BranchNotFoundError,
    BranchNotMergedError,
    BudgetExceededError,
    CommitNotFoundError,
    CompactionError,
    CompactionTargetError,
    ConflictKind,
    ContentValidationError,
    CopyFault,
    EditTargetError,
    ForkedProcessError,
    HeadMovedError,
    InstructionContent,
    KeyExistsError,
    MergeConflict,
    MergeConflictError,
    Priority,
    QueryError,
    RefNameError,
    SchemaVersionError,
    StorageError,
    StoreBusyError,
    StoreClosedError,
    StoreCopyError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
    StreamRecoveredError,
    TagExistsError,
    TagNotFoundError,
    TokenBudgetWarning,
    TokenizerUnavailableError,
    TractError,
    TractExistsError,
    TractNotFoundError,
    UnknownKindWarning,
    exceptions,
)

CONFLICTS = (
    MergeConflict(
        target_hash="abc",
        kind=ConflictKind.CONTENT,
        base=None,
        ours=InstructionContent(text="Be brief."),
        theirs=InstructionContent(text="Be thorough."),
        base_config=None,
        ours_config={},
        theirs_config={},
    ),
    MergeConflict(
        target_hash="def",
        kind=ConflictKind.PRIORITY,
        base=Priority.NORMAL,
        ours=Priority.SKIP,
        theirs=Priority.PINNED,
        base_config={},
        ours_config={},
        theirs_config={},
    ),
)

FAULTS = (
    CopyFault(tract_id="a", commit_hash="abc", problem="is damaged"),
    CopyFault(tract_id="b", commit_hash=None, problem="has others"),
)

CASES: list[tuple[TractError, dict[str, Any], str]] = [
    (TractError("stop"), {}, "stop"),
    (CommitNotFoundError("ab" * 32), {"commit_hash": "ab" * 32}, "`log()` lists this tract's"),
    (CommitNotFoundError("v1"), {"commit_hash": "v1"}, "No commit, tag or branch 'v1' in this"),
    (CommitNotFoundError("v1"), {}, "`branches()` list the existing ones."),
    (CommitNotFoundError("abc"), {"commit_hash": "abc"}, "A short hash has at least 4 digits."),
    (
        AmbiguousHashError("abcd", ["abcd" * 16, "abcd" * 15 + "ffff"]),
        {"short_hash": "abcd", "candidates": ("abcd" * 16, "abcd" * 15 + "ffff")},
        f"begin with 'abcd': {'abcd' * 16}, {'abcd' * 15}ffff. Give more digits.",
    ),
    (AmbiguousHashError("abcd", map(str, range(6))), {}, "0, 1, 2, 3, 4, and others. Give more"),
    (AttachmentNotFoundError("abc"), {"sha256": "abc"}, "There is no attachment abc in this tract"),
    (BlobNotFoundError("abc"), {"content_hash": "abc"}, "restore the file from a backup"),
    (CompactionError("is so."), {"reason": "is so."}, "The context was not shortened: is so."),
    (
        CompactionTargetError(100, 120),
        {"target_tokens": 100, "floor": 120, "tokens": None},
        "shortened: The target is 100 tokens, and what has to stay costs 120. Unpin entries",
    ),
    (
        CompactionTargetError(100, 20, 130),
        {"target_tokens": 100, "floor": 20, "tokens": 130},
        "with its summary it would have 130 tokens. The target is 100 tokens",
    ),
    (ContentValidationError("is bad", "a.b"), {"problem": "is bad", "path": "a.b"}, "a.b: is bad"),
    (ContentValidationError("is bad"), {"path": ""}, "is bad"),
    (EditTargetError("abc", "is an EDIT."), {"target": "abc"}, "The target 'abc' is an EDIT."),
    (EditTargetError(None, "is missing."), {"target": None}, "The target is missing."),
    (BudgetExceededError(12, 10), {"tokens": 12, "max_tokens": 10}, "annotate some as SKIP"),
    (HeadMovedError(None, "abc"), {"expected": None, "actual": "abc"}, "retry from the new head"),
    (
        HeadMovedError("abc", "def", "v1"),
        {"expected": "abc", "actual": "def", "tag": "v1"},
        "The tag 'v1' names def, not abc as expected. Nothing was deleted.",
    ),
    (
        BranchBusyError("main", "abc", "def", {"e1": 1, "e2": 9}),
        {"branch": "main", "expected": "abc", "actual": "def", "changed": {"e2": 9, "e1": 1}},
        "Others changed these entries meanwhile: e2 (9 times), e1 (once). Nothing was written.",
    ),
    (
        BranchBusyError("main", "abc", None, {}),
        {"actual": None, "changed": {}},
        "a merge into it was computed. Nothing was written.",
    ),
    (RefNameError("a b", "it holds a space."), {"name": "a b"}, "'a b' is not a valid name for a"),
    (RefNameError("a" * 999, "too long."), {"problem": "too long."}, "aaa… is not a valid name"),
    (BranchExistsError("main"), {"name": "main"}, "Choose another name"),
    (BranchNotFoundError("main"), {"name": "main"}, "`branches()` lists the existing ones"),
    (
        BranchNotFoundError("v1", is_tag=True),
        {"name": "v1", "is_tag": True},
        "'v1' is a tag of this tract, not a branch. Create a branch there with `fork(name, at_co",
    ),
    (TagExistsError("v1"), {"name": "v1"}, "already has a tag 'v1'. Choose another name"),
    (
        KeyExistsError("a", "abc"),
        {"key": "a", "commit_hash": "abc"},
        "The key 'a' is taken by the commit abc. Choose another, or pass `on_key='keep'`",
    ),
    (
        TractExistsError("a"),
        {"tract_id": "a"},
        "This store already has a tract 'a'. Nothing was written. Choose another id.",
    ),
    (
        TractNotFoundError("a"),
        {"tract_id": "a"},
        "No tract 'a' in this store. `tract_ids()` lists the existing ones.",
    ),
    (TagNotFoundError("v1"), {"name": "v1"}, "No tag 'v1' in this tract. `tags()` lists the"),
    (
        BranchNotMergedError("side", "abc"),
        {"name": "side", "head_hash": "abc"},
        "`delete_branch(name, force=True)`",
    ),
    (
        MergeConflictError(CONFLICTS),
        {"conflicts": CONFLICTS},
        "content of abc, priority of def. Nothing was written",
    ),
    (MergeConflictError(CONFLICTS * 4), {}, "content of abc, and 3 more."),
    (
        StreamRecoveredError("agent", "main"),
        {"tract_id": "agent", "branch": "main"},
        "`recover_streams()` returns what was written since",
    ),
    (QueryError("Unsupported operator: 'LIKE'."), {}, "Unsupported operator: 'LIKE'."),
    (
        TokenizerUnavailableError("o200k_base", "no network"),
        {"encoding_name": "o200k_base", "reason": "no network"},
        "TIKTOKEN_CACHE_DIR",
    ),
    (StorageError("failed", "a.db"), {"problem": "failed", "path": "a.db"}, "a.db: failed"),
    (StorageError("failed"), {"path": ""}, "failed"),
    (
        StoreClosedError("a.db"),
        {"path": "a.db"},
        "a.db: the store, or this handle on it, is closed. Open it again",
    ),
    (StoreBusyError("locked", "a.db"), {"path": "a.db"}, "a.db: locked"),
    (StoreFullError("full", "a.db"), {"path": "a.db"}, "a.db: full"),
    (
        StoreCopyError(FAULTS, "b.db"),
        {"faults": FAULTS, "path": "b.db"},
        "b.db: 2 tracts were not copied whole. 'a': abc: is damaged, 'b': has others",
    ),
    (StoreCorruptError("damaged", "a.db"), {"path": "a.db"}, "a.db: damaged"),
    (StoreReadOnlyError("read-only", "a.db"), {"path": "a.db"}, "a.db: read-only"),
    (
        ForkedProcessError("it was busy", "a.db"),
        {"cause": "it was busy", "path": "a.db"},
        "a.db: this process was forked while it was busy",
    ),
    (SchemaVersionError(9, 1, "a.db"), {"found": 9, "supported": 1}, "Upgrade asynctract"),
    (SchemaVersionError(1, 2), {"found": 1, "supported": 2}, "open it for writing once"),
]
errors = pytest.mark.parametrize(
    ("error", "facts", "told"), CASES, ids=lambda item: type(item).__name__
)


@errors
def test_an_error_keeps_its_facts_and_says_what_to_do(
    error: TractError, facts: dict[str, Any], told: str
) -> None:
    assert {name: getattr(error, name) for name in facts} == facts
    assert told in str(error)


@errors
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(
    error: TractError, facts: dict[str, Any], told: str, protocol: int
) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))

    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert (str(again), again.args) == (str(error), error.args)


@errors
def test_an_error_survives_copying(error: TractError, facts: dict[str, Any], told: str) -> None:
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert (type(again), vars(again), str(again)) == (type(error), vars(error), str(error))


WARNINGS = {TokenBudgetWarning, UnknownKindWarning}


def test_every_error_is_in_the_tree_and_in_these_tests() -> None:
    named = {getattr(exceptions, name) for name in exceptions.__all__} - WARNINGS

    assert all(issubclass(error, TractError) for error in named)
    assert {type(error) for error, _, _ in CASES} == named


def test_the_drawing_at_the_top_shows_every_name() -> None:
    assert exceptions.__doc__ is not None
    assert [name for name in exceptions.__all__ if name not in exceptions.__doc__] == []


@pytest.mark.parametrize("error", [ContentValidationError, QueryError, RefNameError])
def test_bad_values_are_value_errors_too(error: type[Exception]) -> None:
    assert issubclass(error, ValueError)


@pytest.mark.parametrize(
    "error",
    [
        StoreClosedError,
        StoreBusyError,
        StoreFullError,
        StoreCopyError,
        StoreCorruptError,
        StoreReadOnlyError,
        SchemaVersionError,
    ],
)
def test_what_the_database_cannot_do_is_a_storage_error(error: type[Exception]) -> None:
    assert issubclass(error, StorageError)


@pytest.mark.parametrize("warning", sorted(WARNINGS, key=str))
def test_a_warning_is_no_error_of_the_tree(warning: type[Warning]) -> None:
    assert issubclass(warning, UserWarning)
    assert not issubclass(warning, TractError)
