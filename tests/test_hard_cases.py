"""Promises at their edges: odd models, odd counters, huge numbers, closed handles, damage."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from anthropic.types import MessageDeltaUsage
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field

from tract import (
    AsyncTract,
    CommitNotFoundError,
    ContentValidationError,
    DialogueContent,
    HeadMovedError,
    StorageError,
    StoreClosedError,
    StoreCorruptError,
    TiktokenCounter,
    TokenUsage,
    TractConfig,
    TractError,
    TractStore,
    from_openai,
)


def say(text: str = "hello") -> DialogueContent:
    return DialogueContent(role="user", text=text)


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


# custom content types


class Aliased(BaseModel):
    value: int = Field(alias="theValue")


class Spoken(BaseModel):
    value: int = Field(alias="theValue")

    def to_text(self) -> str:
        return f"the value is {self.value}"


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    single: int

    @computed_field  # type: ignore[prop-decorator]  # as pydantic's own documentation has it
    @property
    def double(self) -> int:
        return self.single * 2


class Excluding(BaseModel):
    shown: int
    hidden: int = Field(exclude=True)


class Tagged(BaseModel):
    content_type: Literal["another name"] = "another name"


class Listed(RootModel[list[int]]):
    pass


class Mutable(BaseModel):
    number: int


def mutated() -> Mutable:
    made = Mutable(number=1)
    made.number = "seven"  # type: ignore[assignment]  # that is the point
    return made


CUSTOM: dict[str, BaseModel] = {
    "alias": Aliased(theValue=1),
    "alias and to_text": Spoken(theValue=1),
    "computed field": Computed(single=2),
    "excluded field": Excluding(shown=1, hidden=2),
    "content_type of its own": Tagged(),
    "root model": Listed([1, 2]),
    "changed after validation": mutated(),
}


@pytest.mark.parametrize("name", CUSTOM)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_a_custom_content_is_refused_or_comes_back_as_it_was(
    name: str, target: Path | str
) -> None:
    """Commits are for ever: one whose content cannot be read again must not be made."""
    content = CUSTOM[name]
    async with AsyncTract.open(target, tract_id="t") as tract:
        try:
            tract.register_content_type("custom", type(content))
        except ValueError:
            return
        try:
            info = await tract.commit(content)
        except ContentValidationError:
            assert await tract.head() is None
            return

        assert await tract.get_content(info.commit_hash) == content


@pytest.mark.parametrize("content", [Aliased(theValue=1), Spoken(theValue=1), Computed(single=2)])
async def test_models_with_aliases_and_computed_fields_can_be_registered(
    content: BaseModel,
    target: Path | str,
) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        tract.register_content_type("custom", type(content))
        info = await tract.commit(content)

        assert await tract.get_content(info.commit_hash) == content


# token counts with a counter that somebody derived from ours


class Rounding(TiktokenCounter):
    """Rounds every text up, so that its counts cannot be added across a join."""

    def count_text(self, text: str) -> int:
        return -(-super().count_text(text) // 4) * 4


class Surcharging(TiktokenCounter):
    """Adds what its provider adds to every call."""

    def count_messages(self, messages: Sequence[dict[str, Any]]) -> int:
        return super().count_messages(messages) + 100


@pytest.mark.parametrize("counter", [Rounding(), Surcharging()])
async def test_a_context_counts_what_a_derived_counter_counts(
    counter: TiktokenCounter, target: Path | str
) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=counter) as tract:
        await tract.user("hello there")
        await tract.user("again")
        context = await tract.compile()

    assert context.token_count == counter.count_messages(context.to_dicts())


async def test_a_derived_counter_does_not_trust_the_counts_of_its_base(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        await tract.user("hello there")
        await tract.assistant("again")
    counter = Rounding()
    async with AsyncTract.open(target, tract_id="t", tokenizer=counter) as tract:
        context = await tract.compile()

    assert context.token_count == counter.count_messages(context.to_dicts())


# queries


@pytest.mark.parametrize(
    ("stored", "asked"),
    [(2**64 - 1, 2**64 - 2), (-(2**63) - 1, -(2**63)), (10**25, 1e25), (10**400, 10**401)],
    ids=["unsigned seed", "below 64 bits", "float", "beyond doubles"],
)
async def test_numbers_that_differ_are_not_equal_however_large(
    stored: int, asked: int | float, target: Path | str
) -> None:
    """Seeds of 64 bits without a sign are common; SQLite reads them as doubles."""
    async with AsyncTract.open(target, tract_id="t") as tract:
        info = await tract.user("a", generation_config={"seed": stored})

        assert await tract.query_by_config("seed", "=", asked) == []
        assert await tract.query_by_config("seed", "in", [asked]) == []
        assert await tract.query_by_config("seed", "!=", asked) == [info]
        assert await tract.query_by_config("seed", "=", stored) == [info]


# formats


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ANSWER = {"role": "tool", "tool_call_id": "c", "content": "42"}


@pytest.mark.parametrize("aggregate_same_role", [False, True])
async def test_calls_that_stand_apart_come_back_as_they_were(
    aggregate_same_role: bool, target: Path | str
) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "content": "Let me see."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        ANSWER,
    ]
    async with AsyncTract.open(target, tract_id="t") as tract:
        for content in from_openai(messages):
            await tract.commit(content)
        context = await tract.compile(aggregate_same_role=aggregate_same_role)

    assert context.to_openai() == messages


async def test_calls_that_come_apart_are_sent_with_those_before_them(target: Path | str) -> None:
    """The API wants all results behind one message of calls; `keep` sends what was committed."""
    calling: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    before: dict[str, Any] = {**calling, "tool_calls": [{**CALL, "id": "b"}]}
    messages: list[dict[str, Any]] = [before, calling, ANSWER, {**ANSWER, "tool_call_id": "b"}]
    async with AsyncTract.open(target, tract_id="t") as tract:
        for content in from_openai(messages):
            await tract.commit(content)
        context = await tract.compile(aggregate_same_role=False)

    together = {**calling, "tool_calls": [*before["tool_calls"], CALL]}
    assert context.to_openai() == [together, *messages[2:]]
    assert context.to_openai(open_calls="keep") == messages


# usage


async def test_usage_of_an_anthropic_delta_without_input_tells_the_remedy(
    target: Path | str,
) -> None:
    """The SDK's own object has `input_tokens` None where the start of the stream told them."""
    async with AsyncTract.open(target, tract_id="t") as tract:
        await tract.user("a")
        with pytest.raises(ContentValidationError, match="message_start"):
            await tract.record_usage(MessageDeltaUsage(output_tokens=6))


