"""The project's chores; `nox -s tests` and `nox -s demo` need nothing but Python and pip."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

# Test modules are compiled once, not by each worker, child and session.
BYTECODE: dict[str, str | None] = {"PYTHONDONTWRITEBYTECODE": None}
PARALLEL = ("--numprocesses=auto", "--dist=worksteal")


def _tests_of(adapter: str) -> tuple[str, ...]:
    return tuple(map(str, sorted(Path("tests/test_integrations").glob(f"test_{adapter}*.py"))))


ADK_TESTS = _tests_of("adk")
CLAUDE_AGENT_TESTS = _tests_of("claude_agent")

PYPROJECT = nox.project.load_toml("pyproject.toml")


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PYPROJECT, name)


def _lowest(dependency: str) -> str:
    """Return *dependency* pinned to the lower bound that it admits."""
    requirement = Requirement(dependency)
    (lowest,) = (bound.version for bound in requirement.specifier if bound.operator == ">=")
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}=={lowest}"


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style and the direction of imports."""
    session.install(*_group("lint"))
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    # grimp reads the sources without running them, so their dependencies are not installed.
    session.run("lint-imports", "--no-cache", "--no-logo", env={"PYTHONPATH": "src"})


@nox.session
def types(session: nox.Session) -> None:
    """Check the types within, of what the documentation shows, and of the installed package.

    Both checkers accept every Python block of the pages, the providers' SDKs being there; of the
    package, pyright finds every public type complete. For some adapters, sessions of their own do so.
    """
    session.install(".", *_group("types"))
    session.run("mypy")
    # The node that pip installed is used even where an older one is on the path.
    node = {"PYRIGHT_PYTHON_GLOBAL_NODE": "0"}
    session.run("python", "-m", "typed", env={"PYTHONPATH": "tests", **node})
    session.run("python", "-m", "typed.complete", env={"PYTHONPATH": "tests", **node})


@nox.session
def tests(session: nox.Session) -> None:
    """Test the wheel as it ships, on every core, with branch coverage; arguments go to pytest.

    Without arguments all tests run but the long ones, and their coverage has a threshold.
    """
    session.install(".", *_group("tests"))
    selected = session.posargs or ["-m", "not long", "--cov-fail-under=95"]
    report = ("--cov", "--cov-report=term:skip-covered")
    session.run("pytest", *PARALLEL, *report, *selected, env=BYTECODE)


@nox.session
def long(session: nox.Session) -> None:
    """Run the tests that take long: properties, models and short torture; arguments go to pytest.

    With `full` as the first argument they try more seeds, examples and kills than CI has time for,
    and the properties that `tests` checks run again with four times the examples.
    """
    session.install(".", *_group("tests"))
    selected, env, arguments = "long", {"TRACT_TEST_EXAMPLES": "all", **BYTECODE}, session.posargs
    if arguments[:1] == ["full"]:
        env["TRACT_TEST_FULL"], arguments = "1", arguments[1:]
        selected = "long or hypothesis"
    session.run("pytest", *PARALLEL, "-m", selected, *arguments, env=env)


