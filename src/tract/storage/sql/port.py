"""What the functions of this package need from a database connection.

They are synchronous and the same for every engine; an engine with an asynchronous driver runs them
in greenlets.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from tract.storage.sql.statements.compiled import Lookup, Statement

__all__ = ["Connection", "Row"]

Row = tuple[Any, ...]


class Connection(Protocol):
    """Runs statements, with parameters by name. Writes happen within a transaction."""

    def one(self, statement: Statement, **parameters: Any) -> Row | None:
        """Return the only row, or None if there is none."""

    def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        """Return all rows."""

    def find(
        self, lookup: Lookup, keys: Iterable[bytes | str | int], **parameters: Any
    ) -> list[Row]:
        """Return the rows that have any of *keys*, in any order; each once, however often named."""

    def run(self, statement: Statement, **parameters: Any) -> None:
        """Execute a statement that returns no rows."""

    def change(self, statement: Statement, **parameters: Any) -> int:
        """Execute a statement that writes at once; return how many rows it has written."""

    def at_one_moment(self) -> AbstractContextManager[None]:
        """Let all reads of a block see one state, whatever others write meanwhile."""

    def lenient_text(self) -> AbstractContextManager[None]:
        """Have the reads of a block return text that is damaged as bytes, not raise an error."""
