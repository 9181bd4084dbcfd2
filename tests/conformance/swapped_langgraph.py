"""A plugin of pytest: tests that name LangGraph's SQLite savers get a `TractSaver`."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint import sqlite
from langgraph.checkpoint.sqlite import aio

from tract.integrations.langgraph import TractSaver


class Swapped(TractSaver):
    """Is made as the savers that it stands for are."""

    @classmethod
    def from_conn_string(cls, conn_string: str) -> Swapped:
        return cls(conn_string)

    def setup(self) -> Any:
        return None


vars(sqlite)["SqliteSaver"] = Swapped
vars(aio)["AsyncSqliteSaver"] = Swapped
