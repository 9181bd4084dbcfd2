"""Importing builds no validator; `build_models` builds them all."""

from __future__ import annotations

import subprocess
import sys

from tract import DialogueContent
from tract.models.base import build_models

CHECK = """
import tract
import tract.exports  # every public name is loaded
from pydantic import BaseModel
from tract.models.base import build_models

def models(base):
    for model in base.__subclasses__():
        yield model
        yield from models(model)

found = {m for m in models(BaseModel) if not m.__subclasses__()}
ours = {m for m in found if m.__module__.startswith("tract.")}
options = {tract.TractConfig, tract.TokenBudgetConfig, tract.MaintenanceConfig}
assert len(ours) > 10
assert not any(model.__pydantic_complete__ for model in ours)
build_models()
left = {m.__name__ for m in ours - options if not m.__pydantic_complete__}
assert not left, left
"""


def test_models_are_built_when_it_is_asked_for_and_not_before() -> None:
    """In a fresh interpreter, for every model that the package defines."""
    run = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=240, check=False
    )

    assert run.stderr == ""
    assert run.returncode == 0


def test_building_again_changes_nothing() -> None:
    build_models()
    before = DialogueContent.__pydantic_validator__
    build_models()

    assert DialogueContent.__pydantic_validator__ is before


def test_models_of_callers_are_theirs_to_build() -> None:
    class Custom(DialogueContent):
        later: NotYetDefined  # type: ignore[name-defined]  # noqa: F821  (on purpose)

    build_models()

    assert not Custom.__pydantic_complete__
