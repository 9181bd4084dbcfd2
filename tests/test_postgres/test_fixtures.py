"""What a run does without a server, and which of its tests it gives one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_TESTS = """
import pytest

@pytest.fixture
def db_path(tmp_path): return tmp_path / "context.db"

def test_any(target): assert str(target).startswith("postgresql://")

def test_file(target, db_path): assert target == db_path

@pytest.mark.sqlite
def test_sqlite(target): assert target.name == "context.db"

@pytest.mark.parametrize("target", ["sqlite", "postgres"], indirect=True)
def test_both(target, request): assert ("//" in str(target)) == ("postgres" in request.node.name)

def test_none(): pass
"""
_QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def ran(folder: Path, *arguments: str, **variables: str) -> str:
    """Run the tests above in a process of their own, and return its report."""
    (folder / "test_some.py").write_text(_TESTS, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = sqlite\n", encoding="utf-8")
    own = ("CI", "TRACT_POSTGRES_URL", "TRACT_POSTGRES_BIN", "TRACT_TEST_ENGINE", "PYTEST_ADDOPTS")
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider"),
            *("-p", "support.postgres.fixtures", *arguments),
        ],
        cwd=folder,
        env={**inherited, "PYTHONPATH": paths, **_QUICK, **variables},
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.stdout + done.stderr


def test_without_a_server_its_tests_are_skipped_with_the_reason(tmp_path: Path) -> None:
    report = ran(tmp_path, "-k", "both", TRACT_POSTGRES_BIN=str(tmp_path))

    assert "1 passed, 1 skipped, 4 deselected" in report
    assert "SKIPPED [1] " in report
    assert "pg_config" in report


def test_in_ci_they_fail(tmp_path: Path) -> None:
    report = ran(tmp_path, "-k", "both", TRACT_POSTGRES_BIN=str(tmp_path), CI="true")

    assert "1 passed, 4 deselected, 1 error" in report


def test_without_the_switch_a_target_is_a_file(tmp_path: Path, postgres_url: str) -> None:
    report = ran(tmp_path, TRACT_POSTGRES_URL=postgres_url)

    assert "1 failed, 5 passed" in report
    assert "FAILED test_some.py::test_any" in report


def test_with_the_switch_only_what_opens_a_target_runs(tmp_path: Path, postgres_url: str) -> None:
    report = ran(tmp_path, TRACT_POSTGRES_URL=postgres_url, TRACT_TEST_ENGINE="postgres")

    assert "3 passed, 3 deselected" in report
    assert "PASSED test_some.py::test_any" in report


def test_an_engine_that_is_not_known_is_refused(tmp_path: Path) -> None:
    assert "TRACT_TEST_ENGINE is 'mysql'" in ran(tmp_path, TRACT_TEST_ENGINE="mysql")
