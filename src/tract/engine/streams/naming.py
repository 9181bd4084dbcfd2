"""Names of tools that were fitted to an API, mapped back when a reply calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tract.engine.compile.reading import ContextReader, ViewOptions
from tract.engine.streams.arrived import Arrived
from tract.exceptions import TractError
from tract.formats.fitting import fitting_name
from tract.formats.format import Rules
from tract.formats.registry import FORMATS
from tract.formats.telling import api_of
from tract.storage.repositories import BranchName, Position

__all__ = ["restore_names"]

_FITTED = re.compile(r"_[0-9a-f]{8}$")
"""How every name ends that had to be fitted; see `tract.formats.fitting`."""


async def restore_names(
    arrived: Arrived, names: Iterable[str], branch: BranchName, contexts: ContextReader
) -> None:
    """Give calls, of tools of these *names*, the own names of the tools that were in force when the reply was asked for.

    Only if a call has a name that looks fitted, the context that was sent is read.
    """
    format_, head = arrived.format, arrived.preamble.get("head")
    called = {name for name in names if _FITTED.search(name)}
    if format_ is None or head is None or not called:
        return
    try:
        found = await contexts.snapshot(branch, Position(head))
        context = await contexts.view(found, ViewOptions(aggregate_same_role=False))
        own = _own_names(context.tools, format_.rules)
    except TractError:  # a context that cannot be shown must not cost the reply
        return
    wanted = {name: own[name] for name in called if name in own}
    if wanted:
        arrived.rewrite([_renamed(item, wanted) for item in arrived.reply.items])


def _own_names(tools: list[dict[str, Any]], rules: Rules) -> dict[str, str]:
    """Return the tools that have to be fitted, by their fitted names."""
    format_ = FORMATS.get(api_of(tools)) if tools else None
    if format_ is None:
        return {}
    names = {tool.name for given in tools for tool in format_.read_tool(given)}
    found = {fitting_name(name, rules): name for name in names}
    return {fitted: name for fitted, name in found.items() if fitted not in names}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return an item with other names; all APIs keep a call's name under the key `name`."""
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: names.get(each, each)
        if key == "name" and isinstance(each, str)
        else _renamed(each, names)
        for key, each in value.items()
    }
