from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel

from support.counters import WordCounter
from tract import (
    AsyncTract,
    CommitNotFoundError,
    CommitOperation,
    ContentValidationError,
    DialogueContent,
    EditTargetError,
    FreeformContent,
    Priority,
    TractConfig,
)
from tract.engine.commit.drafts import DraftMaker, Given
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.threads import is_heavy
from tract.history.redaction import Redactor

HEAVY = 20_000
BYTES = struct.pack("d", 0.5)
FREEFORM = {"content_type": "freeform", "payload": 1}
CYCLE: dict[str, Any] = {}
CYCLE["a"] = [CYCLE]
WRONG: list[tuple[Any, str]] = [
    ({"a": [1, float("nan")]}, "a[1]"),
    ({"a": {"b": float("-inf")}}, "a.b"),
    ({"a": b"x"}, "a"),
    ({"a": datetime.now(UTC)}, "a"),
    ({"a": {2: 1}}, "a"),
    ({"a": {None: 1}}, "a"),
    ({"a": {1}}, "a"),
    ({"a": threading.Lock()}, "a"),
    ({"a": "\ud800"}, "a"),
    ({"a": {"\udfff": 1}}, "a.\\udfff"),
    (CYCLE, "a[0]" + ".a[0]" * 99),
]


class Kind(StrEnum):
    A = "a"


class Inner(BaseModel):
    items: list[str]


class Outer(BaseModel):
    inner: Inner
    words: list[str]


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=WordCounter()) as opened:
        yield opened


async def assert_nothing_written(tract: AsyncTract, head: str | None = None) -> None:
    assert await tract.head() == head
    assert len(await tract.log(None)) == (head is not None)
    assert (await tract.verify()).faults == ()


@pytest.mark.parametrize("weight", [1, HEAVY], ids=["light", "heavy"])
@pytest.mark.parametrize(("wrong", "path"), WRONG, ids=[path[:9] for _, path in WRONG])
@pytest.mark.parametrize("place", ["payload", "metadata", "generation_config"])
async def test_what_json_cannot_hold_is_refused_by_path_and_nothing_is_written(
    tract: AsyncTract, place: str, wrong: Any, path: str, weight: int
) -> None:
    """The same on the event loop and on a thread."""
    content: dict[str, Any] = {"content_type": "freeform", "payload": "x" * weight}
    keywords: dict[str, Any] = {}
    if place == "payload":
        content["payload"] = {**wrong, "z": "x" * weight}
    else:
        keywords[place] = wrong
    with pytest.raises(ContentValidationError) as raised:
        await tract.commit(content, **keywords)

    assert raised.value.path.startswith(f"{place}.{path}"[:400])
    await assert_nothing_written(tract)


@pytest.mark.parametrize("weight", [1, HEAVY], ids=["light", "heavy"])
async def test_models_are_checked_as_dicts_are(tract: AsyncTract, weight: int) -> None:
    payload = {"fill": "x" * weight, "lock": threading.Lock()}
    with pytest.raises(ContentValidationError) as raised:
        await tract.commit(FreeformContent(payload=payload))

    assert raised.value.path == "payload.lock"


@pytest.mark.parametrize("place", ["metadata", "generation_config"])
@pytest.mark.parametrize("wrong", [[], "text", 3, [("a", 1)]], ids=repr)
async def test_what_is_no_object_is_refused(tract: AsyncTract, place: str, wrong: Any) -> None:
    keywords: dict[str, Any] = {place: wrong}
    with pytest.raises(ContentValidationError, match="not a JSON object") as raised:
        await tract.commit(FREEFORM, **keywords)

    assert raised.value.path == place
    assert raised.value.__context__ is None, "one problem, told once"
    await assert_nothing_written(tract)


class Unreadable(Mapping[str, Any]):
    """A mapping that raises where it is read."""

    def __getitem__(self, key: str) -> Any:
        raise LookupError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("unreadable")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("place", ["metadata", "generation_config"])
@pytest.mark.parametrize("weight", [1, HEAVY], ids=["light", "heavy"])
async def test_a_mapping_is_as_good_as_a_dict(tract: AsyncTract, place: str, weight: int) -> None:
    values = {"model": "m", "prompt": "x" * weight}
    keywords: dict[str, Any] = {place: MappingProxyType(values)}
    info = await tract.commit(FREEFORM, **keywords)
    async with tract.stream(**keywords) as stream:
        await stream.write("x")

    assert getattr(info, place) == values
    assert stream.commit_info is not None
    assert getattr(stream.commit_info, place) == values


