"""A PostgreSQL server of our own, which ends with the process that started it, however that ends."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from support.postgres.binaries import Binaries, NoServer
from support.postgres.keeping import kept, made_folder

__all__ = ["UNSAFE", "Server", "Serving", "free_port", "made_cluster", "serving"]

# What makes a server fast that need not survive a crash of the machine.
UNSAFE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "64MB"}
# Only how the files of a crashed cluster are synced before it is read: a thousand calls, or one.
_DURABLE = {"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}

_PORTS = range(20_000, 32_000)  # below those that clients are given
_PATIENCE = 30.0  # seconds


class Server:
    """A server over the cluster in `folder / "data"`; its calls block until they are done."""

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._binaries = binaries

    def url(self, database: str = "postgres", *, by_socket: bool = False) -> str:
        """Return the URL of a database, over TCP or over a Unix socket."""
        if by_socket:
            return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def configure(self, options: Mapping[str, str]) -> None:
        """Set options for the next start or reload."""
        places = {"port": str(self.port), "unix_socket_directories": str(self.folder)}
        given = {"listen_addresses": "127.0.0.1", **places, **options}
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in given.items())

    def start(self) -> None:
        """Start the server, and wait until it accepts connections.

        Raises:
            NoServer: it does not start; the text has the end of its log.
        """
        try:
            self._pg_ctl("start", "-w", "-l", self.folder / "log")
        except NoServer:
            raise NoServer(f"PostgreSQL does not start: {self.log()[-800:]}") from None

    def stop(self) -> None:
        """Stop the server in order, ending the connections that are open."""
        self._pg_ctl("stop", "-w", "-m", "fast")

    def crash(self) -> None:
        """End all processes of the server at once; it recovers when it is started again."""
        self._pg_ctl("stop", "-w", "-m", "immediate")

    def kill(self) -> None:
        """Kill the server's first process with SIGKILL; wait until its backends have noticed."""
        pid = self.pid
        backends = [pid, *_children(pid)]
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _PATIENCE
        while any(map(_is_alive, backends)):
            if time.monotonic() > deadline:
                raise NoServer("the backends outlive their server")
            time.sleep(0.005)

    def reload(self) -> None:
        """Have the server read its files again: options, `pg_hba.conf`."""
        self._pg_ctl("reload")

    def promote(self) -> None:
        """Have a follower accept writes, as after a failure of the server that it follows."""
        self._pg_ctl("promote", "-w")

    @property
    def pid(self) -> int:
        """The id of the server's first process."""
        return int((self.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])

    def ending(self) -> list[str]:
        """Return the command that ends the server at once."""
        return self._binaries.command("pg_ctl", "stop", "-s", "-m", "immediate", "-D", self.data)

    def log(self) -> str:
        """Return what the server has logged."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _pg_ctl(self, action: str, *arguments: object) -> None:
        self._binaries.run("pg_ctl", action, "-s", "-D", self.data, *arguments)

    @contextmanager
    def followed(self, options: Mapping[str, str] = UNSAFE) -> Iterator[Server]:
        """Run a second server that follows this one and is read-only until it is promoted."""
        with _kept(self._binaries) as follower:
            self._binaries.run(
                "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
                *("-d", self.url(), "-D", follower.data),
            )  # fmt: skip
            _begin(follower, options)
            yield follower


Serving = Callable[..., AbstractContextManager[Server]]


def made_cluster(binaries: Binaries, data: Path, *, icu: bool = False) -> None:
    """Make a cluster whose user `postgres` needs no password.

    Args:
        binaries: The programs to use.
        data: The folder to make.
        icu: Order texts as people do; without, by their code points.
    """
    collation = ("--locale-provider=icu", "--icu-locale=en-US") if icu else ()
    binaries.run(
        "initdb", "-D", data, "--username=postgres", "--auth=trust", "--encoding=UTF8",
        *("--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=1", *collation),
    )  # fmt: skip


@contextmanager
def serving(
    binaries: Binaries,
    cluster: Path,
    *,
    options: Mapping[str, str] | None = None,
    within: Path | None = None,
) -> Iterator[Server]:
    """Run a server over a copy of *cluster*, in a folder that goes with it.

    Args:
        binaries: The programs to use.
        cluster: What `made_cluster` made.
        options: Of the server, which is durable without any.
        within: Where its folder is to be, such as a disk that may fill up.
    """
    with _kept(binaries, within) as server:
        shutil.copytree(cluster, server.data)
        _begin(server, {**_DURABLE, **(options or {})})
        yield server


@contextmanager
def _kept(binaries: Binaries, within: Path | None = None) -> Iterator[Server]:
    server = Server(binaries, made_folder("tract-pg-", within))
    with kept(server.folder, *server.ending()):
        yield server


def _begin(server: Server, options: Mapping[str, str]) -> None:
    server.configure(options)
    server.start()


def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(child) for child in listed.stdout.split()]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
