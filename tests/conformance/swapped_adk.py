"""A plugin of pytest: tests that name ADK's `SqliteSessionService` get a `TractSessionService`."""

from __future__ import annotations

from google.adk.sessions import sqlite_session_service

from tract.integrations.adk import TractSessionService


class SqliteSessionService(TractSessionService):
    """Takes the argument of the service that it stands for."""

    def __init__(self, db_path: str) -> None:
        super().__init__(db_path)


vars(sqlite_session_service)["SqliteSessionService"] = SqliteSessionService
