"""What is too long for the event loop is recognised, and copied without copying its texts."""

from __future__ import annotations

import sys
import threading
import time
from itertools import pairwise
from typing import Any

import pytest

from tract import MediaPart, MessageContent, NativeContent, ToolResultPart
from tract.engine.threads import HEAVY, Breath, Threads, freeze, is_heavy

LONG = b"x" * (HEAVY + 1)
TEXT = LONG.decode()
IMAGE = MediaPart(kind="image", data=LONG)
NESTED = ToolResultPart(call_id="1", parts=(IMAGE,))


@pytest.mark.parametrize(
    "value",
    [
        MessageContent(role="user", parts=(IMAGE,)),
        MessageContent(role="user", parts=(NESTED,)),
        {"content_type": "message", "parts": [IMAGE]},
        {"content_type": "message", "parts": [{"type": "media", "data": LONG}]},
        NativeContent(api="x", item={"a": [TEXT]}),
        {"content_type": "native", "item": {"a": [TEXT]}},
        [0] * HEAVY,
    ],
)
def test_long_bytes_texts_and_lists_are_heavy_wherever_they_are(value: Any) -> None:
    assert is_heavy(value)
    assert freeze(value)() == value


def test_short_ones_are_not() -> None:
    part = MediaPart(kind="image", data=LONG[:1_000])

    assert not is_heavy(MessageContent(role="user", parts=(part,)), {"a": "x"}, None)


@pytest.mark.parametrize("size", [2, 5_000])
def test_what_was_copied_does_not_change_with_the_original(size: int) -> None:
    original: dict[str, Any] = {"item": {"text": TEXT, "list": [[0] for _ in range(size)]}}
    thaw = freeze(original)
    original["item"]["list"][0].append(1)
    original["item"]["more"] = 1

    assert thaw() == {"item": {"text": TEXT, "list": [[0] for _ in range(size)]}}


def test_few_values_with_long_texts_are_copied_without_them() -> None:
    item = {"text": TEXT, "data": LONG}
    copied = freeze(item)()

    assert copied is not item
    assert copied["text"] is item["text"]
    assert copied["data"] is item["data"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the switches of one thread")
async def test_long_work_lets_other_threads_run_of_its_own_accord() -> None:
    """Not at each step: giving way takes as long as some steps do."""
    steps = 0

    def work() -> int:
        nonlocal steps
        breath, before, end = Breath(), _switches(), time.thread_time() + 0.05
        while time.thread_time() < end:
            breath.take()
            steps += 1
        return _switches() - before

    threads = Threads()
    given_way = await threads.run(work)
    threads.close()

    assert 3 <= given_way < steps / 10


def test_long_work_gives_way_more_often_while_another_thread_wants_that() -> None:
    """The event loop needs the interpreter several times in each of its turns."""
    is_over = threading.Event()
    slept: list[float] = []

    def note(_: object, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") == "sleep":
            slept.append(time.perf_counter())

    def work() -> None:
        breath = Breath()
        sys.setprofile(note)  # of this thread alone
        while not is_over.is_set():
            breath.take()
        sys.setprofile(None)

    busy = threading.Thread(target=work)
    busy.start()
    for _ in range(200):
        time.sleep(0.0001)
    is_over.set()
    busy.join()
    spans = sorted(after - before for before, after in pairwise(slept))

    assert spans[len(spans) // 4] < 0.0015


def _switches() -> int:
    """Return how often this thread has waited of its own accord."""
    resource = pytest.importorskip("resource")
    switches: int = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    return switches
