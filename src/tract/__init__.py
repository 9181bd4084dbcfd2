"""Version control for the context windows of LLM agents, made for asyncio.

Everything public is here; see `AsyncTract` and `TractStore` for where to start.
"""

from __future__ import annotations

from tract.batch import Batch, StagedCommit
from tract.engine.cache import CacheInfo
from tract.engine.compiler import DefaultContextCompiler
from tract.engine.tokens import BaseTokenCounter, NullTokenCounter, TiktokenCounter
from tract.engine.watching import Watch
from tract.exceptions import (
    BlobNotFoundError,
    BranchBusyError,
    BranchExistsError,
    BranchNotFoundError,
    BranchNotMergedError,
    BudgetExceededError,
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    HeadMovedError,
    MergeConflictError,
    QueryError,
    RefNameError,
    SchemaVersionError,
    StorageError,
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    StoreFullError,
    TokenBudgetWarning,
    TokenizerUnavailableError,
    TractError,
)
from tract.formats.anthropic import to_anthropic
from tract.formats.openai import from_openai, to_openai
from tract.lifecycle import Opening
from tract.models.annotations import AnnotationContent, Priority, PriorityAnnotation
from tract.models.commit import CommitInfo, CommitOperation, VerifyFault, VerifyReport
from tract.models.conditions import ConfigTerm, config
from tract.models.config import BudgetAction, BudgetCallback, TokenBudgetConfig, TractConfig
from tract.models.content import (
    ArtifactContent,
    Content,
    ContentModel,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    OutputContent,
    ReasoningContent,
    ToolIOContent,
)
from tract.models.merging import Decision, MergeContent, OnConflict, Resolution
from tract.models.query import ConfigCondition, ConfigField, Operand, OperandKind
from tract.models.refs import (
    BranchComparison,
    BranchInfo,
    BranchStats,
    ConflictKind,
    ContextDiff,
    EntryChange,
    EntryDiff,
    MergeConflict,
    MergeKind,
    MergeResult,
    Origin,
    OriginKind,
    ReflogEntry,
    TagInfo,
)
from tract.models.watching import BranchReset
from tract.protocols import (
    UNSET,
    AnthropicArguments,
    CommitStep,
    CompiledContext,
    CompileSnapshot,
    ContextCompiler,
    Message,
    TokenCounter,
    TokenUsage,
    ToolCall,
    Unset,
    UnsetType,
)
from tract.recovery import LeftStream
from tract.store import TractStore
from tract.stream import OnInterrupt, Recording, Stream
from tract.streaming import RecordOptions
from tract.tract import AsyncTract, CommitOptions

__all__ = [
    "UNSET",
    "AnnotationContent",
    "AnthropicArguments",
    "ArtifactContent",
    "AsyncTract",
    "BaseTokenCounter",
    "Batch",
    "BlobNotFoundError",
    "BranchBusyError",
    "BranchComparison",
    "BranchExistsError",
    "BranchInfo",
    "BranchNotFoundError",
    "BranchNotMergedError",
    "BranchReset",
    "BranchStats",
    "BudgetAction",
    "BudgetCallback",
    "BudgetExceededError",
    "CacheInfo",
    "CommitInfo",
    "CommitNotFoundError",
    "CommitOperation",
    "CommitOptions",
    "CommitStep",
    "CompileSnapshot",
    "CompiledContext",
    "ConfigCondition",
    "ConfigField",
    "ConfigTerm",
    "ConflictKind",
    "Content",
    "ContentModel",
    "ContentValidationError",
    "ContextCompiler",
    "ContextDiff",
    "Decision",
    "DefaultContextCompiler",
    "DialogueContent",
    "EditTargetError",
    "EntryChange",
    "EntryDiff",
    "FreeformContent",
    "HeadMovedError",
    "InstructionContent",
    "LeftStream",
    "MergeConflict",
    "MergeConflictError",
    "MergeContent",
    "MergeKind",
    "MergeResult",
    "Message",
    "NullTokenCounter",
    "OnConflict",
    "OnInterrupt",
    "Opening",
    "Operand",
    "OperandKind",
    "Origin",
    "OriginKind",
    "OutputContent",
    "Priority",
    "PriorityAnnotation",
    "QueryError",
    "ReasoningContent",
    "RecordOptions",
    "Recording",
    "RefNameError",
    "ReflogEntry",
    "Resolution",
    "SchemaVersionError",
    "StagedCommit",
    "StorageError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreCorruptError",
    "StoreFullError",
    "Stream",
    "TagInfo",
    "TiktokenCounter",
    "TokenBudgetConfig",
    "TokenBudgetWarning",
    "TokenCounter",
    "TokenUsage",
    "TokenizerUnavailableError",
    "ToolCall",
    "ToolIOContent",
    "TractConfig",
    "TractError",
    "TractStore",
    "Unset",
    "UnsetType",
    "VerifyFault",
    "VerifyReport",
    "Watch",
    "config",
    "from_openai",
    "to_anthropic",
    "to_openai",
]
