"""Whatever the SDK's types allow comes back as it was, a new release's types included."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import example, given
from hypothesis import strategies as st

from support.google_items import FORMAT, exactly, messages_of, rendered, rest, same, sent, streamed
from support.sdk_types import Cases, cases, values
from tract import AsyncTract, ContentValidationError, from_google
from tract.formats.deltas import apply
from tract.formats.format import Writing, as_json
from tract.formats.google_genai.kinds import DATA
from tract.formats.sending import write_tools
from tract.protocols.parts import NativePart

FORMS = [
    pytest.param(types.Content, id="models"),
    pytest.param(types.ContentDict, id="dicts"),
]


def all_contents() -> Cases:
    both = [cases(types.Content), cases(types.ContentDict)]
    names = frozenset(name for each in both for name in each.members)
    return Cases([value for each in both for value in each.values], names)


async def test_every_member_of_every_type_comes_back_from_a_store() -> None:
    found = all_contents()
    parts = set(types.Part.model_fields)
    print(f"\n{len(found.values)} contents, {len(found.members)} members, {len(parts)} of a part")
    contents = from_google(copy.deepcopy(found.values))

    async with AsyncTract.open() as tract:
        async with tract.batch() as batch:
            for content in contents:
                batch.commit(content)
        context = await tract.compile(aggregate_same_role=False)

    assert len(contents) == len(found.values)
    assert len(parts) >= 20
    assert same(context.to_google(open_calls="keep"), {"contents": found.values})


@pytest.mark.parametrize("content", FORMS)
def test_a_content_of_any_type_can_be_sent(content: Any) -> None:
    """Never an exception, whatever is in it, and the item stays as it was."""
    for value in cases(content).values:
        before = copy.deepcopy(value)
        sent(messages_of(value))
        assert same(value, before)


@given(st.lists(values(types.ContentDict), max_size=3))
def test_any_list_of_dicts_comes_back(items: list[Any]) -> None:
    assert same(exactly(messages_of(*items)), {"contents": items})


@given(st.lists(values(types.Content), max_size=3))
@example([{"role": "$tools"}])
def test_any_list_of_contents_comes_back_and_can_be_sent(items: list[Any]) -> None:
    assert same(exactly(messages_of(*items)), {"contents": items})
    sent(messages_of(*items))


@pytest.mark.parametrize("content", FORMS)
def test_the_sdks_objects_come_back_as_the_json_that_the_api_uses(content: Any) -> None:
    compared = 0
    for value in cases(content).values:
        try:
            made = types.Content.model_validate(value)
        except ValueError:  # the dicts of the SDK are looser than its models
            continue
        again = exactly(rendered(from_google(made)))
        assert same(again["contents"][0], as_sent(made))
        assert types.Content.model_validate(again["contents"][0]) == made
        compared += 1
    assert compared > 100


def as_sent(content: types.Content) -> dict[str, Any]:
    """Return a content as JSON, without what is None; values of the API's objects may be."""
    sent_as = dict(as_json(content) or {})
    if sent_as.get("parts") is not None:
        sent_as["parts"] = [
            {
                key: {k: v for k, v in each.items() if v is not None}
                if key in DATA and isinstance(each, dict)
                else each
                for key, each in part.items()
                if each is not None
            }
            for part in sent_as["parts"]
        ]
    return {key: each for key, each in sent_as.items() if each is not None}


@pytest.mark.parametrize("content", FORMS)
def test_the_parts_of_an_item_are_the_same_with_their_own_json(content: Any) -> None:
    for value in cases(content).values:
        role, parts, _ = FORMAT.read(value)
        kept = FORMAT.read(value, keep=True)

        assert (role, len(parts)) == (kept.role, len(kept.parts))
        assert [type(part) for part in parts] == [type(part) for part in kept.parts]
        if isinstance(value.get("parts"), list):
            natives = [part.native.item for part in kept.parts if part.native]
            assert same(natives, value["parts"])


