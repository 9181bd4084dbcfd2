"""Programs that end with the process that started them, however that ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["keep", "kept", "made_folder"]

_PLENTY = 4 << 30  # bytes

# `cat` ends when nobody holds the other end any more, and a process that died holds nothing.
_KEEPER = 'exec 3<&0; (cat <&3 >/dev/null; "$@"; rm -rf -- "$0") &'


def made_folder(prefix: str, within: Path | None = None) -> Path:
    """Make a folder for what lasts as long as a process: in memory where there is plenty of that.

    Its path is short, since that of a Unix socket in it may have a hundred characters.
    """
    memory = Path("/dev/shm")
    if within is None and memory.is_dir() and shutil.disk_usage(memory).free >= _PLENTY:
        within = memory
    return Path(tempfile.mkdtemp(prefix=prefix, dir=within))


def keep(folder: Path, ending: Sequence[str], *, while_open: int) -> None:
    """Have *ending* run and *folder* removed when the pipe *while_open* has no writer any more."""
    subprocess.run(
        ["sh", "-c", _KEEPER, str(folder), *ending],
        stdin=while_open,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # out of reach of Ctrl-C
        check=True,
    )


@contextmanager
def kept(folder: Path, *ending: str) -> Iterator[None]:
    """Run *ending* and remove *folder* at the end of the block, or of this process if it dies."""
    reading, writing = os.pipe()
    keep(folder, ending, while_open=reading)
    os.close(reading)
    try:
        yield
    finally:
        subprocess.run(ending, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(folder, ignore_errors=True)  # a child of this process may hold the pipe
        os.close(writing)
