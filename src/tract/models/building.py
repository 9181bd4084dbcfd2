"""Pydantic validators of the models, built when first needed and not at import."""

from __future__ import annotations

from pydantic import BaseModel

from tract.models.annotations import AnnotationContent, PriorityAnnotation
from tract.models.commit import CommitInfo, VerifyFault, VerifyReport
from tract.models.content import (
    ArtifactContent,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    NativeContent,
    OutputContent,
    ReasoningContent,
    ToolIOContent,
    ToolsContent,
)
from tract.models.merging import MergeContent
from tract.models.refs import (
    BranchComparison,
    BranchInfo,
    BranchStats,
    ContextDiff,
    EntryDiff,
    MergeConflict,
    MergeResult,
    Origin,
    ReflogEntry,
    TagInfo,
)

__all__ = ["build_models"]

_MODELS: tuple[type[BaseModel], ...] = (
    AnnotationContent,
    ArtifactContent,
    BranchComparison,
    BranchInfo,
    BranchStats,
    CommitInfo,
    ContextDiff,
    DialogueContent,
    EntryDiff,
    FreeformContent,
    InstructionContent,
    MergeConflict,
    MergeContent,
    MergeResult,
    MessageContent,
    NativeContent,
    Origin,
    OutputContent,
    PriorityAnnotation,
    ReasoningContent,
    ReflogEntry,
    TagInfo,
    ToolIOContent,
    ToolsContent,
    VerifyFault,
    VerifyReport,
)


def build_models() -> None:
    """Build the validators that are missing; call this off the event loop."""
    for model in _MODELS:
        model.model_rebuild()
