"""Names of refs, and what refs and hashes stand for; runs on the connection's thread."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NoReturn

from tract.exceptions import AmbiguousHashError, BranchNotFoundError
from tract.models.refs import check_ref_name
from tract.storage.repositories import BranchName, ExistingBranch
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.statements import commits as sql

__all__ = [
    "BRANCHES",
    "MAIN",
    "TAGS",
    "condemned_key",
    "digest",
    "digests",
    "is_beginning",
    "key_of",
    "look_up",
    "missing_branch",
    "no_branch",
    "ref_name",
    "tag_name",
]

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
MAIN = "main"
"""The branch that every tract has, with or without a row."""

_SHORT_HASH = re.compile(r"[0-9A-Fa-f]{4,63}")
_CANDIDATES = 6  # one more than an error lists, so that it can say that there are others


def ref_name(branch: str) -> str:
    """Return the full ref name of a branch."""
    return f"{BRANCHES}{branch}"


def tag_name(tag: str) -> str:
    """Return the full ref name of a tag."""
    return f"{TAGS}{tag}"


def digest(commit_hash: object) -> bytes | None:
    """Return the bytes of a full hash in either case; None for anything else."""
    if not issubclass(type(commit_hash), str):
        return None
    name = str.__str__(commit_hash)
    if len(name) != 64:
        return None
    try:
        key = bytes.fromhex(name)
    except ValueError:
        return None
    return key if len(key) == 32 else None  # `fromhex` skips spaces


def digests(hashes: Sequence[str]) -> list[bytes] | None:
    """Return the bytes of full hashes, in an eighth of the time of one by one; None if one is not."""
    if {*map(type, hashes)} != {str} or {*map(len, hashes)} != {64}:
        return None
    try:
        keys = bytes.fromhex("".join(hashes))
    except ValueError:
        return None
    if len(keys) != 32 * len(hashes):
        return None  # `fromhex` skips spaces
    return [keys[start : start + 32] for start in range(0, len(keys), 32)]


def key_of(connection: Connection, tract_id: str, named: object) -> bytes | None:
    """Return the bytes of the hash that a hash, tag, branch or short hash stands for.

    They are tried in this order, which is git's. None if nothing matches or an empty branch does;
    `is_beginning` tells these apart. A full hash is returned as it is, whether such a commit exists
    or not, and takes no statement.

    Raises:
        AmbiguousHashError: it is a short hash of several commits.
    """
    return look_up(connection, tract_id, named)[0]


def look_up(
    connection: Connection, tract_id: str, named: object
) -> tuple[bytes | None, Row | None]:
    """Do what `key_of` does; if *named* is a ref, also return the rest of its row of `sql.NAMED`."""
    key = digest(named)
    if key is not None or not issubclass(type(named), str):
        return key, None
    name = str.__str__(named)
    if not _is_utf8(name):
        return None, None
    ref = _ref(connection, tract_id, name)
    if ref is None:
        return _expanded(connection, tract_id, name), None
    return ref[0], ref[1:]


def _ref(connection: Connection, tract_id: str, name: str) -> Row | None:
    """Return the row of a tag or, if there is none, of a branch, but for its name."""
    tag, branch = tag_name(name), ref_name(name)
    rows = connection.all(sql.NAMED, tract_id=tract_id, tag=tag, branch=branch)
    found = {row[0]: row[1:] for row in rows}
    return found.get(tag) or found.get(branch)


def _expanded(connection: Connection, tract_id: str, name: str) -> bytes | None:
    """Return the only hash of the tract that begins with *name*; None if there is none."""
    if not _SHORT_HASH.fullmatch(name):
        return None
    low, high = (bytes.fromhex(name.ljust(64, digit)) for digit in "0f")
    rows = connection.all(sql.HASHES, tract_id=tract_id, low=low, high=high, limit=_CANDIDATES)
    if len(rows) > 1:
        raise AmbiguousHashError(name, [row[0].hex() for row in rows])
    return rows[0][0] if rows else None


def is_beginning(connection: Connection, tract_id: str, named: object) -> bool:
    """Return True if *named* is the empty history: None, or an empty branch.

    A `main` without a row is empty too.
    """
    if named is None:
        return True
    if digest(named) is not None or not issubclass(type(named), str):
        return False
    name = str.__str__(named)
    if not _is_utf8(name):
        return False
    ref = _ref(connection, tract_id, name)
    return name == MAIN if ref is None else ref[0] is None


def condemned_key(tract_id: str) -> str:
    """Return the key in `_tract_meta` that says how much of a tract is condemned."""
    return f"erasing/{sha256(tract_id.encode()).hexdigest()[:56]}"


def missing_branch(connection: Connection, branch: BranchName) -> None:
    """Raise if a missing branch was required to exist."""
    if isinstance(branch, ExistingBranch):
        no_branch(connection, branch)


def no_branch(connection: Connection, branch: BranchName) -> NoReturn:
    """Raise for a branch that does not exist.

    Names are only checked here, because branches stored by older releases may break the rules.

    Raises:
        RefNameError: no branch can have that name.
        BranchNotFoundError: the name is valid.
    """
    name = branch.branch
    check_ref_name(name)
    tag = connection.one(sql.BRANCH, tract_id=branch.tract_id, name=tag_name(name))
    raise BranchNotFoundError(name, is_tag=tag is not None)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
