"""What is fuzzed: functions of bytes that raise an AssertionError where a promise breaks.

Each makes arguments of the bytes and gives them to one call. Either an error of the library's
comes out, and nothing was written; or the call has worked, and what it took reads back as it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from support.hostile import Source
from support.probes import probe
from tract import (
    AsyncTract,
    CommitInfo,
    ContentValidationError,
    NullTokenCounter,
    QueryError,
    TractStore,
    from_openai,
)

__all__ = ["Rig", "State"]

_SAID = {"content_type": "dialogue", "role": "user", "text": "said"}
_SECRET = ("apikey", "xapikey", "authorization", "password")
_FRESH = 500  # inputs that one store gets
_FIELDS = (
    *("content_type", "role", "text", "name", "tool_name", "direction", "payload", "status"),
    *("call_id", "artifact_type", "content", "language", "format", "extra", ""),
)
_TYPES = (
    *("instruction", "dialogue", "tool_io", "reasoning", "artifact", "output", "freeform"),
    *("annotation", "unknown"),
)
_SHAPES: tuple[dict[str, Any], ...] = (
    {"content_type": "dialogue", "role": "user", "text": "x"},
    {"content_type": "tool_io", "tool_name": "f", "direction": "call", "payload": {}},
    {"content_type": "freeform", "payload": {}},
    {"content_type": "artifact", "artifact_type": "code", "content": "x"},
)
_MESSAGES: tuple[dict[str, Any], ...] = (
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "tool", "content": "x", "tool_call_id": "c"},
    {"role": "system", "content": "x"},
)
_OPERATORS = ("=", "!=", "<", ">", "<=", ">=", "in", "not in")
_CALL: dict[str, Any] = {
    "id": "c",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
}


class State(NamedTuple):
    """What a store holds: rows by table, and the head of the branch."""

    rows: dict[str, int]
    head: str | None


class Rig:
    """A store in memory that is fuzzed, with an event loop of its own; close it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._store: TractStore | None = None
        self._inputs = 0
        self.targets: dict[str, Callable[[bytes], None]] = {
            "config": self._target(_config),
            "content": self._target(_content),
            "from_openai": self._target(_from_openai),
            "query": self._target(_query),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._store is not None:
            self._runner.run(self._store.aclose())
        self._runner.close()

    def run(self, check: Callable[[AsyncTract], Awaitable[None]]) -> None:
        """Run *check* with a tract that has a commit."""
        self._runner.run(self._run(check))

    async def _run(self, check: Callable[[AsyncTract], Awaitable[None]]) -> None:
        if self._store is not None and self._inputs % _FRESH == 0:
            await self._store.aclose()
            self._store = None
        if self._store is None:
            self._store = await TractStore.open(tokenizer=NullTokenCounter())
            await self._store.tract("fuzzed").commit(_SAID, generation_config={"model": "m"})
        self._inputs += 1
        await check(self._store.tract("fuzzed"))

    def _target(
        self, check: Callable[[AsyncTract, Source], Awaitable[None]]
    ) -> Callable[[bytes], None]:
        return lambda data: self.run(lambda tract: check(tract, Source(data)))


# what every call is held to


async def state(tract: AsyncTract) -> State:
    """Return what the store of *tract* holds."""
    return State(await probe(tract).row_counts(), await tract.head())


async def attempt(tract: AsyncTract, call: Awaitable[Any], *errors: type[Exception]) -> Any:
    """Return what *call* gives; None where it raises one of *errors*, having written nothing."""
    before = await state(tract)
    refusal: Exception | None = None
    try:
        return await call
    except errors as error:
        refusal = error
    told = f"{refusal}{refusal!r}".encode()

    assert type(refusal) in errors, f"{type(refusal)} is not what was promised: {told!r}"
    assert await state(tract) == before, f"something was written in spite of {told!r}"
    return None


async def check_query(tract: AsyncTract, field: Any, operator: Any, value: Any, limit: Any) -> None:
    """A query is answered with commits of the tract or refused, and writes nothing."""
    before = await state(tract)
    call = tract.query_by_config(field, operator, value, limit=limit)
    found = await attempt(tract, call, QueryError, ValueError)

    assert found is None or all(isinstance(info, CommitInfo) for info in found)
    assert await state(tract) == before


async def check_config(tract: AsyncTract, config: Any, metadata: Any) -> None:
    """A config and metadata are stored as JSON has them, secrets redacted, or refused."""
    call = tract.commit(_SAID, generation_config=config, metadata=metadata)
    info = await attempt(tract, call, ContentValidationError)
    if info is None:
        return
    again = await tract.get_commit(info.commit_hash)
    context = await tract.compile(at_commit=info.commit_hash)

    assert again == info
    assert spelled(info.generation_config) == spelled(expected(config))
    assert spelled(info.metadata) == spelled(expected(metadata))
    assert spelled(context.generation_configs[-1]) == spelled(expected(config) or {})


async def check_content(tract: AsyncTract, content: Any, message: Any = None) -> None:
    """A content comes back with the fields that were given, or is refused."""
    call = tract.commit(content, message=message)
    info = await attempt(tract, call, ContentValidationError)
    if info is None:
        return
    loaded = (await tract.get_content(info.commit_hash)).model_dump()

    assert {key: spelled(expected(item, hide=False)) for key, item in dict(content).items()} == {
        key: spelled(loaded[key]) for key in dict(content)
    }
    assert spelled(info.message) == spelled(expected(message))
    assert (await tract.compile()).head_hash == info.commit_hash


async def check_messages(tract: AsyncTract, messages: Any) -> None:
    """Messages become contents that can be committed and compile, or are refused."""
    try:
        contents = from_openai(messages)
    except ContentValidationError as error:
        f"{error}{error!r}".encode()
        return
    async with tract.batch() as batch:
        for content in contents:
            batch.commit(content)
    stored = [await tract.get_content(info.commit_hash) for info in batch.commits]

    assert stored == contents
    assert json.dumps((await tract.compile()).to_openai(), allow_nan=False).encode()


def expected(value: Any, *, hide: bool = True, secret: bool = False) -> Any:
    """Return what JSON makes of *value*, said in plain Python; *secret* is what stands at a key."""
    kind = type(value)
    if issubclass(kind, str):
        return "[redacted]" if secret and str.__len__(value) else str.__str__(value)
    if issubclass(kind, dict):
        return {
            str.__str__(key): expected(item, hide=hide, secret=secret or (hide and _hidden(key)))
            for key, item in value.items()
        }
    if issubclass(kind, (list, tuple)):
        return [
            expected(item, hide=hide, secret=secret)
            for item in (list if issubclass(kind, list) else tuple).__iter__(value)
        ]
    if issubclass(kind, int) and kind is not bool:
        return int.__index__(value)
    if issubclass(kind, float):
        return float.__float__(value)
    return "[redacted]" if secret and kind not in (bool, type(None)) else value


def _hidden(key: str) -> bool:
    plain = str.__str__(key).lower()
    return "".join(letter for letter in plain if letter not in "-_ ") in _SECRET


def spelled(value: Any) -> str:
    """Return a text that also tells 1 from 1.0, and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


# arguments out of bytes


async def _query(tract: AsyncTract, source: Source) -> None:
    fields: tuple[Callable[[], Any], ...] = (
        source.text,
        lambda: ".".join(source.text() for _ in range(source.below(4))),
        lambda: tuple(source.items(0)),
        source.value,
    )
    field = source.pick(fields)()
    named = source.below(9)
    operator = _OPERATORS[named] if named < 8 else source.value()
    value = source.items(3) if named in (6, 7) and source.below(4) else source.value()
    limit = source.value(0) if source.below(8) == 7 else None
    await check_query(tract, field, operator, value, limit)


async def _config(tract: AsyncTract, source: Source) -> None:
    config = source.mapping(3) if source.below(8) else source.value()
    metadata = source.mapping(3) if source.below(4) == 0 else None
    if source.below(8) == 7 and type(config) is dict:
        config["padding"] = [source.scalar()] * 2_000  # long work, which goes to a thread
    await check_config(tract, config, metadata)


async def _content(tract: AsyncTract, source: Source) -> None:
    content: Any = dict(source.pick(_SHAPES))
    kind = source.below(16)
    if kind < 4:
        content = {"content_type": source.pick(_TYPES)}
    for _ in range(source.below(5)):
        content[source.pick(_FIELDS)] = source.value()
    if kind == 14:
        content[source.text()] = source.value()
    if kind == 15:
        content = source.value()
    await check_content(tract, content, source.value() if source.below(16) == 15 else None)


async def _from_openai(tract: AsyncTract, source: Source) -> None:
    messages: list[Any] = []
    for _ in range(source.below(5)):
        message: Any = dict(source.pick(_MESSAGES))
        if "tool_calls" in message:
            message["tool_calls"] = [_call(source) for _ in range(source.below(4))]
        for _ in range(source.below(3)):
            key = source.text() if source.below(4) == 3 else source.pick(tuple(message))
            message[key] = source.value()
        messages.append(source.value() if source.below(16) == 15 else message)
    await check_messages(tract, source.value() if source.below(16) == 15 else messages)


def _call(source: Source) -> Any:
    call: dict[str, Any] = {**_CALL, "function": {**_CALL["function"]}}
    kind = source.below(8)
    if kind == 6:
        call[source.pick(("id", "type", "function", source.text()))] = source.value()
    if kind == 7:
        call["function"][source.pick(("name", "arguments", source.text()))] = source.value()
    return call if kind else source.value()
