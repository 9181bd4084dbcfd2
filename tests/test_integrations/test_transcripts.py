"""`import_codex` and `import_chats`: transcript files become tracts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from support.opening import COUNTER
from tract import StateContent, TractStore, config
from tract.integrations.transcripts import ImportReport, import_chats, import_codex

ID = "019a2d7a-41c4-78b1-b7cc-a45d62a89cd5"
META = {
    "id": ID,
    "cwd": "/src",
    "cli_version": "0.46.0",
    "base_instructions": {"text": "Be terse."},
}


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


def line(kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": "2025-10-29T00:59:38.317Z", "type": kind, "payload": payload}


def message(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def asked(text: str) -> list[Any]:
    return [
        line("response_item", **message("user", text)),
        line("event_msg", type="user_message", message=text),
    ]


def used(count: int) -> dict[str, Any]:
    usage = {"input_tokens": count, "cached_input_tokens": 1, "output_tokens": 7}
    info = {"total_token_usage": usage, "last_token_usage": usage}
    return line("event_msg", type="token_count", info=info)


CALL = {"type": "function_call", "name": "shell", "arguments": '{"cmd": "ls"}', "call_id": "c1"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "a.py"}
THOUGHT = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
TURN: list[Any] = [
    line("response_item", **message("user", "<environment_context>…</environment_context>")),
    *asked("What is there?"),
    line("turn_context", cwd="/src", model="gpt-5-codex", effort="high"),
    line("response_item", **THOUGHT),
    line("response_item", **CALL),
    used(40),
    used(40),
    line("response_item", **RESULT),
    line("response_item", **message("assistant", "A file.")),
    used(60),
]
SESSION: list[Any] = [line("session_meta", **META), *TURN]


def write(path: Path, lines: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


@pytest.fixture
def rollout(tmp_path: Path) -> Path:
    return tmp_path / "sessions" / "2025" / "10" / f"rollout-2025-10-29T00-59-38-{ID}.jsonl"


async def items(store: TractStore, tract_id: str = f"codex/{ID}") -> list[Any]:
    """Return what a model is shown."""
    context = await store.tract(tract_id).compile(aggregate_same_role=False)
    found: list[Any] = context.to_responses(open_calls="keep")["input"]
    return found


def shown(lines: Iterable[Any]) -> list[Any]:
    return [each["payload"] for each in lines if each["type"] == "response_item"]


async def test_a_session_of_codex_compiles_and_keeps_every_line(
    store: TractStore, rollout: Path
) -> None:
    write(rollout, SESSION)
    report = await import_codex(rollout.parents[2], store)

    count = len(SESSION)
    assert report == ImportReport(1, count, count, (), ())
    assert await items(store) == shown(SESSION)
    tract = store.tract(f"codex/{ID}")
    context = await tract.compile()
    assert context.to_responses(open_calls="keep")["instructions"] == "Be terse."
    found = await tract.get_by_keys([f"line/{number}" for number in range(1, count + 1)])
    contents = await tract.get_contents(info.commit_hash for info in found.values())
    states = [each.payload for each in contents if isinstance(each, StateContent)]
    assert states == [each for each in SESSION if each["type"] != "response_item"]
    assert found["line/2"].metadata == {"timestamp": "2025-10-29T00:59:38.317Z"}
    info = await tract.info()
    assert info is not None
    assert info.metadata == {"id": ID, "cwd": "/src", "cli_version": "0.46.0"}


async def test_what_a_model_made_has_its_config_and_the_usage_that_was_reported(
    store: TractStore, rollout: Path
) -> None:
    write(rollout, SESSION)
    await import_codex(rollout, store)
    tract = store.tract(f"codex/{ID}")

    made = await tract.query(config("model") == "gpt-5-codex")
    assert [each.generation_config for each in made] == [
        {"model": "gpt-5-codex", "effort": "high"}
    ] * 3
    parents = [(await tract.compile(at_commit=each.parent_hash)).token_source for each in made]
    assert sorted(source.startswith("api:") for source in parents) == [False, True, True]
    assert "api:40+7" in parents
    assert "api:60+7" in parents


async def test_a_rollback_takes_turns_from_the_model_and_stays_in_the_history(
    store: TractStore, rollout: Path
) -> None:
    left = [*asked("Wrong."), line("response_item", **message("assistant", "Sorry."))]
    back = line("event_msg", type="thread_rolled_back", num_turns=1)
    write(rollout, [*SESSION, *left, back, *asked("Right.")])
    report = await import_codex(rollout, store)

    assert report.different == ()
    assert await items(store) == [*shown(SESSION), message("user", "Right.")]
    entries = await store.tract(f"codex/{ID}").entries(include_skipped=True)
    assert len(entries) == 1 + len(shown([*SESSION, *left])) + 1


@pytest.mark.parametrize("turns", [2, 99])
async def test_a_rollback_of_all_turns_leaves_what_came_before_them(
    store: TractStore, rollout: Path, turns: int
) -> None:
    back = line("event_msg", type="thread_rolled_back", num_turns=turns)
    write(rollout, [*SESSION, *asked("And then?"), back])
    await import_codex(rollout, store)

    assert await items(store) == shown(TURN[:1])


async def test_a_compaction_shows_what_it_put_in_place_of_the_history(
    store: TractStore, rollout: Path
) -> None:
    history = [message("user", "What is there?"), {"type": "compaction", "encrypted_content": "x"}]
    compacted = line("compacted", message="", replacement_history=history)
    write(rollout, [*SESSION, compacted, *asked("And now?")])
    report = await import_codex(rollout, store)

    assert report.different == ()
    assert await items(store) == [*history, message("user", "And now?")]
    context = await store.tract(f"codex/{ID}").compile()
    assert context.to_responses(open_calls="keep")["instructions"] == "Be terse."


async def test_a_compaction_without_a_history_leaves_what_users_said_and_its_summary(
    store: TractStore, rollout: Path
) -> None:
    write(rollout, [*SESSION, line("compacted", message="A file was found.")])
    await import_codex(rollout, store)

    said = [each for each in shown(SESSION) if each.get("role") == "user"]
    assert await items(store) == [*said, message("assistant", "A file was found.")]


async def test_rollouts_of_early_releases_are_read(store: TractStore, rollout: Path) -> None:
    meta = {"id": "early", "timestamp": "2025-07-01T00:00:00Z", "instructions": None}
    lines = [meta, message("user", "Hello"), {"record_type": "state"}, CALL, RESULT]
    write(rollout, lines)
    report = await import_codex(rollout, store)

    assert (report.entries, report.unread, report.different) == (5, (), ())
    assert await items(store, "codex/early") == [lines[1], CALL, RESULT]


async def test_an_import_goes_on_where_it_was_cut_short_and_when_the_file_has_grown(
    store: TractStore, rollout: Path
) -> None:
    write(rollout, SESSION[:5])
    assert (await import_codex(rollout, store)).written == 5
    back = line("event_msg", type="thread_rolled_back", num_turns=1)
    write(rollout, [*SESSION, *asked("Wrong.")])
    assert (await import_codex(rollout, store)).written == len(SESSION) + 2 - 5
    write(rollout, [*SESSION, *asked("Wrong."), back])
    report = await import_codex(rollout, store)

    assert (report.written, report.different) == (1, ())
    assert await items(store) == shown(SESSION)
    assert (await import_codex(rollout, store)).written == 0


async def test_a_long_import_that_is_cancelled_loses_nothing(
    store: TractStore, rollout: Path
) -> None:
    said = [each for number in range(300) for each in asked(str(number))]
    write(rollout, [*SESSION, *said])
    for cut in range(6):
        task = asyncio.create_task(import_codex(rollout, store))
        await asyncio.sleep(0.05 * cut)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    reports = await asyncio.gather(*(import_codex(rollout, store) for _ in range(2)))

    assert [report.different for report in reports] == [(), ()]
    assert await items(store) == shown([*SESSION, *said])


async def test_lines_that_cannot_be_read_and_tracts_that_hold_others_are_told(
    store: TractStore, rollout: Path
) -> None:
    write(rollout, SESSION)
    await import_codex(rollout, store)
    other = [line("session_meta", **META), *asked("Something else.")]
    changed = write(rollout.with_name("rollout-changed.jsonl"), other)
    with changed.open("a") as file:
        file.write('{"type": "respon\n[1]\n\n{"a": NaN}\n')
    notes = write(rollout.with_name("notes.jsonl"), [{"a": 1}])
    report = await import_codex([changed, notes], store)

    names = [Path(each).name for each in report.unread]
    assert names == [*(f"rollout-changed.jsonl:{number}" for number in (4, 5, 7)), "notes.jsonl"]
    assert [Path(each).name for each in report.different] == ["rollout-changed.jsonl"]
    assert await items(store) == shown(SESSION)
    assert await import_codex([], store) == (0, 0, 0, (), ())
    with pytest.raises(FileNotFoundError):
        await import_codex(rollout.parent / "none", store)


CHAT: list[Any] = [
    {"role": "system", "content": "Be terse."},
    {"role": "user", "content": "How is the weather in Oslo?", "name": "anna"},
    {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {
                "id": f"c{number}",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
            }
            for number in range(2)
        ],
    },
    {"role": "tool", "tool_call_id": "c0", "content": "rain"},
    {"role": "tool", "tool_call_id": "c1", "content": "wind"},
    {"role": "assistant", "content": "Rain."},
    {"role": "user", "content": [{"type": "text", "text": "Really?"}]},
    {"role": "assistant", "content": None, "refusal": "No more."},
]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


async def sent(store: TractStore, tract_id: str) -> Any:
    context = await store.tract(tract_id).compile(aggregate_same_role=False)
    return context.to_openai(open_calls="keep")


async def test_a_log_of_messages_is_a_conversation_of_its_name(
    store: TractStore, tmp_path: Path
) -> None:
    path = write(tmp_path / "logs" / "a" / "support 1.jsonl", CHAT[:4])
    assert await import_chats(tmp_path / "logs", store) == (1, 4, 4, (), ())
    write(path, CHAT)
    assert await import_chats(tmp_path / "logs", store) == (1, len(CHAT), len(CHAT) - 4, (), ())

    assert await store.tract_ids() == ["a/support%201"]
    assert await sent(store, "a/support%201") == CHAT


async def test_a_log_of_conversations_makes_each_a_tract_with_its_tools(
    store: TractStore, tmp_path: Path
) -> None:
    lines = [
        {"messages": CHAT, "tools": TOOLS},
        {"messages": CHAT[:2], "rating": 5},
        {"messages": []},
    ]
    path = write(tmp_path / "tuning.jsonl", lines)
    report = await import_chats(path, store)

    assert report == ImportReport(3, len(CHAT) + 1 + 3, len(CHAT) + 1 + 3, (), ())
    assert await sent(store, "tuning/1") == CHAT
    assert (await store.tract("tuning/1").compile()).tools == TOOLS
    assert await sent(store, "tuning/2") == CHAT[:2]
    found = (await store.tract("tuning/2").get_by_keys(["line"]))["line"]
    state = await store.tract("tuning/2").get_content(found.commit_hash, as_=StateContent)
    assert state.payload == {"rating": 5}
    assert (await import_chats(path, store)).written == 0


async def test_chatml_is_a_conversation(store: TractStore, tmp_path: Path) -> None:
    path = tmp_path / "prompt.chatml"
    path.write_text(
        "<|im_start|>system\nBe terse.<|im_end|>\n<|im_start|>user name=anna\nHow\nis it?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    report = await import_chats(path, store)

    assert report == ImportReport(1, 2, 2, (), ())
    assert await sent(store, "prompt") == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "How\nis it?", "name": "anna"},
    ]


async def test_what_is_no_message_is_told(store: TractStore, tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", [CHAT[0], {"no": "role"}, {"role": 1}])
    with path.open("a") as file:
        file.write('{"messages": [{"role": "user", "content": "x"}, 7]}\n{"role": "user", "content')
    chatml = tmp_path / "cut.chatml"
    chatml.write_text("<|im_start|>user\nHello<|im_end|>\nstray\n<|im_start|>assistant\nHal")
    report = await import_chats([path, chatml], store)

    names = [Path(each).name for each in report.unread]
    assert names == [*(f"log.jsonl:{number}" for number in (2, 3, 4, 5)), "cut.chatml:3"]
    assert await sent(store, "cut") == [{"role": "user", "content": "Hello"}]
    assert await sent(store, "log") == CHAT[:1]


async def test_a_conversation_that_went_on_here_stays_and_one_that_differs_is_told(
    store: TractStore, tmp_path: Path
) -> None:
    path = write(tmp_path / "log.jsonl", CHAT[:2])
    await import_chats(path, store)
    await store.tract("log").assistant("Rain.")
    write(path, [CHAT[0], {"role": "user", "content": "Another."}])
    report = await import_chats(path, store)

    assert report == ImportReport(1, 2, 0, (), (str(path),))
    messages = await sent(store, "log")
    assert messages == [*CHAT[:2], {"role": "assistant", "content": "Rain."}]
