"""SQL reaches a database as a constant, with its values bound: no string is ever built into it."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

import tract
from tract import CommitOperation, NullTokenCounter, Priority, TractStore

SOURCE = Path(tract.__file__).parent
TAKES_SQL = frozenset(
    {
        *("execute", "executemany", "executescript", "exec_driver_sql"),
        *("fetch", "fetchrow", "fetchval"),  # asyncpg's
        *("text", "literal_column", "DDL", "op", "bool_op"),
        *("prefix_with", "suffix_with", "with_hint", "with_statement_hint"),
    }
)
"""Methods and functions whose first argument is SQL, or goes into it as it is."""
METHODS_ONLY = TAKES_SQL - {"text", "literal_column", "DDL"}


CONNECTIONS = {
    ("storage/sqlite/connection.py", "SqliteConnection"),
    ("storage/postgres/connections/connection.py", "PostgresConnection"),
}
"""The classes that run statements' own text."""


class Place(NamedTuple):
    file: str
    function: str
    called: str


ALLOWED = {
    Place("storage/sqlite/options.py", "options_of", "execute"): (
        "PRAGMA takes no parameters; the names stand beside it"
    ),
    Place("storage/sqlite/options.py", "set_options", "execute"): (
        "PRAGMA takes no parameters; the names are ours and the values made integers there"
    ),
    Place(
        "storage/sqlite/migrations.py", "step", "execute"
    ): "constants that stand in a row beside it",
    Place("storage/sqlite/upkeep.py", "told", "execute"): (
        "PRAGMA takes no parameters; the names stand below it"
    ),
    Place("storage/postgres/upkeep.py", "vacuum", "execute"): (
        "VACUUM takes no parameters; the tables are the schema's, quoted"
    ),
    Place("storage/sql/statements/compiled.py", "written", "text"): (
        "constants of the modules that search; a table's name has a number of ours"
    ),
    Place("storage/sql/configs/language.py", "create_index", "DDL"): (
        "DDL takes no parameters; the name is a hexadecimal digest, the path a literal of the "
        "engine's"
    ),
    Place(
        "storage/postgres/migrations.py", "_migrate", "execute"
    ): "constants that stand in a row beside it",
    Place(
        "storage/postgres/migrations.py", "_make_lock", "execute"
    ): "DDL takes no parameters; the schema's name is quoted there",
    Place(
        "storage/postgres/connections/connection.py", "flush", "execute"
    ): "a batch's text is made of constants and of the names of tables and columns",
    Place("storage/postgres/writer.py", "_run_ahead", "fetchval"): "the same",
    Place(
        "storage/postgres/connections/sharing.py", "_found", "fetch"
    ): "a constant and a compiled statement",
    Place("storage/postgres/connections/sharing.py", "find", "fetch"): "a compiled statement",
    Place("storage/postgres/writer.py", "_is_there", "fetchval"): "one of three constants",
    Place("storage/sqlite/json/config_index.py", "_extracted", "literal_column"): (
        "an index is only used where a query has its very words; SQLAlchemy quotes the path"
    ),
    Place("storage/postgres/json/config_index.py", "narrowed", "literal_column"): (
        "the same; nothing but letters, digits and backslashes is left of the path"
    ),
    Place(
        "storage/sqlite/json/config_index.py", "narrowed", "op"
    ): "an operator out of a table of ours",
    Place(
        "storage/sqlite/json/conditions.py", "_ordered", "op"
    ): "an operator that `config_condition` knows",
    Place("storage/postgres/json/conditions.py", "_ordered", "op"): "the same",
    Place("storage/sqlite/json/conditions.py", "ordered", "op"): "the same",
    Place("storage/postgres/json/conditions.py", "ordered", "op"): "the same",
    Place("integrations/openai_agents/stored.py", "_rows", "execute"): (
        "statements that SQLAlchemy writes; it quotes the names of tables, and binds values"
    ),
}


def built_sql(source: str, file: str = "storage/example.py") -> list[Place]:
    """Return where *source* gives SQL that is neither a constant nor a compiled statement's."""
    tree = ast.parse(source)
    constants = {
        target.id
        for item in tree.body
        if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant)
        for target in item.targets
        if isinstance(target, ast.Name)
    }
    return sorted(_built(tree, file, "", constants, is_statement=False))


def _built(
    node: ast.AST, file: str, function: str, constants: Set[str], *, is_statement: bool
) -> Iterator[Place]:
    for child in ast.iter_child_nodes(node):
        inner, compiled = function, is_statement
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = child.name
        elif isinstance(child, ast.ClassDef):
            compiled = (file, child.name) in CONNECTIONS
        name = _called(child)
        if name is not None and not _is_constant(child, constants, is_statement=is_statement):
            yield Place(file, function, name)
        elif isinstance(child, ast.Attribute) and _is_loose(child, node):
            yield Place(file, function, child.attr)
        yield from _built(child, file, inner, constants, is_statement=compiled)


