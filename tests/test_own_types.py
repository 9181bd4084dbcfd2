"""Content types of an application that return messages, and the counts that their version keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from support.counters import WholeCounter, WordCounter
from support.opening import COUNTER
from support.pictures import in_base64, png
from tract import (
    AsyncTract,
    ContentValidationError,
    MediaPart,
    Message,
    TextPart,
    TiktokenCounter,
    TokenCounter,
    ToolCallPart,
    ToolResultPart,
    TractConfig,
)

APIS = ["openai.chat", "openai.responses", "anthropic.messages", "google.generate_content"]
PICTURE = png(300, 300, b"x" * 2000)


class Shot(BaseModel):
    """A screenshot that a user sends: one message of a text and an image."""

    title: str
    sha256: str

    def to_messages(self) -> Message:
        picture = MediaPart(kind="image", media_type="image/png", attachment=self.sha256)
        return Message.of("user", (TextPart(text=self.title), picture))


class Lookup(BaseModel):
    """A call and its result in one content: two messages."""

    render_version: ClassVar[int] = 1

    question: str
    answer: str

    def to_messages(self) -> list[Message]:
        arguments = json.dumps({"q": self.question})
        call = ToolCallPart(id="call_1", name="look_up", arguments=arguments)
        result = ToolResultPart(call_id="call_1", parts=(TextPart(text=self.answer),))
        return [Message.of("assistant", (call,)), Message.of("tool", (result,))]


class Exchange(BaseModel):
    """Texts of both sides; without a version."""

    asked: str
    said: str

    def to_messages(self) -> tuple[Message, ...]:
        return Message("user", self.asked), Message("assistant", self.said)


class Versioned(Exchange):
    render_version: ClassVar[int | str] = 1


class Raised(Exchange):
    """The same type, shown in another way by a later release of the application."""

    render_version: ClassVar[int | str] = 2

    def to_messages(self) -> tuple[Message, ...]:
        return (Message("user", f"{self.asked} {self.said} now"),)


class Careless(Raised):
    """Shown in another way under the old version."""

    render_version: ClassVar[int | str] = 1


class Titled(BaseModel):
    render_version: ClassVar[int | str] = "a"

    title: str

    def to_text(self) -> str:
        return f"title: {self.title}"


EXCHANGE = {"content_type": "exchange", "asked": "how are you", "said": "fine"}
TITLED = {"content_type": "titled", "title": "one"}


def requests_of(context: Any) -> dict[str, str]:
    written = {
        "openai.chat": context.to_openai(),
        "openai.responses": context.to_responses(),
        "anthropic.messages": context.to_anthropic(),
        "google.generate_content": context.to_google(),
    }
    return {api: json.dumps(given, default=repr) for api, given in written.items()}


@pytest.mark.parametrize("api", APIS)
async def test_the_parts_of_one_message_reach_every_api(api: str, target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        tract.register_content_type("shot", Shot)
        attached = await tract.attach(PICTURE, "image/png")
        await tract.commit(Shot(title="what is this", sha256=attached.sha256))
        stats = await tract.stats()
        report = await tract.verify()
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        tract.register_content_type("shot", Shot)
        context = await tract.compile()
    sent = requests_of(context)[api]

    assert "what is this" in sent
    assert in_base64(PICTURE) in sent
    assert context.losses == []
    assert (stats.attachments, report.faults) == (1, ())


@pytest.mark.parametrize("joined", [True, False])
async def test_a_content_may_be_a_call_and_its_result_for_every_api(
    joined: bool, target: Path | str
) -> None:
    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        tract.register_content_type("lookup", Lookup)
        await tract.user("When?")
        await tract.commit(Lookup(question="the date", answer="today it is"))
        await tract.assistant("Today.")
        context = await tract.compile(aggregate_same_role=joined)
        sent = requests_of(context)
        [_, entry, _] = await tract.entries()

    roles = ["user", "assistant", "tool", "assistant"]
    assert [message.role for message in context.messages] == roles
    assert context.commit_count == 3
    assert context.open_calls == []
    assert [message.role for message in entry.messages] == ["assistant", "tool"]
    assert entry.message == entry.messages[0]
    for api in APIS:
        assert all(word in sent[api] for word in ("look_up", "the date", "today it is")), api


async def test_a_call_without_its_result_is_open_under_the_commit_that_shows_it(
    target: Path | str,
) -> None:
    class Half(Lookup):
        def to_messages(self) -> list[Message]:
            return [Message("assistant", "Wait."), super().to_messages()[0]]

    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        tract.register_content_type("half", Half)
        info = await tract.commit(Half(question="q", answer="a"))
        [call] = (await tract.compile()).open_calls
        await tract.settle()

        assert (call.commit_hash, call.name) == (info.commit_hash, "look_up")
        assert (await tract.compile()).open_calls == []


@pytest.mark.parametrize(
    "counter",
    [TiktokenCounter(), WordCounter(), WholeCounter()],
    ids=lambda each: type(each).__name__,
)
async def test_several_messages_count_as_the_counter_counts_the_list(
    counter: Any, target: Path | str
) -> None:
    async with AsyncTract.open(target, tokenizer=counter) as tract:
        tract.register_content_type("exchange", Exchange)
        await tract.user("before")
        first = await tract.commit(EXCHANGE)
        second = await tract.assistant("after")
        await tract.commit(EXCHANGE)
        contexts = [await tract.compile(), await tract.compile(aggregate_same_role=False)]
        await tract.user("a text now", operation="edit", edit_target=first.commit_hash)
        await tract.commit(EXCHANGE, operation="edit", edit_target=second.commit_hash)
        contexts += [await tract.compile(), await tract.compile(aggregate_same_role=False)]
        contexts.append(await tract.compile(include_edit_annotations=True))
        marked = [message.content for message in contexts[-1].messages]
        await tract.annotate(second.commit_hash, "skip")
        contexts.append(await tract.compile())

    for context in contexts:
        assert context.token_count == counter.count_messages(context.to_dicts())
    assert len(contexts[0].messages) == len(contexts[1].messages) == 6
    assert [message.content for message in contexts[-1].messages][1:] == ["how are you", "fine"]
    assert [str(text).endswith(" [edited]") for text in marked] == [True] * 3 + [False] * 2


def opened(path: Path | str, counter: TokenCounter, **types: type[BaseModel]) -> Any:
    class Opened:
        async def __aenter__(self) -> AsyncTract:
            self.tract = await AsyncTract.open(path, tract_id="t", tokenizer=counter)
            for name, model in types.items():
                self.tract.register_content_type(name, model)
            return self.tract

        async def __aexit__(self, *of: object) -> None:
            await self.tract.aclose()

    return Opened()


async def test_the_count_of_a_version_is_kept_over_openings(target: Path | str) -> None:
    types: dict[str, type[BaseModel]] = {"exchange": Versioned, "titled": Titled}
    first, later = WordCounter(), WordCounter()
    async with opened(target, first, **types) as tract:
        await tract.commit(EXCHANGE)
        await tract.commit(TITLED)
        before = await tract.compile()
    async with opened(target, later, **types) as tract:
        after = await tract.compile()
        counted_by_compile = later.texts
        report = await tract.verify()

    assert first.texts.count("how are you") == 1
    assert counted_by_compile == []
    assert after.token_count == before.token_count == later.count_messages(after.to_dicts())
    assert report.faults == ()


@pytest.mark.parametrize(
    ("then", "now"),
    [(Exchange, Exchange), (Versioned, Raised), (Exchange, Versioned), (Versioned, Exchange)],
)
async def test_without_the_same_version_it_is_counted_anew(
    then: type[BaseModel], now: type[BaseModel], target: Path | str
) -> None:
    counter = WordCounter()
    async with opened(target, WordCounter(), exchange=then) as tract:
        await tract.commit(EXCHANGE)
    async with opened(target, counter, exchange=now) as tract:
        context = await tract.compile()
        counted = counter.texts
        report = await tract.verify()

    assert counted == [message.content for message in context.messages]
    assert context.token_count == counter.count_messages(context.to_dicts())
    assert report.faults == ()


async def test_verify_tells_a_version_that_does_not_keep_its_word(target: Path | str) -> None:
    async with opened(target, WordCounter(), exchange=Versioned) as tract:
        await tract.commit(EXCHANGE)
    async with opened(target, WordCounter(), exchange=Careless) as tract:
        [fault] = (await tract.verify()).faults

    assert fault.problem == "its token_count is 4, and its content has 5"


async def test_bytes_that_the_tract_was_never_given_are_refused(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="other", tokenizer=COUNTER) as other:
        attached = await other.attach(PICTURE, "image/png")
    async with AsyncTract.open(target, tract_id="mine", tokenizer=COUNTER) as tract:
        tract.register_content_type("shot", Shot)
        for _ in range(2):
            with pytest.raises(ContentValidationError, match="never given"):
                await tract.commit(Shot(title="x", sha256=attached.sha256))

        assert await tract.head() is None


@pytest.mark.parametrize(
    "returned",
    [
        None,
        7,
        "text",
        [],
        {"role": "user"},
        [Message("user", "x"), "text"],
        Message("", "x"),
        Message("$tools", "x"),
        [Message("user", "x"), Message(None, "y")],  # type: ignore[arg-type]
    ],
    ids="None number text empty dict mixed without tools no-text".split(),
)
async def test_what_are_no_messages_is_refused_at_the_commit(
    returned: Any, target: Path | str
) -> None:
    class Wrong(BaseModel):
        def to_messages(self) -> Any:
            return returned

    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        tract.register_content_type("wrong", Wrong)
        with pytest.raises(ContentValidationError, match="Wrong"):
            await tract.commit(Wrong())

        assert await tract.head() is None


@pytest.mark.parametrize("version", [1.5, "", "x" * 65, b"1", {"a": 1}], ids=repr)
async def test_a_version_that_is_none_is_refused_at_the_registration(
    version: Any, target: Path | str
) -> None:
    class Odd(Exchange):
        render_version: ClassVar[Any] = version

    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        with pytest.raises(ValueError, match="render_version"):
            tract.register_content_type("odd", Odd)


async def test_the_messages_say_their_roles_whatever_the_store_says_of_the_type(
    target: Path | str,
) -> None:
    config = TractConfig(type_to_role={"exchange": "system"})
    async with AsyncTract.open(target, tokenizer=COUNTER, config=config) as tract:
        tract.register_content_type("exchange", Exchange)
        await tract.commit(EXCHANGE)
        messages = (await tract.compile()).messages

    assert [message.role for message in messages] == ["user", "assistant"]
