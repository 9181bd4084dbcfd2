"""The types of this package that public signatures name, read from the source of annotations."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

import tract

_Named = ast.ClassDef | ast.Assign | ast.AnnAssign


def types_named_in_public() -> dict[str, set[str]]:
    """Return the package's types that public names mention, each with the names that mention it.

    Read are the annotations of public functions, of methods and fields of public classes, of the
    constructors of classes that callers instantiate, and the targets of public aliases.
    """
    found: dict[str, set[str]] = {}
    for public in tract.__all__:
        for owner, where, annotation in _annotations(public, getattr(tract, public)):
            for name in _names(annotation) & _own_types(where):
                found.setdefault(name, set()).add(owner)
    return found


def _annotations(public: str, item: Any) -> Iterator[tuple[str, ModuleType, str]]:
    if inspect.isclass(item):
        made_by_callers = not re.search(r"\b[Gg]et (one|them) from\b", item.__doc__ or "")
        for name, member in inspect.getmembers(item):
            if not name.startswith("_") or (name == "__init__" and made_by_callers):
                yield from _of_function(f"{public}.{name}", member)
        for cls in (each for each in inspect.getmro(item) if _is_ours(each)):
            for name, annotation in inspect.get_annotations(cls).items():
                if not name.startswith("_"):
                    yield f"{public}.{name}", _module(cls), str(annotation)
    elif inspect.isfunction(item):
        yield from _of_function(public, item)
    else:
        yield from _of_alias(public)


def _of_function(owner: str, member: Any) -> Iterator[tuple[str, ModuleType, str]]:
    function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "__func__", member))
    if inspect.isfunction(function) and _is_ours(function):
        for annotation in inspect.get_annotations(function).values():
            yield owner, _module(function), str(annotation)


def _of_alias(public: str) -> Iterator[tuple[str, ModuleType, str]]:
    """Yield what a name that is neither a class nor a function stands for."""
    for module in _modules():
        value = getattr(_definitions(module).get(public), "value", None)
        if value is not None:
            yield public, module, ast.unparse(value)


def _names(annotation: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(annotation, mode="eval")):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= (
                {node.value} if node.value.isidentifier() and node.value[0].isupper() else set()
            )
    return names


def _own_types(module: ModuleType) -> set[str]:
    """Return the names in *module* that this package defines, except type variables."""
    return {
        name
        for name in _definitions(module).keys() | _imported(module)
        if not isinstance(getattr(module, name, None), (TypeVar, ModuleType))
    }


@cache
def _definitions(module: ModuleType) -> dict[str, _Named]:
    defined: dict[str, _Named] = {}
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef):
            defined[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return defined


@cache
def _imported(module: ModuleType) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tract"
        for alias in node.names
    }


@cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _modules() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith("tract.")]


def _module(item: Any) -> ModuleType:
    module = inspect.getmodule(item)
    assert module is not None
    return module


def _is_ours(item: Any) -> bool:
    return str(item.__module__).split(".")[0] == "tract"
