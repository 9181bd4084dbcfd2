"""Errors about what has a name or moves: tracts, branches, tags and keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tract.exceptions.base import TractError, bare, listed, shown, times

__all__ = [
    "BranchBusyError",
    "BranchExistsError",
    "BranchNotFoundError",
    "BranchNotMergedError",
    "HeadMovedError",
    "KeyExistsError",
    "MergeConflictError",
    "RefNameError",
    "TagExistsError",
    "TagNotFoundError",
    "TractExistsError",
    "TractNotFoundError",
]


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
                f"The tag {self.tag!r} names {self.actual}, not {bare(self.expected)} as expected. "
                "Nothing was deleted. Another caller has moved the tag: look at the commit that "
                "it names now, and retry with that hash."
            )
        return (
            f"The head is {self.actual}, not {bare(self.expected)} as expected. Nothing was "
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
        named = listed([f"{name} ({times(count)})" for name, count in self.changed.items()])
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
        named = listed([f"{item.kind} of {item.target_hash}" for item in self.conflicts])
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
