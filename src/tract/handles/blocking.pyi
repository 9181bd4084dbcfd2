# Written by `python -m support.stubs` (tests/support/stubs.py); do not edit.

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from os import PathLike
from re import Pattern
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, overload

from pydantic import BaseModel

from tract.handles.staging import StagedBranch
from tract.handles.stream import OnInterrupt, RecordOptions
from tract.models.annotations import Priority, PriorityAnnotation
from tract.models.commit import (
    BackupProgress,
    CommitInfo,
    CopyProgress,
    CopyReport,
    EntryInfo,
    VerifyReport,
)
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
from tract.models.erasure import (
    CollectReport,
    ErasureReceipt,
    PruneProgress,
    PruneReceipt,
    Retention,
    RetentionReport,
    TractErasureReceipt,
)
from tract.models.merging import MergeResult, OnConflict, Origin, Resolution
from tract.models.operations import CommitOperation, OnKey
from tract.models.queries.query import Condition, ConfigField
from tract.models.queries.searching import SearchHit
from tract.models.refs import (
    BranchComparison,
    BranchInfo,
    BranchReset,
    BranchStats,
    ContextDiff,
    ReflogEntry,
    TagInfo,
)
from tract.models.store import CacheInfo, StoreInfo, TractInfo, VacuumReport
from tract.protocols import (
    CompiledContext,
    ContextCompiler,
    Instrumentation,
    Message,
    TokenCounter,
    TokenUsage,
    ToolCall,
    UnsetType,
)
from tract.tract import CommitOptions

C = TypeVar("C", bound=BaseModel)
Item = TypeVar("Item")
T = TypeVar("T")

