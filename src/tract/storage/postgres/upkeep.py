"""What a store on a server is, and having the server free what was deleted there."""

from __future__ import annotations

from tract.storage.postgres.connections.links import Raw
from tract.storage.postgres.targets import quoted
from tract.storage.repositories import Residue, StoreFacts
from tract.storage.schema import METADATA

__all__ = ["facts", "vacuum"]

_TABLES = [*METADATA.tables]
_SIZE = "SELECT sum(pg_total_relation_size(name::regclass))::bigint FROM unnest($1::text[]) AS name"
_IS_SEARCHED = "SELECT to_regclass('search_docs') IS NOT NULL"
_REINDEX = "REINDEX INDEX CONCURRENTLY ix_search_docs_vector"
"""The index keeps words that no row has any more, whatever was vacuumed."""
_DEAD = (
    "SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_class AS own "
    "JOIN unnest($1::text[]) AS name ON own.oid = name::regclass "
    "JOIN pg_stat_all_tables AS found ON found.relid IN (own.oid, own.reltoastrelid)"
)
_FOR_EVER = 1e9


async def facts(raw: Raw, *, read_only: bool) -> StoreFacts:
    """See `StoreRepository.facts`. Commits are durable whatever the server's default is."""
    version = str(await raw.fetchval("SHOW server_version"))
    nbytes = int(await raw.fetchval(_SIZE, _TABLES))
    return StoreFacts("postgresql", version, "full", read_only, nbytes)


async def vacuum(raw: Raw) -> Residue | None:
    """Have the server free the former versions of rows.

    Returns:
        `vacuum` if it kept some, for transactions that were begun before.
    """
    is_searched = await raw.fetchval(_IS_SEARCHED)
    tables = [*_TABLES, "search_docs", "search_new"] if is_searched else _TABLES
    await raw.execute(f"VACUUM {', '.join(map(quoted, tables))}", timeout=_FOR_EVER)
    if is_searched:
        await raw.execute(_REINDEX, timeout=_FOR_EVER)
    return "vacuum" if await raw.fetchval(_DEAD, tables) else None
