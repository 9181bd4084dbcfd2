"""The blocking twins by name. What they have, `blocking.pyi` tells type checkers.

`python -m support.stubs` writes that file, from the classes that they are twins of.
"""

from __future__ import annotations

from typing import Any

from tract.engine.watching.watch import Watch
from tract.handles.batch import Batch
from tract.handles.recovery import LeftStream
from tract.handles.stream import Recording, Stream
from tract.handles.twins import Twin, opened, pair

__all__ = [
    "SyncBatch",
    "SyncLeftStream",
    "SyncRecording",
    "SyncStore",
    "SyncStream",
    "SyncTract",
    "SyncTransaction",
    "SyncWatch",
]


class SyncTract(Twin):
    """An `AsyncTract` whose calls block. Get one from `SyncStore.tract` or `AsyncTract.sync`."""


class SyncStore(Twin):
    """A `TractStore` whose calls block: `with SyncStore.open("context.db") as store:`."""

    @classmethod
    def open(cls, *args: Any, **options: Any) -> Any:
        """Open a database with a loop of its own; see `TractStore.open`.

        A `with` block closes the store.
        """
        return opened(cls._kind.open(*args, own_loop=True, **options))


class SyncBatch(Twin):
    """A `Batch` for `with tract.sync.batch() as batch:`."""


class SyncTransaction(Twin):
    """A `Transaction` for `with store.sync.transaction() as tx:`."""


class SyncStream(Twin):
    """A `Stream` for `with tract.sync.stream() as stream:`."""


class SyncRecording(Twin):
    """A `Recording` over a blocking SDK's stream, to be iterated over with `for`."""


class SyncWatch(Twin):
    """A `Watch` to be iterated over with `for`; the thread waits for each commit."""


class SyncLeftStream(Twin):
    """A `LeftStream` whose calls block."""


for kind, blocking in (
    (Batch, SyncBatch),
    (Stream, SyncStream),
    (Recording, SyncRecording),
    (Watch, SyncWatch),
    (LeftStream, SyncLeftStream),
):
    pair(kind, blocking)
