"""Results of tools that are lists of blocks: their media are media, not text."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.opening import COUNTER
from tract import AsyncTract, MediaPart, ToolIOContent, ToolResultPart

BYTES = random.Random(7).randbytes(30_000)
DATA = base64.b64encode(BYTES).decode()
URL = f"data:image/png;base64,{DATA}"
BASE64 = {"type": "base64", "media_type": "image/png", "data": DATA}
FORMS: dict[str, list[dict[str, Any]]] = {
    "anthropic": [{"type": "text", "text": "seen"}, {"type": "image", "source": BASE64}],
    "chat": [{"type": "text", "text": "seen"}, {"type": "image_url", "image_url": {"url": URL}}],
    "mcp": [
        {"type": "text", "text": "seen"},
        {"type": "image", "data": DATA, "mimeType": "image/png"},
    ],
    "responses": [
        {"type": "input_text", "text": "seen"},
        {"type": "input_image", "image_url": URL},
    ],
}


async def called(tract: AsyncTract) -> None:
    await tract.user("Look.")
    await tract.commit(ToolIOContent(tool_name="look", direction="call", payload="{}", call_id="a"))


def answered(payload: Any) -> ToolIOContent:
    return ToolIOContent(tool_name="look", direction="result", payload=payload, call_id="a")


async def test_verify_finds_a_lost_image_of_a_result(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        await called(tract)
        info = await tract.commit(answered(FORMS["mcp"]))
        assert (await tract.verify()).faults == ()
    sha256 = hashlib.sha256(BYTES).hexdigest()
    with closing(sqlite3.connect(db_path)) as connection, connection:
        connection.execute("DELETE FROM blobs WHERE content_hash = ?", (bytes.fromhex(sha256),))
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        [fault] = (await tract.verify()).faults

    assert fault.commit_hash == info.commit_hash
    assert fault.problem == f"its attachment {sha256} is not in the store"


@pytest.mark.parametrize("form", FORMS)
async def test_an_image_in_a_result_is_a_part_and_costs_no_text(
    form: str, target: Path | str
) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        await called(tract)
        info = await tract.commit(answered(FORMS[form]))
        (result,) = (await tract.compile()).messages[-1].parts

        assert isinstance(result, ToolResultPart)
        assert result.call_id == "a"
        assert [part.type for part in result.parts] == ["text", "media"]
        image = result.parts[1]
        assert isinstance(image, MediaPart)
        assert image.media_type == "image/png"
        assert await tract.attachment(str(image.attachment)) == BYTES
        assert info.token_count < 20
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        content = await tract.get_content(info.commit_hash, as_=ToolIOContent)
        report = await tract.verify()

    assert content.payload == FORMS[form]
    assert report.faults == ()


@pytest.mark.parametrize(
    "api", ["openai.chat", "openai.responses", "anthropic.messages", "google.generate_content"]
)
@pytest.mark.parametrize("form", FORMS)
async def test_every_api_gets_the_image(form: str, api: str, target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        await called(tract)
        await tract.commit(answered(FORMS[form]))
        request = (await tract.compile()).request(api)

    assert DATA in json.dumps(request)


@pytest.mark.parametrize(
    "payload",
    [
        [],
        ["image"],
        [{"type": "text", "text": "no image"}],
        [{"type": "image"}],
        [{"type": "image", "source": 7}],
        [{"type": "image", "source": BASE64}, {"type": "chart", "rows": []}],
        {"type": "image", "source": BASE64},
    ],
    ids=str,
)
async def test_any_other_payload_is_text_and_comes_back(payload: Any, target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        await called(tract)
        info = await tract.commit(answered(payload))
        message = (await tract.compile()).messages[-1]
        content = await tract.get_content(info.commit_hash, as_=ToolIOContent)

    assert message.given is None
    assert json.loads(message.content or "") == payload
    assert content.payload == payload
