"""Commits, contents and messages as lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

import tract
from tract.cli.escaping import block, clipped, line, width
from tract.cli.jsons import written
from tract.cli.output import Output

if TYPE_CHECKING:
    from tract import CommitInfo, CompactionContent, EntryDiff, Message, SyncTract

__all__ = [
    "Refs",
    "commit_details",
    "commit_line",
    "difference",
    "message_lines",
    "refs_of",
    "text_of",
]

Refs = Mapping[str, Sequence[str]]
"""The names of branches and tags by the commit that they point to."""

_SUBJECT = 4_000  # characters of a text that are looked at for one line


def refs_of(handle: SyncTract) -> Refs:
    """Return the names of a tract's branches and tags by commit."""
    found: dict[str, list[str]] = {}
    for branch in handle.branches():
        if branch.head_hash is not None:
            found.setdefault(branch.head_hash, []).append(branch.name)
    for tag in handle.tags():
        found.setdefault(tag.target_hash, []).append(f"tag: {tag.name}")
    return found


def commit_line(
    out: Output, commit: CommitInfo, content: object, refs: Refs, graph: str = ""
) -> str:
    """Return a commit as one escaped line: hash, time, names, kind, and how its text begins."""
    head = [
        out.styled(commit.commit_hash[:12], fg="yellow"),
        out.styled(commit.created_at.strftime("%Y-%m-%d %H:%M:%S"), dim=True),
    ]
    used = width(graph) + 12 + 1 + 19 + 1
    if names := refs.get(commit.commit_hash):
        shown = clipped(f"({line(', '.join(names))})", 60)
        head.append(out.styled(shown, fg="green", bold=True))
        used += width(shown) + 1
    kind = line(_kind(commit, content))
    head.append(out.styled(kind, fg="cyan"))
    used += width(kind) + 1
    room = None if out.columns is None else max(out.columns - used, 0)
    subject = line((commit.message or text_of(content))[:_SUBJECT], room)
    return graph + " ".join([*head, subject]).rstrip()


def commit_details(out: Output, commit: CommitInfo, names: Sequence[str]) -> Iterator[str]:
    """Yield the escaped lines of all that a commit has besides its content."""
    title = out.styled(f"commit {commit.commit_hash}", fg="yellow")
    shown = out.styled(f" ({line(', '.join(names))})", fg="green") if names else ""
    yield f"{title}{shown}"
    given: dict[str, object] = {
        "tract": commit.tract_id,
        "parent": commit.parent_hash,
        "merged": commit.merge_parent,
        "date": commit.created_at.isoformat(" "),
        "operation": commit.operation.value,
        "type": commit.content_type,
        "target": commit.edit_target,
        "tokens": commit.token_count,
        "key": commit.key,
        "message": commit.message,
        "metadata": commit.metadata,
        "config": commit.generation_config,
    }
    for name, value in given.items():
        if value is not None:
            text = value if isinstance(value, str) else written(value)
            yield f"{name + ':':<11}{line(text)}"


def text_of(content: object) -> str:
    """Return what a content says, not escaped: its texts, or else its fields as JSON."""
    if content is None:
        return ""
    for name in ("text", "content"):
        if isinstance(text := getattr(content, name, None), str):
            return text
    if isinstance(content, tract.ToolIOContent):
        return f"{content.direction} {content.tool_name} {_json(content.payload)}"
    for name in ("parts", "item", "payload"):
        value = getattr(content, name, None)
        if texts := list(_texts(value)):
            return "\n\n".join(texts)
    if isinstance(content, tract.CompactionContent):
        return _compacted(content)
    if isinstance(content, (tract.AnnotationContent, tract.ExpansionContent, tract.MergeContent)):
        return ""
    return _json(content)


def _compacted(content: CompactionContent) -> str:
    """Return what a compaction did, without the hashes of all that it hides, and its summary."""
    counts = {"hides": len(content.hides), "clears": len(content.clears)}
    did = [f"{verb} {n} {'entry' if n == 1 else 'entries'}" for verb, n in counts.items() if n]
    why = f" ({content.reason})" if content.reason else ""
    return ": ".join([f"{', '.join(did)}{why}", *_texts(content.summary)])


def message_lines(out: Output, message: Message) -> Iterator[str]:
    """Yield the escaped lines of one message of a context."""
    name = f" ({line(message.name)})" if message.name else ""
    yield out.styled(f"── {line(message.role)}{name}", fg="cyan", bold=True)
    for part in message.parts:
        if texts := list(_texts(part)):
            yield from (each for text in texts for each in _escaped(text))
        elif isinstance(part, tract.ToolCallPart):
            yield f"[call {line(part.name)} {line(part.arguments)}]"
        else:
            yield f"[{line(part.type)}]"


def difference(out: Output, entry: EntryDiff) -> Iterator[str]:
    """Yield the escaped lines of how an entry differs, texts as a unified diff."""
    changes = ", ".join(each.value for each in entry.changes)
    yield out.styled(f"{entry.commit_hash[:12]} {changes}", fg="yellow")
    if (
        entry.priority_before != entry.priority_after
        and entry.message_after
        and entry.message_before
    ):
        yield f"  priority {entry.priority_before} -> {entry.priority_after}"
    if entry.config_before != entry.config_after and entry.message_after and entry.message_before:
        yield f"  config {line(written(entry.config_before))} -> {line(written(entry.config_after))}"
    before, after = (_plain_lines(each) for each in (entry.message_before, entry.message_after))
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for number, each in enumerate(unified_diff(before, after, lineterm="", n=3)):
        if number > 1:  # after the names of the two files
            yield out.styled(f"  {each}", fg=colours.get(each[0]))


def _json(value: object) -> str:
    return json.dumps(json.loads(written(value)), ensure_ascii=False)


def _kind(commit: CommitInfo, content: object) -> str:
    operation = commit.operation.value
    if commit.edit_target is not None:
        priority = getattr(content, "priority", None)
        given = f" {getattr(priority, 'value', priority)}" if priority else ""
        return f"{operation}{given} {commit.edit_target[:8]}"
    role = getattr(content, "role", None)
    if operation != "append":
        return operation
    return role if isinstance(role, str) else commit.content_type


def _texts(value: object) -> Iterator[str]:
    """Yield the texts in parts, or in an item of an API, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, Mapping):
        for name in ("text", "content", "output", "parts", "refusal"):
            yield from _texts(value.get(name))
    elif isinstance(value, (tract.TextPart, tract.ThinkingPart, tract.RefusalPart)):
        yield value.text
    elif isinstance(value, tract.ToolResultPart):
        yield from _texts(value.parts)


def _plain_lines(message: Message | None) -> list[str]:
    if message is None:
        return []
    plain: dict[str, Any] = message.to_dict()
    text = plain.pop("content", None)
    lines = _escaped(text) if isinstance(text, str) else []
    others = {name: value for name, value in plain.items() if name != "role"}
    if text is not None and not isinstance(text, str):
        others["content"] = text
    return [f"[{plain.get('role')}]", *lines, *([line(written(others))] if others else [])]


def _escaped(text: str) -> list[str]:
    return block(text).split("\n")
