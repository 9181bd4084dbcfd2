"""The whole conversation, and what `maintain()` makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from benchmarks.windows.ways import Way, shortened
from benchmarks.workload import ChatMessage
from tract import (
    AsyncTract,
    CompactionPolicy,
    CompactionRequest,
    CompactionTargetError,
    Summariser,
    TractStore,
    from_openai,
)

__all__ = ["Clearing", "Summarising", "Whole"]


class Whole(Way):
    """Sends everything."""

    title = "everything, for comparison"

    def __init__(self, window: int, mean: float) -> None:
        super().__init__(window, mean)
        self._messages: list[ChatMessage] = []

    async def add(self, message: ChatMessage) -> None:
        self._messages.append(message)

    async def request(self) -> Sequence[ChatMessage]:
        return self._messages


async def summarise(request: CompactionRequest) -> str:
    """Summarise without a model."""
    texts = (message.content or "" for message in request.context.messages)
    return shortened(texts, request.target_tokens or 500)


class Maintained(Way):
    """Maintains a branch before each request; in memory, so that no disk is measured."""

    tools_first = True

    def __init__(self, window: int, mean: float) -> None:
        super().__init__(window, mean)
        self._stack = AsyncExitStack()
        self._policies = [
            CompactionPolicy(
                trigger_tokens=window,
                target_tokens=window * share // 100,
                keep_recent=keep,
                keep_results=keep,
                clear_at_least=window // 10,
                tools_first=self.tools_first,
            )
            for share, keep in ((60, 3), (95, 1))
        ]

    async def __aenter__(self) -> None:
        store = await self._stack.enter_async_context(TractStore.open())
        await store.enable_search()
        self._tract: AsyncTract = store.tract("t")

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def add(self, message: ChatMessage) -> None:
        async with self._tract.batch() as batch:
            for content in from_openai([message]):
                batch.commit(content)

    async def request(self) -> Sequence[ChatMessage]:
        for policy in self._policies:
            try:
                await self._tract.maintain(self._summariser(), policy=policy)
                break
            except CompactionTargetError:  # what has to stay is too long: keep less of it
                continue
        else:  # instructions and the last step alone are longer than that: hide all else
            if (await self._tract.compile()).token_count > self.window:
                room = self.window // 10
                await self._tract.compact(
                    summarise, keep_recent=1, roll_up=True, summary_tokens=room
                )
        return [dict(each) for each in (await self._tract.compile()).to_openai()]

    def _summariser(self) -> Summariser | None:
        return summarise

    async def finds(self, word: str) -> bool:
        return bool(await self._tract.search(f'"{word}"'))


class Summarising(Maintained):
    """Summarises, without clearing results."""

    title = "asynctract, summaries"
    tools_first = False


class Clearing(Maintained):
    """Clears tool results where that is enough."""

    title = "asynctract, tool results first"
