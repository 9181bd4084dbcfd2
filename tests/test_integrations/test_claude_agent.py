"""`TractSessionStore`: the Claude Agent SDK keeps its transcripts as tracts."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

pytest.importorskip("claude_agent_sdk", reason="it bundles 400 MB: an environment of its own")

from claude_agent_sdk import (
    InMemorySessionStore,
    delete_session_via_store,
    fork_session_via_store,
    get_session_messages_from_store,
    list_sessions_from_store,
    rename_session_via_store,
)
from claude_agent_sdk.testing import run_session_store_conformance

from support.claude import ENTRIES, KEY, USAGE, asked, said, subagent, tag, texts
from support.opening import COUNTER
from tract import (
    ErasedContent,
    NativeContent,
    Priority,
    StateContent,
    StoreClosedError,
    TractStore,
    config,
    metadata,
)
from tract.integrations.claude_agent import TractSessionStore


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


@pytest.fixture
def sessions(store: TractStore) -> TractSessionStore:
    return TractSessionStore(store)


async def test_the_sdk_finds_that_the_store_conforms(tmp_path: Path) -> None:
    numbers = itertools.count()
    made = []

    def make() -> TractSessionStore:
        made.append(TractSessionStore(tmp_path / f"{next(numbers)}.db"))
        return made[-1]

    await run_session_store_conformance(make)

    assert len(made) > 10
    for each in made:
        await each.aclose()


async def test_entries_come_back_equal_and_in_order(sessions: TractSessionStore) -> None:
    for key in (KEY, subagent("1")):
        await sessions.append(key, ENTRIES)

        assert await sessions.load(key) == ENTRIES


async def test_entries_come_back_equal_however_they_are_split(sessions: TractSessionStore) -> None:
    for entry in ENTRIES:
        await sessions.append(KEY, [entry])
    await sessions.append(KEY, [])

    assert await sessions.load(KEY) == ENTRIES


async def test_many_entries_come_back_equal(sessions: TractSessionStore) -> None:
    entries = [asked(f"u{number}", f"{number}") for number in range(450)]
    await sessions.append(KEY, entries)

    assert await sessions.load(KEY) == entries


async def test_what_a_caller_changes_is_not_stored(sessions: TractSessionStore) -> None:
    given = copy.deepcopy(ENTRIES)
    writing = asyncio.create_task(sessions.append(KEY, given))
    await asyncio.sleep(0)
    given[2]["message"]["content"] = "changed"
    given[0]["operation"] = "changed"
    await writing
    for entry in await sessions.load(KEY) or []:
        fields: dict[str, Any] = {**entry}
        if isinstance(fields.get("message"), dict):
            fields["message"]["role"] = "changed"
        if isinstance(fields.get("attachment"), dict):
            fields["attachment"]["n"].append("changed")

    assert await sessions.load(KEY) == ENTRIES


async def test_a_batch_that_is_sent_again_changes_nothing(
    sessions: TractSessionStore, store: TractStore
) -> None:
    batch = ENTRIES[2:]  # it begins with an entry that has an uuid, as the batches of a turn do
    await sessions.append(KEY, batch)
    before = await store.tracts(limit=None)
    await sessions.append(KEY, batch)
    assert await store.tracts(limit=None) == before
    more = asked("u9", "and then?")
    await sessions.append(KEY, [*batch[-9:], more, more])

    found = await sessions.load(KEY)
    assert found is not None
    new = [each for each in found if each not in batch]
    assert new == [more]
    assert [each for each in found if "uuid" in each] == [
        each for each in [*batch, more] if "uuid" in each
    ]


async def test_entries_without_a_uuid_are_kept_each_time(sessions: TractSessionStore) -> None:
    title = tag("T")
    given = [title, title]
    await sessions.append(KEY, given)
    await sessions.append(KEY, given)
    await sessions.append(KEY, [asked("u", "x"), title, title])

    assert await sessions.load(KEY) == [*given, *given, asked("u", "x"), title, title]


async def test_another_entry_of_the_same_uuid_is_not_lost(sessions: TractSessionStore) -> None:
    await sessions.append(KEY, [asked("u", "one")])
    await sessions.append(KEY, [asked("u", "two"), asked("u", "one")])

    assert texts(await sessions.load(KEY)) == ["one", "two"]


async def test_one_that_a_reset_has_left_can_come_back(sessions: TractSessionStore) -> None:
    await sessions.append(KEY, [asked("1", "one"), asked("2", "two")])
    tract = await sessions.tract(KEY)
    first = (await tract.entries())[0].commit_hash
    await tract.reset(first)
    assert texts(await sessions.load(KEY)) == ["one"]
    await sessions.append(KEY, [asked("1", "one"), asked("2", "two")])

    assert texts(await sessions.load(KEY)) == ["one", "two"]


async def test_a_session_compiles_with_thinking_calls_and_images(
    sessions: TractSessionStore,
) -> None:
    await sessions.append(KEY, ENTRIES[:13])
    tract = await sessions.tract(KEY)
    context = await tract.compile()

    sent = context.to_anthropic()["messages"]
    sides = [side for side, _ in itertools.groupby(each["role"] for each in sent)]
    assert sides == ["user", "assistant", "user", "assistant"]
    blocks = [block for each in sent[1:] for block in each["content"]]
    assert blocks[0] == ENTRIES[3]["message"]["content"][0]
    assert [each["type"] for each in blocks] == [
        *("thinking", "text", "tool_use", "tool_use", "tool_result", "tool_result"),
        *("redacted_thinking", "new_kind", "text"),
    ]
    calls = [call.name for message in context.messages for call in message.tool_calls]
    assert calls == ["Bash", "Read"]
    assert "image_url" in str(context.to_openai())
    assert (await tract.verify()).faults == ()


async def test_no_model_is_shown_what_none_was_told(sessions: TractSessionStore) -> None:
    await sessions.append(KEY, ENTRIES)
    await sessions.append(subagent("1"), [ENTRIES[20]])
    said_of = [(await (await sessions.tract(key)).compile()) for key in (KEY, subagent("1"))]
    shown, of_subagent = [str(context.to_dicts()) for context in said_of]

    assert "API Error" not in shown
    assert "of a subagent" not in shown
    assert "of a subagent" in of_subagent
    assert "durationMs" not in shown


async def test_a_compaction_leaves_out_what_it_sums_up(sessions: TractSessionStore) -> None:
    boundary = {"type": "system", "subtype": "compact_boundary", "uuid": "b", "parentUuid": None}
    partial = {
        **boundary,
        "uuid": "c",
        "compactMetadata": {"preservedSegment": {"headUuid": "3", "tailUuid": "4"}},
    }
    first: list[Any] = [asked("1", "one"), asked("2", "two"), boundary, asked("s", "summed up")]
    then: list[Any] = [asked("3", "three"), asked("4", "four"), partial, asked("t", "again")]
    tract = await sessions.tract(KEY)
    await sessions.append(KEY, first[:1])
    await sessions.append(KEY, first[1:])
    assert [each.message.content for each in await tract.entries()] == ["summed up"]
    await sessions.append(KEY, then)

    assert [each.message.content for each in await tract.entries()] == ["three", "four", "again"]
    assert await sessions.load(KEY) == [*first, *then]
    skipped = (await tract.entries(include_skipped=True))[0]
    assert (skipped.message.content, skipped.priority) == ("one", Priority.SKIP)


async def test_model_usage_and_request_are_on_the_commits(
    sessions: TractSessionStore, store: TractStore
) -> None:
    await sessions.append(KEY, ENTRIES)
    tract = await sessions.tract(KEY)
    by_model = await tract.query(config("model") == "claude-opus-4-5")
    by_request = await tract.query(metadata("request_id") == "req_msg_2")

    assert [each.metadata["uuid"] for each in by_model if each.metadata] == [
        *("a1", "a2", "a3", "a4", "a5", "a6", "a7")
    ]
    assert by_request == by_model[4:]
    info = await tract.info()
    assert info is not None
    assert (info.prompt_tokens, info.completion_tokens) == (2 * 129, 2 * 7)
    [first] = [each for each in by_model if each.metadata and each.metadata["uuid"] == "a1"]
    before = await tract.compile(at_commit=first.parent_hash)
    assert (before.token_source, before.token_count) == ("api:129+7", 129)


async def test_a_reply_that_comes_in_two_batches_is_one_call(sessions: TractSessionStore) -> None:
    late: Any = said("a2", {"type": "text", "text": "b"})
    late["message"]["usage"] = {**USAGE, "output_tokens": 50}
    await sessions.append(KEY, [asked("u", "x"), said("a1", {"type": "text", "text": "a"})])
    await sessions.append(KEY, [late])
    await sessions.append(KEY, [said("a3", {"type": "text", "text": "c"}, reply="msg_9")])

    info = await (await sessions.tract(KEY)).info()
    assert info is not None
    assert (info.prompt_tokens, info.completion_tokens) == (2 * 129, 50 + 7)


@pytest.mark.parametrize("usage", [None, 1, {}, {"input_tokens": "many"}, {"input_tokens": -1}])
async def test_an_unknown_report_of_usage_loses_no_entry(
    sessions: TractSessionStore, usage: Any
) -> None:
    reply = said("a", {"type": "text", "text": "a"})
    reply["message"]["usage"] = usage
    await sessions.append(KEY, [asked("u", "x"), reply])

    assert await sessions.load(KEY) == [asked("u", "x"), reply]


async def test_lists_and_summaries_are_those_of_the_sdk(sessions: TractSessionStore) -> None:
    theirs = InMemorySessionStore()
    names = ["", "a/b", "..", "ä %2F", "a"]
    for store in (sessions, theirs):
        for name in names:
            key: Any = {**KEY, "session_id": name}
            await store.append(key, ENTRIES[:5])
            await store.append(subagent("1", session_id=name), ENTRIES[3:5])
            await store.append(key, ENTRIES[5:17])
        await store.append({"project_key": "other", "session_id": "a"}, [asked("o", "other")])
    project = KEY["project_key"]

    ours = {each["session_id"]: each for each in await sessions.list_session_summaries(project)}
    listed = {each["session_id"]: each["mtime"] for each in await sessions.list_sessions(project)}
    assert listed.keys() == {*names}
    assert {name: each["mtime"] for name, each in ours.items()} == listed
    assert {name: each["data"] for name, each in ours.items()} == {
        each["session_id"]: each["data"] for each in await theirs.list_session_summaries(project)
    }
    for name in names:
        found = await sessions.list_subkeys({"project_key": project, "session_id": name})
        assert found == ["subagents/agent-1"]
    assert await sessions.list_sessions("none") == []


async def test_a_list_is_newest_by_the_last_append(sessions: TractSessionStore) -> None:
    for name in ("a", "b", "a"):
        key: Any = {**KEY, "session_id": name}
        await sessions.append(key, [asked(name, "x"), asked("2", "y")])
        await asyncio.sleep(0.002)
        await sessions.append(key, [tag(name)])
    listed = await sessions.list_sessions(KEY["project_key"])

    times = {each["session_id"]: each["mtime"] for each in listed}
    assert times["a"] > times["b"] > 1e12


async def test_metadata_of_others_stay(sessions: TractSessionStore) -> None:
    await sessions.append(KEY, [asked("1", "one")])
    tract = await sessions.tract(KEY)
    info = await tract.info()
    assert info is not None
    await tract.set_info(title="Mine", metadata={**(info.metadata or {}), "user": "anna"})
    await sessions.append(KEY, [tag("t")])

    info = await tract.info()
    assert info is not None
    assert (info.title, (info.metadata or {})["user"]) == ("Mine", "anna")
    [summary] = await sessions.list_session_summaries(KEY["project_key"])
    assert (summary["data"]["first_prompt"], summary["data"]["tag"]) == ("one", "t")


async def test_what_others_commit_is_not_an_entry(sessions: TractSessionStore) -> None:
    tract = await sessions.tract(KEY)
    await tract.user("theirs")
    await tract.state({"claude": 1})
    assert await sessions.load(KEY) is None
    await sessions.append(KEY, ENTRIES)

    assert await sessions.load(KEY) == ENTRIES


async def test_an_edit_is_what_the_session_resumes_with(sessions: TractSessionStore) -> None:
    """And what was erased does not come back."""
    given = [asked("1", "my key is k"), asked("2", "two"), asked("3", "three")]
    await sessions.append(KEY, given)
    tract = await sessions.tract(KEY)
    first, second, third = [each.commit_hash for each in await tract.entries()]
    item = {"role": "user", "content": "my key is ***"}
    native = NativeContent(api="anthropic.messages", item=item)
    await tract.commit(native, operation="edit", edit_target=first)
    await tract.user("2", operation="edit", edit_target=second)
    await tract.erase([third], reason="asked")

    assert await sessions.load(KEY) == [asked("1", "my key is ***"), asked("2", "2")]


async def test_a_deleted_session_is_erased_with_its_subagents(
    sessions: TractSessionStore, store: TractStore
) -> None:
    tract = await sessions.tract(KEY)
    other: Any = {**KEY, "session_id": "other"}
    for key in (KEY, subagent("1"), subagent("2"), other):
        await sessions.append(key, ENTRIES)
    commits = [info.commit_hash for info in await tract.log(None)]
    await tract.fork("aside")
    await sessions.delete(subagent("1"))
    assert await sessions.list_subkeys(KEY) == ["subagents/agent-2"]
    assert await sessions.load(KEY) == ENTRIES
    await sessions.delete(KEY)
    await sessions.delete(KEY)

    assert await sessions.load(KEY) is await sessions.load(subagent("2")) is None
    assert await sessions.list_subkeys(KEY) == []
    assert await store.tract_ids() == ["claude/%2Dhome-anna-libraries/other"]
    assert [await tract.get_commit(each) for each in commits] == [None] * len(commits)
    assert await sessions.load(other) == ENTRIES
    await sessions.append(KEY, [asked("u", "anew")])
    assert texts(await sessions.load(KEY)) == ["anew"]


async def test_the_sdks_own_helpers_read_and_write_it(sessions: TractSessionStore) -> None:
    directory = "/home/anna/libraries"
    session = "3f0c8e9a-1b2c-4d5e-8f90-a1b2c3d4e5f6"
    chain = [
        asked("1", "What is here?", sessionId=session),
        said("2", {"type": "text", "text": "x"}),
    ]
    for uuid, entry in zip(("a" * 8, "b" * 8), chain, strict=True):
        entry["uuid"] = f"{uuid}-1b2c-4d5e-8f90-a1b2c3d4e5f6"
    chain[1]["parentUuid"] = chain[0]["uuid"]
    key: Any = {"project_key": KEY["project_key"], "session_id": session}
    await sessions.append(key, chain)
    await rename_session_via_store(sessions, session, "Renamed", directory=directory)
    forked = await fork_session_via_store(sessions, session, directory=directory)

    messages = await get_session_messages_from_store(sessions, session, directory=directory)
    assert [each.type for each in messages] == ["user", "assistant"]
    listed = await list_sessions_from_store(sessions, directory=directory)
    assert {each.session_id for each in listed} == {session, forked.session_id}
    assert "Renamed" in {each.custom_title for each in listed}
    await delete_session_via_store(sessions, session, directory=directory)
    listed = await list_sessions_from_store(sessions, directory=directory)
    assert [each.session_id for each in listed] == [forked.session_id]


async def test_states_and_messages_are_told_apart(sessions: TractSessionStore) -> None:
    await sessions.append(KEY, ENTRIES)
    log = await (await sessions.tract(KEY)).log(None, contents=True)

    kinds = {type(content) for _, content in log}
    assert kinds == {NativeContent, StateContent}
    assert ErasedContent not in kinds
    [title] = [
        content.payload
        for _, content in log
        if isinstance(content, StateContent) and "custom-title" in str(content.payload)
    ]
    assert title == {"claude_agent": ENTRIES[15]}


def test_a_store_that_was_opened_by_path_serves_any_loop(tmp_path: Path) -> None:
    sessions = TractSessionStore(tmp_path / "s.db")
    asyncio.run(sessions.append(KEY, ENTRIES))
    assert asyncio.run(sessions.load(KEY)) == ENTRIES

    async def closed() -> None:
        async with sessions:
            pass
        with pytest.raises(StoreClosedError):
            await sessions.load(KEY)

    asyncio.run(closed())
    again = TractSessionStore(tmp_path / "s.db")
    assert asyncio.run(again.load(KEY)) == ENTRIES
    asyncio.run(again.aclose())


def test_the_sdk_may_run_on_trio(tmp_path: Path) -> None:
    async def main() -> None:
        async with TractSessionStore(tmp_path / "s.db") as sessions:
            await sessions.append(KEY, ENTRIES)
            assert await sessions.load(KEY) == ENTRIES
            assert await sessions.list_sessions("none") == []
            assert (await sessions.list_subkeys(KEY)) == []

    trio.run(main)
