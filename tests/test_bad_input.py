"""Bad input: each gets its named error, a text that says what to do, and writes nothing."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import pickle
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tract import (
    AnnotationContent,
    AsyncTract,
    CommitNotFoundError,
    CommitOperation,
    ContentValidationError,
    DialogueContent,
    EditTargetError,
    FreeformContent,
    HeadMovedError,
    MergeContent,
    Priority,
    QueryError,
    SchemaVersionError,
    StorageError,
    StoreClosedError,
    StoreCorruptError,
    StoreReadOnlyError,
    TokenUsage,
    TractConfig,
    TractError,
    TractStore,
)

EDIT, APPEND = CommitOperation.EDIT, CommitOperation.APPEND
SHORTHANDS = ("system", "user", "assistant")
UNKNOWN = "0" * 64
LIMIT = 20_000
CYCLE: dict[str, Any] = {}
CYCLE["self"] = [CYCLE]

Dump = dict[str, list[tuple[Any, ...]]]


def dump(path: Path) -> Dump:
    connection = sqlite3.connect(path)
    tables = [r[0] for r in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
    rows = {name: sorted(map(tuple, connection.execute(f"SELECT * FROM {name}")), key=repr)
            for name in tables}  # fmt: skip
    connection.close()
    return rows


def files_in(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def scramble(path: Path) -> None:
    """Fill all but the first page with noise."""
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


class World(NamedTuple):
    """A tract with a history, and hashes of every kind that a caller may get wrong."""

    tract: AsyncTract
    path: Path
    hashes: dict[str, str]


@pytest_asyncio.fixture
async def world(db_path: Path) -> AsyncIterator[World]:
    config = TractConfig(max_content_bytes=LIMIT)
    async with TractStore.open(db_path, config=config) as store:
        tract = store.tract("t")
        entry = await tract.user("a", generation_config={"temperature": 0.5})
        edit = await tract.user("A", operation=EDIT, edit_target=entry.commit_hash)
        annotation = await tract.annotate(entry.commit_hash, Priority.PINNED)
        foreign = await store.tract("other").user("a")
        branched = await store.tract("t", branch="side").user("a")
        hashes = {
            "entry": entry.commit_hash,
            "edit": edit.commit_hash,
            "annotation": annotation.commit_hash,
            "foreign": foreign.commit_hash,
            "branched": branched.commit_hash,
            "unknown": UNKNOWN,
            "malformed": "no hash at all",
            "empty": "",
            "too long": f"{entry.commit_hash}0",
            "too short": entry.commit_hash[:3],
            "short": UNKNOWN[:12],
        }
        yield World(tract, db_path, hashes)


async def refused(world: World, call: Awaitable[object], error: type[BaseException]) -> Any:
    """Await *call*; return the error that it raises, having seen that nothing was written."""
    before = dump(world.path)
    with pytest.raises(error) as caught:
        await call

    assert type(caught.value) is error
    assert dump(world.path) == before
    return caught.value


async def batched(tract: AsyncTract, *content: Any, **options: Any) -> None:
    """Stage one good commit, then another."""
    async with tract.batch() as batch:
        batch.commit(say("good"))
        batch.commit(*content, **options)


Commit = Callable[..., Awaitable[object]]
WAYS: dict[str, Commit] = {"commit": AsyncTract.commit, "batch": batched}
"""Ways to commit, alone or after another in a batch."""
every_way = pytest.mark.parametrize("commit", WAYS.values(), ids=WAYS)


def say(text: str = "x") -> DialogueContent:
    return DialogueContent(role="user", text=text)


# edit targets

BAD_TARGETS = [
    ("unknown", "is not a commit of this tract"),
    ("malformed", "is not a commit of this tract"),
    ("empty", "is not a commit of this tract"),
    ("too long", "is not a commit of this tract"),
    ("too short", "is not a commit of this tract"),
    ("short", "is not a commit of this tract"),
    ("foreign", "is not a commit of this tract"),
    ("branched", "not in this branch's history. Bring it here with `cherry_pick()` or `merge()`"),
    ("edit", "is an EDIT, not an entry. Name the APPEND commit"),
    ("annotation", "is an ANNOTATE, not an entry. Name the APPEND commit"),
]


@every_way
async def test_an_edit_of_what_is_no_entry_here(
    world: World, commit: Commit, subtests: pytest.Subtests
) -> None:
    for kind, says in BAD_TARGETS:
        with subtests.test(target=kind):
            target = world.hashes[kind]
            call = commit(world.tract, say(), operation=EDIT, edit_target=target)
            error = await refused(world, call, EditTargetError)

            assert error.target == target
            assert repr(target) in str(error)
            assert says in str(error)


async def test_an_edit_of_a_merge_is_told_what_to_name_instead(world: World) -> None:
    """A merge changes no commit: what it brought are the entries."""
    await world.tract.fork("aside")
    await world.tract.on("aside").user("brought")
    await world.tract.user("here")
    merge = (await world.tract.merge("aside")).head_hash
    call = world.tract.commit(say(), operation=EDIT, edit_target=merge)

    assert "is a MERGE, not an entry. Name one of the APPEND" in str(
        await refused(world, call, EditTargetError)
    )


@every_way
@pytest.mark.parametrize(
    ("operation", "target", "says"),
    [(EDIT, None, "edit_target="), (APPEND, "entry", "operation=CommitOperation.EDIT")],
    ids=["edit without target", "append with target"],
)
async def test_operation_and_target_that_do_not_go_together(
    world: World, operation: CommitOperation, target: str | None, says: str, commit: Commit
) -> None:
    named = None if target is None else world.hashes[target]
    call = commit(world.tract, say(), operation=operation, edit_target=named)
    error = await refused(world, call, EditTargetError)

    assert error.target == named
    assert says in str(error)


async def test_an_edit_target_that_is_no_string(world: World) -> None:
    wrong: list[Any] = [5, 0, True, b"x", ["a"]]
    for target in wrong:
        call = world.tract.commit(say(), operation=EDIT, edit_target=target)

        assert repr(target) in str(await refused(world, call, EditTargetError))


async def test_annotations_cannot_be_committed_by_hand(world: World) -> None:
    by_operation = world.tract.commit(say(), operation=CommitOperation.ANNOTATE)
    assert "annotate()" in str(await refused(world, by_operation, ContentValidationError))
    by_content = world.tract.commit(AnnotationContent(priority="skip"))
    assert "annotate()" in str(await refused(world, by_content, ContentValidationError))


async def test_merges_cannot_be_committed_by_hand(world: World) -> None:
    by_operation = world.tract.commit(say(), operation=CommitOperation.MERGE)
    assert "merge()" in str(await refused(world, by_operation, ContentValidationError))
    by_content = world.tract.commit(MergeContent(branch="side"))
    assert "merge()" in str(await refused(world, by_content, ContentValidationError))


async def test_an_unknown_operation(world: World) -> None:
    unknown: list[Any] = ["squash", "APPEND", None, 1]
    for operation in unknown:
        call = world.tract.commit(say(), operation=operation)
        error = await refused(world, call, ContentValidationError)

        assert error.path == "operation"
        assert "Use APPEND or EDIT" in str(error)


# unknown hashes

LOOKUPS: dict[str, Callable[[AsyncTract, str], Awaitable[object]]] = {
    "annotate": lambda tract, name: tract.annotate(name, Priority.SKIP),
    "get_annotations": lambda tract, name: tract.get_annotations(name),
    "get_content": lambda tract, name: tract.get_content(name),
    "at_commit": lambda tract, name: tract.compile(at_commit=name),
    "before": lambda tract, name: tract.log(before=name),
}


async def test_a_hash_that_this_tract_does_not_have(
    world: World, subtests: pytest.Subtests
) -> None:
    kinds = ("unknown", "foreign", "malformed", "empty", "too long", "too short", "short")
    for call, kind in itertools.product(LOOKUPS, kinds):
        with subtests.test(call=call, kind=kind):
            name = world.hashes[kind]
            error = await refused(world, LOOKUPS[call](world.tract, name), CommitNotFoundError)

            assert error.commit_hash == name
            assert repr(name) in str(error)
            assert "log()" in str(error)


async def test_a_hash_that_is_no_string(world: World, subtests: pytest.Subtests) -> None:
    wrong: list[Any] = [None, 5, b"x" * 64]
    for call, name in itertools.product(["annotate", "get_annotations", "get_content"], wrong):
        with subtests.test(call=call, name=name):
            error = await refused(world, LOOKUPS[call](world.tract, name), CommitNotFoundError)

            assert repr(name) in str(error)


async def test_annotating_what_is_no_entry_here(world: World) -> None:
    for kind in ("edit", "annotation", "branched"):
        call = world.tract.annotate(world.hashes[kind], Priority.SKIP)

        assert (await refused(world, call, EditTargetError)).target == world.hashes[kind]


async def test_annotating_with_no_priority(world: World) -> None:
    wrong: list[Any] = ["high", None, 1, "SKIP"]
    for priority in wrong:
        call = world.tract.annotate(world.hashes["entry"], priority)
        error = await refused(world, call, ContentValidationError)

        assert error.path == "priority"
        assert "Use one of: skip, normal, pinned" in str(error)


async def test_annotating_with_a_reason_that_is_no_text(world: World) -> None:
    wrong: list[Any] = [5, b"x", "\udc80"]
    for reason in wrong:
        call = world.tract.annotate(world.hashes["entry"], Priority.SKIP, reason=reason)

        assert (await refused(world, call, ContentValidationError)).path == "reason"


# contents

BAD_CONTENTS: dict[str, tuple[Any, str]] = {
    "no type": ({"text": "x"}, "content_type"),
    "unknown type": ({"content_type": "song", "text": "x"}, "content_type"),
    "type of the wrong kind": ({"content_type": 5, "text": "x"}, "content_type"),
    "type of annotations": ({"content_type": "annotation", "priority": "skip"}, "content_type"),
    "missing field": ({"content_type": "dialogue", "role": "user"}, "text"),
    "extra field": ({"content_type": "instruction", "text": "x", "mood": "y"}, "mood"),
    "mistyped field": ({"content_type": "instruction", "text": 5}, "text"),
    "bytes for text": ({"content_type": "instruction", "text": b"x"}, "text"),
    "unknown role": ({"content_type": "dialogue", "role": "nobody", "text": "x"}, "role"),
    "unknown format": ({"content_type": "output", "text": "x", "format": "pdf"}, "format"),
    "surrogate": ({"content_type": "instruction", "text": "\ud800"}, "text"),
    "none": (None, "NoneType"),
    "text": ("hello", "str"),
    "list": ([1], "list"),
    "foreign model": (TractConfig(), "TractConfig"),
    "too large": ({"content_type": "instruction", "text": "x" * LIMIT}, "max_content_bytes"),
    "too large in bytes": (say("é" * (LIMIT // 2)), "max_content_bytes"),
    "key that is no string": ({"content_type": "freeform", "payload": 1, 5: 6}, "5"),
}


@every_way
async def test_bad_content_names_the_field(
    world: World, commit: Commit, subtests: pytest.Subtests
) -> None:
    for name, (content, named) in BAD_CONTENTS.items():
        with subtests.test(content=name):
            error = await refused(world, commit(world.tract, content), ContentValidationError)

            assert named in str(error)


async def test_an_unknown_type_lists_the_known_ones(world: World) -> None:
    call = world.tract.commit({"content_type": "song"})
    text = str(await refused(world, call, ContentValidationError))

    assert "'song'" in text
    assert "dialogue" in text
    assert "register_content_type" in text


async def test_several_faults_are_told_together(world: World) -> None:
    call = world.tract.commit({"content_type": "dialogue", "role": "x", "mood": 1})
    text = str(await refused(world, call, ContentValidationError))

    assert all(field in text for field in ("role", "text", "mood"))


async def test_the_shorthands_take_text_alone(world: World, subtests: pytest.Subtests) -> None:
    for call, text in itertools.product(SHORTHANDS, [None, 5, b"x", "\udfff"]):
        with subtests.test(call=call, text=ascii(text)):
            made = getattr(world.tract, call)(text)

            assert (await refused(world, made, ContentValidationError)).path == "text"


async def test_a_message_that_is_no_text(world: World) -> None:
    wrong: list[Any] = [5, b"x", "\udc80"]
    for message in wrong:
        call = world.tract.commit(say(), message=message)

        assert (await refused(world, call, ContentValidationError)).path == "message"


# values that JSON cannot hold

BAD_VALUES: dict[str, tuple[Any, str]] = {
    "NaN": (math.nan, ".a[1].b"),
    "infinity": (math.inf, ".a[1].b"),
    "minus infinity": (-math.inf, ".a[1].b"),
    "bytes": (b"x", ".a[1].b"),
    "datetime": (datetime(2024, 1, 1, tzinfo=UTC), ".a[1].b"),
    "decimal": (Decimal(1), ".a[1].b"),
    "set": ({1}, ".a[1].b"),
    "object": (object(), ".a[1].b"),
    "key": ({5: 1}, ".a[1].b"),
    "None as key": ({None: 1}, ".a[1].b"),
    "cycle": (CYCLE, ".a[1].b"),
    "surrogate": ("\ud800", ".a[1].b"),
    "surrogate in a key": ({"\udc80": 1}, ".a[1].b."),
}


@every_way
@pytest.mark.parametrize("where", ["generation_config", "metadata", "payload"])
async def test_what_json_cannot_hold_is_named_by_its_path(
    world: World, where: str, commit: Commit, subtests: pytest.Subtests
) -> None:
    for name, (bad, path) in BAD_VALUES.items():
        with subtests.test(value=name):
            value = {"a": [0, {"b": bad}]}
            content: Any = FreeformContent(payload=value) if where == "payload" else say()
            options: dict[str, Any] = {} if where == "payload" else {where: value}
            call = commit(world.tract, content, **options)
            error = await refused(world, call, ContentValidationError)

            assert error.path.startswith(where + path)
            assert str(error).startswith(error.path[:200])


async def test_a_tool_call_with_a_payload_that_json_cannot_hold(
    world: World, subtests: pytest.Subtests
) -> None:
    said = {"content_type": "tool_io", "tool_name": "f", "direction": "call"}
    for name, (bad, _) in BAD_VALUES.items():
        with subtests.test(value=name):
            call = world.tract.commit({**said, "payload": [bad]})
            error = await refused(world, call, ContentValidationError)

            assert error.path.startswith("payload[0]")


async def test_a_config_that_is_no_object(world: World) -> None:
    wrong: list[Any] = [[1], "x", 5, True]
    for where, value in itertools.product(["generation_config", "metadata"], wrong):
        call = world.tract.commit(say(), **{where: value})
        error = await refused(world, call, ContentValidationError)

        assert error.path == where
        assert "give a dict" in str(error)


# heads


async def test_a_head_that_is_not_the_expected_one(world: World) -> None:
    head = await world.tract.head()
    for named in (None, *(world.hashes[kind] for kind in ("entry", "foreign", "unknown"))):
        for call in (
            world.tract.commit(say(), expected_head=named),
            _batch_expecting(world.tract, named),
        ):
            error = await refused(world, call, HeadMovedError)

            assert (error.expected, error.actual) == (named, head)
            assert str(head) in str(error)
            assert str(named) in str(error)
            assert "Nothing was written" in str(error)


async def _batch_expecting(tract: AsyncTract, expected: str | None) -> None:
    async with tract.batch(expected_head=expected) as batch:
        batch.commit(say())


# queries

BAD_QUERIES: dict[str, tuple[Any, Any, Any, str]] = {
    "operator LIKE": ("a", "LIKE", "x", "Unsupported operator: 'LIKE'. Use one of: ="),
    "operator ==": ("a", "==", 1, "Unsupported operator: '=='"),
    "operator IN": ("a", "IN", [1], "Unsupported operator: 'IN'"),
    "operator None": ("a", None, 1, "Unsupported operator: None"),
    "operator that injects": ("a", "= 1 OR 1", 1, "Unsupported operator"),
    "operator that has no hash": ("a", ["="], 1, "Unsupported operator"),
    "empty field": ("", "=", 1, "Malformed field: ''"),
    "empty part": ("a..b", "=", 1, "Malformed field: 'a..b'"),
    "empty tuple": ((), "=", 1, "Malformed field: ()"),
    "list as field": (["a"], "=", 1, "Malformed field"),
    "number as field": (5, "=", 1, "Malformed field: 5"),
    "None as field": (None, "=", 1, "Malformed field: None"),
    "negative index": (("a", -1), "=", 1, "Malformed field"),
    "boolean index": (("a", True), "=", 1, "Malformed field"),
    "surrogate in a field": ("\ud800", "=", 1, "Malformed field"),
    "boolean with <": ("a", "<", True, "compares numbers or strings"),
    "None with >": ("a", ">", None, "compares numbers or strings"),
    "list with <=": ("a", "<=", [1], "compares numbers or strings"),
    "object with >=": ("a", ">=", {}, "compares numbers or strings"),
    "string with in": ("a", "in", "abc", "takes a list or tuple"),
    "number with not in": ("a", "not in", 5, "takes a list or tuple"),
    "NaN": ("a", "=", math.nan, "cannot be compared"),
    "bytes": ("a", "=", b"x", "cannot be compared"),
    "NaN in a list": ("a", "in", [1, math.nan], "cannot be compared"),
}


async def test_a_query_that_cannot_be_asked(world: World, subtests: pytest.Subtests) -> None:
    for name, (*query, says) in BAD_QUERIES.items():
        with subtests.test(query=name):
            error = await refused(world, world.tract.query_by_config(*query), QueryError)

            assert isinstance(error, ValueError)
            assert says in str(error)


FIELDS = [
    "it's",
    'say "hi"',
    "a[0]",
    "$",
    "$.a",
    "x; DROP TABLE commits; --",
    "') OR 1=1 --",
    "🧵",
    "new\nline",
    "per%cent_",
    "back\\slash",
    "tab\t",
    " ",
    "a.b",
    "#-1",
    "*",
    "?",
    ":name",
]


async def test_a_strange_field_name_is_only_ever_a_name(
    world: World, subtests: pytest.Subtests
) -> None:
    for field in FIELDS:
        with subtests.test(field=field):
            info = await world.tract.assistant("b", generation_config={field: {field: 1}})
            before = dump(world.path)

            assert await world.tract.query_by_config((field, field), "=", 1) == [info]
            assert await world.tract.query_by_config((field, field), "!=", 1) == []
            assert await world.tract.query_by_config((field + "x",), "!=", 1) == []
            if "." not in field:
                assert await world.tract.query_by_config(f"{field}.{field}", "=", 1) == [info]
            assert dump(world.path) == before


# arguments of compile and log


async def test_at_commit_with_at_time(world: World) -> None:
    call = world.tract.compile(at_commit=world.hashes["entry"], at_time=datetime.now(UTC))

    assert "not both" in str(await refused(world, call, ValueError))


async def test_a_naive_at_time(world: World) -> None:
    naive = datetime.now(UTC).replace(tzinfo=None)

    assert "datetime.now(UTC)" in str(
        await refused(world, world.tract.compile(at_time=naive), ValueError)
    )


async def test_a_limit_that_is_none(world: World) -> None:
    wrong: list[Any] = [-1, -(10**30), 1.5, "1", True]
    for limit in wrong:
        for call in (
            world.tract.log(limit),
            world.tract.query_by_config("temperature", ">", 0, limit=limit),
        ):
            text = str(await refused(world, call, ValueError))

            assert repr(limit) in text
            assert "from 0 up" in text


async def test_a_limit_beyond_what_sql_can_bind_is_no_limit(world: World) -> None:
    assert len(await world.tract.log(10**30)) == 3
    assert len(await world.tract.query_by_config("temperature", ">", 0, limit=10**30)) == 1


# usage

BAD_USAGES: dict[str, tuple[Any, str]] = {
    "empty": ({}, "prompt_tokens"),
    "unknown shape": ({"tokens": 5}, "prompt_tokens"),
    "number": (5, "int"),
    "text": ("5", "str"),
    "negative prompt": (TokenUsage(-1), "usage.prompt_tokens"),
    "negative completion": (TokenUsage(1, -1), "usage.completion_tokens"),
    "float": ({"prompt_tokens": 1.0, "completion_tokens": 1}, "usage.prompt_tokens"),
    "boolean": ({"prompt_tokens": True, "completion_tokens": 1}, "usage.prompt_tokens"),
    "string": ({"input_tokens": "1", "output_tokens": 1}, "usage.input_tokens"),
    "missing half": ({"input_tokens": 1}, "usage.output_tokens"),
    "negative total": (
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": -2},
        "usage.total_tokens",
    ),
    "beyond all bounds": ({"prompt_tokens": 10**30, "completion_tokens": 0}, "prompt_tokens"),
    "NaN beside": ({"prompt_tokens": 1, "completion_tokens": 1, "cost": math.nan}, "usage.cost"),
}


async def test_a_usage_that_is_none(world: World, subtests: pytest.Subtests) -> None:
    for name, (usage, named) in BAD_USAGES.items():
        with subtests.test(usage=name):
            call = world.tract.record_usage(usage)

            assert named in str(await refused(world, call, ContentValidationError))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"open_calls": "close"}, "open_calls is 'error', 'drop' or 'keep', not 'close'"),
        ({"open_calls": None}, "not None"),
        ({"open_calls": ["drop"]}, "not ['drop']"),
        ({"model": 5}, "model is a model's name or None, not 5"),
    ],
    ids=["word", "none", "list", "model"],
)
async def test_a_request_with_options_that_there_are_not(
    world: World, options: dict[str, Any], named: str
) -> None:
    context = await world.tract.compile()
    for api in ("openai.chat", "google.generate_content"):
        with pytest.raises(ValueError, match=re.escape(named)):
            context.request(api, **options)
    with pytest.raises(ValueError, match=re.escape(named)):
        context.to_openai(**options)


async def test_usage_for_a_head_that_is_not_there(world: World) -> None:
    for kind in ("foreign", "unknown", "malformed", "empty"):
        other = world.hashes[kind]
        call = world.tract.record_usage(TokenUsage(1), head_hash=other)
        error = await refused(world, call, CommitNotFoundError)

        assert error.commit_hash == other


async def test_usage_on_an_empty_tract(world: World) -> None:
    async with AsyncTract.open(world.path, tract_id="empty") as tract:
        for head in (UNKNOWN, ""):
            call = tract.record_usage(TokenUsage(1), head_hash=head)
            await refused(world, call, CommitNotFoundError)
        call = tract.record_usage(TokenUsage(1), head_hash=None)

        assert "the context was empty" in str(await refused(world, call, TractError))


async def test_usage_for_an_empty_context_on_a_branch_with_commits(world: World) -> None:
    call = world.tract.record_usage(TokenUsage(1), head_hash=None)
    error = await refused(world, call, TractError)

    assert "the context was empty" in str(error)


# databases that cannot be opened


async def open_both(path: Path | str, error: type[StorageError]) -> list[StorageError]:
    """Return what the two ways of opening say."""
    caught = []
    for kind in (AsyncTract, TractStore):
        with pytest.raises(error) as info:
            await kind.open(path)
        assert type(info.value) is error
        caught.append(info.value)
    return caught


async def test_a_path_whose_folder_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "context.db"
    for error in await open_both(path, StorageError):
        assert error.path == str(path)
        assert str(error).startswith(str(path))
        assert f"{tmp_path / 'missing'} does not exist. Create it" in str(error)
    assert files_in(tmp_path) == []


async def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    for error in await open_both(tmp_path, StorageError):
        assert error.path == str(tmp_path)
        assert "is a folder" in str(error)


async def test_a_path_with_a_null_character(tmp_path: Path) -> None:
    await open_both(f"{tmp_path}/a\0b", StorageError)

    assert files_in(tmp_path) == []


async def test_a_path_with_a_lone_surrogate(tmp_path: Path) -> None:
    for error in await open_both(f"{tmp_path}/a\ud800b", StorageError):
        assert "another path" in str(error)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://host/db", "x://", "://"])
async def test_a_url_of_something_else(url: str) -> None:
    for error in await open_both(url, StorageError):
        assert "sqlite:///path" in str(error)


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Just some notes, long enough to be read as a header of something.\n" * 50)
    before = path.read_bytes()
    for error in await open_both(path, StoreCorruptError):
        assert error.path == str(path)
        assert "not a SQLite database" in str(error)
        assert "Restore it from a backup" in str(error)
    assert path.read_bytes() == before


async def test_a_damaged_file(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        for n in range(50):
            await tract.user(f"{n} " * 200)
    scramble(db_path)
    with pytest.raises(StoreCorruptError) as caught:
        async with AsyncTract.open(db_path, tract_id="t") as tract:
            await tract.compile()

    assert caught.value.path == str(db_path)
    assert "damaged" in str(caught.value)


async def test_a_database_of_a_newer_schema(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        await tract.user("a")
    connection = sqlite3.connect(db_path)
    connection.execute("UPDATE _tract_meta SET value = '999' WHERE key = 'schema_version'")
    connection.commit()
    connection.close()
    before = dump(db_path)
    for error in await open_both(db_path, SchemaVersionError):
        assert isinstance(error, SchemaVersionError)
        assert error.path == str(db_path)
        assert error.found == 999
        assert "Upgrade asynctract" in str(error)
    assert dump(db_path) == before


async def test_a_database_of_another_program(db_path: Path) -> None:
    connection = sqlite3.connect(db_path)
    connection.execute("CREATE TABLE commits (id INTEGER)")
    connection.commit()
    connection.close()
    for error in await open_both(db_path, StorageError):
        assert "another path" in str(error)
    assert dump(db_path) == {"commits": []}


async def test_a_read_only_file(db_path: Path) -> None:
    """Opened in SQLite's read-only mode where the tests run as root, whom no permission stops."""
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        await tract.user("a")
    before = dump(db_path)
    target: Path | str = db_path
    if os.geteuid() == 0:
        target = f"sqlite:///file:{db_path}?mode=ro&uri=true"
    else:
        os.chmod(db_path, 0o444)
    with pytest.raises(StorageError) as caught:
        async with AsyncTract.open(target, tract_id="t") as tract:
            await tract.user("b")

    assert type(caught.value) is StoreReadOnlyError
    assert "read-only" in str(caught.value)
    assert str(db_path) in caught.value.path
    assert dump(db_path) == before


