"""`python -m support.stubs`: what type checkers know of the blocking twins, from their classes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import tract

PACKAGE = Path(tract.__file__).parent
STUB = PACKAGE / "handles" / "blocking.pyi"
TWINS = {
    "AsyncTract": "SyncTract",
    "TractStore": "SyncStore",
    "Batch": "SyncBatch",
    "Transaction": "SyncTransaction",
    "Stream": "SyncStream",
    "Recording": "SyncRecording",
    "Watch": "SyncWatch",
    "LeftStream": "SyncLeftStream",
}
MODULES = [
    "tract",
    "store",
    "handles.batch",
    "handles.staging",
    "transaction",
    "handles.stream",
    "handles.recovery",
    "engine.watching.watch",
]
NAMES = TWINS | {
    "AsyncIterable": "Iterable",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
KEPT = {"__aenter__", "__aexit__", "__aiter__", "__anext__"}
KEPT_BASES = ("Generic", "StagedBranch")
ELLIPSIS: ast.stmt = ast.Expr(ast.Constant(...))


class _Blocking(ast.NodeTransformer):
    """Names twins in place of handles, and plain functions in place of coroutines."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(NAMES.get(node.id, node.id), ast.Load())


def stub() -> str:
    """Return the stub's text, unformatted."""
    imported = {"Iterable": "collections.abc"}
    variables: dict[str, ast.stmt] = {}
    classes: list[ast.stmt] = []
    for module in MODULES:
        path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                imported |= {alias.name: str(node.module) for alias in node.names}
            elif isinstance(node, ast.ClassDef) and node.name in TWINS:
                classes.append(_Blocking().visit(_class(node)))
            elif isinstance(node, ast.ClassDef):
                imported[node.name] = f"tract.{module}"
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if ast.unparse(node.value).startswith("TypeVar("):
                    variables[name] = node
                else:
                    imported[name] = f"tract.{module}"
    used = {name.id for each in classes for name in ast.walk(each) if isinstance(name, ast.Name)}
    body = [variables[name] for name in sorted(used & variables.keys())] + classes
    used |= {n.id for each in body for n in ast.walk(each) if isinstance(n, ast.Name)}
    lines = ["# Written by `python -m support.stubs` (tests/support/stubs.py); do not edit.", ""]
    lines += [
        f"from {imported[n]} import {n}" for n in sorted(used & imported.keys() - {*TWINS.values()})
    ]
    return "\n".join([*lines, "", *(ast.unparse(ast.fix_missing_locations(n)) for n in body), ""])


def _class(node: ast.ClassDef) -> ast.ClassDef:
    bases = [base for base in node.bases if ast.unparse(base).startswith(KEPT_BASES)]
    members = [*_attributes(node), *_methods(node)]
    return ast.ClassDef(TWINS[node.name], bases, [], members, [])


def _attributes(node: ast.ClassDef) -> Iterator[ast.stmt]:
    """Yield the public attributes that `__init__` sets."""
    for each in ast.walk(node):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Attribute):
            if not each.target.attr.startswith("_"):
                yield ast.AnnAssign(ast.Name(each.target.attr), each.annotation, None, 1)


def _methods(node: ast.ClassDef) -> Iterator[ast.stmt]:
    overloaded: set[str] = set()
    for each in node.body:
        if not isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if "overload" in map(ast.unparse, each.decorator_list):
            overloaded.add(each.name)
        elif each.name in overloaded:
            continue  # a stub has no implementation
        is_open = each.name == "open" and node.name == "TractStore"
        is_class = "classmethod" in map(ast.unparse, each.decorator_list)
        if each.name == "sync" or (is_class and not is_open):
            continue
        if each.name in KEPT or not each.name.startswith("_"):
            yield _method(each, is_open=is_open)


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef, *, is_open: bool) -> ast.FunctionDef:
    arguments = node.args
    arguments.defaults = [ast.Constant(...) for _ in arguments.defaults]
    kept = [arg.arg != "own_loop" for arg in arguments.kwonlyargs]
    arguments.kw_defaults = [
        each and ast.Constant(...)
        for each, keep in zip(arguments.kw_defaults, kept, strict=True)
        if keep
    ]
    arguments.kwonlyargs = [each for each in arguments.kwonlyargs if each.arg != "own_loop"]
    return ast.FunctionDef(
        NAMES.get(node.name, node.name),
        arguments,
        [ELLIPSIS],
        [
            each
            for each in node.decorator_list
            if not ast.unparse(each).startswith(("with_", "at_"))
        ],
        ast.Name("Self") if is_open else node.returns,
    )


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
    for command in (["check", "--fix", "--select", "I", "-q"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, str(STUB)], check=True)