def _called(node: ast.AST) -> str | None:
    """Return the name of what *node* calls, if that takes SQL."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute):
        return node.func.attr if node.func.attr in TAKES_SQL else None
    if isinstance(node.func, ast.Name) and node.func.id in TAKES_SQL - METHODS_ONLY:
        return node.func.id
    return None


def _is_constant(node: ast.AST, constants: Set[str], *, is_statement: bool) -> bool:
    assert isinstance(node, ast.Call)
    if not node.args:
        return False
    given = node.args[0]
    if isinstance(given, ast.Constant):
        return isinstance(given.value, str)
    if isinstance(given, ast.Name):
        return given.id in constants
    return (
        is_statement
        and isinstance(given, ast.Attribute)
        and isinstance(given.value, ast.Name)
        and (given.value.id, given.attr) == ("form", "sql")
    )


def _is_loose(node: ast.Attribute, parent: ast.AST) -> bool:
    """Tell whether a method that takes SQL is taken down, to be called elsewhere."""
    called = isinstance(parent, ast.Call) and parent.func is node
    return node.attr in METHODS_ONLY and isinstance(node.ctx, ast.Load) and not called


@pytest.mark.unmeasured
def test_no_sql_is_built_of_strings() -> None:
    found = {
        place
        for path in SOURCE.rglob("*.py")
        for place in built_sql(path.read_text("utf-8"), path.relative_to(SOURCE).as_posix())
    }

    assert found - ALLOWED.keys() == set()
    assert ALLOWED.keys() - found == set(), "allowed, and there no more"


@pytest.mark.parametrize(
    "planted",
    [
        'connection.execute(f"SELECT {name}")',
        'connection.execute("SELECT %s" % name)',
        'connection.execute("SELECT " + name)',
        'connection.execute("SELECT {}".format(name))',
        'connection.execute(" ".join(parts))',
        "connection.execute(sql)",
        "connection.execute(statement.sql)",
        "connection.execute(self.sql)",
        "connection.execute(sql=name)",
        "connection.cursor().executemany(name, rows)",
        "connection.executescript(name)",
        "run = connection.execute",
        "partial(connection.execute, name)()",
        'select(text(f"a = {name}"))',
        'sqlalchemy.text("a = " + name)',
        "literal_column(name)",
        "column.op(name)(1)",
        "query.prefix_with(name)",
    ],
)
def test_a_string_that_is_planted_is_found(planted: str) -> None:
    source = f"class Other:\n    def method(self):\n        {planted}\n"

    assert [place.function for place in built_sql(source)] == ["method"]


@pytest.mark.parametrize(
    "harmless",
    [
        'connection.execute("SELECT ?", (name,))',
        'connection.executemany("INSERT INTO a VALUES (?)", rows)',
        'select(text("a IS NOT NULL"))',
        'column.op("<")(name)',
        "json.loads(text)",
        "statement.all(connection, name=name)",
    ],
)
def test_what_binds_its_values_is_let_through(harmless: str) -> None:
    assert built_sql(f"def function():\n    {harmless}\n") == []


class Recording(sqlite3.Connection):
    """A connection that notes the SQL that it is given, which has no bound values in it."""

    said: Sequence[str] = ()

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        Recording.said = [*Recording.said, sql]
        return super().execute(sql, *arguments)


async def test_nothing_that_a_caller_gives_stands_in_the_sql(db_path: Path) -> None:
    """Every call once, with the same word wherever a caller may put one."""
    word = "planted');--"
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{db_path}", connect_args={"factory": Recording}
    )
    Recording.said = []
    async with TractStore.from_engine(engine, tokenizer=NullTokenCounter()) as store:
        handle = store.tract(word, branch=word)
        options: dict[str, Any] = {"message": word, "metadata": {word: word}}
        info = await handle.user(word, name=word, generation_config={word: word}, **options)
        await handle.user(
            word, operation=CommitOperation.EDIT, edit_target=info.commit_hash, **options
        )
        await handle.annotate(info.commit_hash, Priority.SKIP, reason=word)
        await handle.record_usage({"prompt_tokens": 1, "completion_tokens": 1, word: word})
        for operator in ("=", "!=", "<", ">=", "in", "not in"):
            for value in (word, [word, 5], {word: [word]}):
                if operator in ("in", "not in") and not isinstance(value, list):
                    continue
                if operator in ("<", ">=") and value is not word:
                    continue
                await handle.query_by_config((word,), operator, value)
                await handle.query_by_config((word, 'quoted"', word), operator, value)
        found = [await handle.get_commit(word), *await handle.log(), await handle.compile()]
        report = await handle.verify()
    await engine.dispose()

    assert len(found) == 5
    assert report.faults == ()
    assert len(Recording.said) > 50
    assert [sql for sql in Recording.said if "planted" in sql] == []
