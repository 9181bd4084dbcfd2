"""Artifacts and free-form contents may say whose words they are shown as."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from support.opening import COUNTER
from tract import (
    ArtifactContent,
    AsyncTract,
    ContentValidationError,
    FreeformContent,
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
    content: dict[str, Any], db_path: Path
) -> None:
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        info = await tract.commit({**content, "role": "user"})
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        context = await tract.compile()
        stored = await tract.get_content(info.commit_hash)
        report = await tract.verify()

    assert context.to_openai() == [{"role": "user", "content": "found"}]
    assert isinstance(stored, ArtifactContent | FreeformContent)
    assert stored.role == "user"
    assert report.faults == ()


@contents
async def test_it_comes_before_what_the_store_says_of_its_type(content: dict[str, Any]) -> None:
    config = TractConfig(type_to_role={content["content_type"]: "system"})
    async with AsyncTract.open(config=config, tokenizer=COUNTER) as tract:
        await tract.commit(content)
        await tract.commit({**content, "role": "user"})
        messages = (await tract.compile()).messages

    assert [message.role for message in messages] == ["system", "user"]


@contents
async def test_without_one_nothing_changes_and_the_content_stays_the_same_blob(
    content: dict[str, Any],
) -> None:
    async with TractStore.open(tokenizer=COUNTER) as store:
        bare = await store.tract("a").commit(content)
        none = await store.tract("b").commit({**content, "role": None})
        context = await store.tract("a").compile()

    stored = {"language": None, **content} if "content" in content else content
    text = json.dumps(stored, sort_keys=True, separators=(",", ":"))
    assert bare.content_hash == none.content_hash == hashlib.sha256(text.encode()).hexdigest()
    assert [message.role for message in context.messages] == ["assistant"]


@contents
async def test_a_role_that_is_not_text_is_refused(content: dict[str, Any]) -> None:
    async with AsyncTract.open(tokenizer=COUNTER) as tract:
        with pytest.raises(ContentValidationError) as told:
            await tract.commit({**content, "role": 7})

    assert told.value.path == "role"


async def test_losses_are_the_same_whichever_way_a_request_was_made() -> None:
    async with AsyncTract.open(tokenizer=COUNTER) as tract:
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
