"""How the example programs name the first difference between two message lists."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SOURCE = Path(__file__).parents[1] / "docs" / "examples" / "transcripts.py"
HI: dict[str, Any] = {"role": "user", "content": "Hi"}
HO: dict[str, Any] = {"role": "assistant", "content": "Ho"}


@pytest.fixture(scope="module")
def transcripts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("transcripts", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_equal_lists_have_none(transcripts: ModuleType) -> None:
    with_empty_keys = [{**HO, "refusal": None, "annotations": []}]

    assert transcripts.first_difference([HO], with_empty_keys) is None


@pytest.mark.parametrize(
    ("expected", "compiled", "said"),
    [
        ([HI, HO], [HI, HI], "message 1 should be {'role': 'assistant'"),
        ([HI, HO], [HI], "there should be 2 messages, but there are 1"),
    ],
)
def test_the_first_difference_is_named(
    transcripts: ModuleType,
    expected: list[dict[str, Any]],
    compiled: list[dict[str, Any]],
    said: str,
) -> None:
    assert transcripts.first_difference(expected, compiled).startswith(said)
