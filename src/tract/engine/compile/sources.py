"""Folding a history to know only which commits its contexts show, without making any messages."""

from __future__ import annotations

from collections.abc import Sequence

from tract.engine.compile.cache import SnapshotCache
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.compile.entries import Entry
from tract.engine.compile.reading import ContextReader
from tract.engine.contents.provided import shown_content
from tract.engine.contents.registry import BUILT_IN, default_priority
from tract.engine.threads import Threads
from tract.engine.tokens.counters import NullTokenCounter
from tract.history.canonical import stored_json, unreadable
from tract.models.annotations import Priority
from tract.models.compaction import COMPACTION
from tract.models.erasure import ERASED
from tract.protocols import CommitStep, ContextCompiler, Message
from tract.storage.repositories import HistoryRepository

__all__ = ["source_reader"]

_ANY = Message("user", "")
_NBYTES = 600


def source_reader(
    histories: HistoryRepository, compiler: ContextCompiler, threads: Threads, max_bytes: int
) -> ContextReader:
    """Return a reader with a cache of its own, whose snapshots tell what those of *compiler* show.

    A compiler that folds in its own way makes them itself.
    """
    if getattr(type(compiler), "fold", None) is DefaultContextCompiler.fold:
        compiler = _SourceCompiler()
    return ContextReader(histories, SnapshotCache(max_bytes), compiler, threads)


class _SourceCompiler(DefaultContextCompiler):
    """Makes snapshots whose entries have priorities and sources, but no messages of their own.

    The garbage collector stops all threads to look at every object. Such an entry is one, where
    another has at least one more for its message.
    """

    def __init__(self) -> None:
        super().__init__(NullTokenCounter())
        self._sums = None

    def _entry(self, step: CommitStep) -> Entry:
        return Entry(step.commit_hash, _ANY, 0, 0, None, _priority(step), nbytes=_NBYTES)

    def _texts(self, steps: Sequence[CommitStep]) -> None:
        return None  # which have their messages made

    def _cleared(self, entry: Entry, placeholder: str) -> Entry:
        return entry


def _priority(step: CommitStep) -> Priority:
    """Return the priority that the entry of a commit begins with."""
    content_type = step.content_type
    if content_type in BUILT_IN and content_type not in (COMPACTION, ERASED):
        return default_priority(content_type, {})
    what = f"the content of the commit {step.commit_hash}"
    fields = stored_json(step.data, what)
    try:
        if content_type == ERASED:
            return Priority(fields["priority"] or default_priority(fields["of_type"], {}))
        return default_priority(*shown_content(content_type, fields))
    except (LookupError, TypeError, ValueError):
        raise unreadable(what) from None