@pytest.mark.parametrize("place", ["metadata", "generation_config"])
async def test_a_mapping_that_cannot_be_read_is_refused(tract: AsyncTract, place: str) -> None:
    keywords: dict[str, Any] = {place: Unreadable()}
    with pytest.raises(ContentValidationError, match="could not be read") as raised:
        await tract.commit(FREEFORM, **keywords)

    assert raised.value.path == place
    await assert_nothing_written(tract)


@pytest.mark.parametrize("wrong", ["\ud800", 3, b"x"])
async def test_a_message_is_text(tract: AsyncTract, wrong: Any) -> None:
    with pytest.raises(ContentValidationError) as raised:
        await tract.commit(FREEFORM, message=wrong)

    assert raised.value.path == "message"
    await assert_nothing_written(tract)


async def test_a_reason_is_text_and_a_priority_one_of_three(tract: AsyncTract) -> None:
    info = await tract.user("x")
    wrong: Any = "loud"
    with pytest.raises(ContentValidationError) as priority:
        await tract.annotate(info.commit_hash, wrong)
    with pytest.raises(ContentValidationError) as reason:
        await tract.annotate(info.commit_hash, Priority.SKIP, reason="\ud800")

    assert (priority.value.path, reason.value.path) == ("priority", "reason")
    await assert_nothing_written(tract, info.commit_hash)


@pytest.mark.parametrize("operation", ["merge", None, 3, CommitOperation.ANNOTATE])
async def test_an_operation_is_append_or_edit(tract: AsyncTract, operation: Any) -> None:
    with pytest.raises(ContentValidationError) as raised:
        await tract.commit(FREEFORM, operation=operation)

    assert raised.value.path == "operation"
    await assert_nothing_written(tract)


@pytest.mark.parametrize(
    ("operation", "aim"),
    [("edit", None), ("append", "a" * 64), ("edit", 3.5), ("edit", "a" * 64), ("edit", "nonsense")],
)
async def test_operation_and_target_go_together(
    tract: AsyncTract, operation: Any, aim: Any
) -> None:
    info = await tract.user("x")
    with pytest.raises(EditTargetError):
        await tract.commit(FREEFORM, operation=operation, edit_target=aim)

    await assert_nothing_written(tract, info.commit_hash)


@pytest.mark.parametrize("aim", ["a" * 64, "nonsense", ""])
async def test_an_annotation_needs_a_commit(tract: AsyncTract, aim: str) -> None:
    with pytest.raises(CommitNotFoundError):
        await tract.annotate(aim, Priority.SKIP)

    await assert_nothing_written(tract)


async def test_content_may_have_as_many_bytes_as_configured(target: Path | str) -> None:
    size = len(json.dumps({"content_type": "freeform", "payload": "é"}, separators=(",", ":")))
    config = TractConfig(max_content_bytes=size - 6 + 2)  # é takes two bytes, not six
    async with AsyncTract.open(target, config=config, tokenizer=WordCounter()) as tract:
        info = await tract.commit({**FREEFORM, "payload": "é"})
        with pytest.raises(ContentValidationError, match="max_content_bytes") as raised:
            await tract.commit({**FREEFORM, "payload": "éa"})

        assert raised.value.path == "payload"
        await assert_nothing_written(tract, info.commit_hash)


def contents(size: int) -> list[Any]:
    """Equal contents in several guises, heavy ones if *size* is large."""
    payload: dict[str, Any] = {"kind": "a", "list": ["x" * size, [1, 2.5, None]]}
    return [
        {"content_type": "freeform", "payload": payload},
        FreeformContent(payload=payload),
        OrderedDict(content_type="freeform", payload=OrderedDict(payload)),
        MappingProxyType({"content_type": "freeform", "payload": payload}),
        {"content_type": "freeform", "payload": {**payload, "kind": Kind.A}},
        FreeformContent(payload={**payload, "list": ("x" * size, (1, 2.5, None))}),
    ]


@pytest.mark.parametrize("size", [10, HEAVY], ids=["light", "heavy"])
async def test_equal_contents_have_one_hash_and_one_count(tract: AsyncTract, size: int) -> None:
    infos = [await tract.commit(content) for content in contents(size)]

    assert len({(info.content_hash, info.token_count) for info in infos}) == 1


def spoil(value: Any) -> None:
    """Change everything in *value* that can be changed."""
    if isinstance(value, BaseModel):
        spoil(value.__dict__)
    elif isinstance(value, dict):
        for item in list(value.values()):
            spoil(item)
        value["spoilt"] = True
    elif isinstance(value, list):
        for item in value:
            spoil(item)
        value.append("spoilt")


