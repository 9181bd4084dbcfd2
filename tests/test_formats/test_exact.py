"""`open_calls="keep"` sends what was committed; what else a request moves is in its losses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.rendered import shown
from tract import (
    AsyncTract,
    ContentModel,
    DialogueContent,
    InstructionContent,
    Loss,
    MessageContent,
    TextPart,
    ToolCallPart,
    ToolIOContent,
    ToolResultPart,
    to_openai,
)
from tract.formats.registry import FORMATS

APIS = tuple(FORMATS)
LISTS = {"openai.responses": "input", "google.generate_content": "contents"}


def called(call_id: str | None, name: str = "f/g") -> list[ContentModel]:
    """Return a call and its result, each as a short content and as a part."""
    call: dict[str, Any] = {"tool_name": name, "payload": "{}", "call_id": call_id}
    part = ToolCallPart(id=call_id, name=name, arguments="{}")
    result = ToolResultPart(call_id=call_id, name=name, parts=(TextPart(text="r"),))
    return [
        ToolIOContent(direction="call", **call),
        ToolIOContent(direction="result", **(call | {"payload": "r"})),
        MessageContent(role="assistant", parts=(part,)),
        MessageContent(role="tool", parts=(result,)),
    ]


async def requested(
    contents: list[ContentModel], api: str, **how: Any
) -> tuple[dict[str, Any], list[Loss], list[str]]:
    """Return a request, what it lost, and the commits of the context."""
    async with AsyncTract.open() as tract:
        for content in contents:
            await tract.commit(content)
        context = await tract.compile(aggregate_same_role=False)
        request = context.request(api, **how)
        return request, context.losses, context.commit_hashes


@pytest.mark.parametrize("api", APIS)
async def test_no_id_is_made_up_where_none_was_committed(api: str) -> None:
    request, losses, _ = await requested(called(None), api, open_calls="keep")

    written = json.dumps(request[LISTS.get(api, "messages")])
    assert "call_1" not in written
    assert '"id"' not in written
    assert "tool_call_id" not in written
    assert "tool_use_id" not in written
    assert '"call_id"' not in written
    assert losses == []


def test_the_function_makes_up_no_id_either() -> None:
    messages = shown(called(None))

    assert "call_1" in json.dumps(to_openai(messages))
    assert "call_1" not in json.dumps(to_openai(messages, exact=True))


@pytest.mark.parametrize("api", APIS)
async def test_ids_and_names_stay_as_they_are(api: str) -> None:
    request, losses, _ = await requested(called("a b/" * 40), api, open_calls="keep")

    written = json.dumps(request)
    assert written.count("a b/" * 40) == 4
    assert written.count('"f/g"') >= 2
    assert losses == []


@pytest.mark.parametrize("api", APIS)
async def test_an_open_call_and_a_late_result_stay_where_they_are(api: str) -> None:
    call, result, open_call, _ = called("a")
    said = DialogueContent(role="user", text="u")
    request, losses, _ = await requested([call, said, result, open_call], api, open_calls="keep")

    listed = [json.dumps(each) for each in request[LISTS.get(api, "messages")]]
    assert len(listed) == 4
    assert ["f/g" in listed[0], '"u"' in listed[1], '"r"' in listed[2], "f/g" in listed[3]] == [
        True
    ] * 4
    assert losses == []


@pytest.mark.parametrize("api", ["openai.chat", "openai.responses"])
async def test_a_role_that_the_api_has_not_stays(api: str) -> None:
    critic = MessageContent(role="critic", parts=(TextPart(text=""), TextPart(text="No.")))
    request, losses, _ = await requested([critic], api, open_calls="keep")

    [message] = request[LISTS.get(api, "messages")]
    assert message["role"] == "critic"
    assert losses == []


SYSTEM = InstructionContent(text="Be kind.")
LATER = [
    SYSTEM,
    DialogueContent(role="user", text="u"),
    InstructionContent(text="Be brief."),
    DialogueContent(role="assistant", text="a"),
]


@pytest.mark.parametrize("how", ["error", "keep"])
@pytest.mark.parametrize("api", ["openai.chat", "openai.responses"])
async def test_a_later_system_message_stays_in_its_place(api: str, how: str) -> None:
    request, losses, _ = await requested(LATER, api, open_calls=how)

    listed = request[LISTS.get(api, "messages")]
    assert [each["role"] for each in listed[-3:]] == ["user", "system", "assistant"]
    assert losses == []


@pytest.mark.parametrize(
    ("model", "how"), [("claude-opus-5", "error"), ("claude-opus-5", "drop"), (None, "keep")]
)
async def test_it_stays_where_a_model_of_anthropic_takes_it(model: str | None, how: str) -> None:
    said = [*LATER, LATER[1]]
    request, losses, _ = await requested(said, "anthropic.messages", model=model, open_calls=how)

    assert request == {
        "system": "Be kind.",
        "messages": [
            {"role": "user", "content": "u"},
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "u"},
        ],
    }
    assert losses == []


@pytest.mark.parametrize("model", [None, "claude-sonnet-4-5", "kimi-k3"])
async def test_else_it_is_in_the_system_prompt_and_named(model: str | None) -> None:
    request, losses, hashes = await requested(LATER, "anthropic.messages", model=model)

    assert request["system"] == "Be kind.\n\nBe brief."
    assert [each["role"] for each in request["messages"]] == ["user", "assistant"]
    assert [(loss.commit_hash, loss.what) for loss in losses] == [(hashes[2], "system")]


async def test_before_the_users_words_no_model_of_anthropic_takes_it() -> None:
    request, losses, hashes = await requested(
        [*LATER[:3], *LATER[1:2]], "anthropic.messages", model="claude-opus-5"
    )

    assert request["system"] == "Be kind.\n\nBe brief."
    assert [(loss.commit_hash, loss.what) for loss in losses] == [(hashes[2], "system")]


@pytest.mark.parametrize("text", ["", " \n"])
async def test_a_later_system_message_that_says_nothing_is_left_out(text: str) -> None:
    blank = [LATER[1], InstructionContent(text=text)]
    request, _, _ = await requested(blank, "anthropic.messages", model="claude-opus-5")

    assert request == {"messages": [{"role": "user", "content": "u"}]}


@pytest.mark.parametrize("how", ["error", "keep"])
async def test_gemini_has_it_in_the_system_instruction_and_it_is_named(how: str) -> None:
    request, losses, hashes = await requested(LATER, "google.generate_content", open_calls=how)

    assert request["config"] == {"system_instruction": "Be kind.\n\nBe brief."}
    assert (hashes[2], "system") in [(loss.commit_hash, loss.what) for loss in losses]


@pytest.mark.parametrize("how", ["error", "keep"])
@pytest.mark.parametrize("api", APIS)
async def test_the_name_of_a_speaker_is_sent_or_named(api: str, how: str) -> None:
    ann = DialogueContent(role="user", text="Hi.", name="ann")
    request, losses, hashes = await requested([ann], api, open_calls=how)

    if api == "openai.chat":
        assert request["messages"][0]["name"] == "ann"
        assert losses == []
    else:
        assert [(loss.commit_hash, loss.what) for loss in losses] == [(hashes[0], "name")]
