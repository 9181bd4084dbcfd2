"""The base of the models. Their validators are built when a store is opened, not at import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["Value", "build_models"]


class Value(BaseModel):
    """Base of what the library returns and stores: frozen."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)


def build_models() -> None:
    """Build the validators of the library's models that are missing; call it off the event loop."""
    for model in _models(Value):
        if model.__module__.startswith("tract."):
            model.model_rebuild()


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)
