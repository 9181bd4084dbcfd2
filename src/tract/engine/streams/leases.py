"""Stream ownership: the owner holds a lease, renewed by every save and by heartbeats between saves.

Leases work across machines and containers, which cannot see each other's processes. If a lease
expires while its owner lives, because its machine was suspended, say, the owner continues the
stream unless another process has recovered it. In that case storage refuses its saves.
"""

from __future__ import annotations

import json
import os
from typing import Final
from uuid import uuid4

__all__ = ["HEARTBEAT", "LEASE", "RELEASED", "current_owner", "has_lapsed"]

LEASE: Final = 15.0
"""Seconds without a sign of life after which any process may recover a stream."""
HEARTBEAT: Final = 5.0
"""Seconds without a save after which an owner sends a heartbeat; a lease survives two failures."""
RELEASED: Final = ""
"""The owner of a released stream: any process may recover it at once."""

_UNTOLD = 60.0  # seconds for owners that state no lease; old releases gave a sign every 20
_LONGEST = 3600.0


class _Process:
    """This process, as the owner of streams."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Become a new owner: a forked child owns none of its parent's streams."""
        self.owner = json.dumps({"token": uuid4().hex, "lease": LEASE})


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.renew)


def current_owner() -> str:
    """Return the owner that stands for this process, with the length of its leases."""
    return _process.owner


def has_lapsed(owner: str, quiet: int) -> bool:
    """Return True if the lease of *owner*, renewed *quiet* microseconds ago, has expired."""
    return owner == RELEASED or quiet > _term(owner) * 1_000_000


def _term(owner: str) -> float:
    """Return how many seconds the leases of *owner* last; each release states its own."""
    try:
        told = json.loads(owner)
    except ValueError:
        return _UNTOLD
    lease = told.get("lease") if isinstance(told, dict) else None
    if type(lease) is float and 0 < lease <= _LONGEST:
        return lease
    return _UNTOLD
