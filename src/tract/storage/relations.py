"""How branches stand to each other, and how much they hold, on the connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import islice

from tract.exceptions import CommitNotFoundError
from tract.protocols import CommitStep, TokenUsage
from tract.storage import ref_statements as refs
from tract.storage import statements as sql
from tract.storage.history import find_head_place, step_at
from tract.storage.names import no_branch
from tract.storage.repositories import (
    BranchName,
    MergeBasis,
    Origin,
    Relation,
    Sizes,
    Survey,
)
from tract.storage.rows import sound
from tract.storage.walk import Place, find_place, newest_first, walk_all

__all__ = ["origins", "relation", "sizes", "steps", "still_holds", "survey"]

_FAR = 20_000  # commits of the tract, some 50 ms in which nobody else can write


def relation(connection: sqlite3.Connection, *, branch: BranchName, other: BranchName) -> Relation:
    """See `CommitRepository.relation`."""
    ours = find_head_place(connection, branch)
    theirs = _head(connection, other)
    heads = [theirs] if ours is None else [ours, theirs]
    parents: dict[str, tuple[str | None, str | None]] = {}
    changes: dict[str, tuple[str, str]] = {}
    for row in walk_all(connection, sql.WALK_CHANGES, branch.tract_id, heads):
        key = row[0].hex()
        parents[key] = (row[1] and row[1].hex(), row[3] and row[3].hex())
        if row[5] is not None:
            changes[key] = (row[4], row[5].hex())
    ours_hash = None if ours is None else ours.commit_hash.hex()
    source = theirs.commit_hash
    rows = refs.SQUASHED.all(connection, tract_id=branch.tract_id, source=source)
    squashed = [row[0].hex() for row in rows]
    return Relation(ours_hash, theirs.commit_hash.hex(), parents, changes, squashed)


def still_holds(
    connection: sqlite3.Connection, *, tract_id: str, head_hash: str | None, basis: MergeBasis
) -> bool:
    """See `CommitRepository.still_holds`."""
    if head_hash == basis.ours:
        return True
    new: dict[bytes, bytes | None] = {}
    goes_on = False
    head = find_place(connection, tract_id, head_hash)
    wanted = set() if head is None or head_hash in basis.parents else {head.commit_hash}
    rows = newest_first(connection, sql.WALK_CHANGES, tract_id, head.created_at if head else 0, 2)
    for key, parent, _, merged, _, target in islice(rows, _FAR) if wanted else ():
        if key not in wanted:
            continue
        wanted.remove(key)
        new[key] = target
        for commit in filter(None, (parent, merged)):
            name = commit.hex()
            if name in basis.brought:
                return False
            goes_on = goes_on or name == basis.ours
            if name not in basis.parents:
                wanted.add(commit)
        if not wanted:
            break
    return goes_on and not wanted and not _interferes(connection, tract_id, new, basis)


def _interferes(
    connection: sqlite3.Connection,
    tract_id: str,
    new: Mapping[bytes, bytes | None],
    basis: MergeBasis,
) -> bool:
    """Tell whether *new* commits, with their targets, change what a merge has to do."""
    if any(target is not None and target.hex() in basis.touched for target in new.values()):
        return True
    source = bytes.fromhex(basis.theirs)
    return basis.squash and any(
        row[0] in new for row in refs.SQUASHED.all(connection, tract_id=tract_id, source=source)
    )


def sizes(connection: sqlite3.Connection, *, tract_id: str, head_hash: str | None) -> Sizes:
    """See `CommitRepository.sizes`."""
    head = find_place(connection, tract_id, head_hash)
    blobs: dict[bytes, int] = {}
    commits = 0
    for row in walk_all(connection, sql.WALK_SIZES, tract_id, [head] if head else []):
        commits += 1
        blobs[row[4]] = row[5] or 0
    return Sizes(commits, len(blobs), sum(blobs.values()))


def survey(
    connection: sqlite3.Connection, *, branch: BranchName, names: Sequence[str]
) -> list[Survey]:
    """See `CommitRepository.survey`."""
    tract_id = branch.tract_id
    heads = [_head(connection, BranchName(tract_id, name)) for name in names]
    rows = refs.USAGES.all(connection, tract_id=tract_id)
    usages = {row[0]: TokenUsage(*row[1:]) for row in sound(rows, bytes, int, int, int)}
    reached = [_configs(connection, tract_id, head) for head in heads]
    shared = set.intersection(*map(set, reached)) if reached else set()
    if len({*names}) == 1:  # one by itself has parted from the branch that asks, or from none
        own = None if branch.branch in names else find_head_place(connection, branch)
        shared = set() if own is None else shared & _configs(connection, tract_id, own).keys()
    return [
        Survey(
            head.commit_hash.hex(),
            [usages[key] for key in commits if key in usages],
            [usages[key] for key in commits if key in usages and key not in shared],
            [
                config
                for key, config in reversed(commits.items())
                if config is not None and key not in shared
            ],
        )
        for head, commits in zip(heads, reached, strict=True)
    ]


def _configs(connection: sqlite3.Connection, tract_id: str, head: Place) -> dict[bytes, str | None]:
    """Return the configs of all commits that a head reaches, newest first."""
    rows = walk_all(connection, sql.WALK_CONFIGS, tract_id, [head])
    return {row[0]: row[4] for row in rows}


def steps(
    connection: sqlite3.Connection, *, tract_id: str, hashes: Sequence[str]
) -> list[CommitStep]:
    """See `CommitRepository.steps`."""
    return [step_at(connection, tract_id, bytes.fromhex(each)) for each in hashes]


def origins(
    connection: sqlite3.Connection, *, tract_id: str, commit: str | None
) -> list[tuple[str, Origin]]:
    """See `CommitRepository.origins`."""
    place = find_place(connection, tract_id, commit)
    if commit is not None and place is None:
        raise CommitNotFoundError(commit)
    rows = refs.ORIGINS.all(connection, tract_id=tract_id)
    return [
        (row[2].hex(), Origin(row[0], row[1].hex()))
        for row in sound(rows, str, bytes, bytes)
        if place is None or row[2] == place.commit_hash
    ]


def _head(connection: sqlite3.Connection, branch: BranchName) -> Place:
    head = find_head_place(connection, branch._replace(must_exist=False))
    if head is None:
        no_branch(branch.branch)
    return head
