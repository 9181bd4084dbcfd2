"""Threads of LangGraph's other savers, copied into ours."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    CheckpointTuple,
    get_checkpoint_id,
)

from tract.integrations.langgraph.saver import TractSaver

__all__ = ["ImportReport", "import_threads"]

_WRITES = """
SELECT task_id, task_path, idx, channel FROM writes
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?
ORDER BY task_path, task_id, idx
"""


@dataclass(frozen=True)
class ImportReport:
    """What `import_threads` has done."""

    threads: int
    """Threads that the source has, or of them those that were asked for."""
    checkpoints: int
    """Their checkpoints, all of which are in the target now."""
    writes: int
    """Their pending writes, likewise."""
    kept: int
    """How many of the checkpoints were in the target before."""
    differences: tuple[str, ...]
    """Checkpoints that are other than in the source, as `thread/namespace/id`; none, if all went well."""


async def import_threads(
    source: BaseCheckpointSaver[Any],
    target: TractSaver,
    *,
    thread_ids: Collection[str] | None = None,
) -> ImportReport:
    """Copy threads from another saver, such as an `AsyncSqliteSaver` or `AsyncPostgresSaver`.

    Checkpoints keep their ids, versions, metadata and parents, writes their order and, from an
    `AsyncSqliteSaver`, their task paths. Call it again after it was cut short: what is there is
    kept. At the end each checkpoint is read from both and compared.

    Args:
        source: any saver that lists its checkpoints asynchronously.
        target: where they go.
        thread_ids: only these threads; by default all.
    """
    found = await _configs(source, thread_ids)
    kept = writes = 0
    differences: list[str] = []
    for config in found:
        one = await source.aget_tuple(config)
        if one is None:
            continue  # deleted meanwhile
        other = await target.aget_tuple(config)
        kept += other is not None
        if other is None:
            parent = get_checkpoint_id(one.parent_config) if one.parent_config else None
            at = RunnableConfig(configurable={**config["configurable"], "checkpoint_id": parent})
            versions = one.checkpoint["channel_versions"]
            await target.aput(at, one.checkpoint, one.metadata, versions)
        writes += await _import_writes(source, target, config, one)
        if not _is_same(one, await target.aget_tuple(config), target):
            differences.append("/".join(_named(config)))
    threads = {_named(config)[0] for config in found}
    return ImportReport(len(threads), len(found), writes, kept, tuple(differences))


async def _configs(
    source: BaseCheckpointSaver[Any], thread_ids: Collection[str] | None
) -> list[RunnableConfig]:
    """Return configs of all checkpoints, those of the lowest ids first."""
    asked: Sequence[RunnableConfig | None] = (
        [None]
        if thread_ids is None
        else [RunnableConfig(configurable={"thread_id": each}) for each in thread_ids]
    )
    found = [each.config for config in asked async for each in source.alist(config)]
    return sorted(found, key=_named)


def _named(config: RunnableConfig) -> tuple[str, str, str]:
    named = config["configurable"]
    return str(named["thread_id"]), named.get("checkpoint_ns", ""), named["checkpoint_id"]


async def _import_writes(
    source: BaseCheckpointSaver[Any],
    target: TractSaver,
    config: RunnableConfig,
    found: CheckpointTuple,
) -> int:
    pending = found.pending_writes or []
    places = await _places(source, config) if pending else []
    if [(task, channel) for task, _, _, channel in places] != [each[:2] for each in pending]:
        places = [  # in their order
            (task, f"{number:08}", WRITES_IDX_MAP.get(channel, number), channel)
            for number, (task, channel, _) in enumerate(pending)
        ]
    for (task, path, place, channel), (_, _, value) in zip(places, pending, strict=True):
        await target.aput_write(config, task, path, place, channel, value)
    return len(pending)


async def _places(
    source: BaseCheckpointSaver[Any], config: RunnableConfig
) -> list[tuple[str, str, int, str]]:
    """Return where a database in SQLite keeps each write, which savers do not tell."""
    if type(source).__name__ != "AsyncSqliteSaver":
        return []
    # Its package is not a dependency, so the attribute has no type here.
    async with getattr(source, "conn").execute(_WRITES, _named(config)) as cursor:  # noqa: B009  # see above
        return [tuple(row) async for row in cursor]


def _is_same(one: CheckpointTuple, other: CheckpointTuple | None, target: TractSaver) -> bool:
    if other is None or (one.parent_config is None and other.parent_config is not None):
        return False
    parents = [
        get_checkpoint_id(each.parent_config) if each.parent_config else None
        for each in (one, other)
    ]
    if parents[0] != parents[1]:
        return False
    pairs = [
        (one.checkpoint, other.checkpoint),
        (one.metadata, other.metadata),
        (one.pending_writes or [], other.pending_writes or []),
    ]
    dumps = target.serde.dumps_typed  # of objects that know no equality
    return all(this == that or dumps(this) == dumps(that) for this, that in pairs)
