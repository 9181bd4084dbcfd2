"""What the engine asks of a database: repositories by use case, and the values they exchange.

The contracts are here, so implementations need no docstrings of their own. Every write is one
transaction: it has happened as a whole when the call returns, and not at all if it raises. If its
caller is cancelled it may still happen, but never after a write that is called later. Any method
may raise a `StorageError`. JSON travels as text, times as microseconds since 1970-01-01 UTC,
hashes as 64 hexadecimal digits. Where a caller names a commit, the name of a tag or branch or a
short hash works too. A name that is none of these counts as a hash that no commit has; a short hash
of several commits raises an `AmbiguousHashError`. A branch passed as an `ExistingBranch` raises a
`BranchNotFoundError` if it does not exist.
"""

from __future__ import annotations

from typing import NamedTuple

from tract.storage.repositories.commits import (
    AttachmentRepository,
    BlobRepository,
    CommitRepository,
    KeyRepository,
    OutdatedBasisError,
    QueryRepository,
    UsageRepository,
)
from tract.storage.repositories.copies import (
    Bundle,
    CopyOvertakenError,
    CopyRepository,
    CopyTargetRepository,
    Outline,
    Portion,
    Rows,
)
from tract.storage.repositories.erasures import (
    Dropped,
    Erased,
    ErasureRepository,
    Freed,
    Marker,
    Page,
    PrunePlan,
    PruneRepository,
    Residue,
    Taken,
)
from tract.storage.repositories.histories import (
    ComparisonRepository,
    HistoryRepository,
    OvertakenError,
    VerifyRepository,
)
from tract.storage.repositories.leases import LeaseRepository
from tract.storage.repositories.refs import ArrivalRepository, RefRepository, TagRepository
from tract.storage.repositories.searches import (
    Candidates,
    Found,
    SearchRepository,
    Standing,
    Unindexed,
    Unread,
)
from tract.storage.repositories.spools import SpoolRepository
from tract.storage.repositories.tracts import (
    Listing,
    StoreCounts,
    StoreFacts,
    StoreRepository,
    TractOrder,
    TractRepository,
    TractRow,
)
from tract.storage.repositories.transactions import (
    AddCommits,
    AddTag,
    Change,
    DeleteBranch,
    DeleteTag,
    EraseContents,
    ForkBranch,
    Landed,
    Named,
    RecordUsage,
    ResetBranch,
    SetInfo,
    TransactionRepository,
)
from tract.storage.values import (
    Arrivals,
    Attached,
    Basis,
    BranchName,
    CommitDraft,
    CommitRow,
    Cursor,
    ExistingBranch,
    Heads,
    Located,
    Misplaced,
    Move,
    Origin,
    Position,
    RefRecord,
    Relation,
    Sizes,
    SpooledStream,
    SpoolPart,
    StoredCommit,
    StoredContent,
    StreamEnd,
    StreamFate,
    StreamName,
    Survey,
    TakenBack,
    TractTimes,
)

__all__ = [
    "AddCommits",
    "AddTag",
    "ArrivalRepository",
    "Arrivals",
    "Attached",
    "AttachmentRepository",
    "Basis",
    "BlobRepository",
    "BranchName",
    "Bundle",
    "Candidates",
    "Change",
    "CommitDraft",
    "CommitRepository",
    "CommitRow",
    "ComparisonRepository",
    "CopyOvertakenError",
    "CopyRepository",
    "CopyTargetRepository",
    "Cursor",
    "DeleteBranch",
    "DeleteTag",
    "Dropped",
    "EraseContents",
    "Erased",
    "ErasureRepository",
    "ExistingBranch",
    "ForkBranch",
    "Found",
    "Freed",
    "Heads",
    "HistoryRepository",
    "KeyRepository",
    "Landed",
    "LeaseRepository",
    "Listing",
    "Located",
    "Marker",
    "Misplaced",
    "Move",
    "Named",
    "Origin",
    "OutdatedBasisError",
    "Outline",
    "OvertakenError",
    "Page",
    "Portion",
    "Position",
    "PrunePlan",
    "PruneRepository",
    "QueryRepository",
    "RecordUsage",
    "RefRecord",
    "RefRepository",
    "Relation",
    "Repositories",
    "ResetBranch",
    "Residue",
    "Rows",
    "SearchRepository",
    "SetInfo",
    "Sizes",
    "SpoolPart",
    "SpoolRepository",
    "SpooledStream",
    "Standing",
    "StoreCounts",
    "StoreFacts",
    "StoreRepository",
    "StoredCommit",
    "StoredContent",
    "StreamEnd",
    "StreamFate",
    "StreamName",
    "Survey",
    "TagRepository",
    "Taken",
    "TakenBack",
    "TractOrder",
    "TractRepository",
    "TractRow",
    "TractTimes",
    "TransactionRepository",
    "Unindexed",
    "Unread",
    "UsageRepository",
    "VerifyRepository",
]


class Repositories(NamedTuple):
    """All repositories of one open database."""

    commits: CommitRepository
    keys: KeyRepository
    blobs: BlobRepository
    usages: UsageRepository
    histories: HistoryRepository
    comparisons: ComparisonRepository
    checks: VerifyRepository
    refs: RefRepository
    tags: TagRepository
    arrivals: ArrivalRepository
    spools: SpoolRepository
    leases: LeaseRepository
    attachments: AttachmentRepository
    copies: CopyRepository
    copy_targets: CopyTargetRepository
    erasures: ErasureRepository
    prunes: PruneRepository
    tracts: TractRepository
    queries: QueryRepository
    stores: StoreRepository
    searches: SearchRepository
    transactions: TransactionRepository