class SyncTract:
    @property
    def tract_id(self) -> str: ...
    @property
    def branch(self) -> str: ...
    def commit(
        self,
        content: BaseModel | Mapping[str, Any],
        *,
        role: str | None = ...,
        operation: CommitOperation | Literal["append", "edit"] = ...,
        message: str | None = ...,
        edit_target: str | None = ...,
        metadata: Mapping[str, Any] | None = ...,
        generation_config: Mapping[str, Any] | None = ...,
        redact: bool | None = ...,
        key: str | None = ...,
        on_key: OnKey = ...,
        expected_head: str | UnsetType | None = ...,
    ) -> CommitInfo: ...
    def state(
        self,
        payload: Any,
        *,
        key: str | None = ...,
        on_key: OnKey = ...,
        message: str | None = ...,
        metadata: Mapping[str, Any] | None = ...,
        generation_config: Mapping[str, Any] | None = ...,
        expected_head: str | UnsetType | None = ...,
    ) -> CommitInfo: ...
    def system(self, text: str, **options: Unpack[CommitOptions]) -> CommitInfo: ...
    def user(
        self, text: str, *, name: str | None = ..., **options: Unpack[CommitOptions]
    ) -> CommitInfo: ...
    def assistant(
        self, text: str, *, name: str | None = ..., **options: Unpack[CommitOptions]
    ) -> CommitInfo: ...
    def tools(
        self,
        tools: Iterable[Mapping[str, Any] | BaseModel],
        *,
        api: str | None = ...,
        **options: Unpack[CommitOptions],
    ) -> CommitInfo: ...
    def attach(self, data: bytes, media_type: str) -> Attachment: ...
    def attachment(self, sha256: str) -> bytes: ...
    def settle(
        self, *, reason: str = ..., expected_head: str | UnsetType | None = ...
    ) -> list[CommitInfo]: ...
    def batch(self, *, expected_head: str | UnsetType | None = ...) -> SyncBatch: ...
    def edit_entries(
        self,
        *,
        skip: Iterable[str] = ...,
        append: Iterable[BaseModel | Mapping[str, Any]] = ...,
        reason: str | None = ...,
        expected_head: str | UnsetType | None = ...,
    ) -> list[CommitInfo]: ...
    def plan_compaction(
        self,
        *,
        target_tokens: int | None = ...,
        keep_recent: int = ...,
        keep: Callable[[Message], bool] | Iterable[str] = ...,
        strategy: Strategy | None = ...,
        roll_up: bool = ...,
        summary_tokens: int | None = ...,
    ) -> CompactionPlan: ...
    def compact(
        self,
        summarise: Summariser | None,
        *,
        plan: CompactionPlan | None = ...,
        target_tokens: int | None = ...,
        keep_recent: int = ...,
        keep: Callable[[Message], bool] | Iterable[str] = ...,
        strategy: Strategy | None = ...,
        must_keep: Iterable[str | Pattern[str]] = ...,
        roll_up: bool = ...,
        summary_tokens: int | None = ...,
        reason: str | None = ...,
    ) -> CompactionResult | None: ...
    def clear_tool_results(
        self,
        *,
        keep: int = ...,
        exclude_tools: Iterable[str] = ...,
        placeholder: str = ...,
        reason: str | None = ...,
    ) -> CompactionResult | None: ...
    def maintain(
        self, summarise: Summariser | None = ..., *, policy: CompactionPolicy | None = ...
    ) -> CompactionResult | None: ...
    def expand(self, commit_hash: str, *, reason: str | None = ...) -> CommitInfo: ...
    def compactions(self, *, at_commit: str | UnsetType | None = ...) -> list[CompactionInfo]: ...
    def compile(
        self,
        *,
        at_commit: str | UnsetType | None = ...,
        at_time: datetime | None = ...,
        include_edit_annotations: bool = ...,
        aggregate_same_role: bool = ...,
        include_erased: bool = ...,
    ) -> CompiledContext: ...
    def head(self) -> str | None: ...
    def get_commit(self, commit_hash: str) -> CommitInfo | None: ...
    def get_by_keys(self, keys: Iterable[str]) -> dict[str, CommitInfo]: ...
    def keys(
        self,
        prefix: str = ...,
        *,
        newest: bool = ...,
        before: str | None = ...,
        limit: int | None = ...,
    ) -> list[CommitInfo]: ...
    @overload
    def get_content(self, commit_hash: str) -> BaseModel: ...
    @overload
    def get_content(self, commit_hash: str, *, as_: type[C]) -> C: ...
    def get_contents(self, hashes: Iterable[str]) -> list[BaseModel]: ...
    def entries(
        self,
        *,
        at_commit: str | UnsetType | None = ...,
        include_skipped: bool = ...,
        limit: int | None = ...,
        newest: bool = ...,
    ) -> list[EntryInfo]: ...
    @overload
    def log(
        self,
        limit: int | None = ...,
        *,
        before: str | UnsetType | None = ...,
        order: Literal["time", "context"] = ...,
        contents: Literal[False] = ...,
    ) -> list[CommitInfo]: ...
    @overload
    def log(
        self,
        limit: int | None = ...,
        *,
        before: str | UnsetType | None = ...,
        order: Literal["time", "context"] = ...,
        contents: Literal[True],
    ) -> list[tuple[CommitInfo, BaseModel]]: ...
    def annotate(
        self,
        target_hash: str,
        priority: Priority | Literal["skip", "normal", "pinned"],
        *,
        reason: str | None = ...,
        expected_head: str | UnsetType | None = ...,
    ) -> PriorityAnnotation: ...
    def get_annotations(self, target_hash: str) -> list[PriorityAnnotation]: ...
    def query_by_config(
        self, field: ConfigField, operator: str, value: Any, *, limit: int | None = ...
    ) -> list[CommitInfo]: ...
    @overload
    def query(
        self,
        *conditions: Condition,
        branch_only: bool = ...,
        limit: int | None = ...,
        newest: bool = ...,
        after: str | None = ...,
        before: str | None = ...,
        contents: Literal[False] = ...,
    ) -> list[CommitInfo]: ...
    @overload
    def query(
        self,
        *conditions: Condition,
        branch_only: bool = ...,
        limit: int | None = ...,
        newest: bool = ...,
        after: str | None = ...,
        before: str | None = ...,
        contents: Literal[True],
    ) -> list[tuple[CommitInfo, BaseModel]]: ...
    def count(
        self,
        *conditions: Condition,
        branch_only: bool = ...,
        after: str | None = ...,
        before: str | None = ...,
    ) -> int: ...
    def search(
        self,
        text: str,
        *,
        branch_only: bool = ...,
        limit: int | None = ...,
        after: str | None = ...,
    ) -> list[SearchHit]: ...
    def info(self) -> TractInfo | None: ...
    def set_info(
        self,
        *,
        title: str | UnsetType | None = ...,
        metadata: Mapping[str, Any] | UnsetType | None = ...,
        expected_metadata: Mapping[str, Any] | UnsetType | None = ...,
        redact: bool = ...,
    ) -> TractInfo: ...
    def record_usage(
        self,
        usage: TokenUsage | Mapping[str, Any] | BaseModel | None,
        *,
        head_hash: str | UnsetType | None = ...,
        redact: bool = ...,
    ) -> CompiledContext: ...
    def fork(
        self,
        name: str,
        *,
        at_commit: str | UnsetType | None = ...,
        expected_head: str | UnsetType | None = ...,
    ) -> Self: ...
    def on(self, name: str) -> Self: ...
    def branches(self) -> list[BranchInfo]: ...
    def reached_by(self, hashes: Iterable[str]) -> dict[str, list[str]]: ...
    def delete_branch(
        self, name: str, *, force: bool = ..., expected_head: str | UnsetType | None = ...
    ) -> None: ...
    def reset(
        self,
        to_hash: str | None,
        *,
        reason: str | None = ...,
        expected_head: str | UnsetType | None = ...,
    ) -> BranchInfo: ...
    def reflog(self, branch: str | None = ...) -> list[ReflogEntry]: ...
    def tag(
        self,
        name: str,
        target_hash: str | UnsetType | None = ...,
        *,
        expected_head: str | UnsetType | None = ...,
    ) -> TagInfo: ...
    def tags(self) -> list[TagInfo]: ...
    def delete_tag(self, name: str, *, expected_head: str | UnsetType | None = ...) -> None: ...
    def diff(self, a: str | None, b: str | None) -> ContextDiff: ...
    def compare(self, names: Iterable[str]) -> list[BranchComparison]: ...
    def stats(self) -> BranchStats: ...
    def merge(
        self,
        branch: str,
        *,
        on_conflict: OnConflict = ...,
        fast_forward: bool = ...,
        squash: BaseModel | Mapping[str, Any] | Resolution | None = ...,
        message: str | None = ...,
        expected_head: str | UnsetType | None = ...,
    ) -> MergeResult: ...
    def cherry_pick(
        self, *hashes: str, expected_head: str | UnsetType | None = ...
    ) -> list[CommitInfo]: ...
    def origins(self, commit_hash: str | UnsetType | None = ...) -> list[Origin]: ...
    def stream(
        self,
        *,
        role: Literal["system", "user", "assistant"] = ...,
        name: str | None = ...,
        generation_config: Mapping[str, Any] | None = ...,
        metadata: Mapping[str, Any] | None = ...,
        message: str | None = ...,
        on_interrupt: OnInterrupt = ...,
        redact: bool = ...,
        key: str | None = ...,
        on_key: OnKey = ...,
        expected_head: str | UnsetType | None = ...,
    ) -> SyncStream: ...
    def record(
        self,
        reply: object,
        *,
        generation_config: Mapping[str, Any] | None = ...,
        metadata: Mapping[str, Any] | None = ...,
        message: str | None = ...,
        head_hash: str | UnsetType | None = ...,
        expected_head: str | UnsetType | None = ...,
        redact: bool = ...,
    ) -> list[CommitInfo]: ...
    def record_stream(
        self, response: Iterable[T], **options: Unpack[RecordOptions]
    ) -> SyncRecording[T]: ...
    def record_openai(
        self, response: Iterable[T], **options: Unpack[RecordOptions]
    ) -> SyncRecording[T]: ...
    def record_anthropic(
        self, response: Iterable[T], **options: Unpack[RecordOptions]
    ) -> SyncRecording[T]: ...
    @overload
    def watch(
        self, after: str | None = ..., *, resets: Literal[False] = ...
    ) -> SyncWatch[CommitInfo]: ...
    @overload
    def watch(
        self, after: str | None = ..., *, resets: bool
    ) -> SyncWatch[CommitInfo | BranchReset]: ...
    def register_content_type(
        self,
        name: str,
        model: type[BaseModel],
        *,
        state: bool = ...,
        priority: Priority | Literal["skip", "normal", "pinned"] | None = ...,
        redact: bool | None = ...,
    ) -> None: ...
    def erase(
        self, hashes: Iterable[str], *, reason: str, vacuum: bool = ...
    ) -> ErasureReceipt: ...
    def prune(
        self,
        *,
        before: datetime | str | None = ...,
        keep: int | None = ...,
        reason: str,
        progress: Callable[[PruneProgress], object] | None = ...,
    ) -> PruneReceipt: ...
    def verify(self) -> VerifyReport: ...
    def aclose(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

class SyncStore:
    @classmethod
    def open(
        cls,
        target: str | PathLike[str] = ...,
        *,
        config: TractConfig | None = ...,
        tokenizer: TokenCounter | None = ...,
        compiler: ContextCompiler | None = ...,
        content_types: Mapping[str, type[BaseModel] | ContentType] | None = ...,
        telemetry: Instrumentation | None = ...,
    ) -> Self: ...
    def tract(self, tract_id: str, *, branch: str = ...) -> SyncTract: ...
    def transaction(self) -> SyncTransaction: ...
    def tract_ids(self) -> list[str]: ...
    def tracts(
        self,
        *,
        prefix: str = ...,
        metadata: Mapping[str, Any] | None = ...,
        order_by: Literal["updated", "created", "id"] = ...,
        descending: bool | None = ...,
        after: str | None = ...,
        limit: int | None = ...,
    ) -> list[TractInfo]: ...
    def backup(
        self,
        path: str | PathLike[str],
        *,
        progress: Callable[[BackupProgress], object] | None = ...,
    ) -> None: ...
    def copy_tract(
        self, source: str, target: str, *, at: str | UnsetType | None = ...
    ) -> SyncTract: ...
    def export(
        self,
        path: str | PathLike[str],
        *,
        tracts: Iterable[str] | Mapping[str, str | UnsetType] | None = ...,
        progress: Callable[[CopyProgress], object] | None = ...,
    ) -> CopyReport: ...
    def import_(
        self, path: str | PathLike[str], *, progress: Callable[[CopyProgress], object] | None = ...
    ) -> CopyReport: ...
    def recover_streams(self, *, wait: bool = ...) -> list[SyncLeftStream]: ...
    def create_config_index(self, field: ConfigField) -> None: ...
    def enable_search(
        self, *, rebuild: bool = ..., progress: Callable[[int], object] | None = ...
    ) -> int: ...
    def disable_search(self) -> None: ...
    def search(
        self, text: str, *, limit: int | None = ..., after: str | None = ...
    ) -> list[SearchHit]: ...
    def erase_tract(
        self, tract_id: str, *, reason: str, vacuum: bool = ...
    ) -> TractErasureReceipt: ...
    def collect(self, *, progress: Callable[[int], object] | None = ...) -> CollectReport: ...
    def vacuum(self) -> VacuumReport: ...
    def info(self, *, exact: bool = ...) -> StoreInfo: ...
    def retain(
        self,
        retention: Retention | None = ...,
        *,
        reason: str,
        tract_ids: Iterable[str] | None = ...,
        progress: Callable[[PruneProgress], object] | None = ...,
    ) -> RetentionReport: ...
    def cache_info(self) -> CacheInfo: ...
    def register_content_type(
        self,
        name: str,
        model: type[BaseModel],
        *,
        state: bool = ...,
        priority: Priority | Literal["skip", "normal", "pinned"] | None = ...,
        redact: bool | None = ...,
    ) -> None: ...
    def aclose(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

class SyncBatch(StagedBranch):
    commits: list[CommitInfo]

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class SyncTransaction:
    commits: list[CommitInfo]
    receipts: list[ErasureReceipt]

    def on(
        self, tract: SyncTract, *, expected_head: str | UnsetType | None = ...
    ) -> StagedBranch: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class SyncStream:
    def write(self, delta: str) -> None: ...
    @property
    def text(self) -> str: ...
    @property
    def commit_info(self) -> CommitInfo | None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class SyncRecording(Generic[T]):
    @property
    def text(self) -> str: ...
    @property
    def reasoning(self) -> str: ...
    @property
    def tool_calls(self) -> list[ToolCall]: ...
    @property
    def usage(self) -> dict[str, Any] | None: ...
    @property
    def commits(self) -> list[CommitInfo]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> T: ...
    def aclose(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class SyncLeftStream:
    tract_id: str
    branch: str
    touched_at: datetime
    started_at: datetime

    @property
    def text(self) -> str: ...
    @property
    def tool_calls(self) -> list[ToolCall]: ...
    def commit(
        self, *, expected_head: str | UnsetType | None = ..., on_key: OnKey | None = ...
    ) -> list[CommitInfo]: ...
    def drop(self) -> None: ...

class SyncWatch(Generic[Item]):
    def __iter__(self) -> Self: ...
    def __next__(self) -> Item: ...
    def aclose(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