# closed handles and other loops


async def test_a_closed_handle(db_path: Path) -> None:
    tract = await AsyncTract.open(db_path, tract_id="t")
    await tract.aclose()
    before = dump(db_path)
    with pytest.raises(StoreClosedError, match="Open it again"):
        await tract.commit(say())

    assert dump(db_path) == before


async def test_a_handle_used_from_another_event_loop(world: World) -> None:
    before = dump(world.path)
    with pytest.raises(StorageError, match=r"another event loop\. Open one in each loop"):
        await asyncio.to_thread(lambda: asyncio.run(_commit(world.tract)))

    assert dump(world.path) == before


async def _commit(tract: AsyncTract) -> None:
    await tract.commit(say())


# after any of it


async def test_errors_survive_pickling_with_their_facts(world: World) -> None:
    errors: list[TractError] = [
        await refused(world, world.tract.get_content(UNKNOWN), CommitNotFoundError),
        await refused(world, world.tract.commit(say(), expected_head=None), HeadMovedError),
        await refused(world, world.tract.user("\ud800"), ContentValidationError),
    ]

    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


async def test_a_refused_commit_leaves_its_neighbours_alone(world: World) -> None:
    """They share a transaction."""
    results = await asyncio.gather(
        world.tract.user("good"),
        world.tract.commit(say(), operation=EDIT, edit_target=UNKNOWN),
        world.tract.commit(say(), expected_head=UNKNOWN),
        world.tract.annotate(UNKNOWN, Priority.SKIP),
        world.tract.user("good too"),
        return_exceptions=True,
    )
    log = await world.tract.log(2)

    assert [type(result).__name__ for result in results] == [
        "CommitInfo",
        "EditTargetError",
        "HeadMovedError",
        "CommitNotFoundError",
        "CommitInfo",
    ]
    assert log == [results[4], results[0]]
    assert (await world.tract.verify()).faults == ()


async def test_texts_outside_json_cannot_have_a_nul() -> None:
    """PostgreSQL cannot store it there, and every engine refuses what one of them must."""
    async with TractStore.open() as store:
        tract = store.tract("t")
        with pytest.raises(ContentValidationError, match="NUL") as refusal:
            await tract.user("hi", message="a\0b")
        assert refusal.value.path == "message"
        with pytest.raises(ContentValidationError, match="NUL"):
            store.tract("a\0b")
        with pytest.raises(ValueError, match="NUL"):
            store.register_content_type("a\0b", DialogueContent)

        said = await tract.user("a\0b", metadata={"a\0b": "\0"}, generation_config={"stop": "\0"})
        assert said.metadata == {"a\0b": "\0"}
        assert (await tract.compile()).to_openai()[0]["content"] == "a\0b"
