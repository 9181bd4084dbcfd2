"""The server shows a store to those who have the token, under the names it knows, and live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Mount

from support.viewing import PNG, TOKEN, everything
from tract import EntryInfo, TractStore
from tract.viewer import app, serve

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
VERBS = (
    "tracts",
    "refs",
    "commits",
    "commit",
    "point",
    "request",
    "compare",
    "search",
    "media",
    "events",
)


def client_of(store: TractStore, host: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
    shown = app(store, token=TOKEN, **options)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=shown), base_url=f"http://{host}", headers=AUTHORIZED
    )


@pytest_asyncio.fixture
async def client(store: TractStore) -> AsyncIterator[httpx.AsyncClient]:
    await everything(store)
    async with client_of(store) as client:
        yield client


async def asked(client: httpx.AsyncClient, verb: str, **values: Any) -> Any:
    answer = await client.get(f"/api/{verb}", params=values)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", TOKEN, f"Basic {TOKEN}"])
async def test_data_need_the_token(store: TractStore, header: str) -> None:
    await store.tract("trip").user("Where is the northernmost library?")
    values = {"tract": "trip", "token": TOKEN}
    async with client_of(store) as client:
        for verb in VERBS:
            given = {"Authorization": header}
            answer = await client.get(f"/api/{verb}", params=values, headers=given)

            assert (answer.status_code, b"trip" in answer.content) == (401, False)


@pytest.mark.parametrize("path", ["/view", "/a/view"])
async def test_data_need_the_token_where_the_app_is_mounted(store: TractStore, path: str) -> None:
    await store.tract("trip").user("Where is the northernmost library?")
    outer = Starlette(routes=[Mount(path, app=app(store, token=TOKEN))])
    transport = httpx.ASGITransport(app=outer)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        page = await client.get(f"{path}/")
        refused = [await client.get(f"{path}/api/{verb}?tract=trip") for verb in VERBS]
        allowed = await client.get(f"{path}/api/tracts", headers=AUTHORIZED)

    assert {each.status_code for each in refused} == {401}
    assert [each.status_code for each in (page, allowed)] == [200, 200]
    assert "trip" not in page.text


@pytest.mark.parametrize(
    "path",
    ["/api", "/API/tracts", "//api/tracts", "/api//tracts", "/api/../api/tracts", "/%2e%2e/api/tracts",
     "/..%2f..%2fetc/passwd", "/page/main.js", "/api/tracts/", "/%00", "/index.html"],
)  # fmt: skip
async def test_nothing_but_the_page_is_shown_without_the_token(
    store: TractStore, path: str
) -> None:
    await store.tract("trip").user("Where is the northernmost library?")
    async with client_of(store) as client:
        without = await client.get(path, headers={"Authorization": ""})
        given = await client.get(path)

    assert without.status_code == 401
    assert given.status_code in (200, 307, 404)
    assert b"trip" not in without.content


async def test_the_page_needs_no_token_and_has_no_data(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers={"Authorization": ""})

    assert (answer.status_code, "northernmost" in answer.text) == (200, False)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::2]", "10.0.0.1"])
@pytest.mark.parametrize("path", ["/", "/api/tracts"])
async def test_requests_under_other_names_are_refused(
    store: TractStore, host: str, path: str
) -> None:
    async with client_of(store, host) as client:
        answer = await client.get(path)

    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:9"])
async def test_requests_under_the_names_of_loopback_are_answered(
    store: TractStore, host: str
) -> None:
    async with client_of(store, host) as client:
        assert (await client.get("/api/tracts")).status_code == 200


async def test_names_that_are_given_replace_those_of_loopback(store: TractStore) -> None:
    for host, status in (("view.example", 200), ("127.0.0.1", 421)):
        async with client_of(store, host, hosts=["View.Example"]) as client:
            assert (await client.get("/api/tracts")).status_code == status


@pytest.mark.parametrize("options", [{"token": ""}, {"hosts": []}, {"hosts": "localhost"}])
async def test_a_server_without_a_token_or_names_is_refused(
    store: TractStore, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="must"):
        app(store, **{"token": TOKEN, **options})


async def test_only_reading_is_answered(store: TractStore) -> None:
    async with client_of(store) as client:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert (await client.request(method, "/api/tracts")).status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/tracts", {}),
        ("GET", "/api/nothing", {}),
        ("GET", "/api/commit?tract=trip&hash=..%00", {}),
        ("GET", "/../../etc/passwd", {}),
        ("GET", "/api/tracts", {"Authorization": ""}),
        ("GET", "/", {"Host": "evil.example"}),
        ("POST", "/", {}),
    ],
)
async def test_whatever_is_answered_may_load_and_run_nothing(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await client.request(method, path, headers=headers)

    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_what_is_asked_for_changes_nothing(
    client: httpx.AsyncClient, store: TractStore
) -> None:
    before = await store_as_a_whole(store)
    head = await store.tract("trip").head()
    for verb in VERBS[:-1]:
        values = {
            "tract": "trip",
            "hash": head,
            "api": "google",
            "text": "ship",
            "sha256": "0" * 64,
        }
        await asked(client, verb, **values)

    assert await store_as_a_whole(store) == before


async def store_as_a_whole(store: TractStore) -> list[Any]:
    info = (await store.info()).model_dump(exclude={"cache"})
    return [info, await store.tracts(), await store.tract("trip").branches()]


async def test_what_is_not_there_or_makes_no_sense_is_told(client: httpx.AsyncClient) -> None:
    unknown = {"tract": "trip", "hash": "f" * 64}
    for verb, values, status in (
        ("refs", {}, 400),
        ("commits", {"tract": "trip", "limit": "0"}, 400),
        ("commits", {"tract": "trip", "limit": "many"}, 400),
        ("commits", {"tract": "trip", "before": "f" * 64}, 404),
        ("commit", unknown, 404),
        ("point", unknown, 404),
        ("request", {**unknown, "api": "google"}, 404),
        ("request", {**unknown, "api": "telegraph"}, 400),
        ("nothing", {}, 404),
    ):
        answer = await client.get(f"/api/{verb}", params=values)

        assert (verb, values, answer.status_code) == (verb, values, status)


async def test_pages_of_commits_follow_each_other(
    client: httpx.AsyncClient, store: TractStore
) -> None:
    hashes: list[str] = []
    more, before = True, ""
    while more:
        page = await asked(client, "commits", tract="trip", limit=7, before=before)
        hashes += [each["hash"] for each in page["commits"]]
        more, before = page["more"], hashes[-1]

    commits = await store.tract("trip").query(newest=True)
    assert hashes == [each.commit_hash for each in commits]
    newer = await asked(client, "commits", tract="trip", after=hashes[3])
    assert [each["hash"] for each in newer["commits"]] == hashes[:3]


async def test_the_entries_at_a_commit_are_those_of_the_store(
    client: httpx.AsyncClient, store: TractStore
) -> None:
    trip = store.tract("trip")
    for commit in await trip.query():
        point = await asked(client, "point", tract="trip", hash=commit.commit_hash)
        entries = await trip.entries(at_commit=commit.commit_hash, include_skipped=True)

        assert list(map(told, point["entries"])) == list(map(known, entries))
        context = await trip.compile(at_commit=commit.commit_hash)
        assert (point["tokens"], point["source"]) == (context.token_count, context.token_source)


def told(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[name] for name in ("hash", "shown", "hidden_by", "priority", "tokens"))


def known(entry: EntryInfo) -> tuple[Any, ...]:
    shown = entry.edited_by or entry.commit_hash
    return (entry.commit_hash, shown, entry.hidden_by, entry.priority.value, entry.token_count)


@pytest.mark.parametrize(
    ("api", "full"),
    [
        ("openai", "openai.chat"),
        ("responses", "openai.responses"),
        ("anthropic", "anthropic.messages"),
        ("google", "google.generate_content"),
    ],
)
async def test_a_request_is_the_one_that_a_model_gets(
    client: httpx.AsyncClient, store: TractStore, api: str, full: str
) -> None:
    trip = store.tract("trip", branch="try-0.9")
    head = await trip.head()

    request = await asked(client, "request", tract="trip", hash=head, api=api)

    context = await trip.compile()
    expected: list[Any] = []
    for value in context.request(full).values():
        expected += value if isinstance(value, list) else [value]
    assert [json.loads(text) for _, text in request["sections"]] == expected
    assert [each["what"] for each in request["losses"]] == [each.what for each in context.losses]


async def test_a_commit_tells_what_changed_it_later_and_the_usage_beside_it(
    client: httpx.AsyncClient, store: TractStore
) -> None:
    [said] = [
        each
        for each in await store.tract("trip").query()
        if (each.generation_config or {}).get("seed")
    ]

    told = await asked(client, "commit", tract="trip", hash=said.commit_hash)

    assert told["usage"] == {said.parent_hash: [120, 9]}
    assert [each["op"] for each in told["changes"]] == ["edit", "compact"]
    assert told["messages"][0]["parts"] == [{"type": "text", "text": "In Tromsø."}]


async def test_branches_are_compared_over_their_parameters(client: httpx.AsyncClient) -> None:
    compared = (await asked(client, "compare", tract="trip"))["branches"]

    by_name = {each["branch"]: each["parameters"] for each in compared}
    assert by_name["try-1.4"] == {"model": ["gpt-5"], "temperature": [1.4]}
    assert by_name["main"]["temperature"] == [0.2, 0.9, 0.7]


@pytest.mark.parametrize("indexed", [False, True])
async def test_a_search_finds_texts_with_and_without_an_index(
    client: httpx.AsyncClient, store: TractStore, indexed: bool
) -> None:
    if indexed:
        await store.enable_search()

    found = await asked(client, "search", tract="trip", text="northernmost library")

    assert [each["preview"][:8] for each in found["hits"]] == ["Where is"]
    assert (found["note"] is None) is indexed


async def test_a_picture_is_given_as_such(client: httpx.AsyncClient, store: TractStore) -> None:
    kept = await store.tract("trip").attach(PNG, "image/png")

    found = await asked(client, "media", tract="trip", sha256=kept.sha256)

    assert found["url"].startswith("data:image/png;base64,iVBOR")


async def test_tracts_that_were_not_named_are_not_shown(store: TractStore) -> None:
    await everything(store)
    async with client_of(store, tract_ids=["recipes"]) as client:
        listed = await asked(client, "tracts")
        refused = [
            (await client.get(f"/api/{verb}", params={"tract": "trip"})).status_code
            for verb in ("refs", "commits", "compare", "events")
        ]

    assert [each["tract_id"] for each in listed["tracts"]] == ["recipes"]
    assert refused == [404] * 4


# Over HTTP -------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def address(store: TractStore) -> AsyncIterator[str]:
    """The address of a page that is served, token included."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(store, on_start=started.set_result))
    yield await started
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_a_server_has_a_token_of_its_own_and_ends_when_it_is_cancelled(
    address: str, store: TractStore
) -> None:
    origin, _, token = address.partition("/#token=")
    assert len(token) >= 32
    async with httpx.AsyncClient(base_url=origin) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/api/tracts")).status_code == 401
        header = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/api/tracts", headers=header)).json()["tracts"] == []


async def test_commits_and_branches_are_told_live(address: str, store: TractStore) -> None:
    origin, _, token = address.partition("/#token=")
    trip = store.tract("trip")
    await trip.user("before")
    header = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=origin, headers=header, timeout=20) as client,
        client.stream("GET", "/api/events", params={"tract": "trip"}) as events,
    ):
        refs = (json.loads(line[6:]) async for line in events.aiter_lines() if line[:6] == "data: ")
        heads = [(await anext(refs))["branches"][0]["head"]]
        made = [await trip.user("after"), await (await trip.fork("side")).user("aside")]
        async for told in refs:
            heads = [each["head"] for each in told["branches"]]
            if len(heads) == 2 and heads[0] == made[1].commit_hash:
                break

    assert heads == [made[1].commit_hash, made[0].commit_hash]


async def test_the_stream_of_changes_ends_with_the_store(store: TractStore) -> None:
    await store.tract("trip").user("hello")
    async with client_of(store) as client:
        task = asyncio.create_task(client.get("/api/events", params={"tract": "trip"}))
        await asyncio.sleep(0.1)
        await store.aclose()
        answer = await asyncio.wait_for(task, 10)

    assert answer.text.startswith("data: ")
