"""The tools as a server of the Model Context Protocol, over stdin and stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from functools import partial, wraps
from importlib.metadata import version
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from anyio.to_thread import run_sync
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

import tract
from tract.cli.escaping import block
from tract.cli.mcp.answers import NOTICE, written
from tract.cli.mcp.stdin import interruptible_stdin
from tract.cli.mcp.tools import Shape, Tools
from tract.cli.running import CommandError

if TYPE_CHECKING:
    from tract import SyncStore

__all__ = ["serve"]

_INSTRUCTIONS = f"""\
These tools read a store of agents' contexts, a history like git's: a tract is one conversation, its
commits are messages, edits and tool calls, and branches and tags name commits. Nothing can be changed.
Begin with `tracts`. Every answer is a JSON object. Its `next` has the arguments that get the next page
from the same tool, or is null.

{NOTICE}
"""
_NAMES = ("tracts", "branches", "log", "show", "compile", "diff", "search")
_ERROR = 1_000  # characters of an error's text


async def serve(store: SyncStore, tract_ids: Collection[str] | None = None) -> None:
    """Answer a client until it closes stdin."""
    server: MCPServer[Any] = MCPServer(
        "asynctract",
        title="AsyncTract",
        instructions=_INSTRUCTIONS,
        version=version("asynctract"),
        log_level="WARNING",
    )
    hints = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    tools = Tools(store, tract_ids)
    for name in _NAMES:
        told = getattr(tools, name)
        server.add_tool(
            _answering(told),
            name=name,
            description=f"{cleandoc(told.__doc__)} {NOTICE}",
            annotations=hints,
            structured_output=False,
        )
    with interruptible_stdin() as end:
        serving = asyncio.create_task(server.run_stdio_async())
        try:
            await asyncio.shield(serving)
        finally:
            end()
            await serving


def _answering(tool: Callable[..., Shape]) -> Callable[..., Coroutine[Any, Any, str]]:
    """Let a tool run in a thread, answer by JSON, and fail by a text that the model can act on."""

    @wraps(tool)
    async def run(**arguments: Any) -> str:
        try:
            return await run_sync(partial(_answer, tool, arguments))
        except (tract.TractError, CommandError, ValueError) as error:
            raise ToolError(block(str(error))[:_ERROR]) from None

    return run


def _answer(tool: Callable[..., Shape], arguments: dict[str, Any]) -> str:
    return written({"notice": NOTICE, **tool(**arguments)})
