"""Full disks and files that cannot be written: real ones, where the system permits."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "Unavailable",
    "content_of",
    "cut",
    "fill",
    "immutable",
    "move",
    "put",
    "remove",
    "size_of",
    "small_disk",
]

_PAGE = 4096
_CHUNK = 256 * _PAGE


class Unavailable(Exception):
    """This system does not let us create that fault; the text says why."""


def _run(*command: str | Path) -> None:
    if shutil.which(str(command[0])) is None:
        raise Unavailable(f"there is no {command[0]} here")
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        raise Unavailable(f"{command[0]}: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a disk of *size* bytes in *folder*, and yield the path of its root.

    Raises:
        Unavailable: we are not allowed to mount anything.
    """
    place = folder / "disk"
    place.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
    try:
        yield place
    finally:
        _run("umount", "--lazy", place)  # a failing test may still have files open there


def fill(disk: Path, *, leaving: int) -> Path:
    """Fill *disk* with a file until only *leaving* bytes are free, and return the file.

    Other processes may be writing to the disk meanwhile.
    """
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while (free := _free(disk) - leaving) >= _PAGE:
            try:
                file.write(bytes(min(free, _CHUNK) // _PAGE * _PAGE))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
    return filler


def _free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


@contextmanager
def immutable(*paths: Path) -> Iterator[None]:
    """Let nobody write to files, not even through descriptors that are open already.

    Raises:
        Unavailable: we are not allowed to, or the file system cannot.
    """
    there = [path for path in paths if path.exists()]
    try:
        _run("chattr", "+i", *there)
        yield
    finally:
        subprocess.run(["chattr", "-i", *map(str, there)], capture_output=True, timeout=240)


def move(path: Path, to: Path) -> None:
    """Move a file to another path, replacing what may be there."""
    path.replace(to)


def remove(*paths: Path) -> None:
    """Delete files."""
    for path in paths:
        path.unlink()


def put(path: Path, data: bytes) -> None:
    """Overwrite a file from its beginning."""
    path.write_bytes(data)


def content_of(path: Path) -> bytes:
    """Return all bytes of a file."""
    return path.read_bytes()


def cut(path: Path, size: int) -> None:
    """Truncate a file."""
    os.truncate(path, size)


def size_of(path: Path) -> int:
    """Return the bytes of a file."""
    return path.stat().st_size
