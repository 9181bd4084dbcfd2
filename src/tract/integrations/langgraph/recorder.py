"""A callback handler of LangChain's that notes how each message of a model was made."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from tract.integrations.langgraph.values import is_plain
from tract.integrations.secrecy import without_secrets

__all__ = ["TractRecorder"]

_UNCLAIMED = 1024  # calls and messages kept for checkpoints that may never come


class TractRecorder(BaseCallbackHandler):
    """Notes model, settings, tools, node and usage of each call, by the id of the message it made.

    A saver has one, as `recorder`: give it to a run as a callback. The message that a call made
    then has these as config and metadata of its commit, once a checkpoint shows it under the id
    that the model gave it.
    """

    run_inline = True

    def __init__(self) -> None:
        self._calls: OrderedDict[UUID, dict[str, Any]] = OrderedDict()
        self._made: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Note what a call is made with; headers and further fields, which may hold secrets, are not."""
        given: Mapping[str, Any] = options.get("invocation_params") or {}
        plain = {
            key: value
            for key, value in given.items()
            if value is not None and is_plain({key: value})
        }
        config = without_secrets(plain)
        told = metadata or {}
        if "model" not in config and isinstance(told.get("ls_model_name"), str):
            config["model"] = told["ls_model_name"]
        about = {"node": told["langgraph_node"]} if "langgraph_node" in told else {}
        _keep(self._calls, run_id, {"generation_config": config, "metadata": about})

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Note which messages a call has made."""
        call = self._calls.pop(run_id, None)
        if call is None:
            return
        for generation in (each for some in response.generations for each in some):
            message = generation.message if isinstance(generation, ChatGeneration) else None
            if message is None or message.id is None:
                continue
            usage = getattr(message, "usage_metadata", None)
            about = {**call["metadata"], **({"usage": usage} if is_plain(usage) and usage else {})}
            _keep(self._made, message.id, {**call, "metadata": about})

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Forget a call that failed."""
        self._calls.pop(run_id, None)

    def made_with(self, message_id: str | None) -> dict[str, Any] | None:
        """Return what `commit` takes for a message, or None if no call is known that made it."""
        return None if message_id is None else self._made.get(message_id)


def _keep(kept: OrderedDict[Any, dict[str, Any]], key: Any, value: dict[str, Any]) -> None:
    kept[key] = value
    if len(kept) > _UNCLAIMED:
        kept.popitem(last=False)