def test_every_kind_of_part_is_read() -> None:
    """A kind that the installed SDK adds shows up here."""
    about = {name for name in types.Part.model_fields if name.startswith(("thought", "media_"))}
    about |= {name for name in types.Part.model_fields if name.endswith(("_metadata",))}
    camel = {types.Part.model_fields[n].alias or n for n in set(types.Part.model_fields) - about}

    assert camel - {"audioTranscription"} == set(DATA)


def test_a_system_instruction_of_any_type_comes_back() -> None:
    for value in [*all_contents().values, "Be brief.", ["Be brief.", {"text": "Be kind."}], ""]:
        contents = from_google([], system_instruction=copy.deepcopy(value))
        again = exactly(rendered(contents))
        assert same(again, {"contents": [], "config": {"system_instruction": value}})


@pytest.mark.parametrize("tool", [types.Tool, types.ToolDict])
def test_a_tool_of_any_type_comes_back(tool: Any) -> None:
    for value in cases(tool).values:
        (content,) = from_google([], tools=[copy.deepcopy(value)])
        given_tools = content.model_dump()["tools"]
        again = write_tools(FORMAT, given_tools, "google.generate_content", Writing())
        assert same(again, {"config": {"tools": [value]}})
        FORMAT.read_tool(value)


def test_a_whole_reply_of_any_type_is_kept() -> None:
    kept = 0
    for value in cases(types.GenerateContentResponse).values:
        reply = FORMAT.reply(value)
        content = first_content(value)
        if reply is None:
            assert not value.get("candidates")
        elif content and content.get("parts"):
            assert as_model(reply.items[0]) == as_model({"role": "model", **content})
            kept += 1
    assert kept >= len(types.Part.model_fields)


def as_model(content: dict[str, Any]) -> types.Content:
    given = {key: value for key, value in content.items() if value is not None}
    return types.Content.model_validate(given)


def first_content(reply: dict[str, Any]) -> dict[str, Any]:
    """Return what is set of the content of the first candidate."""
    candidates = reply.get("candidates") or [{}]
    content = candidates[0].get("content") or {}
    return {key: value for key, value in content.items() if value is not None}


@pytest.mark.parametrize("step", [1, 3])
def test_a_reply_streamed_gives_the_items_of_the_whole_one(step: int) -> None:
    """As many parts a chunk as *step* says; texts in pieces."""
    for value in cases(types.Content).values:
        parts = [part for part in value.get("parts") or [] if not in_pieces(part)]
        content = {"role": "model", "parts": parts}
        whole = FORMAT.reply({"candidates": [{"content": content, "finishReason": "STOP"}]})
        assert whole is not None
        again = streamed(as_stream(parts, step))
        assert same(again.items, whole.items)
        assert again[2:] == whole[2:]


def in_pieces(part: dict[str, Any]) -> bool:
    """Return True for a piece of a call, which is in streams only."""
    return bool((part.get("functionCall") or {}).keys() & {"willContinue", "partialArgs"})


