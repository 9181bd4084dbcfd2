"""How each event was made: the calls of models, as a plugin of ADK sees them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from google.adk.events.event import Event
from google.adk.plugins.base_plugin import BasePlugin
from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from google.adk.agents.callback_context import CallbackContext
    from google.adk.models.llm_request import LlmRequest
    from google.adk.models.llm_response import LlmResponse

    from tract.integrations.adk.service import TractSessionService

__all__ = ["Calls", "Made", "TractPlugin"]

_MOST = 1024  # calls that are kept for events that may never come
_LEFT_OUT = {"http_options", "labels", "system_instruction", "tools"}


class Made(NamedTuple):
    """How an event was made; nothing, if no model made it."""

    config: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


class Calls:
    """The newest call of each agent in each invocation."""

    def __init__(self) -> None:
        self._settings: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    def note(self, invocation_id: str, agent: str, settings: dict[str, Any]) -> None:
        """Note what a call is made with."""
        self._settings[invocation_id, agent] = settings
        self._settings.move_to_end((invocation_id, agent))
        if len(self._settings) > _MOST:
            self._settings.popitem(last=False)

    def of(self, event: Event) -> Made:
        """Return how an event was made."""
        content, usage = event.content, event.usage_metadata
        if event.author == "user" or (content is not None and content.role == "user"):
            return Made()
        config = self._settings.get((event.invocation_id, event.author), {})
        if event.model_version:
            config = {"model": event.model_version} | config
        report = None
        if usage is not None and usage.prompt_token_count:
            report = usage.model_dump(mode="json", exclude_none=True)
        return Made(config or None, report)


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
