"""`tract serve` as a process: where the page is, who gets it, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.commands import PROGRAM, environment, tract
from tract import SyncStore

WAIT = 60


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def serving(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run the command; yield it with the page's address and its token."""
    with subprocess.Popen(
        [*PROGRAM, "serve", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
        preexec_fn=heed_interrupts,
    ) as process:
        assert process.stdout is not None
        told = re.fullmatch(r"(http://\S+/)#token=(\S+)\n", process.stdout.readline())
        try:
            assert told is not None
            yield process, told[1], told[2]
        finally:
            process.kill()


def asked(page: str, token: str) -> httpx.Response:
    return httpx.get(f"{page}api/tracts", headers={"Authorization": f"Bearer {token}"})


def test_the_address_is_told_at_once_and_its_token_opens_the_data(agents: Path) -> None:
    with serving(agents) as (_, page, token):
        shown, allowed = httpx.get(page), asked(page, token)
        refused = [httpx.get(f"{page}api/tracts"), asked(page, "another")]
        elsewhere = httpx.get(page, headers={"Host": "evil.example"})

    assert page.startswith("http://127.0.0.1:")
    assert len(token) >= 32
    assert "<html" in shown.text
    assert [each["tract_id"] for each in allowed.json()["tracts"]] == ["planner"]
    assert [each.status_code for each in refused] == [401, 401]
    assert elsewhere.status_code == 421


def test_the_address_can_be_told_as_json(agents: Path) -> None:
    command = [*PROGRAM, "serve", str(agents), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
        finally:
            process.kill()

    assert told["address"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_that_there_cannot_be_is_a_usage_error(agents: Path, port: str) -> None:
    assert tract("serve", agents, "--port", port).code == 2


def test_port_and_token_can_be_given(agents: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(agents, "--port", port, "--token", "sesame") as (_, page, token):
        allowed = asked(page, "sesame")

    assert (page, token) == (f"http://127.0.0.1:{port}/", "sesame")
    assert allowed.status_code == 200


def test_only_the_tracts_that_were_named_are_served(agents: Path) -> None:
    with SyncStore.open(agents) as store:
        store.tract("secret").user("Hidden")

    with serving(agents, "--tract", "planner") as (_, page, token):
        listed = asked(page, token)

    assert [each["tract_id"] for each in listed.json()["tracts"]] == ["planner"]


@pytest.mark.parametrize("watching", [False, True])
def test_an_interrupt_ends_it_with_130(agents: Path, watching: bool) -> None:
    with serving(agents) as (process, page, token), httpx.Client() as client:
        if watching:
            authorised = {"Authorization": f"Bearer {token}"}
            request = client.build_request(
                "GET", f"{page}api/events?tract=planner", headers=authorised
            )
            client.send(request, stream=True)
        process.send_signal(signal.SIGINT)

        assert process.wait(WAIT) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_serves_nothing_where_there_is_no_store_tract_or_port(agents: Path) -> None:
    missing = tract("serve", f"{agents}.gone")
    unknown = tract("serve", agents, "--tract", "nowhere")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = tract("serve", agents, "--port", taken.getsockname()[1])

    assert [each.code for each in (missing, unknown, busy)] == [3, 3, 1]
    for each in (missing, unknown, busy):
        assert each.out == ""
        assert each.err.startswith("tract: ")