@pytest.mark.parametrize("size", [10, HEAVY], ids=["light", "heavy"])
@pytest.mark.parametrize("guise", range(6))
async def test_what_is_changed_after_the_call_has_begun_is_stored_as_it_was(
    tract: AsyncTract, guise: int, size: int
) -> None:
    """Promise 7, for content, metadata and config, at all depths."""
    content, untouched = contents(size)[guise], contents(size)[guise]
    metadata: dict[str, Any] = {"a": {"b": [1]}, "kind": Kind.A, "fill": "x" * size}
    config: dict[str, Any] = OrderedDict(logit_bias={"50256": [1]}, stop=["x"])

    task = asyncio.create_task(tract.commit(content, metadata=metadata, generation_config=config))
    await asyncio.sleep(0)
    payload = content.payload if isinstance(content, FreeformContent) else content["payload"]
    for passed in (payload, metadata, config):
        spoil(passed)
    info = await task
    assert info.metadata == {"a": {"b": [1]}, "kind": "a", "fill": "x" * size}
    assert info.generation_config == {"logit_bias": {"50256": [1]}, "stop": ["x"]}
    assert (await tract.commit(untouched)).content_hash == info.content_hash
    assert (await tract.verify()).faults == ()


@pytest.mark.parametrize("size", [10, HEAVY], ids=["light", "heavy"])
async def test_models_within_models_are_stored_as_they_were(tract: AsyncTract, size: int) -> None:
    """Promise 7, for custom contents."""
    tract.register_content_type("outer", Outer)
    content = Outer(inner=Inner(items=["x" * size]), words=["a"])

    task = asyncio.create_task(tract.commit(content))
    await asyncio.sleep(0)
    spoil(content)
    stored = await tract.get_content((await task).commit_hash)
    assert stored == Outer(inner=Inner(items=["x" * size]), words=["a"])


@pytest.mark.parametrize("size", [10, HEAVY], ids=["light", "heavy"])
async def test_a_batch_keeps_what_was_staged(tract: AsyncTract, size: int) -> None:
    """Promise 7: content and count are those of the moment of staging."""
    payload: dict[str, Any] = {"a": ["one two " + "x" * size]}
    async with tract.batch() as batch:
        staged = batch.commit({"content_type": "freeform", "payload": payload})
        payload["a"].append("three four five")

    content = await tract.get_content(staged.info.commit_hash)
    assert content == FreeformContent(payload={"a": ["one two " + "x" * size]})
    assert staged.info.token_count == 3
    context = await tract.compile()
    assert context.token_count == WordCounter().count_messages(context.to_dicts())


@pytest.mark.parametrize(
    "look",
    [
        lambda context: context.messages,
        lambda context: context.generation_configs,
        lambda context: context.generation_configs[0]["a"],
        lambda context: context.commit_hashes,
        lambda context: context.to_dicts(),
        lambda context: context.to_dicts()[1]["tool_calls"],
        lambda context: context.to_openai(),
        lambda context: context.to_anthropic(),
    ],
)
async def test_what_is_done_to_a_context_stays_with_whoever_did_it(
    tract: AsyncTract, look: Callable[[Any], Any]
) -> None:
    """Promise 7, for everything a caller can reach from a compiled context."""
    await tract.user("x", generation_config={"a": [1, {"b": 2}]})
    call = {"tool_name": "f", "direction": "call", "payload": {"a": [1]}, "call_id": "1"}
    await tract.commit({"content_type": "tool_io", **call})
    spoilt, other = await tract.compile(), await tract.compile()
    before = [other.to_dicts(), other.generation_configs, other.commit_hashes, other.messages]

    spoil(look(spoilt))
    for context in (other, await tract.compile()):
        after = [
            context.to_dicts(),
            context.generation_configs,
            context.commit_hashes,
            context.messages,
        ]
        assert after == before


async def test_what_is_done_to_an_info_stays_with_whoever_did_it(tract: AsyncTract) -> None:
    """Promise 7, for infos, contents and logs."""
    info = await tract.commit(
        {"content_type": "freeform", "payload": {"a": [1]}},
        metadata={"m": [1]},
        generation_config={"g": [1]},
    )
    content = await tract.get_content(info.commit_hash)
    again, [logged] = await tract.get_commit(info.commit_hash), await tract.log()

    for value in (info.metadata, info.generation_config, content):
        spoil(value)
    for copy in (again, logged, await tract.get_commit(info.commit_hash)):
        assert copy is not None
        assert (copy.metadata, copy.generation_config) == ({"m": [1]}, {"g": [1]})
    assert await tract.get_content(info.commit_hash) == FreeformContent(payload={"a": [1]})


