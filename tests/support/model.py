"""A store in dicts and lists: what every call must return, worked out from scratch each time.

It uses the package's errors, enums and values, but none of its work: hashes, canonical JSON,
rendering, joining, token counts and queries are implemented a second time, as the design words
them. Only times come from the store; whether they are right is checked where they are taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from support.configs import Query, satisfies
from support.customs import CUSTOM, CUSTOM_DEFAULTS, custom_text
from support.histories import Repeated
from support.naive import Deed, canonical, entries, messages, rendered, shown
from support.tokens import tokens
from tract import (
    UNSET,
    BudgetAction,
    BudgetExceededError,
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    HeadMovedError,
    Message,
    ToolCall,
    TractError,
    UnsetType,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DEFAULTS: dict[str, dict[str, Any]] = {
    "dialogue": {"name": None},
    "tool_io": {"status": None, "call_id": None},
    "artifact": {"language": None},
    "output": {"format": "text"},
    **CUSTOM_DEFAULTS,
}
SECRETS = ("api_key", "authorization", "access_token", "x-api-key", "password")
DASHES = str.maketrans("", "", "-_ ")
REDACTED = "[redacted]"
Content = dict[str, Any]


def expanded(content: Content) -> Content:
    """Return a content with its long texts written out."""
    return {
        name: value.text if isinstance(value, Repeated) else value
        for name, value in content.items()
    }


def hidden(value: Any, *, secret: bool = False) -> Any:
    """Return a config or metadata as stored: without strings at or below a credential's key."""
    if isinstance(value, dict):
        return {key: hidden(v, secret=secret or _is_secret(key)) for key, v in value.items()}
    if isinstance(value, list):
        return [hidden(item, secret=secret) for item in value]
    return REDACTED if secret and isinstance(value, str) and value else value


def _is_secret(key: str) -> bool:
    return any(key.lower().translate(DASHES) == secret.translate(DASHES) for secret in SECRETS)


class Fault(NamedTuple):
    """The error that a call must raise: its exact class, and attributes that it must have."""

    kind: type[Exception]
    facts: Mapping[str, Any] = MappingProxyType({})


class Setup(NamedTuple):
    """The options with which a store is opened."""

    encoding: str = "o200k_base"
    roles: Mapping[str, str] = MappingProxyType({})
    registered: bool = True
    max_content_bytes: int = 32 * 1024 * 1024
    cache_max_bytes: int = 64 * 1024 * 1024
    max_tokens: int | None = None
    budget_action: BudgetAction = BudgetAction.REJECT
    remembers: bool = True

    def shown(self, content: Content) -> dict[str, Any]:
        """Return the message of a stored content."""
        kind = content["content_type"]
        role = self.roles.get(kind)
        if kind in CUSTOM:
            return {"role": role or "assistant", "content": custom_text(content)}
        message = rendered(content)
        if role is None:
            return message
        if kind == "tool_io":
            calls = message.get("tool_calls", [])
            text = f"{content['tool_name']}({calls[0]['function']['arguments']})" if calls else None
            return {"role": role, "content": message["content"] if text is None else text}
        return {**message, "role": role}

    def body_tokens(self, content: Content) -> int:
        """Return the tokens of a content as shown, without a message's overhead."""
        return self._body(self.shown(content))

    def _body(self, message: dict[str, Any]) -> int:
        texts = [message["content"] or ""]
        for call in message.get("tool_calls", []):
            texts += [call["function"]["name"], call["function"]["arguments"]]
        return sum(tokens(self.encoding, text) for text in texts)

    def count(self, message_list: Sequence[dict[str, Any]]) -> int:
        """Return the tokens of a whole message list."""
        total = 3 if message_list else 0
        for message in message_list:
            total += 3 + tokens(self.encoding, message["role"]) + self._body(message)
            if "name" in message:
                total += 1 + tokens(self.encoding, message["name"])
        return total


class View(NamedTuple):
    """The options of `compile` other than the place to compile at."""

    include_edit_annotations: bool = False
    aggregate_same_role: bool = True


class Draft(NamedTuple):
    """A commit to make; `target` is a hash, or the index of a draft of the same batch."""

    operation: str
    content: Content
    target: str | int | None = None
    message: str | None = None
    metadata: dict[str, Any] | None = None
    config: dict[str, Any] | None = None

    @property
    def stored(self) -> Content:
        """The content with all its fields."""
        return {**DEFAULTS.get(self.content["content_type"], {}), **expanded(self.content)}

    @property
    def blob(self) -> bytes:
        """The stored bytes of the content."""
        return canonical(self.stored).encode()


