"""Writing a page with its data to a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

import anyio.to_thread

from tract import TractStore
from tract.viewer.assembling import assembled, embedded_json
from tract.viewer.embedding import Block, blocks_of

__all__ = ["write_page"]


async def write_page(
    store: TractStore, path: str | PathLike[str], *, tract_ids: Iterable[str] | None = None
) -> None:
    """Write one HTML file that shows a store, with the data in it; it needs no network.

    The file appears when it is whole, and replaces one that is there; only its owner may read it.
    It has every commit of the tracts, but the requests to model APIs only at the heads of branches
    and tags, and only of contexts of up to 2,000 entries. Of contents that were erased it has nothing.

    Args:
        store: the store.
        path: the file to write.
        tract_ids: the tracts; None for all.

    Raises:
        TractNotFoundError: the store does not have one of the tracts.
        OSError: the file cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    pieces = [
        await anyio.to_thread.run_sync(_element, block)
        async for block in blocks_of(store, tract_ids, now)
    ]
    # One job, which removes what it leaves half done even if nobody waits for it any more.
    await anyio.to_thread.run_sync(_write, Path(path), pieces)


def _element(block: Block) -> bytes:
    text = embedded_json(block.value)
    return f'<script type="application/json" id="data-{block.name}">{text}</script>\n'.encode()


def _write(target: Path, pieces: Sequence[bytes]) -> None:
    page = assembled(live=False)
    number, name = tempfile.mkstemp(dir=target.parent, prefix=".tract-", suffix=".html")
    try:
        with open(number, "wb") as file:
            file.writelines([page.before.encode(), *pieces, page.after.encode()])
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
