from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tract import (
    AsyncTract,
    ContentModel,
    ContentType,
    ContentValidationError,
    DialogueContent,
    Priority,
    TractConfig,
)
from tract.engine.contents.registry import ContentRegistry, default_priority

DIALOGUE = {"content_type": "dialogue", "role": "user", "text": "x"}
TOOL = {"content_type": "tool_io", "tool_name": "f", "direction": "call", "payload": 1}


class Note(BaseModel):
    title: str
    body: str = ""


class Meeting(BaseModel):
    at: datetime
    people: list[str]

    def to_text(self) -> str:
        return f"{self.at:%H:%M} with {' and '.join(self.people)}"


class StrictMeeting(ContentModel):
    at: datetime
    rooms: tuple[int, ...]

    def to_text(self) -> str:
        return f"{self.at:%H:%M} in {self.rooms[0]}"


class Typed(BaseModel):
    content_type: str = "typed"
    text: str


class Loose(BaseModel):
    value: Any


class Renamed(BaseModel):
    other: int


MEETING = {"content_type": "meeting", "at": datetime(2025, 1, 1, 9, tzinfo=UTC), "people": ["A"]}
STRICT = {"content_type": "strict", "at": datetime(2025, 1, 1, 9, tzinfo=UTC), "rooms": (7, 8)}


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({}, "content_type"),
        ({"text": "x"}, "content_type"),
        ({"content_type": None}, "content_type"),
        ({"content_type": 3}, "content_type"),
        ({"content_type": "nonsense"}, "content_type"),
        ({"content_type": "annotation", "priority": "skip"}, "content_type"),
        ({"content_type": "dialogue", "text": "x"}, "role"),
        ({"content_type": "dialogue", "role": "user"}, "text"),
        ({**DIALOGUE, "role": "robot"}, "role"),
        ({**DIALOGUE, "text": 3}, "text"),
        ({**DIALOGUE, "text": b"x"}, "text"),
        ({**DIALOGUE, "text": "\ud800"}, "text"),
        ({**DIALOGUE, "name": 3}, "name"),
        ({**DIALOGUE, "extra": 1}, "extra"),
        ({**TOOL, "direction": "sideways"}, "direction"),
        ({**TOOL, "status": "great"}, "status"),
        ({**TOOL, "call_id": 4}, "call_id"),
        ({**TOOL, "payload": {"a": [1, float("nan")]}}, "payload.a[1]"),
        ({**TOOL, "payload": {"a": {1: 2}}}, "payload.a"),
        ({**TOOL, "payload": ["\ud800"]}, "payload[0]"),
        ({"content_type": "output", "text": "x", "format": "html"}, "format"),
        ({"content_type": "artifact", "content": "x"}, "artifact_type"),
        ({"content_type": "freeform"}, "payload"),
        ({"content_type": "freeform", "payload": datetime(2026, 1, 2, tzinfo=UTC)}, "payload"),
        (Renamed(other=1), ""),
        ("text", ""),
        (None, ""),
        ([("content_type", "dialogue")], ""),
    ],
    ids=repr,
)
async def test_wrong_content_is_refused_by_field_and_nothing_is_written(
    content: Any, path: str, target: Path | str
) -> None:
    async with AsyncTract.open(target, tract_id="t", config=TractConfig()) as tract:
        with pytest.raises(ContentValidationError) as raised:
            await tract.commit(content)

        assert raised.value.path == path
        assert await tract.head() is None


async def test_every_wrong_field_is_in_the_text(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:
        with pytest.raises(ContentValidationError, match=r"^role: .*; text: .*"):
            await tract.commit({"content_type": "dialogue"})


def test_an_instance_that_was_tampered_with_is_checked_like_a_dict() -> None:
    content = DialogueContent(role="user", text="x")
    content.__dict__["text"] = 3
    registry = ContentRegistry()

    with pytest.raises(ContentValidationError, match="text: Input should be a valid string"):
        registry.fields(*registry.given(content))


@pytest.mark.parametrize("name", ["dialogue", "annotation", "", "x" * 256, None])
def test_a_name_that_cannot_be_registered_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match=r"exists already|1 to 255"):
        ContentRegistry().register(name, ContentType(Note))


