"""The default compiler: entries from commits, snapshots from entries, contexts from snapshots."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from tract.engine.compile.context import SnapshotContext
from tract.engine.compile.entries import Entry, bytes_of
from tract.engine.compile.fold import Making, Snapshot, fold_steps, gathered, with_changes
from tract.engine.compile.tally import BriefCounter, TooLongError
from tract.engine.compile.texts import Plain, TextChunk, lines_of
from tract.engine.contents.custom import (
    attachments_of,
    checked_messages,
    custom_text,
    nbytes_of_media,
    renders_itself,
    version_of,
)
from tract.engine.contents.provided import TOOLS, native_message, shown_content, without_results
from tract.engine.contents.registry import BUILT_IN, ContentRegistry, default_priority
from tract.engine.contents.rendering import PLAIN, marked, render
from tract.engine.tokens.counters import UNTRUSTED, BaseTokenCounter, counter_source, is_a_sum
from tract.engine.tokens.media import Beside, beside
from tract.exceptions import ContentValidationError
from tract.history.canonical import stored_json, unreadable
from tract.history.media import attachments_in, may_refer
from tract.models.annotations import Priority
from tract.models.compaction import COMPACTION
from tract.models.erasure import ERASED
from tract.protocols import (
    CommitStep,
    CompiledContext,
    CompileSnapshot,
    Message,
    TokenCounter,
    TokenUsage,
)

__all__ = ["DefaultContextCompiler", "SnapshotContext"]

_ERASED_TEXT = "[erased]"

_REMEMBERED = 64  # configs, each of which may hold a long prompt


class DefaultContextCompiler:
    """The compiler that stores use by default; see `ContextCompiler` for the contract.

    A subclass may override `render` to show contents in its own way.
    """

    def __init__(
        self,
        counter: TokenCounter,
        *,
        type_to_role: Mapping[str, str] | None = None,
    ) -> None:
        self.counter: TokenCounter = counter
        self.source: str = counter_source(counter)
        self._sums = counter if is_a_sum(counter) else None
        self.registry: ContentRegistry = ContentRegistry()
        self._roles = dict(type_to_role or {})
        self._configs: dict[str, str] = {}

    def render(self, content_type: str, fields: Mapping[str, Any]) -> Message:
        """Return the message for one content, given as the fields of its blob.

        A content whose type has `to_messages()` is shown by that, and does not come here.

        Raises:
            ContentValidationError: the type is custom and not registered with this store.
        """
        role = self._roles.get(content_type)
        if content_type in BUILT_IN:
            return render(content_type, fields, role)
        to_text = getattr(self._custom(content_type), "to_text", None)
        if to_text is None:
            return Message(role or "assistant", custom_text(fields))
        return Message(role or "assistant", str(to_text(self._loaded(content_type, fields))))

    def messages(self, content_type: str, fields: Mapping[str, Any]) -> tuple[Message, ...]:
        """Return the messages that show a content, one or several; see `render`."""
        if content_type == COMPACTION:
            content_type, fields = shown_content(content_type, fields)
        if content_type not in BUILT_IN:
            model = self._custom(content_type)
            to_messages = getattr(model, "to_messages", None)
            if to_messages is not None:
                return checked_messages(model, to_messages(self._loaded(content_type, fields)))
        return (self.render(content_type, fields),)

    def attachments(
        self, content_type: str, fields: Mapping[str, Any], messages: Sequence[Message]
    ) -> tuple[str, ...]:
        """Return the SHA-256 of each attachment that a content, or what it shows, refers to."""
        if content_type in BUILT_IN:
            return attachments_in(content_type, fields)
        return attachments_of(messages)

    def _custom(self, content_type: str) -> type[BaseModel]:
        model = self.registry.custom(content_type)
        if model is None:
            raise ContentValidationError(
                f"the content type {content_type!r} is not registered with this store. "
                "Register it with `register_content_type(name, model)`, or pass "
                "`content_types={name: model}` to `open`.",
                "content_type",
            )
        return model

    def _loaded(self, content_type: str, fields: Mapping[str, Any]) -> BaseModel:
        return self.registry.load(content_type, json.dumps(fields).encode())

    def count(self, messages: Iterable[Message]) -> int:
        """Return the tokens of all that messages hold."""
        return sum(map(self.body_tokens, messages))

    def body_tokens(self, message: Message) -> int:
        """Return the tokens of all that a message holds: texts, tool calls, thinking and media.

        Tool definitions cost what their JSON does.
        """
        if message.role is TOOLS:
            return self._tokens_of_tools(message)
        more = 0 if message.given is None else self._tokens_beside(message)
        if self._sums is not None:
            return self._sums.count_body(message) + more
        texts = [message.content or ""]
        texts.extend(text for call in message.tool_calls for text in (call.name, call.arguments))
        return sum(self.counter.count_text(text) for text in texts if text) + more

    def _beside(self, message: Message) -> Beside:
        """Return what a message holds beside its text and tool calls."""
        if isinstance(self.counter, BaseTokenCounter):
            return beside(message, self.counter.count_media)
        return beside(message)

    def _tokens_beside(self, message: Message) -> int:
        found = self._beside(message)
        return found.tokens + sum(map(self.counter.count_text, found.texts))

    def _tokens_of_tools(self, message: Message) -> int:
        text = message.native.text if message.native else "[]"
        return 0 if text == "[]" else self.counter.count_text(text)

    def source_of(self, content_type: str) -> str:
        """Return the `token_source` stored with the counts of a content type.

        It is empty if the text does not come from the built-in rendering: a later opening of the
        database may render the content differently, and has to count it again. A custom type that
        has a `render_version` says by that whether it does.
        """
        if type(self).render is not DefaultContextCompiler.render:
            return ""
        if self.source.startswith(UNTRUSTED):
            return ""
        if content_type in BUILT_IN:
            alike = content_type != "tool_io" or content_type not in self._roles
            return self.source if alike else ""
        model = self.registry.custom(content_type)
        if model is None or not renders_itself(model):
            return self.source
        version = version_of(model)
        return "" if version is None else f"{self.source} render:{version}"

    @property
    def ready(self) -> bool:
        """Whether counting can start without loading anything."""
        return self._sums is None or self._sums.ready

    @property
    def counts_incrementally(self) -> bool:
        """Whether a view knows its tokens without counting the whole list."""
        return self._sums is not None

    @property
    def tokens_for_reply(self) -> int:
        """What a context costs beside its messages."""
        return 0 if self._sums is None else self._sums.tokens_for_reply

    def gathered(self, snapshot: CompileSnapshot, hashes: Collection[str]) -> Snapshot:
        """Return a snapshot of nothing but some of the entries that *snapshot* shows."""
        assert isinstance(snapshot, Snapshot)
        shown = snapshot.entries.shown()
        return gathered([each for each in shown if each.commit_hash in hashes], self._sums)

    def saves_by_clearing(
        self, messages: Sequence[Message], body_tokens: int, placeholder: str
    ) -> bool:
        """Return True if messages cost less with *placeholder* in the place of their tool results.

        *body_tokens* is what they hold now. What nothing counts is taken to cost more than that. If
        the counter counts nothing at all, their length decides.
        """
        cleared = [without_results(each, placeholder) for each in messages]
        now, then = body_tokens, self.count(cleared)
        if self._uncounted(cleared) < self._uncounted(messages):
            return True
        return then < now or (then == now == 0 and _length(cleared) < _length(messages))

    def _uncounted(self, messages: Iterable[Message]) -> int:
        return sum(len(self._beside(each).uncounted) for each in messages)

    def empty(self) -> Snapshot:
        """Return the snapshot of a history without commits."""
        return Snapshot()

    def fold(self, snapshot: CompileSnapshot, steps: Sequence[CommitStep]) -> Snapshot:
        """Return the snapshot after *steps*."""
        assert isinstance(snapshot, Snapshot)
        return fold_steps(snapshot, steps, self._making, self._sums)

    @cached_property
    def _making(self) -> Making:
        return Making(self._entry, self._cleared, self._texts)

    def fold_at_once(
        self, snapshot: CompileSnapshot, steps: Sequence[CommitStep]
    ) -> Snapshot | None:
        """Return what `fold` does, or None if it would have to count long texts."""
        if type(self).fold is not DefaultContextCompiler.fold:
            return None
        assert isinstance(snapshot, Snapshot)
        sums = None if self._sums is None else BriefCounter(self._sums)
        try:
            return fold_steps(snapshot, steps, self._making, sums)
        except TooLongError:
            return None

    def view(
        self,
        snapshot: CompileSnapshot,
        usage: TokenUsage | None = None,
        *,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = True,
        include_erased: bool = False,
    ) -> CompiledContext:
        """Return the context that a model gets for *snapshot*."""
        assert isinstance(snapshot, Snapshot)
        if include_edit_annotations:
            snapshot = with_changes(snapshot, self._sums, _is_marked, self._remade)
        if include_erased:
            snapshot = with_changes(snapshot, self._sums, _is_placeholder, _unveiled)
        context = SnapshotContext(
            snapshot, self.source, joining=aggregate_same_role, beside=self._beside
        )
        if usage is not None:
            source = f"api:{usage.prompt_tokens}+{usage.completion_tokens}"
            return context.counted(usage.prompt_tokens, source)
        return context.counted(self._count(snapshot, context, aggregate_same_role), self.source)

    def _count(self, snapshot: Snapshot, context: SnapshotContext, joining: bool) -> int:
        if self._sums is not None:
            tokens = snapshot.joined_tokens if joining else snapshot.plain_tokens
            return tokens + self._sums.tokens_for_reply if snapshot.visible else 0
        count = snapshot.counts.get(joining)
        if count is None:
            count = self.counter.count_messages(context.to_dicts())
            count += sum(
                self._tokens_beside(message)
                for entry in snapshot.entries
                if entry.visible
                for message in entry.messages
                if message.given is not None
            )
            snapshot.counts[joining] = count
        return count

    @cached_property
    def _shows_as_given(self) -> bool:
        """Whether no subclass shows contents in its own way."""
        given, own = DefaultContextCompiler, type(self)
        return own.render is given.render and own.messages is given.messages

    @cached_property
    def _plain(self) -> Mapping[str, Plain]:
        """The types of nothing but text; none if a subclass shows contents in its own way."""
        if not self._shows_as_given:
            return {}
        return {
            each: Plain(
                teller, self._roles.get(each), default_priority(each, {}), self.source_of(each)
            )
            for each, teller in PLAIN.items()
        }

    def _entry(self, step: CommitStep) -> Entry:
        """Return the entry of a commit; most commits are of nothing but text, and made at once."""
        plain = self._plain.get(step.content_type)
        if plain is None:
            return self._entry_of_any(step)
        what = f"the content of the commit {step.commit_hash}"
        fields = stored_json(step.data, what)
        try:
            message = Message(*plain.tell(fields, plain.role))
        except (LookupError, TypeError, AttributeError):
            raise unreadable(what) from None
        body = tokens = 0
        sums = self._sums
        if sums is not None:
            trusted = step.token_source == plain.source != ""
            body = step.token_count if trusted else self.body_tokens(message)
            tokens = body + sums.count_overhead(message.role, message.name)
        config = self._shared(step.generation_config_json)
        nbytes = bytes_of(message, config)
        priority = plain.priority
        return Entry(step.commit_hash, message, body, tokens, config, priority, None, nbytes)

    def _texts(self, steps: Sequence[CommitStep]) -> TextChunk | None:
        """Return the chunk of commits that append a text each that joins no other, else None.

        None also stands for what is damaged: `_entry` says what is wrong with it.
        """
        lines = lines_of(steps, self._plain, self._sums, self._shared)
        return None if lines is None else TextChunk(lines)

    def _entry_of_any(self, step: CommitStep) -> Entry:
        what = f"the content of the commit {step.commit_hash}"
        fields = stored_json(step.data, what)
        try:
            if step.content_type == ERASED:
                return self._erased(step, fields)
            if step.content_type == COMPACTION:
                content_type, fields = shown_content(step.content_type, fields)
                step = step._replace(content_type=content_type)
        except (LookupError, TypeError):
            raise unreadable(what) from None
        try:
            messages = self._shown(step, fields)
        except (LookupError, TypeError, AttributeError):
            if self.registry.custom(step.content_type) is not None:
                raise  # an error in the custom model
            raise unreadable(what) from None
        try:
            priority = default_priority(step.content_type, fields)
        except ValueError:
            raise unreadable(what) from None
        entry = self._made(messages, step, priority)
        if entry.message.given is None:
            return entry
        if step.content_type == "native" and not may_refer(step.data):
            return entry  # without a walk through its item
        try:
            named = self.attachments(step.content_type, fields, messages)
        except (LookupError, TypeError, AttributeError):
            raise unreadable(what) from None
        if step.content_type not in BUILT_IN:
            entry = entry._replace(nbytes=entry.nbytes + nbytes_of_media(messages))
        return entry._replace(attachments=named)

    def _shown(self, step: CommitStep, fields: Mapping[str, Any]) -> tuple[Message, ...]:
        if step.content_type == "native" and self._shows_as_given:
            return (native_message(fields, self._roles.get("native"), step.data),)
        return self.messages(step.content_type, fields)

    def _cleared(self, entry: Entry, placeholder: str) -> Entry:
        """Return an entry whose tool results are *placeholder*, with their calls as they are."""
        messages = tuple(without_results(each, placeholder) for each in entry.messages)
        body = self.count(messages) if self._sums is not None else 0
        return entry._replace(
            message=messages[0],
            more=messages[1:],
            body_tokens=body,
            message_tokens=body + entry.message_tokens - entry.body_tokens,
            attachments=(),
            nbytes=entry.nbytes + sum(map(bytes_of, messages)),
        )

    def _erased(self, step: CommitStep, fields: Mapping[str, Any]) -> Entry:
        """Return an entry that the context leaves out, with the placeholder that it may show."""
        message = Message(fields["role"], _ERASED_TEXT)
        body = self.count((message,)) if self._sums is not None else 0
        overhead = 0 if self._sums is None else self._sums.count_overhead(message.role, None)
        return Entry(
            commit_hash=step.commit_hash,
            message=message,
            body_tokens=body,
            message_tokens=body + overhead,
            config_json=self._shared(step.generation_config_json),
            priority=Priority(fields["priority"] or default_priority(fields["of_type"], {})),
            nbytes=bytes_of(message, step.generation_config_json),
            erased=True,
        )

    def _made(self, messages: tuple[Message, ...], step: CommitStep, priority: Priority) -> Entry:
        message, more = messages[0], messages[1:]
        body = overhead = 0
        is_tools = message.role is TOOLS
        if self._sums is not None or is_tools:
            trusted = step.token_source == self.source_of(step.content_type) != ""
            if message.given is not None and step.content_type == "tool_io":
                trusted = False  # earlier releases counted its media as text
            body = step.token_count if trusted else self.count(messages)
        if self._sums is not None and not is_tools:
            overhead = self._sums.count_overhead(message.role, message.name)
            for each in more:
                overhead += self._sums.count_overhead(each.role, each.name)
        config = self._shared(step.generation_config_json)
        return Entry(
            commit_hash=step.commit_hash,
            message=message,
            body_tokens=body,
            message_tokens=body + overhead,
            config_json=config,
            priority=priority,
            nbytes=bytes_of(message, config) + (sum(map(bytes_of, more)) if more else 0),
            more=more,
        )

    def _shared(self, config_json: str | None) -> str | None:
        """Return one shared object for equal configs, as most commits of an agent have."""
        if config_json is None:
            return None
        if len(self._configs) >= _REMEMBERED:
            self._configs.clear()
        return self._configs.setdefault(config_json, config_json)

    def _remade(self, entry: Entry) -> Entry:
        message, *more = map(marked, entry.messages)
        body = self.count((message, *more)) if self._sums is not None else 0
        overhead = entry.message_tokens - entry.body_tokens
        return entry._replace(
            message=message, more=tuple(more), body_tokens=body, message_tokens=body + overhead
        )


def _length(messages: Iterable[Message]) -> int:
    return sum(len(message.content or "") for message in messages)


def _is_marked(entry: Entry) -> bool:
    return entry.edited and any(each.content is not None for each in entry.messages)


def _is_placeholder(entry: Entry) -> bool:
    return entry.erased and entry.message.role != TOOLS


def _unveiled(entry: Entry) -> Entry:
    return entry._replace(erased=False)
