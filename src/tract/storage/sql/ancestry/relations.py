"""How branches relate, and how much they hold; runs on the connection's thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tract.history.graph import Commit, Parents, beyond, merge_bases, parted_at
from tract.models.operations import CommitOperation
from tract.protocols import UNSET, CommitStep, TokenUsage, UnsetType
from tract.storage.repositories import (
    Basis,
    BranchName,
    ExistingBranch,
    Origin,
    Relation,
    Sizes,
    Survey,
)
from tract.storage.sql.ancestry.history import find_head_place, steps_at
from tract.storage.sql.ancestry.walk import Place, find_place, place_or_beginning, walk_all
from tract.storage.sql.naming import MAIN
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import sound
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import refs
from tract.storage.sql.statements.erasures import ERASURES

__all__ = ["Allowance", "origins", "relation", "sizes", "steps", "still_holds", "survey"]

T = TypeVar("T")

_COMPACTING = {CommitOperation.COMPACT, CommitOperation.EXPAND}
_FAR = 10_000  # commits: some 25 ms, or 100 if others lie between, during which nobody can write


def relation(connection: Connection, *, branch: BranchName, other: BranchName) -> Relation:
    """See `ComparisonRepository.relation`."""
    erasures = _erasures(connection, branch.tract_id)
    ours = find_head_place(connection, branch)
    theirs = _head(connection, other)
    heads = [head for head in (ours, theirs) if head is not None]
    rows = walk_all(connection, sql.WALK_CHANGES, branch.tract_id, heads)
    parents, changes = _down_to_bases(rows, _name(ours), _name(theirs))
    source = None if theirs is None else theirs.commit_hash
    found = connection.all(refs.SQUASHED, tract_id=branch.tract_id, source=source)
    squashed = [row[0].hex() for row in found]
    return Relation(_name(ours), _name(theirs), parents, changes, squashed, erasures)


def _down_to_bases(
    rows: Iterable[tuple[Any, ...]], ours: str | None, theirs: str | None
) -> tuple[dict[str, Parents[str]], dict[str, tuple[str, str]]]:
    """Return the parents of commits from two heads down to their merge bases, and what they change.

    *rows* are those of `WALK_CHANGES`, newest first. If one of the heads is None, they are all read.
    """
    parents: dict[str, Parents[str]] = {}
    changes: dict[str, tuple[str, str]] = {}

    def commits() -> Iterator[Commit[str]]:
        for row in rows:
            key = row[0].hex()
            parents[key] = _parents(row)
            if row[5] is not None:
                changes[key] = (row[4], row[5].hex())
            yield key, parents[key]

    merge_bases(commits(), ours, theirs)  # reads as far as any question about the two has to
    return parents, changes


class Allowance:
    """How many commits the callers that share this may still look through."""

    def __init__(self) -> None:
        self._left = _FAR

    def of(self, rows: Iterable[T]) -> Iterator[T]:
        """Yield *rows* while the allowance lasts."""
        for row in rows:
            if not self._left:
                return
            self._left -= 1
            yield row


def still_holds(
    connection: Connection,
    *,
    tract_id: str,
    head_hash: str | None,
    basis: Basis,
    allowance: Allowance,
) -> bool:
    """See `ComparisonRepository.still_holds`."""
    if basis.erasures not in (None, _erasures(connection, tract_id)):
        return False
    if head_hash == basis.ours:
        return True
    head, ours = (find_place(connection, tract_id, each) for each in (head_hash, basis.ours))
    if head is None or ours is None or head.created_at < ours.created_at:
        return False
    if head_hash in basis.brought:
        return False
    rows = walk_all(connection, sql.WALK_CHANGES, tract_id, [head])
    new = _come_since(allowance.of(rows), head.commit_hash.hex(), basis)
    if new is None or not basis.squash:
        return new is not None
    assert basis.theirs is not None
    source = bytes.fromhex(basis.theirs)
    squashed = connection.all(refs.SQUASHED, tract_id=tract_id, source=source)
    return not any(row[0].hex() in new for row in squashed)


def _come_since(
    rows: Iterable[tuple[Any, ...]], head: str, basis: Basis
) -> Mapping[str, Parents[str]] | None:
    """Return the commits that *head* has beyond `basis.ours`.

    *rows* are those of `WALK_CHANGES`, newest first. Return None if the head does not go on from
    `ours`, if it has something of what is brought, if it changes what the basis touches, or if the
    rows run out first. The head goes on from `ours` if that is one of its first
    parents: only then is our history a prefix of the new one, and entries keep their order.
    """
    changes: dict[str, tuple[str, str | None]] = {}

    def commits() -> Iterator[Commit[str]]:
        for row in rows:
            key = row[0].hex()
            changes[key] = row[4], row[5] and row[5].hex()
            yield key, _parents(row)

    try:
        new = dict(beyond(commits(), head, basis.ours, known=basis.brought.__contains__))
    except KeyError:  # the rows have run out
        return None
    goes_on = parted_at(new, head, new) == basis.ours
    takes_up = any(not basis.brought.isdisjoint(parents) for parents in new.values())
    edits = basis.any_edit and any(
        operation == CommitOperation.EDIT and target not in new
        for operation, target in map(changes.__getitem__, new)
    )
    touches = edits or any(_touches(*changes[key], basis) for key in new)
    return new if goes_on and not takes_up and not touches else None


def _touches(operation: str, target: str | None, basis: Basis) -> bool:
    # What a compaction hides stands in its content, which is not read: it may be any entry.
    return target in basis.touched or operation in _COMPACTING


def _erasures(connection: Connection, tract_id: str) -> int:
    row = connection.one(ERASURES, tract_id=tract_id)
    return row[0] if row else 0


def _parents(row: Sequence[Any]) -> Parents[str]:
    return row[1] and row[1].hex(), row[3] and row[3].hex()


def sizes(connection: Connection, *, tract_id: str, head_hash: str | None) -> Sizes:
    """See `ComparisonRepository.sizes`."""
    blobs: dict[bytes, int] = {}
    commits = erasures = 0
    with connection.at_one_moment():
        head = place_or_beginning(connection, tract_id, head_hash)
        for row in walk_all(connection, sql.WALK_SIZES, tract_id, [head] if head else []):
            commits += 1
            blobs[row[4]] = row[5] or 0
            erasures = row[-1]
        found = connection.find(sql.USED, blobs)
    used = sound(found, bytes, int)
    attached = {bytes(key): int(nbytes) for key, nbytes in used}
    nbytes = sum(attached.values())
    return Sizes(commits, len(blobs), sum(blobs.values()), len(attached), nbytes, erasures)


def survey(connection: Connection, *, branch: BranchName, names: Sequence[str]) -> list[Survey]:
    """See `ComparisonRepository.survey`."""
    tract_id = branch.tract_id
    with connection.at_one_moment():
        heads = [_head(connection, BranchName(tract_id, name)) for name in names]
        reached = [_configs(connection, tract_id, head) for head in heads]
        usages = _usages(connection, tract_id, set().union(*reached))
        shared = set.intersection(*map(set, reached)) if reached else set()
        if len({*names}) == 1:  # a branch by itself has parted from the one that asks, or from none
            own = None if branch.branch in names else find_head_place(connection, branch)
            shared &= _configs(connection, tract_id, own).keys()
    return [
        Survey(
            _name(head),
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


def _configs(connection: Connection, tract_id: str, head: Place | None) -> dict[bytes, str | None]:
    """Return the configs of all commits that *head* reaches, newest first."""
    rows = walk_all(connection, sql.WALK_CONFIGS, tract_id, [head] if head else [])
    return {row[0]: row[4] for row in rows}


def _usages(connection: Connection, tract_id: str, commits: set[bytes]) -> dict[bytes, TokenUsage]:
    """Return the usage reported for *commits*, and maybe for others.

    All reports of the tract are read at once, unless too many of them are for others.
    """
    most = 2 * len(commits) + 1
    rows = connection.all(refs.USAGES, tract_id=tract_id, limit=most)
    if len(rows) == most:
        found = {key: connection.one(sql.USAGE, tract_id=tract_id, hash=key) for key in commits}
        rows = [(key, *row) for key, row in found.items() if row is not None]
    return {row[0]: TokenUsage(*row[1:]) for row in sound(rows, bytes, int, int, int)}


def steps(connection: Connection, *, tract_id: str, hashes: Sequence[str]) -> list[CommitStep]:
    """See `HistoryRepository.steps`."""
    return steps_at(connection, tract_id, [*map(bytes.fromhex, hashes)])


def origins(
    connection: Connection, *, tract_id: str, commit: str | UnsetType | None
) -> list[tuple[str, Origin]]:
    """See `HistoryRepository.origins`."""
    if commit is UNSET:
        rows = connection.all(refs.ORIGINS, tract_id=tract_id)
    else:
        place = place_or_beginning(connection, tract_id, commit)
        key = None if place is None else place.commit_hash
        rows = connection.all(refs.ORIGINS_OF, tract_id=tract_id, hash=key)
    return [(row[2].hex(), Origin(row[0], row[1].hex())) for row in sound(rows, str, bytes, bytes)]


def _head(connection: Connection, branch: BranchName) -> Place | None:
    """Return the place of a branch that must exist, as `main` always does."""
    kind = BranchName if branch.branch == MAIN else ExistingBranch
    return find_head_place(connection, kind(*branch))


def _name(head: Place | None) -> str | None:
    return None if head is None else head.commit_hash.hex()
