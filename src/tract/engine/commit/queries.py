"""Reading commits as callers see them: one commit, its content, logs and queries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel

from tract.engine.commit.infos import annotation_of, commit_infos
from tract.engine.compile.reading import settled
from tract.engine.contents.registry import ContentLoader
from tract.engine.threads import Threads
from tract.exceptions import ContentValidationError
from tract.models.annotations import PriorityAnnotation
from tract.models.commit import CommitInfo
from tract.models.merging import Origin, OriginKind
from tract.models.queries.query import Condition, ConfigField
from tract.protocols import UnsetType
from tract.storage.repositories import BranchName, CommitRow, Repositories, StoredContent

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
        content = await settled(partial(self._content, tract_id, commit_hash))
        if not isinstance(content, kind):
            raise ContentValidationError(
                f"the commit holds a {type(content).__name__}, not a {kind.__name__}. Pass that "
                "class as `as_`, or leave `as_` out",
                "as_",
            )
        return content

    async def _content(self, tract_id: str, commit_hash: str) -> BaseModel:
        row, data = await self._storage.blobs.get(tract_id, commit_hash)
        return await self._contents.load(tract_id, row.content_type, data)

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
        log = self._storage.histories.log_contents
        read = partial(log, branch, limit=limit, before=before, in_context=in_context)
        return await settled(partial(self._with_contents, branch.tract_id, read))

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

    async def query_contents(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool,
        limit: int | None,
        newest: bool,
        after: str | None,
        before: str | None,
    ) -> list[tuple[CommitInfo, BaseModel]]:
        read = partial(
            self._storage.queries.query_contents,
            branch,
            conditions,
            branch_only=branch_only,
            limit=limit,
            newest=newest,
            after=after,
            before=before,
        )
        return await settled(partial(self._with_contents, branch.tract_id, read))

    async def _with_contents(
        self,
        tract_id: str,
        read: Callable[[], Awaitable[Sequence[tuple[CommitRow, StoredContent]]]],
    ) -> list[tuple[CommitInfo, BaseModel]]:
        found = await read()
        infos = await commit_infos(self._threads, [row for row, _ in found])
        contents = await self._contents.load_all(tract_id, [stored for _, stored in found])
        return list(zip(infos, contents, strict=True))

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
