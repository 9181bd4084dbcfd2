"""Chat with a model that streams and needs no key, and find the conversation again in the next run.

    python docs/examples/chat.py [context.db]

Type a line, get a reply; end with an empty line. The model here speaks the chunks of Chat Completions:
replace `complete` with `await client.chat.completions.create(messages=…, stream=True, **CONFIG)`, or
with a stream of any other provider's SDK.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from tract import AsyncTract

CONFIG = {"model": "parrot-1", "temperature": 0.0}


async def complete(messages: Sequence[Mapping[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Stand in for a model: stream a reply to the messages, word by word."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    text = f"You have said {len(asked)} things, the last of them: {asked[-1]}"
    for word in re.findall(r"\S+\s*", text):
        yield {"choices": [{"delta": {"content": word}}]}
    yield {"model": CONFIG["model"], "choices": [{"delta": {}, "finish_reason": "stop"}]}


async def reply(tract: AsyncTract) -> None:
    """Print the model's reply as it arrives, and commit it when it is whole."""
    context = await tract.compile()
    stream = complete(context.to_openai())
    async with tract.record_stream(stream, generation_config=CONFIG) as recording:
        shown = 0
        async for _ in recording:  # the provider's own chunks
            print(recording.text[shown:], end="", flush=True)
            shown = len(recording.text)
    [commit] = recording.commits
    print(f"\n[{commit.commit_hash[:8]}, {context.token_count} tokens in]")


async def main(path: str) -> None:
    """Talk until an empty line comes."""
    async with AsyncTract.open(path, tract_id="chat") as tract:
        if await tract.head() is None:
            await tract.system("You are a parrot.")
        while line := (await asyncio.to_thread(input, "> ")).strip():
            await tract.user(line)
            await reply(tract)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if sys.argv[1:] else ":memory:"))
