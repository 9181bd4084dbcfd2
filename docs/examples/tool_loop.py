"""Let a model call tools until it has its answer; every step is on record.

    python docs/examples/tool_loop.py

The model here is scripted and speaks Chat Completions, so that the loop is the one for a real SDK:
replace `complete` with `client.chat.completions.create(...)`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tract import AsyncTract, ToolCall, ToolIOContent, from_openai

CONFIG = {"model": "clerk-1", "temperature": 0.0}
TOOLS: dict[str, Callable[..., object]] = {
    "find_trains": lambda to: [{"train": "475", "to": to, "leaves": "23:40"}],
    "find_beds": lambda train: {"train": train, "free": 2},
}


async def complete(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Stand in for a model: look for a train, then for beds, then answer."""
    results = [json.loads(message["content"]) for message in messages if message["role"] == "tool"]
    match results:
        case []:
            return calling("call_1", "find_trains", to="Bodø")
        case [[train]]:
            return calling("call_2", "find_beds", train=train["train"])
        case [[train], beds]:
            text = (
                f"Train {train['train']} leaves at {train['leaves']}, {beds['free']} beds are free."
            )
            return {"role": "assistant", "content": text}
    raise ValueError(results)


def calling(call_id: str, name: str, **arguments: str) -> dict[str, Any]:
    """Return a message that calls one tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


async def run(call: ToolCall) -> ToolIOContent:
    """Run one tool call; an error is a result, too."""
    try:
        payload, status = TOOLS[call.name](**json.loads(call.arguments)), "success"
    except Exception as error:
        payload, status = f"{type(error).__name__}: {error}", "error"
    return ToolIOContent.model_validate(
        {
            "tool_name": call.name,
            "direction": "result",
            "payload": payload,
            "status": status,
            "call_id": call.id,
        }
    )


async def ask(tract: AsyncTract, question: str) -> str:
    """Return the model's answer, once it calls no more tools."""
    await tract.user(question)
    while True:
        context = await tract.compile()
        reply = await complete([dict[str, Any](message) for message in context.to_openai()])
        async with tract.batch() as batch:  # a text and its calls land together
            for content in from_openai([reply]):
                batch.commit(content, generation_config=CONFIG)
        last = (await tract.compile()).messages[-1]
        if not last.tool_calls:
            return last.content or ""
        results = await asyncio.gather(*map(run, last.tool_calls))
        async with tract.batch() as batch:
            for result in results:
                batch.commit(result)


async def main() -> None:
    """Ask one question, and show what was recorded."""
    async with AsyncTract.open() as tract:
        print(await ask(tract, "Is there a sleeper to Bodø tonight?"))
        for commit in reversed(await tract.log(None)):
            print(
                f"  {commit.commit_hash[:8]} {commit.content_type} {commit.generation_config or ''}"
            )


if __name__ == "__main__":
    asyncio.run(main())
