"""Checkpoints as LangGraph takes and gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
)

from tract.integrations.langgraph.records import Record
from tract.integrations.langgraph.threads import Whole
from tract.integrations.langgraph.values import Packer

__all__ = ["config_of", "delta_of", "is_wanted", "namespace_of", "thread_of", "tuple_of"]


def thread_of(config: RunnableConfig) -> str:
    """Return the thread that a config names."""
    return str(config["configurable"]["thread_id"])


def namespace_of(config: RunnableConfig) -> str:
    """Return the namespace that a config names."""
    return str(config["configurable"].get("checkpoint_ns", ""))


def config_of(thread: Any, ns: str, checkpoint_id: str | None) -> RunnableConfig:
    """Return a config that names a checkpoint."""
    named = {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}
    return RunnableConfig(configurable=named)


def tuple_of(
    thread: str, found: Whole, packer: Packer, config: RunnableConfig | None = None
) -> CheckpointTuple:
    """Return a checkpoint with everything in it made anew."""
    record = found.record
    rest: Any = record.rest(packer)
    rest["channel_values"] = {channel: found.value(channel, packer) for channel in found.channels}
    return CheckpointTuple(
        config or config_of(thread, record.ns, record.id),
        rest,
        record.metadata(packer),
        config_of(thread, record.ns, record.parent) if record.parent else None,
        [
            (write.task, write.channel, found.unpacked(write.value, packer))
            for write in found.writes
        ],
    )


def is_wanted(
    record: Record,
    config: RunnableConfig | None,
    before: RunnableConfig | None,
    filter: Mapping[str, Any] | None,
    packer: Packer,
) -> bool:
    """Return True if a checkpoint is one that was asked for."""
    wanted = get_checkpoint_id(config) if config else None
    if wanted and record.id != wanted:
        return False
    bound = get_checkpoint_id(before) if before else None
    if bound and record.id >= bound:
        return False
    if not filter:
        return True
    metadata = record.metadata(packer)
    return all(key in metadata and metadata[key] == each for key, each in filter.items())


def delta_of(steps: Sequence[Whole], channel: str, packer: Packer) -> DeltaChannelHistory:
    """Return what a channel had and was written, since a step of the newest that has a value."""
    writes: list[PendingWrite] = []
    for step in steps:
        writes[:0] = [
            (write.task, channel, step.unpacked(write.value, packer))
            for write in step.writes
            if write.channel == channel
        ]
        if channel in step.channels:
            return DeltaChannelHistory(writes=writes, seed=step.value(channel, packer))
    return DeltaChannelHistory(writes=writes)
