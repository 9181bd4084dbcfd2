"""`TractCapability`: notes what each response was made with, for the commit that will hold it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import RunContext
from pydantic_core import to_jsonable_python

from tract.integrations.secrecy import without_secrets

__all__ = ["TractCapability"]

_UNCLAIMED = 1024  # responses that are kept for a save that may never come


class TractCapability(AbstractCapability[Any]):
    """Records model, resolved settings and tools on the response of each call.

    Give it to agents, or to single runs, as one of `capabilities`. The store has one.
    """

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, tuple[dict[str, Any], dict[str, Any]]] = OrderedDict()

    async def after_model_request(
        self,
        ctx: RunContext[Any],
        *,
        request_context: ModelRequestContext,
        response: ModelResponse,
    ) -> ModelResponse:
        """Note the call."""
        agent = ctx.agent.name if ctx.agent is not None else None
        metadata = {} if agent is None else {"agent": agent}
        self._made[_key(response, ctx.run_id)] = _config(request_context, response), metadata
        if len(self._made) > _UNCLAIMED:
            self._made.popitem(last=False)
        return response

    def made(self, response: ModelResponse) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return config and metadata of a response; what it says itself if no call was seen."""
        config, metadata = self._made.get(_key(response, response.run_id), ({}, {}))
        if not config and response.model_name is not None:
            config = {"model": response.model_name}
        own = {"run_id": response.run_id, "response_id": response.provider_response_id}
        return config, metadata | {name: text for name, text in own.items() if text is not None}


def _key(response: ModelResponse, run_id: str | None) -> Hashable:
    """Return what tells a response from others; other capabilities may replace the object."""
    return run_id, response.timestamp


def _config(request: ModelRequestContext, response: ModelResponse) -> dict[str, Any]:
    """Return what a call was made with; headers and bodies, which may hold secrets, are not."""
    given, asked = request.model_settings or {}, request.model_request_parameters
    settings = without_secrets(
        {
            name: to_jsonable_python(value, fallback=repr, serialize_unknown=True)
            for name, value in given.items()
            if value is not None
        }
    )
    tools = [tool.name for tool in (*asked.function_tools, *asked.output_tools)]
    native = [tool.unique_id for tool in asked.native_tools]
    found = {
        "model": request.model.model_name,
        "provider": request.model.system,
        **settings,
        "tools": tools,
        "native_tools": native,
    }
    return {name: value for name, value in found.items() if value not in (None, [])}
