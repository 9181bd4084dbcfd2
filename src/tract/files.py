"""Files that a store is written to whole, or not at all, and files that one is read from."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from tract.engine.threads import Threads
from tract.exceptions import SchemaVersionError, StorageError, StoreReadOnlyError
from tract.models.commit import BackupProgress
from tract.models.config import TractConfig
from tract.running.lifecycle import ended, to_the_end
from tract.storage.opening import open_database
from tract.storage.sql.database import Database

__all__ = ["back_up", "new_file", "opened_file"]

_BESIDE = ("", "-wal", "-shm", "-journal")


@asynccontextmanager
async def new_file(path: str | os.PathLike[str], threads: Threads) -> AsyncIterator[Path]:
    """Give a temporary path beside *path*, whose file is renamed if the block succeeds.

    If it fails or is cancelled, nothing is left; after a kill, the temporary file is.

    Raises:
        StorageError: there is something at *path* already, or its folder cannot be written to.
    """
    place = await threads.run(_place, path)
    await threads.run(_check_free, place)
    temporary = place.with_name(f"{place.name}.{uuid4().hex[:12]}.part")
    kept = False

    def keep() -> None:
        nonlocal kept
        _keep(temporary, place)
        kept = True
        _remove(temporary)

    try:
        yield temporary
        await to_the_end(threads.run(keep))  # a thread goes on when its caller is cancelled
    except asyncio.CancelledError:
        if kept:
            await to_the_end(threads.run(_remove, place))
        raise
    finally:
        if not kept:
            await to_the_end(threads.run(_remove, temporary))


def _place(path: str | os.PathLike[str]) -> Path:
    """Return where a file is or can be; beside what a link leads to, there may be a log.

    Raises:
        StorageError: no file can be there.
    """
    place = Path(os.path.abspath(path))
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return place
    except (OSError, ValueError) as error:
        problem = f"there can be no file of that name ({error}). Give another path."
        raise StorageError(problem, ascii(str(place))) from None
    return place.resolve() if place.is_file() else place


def _check_free(place: Path) -> None:
    for beside in _BESIDE:
        if os.path.lexists(f"{place}{beside}"):
            raise StorageError(
                f"there is a file {place.name}{beside} already, and no file is overwritten. "
                "Nothing was written. Give another path.",
                str(place),
            )
    if not place.parent.is_dir():
        raise StorageError("its folder does not exist. Make the folder first.", str(place))


def _keep(temporary: Path, place: Path) -> None:
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    _check_free(place)
    try:
        os.link(temporary, place)  # a rename would replace what came meanwhile
    except FileExistsError:
        _check_free(place)
        raise
    except OSError:  # a file system without links
        temporary.rename(place)
    if os.name == "posix":
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove(temporary: Path) -> None:
    for beside in _BESIDE:
        with suppress(OSError):
            os.unlink(f"{temporary}{beside}")


async def back_up(
    database: Database,
    to: Path,
    progress: Callable[[BackupProgress], object] | None,
) -> None:
    """Write a database to a new file; end that soon if the caller is cancelled or *progress* raises."""
    loop = asyncio.get_running_loop()
    failed: list[BaseException] = []

    def tell(nbytes: int, of_nbytes: int) -> None:
        try:
            if progress is not None and not failed:
                progress(BackupProgress(nbytes=nbytes, of_nbytes=of_nbytes))
        except BaseException as error:
            failed.append(error)

    def step(nbytes: int, of_nbytes: int) -> None:
        if failed:
            raise StorageError("the backup was ended.")
        loop.call_soon_threadsafe(tell, nbytes, of_nbytes)

    work = asyncio.create_task(database.back_up(to, step))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError as error:
        failed.append(error)
    except StorageError:
        if not failed:
            raise
    await ended(work)
    if failed:
        raise failed[0]


@asynccontextmanager
async def opened_file(
    path: str | os.PathLike[str], threads: Threads, config: TractConfig
) -> AsyncIterator[Database]:
    """Give the store in a file that stays as it is; one of an older release is read from a copy.

    Raises:
        StorageError: the file holds no store, or a damaged one, or one of a newer release.
    """
    place = await threads.run(_place, path)
    uri = await threads.run(_uri, place)
    folder: str | None = None
    try:
        try:
            database = await open_database(uri, config)
        except SchemaVersionError as error:
            if error.found > error.supported:
                raise
            folder = await threads.run(tempfile.mkdtemp, "", "tract-")
            copy = Path(folder) / place.name
            await threads.run(_copy, place, copy)
            database = await open_database(copy, config)
        except StoreReadOnlyError:
            raise StorageError("there is no store in this file.", str(place)) from None
        try:
            yield database
        finally:
            await to_the_end(database.aclose())
    finally:
        if folder is not None:
            await to_the_end(threads.run(shutil.rmtree, folder))


def _copy(place: Path, to: Path) -> None:
    """Copy a database with its log, which may have commits that the file does not have yet."""
    shutil.copyfile(place, to)
    with suppress(FileNotFoundError):
        shutil.copyfile(f"{place}-wal", f"{to}-wal")


def _uri(place: Path) -> str:
    """Return the URI that reads a file, which has no log unless a process has it open."""
    if not place.is_file():
        raise StorageError("there is no such file.", str(place))
    log = Path(f"{place}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    return f"file:{quote(str(place))}?{'mode=ro' if has_log else 'immutable=1'}"
