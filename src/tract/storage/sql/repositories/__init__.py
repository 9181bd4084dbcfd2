"""The repositories over SQL: each method is one function that the database runs."""

from __future__ import annotations

from tract.storage.repositories import Repositories
from tract.storage.sql.database import Database
from tract.storage.sql.repositories.commits import (
    SqlAttachmentRepository,
    SqlBlobRepository,
    SqlCommitRepository,
    SqlKeyRepository,
    SqlQueryRepository,
    SqlUsageRepository,
)
from tract.storage.sql.repositories.copies import SqlCopyRepository, SqlCopyTargetRepository
from tract.storage.sql.repositories.erasures import SqlErasureRepository, SqlPruneRepository
from tract.storage.sql.repositories.histories import (
    SqlComparisonRepository,
    SqlHistoryRepository,
    SqlVerifyRepository,
)
from tract.storage.sql.repositories.leases import SqlLeaseRepository
from tract.storage.sql.repositories.refs import (
    SqlArrivalRepository,
    SqlRefRepository,
    SqlTagRepository,
)
from tract.storage.sql.repositories.searches import SqlSearchRepository
from tract.storage.sql.repositories.spools import SqlSpoolRepository
from tract.storage.sql.repositories.tracts import SqlStoreRepository, SqlTractRepository
from tract.storage.sql.repositories.transactions import SqlTransactionRepository

__all__ = ["repositories_over"]


def repositories_over(database: Database) -> Repositories:
    """Return all repositories of one open database."""
    return Repositories(
        commits=SqlCommitRepository(database),
        keys=SqlKeyRepository(database),
        blobs=SqlBlobRepository(database),
        usages=SqlUsageRepository(database),
        histories=SqlHistoryRepository(database),
        comparisons=SqlComparisonRepository(database),
        checks=SqlVerifyRepository(database),
        refs=SqlRefRepository(database),
        tags=SqlTagRepository(database),
        arrivals=SqlArrivalRepository(database),
        spools=SqlSpoolRepository(database),
        leases=SqlLeaseRepository(database),
        attachments=SqlAttachmentRepository(database),
        copies=SqlCopyRepository(database),
        copy_targets=SqlCopyTargetRepository(database),
        erasures=SqlErasureRepository(database),
        prunes=SqlPruneRepository(database),
        tracts=SqlTractRepository(database),
        queries=SqlQueryRepository(database),
        stores=SqlStoreRepository(database),
        searches=SqlSearchRepository(database),
        transactions=SqlTransactionRepository(database),
    )