@pytest.mark.parametrize(
    "content",
    [
        {"content_type": "dialogue", "role": "user", "text": "x" * HEAVY},
        DialogueContent(role="user", text="x" * HEAVY),
        {"content_type": "freeform", "payload": [["x"] * 2000]},
        Outer(inner=Inner(items=["x" * HEAVY]), words=[]),
    ],
    ids=["dict", "model", "nodes", "nested model"],
)
async def test_large_contents_are_counted_off_the_event_loop(
    content: Any, target: Path | str
) -> None:
    """Promise 10."""
    counter = WordCounter()
    async with AsyncTract.open(target, tokenizer=counter) as tract:
        tract.register_content_type("outer", Outer)
        await tract.commit(content)

        assert threading.current_thread() not in counter.threads_of("x")


async def test_small_contents_are_counted_where_they_are(tract: AsyncTract) -> None:
    """A thread would cost more than it saves."""
    counter = WordCounter()
    async with AsyncTract.open(tokenizer=counter) as other:
        await other.user("hello")

        assert counter.threads_of("hello") == {threading.current_thread()}


def test_a_deep_value_is_weighed_without_running_out_of_stack() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]

    assert not is_heavy({"content_type": "freeform", "payload": deep})


async def test_a_content_is_counted_once(tract: AsyncTract) -> None:
    counter = WordCounter()
    async with AsyncTract.open(tokenizer=counter) as other:
        for _ in range(3):
            await other.user("hello")

        assert counter.texts == ["hello"]


async def test_configs_that_python_takes_for_equal_are_stored_as_they_were_given(
    tract: AsyncTract,
) -> None:
    given: list[dict[str, Any]] = [
        {"n": 1},
        {"n": True},
        {"n": 1.0},
        {"n": 0.0},
        {"n": -0.0},
        {"n": "1"},
        {"n": [1]},
    ]

    stored = [
        (await tract.commit(FREEFORM, generation_config=config)).generation_config
        for config in [*given, *given]
    ]

    assert list(map(repr, stored)) == list(map(repr, [*given, *given]))


async def test_a_config_that_is_changed_between_two_calls_is_stored_as_it_is_then(
    tract: AsyncTract,
) -> None:
    config: dict[str, Any] = {"stop": ["a"]}
    first = await tract.commit(FREEFORM, generation_config=config)
    config["stop"].append("b")
    second = await tract.commit(FREEFORM, generation_config=config)

    assert (first.generation_config, second.generation_config) == (
        {"stop": ["a"]},
        {"stop": ["a", "b"]},
    )


class Half(float):
    """A number that shows its bytes to who asks for them (from Python 3.12 on), as numpy's do."""

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(BYTES)


async def test_bytes_are_refused_even_after_a_number_that_shows_the_same(tract: AsyncTract) -> None:
    info = await tract.commit(FREEFORM, generation_config={"t": Half(0.5)})

    assert info.generation_config == {"t": 0.5}
    for other in (BYTES, bytearray(BYTES), memoryview(BYTES)):
        with pytest.raises(ContentValidationError):
            await tract.commit(FREEFORM, generation_config={"t": other})


def test_a_config_that_another_thread_changes_meanwhile_spoils_no_other_commit() -> None:
    config = {"n": 1}

    class Meanwhile(Redactor):
        """Changes the config while it is being looked at, as another thread may."""

        def hides(self, key: str) -> bool:
            config["n"] = 2
            return super().hides(key)

    maker = draft_maker(Meanwhile())
    maker.check(Given(FREEFORM, generation_config=config))
    later = maker.check(Given(FREEFORM, generation_config={"n": 1}))()

    assert config == {"n": 2}
    assert later.generation_config_json == '{"n":1}'


def test_few_configs_are_remembered_and_none_with_a_secret_or_a_long_text() -> None:
    maker = draft_maker()
    for number in range(1_000):
        maker.check(Given(FREEFORM, generation_config={"n": number}))
    for redact in (True, False):
        maker.check(Given(FREEFORM, generation_config={"api_key": "sk-secret"}, redact=redact))
    maker.check(Given(FREEFORM, generation_config={"prompt": "long" * 5_000}))

    remembered = repr(vars(maker))

    assert '"n":999' in remembered
    assert "sk-secret" not in remembered
    assert "longlong" not in remembered
    assert len(remembered) < 10_000


def draft_maker(redactor: Redactor | None = None) -> DraftMaker:
    compiler = DefaultContextCompiler(WordCounter())
    return DraftMaker(compiler, 1_000_000, redactor or Redactor())
