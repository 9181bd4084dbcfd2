"""The contract tests every method and uses nothing but the repositories."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from support.repositories import Repositories
from tract.storage import repositories

KINDS = {
    "commits": repositories.CommitRepository,
    "keys": repositories.KeyRepository,
    "blobs": repositories.BlobRepository,
    "usages": repositories.UsageRepository,
    "histories": repositories.HistoryRepository,
    "comparisons": repositories.ComparisonRepository,
    "checks": repositories.VerifyRepository,
    "refs": repositories.RefRepository,
    "tags": repositories.TagRepository,
    "arrivals": repositories.ArrivalRepository,
    "spools": repositories.SpoolRepository,
    "leases": repositories.LeaseRepository,
    "attachments": repositories.AttachmentRepository,
    "copies": repositories.CopyRepository,
    "copy_targets": repositories.CopyTargetRepository,
    "erasures": repositories.ErasureRepository,
    "prunes": repositories.PruneRepository,
    "tracts": repositories.TractRepository,
    "queries": repositories.QueryRepository,
    "stores": repositories.StoreRepository,
    "searches": repositories.SearchRepository,
    "transactions": repositories.TransactionRepository,
}
METHODS = [
    (kind, method) for kind, abc in KINDS.items() for method in sorted(abc.__abstractmethods__)
]
HERE = Path(__file__)
FILES = [path for path in HERE.parent.glob("*.py") if path != HERE]
SUPPORT = HERE.parents[1] / "support" / "repositories.py"
OF_STORAGE = {"tract.storage.repositories"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> dict[str, Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {item.name: item for item in ast.walk(tree) if isinstance(item, Function)}


def called(function: Function, helpers: dict[str, Function]) -> set[tuple[str, str]]:
    """Return the repository methods that a test calls, directly or through its helpers."""
    found: set[tuple[str, str]] = set()
    for item in ast.walk(function):
        if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Attribute):
            found.add((item.value.attr, item.attr))
        elif isinstance(item, ast.Name) and item.id in helpers and item.id != function.name:
            found |= called(helpers[item.id], helpers)
    return found


@cache
def counted() -> Counter[tuple[str, str]]:
    """Count the contract's tests that call each method."""
    shared = functions(SUPPORT)
    counts: Counter[tuple[str, str]] = Counter()
    for path in FILES:
        own = functions(path)
        for name, function in own.items():
            if name.startswith("test_"):
                counts.update(called(function, shared | own))
    return counts


@pytest.mark.parametrize("method", METHODS, ids=".".join)
def test_every_method_of_every_repository_is_tested(method: tuple[str, str]) -> None:
    assert counted()[method] >= 2


@pytest.mark.parametrize("path", [*FILES, SUPPORT], ids=lambda path: path.name)
def test_the_contract_is_written_against_the_abstractions_alone(path: Path) -> None:
    """No test imports an engine or touches a private attribute."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [item for item in ast.walk(tree) if isinstance(item, ast.Import | ast.ImportFrom)]
    modules = {item.module for item in imports if isinstance(item, ast.ImportFrom) and item.module}
    modules |= {name.name for item in imports for name in item.names}
    touched = {item.attr for item in ast.walk(tree) if isinstance(item, ast.Attribute)}

    assert {name for name in modules if name.startswith("tract.storage")} <= OF_STORAGE
    assert not {name.split(".")[0] for name in modules} & {"sqlite3", "aiosqlite", "sqlalchemy"}
    assert not {name for name in touched if name[0] == "_" and name[-1] != "_"} - {"_replace"}


def test_the_repositories_under_test_are_all_there_are() -> None:
    assert {*KINDS} == {*Repositories._fields} - {"damage"}
    assert [*KINDS] == [*repositories.Repositories._fields]
    assert {*KINDS.values()} == {
        each
        for each in vars(repositories).values()
        if isinstance(each, type) and getattr(each, "__abstractmethods__", None)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_repository_is_of_one_use_case(kind: str) -> None:
    assert len(KINDS[kind].__abstractmethods__) <= 8
