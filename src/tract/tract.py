"""`AsyncTract`: one branch of one tract, and every call on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, TypeVar, Unpack, overload
from uuid import uuid4

from pydantic import BaseModel

from tract.engine.commit.drafts import Given
from tract.engine.commit.infos import annotation_of, commit_infos, microseconds
from tract.engine.commit.usage import keep_usage, parse_usage
from tract.engine.compile.reading import ViewOptions
from tract.engine.threads import HEAVY
from tract.engine.verifying import Verifier
from tract.exceptions import ContentValidationError
from tract.handles.arguments import (
    check_time,
    checked_hash,
    checked_head,
    checked_limit,
    checked_name,
    checked_order,
    checked_place,
    checked_target,
)
from tract.handles.batch import Batch
from tract.handles.branches import BranchCalls
from tract.handles.streaming import StreamCalls
from tract.lifecycle import Opening
from tract.loading import load
from tract.models.annotations import Priority, PriorityAnnotation
from tract.models.commit import CommitInfo, CommitOperation, VerifyReport
from tract.models.conditions import checked_conditions
from tract.models.config import TractConfig
from tract.models.query import ConfigCondition, ConfigField
from tract.protocols import (
    UNSET,
    CompiledContext,
    ContextCompiler,
    TokenCounter,
    TokenUsage,
    UnsetType,
)
from tract.runtime import Runtime, checked_options
from tract.storage.repositories import Position

__all__ = ["AsyncTract", "CommitOptions"]

T = TypeVar("T")
C = TypeVar("C", bound=BaseModel)


class CommitOptions(TypedDict, total=False):
    """The keywords of `AsyncTract.commit`, which `system`, `user` and `assistant` take too."""

    operation: CommitOperation | Literal["append", "edit"]
    message: str | None
    edit_target: str | None
    metadata: Mapping[str, Any] | None
    generation_config: Mapping[str, Any] | None
    redact: bool
    expected_head: str | UnsetType | None


class AsyncTract(BranchCalls, StreamCalls):
    """One agent's or one project's versioned context: a handle on one branch of a tract.

    Get one from `AsyncTract.open` or from `TractStore.tract`. It belongs to the event loop it was
    opened in and may be used by any number of tasks there. Every call may raise a
    `StorageError`; a cancelled call has done all of its work or none.

    Where a call takes the hash of a commit, its first digits will do (4 or more), and so will the
    name of a tag, or of a branch for its head. Looked for are, in this order, a full hash, a tag, a
    branch, and a short hash; one of several commits raises an `AmbiguousHashError`.
    """

    @classmethod
    def open(
        cls,
        target: str | PathLike[str] = ":memory:",
        *,
        tract_id: str | None = None,
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        compiler: ContextCompiler | None = None,
    ) -> Opening[AsyncTract]:
        """Open a database for one tract; `await` the result, or enter it to have it closed.

        Args:
            target: a path, `:memory:`, a `file:` URI as SQLite takes it, or a `sqlite:///` URL; a
                file is created if need be. URI and URL may have the parameters `mode` (`ro`, `rw`,
                `rwc`, `memory`), `immutable` and `vfs`. A file that may not be written is opened
                read-only, as by `mode=ro`.
            tract_id: the tract; a new one with a generated id if left out.
            config: options of the store.
            tokenizer: counts tokens; `TiktokenCounter()` if left out.
            compiler: turns histories into contexts; the default one if left out.

        Raises:
            StorageError: the database cannot be opened, or *target* has another parameter.
            StoreReadOnlyError: it was to be opened read-only, and there is no store yet.
            ValueError: *tokenizer*, or roles in *config*, beside a compiler with its own.
        """
        options = checked_options(config, tokenizer, compiler)
        chosen = uuid4().hex if tract_id is None else tract_id
        checked_name("tract_id", chosen)

        async def open_it() -> AsyncTract:
            return cls(await Runtime.open(target, options), chosen, owns_runtime=True)

        return Opening(open_it, load)

    async def commit(
        self,
        content: BaseModel | Mapping[str, Any],
        *,
        operation: CommitOperation | Literal["append", "edit"] = CommitOperation.APPEND,
        message: str | None = None,
        edit_target: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        generation_config: Mapping[str, Any] | None = None,
        redact: bool = True,
        expected_head: str | UnsetType | None = UNSET,
    ) -> CommitInfo:
        """Commit *content* on the branch's head. When this returns, the commit is stored.

        Args:
            content: a content model, or a dict with `content_type`.
            operation: APPEND adds an entry, EDIT replaces the content of *edit_target*.
            message: a note on the commit.
            edit_target: the hash of the entry that an EDIT changes.
            metadata: any JSON object; it is in no hash.
            generation_config: the exact parameters of the model's call, any JSON object. An EDIT
                without one inherits its target's.
            redact: False stores config and metadata as they are, the strings that
                `TractConfig.redact_keys` names included.
            expected_head: the head that the branch must have (None: no commit).

        Raises:
            ContentValidationError: content, message, metadata or config cannot be stored.
            EditTargetError: *edit_target* is missing, or is no entry of this branch's history.
            HeadMovedError: the head is not *expected_head*.
            BudgetExceededError: the context would exceed a budget whose action is `reject`.
            TokenizerUnavailableError: the vocabulary of the tokenizer cannot be had.
        """
        if edit_target is not None:
            edit_target = checked_target(edit_target)
        expected_head = checked_head("expected_head", expected_head)
        given = Given(content, operation, edit_target, message, metadata, generation_config, redact)
        with self._call():
            draft = await self._runtime.drafts.make(given)
            records = await self._runtime.writer.write(self._branch, [draft], expected_head)
            (info,) = await commit_infos(self._runtime.threads, records)
        return info

    async def system(self, text: str, **options: Unpack[CommitOptions]) -> CommitInfo:
        """Commit an instruction; see `commit` for the keywords and errors."""
        content = {"content_type": "instruction", "text": text}
        return await self.commit(content, **options)

    async def user(
        self, text: str, *, name: str | None = None, **options: Unpack[CommitOptions]
    ) -> CommitInfo:
        """Commit what a user says; see `commit` for the keywords and errors."""
        return await self.commit(_said("user", text, name), **options)

    async def assistant(
        self, text: str, *, name: str | None = None, **options: Unpack[CommitOptions]
    ) -> CommitInfo:
        """Commit what an assistant says; see `commit` for the keywords and errors."""
        return await self.commit(_said("assistant", text, name), **options)

    def batch(self, *, expected_head: str | UnsetType | None = UNSET) -> Batch:
        """Return a batch: `async with tract.batch() as batch:` lands its commits together.

        Leaving the block may raise what `commit` raises; then nothing of it was written. Nothing is
        written either if the block itself raises.
        """
        self._check_open()
        return Batch(self._runtime, self._branch, checked_head("expected_head", expected_head))

    async def compile(
        self,
        *,
        at_commit: str | UnsetType | None = UNSET,
        at_time: datetime | None = None,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = True,
    ) -> CompiledContext:
        """Return the context that a model would get.

        Args:
            at_commit: compile this commit of the tract, not the head; None is the moment before
                the first commit, whose context is empty.
            at_time: compile the newest commit of the branch at or before this aware time. Back of
                a merge that is one of this side: what it brought was not on the branch yet. Back
                of a reset it is one of the history that the branch has now; `reflog()` tells the
                other.
            include_edit_annotations: put ` [edited]` behind every edited text.
            aggregate_same_role: join consecutive messages of a role with a blank line.

        Raises:
            CommitNotFoundError: the tract has no commit *at_commit*.
            ContentValidationError: the history holds a custom content type that is not registered.
            ValueError: both *at_commit* and *at_time*, or a naive *at_time*.
        """
        if at_commit is not UNSET and at_time is not None:
            raise ValueError("give at_commit or at_time, not both")
        if at_time is not None:
            check_time(at_time)
        at_commit = checked_place(at_commit)
        position = Position(at_commit, None if at_time is None else microseconds(at_time))
        options = ViewOptions(include_edit_annotations, aggregate_same_role)
        with self._call():
            return await self._runtime.reader.compile(self._branch, position, options)

    async def head(self) -> str | None:
        """Return the hash of the newest commit, or None before the first, as it is now."""
        with self._call():
            return await self._runtime.storage.refs.head(self._branch)

    async def get_commit(self, commit_hash: str) -> CommitInfo | None:
        """Return a commit of this tract, or None if it has none of that hash or name.

        Raises:
            AmbiguousHashError: it is a short hash of several commits.
        """
        with self._call():
            record = await self._runtime.storage.commits.get(self.tract_id, commit_hash)
            found = await commit_infos(self._runtime.threads, [record] if record else [])
        return found[0] if found else None

    @overload
    async def get_content(self, commit_hash: str) -> BaseModel: ...
    @overload
    async def get_content(self, commit_hash: str, *, as_: type[C]) -> C: ...
    async def get_content(self, commit_hash: str, *, as_: type[BaseModel] = BaseModel) -> BaseModel:
        """Return the content model of a commit.

        Args:
            commit_hash: the commit.
            as_: the model that the content is known to be, such as `DialogueContent`. A type
                checker then knows its fields, and another content raises.

        Raises:
            CommitNotFoundError: the tract has no such commit.
            BlobNotFoundError: the store has lost its content.
            ContentValidationError: its custom content type is not registered with this store, or
                it is not an *as_*.
        """
        commit_hash = checked_hash(commit_hash)
        with self._call():
            record, data = await self._runtime.storage.blobs.get(self.tract_id, commit_hash)
            load = self._runtime.registry.load
            content = await self._quickly(load, len(data), record.content_type, data)
        if not isinstance(content, as_):
            raise ContentValidationError(
                f"the commit holds a {type(content).__name__}, not a {as_.__name__}. Ask for what "
                "it is, or leave `as_` out and look",
                "as_",
            )
        return content

    async def log(
        self,
        limit: int | None = 10,
        *,
        before: str | UnsetType | None = UNSET,
        order: Literal["time", "context"] = "time",
    ) -> list[CommitInfo]:
        """Return the last commits of the branch, the last one first, those that merges brought included.

        Args:
            limit: how many at most; None for all.
            before: go on behind this commit, for instance the last of the page before. Of a commit
                that is not in the branch's history, its own ancestors follow; before None, the
                moment before the first commit, there is nothing.
            order: `time`, when they were made; `context`, how they are folded into the context:
                what a merge brought stands right below the merge, whenever it was made.

        Raises:
            CommitNotFoundError: the tract has no commit *before*.
            ValueError: *limit* is negative, or *order* is neither.
        """
        limit = checked_limit(limit)
        in_context = checked_order(order) == "context"
        before = checked_place(before)
        with self._call():
            records = await self._runtime.storage.histories.log(
                self._branch, limit=limit, before=before, in_context=in_context
            )
            return await commit_infos(self._runtime.threads, records)

    async def annotate(
        self,
        target_hash: str,
        priority: Priority | Literal["skip", "normal", "pinned"],
        *,
        reason: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> PriorityAnnotation:
        """Set the priority of an entry from now on, by a commit of operation ANNOTATE.

        Args:
            target_hash: the entry.
            priority: what it has from now on.
            reason: why, for those who look later.
            expected_head: the head that the branch must have (None: no commit).

        Raises:
            CommitNotFoundError: the tract has no commit *target_hash*.
            HeadMovedError: the head is not *expected_head*.
            EditTargetError: it is no entry, or not in this branch's history.
            ContentValidationError: *priority* or *reason* is none.
            BudgetExceededError: showing the entry again would exceed the budget.
        """
        target_hash = checked_hash(target_hash)
        expected = checked_head("expected_head", expected_head)
        with self._call():
            draft = await self._runtime.drafts.annotate(target_hash, priority, reason)
            records = await self._runtime.writer.write(self._branch, [draft], expected)
            return await self._quickly(annotation_of, len(draft.data), records[0], draft.data)

    async def get_annotations(self, target_hash: str) -> list[PriorityAnnotation]:
        """Return every priority that was set on an entry, oldest first; empty if none ever was.

        Raises:
            CommitNotFoundError: the tract has no commit *target_hash*.
        """
        target_hash = checked_hash(target_hash)
        with self._call():
            stored = await self._runtime.storage.histories.annotations(self._branch, target_hash)
            return [annotation_of(item.record, item.data) for item in stored]

    async def query_by_config(
        self, field: ConfigField, operator: str, value: Any, *, limit: int | None = None
    ) -> list[CommitInfo]:
        """Return this tract's commits whose generation config meets a condition, oldest first.

        It is `query` with one condition, whose parts may be data.

        Args:
            field: a dotted path (`"response_format.type"`), or a tuple of exact keys and list
                indexes (`("logit_bias", "50256")`).
            operator: `=`, `!=`, `>`, `<`, `>=`, `<=`, `in` or `not in`.
            value: what to compare with; a sequence for `in` and `not in`. Only values of one JSON
                type are equal or ordered. `!=` and `not in` match where the field is there and
                differs, type included.
            limit: how many at most; None for all.

        Raises:
            QueryError: operator, field or value cannot be used.
            ValueError: *limit* is negative.
        """
        limit = checked_limit(limit)
        with self._call():
            records = await self._runtime.storage.commits.get_by_config(
                self.tract_id, field, operator, value, limit=limit
            )
            return await commit_infos(self._runtime.threads, records)

    async def query(
        self, *conditions: ConfigCondition, branch_only: bool = False, limit: int | None = None
    ) -> list[CommitInfo]:
        """Return the commits whose generation config meets all *conditions*, oldest first.

        Args:
            *conditions: such as `config("temperature") > 0.5`; without any, all commits are found.
            branch_only: search this branch's history; else all branches of the tract.
            limit: how many at most; None for all.

        Raises:
            QueryError: something else than a condition is among them, or more than 200 are.
            ValueError: *limit* is negative.
        """
        checked = checked_conditions(conditions)
        limit = checked_limit(limit)
        with self._call():
            records = await self._runtime.storage.commits.query(
                self._branch, checked, branch_only=branch_only, limit=limit
            )
            return await commit_infos(self._runtime.threads, records)

    async def record_usage(
        self,
        usage: TokenUsage | Mapping[str, Any] | BaseModel | None,
        *,
        head_hash: str | UnsetType | None = UNSET,
        redact: bool = True,
    ) -> CompiledContext:
        """Keep what an API reported for this head; return the context with that token count.

        Args:
            usage: a `TokenUsage`, or an OpenAI or Anthropic response's `usage`, as object or dict.
                None, as a response without a report has it, keeps nothing: the context comes back
                as it was.
            head_hash: the head that was compiled for the call; checked if given (None: the branch
                was empty, and there is nothing that usage could belong to).
            redact: False keeps the report as it is; see `commit`.

        Raises:
            HeadMovedError: the head is not *head_hash*.
            ContentValidationError: *head_hash* is no string; *usage* has an unknown shape, or a count that is none.
            TractError: the branch has no commit yet.
        """
        expected = checked_head("head_hash", head_hash)
        if usage is None:
            return await self.compile(at_commit=head_hash)
        counts, raw_json = parse_usage(usage, None if redact is False else self._runtime.redactor)
        runtime = self._runtime
        with self._call():
            found = await keep_usage(
                runtime.reader, runtime.storage.usages, self._branch, counts, raw_json, expected
            )
            return await runtime.reader.view(found, ViewOptions())

    def register_content_type(self, name: str, model: type[BaseModel]) -> None:
        """Let this store hold contents of *model* under the content type *name*.

        The model's method `to_text()`, if it has one, gives the text that a model sees; else it is
        the field `text` or `content`, else the JSON of all fields. Register after every opening.

        Raises:
            ValueError: the name is taken, or *model* is no pydantic model class.
        """
        self._check_open()
        self._runtime.registry.register(name, model)

    async def verify(self) -> VerifyReport:
        """Hash everything anew that this tract's branches reach; report every fault found.

        Tokens are counted anew as well. The text of messages, metadata and configs is in no hash:
        of these, a fault is only what cannot be read.
        """
        with self._call():
            heads = await self._runtime.storage.checks.heads(self.tract_id)
            verifier = Verifier(self._runtime.threads, heads, self._runtime.drafts.recount)
            async for batch in self._runtime.storage.checks.stored(self.tract_id, heads):
                await verifier.check(batch)
            verifier.misplaced(await self._runtime.storage.checks.misplaced(self.tract_id))
        return verifier.report()

    async def aclose(self) -> None:
        """Finish the calls under way, refuse new ones, and close the store.

        A handle that a `TractStore` gave out is closed alone, and leaves the store open.
        """
        if self._owns_runtime:
            await self._runtime.aclose()
        self._closed = True
        self._runtime.watching.recheck(self._branch)

    async def _quickly(self, read: Callable[..., T], size: int, *arguments: Any) -> T:
        """Return what *read* gives, on a thread where *size*, in bytes, makes that long work."""
        if size <= HEAVY:
            return read(*arguments)
        return await self._runtime.threads.run(read, *arguments)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _said(role: Literal["user", "assistant"], text: str, name: str | None) -> dict[str, Any]:
    return {"content_type": "dialogue", "role": role, "text": text, "name": name}
