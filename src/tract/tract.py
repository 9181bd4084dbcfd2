"""`AsyncTract`: one branch of one tract, and every call on it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from os import PathLike
from re import Pattern
from typing import Any, Literal, Self, TypedDict, TypeVar, Unpack, cast, overload
from uuid import uuid4

from pydantic import BaseModel

from tract.engine.branches.merging import Asked
from tract.engine.branches.resolving import checked_way
from tract.engine.commit.drafts import Given
from tract.engine.commit.keys import checked_key, checked_on_key
from tract.engine.compaction.compacting import Demands
from tract.engine.compaction.planning import PLACEHOLDER
from tract.engine.compile.reading import ViewOptions
from tract.engine.streams.recording import StreamOptions
from tract.engine.watching.watch import CommitsOnce, Everything, Watch
from tract.exceptions import ContentValidationError, StoreClosedError, TractError, shown
from tract.formats.items import plain_items
from tract.formats.registry import FORMATS, format_of
from tract.formats.telling import Reader, api_of
from tract.handles.abroad import with_caller
from tract.handles.arguments import (
    checked_aims,
    checked_boundary,
    checked_commit,
    checked_count,
    checked_demands,
    checked_end,
    checked_hash,
    checked_head,
    checked_limit,
    checked_name,
    checked_new_name,
    checked_order,
    checked_plan,
    checked_position,
    checked_ref,
    checked_several,
    checked_summariser,
    checked_target,
    checked_text,
    checked_title,
    said,
)
from tract.handles.batch import Batch
from tract.handles.blocking import SyncTract
from tract.handles.staging import Staging
from tract.handles.stream import OnInterrupt, Recording, RecordOptions, Stream
from tract.handles.twins import pair, twin
from tract.loading import load
from tract.models.annotations import Priority, PriorityAnnotation
from tract.models.commit import CommitInfo, EntryInfo, VerifyReport
from tract.models.compaction import (
    CompactionInfo,
    CompactionPlan,
    CompactionPolicy,
    CompactionResult,
    Strategy,
    Summariser,
)
from tract.models.config import ContentType, TractConfig
from tract.models.content import Attachment
from tract.models.erasure import ErasureReceipt, PruneProgress, PruneReceipt
from tract.models.merging import MergeResult, OnConflict, Origin, Resolution
from tract.models.operations import CommitOperation, OnKey
from tract.models.queries.conditions import checked_conditions
from tract.models.queries.query import Condition, ConfigField
from tract.models.queries.searching import SearchHit, checked_cursor, search_terms
from tract.models.refs import (
    BranchComparison,
    BranchInfo,
    BranchReset,
    BranchStats,
    ContextDiff,
    ReflogEntry,
    TagInfo,
)
from tract.models.store import TractInfo
from tract.protocols import (
    UNSET,
    CompiledContext,
    ContextCompiler,
    Instrumentation,
    Message,
    TokenCounter,
    TokenUsage,
    UnsetType,
)
from tract.running.lifecycle import Opening
from tract.runtime import Runtime, checked_options
from tract.storage.repositories import BranchName, ExistingBranch, Position

__all__ = ["AsyncTract", "CommitOptions"]

T = TypeVar("T")
C = TypeVar("C", bound=BaseModel)

_HEAD = Position()


class CommitOptions(TypedDict, total=False):
    """The keywords of `AsyncTract.commit` that `system`, `user`, `assistant` and `tools` take, too."""

    operation: CommitOperation | Literal["append", "edit"]
    message: str | None
    edit_target: str | None
    metadata: Mapping[str, Any] | None
    generation_config: Mapping[str, Any] | None
    redact: bool | None
    key: str | None
    on_key: OnKey
    expected_head: str | UnsetType | None


class AsyncTract:
    """One agent's or one project's versioned context: a handle on one branch of a tract.

    Get one from `AsyncTract.open` or from `TractStore.tract`. It belongs to the event loop it was
    opened in; any number of tasks on that loop may use it. Every call may raise a `StorageError`.
    A cancelled call has done all of its work or none.

    Every argument that takes a commit hash also accepts its first digits (4 or more), the name of
    a tag, or the name of a branch, which stands for its head. A name is resolved as a full hash, a
    tag, a branch and a short hash, in this order. A short hash that fits several commits raises an
    `AmbiguousHashError`.
    """

    def __init__(
        self,
        runtime: Runtime,
        tract_id: str,
        branch: str = "main",
        *,
        owns_runtime: bool = False,
        must_exist: bool = False,
    ) -> None:
        self._runtime = runtime
        kind = ExistingBranch if must_exist else BranchName
        self._branch: BranchName = kind(checked_name("tract_id", tract_id), checked_ref(branch))
        self._owns_runtime = owns_runtime
        self._closed = False

    @classmethod
    def open(
        cls,
        target: str | PathLike[str] = ":memory:",
        *,
        tract_id: str | None = None,
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        compiler: ContextCompiler | None = None,
        content_types: Mapping[str, type[BaseModel] | ContentType] | None = None,
        telemetry: Instrumentation | None = None,
    ) -> Opening[AsyncTract]:
        """Open a database for one tract.

        `await` the result, or use it in `async with`, which closes the store at the end.

        Args:
            target: a path, `:memory:`, a SQLite `file:` URI, or a `sqlite:///` URL. A missing file
                is created. URIs and URLs may have the parameters `mode` (`ro`, `rw`, `rwc`,
                `memory`), `immutable` and `vfs`. A file without write permission is opened
                read-only, as with `mode=ro`. Or a `postgresql://` URL, which may have the
                parameters `schema`, `mode` (`ro`, `rw`) and `pooler` (`transaction`), and the
                driver's own.
            tract_id: the tract; by default a new one with a generated id.
            config: options of the store.
            tokenizer: counts tokens; by default `TiktokenCounter()`.
            compiler: turns histories into contexts; by default a `DefaultContextCompiler`.
            content_types: types of your own by name, each a pydantic model or a `ContentType`; see
                `register_content_type`.
            telemetry: a `tract.telemetry.Telemetry`, if OpenTelemetry should know of the calls.

        Raises:
            StorageError: the database cannot be opened, or *target* has an unknown parameter.
            StoreReadOnlyError: *target* is read-only and has no store yet.
            ValueError: *tokenizer*, or roles in *config*, were given with a compiler that has its
                own, or a content type cannot be registered.
        """
        options = checked_options(config, tokenizer, compiler, content_types, telemetry)
        chosen = uuid4().hex if tract_id is None else tract_id
        checked_name("tract_id", chosen)

        async def open_it() -> AsyncTract:
            return cls(await Runtime.open(target, options), chosen, owns_runtime=True)

        return Opening(open_it, load)

    @property
    def tract_id(self) -> str:
        """The tract's id."""
        return self._branch.tract_id

    @property
    def branch(self) -> str:
        """The name of the branch that this handle commits to."""
        return self._branch.branch

    @property
    @with_caller
    def sync(self) -> SyncTract:
        """This handle with blocking calls, for threads that have no running event loop.

        Raises:
            TractError: its store was opened without `own_loop=True`.
        """
        return cast(SyncTract, twin(self))

    async def commit(
        self,
        content: BaseModel | Mapping[str, Any],
        *,
        role: str | None = None,
        operation: CommitOperation | Literal["append", "edit"] = CommitOperation.APPEND,
        message: str | None = None,
        edit_target: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        generation_config: Mapping[str, Any] | None = None,
        redact: bool | None = None,
        key: str | None = None,
        on_key: OnKey = "error",
        expected_head: str | UnsetType | None = UNSET,
    ) -> CommitInfo:
        """Commit *content* on top of the branch's head. When this returns, the commit is stored.

        Args:
            content: a content model, or a dict with `content_type`.
            role: which role shows it, whatever the content says. What a model sees must be covered
                by hashes, so this is stored in the content, as its own `role`: artifacts, dialogue,
                free-form contents and messages of parts have one.
            operation: APPEND adds an entry, EDIT replaces the content of *edit_target*. A content
                that is state gets the operation STATE.
            message: a note on the commit.
            edit_target: the hash of the entry that an EDIT changes.
            metadata: any JSON object; it is not part of any hash.
            generation_config: the exact parameters of the model's call, any JSON object. An EDIT
                without one inherits its target's.
            redact: False stores config and metadata unchanged, including the strings that
                `TractConfig.redact_keys` would replace. By default the content's type decides:
                those of state are stored unchanged.
            key: your own name for the commit, unique in the tract: any text of up to 1,024
                characters; see `get_by_keys`.
            on_key: what to do if a commit has that key: raise an `error`, `keep` that commit,
                whatever it holds, and return it, or `replace` it, so that the key names the new
                one. `keep` writes nothing, and does not look at *expected_head* then, so a call
                can be repeated until it succeeds.
            expected_head: the head that the branch must have (None: no commit).

        Raises:
            ContentValidationError: content, message, metadata, config or key cannot be stored; the
                content names an attachment that this tract was not given, or has no *role*.
            KeyExistsError: a commit has that *key*; nothing was written.
            EditTargetError: *edit_target* is missing, or is not an entry of this branch's history.
            HeadMovedError: the head is not *expected_head*.
            BudgetExceededError: the context would exceed a budget whose action is `reject` or `compact`.
            TokenizerUnavailableError: the vocabulary of the tokenizer is not available.
        """
        if edit_target is not None:
            edit_target = checked_target(edit_target)
        expected_head = checked_head(expected_head)
        given = Given(
            content,
            operation,
            edit_target,
            message,
            metadata,
            generation_config,
            redact,
            role=role,
            key=key,
            on_key=on_key,
        )
        with self._call():
            commits = self._runtime.commits
            [info] = await commits.land(self._branch, [commits.stage(given)], expected_head)
            return info

    async def state(
        self,
        payload: Any,
        *,
        key: str | None = None,
        on_key: OnKey = "error",
        message: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        generation_config: Mapping[str, Any] | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> CommitInfo:
        """Commit a program's state: a `StateContent`, kept in the history and never shown.

        It is logged, watched, hashed and merged like any commit, but is not an entry: it counts no
        tokens, and nothing can edit or annotate it. See `commit` for the keywords and errors.

            await tract.state({"step": 3, "pickled": data}, key="checkpoint/3")

        *payload* is any JSON value, and may hold `bytes`, which are stored as attachments.
        """
        content = {"content_type": "state", "payload": payload}
        return await self.commit(
            content,
            message=message,
            metadata=metadata,
            generation_config=generation_config,
            key=key,
            on_key=on_key,
            expected_head=expected_head,
        )

    async def system(self, text: str, **options: Unpack[CommitOptions]) -> CommitInfo:
        """Commit an instruction; see `commit` for the keywords and errors."""
        content = {"content_type": "instruction", "text": text}
        return await self.commit(content, **options)

    async def user(
        self, text: str, *, name: str | None = None, **options: Unpack[CommitOptions]
    ) -> CommitInfo:
        """Commit a user's message; see `commit` for the keywords and errors."""
        return await self.commit(said("user", text, name), **options)

    async def assistant(
        self, text: str, *, name: str | None = None, **options: Unpack[CommitOptions]
    ) -> CommitInfo:
        """Commit an assistant's message; see `commit` for the keywords and errors."""
        return await self.commit(said("assistant", text, name), **options)

    async def tools(
        self,
        tools: Iterable[Mapping[str, Any] | BaseModel],
        *,
        api: str | None = None,
        **options: Unpack[CommitOptions],
    ) -> CommitInfo:
        """Set the tools that the model has from here on, in place of those of before.

        They are part of the history like any other commit: `compile(at_commit=…)` has the tools of
        that moment in `context.tools`, and `context.request(…)` sends them, in each API's own form.

        Args:
            tools: the definitions, as an API takes them; an empty list takes all tools away.
            api: the API whose form they have; by default their shape tells.
            options: as for `commit`.

        Raises:
            ContentValidationError: a definition is not a JSON object, or the shape does not tell.
            TractError: what `commit` raises.
        """
        given = plain_items(tools, "tools", iterable=True)
        chosen = api or (api_of(given) if given else next(iter(FORMATS), "openai.chat"))
        format_of(chosen)
        content = {"content_type": "tools", "api": chosen, "tools": given}
        return await self.commit(content, **options)

    async def attach(self, data: bytes, media_type: str) -> Attachment:
        """Give this tract bytes that its contents may refer to; return what names them.

            picture = await tract.attach(png, "image/png")
            await tract.commit(MessageContent(role="user", parts=(picture.part(),)))

        Bytes are stored once, whichever tracts are given them and however often. Commits take
        bytes directly, too, as `MediaPart.data` or as base64 in an API's item.

        Args:
            data: the bytes, at least one and at most `TractConfig.max_content_bytes`.
            media_type: such as `image/png`; kept as it is given, whatever the bytes are.

        Raises:
            ContentValidationError: *data* is not bytes, empty or too long, or *media_type* is not
                a string.
        """
        with self._call():
            return await self._runtime.attachments.attach(self.tract_id, data, media_type)

    async def attachment(self, sha256: str) -> bytes:
        """Return the bytes that this tract was given, by `attach` or with a commit.

        Raises:
            AttachmentNotFoundError: the tract has no such attachment.
        """
        with self._call():
            return await self._runtime.attachments.attachment(self.tract_id, sha256)

    async def settle(
        self,
        *,
        reason: str = "The call was not completed.",
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitInfo]:
        """Answer every open tool call of this branch with an error result; return the commits.

        After a crash or a cancellation, a tool call may never get its result. This says so to the
        model, for good, in one transaction. Without open calls, nothing is written. A result that
        is committed meanwhile counts. To decide for a single request only, see
        `CompiledContext.request`.

        Args:
            reason: what the model is told.
            expected_head: the head that the branch must have (None: no commit).

        Raises:
            ContentValidationError: *reason* cannot be stored.
            HeadMovedError: the head is not *expected_head*.
        """
        text, expected = checked_text("reason", reason), checked_head(expected_head)
        with self._call():
            return await self._runtime.settler.settle(self._branch, text, expected)

    def batch(self, *, expected_head: str | UnsetType | None = UNSET) -> Batch:
        """Return a batch: `async with tract.batch() as batch:` writes its commits together.

        It is a transaction on this branch alone, see `TractStore.transaction`. Leaving the block may raise what `commit` raises. In that case, or if the block itself
        raises, nothing is written.
        """
        self._check_open()
        runtime, expected = self._runtime, checked_head(expected_head)
        staging = Staging(
            runtime.transactions, runtime.usage, runtime.tracts, runtime.gate, "batch"
        )
        return Batch(staging, self._branch, expected)

    async def edit_entries(
        self,
        *,
        skip: Iterable[str] = (),
        append: Iterable[BaseModel | Mapping[str, Any]] = (),
        reason: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitInfo]:
        """Leave entries out of the context and append contents, in one transaction.

        This pops, clears and rewinds a conversation. Every entry that is skipped gets an annotation
        of its own, so a single one can be brought back.

            last = (await tract.entries(newest=True, limit=1))[0]
            await tract.edit_entries(skip=[last.commit_hash], expected_head=await tract.head())

        Args:
            skip: entries, which get the priority `SKIP`; one that is named twice is skipped once.
            append: contents, as for `commit`, which follow.
            reason: a note on why, which `get_annotations` returns.
            expected_head: the head that the branch must have (None: no commit). With it, none was
                appended since the entries were listed.

        Returns:
            The commits, annotations first. Without anything to do, nothing is written.

        Raises:
            ContentValidationError: a content or *reason* cannot be stored, or *skip* is a string.
            CommitNotFoundError, EditTargetError, HeadMovedError, BudgetExceededError: as for
                `commit` and `annotate`.
        """
        if isinstance(skip, str):
            raise ContentValidationError("give a list of hashes", "skip")
        if isinstance(append, (str, Mapping, BaseModel)):
            raise ContentValidationError("give a list of contents", "append")
        named = dict.fromkeys(checked_hash(each) for each in skip)
        expected, commits = checked_head(expected_head), self._runtime.commits
        staged = [commits.stage_annotation(each, Priority.SKIP, reason) for each in named]
        staged += [commits.stage(Given(each)) for each in append]
        with self._call():
            return await commits.land(self._branch, staged, expected)

    async def plan_compaction(
        self,
        *,
        target_tokens: int | None = None,
        keep_recent: int = 6,
        keep: Callable[[Message], bool] | Iterable[str] = (),
        strategy: Strategy | None = None,
        roll_up: bool = False,
        summary_tokens: int | None = None,
    ) -> CompactionPlan:
        """Return what `compact` would hide; write nothing.

        Nothing is cut through a step, which is a call of the model with its tool calls and their
        results. Pins, instructions, open calls and earlier summaries stay.

        Args:
            target_tokens: what the context is to cost at most, with its summary. None hides all that
                may be hidden.
            keep_recent: how many of the newest steps stay, with what led to them.
            keep: what stays as well: entries by their hashes or tags, or a function that is called
                with each message and returns True for those.
            strategy: a function that gets the blocks that may be hidden, oldest first, and returns
                those that it does not want to keep, in the order in which to hide them until the
                target is met. `tract.strategies` has ready ones; the default is oldest first.
            roll_up: whether earlier summaries may be hidden, too. Without, they stay as they are,
                and so does a provider's prompt cache up to them.
            summary_tokens: what the summary may cost; a quarter of the target if not given.

        Raises:
            CompactionTargetError: what has to stay costs more than the target.
            CommitNotFoundError: one of *keep* is not a commit of this tract.
            ContentValidationError: *keep* is a string.
            ValueError: a number is negative, or *strategy* returns what it was not given.
        """
        aims = checked_aims(
            target_tokens, summary_tokens, keep_recent, keep, strategy, roll_up=roll_up
        )
        with self._call():
            return await self._runtime.compactor.plan(self._branch, aims)

    async def compact(
        self,
        summarise: Summariser | None,
        *,
        plan: CompactionPlan | None = None,
        target_tokens: int | None = None,
        keep_recent: int = 6,
        keep: Callable[[Message], bool] | Iterable[str] = (),
        strategy: Strategy | None = None,
        must_keep: Iterable[str | Pattern[str]] = (),
        roll_up: bool = False,
        summary_tokens: int | None = None,
        reason: str | None = None,
    ) -> CompactionResult | None:
        """Hide entries behind a summary, by one commit that `expand` undoes.

            async def summarise(request):
                reply = await client.responses.create(
                    model="gpt-5-mini", **request.context.request("openai.responses"), ...
                )
                return reply.output_text

            done = await tract.compact(summarise, target_tokens=60_000)

        The summary stands in the place of the first entry that it hides, and is an entry like any
        other: it can be edited, skipped, pinned, and hidden by a later compaction. The summariser
        runs outside any transaction; what is committed meanwhile stays. If something that it was
        given changes meanwhile, it is called again with what is there then.

        Args:
            summarise: a function of a `CompactionRequest`, async or not, that returns a text, a
                content, or a `Summary` that says how it was made. None shows nothing in place of what is hidden.
            plan: from `plan_compaction`; the arguments that it takes are not used then.
            target_tokens: as for `plan_compaction`, and so are the next five.
            keep_recent: how many of the newest steps stay.
            keep: what stays as well.
            strategy: what is hidden first.
            roll_up: whether earlier summaries may be hidden, too.
            summary_tokens: what the summary may cost.
            must_keep: texts and patterns that the summary must hold.
            reason: a note on why.

        Returns:
            What was done; None if there is nothing to hide.

        Raises:
            CompactionError: the summary is empty, lacks something or leaves a tool call alone, what
                it is of changes again and again, or the plan is outdated. Nothing was written.
            CompactionTargetError: the context would be longer than its target.
            CommitNotFoundError: one of *keep* is not a commit of this tract.
            ContentValidationError: the summary cannot be stored, a list is a string, or one of
                *must_keep* is neither a text nor a pattern for texts.
            TypeError: *summarise* is not a function, or *plan* not a plan.
            Exception: what *summarise* raises.
        """
        aims = checked_aims(
            target_tokens, summary_tokens, keep_recent, keep, strategy, roll_up=roll_up
        )
        note = None if reason is None else checked_text("reason", reason)
        demands = Demands(checked_demands(must_keep), note)
        function, chosen = checked_summariser(summarise), checked_plan(plan)
        with self._call():
            return await self._runtime.compactor.compact(
                self._branch, function, aims, chosen, demands
            )

    async def clear_tool_results(
        self,
        *,
        keep: int = 3,
        exclude_tools: Iterable[str] = (),
        placeholder: str = PLACEHOLDER,
        reason: str | None = None,
    ) -> CompactionResult | None:
        """Show a placeholder for older tool results, by one commit that `expand` undoes.

        It takes no model, and the calls stay. So do pinned results, and those that cost no more
        tokens than the placeholder: a clearing never makes a context longer. An entry with several
        results is cleared as a whole. What is not counted, as some media are, is taken to cost more.

        Args:
            keep: how many of the newest entries with results stay as they are.
            exclude_tools: the tools whose results stay.
            placeholder: what a model sees instead.
            reason: a note on why.

        Returns:
            What was done; None if there is nothing to clear.

        Raises:
            ContentValidationError: *placeholder* or *reason* cannot be stored.
            ValueError: *keep* is negative.
        """
        exclude = frozenset(checked_several("exclude_tools", exclude_tools))
        text = checked_text("placeholder", placeholder)
        note = None if reason is None else checked_text("reason", reason)
        number = checked_count("keep", keep)
        with self._call():
            return await self._runtime.compactor.clear(self._branch, number, exclude, text, note)

    async def maintain(
        self, summarise: Summariser | None = None, *, policy: CompactionPolicy | None = None
    ) -> CompactionResult | None:
        """Shorten the context if it is too long by a policy; call it after each reply, say.

            policy = CompactionPolicy(trigger_tokens=100_000, target_tokens=60_000)
            await tract.maintain(responses_summariser(client, model="gpt-5-mini"), policy=policy)

        Below the trigger, it does nothing. Else it clears older tool results if that is enough, and
        has the rest summarised if it is not. Tokens are those that the API reported last, with what
        was counted since; where there is no report for the newest 16 commits, all are counted.

        However many tasks ask for one branch, one of them does the work; the others wait, look
        again, and find it done. Of several processes, the slower one drops its work. A summariser
        that calls this for its own branch gets None.

        Args:
            summarise: as for `compact`; there are ready ones in `tract.summarisers`. Without one,
                clearing tool results is all that is done.
            policy: when and how far; that of `TractConfig(compaction=...)` if not given.

        Returns:
            What was done, if anything was.

        Raises:
            CompactionError: as for `compact`. Nothing was written.
            CompactionTargetError: as for `compact`.
            TypeError: *summarise* is not a function.
            ValueError: there is no policy.
            Exception: what *summarise* raises.
        """
        function = checked_summariser(summarise)
        with self._call():
            return await self._runtime.maintainer.maintain(self._branch, function, policy)

    async def expand(self, commit_hash: str, *, reason: str | None = None) -> CommitInfo:
        """Undo a compaction: show again what it hides or clears, to the byte.

        Edits and priorities that were set meanwhile are in force. If a later compaction hides the
        summary, it goes on hiding what is shown again.

        Raises:
            EditTargetError: it is not a compaction of this branch, or was undone already.
            CommitNotFoundError: this tract has no such commit.
        """
        target = checked_hash(commit_hash)
        note = None if reason is None else checked_text("reason", reason)
        with self._call():
            return await self._runtime.compactor.expand(self._branch, target, note)

    async def compactions(
        self, *, at_commit: str | UnsetType | None = UNSET
    ) -> list[CompactionInfo]:
        """Return the compactions in the history of the head, or of another commit, oldest first."""
        position = _HEAD if at_commit is UNSET else checked_position(at_commit, None)
        with self._call():
            return await self._runtime.compactor.list(self._branch, position)

    async def compile(
        self,
        *,
        at_commit: str | UnsetType | None = UNSET,
        at_time: datetime | None = None,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = True,
        include_erased: bool = False,
    ) -> CompiledContext:
        """Return the context that a model would get.

        Args:
            at_commit: compile this commit of the tract instead of the head. None compiles the
                empty context before the first commit.
            at_time: compile the newest commit of the branch at or before this aware time. Before a
                merge, only this branch's own commits count: the merged ones were not on it yet.
                After a reset, only the branch's present history counts; `reflog()` has the former
                heads.
            include_edit_annotations: append ` [edited]` to every edited text.
            aggregate_same_role: join consecutive messages of a role with a blank line.
            include_erased: show `[erased]` in the place of each erased entry.

        Raises:
            CommitNotFoundError: the tract has no commit *at_commit*.
            ContentValidationError: the history holds a custom content type that is not registered.
            ValueError: both *at_commit* and *at_time* were given, or *at_time* is naive.
        """
        at_head = at_commit is UNSET and at_time is None
        position = _HEAD if at_head else checked_position(at_commit, at_time)
        options = ViewOptions(include_edit_annotations, aggregate_same_role, include_erased)
        with self._call():
            return await self._runtime.contexts.compile(self._branch, position, options)

    async def head(self) -> str | None:
        """Return the hash of the branch's newest commit, or None if it has no commits."""
        with self._call():
            return await self._runtime.branches.head(self._branch)

    async def get_commit(self, commit_hash: str) -> CommitInfo | None:
        """Return a commit of this tract, or None if no commit has that hash or name.

        Raises:
            AmbiguousHashError: several commits begin with that short hash.
        """
        with self._call():
            return await self._runtime.queries.get(self.tract_id, commit_hash)

    async def get_by_keys(self, keys: Iterable[str]) -> dict[str, CommitInfo]:
        """Return the commits that *keys* name, by key; keys that name none are left out.

        Raises:
            ContentValidationError: a key cannot be one, or *keys* is a single string.
        """
        if isinstance(keys, str):
            raise ContentValidationError("give a list of keys", "keys")
        checked = [checked_key(each, "keys") for each in keys]
        with self._call():
            return await self._runtime.keys.get(self.tract_id, checked)

    async def keys(
        self,
        prefix: str = "",
        *,
        newest: bool = False,
        before: str | None = None,
        limit: int | None = None,
    ) -> list[CommitInfo]:
        """Return the commits that have keys, of every branch, sorted by the code points of these.

        Of commits that were made under one key, only the last is listed.

        Args:
            prefix: only keys that begin with this.
            newest: sorted by time instead, newest first.
            before: continue where a page ended, with the key of its last commit.
            limit: how many at most; None for all.

        Raises:
            CommitNotFoundError: with *newest*, no commit has the key *before*.
            ContentValidationError: *prefix* or *before* cannot be stored in a key.
            ValueError: *limit* is negative.
        """
        prefix, limit = checked_key(prefix, "prefix", least=0), checked_limit(limit)
        before = None if before is None else checked_key(before, "before")
        with self._call():
            return await self._runtime.keys.listed(
                self.tract_id, prefix, before, limit, newest=newest
            )

    @overload
    async def get_content(self, commit_hash: str) -> BaseModel: ...
    @overload
    async def get_content(self, commit_hash: str, *, as_: type[C]) -> C: ...
    async def get_content(self, commit_hash: str, *, as_: type[BaseModel] = BaseModel) -> BaseModel:
        """Return the content model of a commit.

        Args:
            commit_hash: the commit.
            as_: the model that you expect, such as `DialogueContent`. Type checkers then know its
                fields; a content of another model raises.

        Raises:
            CommitNotFoundError: the tract has no such commit.
            BlobNotFoundError: the commit's content is missing from the store.
            AttachmentNotFoundError: media in the item of a `NativeContent` are missing from it.
            ContentValidationError: its custom content type is not registered with this store, or
                it is not an *as_*.
        """
        commit_hash = checked_hash(commit_hash)
        with self._call():
            return await self._runtime.queries.content(self.tract_id, commit_hash, as_)

    async def get_contents(self, hashes: Iterable[str]) -> list[BaseModel]:
        """Return the content models of several commits, in the given order, in one trip.

        Raises:
            CommitNotFoundError: the tract does not have one of the commits.
            BlobNotFoundError: a commit's content is missing from the store.
            ContentValidationError: a custom content type is not registered with this store, or
                *hashes* is a single string.
        """
        if isinstance(hashes, str):
            raise ContentValidationError("give a list of hashes, or use `get_content`", "hashes")
        named = [checked_hash(each) for each in hashes]
        with self._call():
            return await self._runtime.lister.contents(self.tract_id, named)

    async def entries(
        self,
        *,
        at_commit: str | UnsetType | None = UNSET,
        include_skipped: bool = False,
        limit: int | None = None,
        newest: bool = False,
    ) -> list[EntryInfo]:
        """Return the entries of the context, oldest first: contents, priorities, tokens, times.

        Each stands for one APPEND commit as edits and annotations have left it. Entries that hold
        tool definitions are among them.

        Args:
            at_commit: the entries at this commit instead of the head; None for none.
            include_skipped: with the entries that the context leaves out: those of priority SKIP
                and those that were erased.
            limit: how many at most, from the side that comes first.
            newest: newest first.

        Raises:
            CommitNotFoundError: the tract has no commit *at_commit*.
            ValueError: *limit* is negative.
            TractError: the store's compiler is not derived from `DefaultContextCompiler`.
        """
        limit = checked_limit(limit)
        position = _HEAD if at_commit is UNSET else checked_position(at_commit, None)
        with self._call():
            return await self._runtime.lister.entries(
                self._branch, position, limit, include_skipped=include_skipped, newest=newest
            )

    @overload
    async def log(
        self,
        limit: int | None = 10,
        *,
        before: str | UnsetType | None = UNSET,
        order: Literal["time", "context"] = "time",
        contents: Literal[False] = False,
    ) -> list[CommitInfo]: ...
    @overload
    async def log(
        self,
        limit: int | None = 10,
        *,
        before: str | UnsetType | None = UNSET,
        order: Literal["time", "context"] = "time",
        contents: Literal[True],
    ) -> list[tuple[CommitInfo, BaseModel]]: ...
    async def log(
        self,
        limit: int | None = 10,
        *,
        before: str | UnsetType | None = UNSET,
        order: Literal["time", "context"] = "time",
        contents: bool = False,
    ) -> list[CommitInfo] | list[tuple[CommitInfo, BaseModel]]:
        """Return the branch's commits, newest first, including those that merges brought.

            for commit, content in await tract.log(contents=True):
                print(commit.created_at, content)

        Args:
            limit: how many at most; None for all.
            before: continue with the ancestors of this commit, such as the last one of the
                previous page. It need not be in the branch's history. None, the moment before the
                first commit, returns nothing.
            order: `time` sorts by time of commit. `context` uses the order in which commits are
                folded into the context: merged commits directly follow their merge, whenever they
                were made.
            contents: return pairs of each commit and its content model, read in the same trip.

        Raises:
            CommitNotFoundError: the tract has no commit *before*.
            BlobNotFoundError, AttachmentNotFoundError, ContentValidationError: with *contents*, as
                for `get_content`.
            ValueError: *limit* is negative, or *order* is neither `time` nor `context`.
        """
        limit = checked_limit(limit)
        in_context = checked_order(order) == "context"
        before = checked_commit(before)
        queries = self._runtime.queries
        with self._call():
            read = queries.log_contents if contents else queries.log
            return await read(self._branch, limit, before, in_context=in_context)

    async def annotate(
        self,
        target_hash: str,
        priority: Priority | Literal["skip", "normal", "pinned"],
        *,
        reason: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> PriorityAnnotation:
        """Set the priority of an entry, by a commit of operation ANNOTATE.

        Args:
            target_hash: the entry.
            priority: the priority that it has from now on.
            reason: a note on why, which `get_annotations` returns.
            expected_head: the head that the branch must have (None: no commit).

        Raises:
            CommitNotFoundError: the tract has no commit *target_hash*.
            HeadMovedError: the head is not *expected_head*.
            EditTargetError: *target_hash* is not an entry, or not in this branch's history.
            ContentValidationError: *priority* is not a priority, or *reason* cannot be stored.
            BudgetExceededError: showing the entry again would exceed the budget.
        """
        target_hash = checked_hash(target_hash)
        expected = checked_head(expected_head)
        with self._call():
            return await self._runtime.commits.annotate(
                self._branch, target_hash, priority, reason, expected
            )

    async def get_annotations(self, target_hash: str) -> list[PriorityAnnotation]:
        """Return every priority that was set on an entry, oldest first; empty if none was.

        Raises:
            CommitNotFoundError: the tract has no commit *target_hash*.
        """
        target_hash = checked_hash(target_hash)
        with self._call():
            return await self._runtime.queries.annotations(self._branch, target_hash)

    async def query_by_config(
        self, field: ConfigField, operator: str, value: Any, *, limit: int | None = None
    ) -> list[CommitInfo]:
        """Return this tract's commits whose generation config meets a condition, oldest first.

        This is `query` with one condition, given as data.

        Args:
            field: a dotted path (`"response_format.type"`), or a tuple of exact keys and list
                indexes (`("logit_bias", "50256")`).
            operator: `=`, `!=`, `>`, `<`, `>=`, `<=`, `in` or `not in`.
            value: what to compare with; a sequence for `in` and `not in`. Values of different JSON
                types are never equal and have no order. `!=` and `not in` match configs that have
                the field with another value or type.
            limit: how many at most; None for all.

        Raises:
            QueryError: the query cannot use the operator, field or value.
            ValueError: *limit* is negative.
        """
        limit = checked_limit(limit)
        with self._call():
            return await self._runtime.queries.by_config(
                self.tract_id, field, operator, value, limit
            )

    @overload
    async def query(
        self,
        *conditions: Condition,
        branch_only: bool = False,
        limit: int | None = None,
        newest: bool = False,
        after: str | None = None,
        before: str | None = None,
        contents: Literal[False] = False,
    ) -> list[CommitInfo]: ...
    @overload
    async def query(
        self,
        *conditions: Condition,
        branch_only: bool = False,
        limit: int | None = None,
        newest: bool = False,
        after: str | None = None,
        before: str | None = None,
        contents: Literal[True],
    ) -> list[tuple[CommitInfo, BaseModel]]: ...
    async def query(
        self,
        *conditions: Condition,
        branch_only: bool = False,
        limit: int | None = None,
        newest: bool = False,
        after: str | None = None,
        before: str | None = None,
        contents: bool = False,
    ) -> list[CommitInfo] | list[tuple[CommitInfo, BaseModel]]:
        """Return the commits that meet all *conditions*, oldest first.

            await tract.query(metadata("user") == "anna", Field.operation == "edit", newest=True)

        Args:
            *conditions: of `config`, `metadata` and `Field`; without any, every commit matches.
            branch_only: search this branch's history instead of all branches of the tract.
            limit: how many at most; None for all.
            newest: newest first.
            after: only commits made later than this one; None for no bound.
            before: only commits made earlier than this one.
            contents: return pairs of each commit and its content model.

        Raises:
            QueryError: an argument is not a condition, or there are more than 200.
            CommitNotFoundError: the tract has no commit *after* or *before*.
            BlobNotFoundError, AttachmentNotFoundError, ContentValidationError: with *contents*, as
                for `get_content`.
            ValueError: *limit* is negative.
        """
        checked = checked_conditions(conditions)
        limit = checked_limit(limit)
        after, before = checked_end(after), checked_end(before)
        queries = self._runtime.queries
        ask = queries.query_contents if contents else queries.query
        with self._call():
            return await ask(
                self._branch,
                checked,
                branch_only=branch_only,
                limit=limit,
                newest=newest,
                after=after,
                before=before,
            )

    async def count(
        self,
        *conditions: Condition,
        branch_only: bool = False,
        after: str | None = None,
        before: str | None = None,
    ) -> int:
        """Return how many commits `query` would return.

        Raises:
            QueryError, CommitNotFoundError: as for `query`.
        """
        checked = checked_conditions(conditions)
        after, before = checked_end(after), checked_end(before)
        with self._call():
            return await self._runtime.queries.count(
                self._branch, checked, branch_only=branch_only, after=after, before=before
            )

    async def search(
        self,
        text: str,
        *,
        branch_only: bool = False,
        limit: int | None = 20,
        after: str | None = None,
    ) -> list[SearchHit]:
        """Return the commits of the tract whose contents have all words of *text*.

            for hit in await tract.search('passport "opening hours" librar*'):
                print(hit.status, hit.snippet)

        Quotes make a phrase, and a star after a word finds all that begin with it. Case and
        diacritics do not count, and no character is an error. The newest 200 commits that have the
        words come first, the best of them first; then the 200 before. A search first indexes what
        was committed since the last one.

        Args:
            text: what to look for.
            branch_only: search this branch's history instead of all branches of the tract.
            limit: how many at most; None for all.
            after: the `cursor` of the last hit of the page before.

        Raises:
            QueryError: *text* has no word, or search is off: see `TractStore.enable_search`.
            ValueError: *limit* is negative, or *after* is not the `cursor` of a hit.
        """
        terms = search_terms(text)
        most, cursor = checked_limit(limit), checked_cursor(after)
        searcher = self._runtime.searcher
        with self._call():
            return await searcher.search(
                terms, self._branch, most, cursor, branch_only=bool(branch_only)
            )

    async def info(self) -> TractInfo | None:
        """Return this tract as a whole, as `TractStore.tracts` lists it; None if it is unknown."""
        with self._call():
            return await self._runtime.tracts.info(self.tract_id)

    async def set_info(
        self,
        *,
        title: str | UnsetType | None = UNSET,
        metadata: Mapping[str, Any] | UnsetType | None = UNSET,
        expected_metadata: Mapping[str, Any] | UnsetType | None = UNSET,
        redact: bool = True,
    ) -> TractInfo:
        """Set the tract's title, or its metadata as a whole; a tract needs no commits for that.

            info = await tract.info()
            await tract.set_info(metadata={**info.metadata, "seen": 1}, expected_metadata=info.metadata)

        Args:
            title: a title; None removes it.
            metadata: a JSON object, which replaces the present one; None removes it.
            expected_metadata: the metadata that the tract must have (None: none).
            redact: False stores the metadata unchanged; see `commit`.

        Raises:
            MetadataChangedError: the metadata are not *expected_metadata*.
            ContentValidationError: *title* or an object cannot be stored.
            ValueError: neither a title nor metadata were given.
        """
        title = checked_title(title, metadata)
        with self._call():
            return await self._runtime.tracts.describe(
                self.tract_id, title, metadata, expected_metadata, redact=redact is not False
            )

    async def record_usage(
        self,
        usage: TokenUsage | Mapping[str, Any] | BaseModel | None,
        *,
        head_hash: str | UnsetType | None = UNSET,
        redact: bool = True,
    ) -> CompiledContext:
        """Store the usage that an API reported for a head; return its context with that count.

        Args:
            usage: a `TokenUsage`, or the usage of a response of OpenAI, Anthropic, Gemini, Bedrock,
                Ollama or Cohere, as an object or a dict. None, for a response without a report,
                and a report without prompt tokens store nothing and return the context unchanged.
            head_hash: the head that was compiled for the call, be it the newest or not. By default
                it is the branch's; None stands for an empty context, which raises.
            redact: False stores the report unchanged; see `commit`.

        Raises:
            CommitNotFoundError: the tract has no commit *head_hash*.
            ContentValidationError: *head_hash* is not a string, or *usage* has an unknown shape or
                a value that is not a token count.
            TractError: there is no commit yet, or *head_hash* is None.
        """
        head = checked_head(head_hash, "head_hash")
        if usage is None:
            return await self.compile(at_commit=head)
        with self._call():
            return await self._runtime.usage.keep(
                self._branch, usage, head, redact=redact is not False
            )

    async def fork(
        self,
        name: str,
        *,
        at_commit: str | UnsetType | None = UNSET,
        expected_head: str | UnsetType | None = UNSET,
    ) -> Self:
        """Create a branch and return a handle on it. It costs one row, however long the history.

        Args:
            name: the new branch; git's rules for names apply.
            at_commit: where it starts, a hash or a tag; by default this branch's head. None
                creates an empty branch, which starts before the first commit.
            expected_head: the head that this branch must have (None: no commit).

        Raises:
            RefNameError: a branch cannot have that *name*.
            BranchExistsError: the tract already has a branch of that name.
            CommitNotFoundError: the tract has no commit *at_commit*.
            HeadMovedError: this branch's head is not *expected_head*.
        """
        name = checked_new_name(name)
        at = checked_commit(at_commit)
        expected = checked_head(expected_head)
        with self._call():
            await self._runtime.branches.fork(self._branch, name, at, expected)
        return self._other(name)

    def on(self, name: str) -> Self:
        """Return a handle on an existing branch; this is cheap and does no I/O.

        Its calls raise a `BranchNotFoundError` while there is no such branch, unlike those of a
        handle from `TractStore.tract`, whose first commit creates the branch. `main` always exists.

        Raises:
            RefNameError: a branch cannot have that *name*.
        """
        name = checked_new_name(name)
        self._check_open()
        return self._other(name)

    async def branches(self) -> list[BranchInfo]:
        """Return the tract's branches by name: all that were committed to, forked or moved."""
        with self._call():
            return await self._runtime.branches.branches(self.tract_id)

    async def reached_by(self, hashes: Iterable[str]) -> dict[str, list[str]]:
        """Return the branches whose histories have each of some commits, sorted by name.

            hits = await tract.query(config("model") == "small")
            branches = await tract.reached_by(hit.commit_hash for hit in hits)

        A commit that no branch reaches any more has none. All is read at one moment, and takes no
        longer for a long history.

        Args:
            hashes: commits, by hash or name, which are the result's keys; see `get_contents`.

        Raises:
            CommitNotFoundError: the tract does not have one of the commits.
            ContentValidationError: *hashes* is a single string.
        """
        if isinstance(hashes, str):
            raise ContentValidationError("give a list of hashes", "hashes")
        named = [checked_hash(each) for each in hashes]
        with self._call():
            return await self._runtime.branches.reached_by(self.tract_id, named)

    async def delete_branch(
        self,
        name: str,
        *,
        force: bool = False,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        """Delete a branch; its commits stay readable by hash.

        Args:
            name: the branch.
            force: delete it even if no other branch or tag reaches its commits.
            expected_head: the head that the deleted branch must have (None: no commit).

        Raises:
            BranchNotFoundError: there is no such branch.
            HeadMovedError: its head is not *expected_head*.
            BranchNotMergedError: it has commits other than merges that no other branch or tag
                reaches and that no squash contains; `force=True` deletes it anyway.
            TractError: it is this handle's own branch.
        """
        name = checked_ref(name)
        if name == self.branch:
            raise TractError(
                f"A handle cannot delete its own branch {name!r}. Call it on a handle of another "
                "branch, such as `tract.on('main')`."
            )
        other = self._branch._replace(branch=name)
        expected = checked_head(expected_head)
        with self._call():
            await self._runtime.branches.delete(other, expected, force=force)

    async def reset(
        self,
        to_hash: str | None,
        *,
        reason: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> BranchInfo:
        """Move this branch back to a commit of its history, given by hash or tag.

        The commits that it leaves behind stay readable by hash, and `reflog()` has the old head.

        Args:
            to_hash: the commit. None empties the branch, so that its next commit has no parent.
            reason: a note for the reflog.
            expected_head: the head that the branch must have (None: no commit).

        Raises:
            CommitNotFoundError: the tract has no such commit.
            HeadMovedError: the head is not *expected_head*.
            TractError: the commit is not in this branch's history.
        """
        target = checked_end(to_hash)
        note = None if reason is None else checked_text("reason", reason)
        expected = checked_head(expected_head)
        with self._call():
            return await self._runtime.branches.reset(self._branch, target, note, expected)

    async def reflog(self, branch: str | None = None) -> list[ReflogEntry]:
        """Return where the tract's branches, or one of them, have pointed, newest first.

        Deleted branches are included.
        """
        with self._call():
            return await self._runtime.branches.reflog(self.tract_id, branch)

    async def tag(
        self,
        name: str,
        target_hash: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> TagInfo:
        """Name a commit, by default this branch's head.

        The name can be used wherever a hash can.

        Args:
            name: the tag; git's rules for names apply.
            target_hash: the commit.
            expected_head: the head that this branch must have (None: no commit).

        Raises:
            RefNameError: a tag cannot have that *name*.
            TagExistsError: the tract already has a tag of that name; delete it first.
            CommitNotFoundError: the tract has no commit *target_hash*.
            HeadMovedError: this branch's head is not *expected_head*.
            TractError: there is no commit to name: *target_hash* is None, or the branch is empty.
        """
        name = checked_new_name(name)
        target = checked_commit(target_hash)
        expected = checked_head(expected_head)
        with self._call():
            return await self._runtime.branches.tag(self._branch, name, target, expected)

    async def tags(self) -> list[TagInfo]:
        """Return the tract's tags, sorted by name."""
        with self._call():
            return await self._runtime.branches.tags(self.tract_id)

    async def delete_tag(self, name: str, *, expected_head: str | UnsetType | None = UNSET) -> None:
        """Delete a tag; the commit stays.

        Args:
            name: the tag.
            expected_head: the commit that the tag must name.

        Raises:
            TagNotFoundError: there is no such tag.
            HeadMovedError: the tag names a commit other than *expected_head*.
        """
        name = checked_new_name(name)
        expected = checked_head(expected_head)
        with self._call():
            await self._runtime.branches.untag(self.tract_id, name, expected)

    async def diff(self, a: str | None, b: str | None) -> ContextDiff:
        """Return how the context at *b* differs from that at *a*, entry by entry.

        Args:
            a: a hash, a tag or a branch; None for the empty context before the first commit.
            b: the same.

        Raises:
            CommitNotFoundError: the tract has no such commit.
        """
        before, after = Position(checked_end(a)), Position(checked_end(b))
        with self._call():
            return await self._runtime.comparing.diff(self._branch, before, after)

    async def compare(self, names: Iterable[str]) -> list[BranchComparison]:
        """Return the size and usage of branches, in all and since they parted, in the given order.

        A single branch is compared with this handle's. If it is this handle's own, its whole
        history counts as its own. Token counts are the counter's, not those that an API reported,
        so that they are comparable.

        Raises:
            BranchNotFoundError: there is no such branch.
            RefNameError: a branch cannot have one of the names.
            ValueError: *names* is a string.
        """
        if isinstance(names, str):
            raise ValueError(f"names must be a list of branches, not {shown(names)}")
        branches = [checked_ref(name) for name in names]
        with self._call():
            return await self._runtime.comparing.compare(self._branch, branches)

    async def stats(self) -> BranchStats:
        """Return the size of this branch's history and of its context."""
        with self._call():
            return await self._runtime.comparing.stats(self._branch)

    async def merge(
        self,
        branch: str,
        *,
        on_conflict: OnConflict = "raise",
        fast_forward: bool = True,
        squash: BaseModel | Mapping[str, Any] | Resolution | None = None,
        message: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> MergeResult:
        """Merge the commits of another branch into this one.

        If the other branch continues from this branch's head, this branch is fast-forwarded to the
        other's head. Otherwise a merge commit with two parents is written: in the context, the
        other's entries follow this branch's, and the other's edits and annotations of shared
        entries apply. If this branch already has all the other's commits, merges aside, nothing is
        written.

        The branch is not locked during a merge. Commits that others make to it in the meantime
        come before the merge; if they affect the result, the merge is computed again.

        Args:
            branch: the other branch.
            on_conflict: what to do where both sides edited an entry to different contents, or gave
                it different priorities: `raise`, keep `ours`, take `theirs`, or call a function.
                The function may be async. It gets each `MergeConflict` and returns `"ours"`,
                `"theirs"` or `"base"`, a content, a `Resolution`, or a priority. A content that
                one of the three has keeps its config from there; a new one has the config of its
                `Resolution`, or none. A conflict that others change meanwhile is passed to the
                function again, at most ten times for one entry; the same conflict never is.
            fast_forward: False writes a merge commit even where a fast-forward would do.
            squash: a content, or a `Resolution`, to commit in place of the other's commits.
                *on_conflict* is not used then; `origins()` tells where the commit came from. A
                later merge without it still brings the commits themselves. If this branch has
                such a commit for the other's head already, nothing is written.
            message: the note on the merge commit, or on the squashed one.
            expected_head: the head that this branch must have (None: no commit), from the moment
                the merge is computed until it is written.

        Raises:
            MergeConflictError: there are conflicts; it names all of them. Nothing was written.
            BranchNotFoundError: there is no such branch.
            ContentValidationError: *squash*, *message* or a resolution cannot be stored.
            ValueError: *on_conflict* is not one of these.
            BudgetExceededError: the merged context would exceed the budget.
            HeadMovedError: the head is not *expected_head*; nothing was written.
            BranchBusyError: others kept changing the entries that the merge depends on, despite
                all retries; it names these entries. Nothing was written.
        """
        other = ExistingBranch(self.tract_id, checked_ref(branch))
        note = None if message is None else checked_text("message", message)
        expected = checked_head(expected_head)
        asked = Asked(checked_way(on_conflict), fast_forward, squash, note, expected)
        with self._call():
            return await self._runtime.merging.merge(self._branch, other, asked)

    async def cherry_pick(
        self, *hashes: str, expected_head: str | UnsetType | None = UNSET
    ) -> list[CommitInfo]:
        """Commit the contents of other commits of this tract here, all in one transaction.

        Each new commit takes content, message, metadata and generation config from its source;
        `origins()` tells which that is.

        Args:
            *hashes: the commits to pick.
            expected_head: the head that this branch must have (None: no commit).

        Raises:
            CommitNotFoundError: the tract has no such commit.
            HeadMovedError: the head is not *expected_head*.
            EditTargetError: a commit is an annotation or a merge, which have no content to pick; or
                it is a compaction, and this branch does not show all that it hides as it was then.
        """
        picked = [checked_hash(each) for each in hashes]
        expected = checked_head(expected_head)
        with self._call():
            return await self._runtime.merging.cherry_pick(self._branch, picked, expected)

    async def origins(self, commit_hash: str | UnsetType | None = UNSET) -> list[Origin]:
        """Return where the tract's squashed and picked commits came from, oldest first.

        Args:
            commit_hash: return only the origins of this commit; of None, there are none.

        Raises:
            CommitNotFoundError: the tract has no such commit.
        """
        of = checked_commit(commit_hash)
        with self._call():
            return await self._runtime.queries.origins(self.tract_id, of)

    def stream(
        self,
        *,
        role: Literal["system", "user", "assistant"] = "assistant",
        name: str | None = None,
        generation_config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        message: str | None = None,
        on_interrupt: OnInterrupt = "keep",
        redact: bool = True,
        key: str | None = None,
        on_key: OnKey = "error",
        expected_head: str | UnsetType | None = UNSET,
    ) -> Stream:
        """Return a stream: `async with tract.stream() as stream:` commits its writes as a message.

        Args:
            role: the role of the message.
            name: the speaker's name.
            generation_config: as for `commit`.
            metadata: as for `commit`; `{"interrupted": true, "reason": …}` is added if an exception
                or a cancellation ends the block.
            message: a note on the commit.
            on_interrupt: in that case, `keep` commits the text received so far, `discard` nothing.
            redact: as for `commit`.
            key: as for `commit`.
            on_key: as for `commit`. An `error` is raised on entering the block, too. With `keep`,
                what was written is dropped if there is a commit by the end.
            expected_head: the head that the branch must have when the block is left (None: no
                commit). If it has another, leaving raises a `HeadMovedError`. The text is not lost:
                `TractStore.recover_streams()` returns it, as after a `KeyExistsError`.
        """
        self._check_open()
        expected = checked_head(expected_head)
        options = StreamOptions(
            role,
            name,
            generation_config,
            metadata,
            message,
            on_interrupt,
            expected,
            redact=redact,
            key=None if key is None else checked_key(key),
            on_key=checked_on_key(on_key),
        )
        return Stream(self._runtime.streams.intake(self._branch, options))

    async def record(
        self,
        reply: object,
        *,
        generation_config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        message: str | None = None,
        head_hash: str | UnsetType | None = UNSET,
        expected_head: str | UnsetType | None = UNSET,
        redact: bool = True,
    ) -> list[CommitInfo]:
        """Commit a whole reply of a provider's API, and the usage that it reports.

            reply = await client.messages.create(**context.request("anthropic.messages"), …)
            await tract.record(reply, head_hash=context.head_hash)

        One transaction commits the reply as the next request wants it: plain text and plain calls
        as the content types of those names, anything else as the API's own item. Each commit has
        the reply's `model`, `response_id` and `finish_reason` in its metadata. Calls that were cut
        off are in the last commit's, under `unfinished_tool_calls`, and so is a usage report whose
        shape is unknown, under `usage`. A reply that says nothing leaves a commit annotated `SKIP`.
        Its unknown kinds are kept, and named by an `UnknownKindWarning`, and so is what JSON cannot
        hold, which is left out. Bytes, NaN and dates are kept as the SDKs' own JSON has them.

        Args:
            reply: what the call of an SDK returns, as its object or as a dict: of Chat Completions
                and APIs like it, Responses, Messages or `generate_content`.
            generation_config: as for `commit`.
            metadata: as for `commit`.
            message: a note on the commits.
            head_hash: the head that was compiled for the call, to which the usage belongs. By
                default it is the branch's at the call; None, for an empty context, stores no usage.
            expected_head: as for `commit`.
            redact: as for `commit`; it applies to the usage report, too.

        Returns:
            The commits, in order.

        Raises:
            ContentValidationError: *reply* is not a known API's, or config, metadata or message
                cannot be stored.
            CommitNotFoundError: the tract has no commit *head_hash*.
            HeadMovedError: the head is not *expected_head*.
            BudgetExceededError: as for `commit`.
        """
        options = StreamOptions(
            generation_config=generation_config,
            metadata=metadata,
            message=message,
            expected_head=checked_head(expected_head),
            head_hash=checked_commit(head_hash),
            redact=redact,
        )
        with self._call():
            return await self._runtime.streams.record(self._branch, reply, options)

    def record_stream(
        self, response: AsyncIterable[T], **options: Unpack[RecordOptions]
    ) -> Recording[T]:
        """Return an iterator over *response*, a stream of a provider's API, that commits the reply.

        It yields each event unchanged. At the end it commits the reply and its usage as `record`
        does. The first event that says something tells which API it is. An interrupted reply is
        kept or discarded as by `stream`.

        Args:
            response: the SDK's stream or the helper that reads it, or any asynchronous iterable of
                such events or of dicts.
            options: `generation_config`, `metadata`, `message`, `on_interrupt`, `redact` (which
                applies to the usage report, too) and `expected_head` as for `stream`; `head_hash`,
                the head that was compiled for the call, to which the usage belongs (by default the
                head at the first event; None, for an empty context, stores no usage).

        Raises, on iterating:
            ContentValidationError: the stream is of no known API; the recording then passes on all
                of its events if it is iterated again. Or config, metadata or message cannot be
                stored.
            CommitNotFoundError: the tract has no commit *head_hash*.
            HeadMovedError: at the end, the head is not *expected_head*. Nothing was committed;
                `TractStore.recover_streams()` returns the reply.
        """
        return self._record(response, None, options)

    def record_openai(
        self, response: AsyncIterable[T], **options: Unpack[RecordOptions]
    ) -> Recording[T]:
        """Return `record_stream` of a stream of Chat Completions or Responses, and of no other."""
        return self._record(response, ("openai.chat", "openai.responses"), options)

    def record_anthropic(
        self, response: AsyncIterable[T], **options: Unpack[RecordOptions]
    ) -> Recording[T]:
        """Return `record_stream` of a stream of the Messages API, and of no other."""
        return self._record(response, ("anthropic.messages",), options)

    @overload
    def watch(
        self, after: str | None = None, *, resets: Literal[False] = False
    ) -> Watch[CommitInfo]: ...
    @overload
    def watch(
        self, after: str | None = None, *, resets: bool
    ) -> Watch[CommitInfo | BranchReset]: ...
    def watch(
        self, after: str | None = None, *, resets: bool = False
    ) -> Watch[CommitInfo] | Watch[CommitInfo | BranchReset]:
        """Return an iterator over the commits of this branch, present and future.

        ```python
        async for commit in tract.watch(after="head"):
            ...
        ```

        It yields every commit of the branch once: those of this process at once, those of other
        processes within 100 ms. A slow watcher misses no commits and blocks no writer. Closing the
        store or this handle ends the loop.

        Commits arrive in the order of the context as long as the branch is only committed to and
        merged into. If it moves in another way, by a reset for instance, it may no longer have the
        commits that were yielded, or have them in another order. With *resets*, the watch then
        yields a `BranchReset` whose `new_hash` is the last commit that still agrees, and after it
        every commit that the branch has from there, even if it was yielded before. So a copy that
        is cut back to `new_hash` and extended always equals `log(None, order="context")` reversed.

        Args:
            after: None yields all commits from the first; a hash or a name, those that are not in
                its history; `"head"`, those made from now on, even if a tag has that name.
            resets: yield a `BranchReset` when the branch no longer has what was yielded.

        Raises:
            CommitNotFoundError: on the first step, the tract has no commit *after*.
            StorageError: on a step, the database file was deleted or replaced by another.
        """
        after = checked_end(after)
        self._check_open()
        hub, clock = self._runtime.watching, self._runtime.clock
        if resets:
            return Watch(hub, self._branch, after, self._is_open, clock, Everything())
        return Watch(hub, self._branch, after, self._is_open, clock, CommitsOnce())

    def register_content_type(
        self,
        name: str,
        model: type[BaseModel],
        *,
        state: bool = False,
        priority: Priority | Literal["skip", "normal", "pinned"] | None = None,
        redact: bool | None = None,
    ) -> None:
        """Let this store hold contents of *model* under the content type *name*.

        The context shows what the model's method `to_messages()` returns, a `Message` or several,
        with whatever parts; or else the text that `to_text()` returns; or else the field `text` or
        `content`; or else the JSON of all fields. The methods must be pure functions of the
        fields. Registrations are not stored: register again each time the store is opened, or pass
        `content_types=` there.

        A model with such a method may have a `render_version: ClassVar[int | str]`. Tokens that
        were counted for a content are then kept with the version, and counted again only when
        that has changed. So change it with the method. Without a version, they are counted again
        whenever a context is made anew.

        *state*, *priority* and *redact* are those of `ContentType`.

        Raises:
            ValueError: the name is taken, a state was given a priority, *model* is not a pydantic model class, or its
                `render_version` is neither a number nor a text of 1 to 64 characters.
        """
        self._check_open()
        kind = ContentType(model, state=state, priority=priority, redact=redact)
        self._runtime.registry.register(name, kind)

    async def erase(
        self, hashes: Iterable[str], *, reason: str, vacuum: bool = False
    ) -> ErasureReceipt:
        """Erase what commits hold, for good: their hashes stay, and the history still verifies.

        Gone are contents, messages, metadata, generation configs, keys, raw reports of usage, and
        the attachments that nothing else of the tract uses. Other commits of the tract that hold
        the same content lose it along. Edits of an entry are commits of their own; erase them, too,
        if they have to go. A context leaves out an entry whose content was erased, until an edit
        gives it another one. Contents that other tracts hold stay there.

        Other processes see it at their next call. Erasing again what was erased is fine.

        Args:
            hashes: commits, by hash or name; see `get_contents`.
            reason: is kept with the time, for `verify()` and whoever reads the content.
            vacuum: then do what `TractStore.vacuum` does, so that no byte is left anywhere.

        Raises:
            CommitNotFoundError: the tract does not have one of the commits; nothing was erased.
            ContentValidationError: *hashes* is a single string, or *reason* is not a text.
            StoreReadOnlyError: the store was opened read-only.
        """
        if isinstance(hashes, str):
            raise ContentValidationError("give a list of hashes", "hashes")
        named = [checked_hash(each) for each in hashes]
        why = checked_text("reason", reason)
        with self._call():
            return await self._runtime.eraser.erase(self.tract_id, named, why, vacuum=bool(vacuum))

    async def prune(
        self,
        *,
        before: datetime | str | None = None,
        keep: int | None = None,
        reason: str,
        progress: Callable[[PruneProgress], object] | None = None,
    ) -> PruneReceipt:
        """Shorten the tract's history, for good, behind a boundary.

        Every context since the boundary stays the same, on all branches and tags. Behind it, gone
        are: contents that none of these contexts shows (edited over or skipped before the
        boundary), reasons of annotations, states that no key names, and, as a whole, commits that
        no branch, tag or key reaches. Those that are reached keep their hashes; what stands for their
        contents is as after `erase`, and so are the contexts before the boundary.

        This takes a transaction for every hundred or so commits; others write in between. It can
        be cut short and called again.

        Args:
            before: the boundary: a time, or the first commit that stays, by hash or name.
            keep: let the boundary be before the newest so many commits of the tract. Given
                *before*, too, the earlier one holds.
            reason: is kept with the time, for `verify()` and whoever reads an erased content.
            progress: is called after each transaction. What it raises ends the call.

        Raises:
            CommitNotFoundError: the tract does not have the commit *before*.
            ContentValidationError: *reason* is not a text.
            StoreReadOnlyError: the store was opened read-only.
            ValueError: neither *before* nor *keep* is given, or one cannot be.
        """
        boundary, why = checked_boundary(before, keep), checked_text("reason", reason)
        with self._call():
            self._runtime.database.check_writable()
            return await self._runtime.pruner.prune(self.tract_id, boundary, why, progress)

    async def verify(self) -> VerifyReport:
        """Hash again everything that this tract's refs reach or once reached; report all faults.

        Tokens are counted again, too. Messages, metadata and configs are not part of any hash: they
        are reported only if they cannot be read. What is erased or pruned meanwhile is not a fault:
        if there are faults, all is hashed again, and those found twice are reported.
        """
        with self._call():
            return await self._runtime.verifier.verify(self.tract_id)

    async def aclose(self) -> None:
        """Refuse new calls, wait for those under way, and close the store.

        Closing a handle that came from a `TractStore` leaves the store open.
        """
        if self._owns_runtime:
            await self._runtime.aclose()
        self._closed = True
        self._runtime.watching.recheck(self._branch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.tract_id!r} on {self.branch!r} "
            f"of {self._runtime.database.path!r}>"
        )

    def _other(self, branch: str) -> Self:
        """Return a handle on a branch of this tract that must exist."""
        return type(self)(self._runtime, self.tract_id, branch, must_exist=branch != "main")

    def _record(
        self, response: AsyncIterable[T], apis: Collection[str] | None, options: RecordOptions
    ) -> Recording[T]:
        self._check_open()
        given = StreamOptions(**options)
        given = given._replace(
            expected_head=checked_head(given.expected_head),
            head_hash=checked_commit(given.head_hash),
        )
        intake = self._runtime.streams.intake(self._branch, given)
        return Recording(intake, response, Reader(apis))

    def _call(self) -> AbstractContextManager[None]:
        """Return a context manager that admits one call, if this handle is open."""
        if self._closed:
            self._check_open()  # the gate only knows whether the store is open
        return self._runtime.gate.call()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(self._runtime.database.path)
        self._runtime.gate.check_open()

    def _is_open(self) -> bool:
        return not self._closed


pair(AsyncTract, SyncTract)
