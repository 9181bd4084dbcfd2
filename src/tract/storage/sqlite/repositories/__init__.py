"""The repositories over SQLite: each method is one trip to a connection's thread."""

from __future__ import annotations

from tract.storage.repositories import Repositories
from tract.storage.sqlite.database import Database
from tract.storage.sqlite.repositories.attachments import SqliteAttachmentRepository
from tract.storage.sqlite.repositories.commits import (
    SqliteBlobRepository,
    SqliteCommitRepository,
    SqliteUsageRepository,
)
from tract.storage.sqlite.repositories.histories import (
    SqliteComparisonRepository,
    SqliteHistoryRepository,
    SqliteVerifyRepository,
)
from tract.storage.sqlite.repositories.refs import (
    SqliteArrivalRepository,
    SqliteRefRepository,
    SqliteTagRepository,
)
from tract.storage.sqlite.repositories.spools import SqliteSpoolRepository

__all__ = ["repositories_over"]


def repositories_over(database: Database) -> Repositories:
    """Return all repositories of one open database."""
    return Repositories(
        commits=SqliteCommitRepository(database),
        blobs=SqliteBlobRepository(database),
        usages=SqliteUsageRepository(database),
        histories=SqliteHistoryRepository(database),
        comparisons=SqliteComparisonRepository(database),
        checks=SqliteVerifyRepository(database),
        refs=SqliteRefRepository(database),
        tags=SqliteTagRepository(database),
        arrivals=SqliteArrivalRepository(database),
        spools=SqliteSpoolRepository(database),
        attachments=SqliteAttachmentRepository(database),
    )
