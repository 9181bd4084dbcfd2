"""Reading commits as callers see them: one commit, its content, logs and queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from tract.engine.commit.infos import annotation_of, commit_infos
from tract.engine.compile.attachments import ContentLoader
from tract.engine.threads import Threads
from tract.exceptions import ContentValidationError
from tract.models.annotations import PriorityAnnotation
from tract.models.commit import CommitInfo
from tract.models.merging import Origin, OriginKind
from tract.models.query import Condition, ConfigField
from tract.protocols import UnsetType
from tract.storage.repositories import BranchName, Repositories

__all__ = ["CommitQueries"]

C = TypeVar("C", bound=BaseModel)


class CommitQueries:
    """Reads the commits of one store; each method is that of `AsyncTract`."""

    def __init__(
        self,
        storage: Repositories,
        contents: ContentLoader,
        threads: Threads,
    ) -> None:
        self._storage = storage
        self._contents = contents
        self._threads = threads

    async def get(self, tract_id: str, commit_hash: str) -> CommitInfo | None:
        row = await self._storage.commits.get(tract_id, commit_hash)
        found = await commit_infos(self._threads, [row] if row else [])
        return found[0] if found else None

    async def content(self, tract_id: str, commit_hash: str, kind: type[C]) -> C:
        row, data = await self._storage.blobs.get(tract_id, commit_hash)
        content = await self._contents.load(tract_id, row.content_type, data)
        if not isinstance(content, kind):
            raise ContentValidationError(
                f"the commit holds a {type(content).__name__}, not a {kind.__name__}. Pass that "
                "class as `as_`, or leave `as_` out",
                "as_",
            )
        return content

    async def log(
        self,
        branch: BranchName,
        limit: int | None,
        before: str | UnsetType | None,
        *,
        in_context: bool,
    ) -> list[CommitInfo]:
        rows = await self._storage.histories.log(
            branch, limit=limit, before=before, in_context=in_context
        )
        return await commit_infos(self._threads, rows)

    async def log_contents(
        self,
        branch: BranchName,
        limit: int | None,
        before: str | UnsetType | None,
        *,
        in_context: bool,
    ) -> list[tuple[CommitInfo, BaseModel]]:
        found = await self._storage.histories.log_contents(
            branch, limit=limit, before=before, in_context=in_context
        )
        infos = await commit_infos(self._threads, [row for row, _ in found])
        contents = await self._contents.load_all(branch.tract_id, [each for _, each in found])
        return list(zip(infos, contents, strict=True))

    async def annotations(self, branch: BranchName, target: str) -> list[PriorityAnnotation]:
        stored = await self._storage.histories.annotations(branch, target)
        return [annotation_of(item.record, item.data) for item in stored]

    async def query(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool,
        limit: int | None,
        newest: bool,
        after: str | None,
        before: str | None,
    ) -> list[CommitInfo]:
        rows = await self._storage.queries.query(
            branch,
            conditions,
            branch_only=branch_only,
            limit=limit,
            newest=newest,
            after=after,
            before=before,
        )
        return await commit_infos(self._threads, rows)

    async def count(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool,
        after: str | None,
        before: str | None,
    ) -> int:
        return await self._storage.queries.count(
            branch, conditions, branch_only=branch_only, after=after, before=before
        )

    async def contents_of(
        self, tract_id: str, infos: Sequence[CommitInfo]
    ) -> list[tuple[CommitInfo, BaseModel]]:
        named = [info.commit_hash for info in infos]
        stored = await self._storage.blobs.get_many(tract_id, named)
        return list(zip(infos, await self._contents.load_all(tract_id, stored), strict=True))

    async def by_config(
        self, tract_id: str, field: ConfigField, operator: str, value: Any, limit: int | None
    ) -> list[CommitInfo]:
        rows = await self._storage.commits.get_by_config(
            tract_id, field, operator, value, limit=limit
        )
        return await commit_infos(self._threads, rows)

    async def create_index(self, field: ConfigField) -> None:
        await self._storage.commits.create_config_index(field)

    async def origins(self, tract_id: str, commit: str | UnsetType | None) -> list[Origin]:
        return [
            Origin(kind=OriginKind(kind), source_hash=source, commit_hash=made)
            for made, (kind, source) in await self._storage.histories.origins(tract_id, commit)
        ]