async def test_a_reported_total_of_zero_is_stored_as_reported(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        await tract.user("a")
        await tract.record_usage(TokenUsage(3, 1, 0))
    with closing(sqlite3.connect(db_path)) as connection:
        assert connection.execute("SELECT total_tokens FROM usage").fetchall() == [(0,)]


# bad input


async def test_content_over_the_limit_names_the_field(target: Path | str) -> None:
    config = TractConfig(max_content_bytes=100)
    async with AsyncTract.open(target, tract_id="t", config=config) as tract:
        with pytest.raises(ContentValidationError) as caught:
            await tract.user("x" * 200)

    assert caught.value.path == "text"


@pytest.mark.parametrize("target", [None, 3])
async def test_annotating_no_hash_is_the_same_error_in_a_batch(target: Any) -> None:
    async with AsyncTract.open(tract_id="t") as tract:
        with pytest.raises(CommitNotFoundError):
            await tract.annotate(target, "skip")  # a value will do
        with pytest.raises(CommitNotFoundError):
            async with tract.batch() as batch:
                batch.annotate(target, "skip")  # a value will do


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00Z", date(2026, 1, 1), 1767225600])
async def test_a_time_that_is_no_datetime_is_a_value_error(moment: Any, target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        with pytest.raises(ValueError, match="at_time"):
            await tract.compile(at_time=moment)


async def test_an_empty_batch_checks_the_expected_head_too(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        await tract.user("a")
        with pytest.raises(HeadMovedError):
            async with tract.batch(expected_head=None):
                pass


# closed handles


async def test_a_closed_handle_of_an_open_store_is_closed(target: Path | str) -> None:
    """The store and its other handles stay open."""
    async with TractStore.open(target) as store:
        async with store.tract("t") as tract:
            await tract.user("a")
        with pytest.raises(StoreClosedError):
            await tract.user("b")

        assert len(await store.tract("t").log()) == 1


async def test_a_closed_handle_says_so_on_another_event_loop_too(target: Path | str) -> None:
    tract = await AsyncTract.open(target, tract_id="t")
    await tract.aclose()

    async def use() -> None:
        await tract.user("b")

    with pytest.raises(StoreClosedError):
        await asyncio.to_thread(lambda: asyncio.run(use()))


async def test_a_closed_store_registers_nothing(target: Path | str) -> None:
    tract = await AsyncTract.open(target, tract_id="t")
    await tract.aclose()
    with pytest.raises(StoreClosedError):
        tract.register_content_type("custom", Mutable)


# damaged stores


async def written(path: Path) -> list[str]:
    """Return the hashes of three commits, the first of which is annotated."""
    async with AsyncTract.open(path, tract_id="t") as tract:
        hashes = [(await tract.user(text)).commit_hash for text in ("a", "b", "c")]
        await tract.annotate(hashes[0], "pinned")
    return hashes


async def test_a_head_that_is_lost_is_no_empty_context(db_path: Path) -> None:
    await written(db_path)
    change(db_path, "DELETE FROM commits WHERE operation = 'annotate'")
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        for call in (tract.compile, tract.log):
            with pytest.raises(StoreCorruptError) as caught:
                await call()
            assert caught.value.path == str(db_path)


async def test_nothing_is_committed_on_a_head_that_is_lost(db_path: Path) -> None:
    await written(db_path)
    change(db_path, "DELETE FROM commits WHERE operation = 'annotate'")
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        head = await tract.head()
        with pytest.raises(StorageError):
            await tract.user("built on sand")

        assert await tract.head() == head


async def test_a_history_with_a_hole_is_told_with_the_path(db_path: Path) -> None:
    hashes = await written(db_path)
    change(db_path, "DELETE FROM commits WHERE commit_hash = ?", bytes.fromhex(hashes[1]))
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        with pytest.raises(StoreCorruptError) as caught:
            await tract.compile()

        assert caught.value.path == str(db_path)
        with pytest.raises(StoreCorruptError):  # not a log that merely seems to be short
            await tract.log(limit=None)


@pytest.mark.parametrize("call", ["compile", "get_content", "get_annotations"])
@pytest.mark.parametrize("data", [b"\xff\x00", b"{}", b"[]", None])
async def test_a_damaged_blob_is_an_error_of_ours(
    db_path: Path, call: str, data: bytes | None
) -> None:
    hashes = await written(db_path)
    if data is None:
        change(db_path, "DELETE FROM blobs")
    else:
        change(db_path, "UPDATE blobs SET data = ?", data)
    arguments = () if call == "compile" else (hashes[0],)
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        with pytest.raises(TractError):
            await getattr(tract, call)(*arguments)


async def test_verify_reports_a_blob_that_is_no_bytes(db_path: Path) -> None:
    await written(db_path)
    change(db_path, "UPDATE blobs SET data = '{}'")
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        report = await tract.verify()

    assert len(report.faults) == report.checked == 4


@pytest.mark.parametrize(
    "statement", ["DELETE FROM _tract_meta", "UPDATE _tract_meta SET value = 'x'"]
)
async def test_a_lost_schema_version_is_told_as_damage(db_path: Path, statement: str) -> None:
    await written(db_path)
    change(db_path, statement)
    with pytest.raises(StoreCorruptError) as caught:
        await AsyncTract.open(db_path, tract_id="t")

    assert caught.value.path == str(db_path)
