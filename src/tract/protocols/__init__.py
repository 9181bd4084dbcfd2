"""The values that all packages share, and the protocols that callers may implement.

Nothing here does I/O or knows how a context is stored; every other module may import it.
"""

from __future__ import annotations

from tract.protocols.contexts import (
    AnthropicArguments,
    CompiledContext,
    GoogleArguments,
    OpenCalls,
    ResponsesArguments,
)
from tract.protocols.extending import (
    CommitStep,
    CompileSnapshot,
    ContextCompiler,
    Instrumentation,
    TokenCounter,
)
from tract.protocols.messages import (
    UNSET,
    Loss,
    Message,
    OpenCall,
    StablePrefix,
    TokenUsage,
    ToolCall,
    Uncounted,
    Unset,
    UnsetType,
)

__all__ = [
    "UNSET",
    "AnthropicArguments",
    "CommitStep",
    "CompileSnapshot",
    "CompiledContext",
    "ContextCompiler",
    "GoogleArguments",
    "Instrumentation",
    "Loss",
    "Message",
    "OpenCall",
    "OpenCalls",
    "ResponsesArguments",
    "StablePrefix",
    "TokenCounter",
    "TokenUsage",
    "ToolCall",
    "Uncounted",
    "Unset",
    "UnsetType",
]
