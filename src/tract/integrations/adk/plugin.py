"""How each event was made: the calls of models, as a plugin of ADK sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.adk.plugins.base_plugin import BasePlugin
from pydantic_core import to_jsonable_python

from tract.integrations.adk.service import TractSessionService

if TYPE_CHECKING:
    from google.adk.agents.callback_context import CallbackContext
    from google.adk.models.llm_request import LlmRequest
    from google.adk.models.llm_response import LlmResponse

__all__ = ["TractPlugin"]

_LEFT_OUT = {"http_options", "labels", "system_instruction", "tools"}


class TractPlugin(BasePlugin):
    """A plugin that records on each event which model and settings made it.

        runner = Runner(app=App(name="travel", root_agent=agent, plugins=[TractPlugin(service)]), …)

    Without it, events have the model and the usage that the API reported.

    Args:
        service: where the events go.
    """

    def __init__(self, service: TractSessionService) -> None:
        super().__init__(name="tract")
        self._calls = service.calls

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        """Note what the call is made with."""
        context = callback_context
        self._calls.note(context.invocation_id, context.agent_name, _settings(llm_request))
        return None


def _settings(request: LlmRequest) -> dict[str, Any]:
    """Return what a call is made with; headers, which may hold secrets, are not."""
    config = request.config
    given = config.model_dump(exclude_none=True, exclude=_LEFT_OUT) if config else {}
    found = {"model": request.model, **given, "tools": sorted(request.tools_dict)}
    plain: dict[str, Any] = to_jsonable_python(
        {key: value for key, value in found.items() if value not in (None, [], {})},
        serialize_unknown=True,
        inf_nan_mode="null",
    )
    return plain
