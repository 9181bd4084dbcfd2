"""What a checkpoint becomes: values copied, and messages compared with those of its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from langgraph.checkpoint.base import ChannelVersions, Checkpoint

from tract.integrations.langgraph.landing import Plan
from tract.integrations.langgraph.lists import Change, change_of
from tract.integrations.langgraph.recorder import TractRecorder
from tract.integrations.langgraph.records import Record
from tract.integrations.langgraph.values import Element, Packed, Packer, is_plain

__all__ = ["Place", "planned"]


class Place(NamedTuple):
    """Where a checkpoint goes, and what its parent shows."""

    thread: str
    ns: str
    parent_id: str | None
    parent: Record | None
    elements: list[Element]


def planned(
    place: Place,
    checkpoint: Checkpoint,
    metadata: Mapping[str, Any],
    new: ChannelVersions,
    packer: Packer,
    key: str,
    recorder: TractRecorder,
) -> Plan:
    """Copy what is to be stored, in the caller's thread and before anything is awaited."""
    rest: dict[str, Any] = {**checkpoint}
    values = rest.pop("channel_values")
    parent = place.parent
    kept = _unchanged(parent, checkpoint, new, packer)
    messages = packer.messages(values.get(key))
    packed = [
        (channel, kept[channel] if channel in kept else packer.pack(value))
        for channel, value in values.items()
        if channel != key or messages is None
    ]
    if messages is not None and key in kept and parent is not None and parent.shown is not None:
        change = Change(place.elements, [], [], len(place.elements))
    else:
        change = change_of(place.elements, messages or (), packer)
    return Plan(
        place.thread,
        place.ns,
        checkpoint["id"],
        place.parent_id,
        parent,
        packer.pack_inline(rest),
        packer.pack_inline(metadata),
        {name: each for name, each in metadata.items() if _is_told(each) and is_plain(name)},
        packed,
        list(values),
        None if messages is None else key,
        change,
        {
            element.id: made
            for element in change.elements[change.kept :]
            if (made := recorder.made_with(element.id))
        },
    )


def _is_told(value: Any) -> bool:
    """Return True if a value of the metadata can be queried."""
    return type(value) in (str, int, bool) and is_plain(value) and "\0" not in str(value)


def _unchanged(
    parent: Record | None, checkpoint: Checkpoint, new: ChannelVersions, packer: Packer
) -> Mapping[str, Packed]:
    """Return the stored values of channels that have the version that they had in the parent."""
    if parent is None:
        return {}
    versions, before = checkpoint["channel_versions"], parent.rest(packer)["channel_versions"]
    return {
        channel: value
        for channel, value in parent.values.items()
        if channel not in new and channel in versions and versions[channel] == before.get(channel)
    }
