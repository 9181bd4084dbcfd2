"""Whatever JSON stands in an item, a part, a reply or an event: no format raises."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.effort import examples
from support.hostile import HOSTILE
from support.rendered import shown
from support.spoilt import JUNK, events, items, replies
from tract import AsyncTract, ContentValidationError, MessageContent
from tract.formats.deltas import apply, compacted
from tract.formats.format import Json, Sent, Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import arguments
from tract.formats.telling import Reader, told
from tract.history.media import take_out
from tract.protocols import Message
from tract.protocols.parts import (
    MediaPart,
    Native,
    NativePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

APIS = tuple(FORMATS)
LISTS = {"openai.responses": "input", "google.generate_content": "contents"}
STRICT = {
    "openai.chat": "deepseek-reasoner",
    "openai.responses": "gpt-5.4",
    "anthropic.messages": "claude-3-5-haiku",
    "google.generate_content": "gemini-3-pro",
}
"""Models that take less than their API."""


def requests_of(messages: list[Message], media: dict[str, bytes]) -> dict[tuple[str, str], Json]:
    """Return every request that can be made of messages; each loss names its message."""
    made: dict[tuple[str, str], Json] = {}
    for api, model in STRICT.items():
        for how in ("error", "drop", "keep"):
            for wanted in (None, model):
                writing = Writing(load=lambda sha: media.get(sha, b"bytes"), model=wanted)
                sent = [Sent(message, f"{at}") for at, message in enumerate(messages)]
                made[api, how] = arguments(FORMATS[api], sent, writing, how)
                json.dumps(made[api, how])
                assert all(
                    loss.commit_hash in {each.commit_hash for each in sent}
                    for loss in writing.losses
                )
    return made


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=examples(30))
@given(data=st.data())
def test_an_item_with_anything_in_it_can_be_sent_to_every_api(
    api: str, data: st.DataObject
) -> None:
    given_items = data.draw(st.lists(items(api), min_size=1, max_size=3))
    taken = [take_out(item) for item in given_items]
    media = {sha: found for each in taken for sha, found in each.media.items()}
    messages = shown(FORMATS[api].contents([each.item for each in taken]))

    made = requests_of(messages, media)

    listed = made[api, "keep"][LISTS.get(api, "messages")]
    assert len(listed) <= len(given_items)
    if len(listed) == len(given_items):
        assert json.dumps(listed, sort_keys=True) == json.dumps(given_items, sort_keys=True)


texts = st.sampled_from(
    *[
        [
            "",
            " ",
            "hi",
            "\ud800",
            "\n",
            "{}",
            "[1]",
            "\0",
            '{"a":1}',
            '{"a":NaN}',
            "x" * 100,
            '{"a":"\\ud800"}',
        ]
    ]
)
ids = st.sampled_from([None, "", "call_1", "call_2", "c/ 1", "é", "x" * 90])
natives = st.builds(
    Native,
    st.sampled_from([*APIS, "some.other"]),
    st.sampled_from([json.dumps(each) for each in JUNK]),
)
maybe = st.none() | texts
own = st.none() | natives


def _media(where: tuple[str, Any], **fields: Any) -> MediaPart:
    return MediaPart(**{where[0]: where[1]}, **fields)


media = st.builds(
    _media,
    st.sampled_from(
        [
            ("data", b"x"),
            ("attachment", "a" * 64),
            ("url", "https://a/b.png"),
            ("url", ""),
            ("url", "ftp://x"),
            ("url", "data:image/png;base64,AA=="),
            ("file_id", "file_1"),
            ("file_id", ""),
        ]
    ),
    kind=st.sampled_from(["image", "audio", "video", "document"]),
    media_type=st.sampled_from([None, "", "x", "image/png", "text/plain", "application/pdf"]),
    name=maybe,
    detail=maybe,
    native=own,
)
plain_parts = st.one_of(
    st.builds(TextPart, text=texts, native=own),
    st.builds(RefusalPart, text=texts, native=own),
    st.builds(ThinkingPart, text=texts, signature=maybe, encrypted=maybe, id=maybe, native=own),
    st.builds(
        ToolCallPart,
        id=ids,
        name=texts,
        arguments=texts,
        kind=st.sampled_from(["function", "custom", "server"]),
        signature=maybe,
        native=own,
    ),
    st.builds(NativePart, native=natives),
    media,
)
parts: st.SearchStrategy[Part] = st.recursive(
    plain_parts,
    lambda inner: st.builds(
        ToolResultPart,
        call_id=ids,
        parts=st.lists(inner, max_size=3).map(tuple),
        name=maybe,
        is_error=st.booleans(),
        kind=st.sampled_from(["function", "custom", "server"]),
        native=own,
    ),
    max_leaves=4,
)
roles = st.sampled_from(
    ["user", "assistant", "tool", "system", "developer", "critic", "", "\ud800"]
)
ODD_KIND = ToolResultPart(call_id=None, native=Native("openai.responses", '{"type":[]}'))


@example(contents=[MessageContent(role="user", parts=(ODD_KIND,))])
@given(
    st.lists(
        st.builds(
            MessageContent, role=roles, parts=st.lists(parts, max_size=4).map(tuple), name=maybe
        ),
        min_size=1,
        max_size=3,
    )
)
def test_messages_of_any_parts_can_be_sent_to_every_api(contents: list[MessageContent]) -> None:
    requests_of(shown(contents), {})


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=examples(30))
@given(data=st.data())
def test_a_reply_with_anything_in_it_is_read_or_refused(api: str, data: st.DataObject) -> None:
    given_reply = data.draw(replies(api))
    try:
        found = told(given_reply)
    except ContentValidationError as error:
        refused = str(error)
    else:
        shown(found.format.contents(found.reply.items))
        return
    assert names_all(refused)


def names_all(refused: str) -> bool:
    return all(api in refused for api in APIS)


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=examples(30))
@given(data=st.data())
def test_a_stream_with_anything_in_it_is_read_or_refused_at_its_beginning(
    api: str, data: st.DataObject
) -> None:
    reader, deltas = Reader(), list[Any]()
    refused = None
    for event in data.draw(st.lists(events(api), max_size=6)):
        try:
            deltas += json.loads(json.dumps(reader.feed(event)))
        except ContentValidationError as error:
            refused = str(error)
            break
    assert refused is None or (reader.api is None and names_all(refused))
    root, shorter = dict[str, Any](), dict[str, Any]()
    apply(root, deltas)
    apply(shorter, compacted(deltas))

    assert root == shorter
    if reader.api is not None:
        for complete in (True, False):
            reply = FORMATS[reader.api].events().reply(root, complete=complete)
            shown(FORMATS[reader.api].contents(reply.items))


def test_words_of_an_api_that_are_no_words_do_not_stop_the_reading_of_replies() -> None:
    response = {"object": "response", "output": [{"type": "message", "content": [{"type": []}]}]}
    assert told(response | {"status": {}}).reply.unknown == ("block",)
    with pytest.raises(ContentValidationError):
        told(response | {"object": []})


BAD_PIECES: tuple[Any, ...] = (
    *(1.5, " ", [0]),
    *([{"jsonPath": []}], [{"jsonPath": "$.a", "stringValue": 1}]),
)


@pytest.mark.parametrize(
    "stream",
    [
        [
            {"type": "response.content_part.added", "part": {"type": "output_text", "text": True}},
            {"type": "response.output_text.delta", "delta": "a"},
        ],
        [
            {"type": "message_start", "message": {"type": "message"}},
            {"type": "message_delta", "delta": {"stop_reason": ["end_turn"]}},
        ],
        *(
            [{"candidates": [{"content": {"parts": [{"functionCall": {"partialArgs": junk}}]}}]}]
            for junk in BAD_PIECES
        ),
    ],
    ids=lambda stream: "-".join(map(str, stream[-1]))[:40],
)
def test_words_of_an_api_that_are_no_words_do_not_stop_the_reading_of_streams(
    stream: list[Json],
) -> None:
    reader, root = Reader(), dict[str, Any]()
    apply(root, [delta for event in stream for delta in reader.feed(event)])
    assert reader.api is not None
    FORMATS[reader.api].events().reply(root, complete=True)


def test_what_contradicts_what_is_there_is_left_out_of_a_reply() -> None:
    root: dict[str, Any] = {}

    assert apply(root, [("set", ["a"], [True]), ("text", ["b"], "x")])
    assert not apply(
        root,
        [
            ("text", ["a"], "letters"),
            ("text", ["a", 0], "x"),
            ("set", ["a", "key"], 1),
            ("set", ["a", -3], 1),
            ("push", ["b"], 1),
            ("merge", ["b"], {"c": 1}),
            ("set", ["b", 0, "c"], 1),
            ("text", ["b"], "y"),
        ],
    )
    assert root == {"a": [True], "b": "xy"}


UNKNOWN: dict[str, Any] = {
    **HOSTILE,
    "dict": lambda: {"text": "hi"},
    "empty dict": dict,
    "list": lambda: [{"choices": []}],
    "None": lambda: None,
    "text": lambda: "hi",
    "another API": lambda: {"message": {"role": "assistant", "content": "hi"}, "done": True},
}


async def test_a_reply_of_no_known_sdk_is_refused_and_nothing_is_committed() -> None:
    async with AsyncTract.open() as tract:
        for name, make in UNKNOWN.items():
            with pytest.raises(ContentValidationError) as refused:
                await tract.record(make())

            assert names_all(str(refused.value)) or "reply" in refused.value.path, name
        assert await tract.log() == []


async def note(events: AsyncIterator[Any], passed: list[int]) -> None:
    async for event in events:
        passed.append(id(event))  # noqa: PERF401 - it is interrupted


async def test_a_stream_of_no_known_sdk_is_refused_and_gives_all_its_events_again() -> None:
    async def stream(events: list[Any]) -> AsyncIterator[Any]:
        for each in events:
            yield each

    async with AsyncTract.open() as tract:
        for name, make in UNKNOWN.items():
            made = [make(), {"later": 1}]
            passed: list[int] = []  # what says nothing
            recording = tract.record_stream(stream(made))
            with pytest.raises(ContentValidationError) as refused:
                await note(recording, passed)
            rest = [id(event) async for event in recording]

            assert names_all(str(refused.value)), name
            assert passed + rest == [id(event) for event in made], name
        assert await tract.log() == []


@pytest.mark.parametrize("role", ["critic", "$tools", "$x", ""])
def test_a_message_is_sent_to_every_api_whatever_its_role(role: str) -> None:
    parts = MessageContent(role=role, parts=(TextPart(text="hello"),))
    for messages in ([Message(role, "hello")], shown([parts])):
        for asked, request in requests_of(messages, {}).items():
            assert "hello" in json.dumps(request), asked