@pytest.mark.parametrize("model", [dict, Note(title="x"), None, int])
def test_what_is_no_model_class_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="BaseModel class"):
        ContentRegistry().register("note", ContentType(model))


def test_a_name_belongs_to_the_first_model() -> None:
    registry = ContentRegistry()
    registry.register("note", ContentType(Note))
    registry.register("note", ContentType(Note))

    with pytest.raises(ValueError, match="exists already"):
        registry.register("note", ContentType(Renamed))


@pytest.mark.parametrize(
    ("name", "model", "content", "text"),
    [
        ("note", Note, {"content_type": "note", "title": "T"}, '{"body":"","title":"T"}'),
        ("note", Note, Note(title="T", body="B"), '{"body":"B","title":"T"}'),
        ("typed", Typed, {"content_type": "typed", "text": "x"}, "x"),
        ("meeting", Meeting, MEETING, "09:00 with A"),
        ("meeting", Meeting, Meeting.model_validate(MEETING), "09:00 with A"),
        ("meeting", Meeting, {**MEETING, "at": "2025-01-01T09:00:00Z"}, "09:00 with A"),
        ("strict", StrictMeeting, STRICT, "09:00 in 7"),
    ],
)
async def test_custom_contents_are_committed_compiled_and_loaded(
    name: str, model: type[BaseModel], content: Any, text: str, target: Path | str
) -> None:
    async with AsyncTract.open(target) as tract:
        tract.register_content_type(name, model)
        info = await tract.commit(content)

        assert info.content_type == name
        assert (await tract.compile()).to_dicts() == [{"role": "assistant", "content": text}]
        loaded = await tract.get_content(info.commit_hash)
        assert type(loaded) is model
        again = await tract.commit(loaded)
        assert again.content_hash == info.content_hash


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"content_type": "loose"}, "value"),
        ({"content_type": "loose", "value": {"a": float("nan")}}, "value.a"),
        (Loose(value=[float("inf")]), "value[0]"),
        ({"content_type": "loose", "value": object()}, "loose"),
        ({"content_type": "loose", "value": "\ud800"}, None),
    ],
)
async def test_wrong_custom_content_is_refused(
    content: Any, path: str | None, target: Path | str
) -> None:
    async with AsyncTract.open(target) as tract:
        tract.register_content_type("loose", Loose)
        with pytest.raises(ContentValidationError) as raised:
            await tract.commit(content)

        assert path is None or raised.value.path == path
        assert await tract.head() is None


async def test_a_reopened_store_asks_for_custom_types_again(db_path: Any) -> None:
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        tract.register_content_type("note", Note)
        info = await tract.commit({"content_type": "note", "title": "T"})
        before = await tract.compile()
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        for call in (
            tract.compile(),
            tract.get_content(info.commit_hash),
            tract.commit(Note(title="U")),
        ):
            with pytest.raises(ContentValidationError, match="register_content_type"):
                await call

        tract.register_content_type("note", Note)
        assert await tract.compile() == before


async def test_a_stored_content_that_its_model_no_longer_admits_says_so(db_path: Any) -> None:
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        tract.register_content_type("note", Note)
        info = await tract.commit(Note(title="T"))
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        tract.register_content_type("note", Renamed)
        with pytest.raises(ContentValidationError, match="other: Field required"):
            await tract.get_content(info.commit_hash)


def test_a_blob_holds_all_fields_and_the_type() -> None:
    registry = ContentRegistry()
    registry.register("meeting", ContentType(Meeting))

    fields = registry.fields(*registry.given(MEETING))
    assert json.loads(json.dumps(fields)) == {
        "content_type": "meeting",
        "at": "2025-01-01T09:00:00Z",
        "people": ["A"],
    }


def test_instructions_are_pinned_and_all_else_is_normal() -> None:
    others = ["artifact", "custom", "dialogue", "freeform", "output", "reasoning", "tool_io"]

    assert default_priority("instruction", {}) is Priority.PINNED
    assert {default_priority(kind, {}) for kind in others} == {Priority.NORMAL}