@dataclass(frozen=True)
class Commit:
    """A commit with the fields of `CommitInfo`, and its content."""

    commit_hash: str
    tract_id: str
    parent_hash: str | None
    content_hash: str
    content_type: str
    operation: str
    edit_target: str | None
    message: str | None
    token_count: int
    metadata: dict[str, Any] | None
    generation_config: dict[str, Any] | None
    created_at: datetime
    content: Content = field(repr=False)

    def info(self) -> dict[str, Any]:
        """Return the fields that its `CommitInfo` must have."""
        fields = {name: value for name, value in vars(self).items() if name != "content"}
        return {**fields, "merge_parent": None, "key": None}

    def annotation(self) -> dict[str, Any]:
        """Return the fields that its `PriorityAnnotation` must have."""
        return {
            "target_hash": self.edit_target,
            "priority": self.content["priority"],
            "reason": self.content["reason"],
            "commit_hash": self.commit_hash,
            "created_at": self.created_at,
        }


@dataclass
class Tract:
    """One tract: its commits in order of time, its branches, and its usage reports."""

    tract_id: str
    commits: dict[str, Commit] = field(default_factory=dict)
    heads: dict[str, str | None] = field(default_factory=dict)
    usages: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def history(self, head: str | None) -> list[Commit]:
        """Return a commit and its ancestors, oldest first."""
        found: list[Commit] = []
        while head is not None:
            found.append(self.commits[head])
            head = found[-1].parent_hash
        return found[::-1]

    def of_branch(self, branch: str) -> list[Commit]:
        """Return a branch's history, oldest first."""
        return self.history(self.heads.get(branch))

    def at_time(self, branch: str, moment: datetime) -> str | None:
        """Return the newest commit of a branch at or before a time."""
        hashes = [c.commit_hash for c in self.of_branch(branch) if c.created_at <= moment]
        return hashes[-1] if hashes else None

    def annotations(self, branch: str, target: str) -> list[dict[str, Any]]:
        """Return the priorities that a branch's history sets on a commit."""
        return [
            commit.annotation()
            for commit in self.of_branch(branch)
            if commit.operation == "annotate" and commit.edit_target == target
        ]

    def matching(self, query: Query) -> list[Commit]:
        """Return the commits that a query must find, in order of time."""
        return [c for c in self.commits.values() if satisfies(c.generation_config, query)]

    def context(self, head: str | None, setup: Setup, view: View | None = None) -> dict[str, Any]:
        """Return every field of the context at a head."""
        deeds = deeds_of(self.history(head))
        view = view or View()
        dicts = messages(deeds, **view._asdict(), render=setup.shown)
        visible = shown(deeds)
        hashes = [commit.commit_hash for commit in self.history(head)]
        usage = self.usages.get(head or "")
        return {
            "dicts": dicts,
            "messages": list(_as_messages(dicts, [entry["content"] for entry in visible])),
            "token_count": usage[0] if usage else setup.count(dicts),
            "token_source": f"api:{usage[0]}+{usage[1]}" if usage else f"tiktoken:{setup.encoding}",
            "commit_count": len(visible),
            "generation_configs": [entry["config"] for entry in visible],
            "commit_hashes": [hashes[entry["at"]] for entry in visible],
            "head_hash": head,
        }

    def refusal(
        self, branch: str, drafts: Sequence[Draft], expected: Any, setup: Setup
    ) -> Fault | None:
        """Return the error that committing *drafts* must raise, or None."""
        for draft in drafts:
            unknown = draft.content["content_type"] in CUSTOM and not setup.registered
            if unknown or len(draft.blob) > setup.max_content_bytes:
                return Fault(ContentValidationError)
        head = self.heads.get(branch)
        if expected is not UNSET and expected != head:
            return Fault(HeadMovedError, {"expected": expected, "actual": head})
        for index, draft in enumerate(drafts):
            fault = self._target_fault(branch, drafts[:index], draft)
            if fault is not None:
                return fault
        over = self.over_budget(branch, drafts, setup)
        if over is not None and setup.budget_action is BudgetAction.REJECT:
            facts = {"tokens": over, "max_tokens": setup.max_tokens}
            return Fault(BudgetExceededError, facts)
        return None

    def _target_fault(self, branch: str, before: Sequence[Draft], draft: Draft) -> Fault | None:
        target = draft.target
        if target is None:
            return None
        if isinstance(target, int):
            is_entry = target < len(before) and before[target].operation == "append"
            return None if is_entry else Fault(EditTargetError)
        if target not in self.commits and draft.operation == "annotate":
            return Fault(CommitNotFoundError, {"commit_hash": target})
        found = [c for c in self.of_branch(branch) if c.commit_hash == target]
        if not found or found[0].operation != "append":
            return Fault(EditTargetError, {"target": target})
        return None

    def over_budget(self, branch: str, drafts: Sequence[Draft], setup: Setup) -> int | None:
        """Return the tokens of the context if they would grow beyond a budget, else None."""
        if setup.max_tokens is None or not drafts:
            return None
        now, after = self.tokens(branch, [], setup), self.tokens(branch, drafts, setup)
        return after if after > max(setup.max_tokens, now) else None

    def tokens(self, branch: str, drafts: Sequence[Draft], setup: Setup) -> int:
        """Return the tokens of a branch's context after *drafts*, all of whose targets exist."""
        history = self.of_branch(branch)
        places = {commit.commit_hash: at for at, commit in enumerate(history)}
        deeds = deeds_of(history)
        for draft in drafts:
            target = draft.target
            at = len(history) + target if isinstance(target, int) else places.get(target or "")
            deeds.append(_deed(draft, at))
        return setup.count(messages(deeds, **View()._asdict(), render=setup.shown))

    def land(
        self, branch: str, drafts: Sequence[Draft], times: Sequence[datetime], setup: Setup
    ) -> list[Commit]:
        """Commit *drafts* at the times that the store gave them, and return the commits."""
        made: list[Commit] = []
        for draft, moment in zip(drafts, times, strict=True):
            target = draft.target
            if isinstance(target, int):
                target = made[target].commit_hash
            made.append(self._sealed(branch, draft, target, moment, setup))
            self.commits[made[-1].commit_hash] = made[-1]
            self.heads[branch] = made[-1].commit_hash
        return made

    def _sealed(
        self, branch: str, draft: Draft, target: str | None, moment: datetime, setup: Setup
    ) -> Commit:
        named = {
            "parent": self.heads.get(branch),
            "content_hash": hashlib.sha256(draft.blob).hexdigest(),
            "content_type": draft.content["content_type"],
            "operation": draft.operation,
            "timestamp": (moment - EPOCH) // MICROSECOND,
        }
        if target is not None:
            named["target"] = target
        return Commit(
            commit_hash=hashlib.sha256(canonical(named).encode()).hexdigest(),
            tract_id=self.tract_id,
            parent_hash=self.heads.get(branch),
            content_hash=named["content_hash"],
            content_type=named["content_type"],
            operation=draft.operation,
            edit_target=target,
            message=draft.message,
            token_count=0 if draft.operation == "annotate" else setup.body_tokens(draft.stored),
            metadata=hidden(draft.metadata),
            generation_config=hidden(draft.config),
            created_at=moment,
            content=draft.stored,
        )

    def report(
        self, branch: str, usage: tuple[int, int, int], head_hash: str | UnsetType | None
    ) -> Fault | None:
        """Record a usage report for a head, or return the error that this must raise."""
        head = self.heads.get(branch) if head_hash is UNSET else head_hash
        if head is None:
            return Fault(TractError)
        if head not in self.commits:
            return Fault(CommitNotFoundError, {"commit_hash": head})
        if usage[0]:  # a report of no prompt leaves the count as it was
            self.usages[head] = usage
        return None


