"""Conditions on generation configs by SQLite's JSON functions, and the indexes that speed them up."""

from __future__ import annotations

from collections.abc import Collection

from tract.models.query import ConfigCondition, ConfigPath
from tract.storage.sql.compiled import Statement
from tract.storage.sql.port import Connection
from tract.storage.sql.statements import Walk
from tract.storage.sqlite.json.conditions import matching, meeting
from tract.storage.sqlite.json.config_index import create_config_index, has_config_index

__all__ = ["SqliteConfigLanguage"]


class SqliteConfigLanguage:
    """A `ConfigLanguage`."""

    def matching(
        self, *conditions: ConfigCondition, indexed: Collection[ConfigPath] = ()
    ) -> Statement:
        return matching(*conditions, indexed=indexed)

    def meeting(self, *conditions: ConfigCondition) -> Walk:
        return meeting(*conditions)

    def has_index(self, connection: Connection, path: ConfigPath) -> bool:
        return has_config_index(connection, path)

    def create_index(self, connection: Connection, path: ConfigPath) -> None:
        create_config_index(connection, path)