@nox.session
def postgres(session: nox.Session) -> None:
    """Run what a store promises on any engine on PostgreSQL; arguments go to pytest."""
    session.install(".", *_group("tests"))
    selected = session.posargs or ["-m", "not long"]
    env = {"TRACT_TEST_ENGINE": "postgres", "TRACT_TEST_EXAMPLES": "all", **BYTECODE}
    session.run("pytest", *PARALLEL, *selected, env=env)


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the tests with each runtime dependency at its lower bound; arguments go to pytest."""
    project = PYPROJECT["project"]
    extras = {**project["optional-dependencies"]}
    del extras["adk"], extras["claude-agent"]  # see the sessions of their names
    pins = [_lowest(each) for each in (*project["dependencies"], *chain(*extras.values()))]
    # Its releases need the newest SDK, and so the newest API.
    tests = [each for each in _group("tests") if "opentelemetry-exporter" not in each]
    session.install(".", *pins, *tests)
    session.run("pytest", *PARALLEL, *session.posargs, env=BYTECODE)


@nox.session
def viewer(session: nox.Session) -> None:
    """Test the viewer's page in the system's Chromium; arguments go to pytest.

    With `pictures` as the argument, draw the pictures of the documentation.
    """
    session.install(".", *_group("viewer"))
    if session.posargs[:1] == ["pictures"]:
        session.run("python", "-m", "support.pictured", env={"PYTHONPATH": "tests"})
        return
    env = {"TRACT_TEST_BROWSER": "1", **BYTECODE}
    session.run("pytest", "tests/test_viewer", *session.posargs, env=env)


@nox.session
def package(session: nox.Session) -> None:
    """Build what is published into `dist/`, check what is in it, and use it on every Python that is here.

    `--release v1.2.3` fails unless that version may be published, and every supported Python is here.
    """
    session.install(*_group("package"))
    folder = Path("dist")
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(folder))
    built = sorted(map(str, folder.iterdir()))
    session.run("twine", "check", "--strict", *built)
    checks = ("python", "-m", "packaged", str(folder), *session.posargs)
    session.run(*checks, env={"PYTHONPATH": "tests"})
    (wheel,) = (each for each in built if each.endswith(".whl"))
    used = [*_use_everywhere(session, wheel)]
    listing = ("--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible")
    bill = ("--output-file", str(folder / "sbom.cdx.json"))
    session.run(used[-1], "-m", "pip", "uninstall", "--quiet", "--yes", "pip", external=True)
    session.run("cyclonedx-py", "environment", *listing, *bill, used[-1])


def _use_everywhere(session: nox.Session, wheel: str) -> Iterator[str]:
    """Use a wheel on each Python that is here, and yield the environments' own."""
    for version in _supported():
        python = _interpreter(version)
        if python is not None:
            yield _use(session, version, python, wheel)
        elif session.posargs:
            session.error(f"There is no Python {version} here.")
        else:
            session.warn(f"There is no Python {version} here: not tested with it.")


def _use(session: nox.Session, version: str, python: str, wheel: str) -> str:
    """Use a wheel in a new environment, and return the Python of that."""
    scratch = Path(session.create_tmp(), f"on-{version}").absolute()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    session.run(python, "-m", "venv", str(scratch / "venv"), external=True)
    programs = (scratch / "venv" / each for each in ("bin/python", "Scripts/python.exe"))
    own = str(next(filter(Path.exists, programs)))
    wanted = f"asynctract[cli,mcp,viewer] @ {Path(wheel).absolute().as_uri()}"
    session.run(own, "-m", "pip", "install", "--quiet", wanted, external=True)
    shutil.copy("tests/files/first_release/agents.db", scratch / "first_release.db")
    program = str(Path("tests/packaged/using.py").absolute())
    with session.chdir(scratch):
        session.run(own, "-I", program, external=True)
    return own


def _supported() -> list[str]:
    """Return the versions of Python that the project says it runs on, the newest last."""
    told = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    found = filter(None, map(told.fullmatch, PYPROJECT["project"]["classifiers"]))
    return sorted((each[1] for each in found), key=lambda each: int(each.partition(".")[2]))


