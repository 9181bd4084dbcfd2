"""`TractStore`: one database with many tracts."""

from __future__ import annotations

from os import PathLike
from types import TracebackType
from typing import Self

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine

from tract.engine.compile.cache import CacheInfo
from tract.handles.recovery import LeftStream, left_streams
from tract.lifecycle import Opening
from tract.loading import load
from tract.models.config import TractConfig
from tract.models.query import ConfigField
from tract.protocols import ContextCompiler, TokenCounter
from tract.runtime import Runtime, checked_options
from tract.tract import AsyncTract

__all__ = ["TractStore"]


class TractStore:
    """One database holding many tracts, with one writer and one snapshot cache for them all.

    Get one from `TractStore.open` or `TractStore.from_engine`. It belongs to the event loop it
    was opened in.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @classmethod
    def open(
        cls,
        target: str | PathLike[str] = ":memory:",
        *,
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        compiler: ContextCompiler | None = None,
    ) -> Opening[TractStore]:
        """Open a database; `await` the result, or enter it to have it closed.

        Args:
            target: a path, `:memory:`, a `file:` URI as SQLite takes it, or a `sqlite:///` URL; a
                file is created if need be. URI and URL may have the parameters `mode` (`ro`, `rw`,
                `rwc`, `memory`), `immutable` and `vfs`. A file that may not be written is opened
                read-only, as by `mode=ro`.
            config: options of the store.
            tokenizer: counts tokens; `TiktokenCounter()` if left out.
            compiler: turns histories into contexts; the default one if left out.

        Raises:
            StorageError: the database cannot be opened, or *target* has another parameter.
            StoreReadOnlyError: it was to be opened read-only, and there is no store yet.
            ValueError: *tokenizer*, or roles in *config*, beside a compiler with its own.
        """
        options = checked_options(config, tokenizer, compiler)

        async def open_it() -> TractStore:
            return cls(await Runtime.open(target, options))

        return Opening(open_it, load)

    @classmethod
    def from_engine(
        cls,
        engine: AsyncEngine,
        *,
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        compiler: ContextCompiler | None = None,
    ) -> Opening[TractStore]:
        """Use the connections of an `sqlite+aiosqlite` engine; `await` the result, or enter it.

        One connection for writes and `TractConfig.readers` for reads are taken from the engine's
        pool until closing, and given back then. The engine itself is never disposed.

        Raises:
            StorageError: the engine is of another kind, or has not enough connections.
        """
        options = checked_options(config, tokenizer, compiler)

        async def open_it() -> TractStore:
            return cls(await Runtime.from_engine(engine, options))

        return Opening(open_it, load)

    def tract(self, tract_id: str, *, branch: str = "main") -> AsyncTract:
        """Return a handle on a branch of a tract; cheap, and without I/O until it is used.

        The branch is made by its first commit, which raises a `RefNameError` if it cannot have that
        name. So branches that older releases have stored under such names stay within reach.

        Raises:
            ValueError: a name is empty or too long; of a branch it is a `RefNameError`.
        """
        return AsyncTract(self._runtime, tract_id, branch)

    async def tract_ids(self) -> list[str]:
        """Return the ids of all tracts that have commits, sorted.

        A tract whose branches were all deleted is among them: its commits are kept.
        """
        with self._runtime.gate.call():
            return await self._runtime.storage.refs.tract_ids()

    async def recover_streams(self, *, wait: bool = False) -> list[LeftStream]:
        """Return the streams of all tracts that nobody is writing any more, oldest sign first.

        They are what could not be committed, and what killed processes left: a process gives a sign
        every 5 seconds at least, and its streams count as left after 15 without one. Commit or drop
        each.

        Args:
            wait: wait until that is known of every stream that is there now, 15 seconds or so at most.
                So a process that was restarted gets what it left when it was killed a moment ago.
        """
        return await left_streams(self._runtime, wait=wait)

    async def create_config_index(self, field: ConfigField) -> None:
        """Make queries on a field quick in every tract of this database, from now on.

        The index stays in the database and costs a little at each commit that has the field.
        Conditions `!=`, `not in` and `exists`, and on null, lists or objects, do not use it. Creating it
        reads all commits once; doing so again costs nothing.

        Args:
            field: as `query_by_config` takes it.

        Raises:
            QueryError: the field is malformed, or has keys with quotes, backslashes or control
                characters, which cannot be indexed.
        """
        with self._runtime.gate.call():
            await self._runtime.storage.commits.create_config_index(field)

    def cache_info(self) -> CacheInfo:
        """Return what the snapshot cache has done and holds."""
        return self._runtime.cache.info()

    def register_content_type(self, name: str, model: type[BaseModel]) -> None:
        """Let this store hold contents of *model*; see `AsyncTract.register_content_type`."""
        self._runtime.gate.check_open()
        self._runtime.registry.register(name, model)

    async def aclose(self) -> None:
        """Finish the calls under way, refuse new ones, and close; closing twice is fine."""
        await self._runtime.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<TractStore {self._runtime.database.path!r}>"
