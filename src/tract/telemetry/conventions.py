"""The names of spans, attributes and metrics, and what a span tells of a call and its result.

Attributes of `gen_ai` are those of version 0.1.0 of OpenTelemetry's GenAI conventions,
https://github.com/open-telemetry/semantic-conventions-genai. Those of `tract` are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tract.models.commit import CommitInfo
from tract.models.compaction import CompactionResult
from tract.models.erasure import CollectReport, ErasureReceipt, PruneReceipt, TractErasureReceipt
from tract.models.merging import MergeResult
from tract.storage.repositories import BranchName, CommitRow

__all__ = ["CALLS", "VERSION", "Attributes", "Call", "configured", "of_branch", "where"]

VERSION = "0.1.0"
"""Of the GenAI conventions."""

Attributes = dict[str, Any]

_REQUEST = {
    "model": "gen_ai.request.model",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}
"""Members of generation configs that have an attribute."""


class Call(NamedTuple):
    """A method of an engine whose calls are spans."""

    engine: str
    """The attribute of `Runtime`."""
    method: str
    span: str
    told: Callable[[Any], Attributes]
    """What the span says of the result."""


def where(place: object) -> Attributes:
    """Return the attributes of the branch or the tract that a call is about, if it is about one."""
    if isinstance(place, BranchName):
        return of_branch(place)
    return {"tract.id": place, "gen_ai.conversation.id": place} if isinstance(place, str) else {}


@lru_cache(maxsize=1_000)
def of_branch(branch: BranchName) -> Attributes:
    """Return the attributes of a branch, which are made once, and which nobody may change."""
    tract_id = branch.tract_id
    return {
        "tract.id": tract_id,
        "gen_ai.conversation.id": tract_id,
        "tract.branch": branch.branch,
    }


def configured(config: Mapping[str, Any] | None) -> Attributes:
    """Return the attributes of a generation config; values of other types are left out."""
    if not config:
        return {}
    return {
        name: value
        for key, name in _REQUEST.items()
        if isinstance(value := config.get(key), str | int | float) and not isinstance(value, bool)
    }


def _landed(infos: Sequence[CommitInfo]) -> Attributes:
    if not infos:
        return {"tract.commits": 0}
    last = infos[-1]
    return {
        "tract.commits": len(infos),
        "tract.head": last.commit_hash,
        "tract.tokens": sum(info.token_count for info in infos),
        **configured(last.generation_config),
    }


def _written(rows: Sequence[CommitRow]) -> Attributes:
    return {
        "tract.commits": len(rows),
        "tract.head": rows[-1].commit_hash if rows else "",
        "tract.tokens": sum(row.token_count for row in rows),
    }


def _transacted(landed: tuple[Sequence[CommitInfo], Sequence[ErasureReceipt]]) -> Attributes:
    return {"tract.commits": len(landed[0]), "tract.erasures": len(landed[1])}


def _merged(result: MergeResult) -> Attributes:
    return {"tract.merge.kind": result.kind.value, "tract.head": result.head_hash or ""}


def _compacted(result: CompactionResult | None) -> Attributes:
    if result is None:
        return {"tract.compaction.hidden": 0}
    return {
        "tract.head": result.commit_hash,
        "tract.compaction.hidden": len(result.hidden) + len(result.cleared),
        "tract.compaction.tokens_before": result.tokens_before,
        "tract.compaction.tokens_after": result.tokens_after,
    }


def _expanded(info: CommitInfo) -> Attributes:
    return {"tract.head": info.commit_hash}


def _erased(receipt: ErasureReceipt) -> Attributes:
    return {"tract.erased.commits": len(receipt.commits), "tract.erased.contents": receipt.contents}


def _erased_tract(receipt: TractErasureReceipt) -> Attributes:
    return {"tract.erased.commits": receipt.commits, "tract.erased.contents": receipt.contents}


def _pruned(receipt: PruneReceipt) -> Attributes:
    return {"tract.pruned.commits": receipt.deleted, "tract.erased.commits": receipt.erased}


def _collected(report: CollectReport) -> Attributes:
    return {"tract.collected.contents": report.contents, "tract.collected.nbytes": report.nbytes}


CALLS: Sequence[Call] = (
    Call("commits", "land", "tract.commit", _landed),
    Call("commits", "write_on", "tract.commit", _written),
    Call("transactions", "land", "tract.transaction", _transacted),
    Call("merging", "merge", "tract.merge", _merged),
    Call("merging", "cherry_pick", "tract.cherry_pick", _landed),
    Call("compactor", "compact", "tract.compact", _compacted),
    Call("compactor", "clear", "tract.clear_tool_results", _compacted),
    Call("compactor", "expand", "tract.expand", _expanded),
    Call("eraser", "erase", "tract.erase", _erased),
    Call("eraser", "erase_tract", "tract.erase_tract", _erased_tract),
    Call("eraser", "collect", "tract.collect", _collected),
    Call("pruner", "prune", "tract.prune", _pruned),
)
"""Calls that are spans of one shape; compiles and streams have shapes of their own."""
