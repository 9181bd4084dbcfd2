"""Fixtures: an empty database, on the engine of the run, a server of the test's own, a pooler."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from support.postgres import pooler
from support.postgres.binaries import NoServer
from support.postgres.databases import Databases
from support.postgres.server import Server, Serving, serving
from support.postgres.shared import Run

ENGINE = os.environ.get("TRACT_TEST_ENGINE", "sqlite")
_PLACES = {"sqlite": "db_path", "postgres": "postgres_store"}
RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin a run, or take part in the one of the process that distributes the tests."""
    if ENGINE not in _PLACES:
        raise pytest.UsageError(f"TRACT_TEST_ENGINE is {ENGINE!r}, not one of {sorted(_PLACES)}")
    folder: str | None = getattr(config, "workerinput", {}).get("postgres")
    if folder is not None:
        config.stash[RUN] = Run(Path(folder))
    elif os.name == "posix":
        config.stash[RUN] = Run.begin()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the run is."""
    if (run := node.config.stash.get(RUN, None)) is not None:
        node.workerinput["postgres"] = str(run.folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the run that was begun here."""
    run = config.stash.get(RUN, None)
    if run is not None and not hasattr(config, "workerinput"):
        run.end()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `TRACT_TEST_ENGINE=postgres` run what a store promises on any engine.

    These are the tests that open a `target`, and look neither at a file nor at SQLite's own.
    """
    if ENGINE == "sqlite":
        return
    others = [item for item in items if not _is_of_any_engine(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if _is_of_any_engine(item)]


def _is_of_any_engine(item: pytest.Item) -> bool:
    fixtures: list[str] = getattr(item, "fixturenames", [])
    of_sqlite = "db_path" in fixtures or item.get_closest_marker("sqlite") is not None
    return "target" in fixtures and not of_sqlite


def _without(reason: object) -> NoReturn:
    """Skip on a developer's machine what must not be missing in CI."""
    if "CI" in os.environ:
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def postgres_run(pytestconfig: pytest.Config) -> Run:
    """What the processes of this run share."""
    if RUN not in pytestconfig.stash:
        _without("the tests start PostgreSQL on POSIX systems only")
    return pytestconfig.stash[RUN]


@pytest.fixture(scope="session")
def postgres_databases(postgres_run: Run) -> Iterator[Databases]:
    """The databases of this process."""
    try:
        url = postgres_run.url()
    except NoServer as missing:
        _without(missing)
    databases = Databases(url)
    yield databases
    databases.close()


@pytest.fixture
def postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """The URL of an empty database; no connection to it may be left open."""
    with postgres_databases.empty() as url:
        yield url


@pytest.fixture
def postgres_store(postgres_databases: Databases) -> Iterator[str]:
    """The URL of a store without rows; no connection to it may be left open."""
    with postgres_databases.standing() as url:
        yield url


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Path | str:
    """Where a store can be opened and none is yet, on the engine that `TRACT_TEST_ENGINE` names.

    It is `db_path`, or a URL with `postgres`. A test that needs a file asks for `db_path`; one that
    is to run on several engines in any run parametrizes this indirectly.
    """
    engine: str = getattr(request, "param", ENGINE)
    place: Path | str = request.getfixturevalue(_PLACES[engine])
    return place


@pytest.fixture
def postgres_serving(postgres_run: Run) -> Serving:
    """Return `serving` over a new cluster: it runs a server that the test may do anything to."""
    try:
        binaries, cluster = postgres_run.binaries, postgres_run.cluster()
    except NoServer as missing:
        _without(missing)

    def start(**keywords: Any) -> AbstractContextManager[Server]:
        return serving(binaries, cluster, **keywords)

    return start


@pytest.fixture
def postgres_pooled(postgres_url: str) -> Iterator[str]:
    """The URL of the database of `postgres_url` through pgbouncer, which pools transactions."""
    try:
        with pooler.pooling(postgres_url) as url:
            yield url
    except pooler.NoPooler as missing:
        pytest.skip(str(missing))
