"""Fetching a file over http or https, and nothing else."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

__all__ = ["download"]


def download(url: str, timeout: float, max_bytes: int) -> bytes:
    """Return what an http or https URL holds.

    Args:
        url: The address.
        timeout: Seconds without an answer, and in all between one chunk and the next.
        max_bytes: What is longer is refused.

    Raises:
        TimeoutError: The time is up.
        OSError: The server cannot be reached, does not give the file, or not as HTTP has it.
    """
    try:
        return _download(url, timeout, max_bytes)
    except HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _download(url: str, timeout: float, max_bytes: int) -> bytes:
    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    size = 0
    with _open(url, timeout) as response:
        while chunk := response.read1(1 << 16):
            chunks.append(chunk)
            size += len(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")
            if size > max_bytes:
                raise OSError(f"more than {max_bytes} bytes")
    return b"".join(chunks)


def _open(url: str, timeout: float) -> Any:
    try:
        return _opener().open(url, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"HTTP status {error.code}, {error.reason}") from None


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that cannot be redirected to a file or to FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
