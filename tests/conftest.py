"""What every test gets: watchers of the event loop, real transcripts, a place for a database."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import pkgutil
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest
import pytest_asyncio
from blockbuster import BlockBuster
from hypothesis import is_hypothesis_test, settings

import tract
from support.effort import examples
from support.frameworks import lacking
from support.opening import COUNTER
from support.threads import connection_threads, left_of
from tract import AsyncTract, TractStore

pytest_plugins = ["support.postgres.fixtures"]

TRANSCRIPTS = Path(__file__).parents[2] / "shared" / "data"

# Machines differ in speed, and the first example of a run warms every cache.
settings.register_profile(
    "tract",
    max_examples=examples(100),
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.load_profile("tract")


COVERAGE = pytest.StashKey[coverage.Coverage | None]()
MEASURED = pytest.StashKey[bool]()

if coverage.Coverage.current() is not None:
    # The lines of a module run once, when it is imported: here, while coverage watches.
    for module in pkgutil.walk_packages(tract.__path__, "tract."):
        if lacking(module.name) is None:
            importlib.import_module(module.name)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect unwatched: coverage makes all Python two to three times slower, not ours alone.

    What was collected stays to the end, so that tests that collect garbage need not walk it.
    """
    session.config.stash[COVERAGE] = coverage.Coverage.current()
    while (watching := coverage.Coverage.current()) is not None:  # pytest-cov nests two in workers
        watching.stop()
    try:
        return (yield)
    finally:
        gc.freeze()


@pytest.hookimpl(trylast=True)  # of what is left after -m and -k
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have coverage watch the first case of each test, and the first one on a server.

    But of no property and no `unmeasured` test. The others run the same lines again, unless they
    are `measured`. What is measured is at most what is covered.
    """
    seen: set[tuple[str, bool]] = set()
    for item in items:
        test, _, case = item.nodeid.partition("[")
        name = (test, "postgres" in case)
        apart = item.get_closest_marker("unmeasured") is not None or is_hypothesis_test(
            getattr(item, "obj", None)
        )
        is_new = name not in seen or item.get_closest_marker("measured") is not None
        item.stash[MEASURED] = is_new and not apart
        seen.add(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Have coverage watch a measured test, with the fixtures that it sets up."""
    watching = item.config.stash[COVERAGE]
    if watching is None or not item.stash[MEASURED]:
        return (yield)
    with watching.collect():
        return (yield)


@pytest.fixture(autouse=True, scope="session")
def blockbuster() -> Iterator[BlockBuster]:
    """Raise `BlockingError` where the package blocks a running event loop, however deep below it.

    What tests and other packages do on their own account is not watched. One watcher serves all
    tests of a process: making one takes longer than most tests.
    """
    watcher = BlockBuster("tract")
    for acquire in ("threading.Lock.acquire", "threading.Lock.acquire_lock"):
        function = watcher.functions[acquire]
        function.can_block_predicate = but_for_coverages(function.can_block_predicate)
    for function in watcher.functions.values():  # a driver looks for certificates and a password
        function.can_block_in("asyncpg/connect_utils.py", {"_parse_connect_dsn_and_args"})
        # Importing the Claude Agent SDK, in the first block of its page, reads schemas.
        function.can_block_in("jsonschema_specifications/_core.py", {"_schemas"})
    watcher.activate()
    yield watcher
    watcher.deactivate()


def but_for_coverages(may_block: Callable[..., bool]) -> Callable[..., bool]:
    """Let coverage lock its own data, which it does from within the frames that it measures."""

    def may(lock: object, *arguments: Any, **keywords: Any) -> bool:
        collector = getattr(coverage.Coverage.current(), "_collector", None)
        return lock is getattr(collector, "data_lock", None) or may_block(
            lock, *arguments, **keywords
        )

    return may


@pytest_asyncio.fixture
async def _loop_without_leftovers() -> AsyncIterator[None]:
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        # Tasks that have been told to end get their turn to do so.
        _, left = await asyncio.wait(left, timeout=10)

    assert not left, f"still running after the test: {sorted(map(repr, left))}"


@pytest.fixture(autouse=True)
def no_task_left_running(request: pytest.FixtureRequest) -> None:
    """Fail an async test that leaves a task on its event loop; others get no loop for it."""
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("_loop_without_leftovers")


@pytest.fixture(autouse=True, scope="module")
def no_connection_left_open() -> Iterator[None]:
    """Fail in the file whose tests leave a connection's thread, so that no later one has to count it."""
    earlier = connection_threads()
    yield
    if connection_threads() - earlier:
        gc.collect()  # a store that was dropped open may be part of a circle

    assert not left_of(connection_threads() - earlier), "a connection was left open"


@pytest.fixture(scope="session")
def airline() -> list[dict[str, Any]]:
    """The recorded conversations: dicts with `id` and `messages` (Chat Completions)."""
    folder = Path(os.environ.get("ASYNCTRACT_TRANSCRIPTS", TRANSCRIPTS))
    path = folder / "airline.jsonl"
    if not path.is_file():
        pytest.skip(f"no transcripts at {path}; ASYNCTRACT_TRANSCRIPTS names their folder")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture
def db_path(tmp_path: Path) -> Path:
    """A path in a folder of the test's own, where no database is yet."""
    return tmp_path / "context.db"


@pytest_asyncio.fixture
async def store(target: Path | str) -> AsyncIterator[TractStore]:
    """A store of a new database, which counts no tokens."""
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        yield store


@pytest.fixture
def main(store: TractStore) -> AsyncTract:
    """The main branch of a tract without commits."""
    return store.tract("t")