def as_stream(parts: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    """Return chunks that a whole reply would have come as."""
    pieces: list[dict[str, Any]] = []
    for part in parts:
        if part.keys() <= {"text", "thought"} and isinstance(part.get("text"), str):
            pieces += [{**part, "text": text} for text in (part["text"][:2], part["text"][2:])]
        else:
            pieces.append(part)
    chunks = [pieces[at : at + step] for at in range(0, len(pieces), step)]
    events = [{"candidates": [{"content": {"role": "model", "parts": each}}]} for each in chunks]
    last = {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP"}
    return [*events, {"candidates": [last]}]


def test_a_chunk_of_any_type_is_read() -> None:
    reader, root = FORMAT.events(), dict[str, Any]()
    for number, value in enumerate(cases(types.GenerateContentResponse).values):
        if number % 20 == 0:  # what has come is read again with each chunk
            reader, root = FORMAT.events(), {}
        apply(root, json.loads(json.dumps(reader.feed(value))))
        FORMAT.events().reply(root, complete=False)


@pytest.mark.parametrize("part", [{"hologram": {"depth": [1.0, {"a": None}]}}, {}, "text", None])
def test_a_part_of_a_later_release_comes_back(part: Any) -> None:
    item = {"role": "model", "parts": [part]}

    assert same(exactly(messages_of(item)), {"contents": [item]})
    assert isinstance(FORMAT.read(item).parts[0], NativePart)


def test_a_part_of_a_later_release_is_sent() -> None:
    item = {"role": "user", "parts": [{"hologram": {"depth": [1.0, {"a": None}]}}]}

    assert same(sent(messages_of(item)), {"contents": [item]})


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)
keys = st.sampled_from(
    "role parts text thought thoughtSignature inlineData data mimeType functionCall function_call "
    "functionResponse name args response id systemInstruction fileData fileUri candidates content "
    "usageMetadata partialArgs willContinue jsonPath stringValue".split()
)
words = st.sampled_from(["user", "model", "function", "f", "image/png", "AAAA"])
like_items = st.recursive(
    any_json | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(keys, like_items, max_size=5))
def test_any_json_object_can_be_read_kept_and_sent(item: dict[str, Any]) -> None:
    FORMAT.read(item, keep=True)
    messages = messages_of(item)
    sent(messages)
    if "role" in item:
        assert same(exactly(messages), {"contents": [item]})


@given(st.lists(st.dictionaries(keys, like_items, max_size=5), max_size=3))
def test_any_json_object_is_a_reply_or_none(events: list[dict[str, Any]]) -> None:
    for event in events:
        FORMAT.reply(event)
        FORMAT.is_event(event)
    streamed(events)


def test_all_forms_that_the_sdk_takes_become_its_contents() -> None:
    """Those that follow each other are one content, as the SDK sends them."""
    call = types.Part.from_function_call(name="f", args={"a": 1})
    file = types.File(uri="https://x/v1beta/files/1", mime_type="image/png")
    blob = types.Part.from_bytes(data=b"\xff\xfe", mime_type="image/png")
    said = types.UserContent("?"), types.ModelContent("!")
    contents = from_google(["See", blob, {"text": "this"}, file, call, *said, ["a", "b"]])

    called = {"functionCall": {"name": "f", "args": {"a": 1}}}
    filed = {"fileUri": "https://x/v1beta/files/1", "mimeType": "image/png"}
    assert exactly(rendered(contents))["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "See"},
                {"inlineData": {"data": "__4=", "mimeType": "image/png"}},
                {"text": "this"},
                {"fileData": filed},
            ],
        },
        {"role": "model", "parts": [called]},
        {"role": "user", "parts": [{"text": "?"}]},
        {"role": "model", "parts": [{"text": "!"}]},
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
    ]
    assert from_google("See") == from_google(["See"]) == from_google(types.UserContent("See"))


def test_a_request_is_taken_whole() -> None:
    tool = types.Tool(google_search=types.GoogleSearch())
    instruction = types.Content(parts=[types.Part(text="Be brief.")])
    contents = from_google("Hi", system_instruction=instruction, tools=[tool])

    assert [each.model_dump()["content_type"] for each in contents] == [
        "native",
        "tools",
        "dialogue",
    ]
    shown = [contents[0], contents[2]]
    assert rest(exactly(rendered(shown)))["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert contents[1].model_dump()["tools"] == [{"googleSearch": {}}]


@pytest.mark.parametrize(
    ("contents", "path"),
    [
        ([{"role": "user", "parts": []}, 7], "contents[1]"),
        ([{"role": "user", "parts": [{"text": float("nan")}]}], "contents[0].parts[0].text"),
        ([{"role": "user", "parts": [{"text": ...}]}], "contents[0].parts[0].text"),
        ([{7: "user"}], "contents[0]"),
        ([["a", {"role": "user"}]], "contents[0]"),
        (7, "contents"),
        (None, "contents"),
    ],
    ids=str,
)
def test_what_json_cannot_hold_is_refused_with_its_path(contents: Any, path: str) -> None:
    with pytest.raises(ContentValidationError) as caught:
        from_google(contents)

    assert caught.value.path.startswith(path)


def test_a_tool_that_is_not_json_is_refused_with_its_path() -> None:
    with pytest.raises(ContentValidationError) as caught:
        from_google([], tools=[{"googleSearch": {}}, len])

    assert caught.value.path == "tools[1]"
