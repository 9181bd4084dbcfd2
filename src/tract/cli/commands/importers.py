"""What `tract import --from` knows: one function for each framework's own store.

To add a framework, write a function that takes a target, a source and options, and name it in
`IMPORTERS`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tract
from tract.cli.running import CommandError, ExitCode, awaited

if TYPE_CHECKING:
    from tract import TractStore

__all__ = ["IMPORTERS", "imported"]

Importer = Callable[[str, str, Mapping[str, str]], Coroutine[Any, Any, Any]]
"""Takes what opens the store, the source, and the options that were given.

It imports what it needs and looks for the source before it returns what is to be awaited, so that
neither blocks an event loop. The result of that is a report.
"""


def _adk(target: str, source: str, options: Mapping[str, str]) -> Coroutine[Any, Any, Any]:
    app = options.get("app")
    if app is None:
        raise CommandError("Sessions of ADK belong to an app: give --app.", ExitCode.USAGE)
    adapter = _module("tract.integrations.adk", "adk")
    if "://" in source:
        module = _module("google.adk.sessions.database_session_service", "adk")
        sessions = module.DatabaseSessionService(source)
    else:
        module = _module("google.adk.sessions.sqlite_session_service", "adk")
        sessions = module.SqliteSessionService(_file(source))

    async def run() -> Any:
        async with adapter.TractSessionService(target) as service:
            return await adapter.import_sessions(sessions, service, app_name=app)

    return run()


def _claude_agent(target: str, source: str, _: Mapping[str, str]) -> Coroutine[Any, Any, Any]:
    adapter = _module("tract.integrations.claude_agent", "claude-agent")

    async def run() -> Any:
        async with adapter.TractSessionStore(target) as store:
            return await adapter.import_transcripts(source, store)

    return run()


def _langgraph(target: str, source: str, _: Mapping[str, str]) -> Coroutine[Any, Any, Any]:
    adapter, saver = _module("tract.integrations.langgraph", "langgraph"), _saver(source)

    async def run() -> Any:
        async with saver as checkpoints, adapter.TractSaver.open(target) as threads:
            return await adapter.import_threads(checkpoints, threads)

    return run()


def _openai_agents(target: str, source: str, _: Mapping[str, str]) -> Coroutine[Any, Any, Any]:
    adapter = _module("tract.integrations.openai_agents", "openai-agents")
    if "://" not in source:
        file = _file(source)
        return _into(target, lambda store: adapter.import_sessions(file, store))
    engine = _module("sqlalchemy.ext.asyncio", "openai-agents").create_async_engine(source)

    async def run() -> Any:
        try:
            return await _into(target, lambda store: adapter.import_sessions(engine, store))
        finally:
            await engine.dispose()

    return run()


def _codex(target: str, source: str, _: Mapping[str, str]) -> Coroutine[Any, Any, Any]:
    transcripts, path = import_module("tract.integrations.transcripts"), _present(source)
    return _into(target, lambda store: transcripts.import_codex(path, store))


def _chats(target: str, source: str, _: Mapping[str, str]) -> Coroutine[Any, Any, Any]:
    transcripts, path = import_module("tract.integrations.transcripts"), _present(source)
    return _into(target, lambda store: transcripts.import_chats(path, store))


async def _into(target: str, imports: Callable[[TractStore], Awaitable[Any]]) -> Any:
    async with tract.TractStore.open(target) as store:
        return await imports(store)


def _pydantic_ai(target: str, source: str, options: Mapping[str, str]) -> Coroutine[Any, Any, Any]:
    adapter, files = _module("tract.integrations.pydantic_ai", "pydantic-ai"), _files(source)

    async def run() -> Any:
        async with adapter.TractConversationStore.open(target) as store:
            return await adapter.import_files(files, store, scope=options.get("scope"))

    return run()


IMPORTERS: dict[str, Importer] = {
    "adk": _adk,
    "chats": _chats,
    "claude-agent": _claude_agent,
    "codex": _codex,
    "langgraph": _langgraph,
    "openai-agents": _openai_agents,
    "pydantic-ai": _pydantic_ai,
}


def imported(
    framework: str, target: str, source: str, options: Mapping[str, str]
) -> dict[str, object]:
    """Import a framework's own store, and return the fields of the report.

    Raises:
        CommandError: the framework is unknown or not installed, or there is nothing at *source*.
    """
    if framework not in IMPORTERS:
        known = ", ".join(IMPORTERS)
        raise CommandError(f"--from takes {known}, not {framework!r}.", ExitCode.USAGE)
    importer = IMPORTERS[framework]
    report = _told(source, lambda: awaited(importer(target, source, options)))
    names = getattr(report, "_fields", None) or vars(report)
    return {name: getattr(report, name) for name in names}


def _told(source: str, work: Callable[[], Any]) -> Any:
    """Return what *work* returns, with the errors of a framework or of its driver as our own."""
    try:
        return work()
    except (CommandError, OSError, ValueError, tract.TractError):
        raise
    except Exception as error:
        # The text may quote the URL of a database, and with it the password.
        first = [] if "://" in source else str(error).splitlines()[:1]
        why = ": ".join([type(error).__name__, *first])
        raise CommandError(f"The source cannot be imported: {why}") from error


def _saver(source: str) -> AbstractAsyncContextManager[Any]:
    if source.startswith(("postgres://", "postgresql://")):
        module = _module("langgraph.checkpoint.postgres.aio", "langgraph-checkpoint-postgres")
        made: AbstractAsyncContextManager[Any] = module.AsyncPostgresSaver.from_conn_string(source)
        return made
    module = _module("langgraph.checkpoint.sqlite.aio", "langgraph-checkpoint-sqlite")
    made = module.AsyncSqliteSaver.from_conn_string(_with_checkpoints(_file(source)))
    return made


def _with_checkpoints(source: str) -> str:
    """Return *source* if a saver made it: opening another file, a saver would put its tables there."""
    sqlite3 = import_module("sqlite3")
    try:
        with closing(
            sqlite3.connect(f"{Path(source).absolute().as_uri()}?mode=ro", uri=True)
        ) as db:
            found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoints'").fetchone()
    except sqlite3.Error:
        found = None
    if found is None:
        raise CommandError(f"{source!r} is not a file of LangGraph's saver for SQLite.")
    return source


def _files(source: str) -> list[str]:
    """Return the JSON files of a folder, or the one file."""
    folder = Path(source)
    return sorted(map(str, folder.glob("*.json"))) if folder.is_dir() else [_file(source)]


def _present(source: str) -> str:
    if not Path(source).exists():
        raise CommandError(f"There is nothing at {source!r}.", ExitCode.NOT_FOUND)
    return source


def _file(source: str) -> str:
    if not Path(source).is_file():
        raise CommandError(f"There is no file {source!r}.", ExitCode.NOT_FOUND)
    return source


def _module(name: str, needs: str) -> Any:
    """Return a module that a framework brings, or say what to install."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = needs if needs.startswith("langgraph-") else f"asynctract[{needs}]"
        raise CommandError(f"{error.name} is not installed: install `{package}`.") from error
