"""Chat with a model that needs no key, and find the conversation again in the next run.

    python docs/examples/chat.py [context.db]

Type a line, get a reply; end with an empty line. Replace `answer` with a call of your provider's SDK.
"""

from __future__ import annotations

import asyncio
import sys

from tract import AsyncTract, CompiledContext

CONFIG = {"model": "parrot-1", "temperature": 0.0}


async def answer(context: CompiledContext) -> str:
    """Stand in for a model: it would be sent `context.to_openai()`."""
    asked = [message.content for message in context.messages if message.role == "user"]
    return f"You have said {len(asked)} things, the last of them: {asked[-1]}"


async def main(path: str) -> None:
    """Talk until an empty line comes."""
    async with AsyncTract.open(path, tract_id="chat") as tract:
        if await tract.head() is None:
            await tract.system("You are a parrot.")
        while line := (await asyncio.to_thread(input, "> ")).strip():
            await tract.user(line)
            context = await tract.compile()
            reply = await tract.assistant(await answer(context), generation_config=CONFIG)
            print((await tract.compile()).messages[-1].content)
            print(f"[{reply.commit_hash[:8]}, {context.token_count} tokens in]")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if sys.argv[1:] else ":memory:"))
