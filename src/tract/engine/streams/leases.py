"""Whose a stream is: its owner holds a lease, which every save renews, and a heartbeat between saves.

A lease serves several machines and containers, of which none can tell whether another's process lives.
An owner whose lease ran out while it lived, because its machine was suspended, say, goes on with its
stream if nobody has recovered it; else storage refuses what it saves.
"""

from __future__ import annotations

import json
import os
from typing import Final
from uuid import uuid4

__all__ = ["HEARTBEAT", "LEASE", "RELEASED", "current_owner", "has_lapsed"]

LEASE: Final = 15.0
"""Seconds without a sign after which anybody may recover a stream."""
HEARTBEAT: Final = 5.0
"""Seconds without a save after which an owner gives a sign: a lease outlasts two that fail."""
RELEASED: Final = ""
"""The owner of a stream that was given up: anybody may recover it at once."""

_UNTOLD = 60.0  # seconds for owners that do not say; earlier versions gave a sign every 20
_LONGEST = 3600.0


class _Process:
    """This process, as the owner of streams."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Be another owner: a forked child has none of its parent's streams."""
        self.owner = json.dumps({"token": uuid4().hex, "lease": LEASE})


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.renew)


def current_owner() -> str:
    """Return what names this process, and says how long its leases are."""
    return _process.owner


def has_lapsed(owner: str, quiet: int) -> bool:
    """Return True if the lease of *owner*, renewed *quiet* microseconds ago, is over."""
    return owner == RELEASED or quiet > _term(owner) * 1_000_000


def _term(owner: str) -> float:
    """Return how many seconds the leases of *owner* last; each version may say so for its own."""
    try:
        told = json.loads(owner)
    except ValueError:
        return _UNTOLD
    lease = told.get("lease") if isinstance(told, dict) else None
    if type(lease) is float and 0 < lease <= _LONGEST:
        return lease
    return _UNTOLD
