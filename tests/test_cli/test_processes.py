"""The command as a process: pipes, pagers, terminals, interrupts, completion, and its start."""

from __future__ import annotations

import os
import pty
import re
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from support.commands import PROGRAM, environment
from tract import SyncStore

WAIT = 60
LATER = {"aiosqlite", "anyio", "asyncio", "rich", "sqlalchemy", "tiktoken"}
HELPED = """
import sys
from tract.cli.app import app
app(sys.argv[1:], standalone_mode=False)
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


COUNTED = """
import sys
from tract.cli.app import app, main
called = 0
def count(frame, event, argument):
    global called
    called += event == "call"
sys.setprofile(count)
try:
    {}
finally:
    sys.setprofile(None)
    print(called, file=sys.stderr)
"""


def ended(*arguments: object, **values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT,
        env=environment(**values),
        check=False,
    )


class Terminal:
    """A terminal of a test's own, with a command in it."""

    def __init__(self, *arguments: object, **values: str) -> None:
        self._own, other = pty.openpty()
        self.process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment(COLUMNS="100", LINES="20", **values),
            start_new_session=True,
        )
        os.close(other)
        self.shown = ""

    def until(self, text: str | None) -> str:
        """Read until *text* is shown, or the command has ended; return all that was shown."""
        deadline = time.monotonic() + WAIT
        while text is None or text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if not select.select([self._own], [], [], 1)[0]:
                continue
            try:
                read = os.read(self._own, 65_536)
            except OSError:  # the other end is closed
                break
            self.shown += read.decode("utf-8", "replace")
            if not read:
                break
        return self.shown

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._own)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.db"
    with SyncStore.open(path) as store, store.tract("t").batch() as batch:
        for number in range(3_000):
            batch.user(f"Message {number} " + "and so on " * 20)
    return path


@pytest.mark.parametrize("command", [[], ["log"], ["merge"]], ids=str)
def test_help_imports_neither_databases_nor_models(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELPED, *command, "--help"],
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT,
        env=environment(),
        check=True,
    )

    assert "Usage: " in done.stdout
    # Typer itself converts the arguments of a command by pydantic.
    later = LATER if command else {*LATER, "pydantic"}
    assert {*done.stderr.split()} & later == set()


def test_help_takes_less_than_half_as_long_as_importing_the_library() -> None:
    """As time of the processor, so that a busy machine does not count, and in turns."""
    library = [sys.executable, "-c", "import tract; tract.TractStore"]
    helped, imported = [], []
    for _ in range(3):
        helped.append(processor_time([*PROGRAM, "--help"]))
        imported.append(processor_time(library))

    assert min(helped) < min(imported) / 2


