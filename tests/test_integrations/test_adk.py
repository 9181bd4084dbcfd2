"""`TractSessionService`: ADK keeps its sessions as branches and their events as commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("google.adk", reason="google-adk needs an environment of its own")

from google.adk.cli.service_registry import get_service_registry
from google.adk.errors import InvocationNotFoundError, StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig

from support.adk import EVENTS, SESSION, called, said, state_event, texts
from support.opening import COUNTER
from tract import StorageError, StoreClosedError, TractStore
from tract.integrations.adk import TractSessionService, register

USER: dict[str, Any] = {"app_name": "travel", "user_id": "anna"}


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


@pytest.fixture
def service(store: TractStore) -> TractSessionService:
    return TractSessionService(store)


async def loaded(service: TractSessionService, **names: Any) -> Session:
    found = await service.get_session(**(SESSION | names))
    assert found is not None
    return found


async def filled(service: TractSessionService, *events: Event, **names: Any) -> Session:
    session = await service.create_session(**(SESSION | names))
    for event in events or EVENTS:
        await service.append_event(session, event.model_copy(deep=True))
    return session


def ids(session: Session) -> list[str]:
    return [event.id for event in session.events]


async def test_events_come_back_equal_however_they_are(service: TractSessionService) -> None:
    session = await filled(service)
    found = await loaded(service)

    assert found.events == EVENTS
    assert [type(event) for event in found.events] == [Event] * len(EVENTS)
    assert found == session
    assert found.state["app:n"] == 2**70


async def test_many_events_come_back_equal(service: TractSessionService) -> None:
    events = [said(f"{number}", timestamp=float(number)) for number in range(120)]
    await filled(service, *events)

    assert (await loaded(service)).events == events


async def test_what_a_caller_changes_is_not_stored(service: TractSessionService) -> None:
    given: dict[str, Any] = {"a": [1], "app:b": {"c": 1}}
    session = await service.create_session(**SESSION, state=given)
    given["a"].append(2)
    session.state["a"].append(3)
    event = state_event(d=[1])
    await service.append_event(session, event)
    event.actions.state_delta["d"].append(2)
    (await loaded(service)).state["d"].append(4)
    (await loaded(service)).events[0].author = "other"

    found = await loaded(service)
    assert found.state == {"a": [1], "d": [1], "app:b": {"c": 1}}
    assert found.events[0].author == "agent"


@pytest.mark.parametrize("most", [None, 0, 1, 3, 99])
@pytest.mark.parametrize("since", [None, 4.0, 99.0])
async def test_a_config_names_the_newest_events(
    service: TractSessionService, most: int | None, since: float | None
) -> None:
    times = [1.0, 5.0, 3.0, 4.0, 6.0]  # as clocks go
    await filled(service, *(said(str(at), timestamp=at) for at in times))
    config = GetSessionConfig(num_recent_events=most, after_timestamp=since)
    found = await loaded(service, config=config)

    expected = [at for at in times if since is None or at >= since]
    expected = expected if most is None else expected[len(expected) - min(most, len(expected)) :]
    assert [event.timestamp for event in found.events] == expected


async def test_a_session_compiles_with_its_calls_and_images(service: TractSessionService) -> None:
    session = await filled(service)
    context = await (await service.tract(session)).compile()

    assert [call.name for message in context.messages for call in message.tool_calls] == ["weather"]
    kinds = [part.type for message in context.messages for part in message.parts]
    assert {"thinking", "tool_call", "tool_result", "media", "text"} <= {*kinds}
    sent = context.to_google(open_calls="keep")["contents"]
    [signed] = [p for each in sent for p in each["parts"] if "thoughtSignature" in p]
    assert signed["functionCall"]["args"] == {"z": None, "a": 0.1}
    image = context.to_openai(open_calls="keep")
    assert "image_url" in str(image)
    assert (await (await service.tract(session)).verify()).faults == ()


async def test_states_of_app_and_user_are_shared_and_written_with_the_event(
    service: TractSessionService,
) -> None:
    one = await service.create_session(**SESSION, state={"a": 1, "app:x": 1, "temp:t": 1})
    other = await service.create_session(**(SESSION | {"session_id": "t"}))
    stranger = await service.create_session(**(SESSION | {"user_id": "bo"}))
    await service.append_event(one, state_event(a=2, app__x=None, user__y="new", temp__t=2))

    assert one.state == {"a": 2, "app:x": None, "user:y": "new", "temp:t": 2}
    assert (await loaded(service)).state == {"a": 2, "app:x": None, "user:y": "new"}
    assert (await loaded(service, session_id=other.id)).state == {"app:x": None, "user:y": "new"}
    assert (await loaded(service, user_id=stranger.user_id)).state == {"app:x": None}
    assert await service.get_user_state(**USER) == {"y": "new"}
    assert await service.get_user_state(app_name="other", user_id="anna") == {}


async def test_a_stale_session_writes_nothing_not_even_for_its_app(
    service: TractSessionService,
) -> None:
    await service.create_session(**SESSION)
    one, other = await loaded(service), await loaded(service)
    await service.append_event(one, said("first"))
    with pytest.raises(StaleSessionError, match="modified in storage"):
        await service.append_event(other, state_event(app__x=1, user__y=1, z=1))

    found = await loaded(service)
    assert found.state == {}
    assert ids(found) == ids(one)
    assert other.events == []


async def test_events_for_one_object_at_once_all_land_in_order(
    service: TractSessionService,
) -> None:
    session = await service.create_session(**SESSION)
    events = [state_event(**{f"k{number}": number, "app__n": number}) for number in range(20)]
    await asyncio.gather(*(service.append_event(session, event) for event in events))

    found = await loaded(service)
    assert found == session
    assert ids(found) == [event.id for event in events]


async def test_sessions_at_once_lose_nothing_of_the_state_they_share(
    service: TractSessionService,
) -> None:
    async def run(number: int) -> None:
        session = await service.create_session(**(SESSION | {"session_id": str(number)}))
        for step in range(3):
            change = {f"app__{number}.{step}": step, f"user__{number}.{step}": step}
            await service.append_event(session, state_event(**change))

    await asyncio.gather(*map(run, range(12)))
    await service.create_session(**SESSION)

    assert len((await loaded(service)).state) == 2 * 12 * 3


async def test_two_that_create_a_session_get_one_between_them(
    service: TractSessionService,
) -> None:
    made = await asyncio.gather(
        *(service.create_session(**SESSION, state={"app:n": n}) for n in range(4)),
        return_exceptions=True,
    )

    assert [type(each) for each in made].count(AlreadyExistsError) == 3
    [session] = [each for each in made if isinstance(each, Session)]
    assert (await loaded(service)) == session


async def test_a_session_without_a_marker_is_told_by_its_last_event(
    service: TractSessionService,
) -> None:
    session = await filled(service, said("a"), said("b"))
    sent = Session.model_validate_json(session.model_dump_json())
    await service.append_event(sent, said("c"))
    old = Session.model_validate_json(session.model_dump_json())
    with pytest.raises(StaleSessionError):
        await service.append_event(old, said("d"))

    assert (await loaded(service)).events == sent.events


async def test_an_event_that_was_written_unnoticed_is_written_once(
    service: TractSessionService,
) -> None:
    session = await filled(service, said("a"))
    before = session.model_copy(deep=True)
    event = state_event(n=1)
    await service.append_event(session, event.model_copy(deep=True))
    await service.append_event(before, event)  # again, since nobody saw the first one land

    assert before == session == await loaded(service)
    stale = session.model_copy(deep=True)
    await service.append_event(session, said("b"))
    with pytest.raises(StaleSessionError):
        await service.append_event(stale, event.model_copy(update={"id": "another"}))


async def test_a_cancelled_append_is_whole_or_not_there(service: TractSessionService) -> None:
    session = await service.create_session(**SESSION)
    for number in range(40):
        event = state_event(n=number, app__n=number)
        task = asyncio.create_task(service.append_event(session, event))
        for _ in range(number // 2):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        session = await loaded(service)
        last = session.events[-1].actions.state_delta if session.events else {}
        assert session.state == last or session.state == {}


async def test_sessions_are_listed_by_their_last_update_without_events(
    service: TractSessionService,
) -> None:
    large = "x" * 5_000
    await filled(service, said("a", timestamp=30.0), session_id="late")
    await filled(service, said("a", timestamp=10.0), session_id="early", user_id="bo")
    mid = await service.create_session(**(SESSION | {"session_id": "a/b: c"}), state={"k": large})
    for number in (1.0, 20.0):
        await service.append_event(mid, said("a", timestamp=number))
    await service.append_event(
        mid, state_event(user__name="Anna").model_copy(update={"timestamp": 20.0})
    )
    await service.create_session(app_name="travel/more", user_id="anna", session_id="other")

    everyone = (await service.list_sessions(app_name="travel")).sessions
    assert [each.id for each in everyone] == ["early", "a/b: c", "late"]
    assert everyone[1].state == {"k": large, "user:name": "Anna"}
    shown = (await loaded(service, session_id="a/b: c")).model_dump()
    assert everyone[1].model_dump() == {**shown, "events": []}
    await service.append_event(everyone[1], said("on"))
    await service.append_event(everyone[2], state_event(more=large))
    assert (await loaded(service, session_id="a/b: c")).state["k"] == large
    assert (await loaded(service, session_id="late")).state["more"] == large
    mine = (await service.list_sessions(**USER)).sessions
    assert {each.id for each in mine} == {"a/b: c", "late"}
    assert (await service.list_sessions(app_name="travel", user_id="nobody")).sessions == []
    assert (await service.list_sessions(app_name="none")).sessions == []


@pytest.mark.parametrize("name", ["%", "%state", "a/b", "HEAD", ".", "ä ö", "x" * 120, "a%2Fb", ""])
async def test_names_may_be_any_text(service: TractSessionService, name: str) -> None:
    names = {"app_name": name, "user_id": name, "session_id": name or "s"}
    await filled(service, state_event(user__a=1), **names)
    await filled(service, said("x"))

    [session] = (await service.list_sessions(app_name=name)).sessions
    assert (session.user_id, session.id, session.state) == (name, name or "s", {"user:a": 1})


async def test_a_deleted_session_is_gone_and_its_id_is_free(service: TractSessionService) -> None:
    session = await filled(service)
    tract, head = await service.tract(session), await (await service.tract(session)).head()
    await service.delete_session(**SESSION)
    await service.delete_session(**SESSION)

    assert await service.get_session(**SESSION) is None
    assert (await service.list_sessions(**USER)).sessions == []
    with pytest.raises(SessionNotFoundError):
        await service.append_event(session, said("late"))
    again = await service.create_session(**SESSION)
    with pytest.raises(StaleSessionError):
        await service.append_event(session, said("late"))
    assert again.state == {"app:n": 2**70, "user:name": "Anna"}
    assert (await tract.compile(at_commit=head)).messages


async def test_a_fork_goes_on_from_where_the_session_was(service: TractSessionService) -> None:
    session = await service.create_session(**SESSION, state={"at": "start"})
    for number in range(3):
        invocation = {"invocation_id": f"i{number}"}
        await service.append_event(session, said("ask").model_copy(update=invocation))
        await service.append_event(
            session, state_event(at=number, **{f"k{number}": 1}).model_copy(update=invocation)
        )
    fork = await service.fork_session(**SESSION, new_session_id="f", before_invocation_id="i1")
    await service.append_event(fork, said("another way"))
    whole = await service.fork_session(**SESSION)

    assert ids(fork)[:2] == ids(session)[:2]
    assert len(fork.events) == 3
    assert fork.state == {"at": 0, "k0": 1}
    assert whole.events == session.events
    assert whole.state == session.state
    assert await loaded(service) == session
    with pytest.raises(AlreadyExistsError):
        await service.fork_session(**SESSION, new_session_id="f")
    with pytest.raises(InvocationNotFoundError):
        await service.fork_session(**SESSION, before_invocation_id="none")


async def test_a_rewind_restores_the_state_of_the_session(service: TractSessionService) -> None:
    session = await service.create_session(**SESSION, state={"kept": 1, "changed": 1})
    await service.append_event(session, said("first").model_copy(update={"invocation_id": "i1"}))
    change = state_event(changed=2, added=1, user__name="Anna")
    await service.append_event(session, change.model_copy(update={"invocation_id": "i2"}))
    rewound = await service.rewind_session(**SESSION, before_invocation_id="i2")

    assert rewound.state == {"kept": 1, "changed": 1, "user:name": "Anna"}
    assert [event.invocation_id for event in rewound.events] == ["i1"]
    with pytest.raises(StaleSessionError):
        await service.append_event(session, said("late"))
    await service.append_event(rewound, said("on"))
    assert len((await loaded(service)).events) == 2


async def test_what_others_commit_belongs_to_the_session(service: TractSessionService) -> None:
    session = await filled(service, said("Hello"), state_event(n=1))
    tract = await service.tract(session)
    await tract.system("Be terse.")
    asked = await tract.user("Again.")
    item = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}}],
    }
    await tract.commit({"content_type": "native", "api": "anthropic.messages", "item": item})
    await tract.tools([{"name": "weather", "input_schema": {}}])

    found = await loaded(service)
    *_, system, again, call = found.events
    assert [event.author for event in (system, again, call)] == ["user", "user", "model"]
    assert (again.id, texts(found)[-2]) == (asked.commit_hash, "Again.")
    assert call.get_function_calls()[0].args == {"city": "Oslo"}
    assert found.state == {"n": 1}
    await service.append_event(found, state_event(m=2))
    assert (await loaded(service)).state == {"n": 1, "m": 2}
    [listed] = (await service.list_sessions(**USER)).sessions
    assert listed.state == {"n": 1, "m": 2}


async def test_edits_and_skips_of_the_tract_show_in_the_session(
    service: TractSessionService,
) -> None:
    events = [said("one"), said("two"), called("f", "c", {}), state_event(n=1)]
    session = await filled(service, *events)
    tract = await service.tract(session)
    one, two, *_ = await tract.entries()
    content = {"content_type": "dialogue", "role": "user", "text": "better"}
    await tract.commit(content, operation="edit", edit_target=one.commit_hash)
    await tract.annotate(two.commit_hash, "skip")

    found = await loaded(service)
    assert ids(found) == [events[0].id, events[2].id, events[3].id]
    assert texts(found)[0] == "better"
    assert found.state == {"n": 1}
    newest = await loaded(service, config=GetSessionConfig(num_recent_events=3))
    assert ids(newest) == ids(found)


async def test_erased_events_are_gone_from_the_session(service: TractSessionService) -> None:
    session = await filled(service, said("secret"), said("harmless"))
    tract = await service.tract(session)
    first, _ = await tract.entries()
    await tract.erase([first.commit_hash], reason="asked")

    found = await loaded(service)
    assert ids(found) == ids(session)[1:]
    assert (await tract.verify()).faults == ()


async def test_what_an_erased_event_set_is_gone_once_it_is_set_anew_and_pruned(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        service = TractSessionService(store)
        session = await filled(service, state_event(answer="secret", user__answer="secret"))
        tract = await service.tract(session)
        [entry] = await tract.entries(include_skipped=True)
        await tract.erase([entry.commit_hash], reason="asked")
        session = await loaded(service)
        assert session.state["answer"] == "secret"

        await service.append_event(session, state_event(answer=None, user__answer=None))
        await tract.prune(keep=0, reason="asked")
        await store.vacuum()
        assert b"secret" not in path.read_bytes()
        assert (await loaded(service)).state == {"answer": None, "user:answer": None}


async def test_an_erased_user_leaves_nothing_and_others_stay(service: TractSessionService) -> None:
    await filled(service)
    await filled(service, said("Hi"), user_id="bo")
    await service.erase_user(**USER, reason="asked", vacuum=True)

    assert await service.get_session(**SESSION) is None
    assert await service.get_user_state(**USER) == {}
    [left] = (await service.list_sessions(app_name="travel")).sessions
    assert left.user_id == "bo"


async def test_a_user_can_be_erased_while_sessions_are_read_written_and_forked(
    tmp_path: Path,
) -> None:
    done = asyncio.Event()
    path = tmp_path / "a.db"
    async with TractSessionService(path) as service, TractSessionService(path) as other:

        async def write() -> None:
            while not done.is_set():
                session = await other.create_session(**USER, state={"user:a": 1, "b": "x" * 2_000})
                with suppress(SessionNotFoundError):
                    for number in range(5):
                        await other.append_event(session, state_event(user__n=number))

        async def read() -> None:
            while not done.is_set():
                listed = await service.list_sessions(app_name="travel")
                for each in listed.sessions[-2:]:
                    await service.get_session(**USER, session_id=each.id)
                    with suppress(SessionNotFoundError):
                        await service.fork_session(**USER, session_id=each.id)

        others = [asyncio.create_task(each()) for each in (write, read, read)]
        for _ in range(5):
            await asyncio.sleep(0.15)
            await service.erase_user(**USER, reason="asked")
        done.set()
        await asyncio.gather(*others)

        session = await filled(service, said("Hi"))
        assert (await (await service.tract(session)).verify()).faults == ()


@pytest.mark.parametrize("size", [10, 5_000])
async def test_pruning_leaves_sessions_as_they_are(service: TractSessionService, size: int) -> None:
    session = await service.create_session(**SESSION, state={"large": "x" * size})
    for number in range(4):
        await service.append_event(session, said(str(number)))
        await service.append_event(session, state_event(user__n=number))
    tract = await service.tract(session)
    await tract.prune(keep=0, reason="old")

    assert await loaded(service) == session
    [listed] = (await service.list_sessions(**USER)).sessions
    assert listed.state == session.state


async def test_a_path_is_opened_at_the_first_use_and_closed_with_the_service(
    tmp_path: Path,
) -> None:
    async with TractSessionService(tmp_path / "adk.db") as service:
        session = await filled(service)
    await service.close()

    with pytest.raises(StoreClosedError):
        await service.append_event(session, said("late"))
    async with TractSessionService(str(tmp_path / "adk.db")) as again:
        assert await loaded(again) == session


def test_a_service_with_a_path_works_from_one_loop_after_another(tmp_path: Path) -> None:
    service = TractSessionService(tmp_path / "adk.db")
    session = asyncio.run(filled(service, said("a")))
    asyncio.run(service.append_event(session, said("b")))

    assert asyncio.run(loaded(service)).events == session.events
    asyncio.run(service.close())


async def test_adks_registry_makes_services_of_uris(tmp_path: Path) -> None:
    register()
    registry = get_service_registry()
    made = registry.create_session_service(f"tract:///{tmp_path}/a%20b.db", agents_dir=".")
    assert isinstance(made, TractSessionService)
    await made.create_session(**SESSION)
    await made.close()
    memory = registry.create_session_service("tract://")
    assert isinstance(memory, TractSessionService)
    await memory.create_session(**SESSION)
    await memory.close()

    assert (tmp_path / "a b.db").exists()
    with pytest.raises(StorageError, match=r"tract:///sessions\.db"):
        registry.create_session_service("tract://sessions.db")


async def test_the_registry_takes_urls_of_servers(postgres_url: str) -> None:
    register()
    url = postgres_url.replace("postgresql://", "tract+postgresql://")
    made = get_service_registry().create_session_service(url)
    assert isinstance(made, TractSessionService)
    session = await filled(made)

    assert await loaded(made) == session
    await made.close()
