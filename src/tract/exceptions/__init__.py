"""Every error that the library raises on purpose.

TractError
├── CommitNotFoundError        no such commit in this tract, by hash or by name
├── AmbiguousHashError         several commits of this tract begin with a short hash
├── BlobNotFoundError          a commit's content is missing from the store
├── AttachmentNotFoundError    this tract was never given such an attachment, or it is missing
├── ContentValidationError     a content, config, metadata or usage is not storable (a ValueError)
├── EditTargetError            the target of an edit, annotation or pick is missing or unsuitable
├── BudgetExceededError        the commit would take the context over its token budget
├── CompactionError            a context was not shortened: a bad summary, or changed meanwhile
│   └── CompactionTargetError  what has to stay, or the summary, costs more than the target
├── HeadMovedError             the branch is not where the caller expected it
│   └── BranchBusyError        others kept changing the entries that a merge depends on
├── RefNameError               a name that no branch or tag can have (a ValueError)
├── BranchExistsError          the branch already exists
├── BranchNotFoundError        no such branch in this tract
├── TagExistsError             the tag already exists
├── TagNotFoundError           no such tag in this tract
├── KeyExistsError             the tract already has a commit under that key
├── TractExistsError           the store already has a tract of that id
├── TractNotFoundError         no such tract in this store
├── BranchNotMergedError       the branch has commits that no other branch or tag reaches
├── MergeConflictError         both sides of a merge changed the same entries
├── StreamRecoveredError       another process recovered a stream whose writer went silent
├── QueryError                 an operator, field or value that a query cannot use (a ValueError)
├── TokenizerUnavailableError  the tokenizer's vocabulary is not available
└── StorageError               the database failed
    ├── StoreClosedError       used after closing
    ├── StoreBusyError         locked by another process for longer than the busy timeout
    ├── StoreFullError         no space left on the disk
    ├── StoreCorruptError      damaged, or not a database at all
    ├── StoreReadOnlyError     opened read-only, or not writable
    ├── StoreCopyError         tracts could not be copied whole: damaged, erased meanwhile, or changed
    ├── ForkedProcessError     opened before this process was forked
    └── SchemaVersionError     written by a newer release, or by an older one and read-only

TokenBudgetWarning (a UserWarning) is issued, not raised, where a budget's action is `warn`, and
UnknownKindWarning (a UserWarning) once a reply is committed that holds what no format knows.

Each class takes facts, keeps them as attributes and builds its own text, so that
errors survive pickling and read the same wherever they are raised.
"""

from __future__ import annotations

from tract.exceptions.base import TokenBudgetWarning, TractError, UnknownKindWarning
from tract.exceptions.base import shown as shown
from tract.exceptions.contents import (
    AmbiguousHashError,
    AttachmentNotFoundError,
    BlobNotFoundError,
    BudgetExceededError,
    CommitNotFoundError,
    CompactionError,
    CompactionTargetError,
    ContentValidationError,
    EditTargetError,
    QueryError,
    StreamRecoveredError,
    TokenizerUnavailableError,
)
from tract.exceptions.names import (
    BranchBusyError,
    BranchExistsError,
    BranchNotFoundError,
    BranchNotMergedError,
    HeadMovedError,
    KeyExistsError,
    MergeConflictError,
    RefNameError,
    TagExistsError,
    TagNotFoundError,
    TractExistsError,
    TractNotFoundError,
)
from tract.exceptions.names import (
    MetadataChangedError as MetadataChangedError,
)
from tract.exceptions.storage import (
    ForkedProcessError,
    SchemaVersionError,
    StorageError,
    StoreBusyError,
    StoreClosedError,
    StoreCopyError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
)

__all__ = [
    "AmbiguousHashError",
    "AttachmentNotFoundError",
    "BlobNotFoundError",
    "BranchBusyError",
    "BranchExistsError",
    "BranchNotFoundError",
    "BranchNotMergedError",
    "BudgetExceededError",
    "CommitNotFoundError",
    "CompactionError",
    "CompactionTargetError",
    "ContentValidationError",
    "EditTargetError",
    "ForkedProcessError",
    "HeadMovedError",
    "KeyExistsError",
    "MergeConflictError",
    "QueryError",
    "RefNameError",
    "SchemaVersionError",
    "StorageError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreCopyError",
    "StoreCorruptError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StreamRecoveredError",
    "TagExistsError",
    "TagNotFoundError",
    "TokenBudgetWarning",
    "TokenizerUnavailableError",
    "TractError",
    "TractExistsError",
    "TractNotFoundError",
    "UnknownKindWarning",
]
