"""pgbouncer before a server, giving its clients a connection for one transaction each."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from support.postgres.binaries import as_nobody
from support.postgres.keeping import kept, made_folder
from support.postgres.server import free_port

__all__ = ["NoPooler", "pooling"]

_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"
_PATIENCE = 10.0  # seconds

_INI = """
[databases]
* = host={host} port={port} user={user} {password}
[pgbouncer]
pool_mode = transaction
default_pool_size = {size}
listen_addr = 127.0.0.1
listen_port = {listens}
auth_type = any
unix_socket_dir =
server_tls_sslmode = disable
ignore_startup_parameters = extra_float_digits,search_path,options
logfile = {folder}/log
pidfile = {folder}/pid
"""


class NoPooler(Exception):
    """pgbouncer cannot run here; the text says why."""


@contextmanager
def pooling(url: str, *, size: int = 3) -> Iterator[str]:
    """Run pgbouncer before the server of *url*, with *size* connections for each database.

    Raises:
        NoPooler: it is not installed, or does not start.
    """
    program = shutil.which("pgbouncer", path=_PATH)
    if program is None:
        raise NoPooler("there is no pgbouncer here: apt-get install pgbouncer")
    folder, port = made_folder("tract-pool-"), free_port()
    (folder / "ini").write_text(_ini(urlsplit(url), folder, port, size), encoding="utf-8")
    with kept(folder, "sh", "-c", f"kill $(cat {folder}/pid)"):
        command = [*as_nobody(), program, "--quiet", "--daemon", str(folder / "ini")]
        started = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
        if started.returncode != 0:
            raise NoPooler(f"pgbouncer does not start: {started.stderr.strip()}")
        _await(port)
        user = urlsplit(url).username
        yield urlsplit(url)._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()


def _ini(server: SplitResult, folder: Path, port: int, size: int) -> str:
    password = f"password={server.password}" if server.password else ""
    return _INI.format(
        host=server.hostname,
        port=server.port or 5432,
        user=server.username,
        password=password,
        size=size,
        listens=port,
        folder=folder,
    )


def _await(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    with socket.socket() as trial:
        while trial.connect_ex(("127.0.0.1", port)) != 0:
            if time.monotonic() > deadline:
                raise NoPooler("pgbouncer does not listen")
            time.sleep(0.01)
