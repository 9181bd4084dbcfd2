"""Conditions on generation configs by PostgreSQL's JSON functions, and their indexes."""

from __future__ import annotations

from sqlalchemy import ColumnElement

from tract.models.queries.query import Condition, ConfigPath
from tract.storage.postgres.json.conditions import holds
from tract.storage.postgres.json.config_index import INDEXES, index_sql, narrowed
from tract.storage.postgres.json.functions import FUNCTIONS
from tract.storage.sql.configs.language import ConfigLanguage
from tract.storage.sql.statements.compiled import Statement

__all__ = ["FUNCTIONS", "PostgresConfigLanguage"]


class PostgresConfigLanguage(ConfigLanguage):
    """PostgreSQL's JSON functions, and `FUNCTIONS`."""

    @property
    def indexes(self) -> Statement:
        return INDEXES

    def holds(self, condition: Condition) -> ColumnElement[bool]:
        return holds(condition)

    def narrowed(self, condition: Condition) -> ColumnElement[bool] | None:
        return narrowed(condition)

    def index_sql(self, name: str, path: ConfigPath) -> str:
        return index_sql(name, path)
