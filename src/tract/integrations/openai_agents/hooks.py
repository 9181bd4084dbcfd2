"""What records how each item was made: run hooks, and a model that sees what a run overrides."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from agents import Agent, Model, ModelResponse, ModelSettings, RunContextWrapper, RunHooks
from openai.types.responses import Response, ResponseCompletedEvent

if TYPE_CHECKING:
    from agents import ModelRetryAdvice, ModelRetryAdviceRequest
    from agents.items import TResponseInputItem, TResponseStreamEvent

__all__ = ["Call", "Context", "Hooked", "RecordingModel", "TractHooks"]

_UNCLAIMED = 64  # settings kept for hooks that may never ask

Context: TypeAlias = RunContextWrapper[Any]


class TractHooks(RunHooks[Any]):
    """Run hooks that record on each item which agent, model and settings made it, and its usage.

    They see the settings of the agent. Those that a run overrides are seen by a `RecordingModel`.
    """

    def __init__(self) -> None:
        self._calls: WeakKeyDictionary[Context, Call] = WeakKeyDictionary()
        self._sent: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()

    def call(self, wrapper: Context | None) -> Call | None:
        """Return the newest call of a run."""
        return None if wrapper is None else self._calls.get(wrapper)

    def sent(self, response: ModelResponse | Response, settings: dict[str, Any]) -> None:
        """Note the settings that *response* was really made with."""
        self._sent[_key(response)] = settings
        if len(self._sent) > _UNCLAIMED:  # of runs without these hooks
            self._sent.popitem(last=False)

    async def on_llm_start(
        self,
        context: Context,
        agent: Agent[Any],
        system_prompt: str | None,
        input_items: list[TResponseInputItem],
    ) -> None:
        """Note what the call is made with."""
        self._calls[context] = Call(agent)

    async def on_llm_end(
        self, context: Context, agent: Agent[Any], response: ModelResponse
    ) -> None:
        """Note the answer, whose items come to the session later."""
        call = self._calls.get(context)
        if call is not None:
            call.answered(response, self._sent.pop(_key(response), None))


class Hooked(Protocol):
    """What has run hooks: a `TractSession`."""

    hooks: TractHooks


class RecordingModel(Model):
    """A model that tells a session's hooks the settings of each call, whatever the run overrides.

        agent = Agent("helper", model=RecordingModel(OpenAIResponsesModel("gpt-5", client), session))

    Args:
        model: the model that is called.
        session: whose `hooks` the run has.
    """

    def __init__(self, model: Model, session: Hooked) -> None:
        self._model = model
        self._hooks = session.hooks

    async def get_response(self, *args: Any, **options: Any) -> ModelResponse:
        """Call the model."""
        response = await self._model.get_response(*args, **options)
        self._hooks.sent(response, self._settings(args, options))
        return response

    async def stream_response(
        self, *args: Any, **options: Any
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Call the model, and pass its events on as they come."""
        async for event in self._model.stream_response(*args, **options):
            if isinstance(event, ResponseCompletedEvent):
                self._hooks.sent(event.response, self._settings(args, options))
            yield event

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()

    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        """Return the model's own advice."""
        return self._model.get_retry_advice(request)

    def _settings(self, args: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        given = options["model_settings"] if "model_settings" in options else args[2]
        return _settings(self._model, given)


def _key(response: ModelResponse | Response) -> Hashable:
    """Return what tells a response from others; the hooks get one that a stream told as another object."""
    if isinstance(response, Response):
        return response.id
    return response.response_id or id(response)


def _settings(model: str | Model | None, settings: ModelSettings) -> dict[str, Any]:
    """Return what a call was made with; headers and further fields, which may hold secrets, are not."""
    name = model if isinstance(model, str) else getattr(model, "model", None)
    found = {"model": name if isinstance(name, str) else type(model).__name__ if model else None}
    found |= settings.to_traceable_dict()
    return {key: value for key, value in found.items() if value is not None}


class Call:
    """A call of a model."""

    def __init__(self, agent: Agent[Any]) -> None:
        self.usage: dict[str, int] | None = None
        """What the API reported, until it is recorded."""
        self._settings = _settings(agent.model, agent.model_settings)
        self._metadata = {"agent": agent.name}

    def answered(self, response: ModelResponse, settings: dict[str, Any] | None) -> None:
        """Note the answer, and the settings that were really sent, if they are known."""
        self._settings = settings or self._settings
        if response.response_id is not None:
            self._metadata["response_id"] = response.response_id
        found = response.usage
        if found.input_tokens:
            self.usage = {"input_tokens": found.input_tokens, "output_tokens": found.output_tokens}

    def options(self) -> dict[str, Any]:
        """Return what `commit` takes for the items of the answer."""
        return {"generation_config": self._settings, "metadata": self._metadata}
