"""What the commits of a thread mean: checkpoints, pending writes, and the names of all of them.

A thread is a tract. The branch `main` ends with the newest checkpoint of the thread, and `ns/…`
with that of a nested graph. A checkpoint is a state commit, and stands behind the messages that
are new in it, so that the context of its commit is its list of messages. Lines that a thread has
left are on branches `aside/…`, and pending writes on the branch `writes`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from langgraph.checkpoint.base import writes_sort_key

from tract.exceptions import RefNameError
from tract.integrations.langgraph.values import Packed, Packer
from tract.models.content import StateContent
from tract.models.refs import quote_id

__all__ = [
    "DROPS",
    "KEYS",
    "WRITES",
    "Record",
    "Records",
    "Shown",
    "Write",
    "branch_of",
    "key_of",
    "record_of",
    "writes_key",
    "writes_of",
]

KEYS = "langgraph/"
"""What the keys of all commits begin with that are a saver's."""
WRITES = "writes"
"""The branch of pending writes."""
DROPS = "drops"
"""The branch that moves whenever checkpoints are erased, so that none is built upon meanwhile."""
_LONGEST = 300
_MOST_CHARACTERS = 32_000_000
_COST = 1_000


class Shown(NamedTuple):
    """A channel whose list is the context: its first *length* entries since an *era* began.

    In an era entries are only appended, so what one of its checkpoints shows is the beginning of
    what a later one does.
    """

    channel: str
    era: str
    length: int


class Record:
    """A checkpoint as it is stored."""

    def __init__(self, commit: str, payload: Mapping[str, Any]) -> None:
        self.commit: str = commit
        self.payload: Mapping[str, Any] = payload
        self.id: str = payload["id"]
        self.ns: str = payload["ns"]
        self.parent: str | None = payload["parent"]
        self.values: Mapping[str, Packed] = dict(payload["values"])
        shown = payload["shown"]
        self.shown: Shown | None = None if shown is None else Shown(*shown)

    @property
    def channels(self) -> list[str]:
        """The channels that have values, in order."""
        return [channel for channel, _ in self.payload["values"]]

    @property
    def size(self) -> int:
        """How many characters are packed in it, and what it costs beside them."""
        packed = [self.payload["checkpoint"], self.payload["metadata"], *self.values.values()]
        return _COST + sum(len(each.get("json") or each.get("bytes", "  ")[1]) for each in packed)

    def metadata(self, packer: Packer) -> Any:
        """Return the checkpoint's metadata, as a new object."""
        return packer.unpack(self.payload["metadata"])

    def rest(self, packer: Packer) -> dict[str, Any]:
        """Return the checkpoint without its values, as a new object."""
        rest: dict[str, Any] = packer.unpack(self.payload["checkpoint"])
        return rest


class Records:
    """The checkpoints that were used last, up to a number of characters."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Record] = OrderedDict()
        self._size = 0

    def get(self, commit: str) -> Record | None:
        """Return the checkpoint that a commit is, if it is known."""
        return self._known.get(commit)

    def put(self, record: Record) -> None:
        """Remember a checkpoint."""
        if record.commit not in self._known:
            self._known[record.commit] = record
            self._size += record.size
            while self._size > _MOST_CHARACTERS:
                self._size -= self._known.popitem(last=False)[1].size

    def forget(self) -> None:
        """Forget all, because some were erased."""
        self._known.clear()
        self._size = 0


class Write(NamedTuple):
    """A pending write."""

    path: str
    task: str
    place: int
    channel: str
    value: Packed


def record_of(commit: str, content: object) -> Record | None:
    """Return the checkpoint that a commit is, or None if it is another thing."""
    if not isinstance(content, StateContent) or not isinstance(content.payload, dict):
        return None
    if content.payload.get("langgraph") != "checkpoint":
        return None
    return Record(commit, content.payload)


def writes_of(contents: Sequence[object]) -> list[Write]:
    """Return the writes that states hold, oldest first, in the order in which they are applied."""
    kept: dict[tuple[str, int], Write] = {}
    for content in contents:
        if not isinstance(content, StateContent):
            continue  # erased
        put = content.payload
        for place, channel, value in put["writes"]:
            one = (put["task"], place)
            if put["replace"] or one not in kept:
                kept[one] = Write(put["path"], put["task"], place, channel, value)
    return sorted(kept.values(), key=lambda each: writes_sort_key(each.path, each.task, each.place))


def branch_of(ns: str) -> str:
    """Return the branch of a namespace."""
    if not ns:
        return "main"
    try:
        return quote_id(f"ns/{ns}")
    except RefNameError:  # too long
        return f"ns/{_digest(ns)}"


def key_of(ns: str, checkpoint_id: str = "", *, late: bool = False) -> str:
    """Return the key of a checkpoint.

    Those that were put in the order of their ids are sorted by time as by their ids. The few others
    are *late*.
    """
    return f"{KEYS}{'late' if late else 'checkpoint'}/{_namespace(ns)}/{checkpoint_id}"


def writes_key(ns: str, checkpoint_id: str, name: str = "") -> str:
    """Return the key of some writes of a checkpoint."""
    return f"{KEYS}writes/{_namespace(ns)}/{checkpoint_id}/{name}"


def _namespace(ns: str) -> str:
    quoted = quote(ns, safe="")
    return quoted if len(quoted) <= _LONGEST else _digest(ns)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
