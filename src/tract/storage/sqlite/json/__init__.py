"""Conditions on generation configs by SQLite's JSON functions, and the indexes that speed them up."""

from __future__ import annotations

from sqlalchemy import ColumnElement

from tract.models.queries.query import Condition, ConfigPath
from tract.storage.sql.configs.language import ConfigLanguage
from tract.storage.sql.statements.compiled import Statement
from tract.storage.sqlite.json.conditions import holds
from tract.storage.sqlite.json.config_index import INDEXES, index_sql, narrowed

__all__ = ["SqliteConfigLanguage"]


class SqliteConfigLanguage(ConfigLanguage):
    """SQLite's JSON functions."""

    @property
    def indexes(self) -> Statement:
        return INDEXES

    def holds(self, condition: Condition) -> ColumnElement[bool]:
        return holds(condition)

    def narrowed(self, condition: Condition) -> ColumnElement[bool] | None:
        return narrowed(condition)

    def index_sql(self, name: str, path: ConfigPath) -> str:
        return index_sql(name, path)
