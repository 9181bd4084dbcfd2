"""Writing a page with its data to a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import IO

import anyio.to_thread

from tract import TractStore
from tract.viewer.assembling import assembled, embedded_json
from tract.viewer.embedding import Block, blocks_of

__all__ = ["write_page"]


async def write_page(
    store: TractStore, path: str | PathLike[str], *, tract_ids: Iterable[str] | None = None
) -> None:
    """Write one HTML file that shows a store, with the data in it; it needs no network.

    The file appears when it is whole, and replaces one that is there. It has every commit of the
    tracts, but the requests to model APIs only at the heads of branches and tags, and only of
    contexts of up to 2,000 entries. Of contents that were erased it has nothing.

    Args:
        store: the store.
        path: the file to write.
        tract_ids: the tracts; None for all.

    Raises:
        LookupError: the store does not have one of the tracts.
        OSError: the file cannot be written.
    """
    target = Path(path)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    file = await anyio.to_thread.run_sync(_begin, target)
    try:
        async for block in blocks_of(store, tract_ids, now):
            await anyio.to_thread.run_sync(_write, file, block)
        await anyio.to_thread.run_sync(_finish, file, target)
    finally:
        _discard(file)


def _begin(target: Path) -> IO[str]:
    """Open a new file beside *target* and write what comes before the data."""
    page = assembled(live=False)
    file = tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="\n", dir=target.parent, prefix=".tract-", delete=False
    )
    file.write(page.before)
    return file


def _write(file: IO[str], block: Block) -> None:
    text = embedded_json(block.value)
    file.write(f'<script type="application/json" id="data-{block.name}">{text}</script>\n')


def _finish(file: IO[str], target: Path) -> None:
    file.write(assembled(live=False).after)
    file.close()
    os.chmod(file.name, 0o600)
    os.replace(file.name, target)


def _discard(file: IO[str]) -> None:
    """Remove what was not finished; after `_finish`, there is nothing left to remove."""
    file.close()
    with suppress(FileNotFoundError):
        os.unlink(file.name)
