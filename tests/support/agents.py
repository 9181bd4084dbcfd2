"""A model of the OpenAI Agents SDK that answers what it was told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from agents import Model, ModelResponse, ModelSettings, Usage
from agents.items import TResponseInputItem, TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseUsage,
)

__all__ = ["ITEMS", "Answering", "called", "said"]

_NUMBERS = count()

ITEMS: list[Any] = [
    {"role": "user", "content": "How is the weather in Oslo?"},
    {"role": "developer", "content": "Be terse."},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
    {
        "type": "function_call",
        "call_id": "call_1",
        "name": "weather",
        "arguments": '{"city":"Oslo"}',
    },
    {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Rain.", "annotations": []}],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "input_image",
                "detail": "auto",
                "image_url": "data:image/png;base64,aGVsbG8gd29ybGQsIGhlbGxvIHdvcmxkLCBoZWxsbyB3b3JsZCwgaGVsbG8gd29ybGQh",
            }
        ],
    },
    {"type": "something_new", "of": ["a", {"later": "release"}]},
]
"""One of each kind that a session keeps."""


def said(text: str) -> ResponseOutputItem:
    """Return what a model says."""
    return ResponseOutputMessage(
        id=f"msg_{next(_NUMBERS)}",
        type="message",
        role="assistant",
        status="completed",
        content=[ResponseOutputText(type="output_text", text=text, annotations=[])],
    )


def called(name: str, arguments: str = "{}") -> ResponseOutputItem:
    """Return a call of a tool."""
    return ResponseFunctionToolCall(
        type="function_call", call_id=f"call_{next(_NUMBERS)}", name=name, arguments=arguments
    )


class Answering(Model):
    """Answers each call with the next of *answers*."""

    def __init__(self, *answers: list[ResponseOutputItem], model: str = "a-model") -> None:
        self.model: str = model
        self.inputs: list[list[TResponseInputItem]] = []
        """What it was sent."""
        self._answers = iter(answers)

    async def get_response(self, *args: Any, **options: Any) -> ModelResponse:
        response = self._answer(args, options)
        usage = Usage(requests=1, input_tokens=11, output_tokens=7, total_tokens=18)
        return ModelResponse(output=response.output, usage=usage, response_id=response.id)

    async def stream_response(
        self, *args: Any, **options: Any
    ) -> AsyncIterator[TResponseStreamEvent]:
        response = self._answer(args, options)
        yield ResponseCompletedEvent(
            type="response.completed", response=response, sequence_number=0
        )

    def _answer(self, args: Any, options: Any) -> Response:
        given = options["input"] if "input" in options else args[1]
        settings = options["model_settings"] if "model_settings" in options else args[2]
        assert isinstance(settings, ModelSettings)
        self.inputs.append(list(given))
        return Response(
            id=f"resp_{next(_NUMBERS)}",
            created_at=0,
            model=self.model,
            object="response",
            output=next(self._answers),
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=False,
            usage=ResponseUsage.model_validate(
                {
                    "input_tokens": 11,
                    "output_tokens": 7,
                    "total_tokens": 18,
                    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                    "output_tokens_details": {"reasoning_tokens": 0},
                }
            ),
        )