@pytest.mark.parametrize("arguments", [["--help"], ["log", "--help"], ["lgo"], []], ids=str)
def test_what_a_process_reads_of_commands_changes_nothing_that_it_says(
    arguments: list[str],
) -> None:
    """Compared with the app that knows all commands at once."""
    whole = "from tract.cli.app import app; app(prog_name='tract')"
    said = [
        subprocess.run(
            [*program, *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=WAIT,
            env=environment(COLUMNS="80"),
            check=False,
        )
        for program in (PROGRAM, (sys.executable, "-c", whole))
    ]

    assert len({(each.returncode, each.stdout, each.stderr) for each in said}) == 1


@pytest.mark.parametrize("arguments", [["--help"], ["log", "--help"]], ids=" ".join)
def test_the_help_reads_only_the_commands_that_it_describes(arguments: list[str]) -> None:
    """In calls of functions, which a busy machine does not change."""
    whole, needed = (calls(each, arguments) for each in ("app(prog_name='tract')", "main()"))

    assert needed < 0.7 * whole


def calls(program: str, arguments: list[str]) -> int:
    """Return how many functions are called to run a command, after all was imported."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED.format(program), *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT,
        env=environment(),
        check=True,
    )
    return int(done.stderr)


def test_the_first_page_costs_the_same_however_long_the_history(
    agents: Path, long_log: Path
) -> None:
    """As for the help; with room for what rendering a full page takes."""
    short, long = [], []
    for _ in range(3):
        short.append(processor_time([*PROGRAM, "log", "--graph", str(agents)], lines=8))
        long.append(processor_time([*PROGRAM, "log", "--graph", str(long_log)], lines=50))

    assert min(long) < 1.3 * min(short)


def processor_time(command: list[str], lines: int | None = None) -> float:
    """Return the seconds of a processor that a command takes whose reader leaves after *lines*."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        read = sum(1 for _ in islice(process.stdout, lines))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert lines is None or read == lines
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_a_pipe_that_is_closed_ends_the_command_quietly(long_log: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "log", str(long_log), "--graph"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"Message 2999" in process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (141, b"")


def heed_interrupts() -> None:
    """Undo what shells do to programs in the background, which ignore interrupts as their parent did."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_ends_watching_with_130(agents: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "watch", str(agents), "--all", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=heed_interrupts,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()

    assert (process.returncode, said) == (130, b"")


def test_a_watch_shows_what_other_processes_commit(agents: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "watch", str(agents), "--all", "--json", "--limit", "10"],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        for _ in range(9):
            process.stdout.readline()
        with SyncStore.open(agents) as store:
            store.tract("planner").user("Just now")
        assert b"Just now" not in process.stdout.readline()  # a commit, without its content

    assert process.returncode == 0


def test_an_interrupted_backup_leaves_no_file(long_log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    command = [*PROGRAM, "backup", str(long_log), str(copy)]
    process = subprocess.Popen(command, env=environment(), preexec_fn=heed_interrupts)
    while process.poll() is None and not any(tmp_path.iterdir()):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    code = process.wait(WAIT)

    assert (code, copy.exists()) in ((130, False), (0, True))
    assert [each for each in tmp_path.iterdir() if each != copy] == []


def test_colours_are_for_terminals_alone(agents: Path, terminals: list[Terminal]) -> None:
    terminals += [
        Terminal("log", agents, "--no-pager"),
        Terminal("log", agents, "--no-pager", NO_COLOR="1"),
        Terminal("branches", agents, "--no-pager", NO_COLOR="1"),
    ]
    coloured, plain, table = (each.until(None) for each in terminals)

    assert "\x1b[33m" in coloured
    assert "\x1b" not in plain + table
    assert "\x1b" not in ended("log", agents).stdout
    assert "branch" in table


def test_a_pager_is_used_on_a_terminal_alone(agents: Path, terminals: list[Terminal]) -> None:
    pager = f"{sys.executable} -c \"import os, sys; print('PAGED', os.environ['LESS'], len(sys.stdin.read()))\""
    terminals.append(Terminal("log", agents, TRACT_PAGER=pager))

    assert re.search(r"PAGED FRX \d+", terminals[0].until(None))
    assert "PAGED" not in ended("log", agents, TRACT_PAGER=pager).stdout


@pytest.mark.parametrize("leaving", ["sys.exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_pager_that_is_left_or_killed_ends_the_command_quietly(
    long_log: Path, terminals: list[Terminal], leaving: str
) -> None:
    pager = f'{sys.executable} -c "import os, sys; sys.stdin.readline(); print(1234); {leaving}"'
    terminals.append(Terminal("log", long_log, TRACT_PAGER=pager))

    assert terminals[0].until(None).split() == ["1234"]
    assert terminals[0].process.wait(WAIT) == 0


def test_without_the_pager_everything_is_printed(agents: Path, terminals: list[Terminal]) -> None:
    terminals.append(Terminal("log", agents, TRACT_PAGER="no-such-pager"))

    assert "You plan trips." in terminals[0].until(None)


def test_less_leaves_a_short_output_on_the_screen(agents: Path, terminals: list[Terminal]) -> None:
    less = "/usr/bin/less"
    if not os.access(less, os.X_OK):
        pytest.skip("less is not installed")
    terminals.append(Terminal("branches", agents, PAGER=less))

    assert "fast" in terminals[0].until(None)
    assert terminals[0].process.wait(WAIT) == 0


@pytest.mark.parametrize(("answer", "code", "erased"), [("n", 1, 0), ("y", 0, 1)])
def test_a_terminal_is_asked_before_what_cannot_be_undone(
    agents: Path, terminals: list[Terminal], answer: str, code: int, erased: int
) -> None:
    terminals.append(Terminal("erase", agents, "v1", "--reason", "x"))
    asked = terminals[0]
    asked.until("[y/N]")
    asked.type(f"{answer}\n")
    asked.until(None)

    assert asked.process.wait(WAIT) == code
    verified = ended("verify", agents)
    assert verified.stdout.split("\t")[3] == f"{erased}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell: str) -> None:
    script = ended(_TRACT_COMPLETE=f"source_{shell}").stdout

    assert "_TRACT_COMPLETE=complete" in script
    assert "tract" in script


def test_commands_options_and_files_are_completed(tmp_path: Path) -> None:
    (tmp_path / "agents.db").touch()

    def completed(words: str, current: int) -> list[str]:
        values = {
            "_TRACT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": f"{current}",
        }
        return ended(**values).stdout.split()

    assert {"log", "merge", "erase"} <= {*completed("tract ", 1)}
    assert completed("tract log --gra", 2) == ["--graph"]
    assert completed(f"tract log {tmp_path}/ag", 2) == [f"{tmp_path}/agents.db"]


def test_an_encoding_without_the_characters_is_no_error(agents: Path) -> None:
    done = ended("log", agents, "--graph", PYTHONIOENCODING="ascii")

    assert done.returncode == 0
    assert done.stdout.startswith("* ")
    assert done.stdout.isascii()
