"""What the functions of this package ask of a database connection.

They are synchronous and the same for every engine. One whose driver is asynchronous runs them in
greenlets.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from tract.storage.sql.compiled import Statement

__all__ = ["Connection", "Row"]

Row = tuple[Any, ...]


class Connection(Protocol):
    """Runs statements, each with its parameters by name. Writes happen within a transaction."""

    def one(self, statement: Statement, **parameters: Any) -> Row | None:
        """Return the first row of at most one, or None."""

    def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        """Return all rows."""

    def run(self, statement: Statement, **parameters: Any) -> None:
        """Execute a statement that gives no rows."""

    def at_one_moment(self) -> AbstractContextManager[None]:
        """Have all reads of a block see one state, whatever others write meanwhile."""
