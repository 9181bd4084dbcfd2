"""Artifacts and free-form contents may say whose words they are shown as."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from support.customs import Ticket
from support.opening import COUNTER
from tract import (
    ArtifactContent,
    AsyncTract,
    ContentValidationError,
    DialogueContent,
    FreeformContent,
    MessageContent,
    TextPart,
    TractConfig,
    TractStore,
)

CONTENTS: list[dict[str, Any]] = [
    {"content_type": "artifact", "artifact_type": "page", "content": "found"},
    {"content_type": "freeform", "payload": "found"},
]
contents = pytest.mark.parametrize("content", CONTENTS, ids=lambda each: each["content_type"])


@contents
async def test_a_content_is_shown_as_the_role_that_it_names(
    content: dict[str, Any], target: Path | str
) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        info = await tract.commit({**content, "role": "user"})
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        context = await tract.compile()
        stored = await tract.get_content(info.commit_hash)
        report = await tract.verify()

    assert context.to_openai() == [{"role": "user", "content": "found"}]
    assert isinstance(stored, ArtifactContent | FreeformContent)
    assert stored.role == "user"
    assert report.faults == ()


SAID: list[Any] = [
    *CONTENTS,
    ArtifactContent(artifact_type="page", content="found", role="assistant"),
    {"content_type": "dialogue", "text": "found"},
    DialogueContent(role="assistant", text="found"),
    MessageContent(role="assistant", parts=(TextPart(text="found"),)),
]


@pytest.mark.parametrize("content", SAID, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
async def test_a_commit_may_say_the_role_and_its_content_holds_it(
    content: Any, size: int, target: Path | str
) -> None:
    note = "x" * size
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        info = await tract.commit(content, role="user", metadata={"note": note})
        async with tract.batch() as batch:
            batch.commit(content, role="user", metadata={"note": note})
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        messages = (await tract.compile(aggregate_same_role=False)).messages
        stored = await tract.get_content(info.commit_hash)
        [again, _] = await tract.log(2)
        report = await tract.verify()

    assert [(message.role, message.content) for message in messages] == [("user", "found")] * 2
    assert stored.model_dump()["role"] == "user"
    assert again.content_hash == info.content_hash
    assert report.faults == ()


ROLELESS: list[dict[str, Any]] = [
    {"content_type": "instruction", "text": "x"},
    {"content_type": "reasoning", "text": "x"},
    {"content_type": "output", "text": "x"},
    {"content_type": "tool_io", "tool_name": "f", "direction": "call", "payload": 1},
    {"content_type": "native", "api": "openai.chat", "item": {"role": "user", "content": "x"}},
    {"content_type": "tools", "api": "openai.chat", "tools": []},
    {"content_type": "ticket", "title": "x"},
]


@pytest.mark.parametrize("content", ROLELESS, ids=lambda each: each["content_type"])
async def test_a_role_for_a_content_without_one_is_refused_and_says_what_to_do(
    content: dict[str, Any],
    target: Path | str,
) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        tract.register_content_type("ticket", Ticket)
        with pytest.raises(ContentValidationError, match="type_to_role") as told:
            await tract.commit(content, role="user")
        head = await tract.head()

    assert told.value.path == "role"
    assert head is None


@pytest.mark.parametrize("role", [7, "", "robot", b"user"], ids=repr)
async def test_a_role_that_a_dialogue_cannot_have_is_refused(role: Any, target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        with pytest.raises(ContentValidationError) as told:
            await tract.commit({"content_type": "dialogue", "text": "x"}, role=role)

    assert told.value.path == "role"


@contents
async def test_it_comes_before_what_the_store_says_of_its_type(
    content: dict[str, Any], target: Path | str
) -> None:
    config = TractConfig(type_to_role={content["content_type"]: "system"})
    async with AsyncTract.open(target, config=config, tokenizer=COUNTER) as tract:
        await tract.commit(content)
        await tract.commit({**content, "role": "user"})
        messages = (await tract.compile()).messages

    assert [message.role for message in messages] == ["system", "user"]


@contents
async def test_without_one_nothing_changes_and_the_content_stays_the_same_blob(
    content: dict[str, Any],
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        bare = await store.tract("a").commit(content)
        none = await store.tract("b").commit({**content, "role": None})
        context = await store.tract("a").compile()

    stored = {"language": None, **content} if "content" in content else content
    text = json.dumps(stored, sort_keys=True, separators=(",", ":"))
    assert bare.content_hash == none.content_hash == hashlib.sha256(text.encode()).hexdigest()
    assert [message.role for message in context.messages] == ["assistant"]


@contents
async def test_a_role_that_is_not_text_is_refused(
    content: dict[str, Any], target: Path | str
) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        with pytest.raises(ContentValidationError) as told:
            await tract.commit({**content, "role": 7})

    assert told.value.path == "role"


async def test_losses_are_the_same_whichever_way_a_request_was_made(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        await tract.user("q")
        call = {"content_type": "tool_io", "tool_name": "f", "call_id": "c"}
        await tract.commit({**call, "direction": "call", "payload": "{}"})
        await tract.commit({**call, "direction": "result", "payload": "no", "status": "error"})
        context = await tract.compile()
        context.to_openai()
        quick = context.losses
        context.request("openai.chat")

    assert quick == context.losses
    assert [loss.what for loss in quick] == ["is_error"]
