"""The example of a service, on uvicorn and asked by HTTP clients."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn

from tract import TractStore

SERVICE = Path(__file__).parents[1] / "docs" / "examples" / "service.py"
ANNA = {"X-User": "anna"}
LONG = " ".join(map(str, range(1_000)))  # as a reply, it takes 20 seconds
PATIENCE = 60  # seconds, for a machine with much else to do

Event = tuple[str, Any]


class Service:
    """A client of the service, and where its store is."""

    def __init__(self, client: httpx.AsyncClient, path: Path) -> None:
        self.client = client
        self.path = path

    async def ask(self, text: str, name: str = "trip", **more: Any) -> list[Event]:
        """Post a message, and return the events of the reply."""
        async with self.asking(text, name, **more) as events:
            return [each async for each in events]

    @asynccontextmanager
    async def asking(
        self, text: str, name: str = "trip", **more: Any
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Post a message, and yield the events of the reply as they come."""
        url = f"/conversations/{name}/messages"
        async with self.client.stream("POST", url, json={"text": text, **more}) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield events_of(answer)

    async def show(self, name: str = "trip") -> dict[str, Any]:
        answer = await self.client.get(f"/conversations/{name}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


async def events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line:
            yield name, json.loads(line.removeprefix("data: "))


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, headers=ANNA, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("service", SERVICE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest_asyncio.fixture
async def service(module: ModuleType, tmp_path: Path) -> AsyncIterator[Service]:
    """The service in this process, which starts in a moment."""
    path = tmp_path / "agents.db"
    config = uvicorn.Config(module.create_app(str(path)), port=0, log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    async with client_of(f"http://{host}:{port}") as client:
        yield Service(client, path)
    server.should_exit = True
    await serving


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[Process, Service]]:
    """The service in a process of its own, as a user runs it."""
    arguments = map(str, ("-W", "error", SERVICE, path, "--port", 0))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=PIPE)
    try:
        async with client_of(await address_of(process)) as client:
            yield process, Service(client, path)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def address_of(process: Process) -> str:
    """Return the address that the server has logged."""
    assert process.stderr is not None
    log = ""
    async with asyncio.timeout(PATIENCE):
        while line := (await process.stderr.readline()).decode():
            if found := re.search(r"running on (http://\S+)", line):
                return found[1]
            log += line
    raise AssertionError(log)


async def test_a_reply_streams_and_both_messages_are_there(service: Service) -> None:
    *texts, done = await service.ask("Hello there")
    shown = await service.show()

    assert texts == [("text", text) for text in ("You ", "have ", "said: ", "Hello ", "there")]
    assert done == ("done", {"head": shown["head"]})
    assert shown["messages"] == [
        {"role": "user", "content": "Hello there"},
        {"role": "assistant", "content": "You have said: Hello there"},
    ]


async def test_of_two_messages_on_one_head_one_is_refused(service: Service) -> None:
    await service.ask("Hello", "race")
    body = {"text": "Mine", "expected_head": (await service.show("race"))["head"]}
    url = "/conversations/race/messages"
    answers = await asyncio.gather(*(service.client.post(url, json=body) for _ in range(2)))
    refused = max(answers, key=lambda answer: answer.status_code)
    said = [each["content"] for each in (await service.show("race"))["messages"]]

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert refused.json()["head"] not in (None, body["expected_head"])
    assert said.count("Mine") == 1


async def test_a_null_head_begins_a_conversation_and_no_other(service: Service) -> None:
    await service.ask("Hello", "new", expected_head=None)
    again = {"text": "Hello", "expected_head": None}
    answer = await service.client.post("/conversations/new/messages", json=again)

    assert answer.status_code == 409
    assert answer.json()["head"] == (await service.show("new"))["head"]


async def test_of_a_client_that_went_away_what_arrived_is_kept(service: Service) -> None:
    async with service.asking(LONG, "gone") as events:
        assert await anext(events) == ("text", "You ")
    async with TractStore.open(service.path) as store, asyncio.timeout(PATIENCE):
        tract = store.tract("anna/gone")
        async with tract.watch() as commits:
            commit = await anext(each async for each in commits if each.generation_config)
        text = (await tract.compile()).messages[-1].content

    assert commit.metadata is not None
    assert commit.metadata["interrupted"] is True
    assert text is not None
    assert text.startswith("You ")
    assert len(text) < len(LONG)


async def test_users_see_their_own_conversations_alone(service: Service) -> None:
    await service.ask("Hello", "mine")
    ben = {"X-User": "ben"}
    others = await service.client.get("/conversations/mine", headers=ben)
    listed = await service.client.get("/conversations", headers=ben)
    own = await service.client.get("/conversations")
    nobody = await service.client.get("/conversations", headers={"X-User": "anna/mine"})

    assert others.status_code == 404
    assert listed.json() == {"conversations": [], "after": None}
    assert own.json()["conversations"][0] == "mine"
    assert nobody.status_code == 422


async def test_a_deleted_conversation_is_gone(service: Service) -> None:
    await service.ask("Hello", "secret")
    deleted = await service.client.delete("/conversations/secret")
    after = await service.client.get("/conversations/secret")

    assert (deleted.status_code, after.status_code) == (204, 404)


async def test_the_service_tells_its_health(service: Service) -> None:
    answer = await service.client.get("/health", headers={"X-User": ""})

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_server_that_is_told_to_end_finishes_replies_first(tmp_path: Path) -> None:
    async with running(tmp_path / "agents.db") as (process, service):
        async with service.asking("and so on " * 10) as events:
            await anext(events)
            process.send_signal(signal.SIGTERM)
            name, _ = [each async for each in events][-1]
        assert process.stderr is not None
        log = (await process.stderr.read()).decode()
        status = await process.wait()
    async with TractStore.open(tmp_path / "agents.db") as store:
        [reply] = await store.tract("anna/trip").log(1)

    assert name == "done"
    assert reply.metadata == {"model": "parrot-1", "finish_reason": "stop"}
    assert "Application shutdown complete" in log
    assert (status, "ERROR" in log) == (-signal.SIGTERM, False)
