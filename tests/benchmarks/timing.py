"""Clocks, and how often something happened by them."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from time import perf_counter

__all__ = ["MICROSECONDS", "rate", "rate_of", "settle", "timed", "timed_call"]

MICROSECONDS = 1e6


def settle() -> None:
    """Leave the garbage of earlier work, and what is imported, out of the next measurement."""
    gc.collect()
    gc.freeze()


def rate_of(count: int, work: Callable[[], object]) -> float:
    """Return how many a second *work* does, which does *count*."""
    return count / timed_call(work)


async def rate(count: int, work: Awaitable[object]) -> float:
    """Return how many a second *work* does, which does *count*."""
    return count / await timed(work)


def timed_call(work: Callable[[], object]) -> float:
    """Return how many seconds *work* takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


async def timed(work: Awaitable[object]) -> float:
    """Return how many seconds *work* takes."""
    start = perf_counter()
    await work
    return perf_counter() - start