def deeds_of(history: Sequence[Commit]) -> list[Deed]:
    """Return a history in the form that the naive fold takes."""
    places = {commit.commit_hash: at for at, commit in enumerate(history)}
    return [
        _deed(
            Draft(commit.operation, commit.content, None, config=commit.generation_config),
            places.get(commit.edit_target or ""),
        )
        for commit in history
    ]


def _deed(draft: Draft, target: int | None) -> Deed:
    content = draft.content["priority"] if draft.operation == "annotate" else draft.stored
    return Deed(draft.operation, content, target, draft.config)


def entry_hashes(history: Sequence[Commit]) -> list[str]:
    """Return the hashes of a history's entries, including hidden ones."""
    return [history[entry["at"]].commit_hash for entry in entries(deeds_of(history))]


def _as_messages(dicts: Sequence[dict[str, Any]], visible: Sequence[Content]) -> Iterator[Message]:
    """Yield dicts as messages, with the details of tool results that providers get."""
    results = (c for c in visible if c.get("direction") == "result")
    for plain in dicts:
        fields = {**plain, "tool_calls": tuple(_calls(plain))}
        if plain["role"] == "tool":
            content = next(results)
            fields["tool_name"] = content["tool_name"]
            fields["is_error"] = content["status"] == "error"
        yield Message(**fields)


def _calls(plain: dict[str, Any]) -> Iterator[ToolCall]:
    for call in plain.get("tool_calls", []):
        yield ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
