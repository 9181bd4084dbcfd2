"""How much of the context that was compiled last for a branch the next one begins with.

Providers cache the beginning of a request, so what changes there costs. Nothing is kept but a head
and two sums a branch: a last context that the cache has evicted is not compared.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from tract.engine.compile.cache import CacheKey, SnapshotCache
from tract.engine.compile.entries import Chunk, Entries, Entry
from tract.engine.compile.fold import Snapshot
from tract.engine.contents.provided import TOOLS
from tract.models.annotations import Priority
from tract.protocols import Message, StablePrefix
from tract.storage.repositories import BranchName

__all__ = ["Prefixes", "stable_prefix"]

_MOST_BRANCHES = 10_000


class _Compiled:
    """What was compiled for a branch: the head of the last context, and tokens of all."""

    __slots__ = ("head_hash", "stable", "tokens", "whole")

    def __init__(self) -> None:
        self.head_hash: str | None = None
        self.whole: StablePrefix | None = None
        """All of the last context, once it was compiled again."""
        self.tokens = 0
        self.stable = 0


class Prefixes:
    """The contexts that callers compiled last, by branch."""

    def __init__(self, cache: SnapshotCache) -> None:
        self._cache = cache
        self._branches: OrderedDict[tuple[str, str], _Compiled] = OrderedDict()
        self._newest: tuple[BranchName | None, _Compiled] = (None, _Compiled())
        """What was compiled last of all, mostly by the handle that compiles again."""

    def note(self, branch: BranchName, snapshot: Snapshot) -> StablePrefix | None:
        """Note that a context was compiled; return what it has in common with the last one."""
        newest, last = self._newest
        if newest is not branch:
            last = self._last_of(branch)
        prefix = last.whole
        if prefix is None or last.head_hash != snapshot.head_hash:
            former = last.head_hash and self._cache.peek(CacheKey(branch.tract_id, last.head_hash))
            prefix = stable_prefix(former, snapshot) if isinstance(former, Snapshot) else None
            last.whole = prefix if last.head_hash == snapshot.head_hash else None
        last.head_hash = snapshot.head_hash
        last.tokens += snapshot.plain_tokens
        last.stable += 0 if prefix is None else prefix.tokens
        return prefix

    def note_head(self, branch: BranchName, head_hash: str | None) -> None:
        """Note that a context was compiled that cannot be compared with others."""
        self._last_of(branch).head_hash = head_hash

    def forget(self, tract_id: str) -> None:
        """Compare nothing with the last contexts of a tract: a head shows less since an erasure."""
        for (of_tract, _), last in self._branches.items():
            if of_tract == tract_id:
                last.head_hash = last.whole = None

    def heads(self) -> list[tuple[tuple[str, str], str | None]]:
        """Return the branches and the head of the last context of each; any thread may ask."""
        return [(name, last.head_hash) for name, last in self._branches.copy().items()]

    def _last_of(self, branch: BranchName) -> _Compiled:
        """Return what was compiled for a branch, and forget the one that was not for longest."""
        name = branch[:2]
        last = self._branches.get(name)
        if last is None:
            last = self._branches[name] = _Compiled()
        self._branches.move_to_end(name)
        if len(self._branches) > _MOST_BRANCHES:
            self._branches.popitem(last=False)
        self._newest = (branch, last)
        return last

    def sums(self, branch: BranchName) -> tuple[int, int]:
        """Return the tokens that were compiled for a branch, and how many of them were stable."""
        found = self._branches.get(branch[:2])
        return (0, 0) if found is None else (found.tokens, found.stable)


def stable_prefix(former: Snapshot, now: Snapshot) -> StablePrefix:
    """Return what two contexts begin with; nothing if their tools, which come first, differ."""
    one, other = former.entries, now.entries
    size = len(one.last.items)
    has_tools = former.has_tools or now.has_tools
    if one.full is other.full and not has_tools and other.last.items[:size] == one.last.items:
        return _whole(former)  # the usual case: only commits were appended
    chunks = _shared_chunks(one.full, other.full)
    if has_tools and _tools(one, chunks) != _tools(other, chunks):
        return StablePrefix(None, 0)
    if chunks == len(one.full) and (*islice(_rest(other, chunks), size),) == one.last.items:
        return _whole(former)
    alike = [*_alike(_rest(one, chunks), _rest(other, chunks))]
    position = other.visible_before(other.full.starts[chunks])
    last = alike[-1] if alike else None if position is None else other[position]
    return StablePrefix(
        None if last is None else last.commit_hash,
        sum(chunk.shown_tokens for chunk in other.full[:chunks])
        + sum(entry.message_tokens for entry in alike),
    )


def _whole(former: Snapshot) -> StablePrefix:
    last = former.entries.newest_visible()
    return StablePrefix(None if last is None else last.commit_hash, former.plain_tokens)


def _shared_chunks(one: Sequence[Chunk], other: Sequence[Chunk]) -> int:
    """Return how many chunks two sequences begin with that are the same objects."""
    if one is other or one == other[: len(one)]:
        return len(one)
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a is not b), min(len(one), len(other)))


def _rest(entries: Entries, chunks: int) -> Iterator[Entry]:
    """Return the entries behind the first *chunks*."""
    return chain.from_iterable(each.items for each in (*entries.full[chunks:], entries.last))


def _alike(one: Iterable[Entry], other: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries of *other* that are shown like those of *one*, up to a difference."""
    shown = (entry for entry in other if entry.visible)
    for a, b in zip((entry for entry in one if entry.visible), shown, strict=False):
        if a is not b and a.messages != b.messages:
            return
        yield b


def _tools(entries: Entries, chunks: int) -> Message | None:
    """Return the newest tool definitions behind the first *chunks*."""
    for entry in reversed([*_rest(entries, chunks)]):
        if entry.message.role is TOOLS and entry.priority is not Priority.SKIP:
            return entry.message
    return None
