"""Whose a stream is, and whether its owner still lives.

An owner is a process: its number, when it began and the host that it runs on, so that neither a
number that was given to another process nor one of another container is taken for it. The host
is stored as a digest: it is only ever compared, and a file that is passed on tells no machine's name.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["PATIENCE", "current_owner", "is_gone"]

PATIENCE = 60_000_000
"""Microseconds without a sign after which a stream counts as left, where nothing else tells."""

_DEAD = frozenset("ZXx")  # a zombie has ended, whether or not its parent has looked


def current_owner() -> str:
    """Return what names this process, as JSON; it reads files."""
    return _owner(os.getpid())


@lru_cache(maxsize=1)
def _owner(pid: int) -> str:
    """Tell a process apart from all others; kept by its number, for it may fork."""
    stat = _stat(pid)
    return json.dumps({"pid": pid, "started": stat and stat[1], "host": _host()})


def is_gone(owner: str, quiet: int) -> bool:
    """Tell whether the process *owner* has ended; it reads files.

    Args:
        owner: what `current_owner` gave in that process.
        quiet: microseconds since it last gave a sign, which decide where nothing else does.
    """
    told = _parsed(owner)
    pid, started = told.get("pid"), told.get("started")
    if told.get("host") != _host() or not isinstance(pid, int):
        return quiet > PATIENCE
    stat = _stat(pid)
    if stat is None:  # ended, or another user's and hidden from us
        return _is_gone_by_signal(pid, quiet)
    return stat[0] in _DEAD or (started is not None and stat[1] != started)


def _is_gone_by_signal(pid: int, quiet: int) -> bool:
    """Ask the system where /proc does not tell; a process of that number may be another one."""
    if os.name != "posix":  # elsewhere a signal 0 is none that asks
        return quiet > PATIENCE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return quiet > PATIENCE


def _stat(pid: int) -> tuple[str, str] | None:
    """Return a process's state and the ticks since boot at which it began; None: there is none."""
    text = _text(f"/proc/{pid}/stat")
    if text is None:
        return None
    after_name = text.rpartition(")")[2].split()  # a name may contain anything, brackets too
    return (after_name[0], after_name[19]) if len(after_name) > 19 else None


def _host() -> str:
    """Return a digest of what names this boot of this machine and the processes seen here."""
    return hashlib.sha256(_named_host().encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _named_host() -> str:
    boot = _text("/proc/sys/kernel/random/boot_id")
    if boot is None:
        return f"{platform.system()} {platform.node()}"
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{boot.strip()} {namespace}"


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _parsed(owner: str) -> dict[str, Any]:
    try:
        told = json.loads(owner)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
