"""Chat Completions, as a server speaks it; calls that were thought about are signed.

The signature is where Gemini's Chat Completions have it (`extra_content`), the thinking where
DeepSeek has it (`reasoning_content`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from providers.answers import Answer, Body, Seal, Speaker, exact, pieces, tokens
from providers.exchanges import Event


def _whole(answer: Answer, number: int, request: Body) -> Body:
    message = _message(answer, number)
    reason = "tool_calls" if answer.calls else "length" if answer.cut_off else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    prompt, completion = tokens(exact(request["messages"])), tokens(exact(message))
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_754_432_618,
        "model": request["model"],
        "choices": [choice],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


def _message(answer: Answer, number: int) -> Body:
    message: Body = {"role": "assistant", "content": answer.text or None, "refusal": None}
    calls: list[Body] = [
        {
            "id": f"call_{number}_{place}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for place, call in enumerate(answer.calls)
    ]
    if calls:
        message["tool_calls"] = calls
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if calls and answer.thinking:
        signature = base64.b64encode(f"{number}: {answer.thinking}".encode()).decode()
        calls[0]["extra_content"] = {"google": {"thought_signature": signature}}
    return message


def _events(whole: Body) -> Iterator[Event]:
    (choice,) = whole["choices"]
    yield _chunk(whole, {"role": "assistant", "content": None})
    for key in ("reasoning_content", "content"):
        for piece in pieces(choice["message"].get(key) or ""):
            yield _chunk(whole, {key: piece})
    for index, call in enumerate(choice["message"].get("tool_calls", ())):
        opened = {**call, "function": {**call["function"], "arguments": ""}}
        yield _chunk(whole, {"tool_calls": [{"index": index, **opened}]})
        for piece in pieces(call["function"]["arguments"]):
            delta = {"index": index, "function": {"arguments": piece}}
            yield _chunk(whole, {"tool_calls": [delta]})
    yield _chunk(whole, {}, finish_reason=choice["finish_reason"])
    yield Event(None, {**_chunk(whole, {}).data, "choices": [], "usage": whole["usage"]})


def _chunk(whole: Body, delta: Body, *, finish_reason: str | None = None) -> Event:
    choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None}
    choice["finish_reason"] = finish_reason
    same = {key: whole[key] for key in ("id", "created", "model")}
    return Event(
        None, {**same, "object": "chat.completion.chunk", "choices": [choice], "usage": None}
    )


def _signed(message: Body) -> set[str]:
    calls = message.get("tool_calls") or ()
    found = {
        exact([call["id"], call["extra_content"]]) for call in calls if "extra_content" in call
    }
    if calls and message.get("reasoning_content"):
        found.add(exact([calls[0]["id"], message["reasoning_content"]]))
    return found


def _seals(whole: Body) -> list[Seal]:
    message = whole["choices"][0]["message"]
    calls = frozenset(call["id"] for call in message.get("tool_calls", ()))
    return [Seal(calls, value) for value in sorted(_signed(message))]


def _sent(request: Body) -> tuple[set[str], set[str]]:
    calls = {c["id"] for m in request["messages"] for c in m.get("tool_calls") or ()}
    return calls, {value for message in request["messages"] for value in _signed(message)}


def error(message: str) -> Body:
    """Return the body of OpenAI's answers of status 400."""
    said = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return {"error": said}


SPEAKER = Speaker(
    api="openai.chat",
    base="/v1",
    whole=_whole,
    events=_events,
    seals=_seals,
    sent=_sent,
    error=error,
    verifies=False,
    ends_with_done=True,
)