def _interpreter(version: str) -> str | None:
    """Return the command of a Python that is installed, by itself or by pyenv."""
    installed = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for command in (f"python{version}", *sorted(map(str, installed))):
        # What pyenv has on the path is a script, which fails where that version is not chosen.
        asked = [command, "-c", "import venv"]
        if shutil.which(command) and subprocess.run(asked, capture_output=True).returncode == 0:
            return command
    return None


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into `site/`; a warning is an error."""
    session.install(*_group("docs"))
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def docs_release(session: nox.Session) -> None:
    """Build this release's documentation beside that of earlier ones, on the branch `gh-pages`.

    It becomes `latest`. Nothing is pushed, unless `--push` is an argument.
    """
    session.install(*_group("docs"))
    release = ".".join(PYPROJECT["project"]["version"].split(".")[:2])
    as_latest = ("--update-aliases", "--alias-type=redirect", release, "latest")
    session.run("mike", "deploy", *as_latest, *session.posargs)
    session.run("mike", "set-default", "latest", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Replay transcripts as concurrent agents; an argument names a file of them.

    With `--url postgresql://…` before it, the store is on that server. With `orchestrator` as the
    first argument, have the agents try tasks on branches; the other arguments go to that.
    """
    session.install(".[postgres]", *_group("demo"))
    name, arguments = "demo", session.posargs
    if arguments[:1] == ["orchestrator"]:
        name, *arguments = arguments
    session.run("python", f"docs/examples/{name}.py", *arguments)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against plain SQLite and the peers; `--quick` in CI, `--help` for the rest.

    `--url postgresql://…` measures against plain asyncpg and the peers on that server. With `windows`
    as the first argument, replay recorded conversations in short windows instead.
    """
    session.install(".", *_group("bench"))
    module, arguments = "benchmarks", session.posargs
    if arguments[:1] == ["windows"]:
        module, arguments = "benchmarks.windows", arguments[1:]
    session.run("python", "-m", module, *arguments, env={"PYTHONPATH": "tests"})


@nox.session
def exchanges(session: nox.Session) -> None:
    """Pass recorded exchanges of providers through a store and back; an argument names their file."""
    session.install(".", *_group("tests"))
    env = {"PYTHONPATH": "tests"}
    session.run("python", "-m", "providers", *session.posargs, env=env)


@nox.session
def crossings(session: nox.Session) -> None:
    """Write into the docs what crosses from one API to another, and what each request loses."""
    session.install(".", *_group("tests"))
    session.run("python", "-m", "providers.crossings", env={"PYTHONPATH": "tests"})


@nox.session
def torture(session: nox.Session) -> None:
    """Do to stores what must not harm them; `--quick`, `--only kills`, `--help` for the rest.

    `--url postgresql://…` does it to stores on that server.
    """
    session.install(".", *_group("torture"))
    session.run("python", "-m", "torture", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def conformance(session: nox.Session) -> None:
    """Run the frameworks' own tests on our stores, and on theirs for comparison.

    Arguments are a framework and a checkout of it; without, its source distribution is fetched.
    Without a framework, all are run. Some have environments of their own, and are tested there.
    With `--ours` alone, ours are tested, of those that have no session of their own, as CI does.
    """
    apart = {"adk": "adk", "claude-agent": "claude_agent"}
    if not session.posargs or session.posargs[0] not in apart:
        session.install(".", *_group("conformance"))
        all_of_them = [[each, *session.posargs] for each in ("openai-agents", "langgraph")]
        named = session.posargs and session.posargs != ["--ours"]
        for arguments in [session.posargs] if named else all_of_them:
            session.run("python", "-m", "conformance", *arguments, env={"PYTHONPATH": "tests"})
    for framework, own in apart.items():
        if session.posargs[:1] in ([], [framework]):
            session.notify(own, session.posargs[1:])


@nox.session
def adk(session: nox.Session) -> None:
    """Test the adapter of Google's ADK, whose release of google-genai other tests do not run with.

    An argument is a checkout of ADK, whose own tests then run, too: its source distribution has none.
    """
    session.install(".[adk]", *_group("adk"))
    session.run("mypy", "src/tract/integrations/adk", "tests/support/adk.py", *ADK_TESTS)
    node = {"PYRIGHT_PYTHON_GLOBAL_NODE": "0"}
    own = "tract.integrations.adk"
    session.run("python", "-m", "typed.complete", own, env={"PYTHONPATH": "tests", **node})
    session.run("pytest", *PARALLEL, *ADK_TESTS, env=BYTECODE)
    pages = ("tests/test_docs.py", "tests/test_examples.py")
    session.run("pytest", *pages, "-k", "adk", env=BYTECODE)
    if session.posargs:
        arguments = ("adk", *session.posargs)
        session.run("python", "-m", "conformance", *arguments, env={"PYTHONPATH": "tests"})


@nox.session
def claude_agent(session: nox.Session) -> None:
    """Test the adapter of the Claude Agent SDK, without the command line that its wheels bundle.

    The SDK's own tests run, too: of the checkout that an argument names, or of its source distribution.
    """
    without_command_line = ("--no-binary", "claude-agent-sdk")
    session.install(*without_command_line, ".[claude-agent]", *_group("claude-agent"))
    support = "tests/support/claude.py"
    session.run("mypy", "src/tract/integrations/claude_agent", support, *CLAUDE_AGENT_TESTS)
    node = {"PYRIGHT_PYTHON_GLOBAL_NODE": "0"}
    own = "tract.integrations.claude_agent"
    session.run("python", "-m", "typed.complete", own, env={"PYTHONPATH": "tests", **node})
    session.run("pytest", *PARALLEL, *CLAUDE_AGENT_TESTS, env=BYTECODE)
    pages = ("tests/test_docs.py", "tests/test_examples.py")
    session.run("pytest", *pages, "-k", "claude", env=BYTECODE)
    session.install("pip")  # which fetches that
    arguments = ("claude-agent", *session.posargs)
    session.run("python", "-m", "conformance", *arguments, env={"PYTHONPATH": "tests"})
