"""What is done to clients, connections, servers and clocks takes nothing that was acknowledged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.postgres.shared import Run
from support.programs import environment
from support.torture import short_form
from torture.model import Fault
from torture.postgres.faults import OF_CLIENTS, OF_CONNECTIONS


@pytest.mark.unmeasured
@pytest.mark.parametrize("fault", OF_CONNECTIONS, ids=lambda fault: fault.name)
async def test_a_connection_that_ends_takes_no_commit_and_makes_none_twice(
    fault: Fault[Any], tmp_path: Path, postgres_run: Run
) -> None:
    report = await short_form(fault, tmp_path, postgres_run)

    assert report.faults == fault.quick.rounds
    assert report.acknowledged > 20


@pytest.mark.long
@pytest.mark.parametrize("fault", OF_CLIENTS, ids=lambda fault: fault.name)
async def test_whatever_clients_do_takes_nothing_from_a_server(
    fault: Fault[Any], tmp_path: Path, postgres_run: Run
) -> None:
    report = await short_form(fault, tmp_path, postgres_run)

    assert report.acknowledged >= report.faults > 0


@pytest.mark.long
@pytest.mark.parametrize(("port", "status"), [(None, 0), (1, 1)], ids=["there", "nowhere"])
def test_faults_take_place_on_the_server_that_is_given(
    port: int | None, status: int, postgres_url: str
) -> None:
    url = postgres_url if port is None else f"postgresql://postgres@127.0.0.1:{port}/postgres"
    form = ["--quick", "--only", "postgres.backends", "--url", url]
    ran = subprocess.run(
        [sys.executable, "-m", "torture", *form],
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )

    assert ran.returncode == status, ran.stderr
    assert ("Connect call failed" in ran.stdout) == (status != 0)
