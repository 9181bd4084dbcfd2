"""The tables as `schema` declares them, created without the migrations."""

from __future__ import annotations

import sqlite3

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from tract.storage.schema import METADATA

__all__ = ["create_tables"]


def create_tables(connection: sqlite3.Connection) -> None:
    """Create every table and index of the newest schema."""
    for table in METADATA.sorted_tables:
        clauses: list[ExecutableDDLElement] = [CreateTable(table)]
        clauses += map(CreateIndex, sorted(table.indexes, key=str))
        for clause in clauses:
            connection.execute(str(clause.compile(dialect=sqlite.dialect())))
