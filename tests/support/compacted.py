"""Random histories that are shortened again and again, and what must hold of each shortening."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from pydantic import BaseModel

from providers.validators import APIS, problems
from tract import (
    UNSET,
    AsyncTract,
    BaseTokenCounter,
    CompactionError,
    CompactionRequest,
    CompactionResult,
    CompactionTargetError,
    CompiledContext,
    DialogueContent,
    EntryInfo,
    MergeConflict,
    Message,
    Priority,
    ReasoningContent,
    ThinkingPart,
    ToolCallPart,
    ToolIOContent,
    ToolResultPart,
    TractStore,
    UnsetType,
    from_anthropic,
    from_responses,
)

__all__ = ["MODELS", "Shortened", "orphans", "seen"]

_SOME = 8
"""Each store without a cache compiles every commit from the beginning: of so many commits, one."""
INSTRUCTING = {"developer", "system"}
MODELS = {
    "openai.chat": "gpt-5-mini",
    "openai.responses": "gpt-5-mini",
    "anthropic.messages": "claude-sonnet-4-5",
    "google.generate_content": "gemini-2.5-flash",
}


class OddError(Exception):
    """What a summariser of the tests' raises."""


@dataclass(frozen=True)
class Seen:
    """A branch at one moment."""

    context: CompiledContext
    entries: list[EntryInfo]

    @property
    def stays(self) -> dict[str, tuple[Message, ...]]:
        """What no compaction may hide: the shown pins and instructions, with their messages."""
        return {
            entry.commit_hash: entry.messages
            for entry in self.entries
            if entry.commit_hash in self.context.commit_hashes
            and (entry.priority is Priority.PINNED or entry.role in INSTRUCTING)
        }

    @property
    def shown(self) -> list[tuple[str, tuple[Message, ...]]]:
        """The shown entries in order."""
        visible = {*self.context.commit_hashes}
        return [
            (entry.commit_hash, entry.messages)
            for entry in self.entries
            if entry.commit_hash in visible
        ]


async def seen(tract: AsyncTract, at: str | UnsetType | None = UNSET) -> Seen:
    """Look at a branch, or at one of its commits."""
    return Seen(
        await tract.compile(at_commit=at, aggregate_same_role=False),
        await tract.entries(include_skipped=True, at_commit=at),
    )


def orphans(messages: Sequence[Message]) -> set[str]:
    """Return the ids of calls without a result, and of results without a call of their own."""
    parts = [part for message in messages for part in message.parts]
    calls = Counter(str(part.id) for part in parts if isinstance(part, ToolCallPart))
    results = Counter(str(part.call_id) for part in parts if isinstance(part, ToolResultPart))
    return {each for each in calls | results if calls[each] != results[each]}


def spoken(messages: Sequence[Message]) -> str:
    """Return all that messages say, however they are joined."""
    return "".join("".join(message.content or "" for message in messages).split())


def counted(counter: BaseTokenCounter, context: CompiledContext) -> int:
    """Return the tokens of a context, all counted again: its list, and thinking beside that."""
    parts = [part for message in context.messages for part in message.parts]
    thought = [part.text for part in parts if isinstance(part, ThinkingPart) and part.text]
    return counter.count_messages(context.to_dicts()) + sum(map(counter.count_text, thought))


def plainly(context: CompiledContext) -> tuple[Any, ...]:
    """Return everything of a context that can be compared."""
    return (
        *(context.messages, context.token_count, context.commit_hashes, context.head_hash),
        context.generation_configs,
    )


class Shortened:
    """A tract that grows by random steps and is shortened between them; see `check`."""

    def __init__(
        self, store: TractStore, beside: TractStore, counter: BaseTokenCounter, seed: int
    ) -> None:
        """*beside* is another opening of the same database, as another process has it."""
        self.store = store
        self._beside = beside
        self._counter = counter
        self.tract: AsyncTract = store.tract("t")
        self._seed = seed
        self._random = Random(seed)
        self._native = seed % 2 == 0
        self._summarised: tuple[Sequence[str], str] | None = None
        self._names = ["main"]
        self._count = 0
        self.done = 0
        """How many shortenings were checked that wrote something."""

    async def grow(self, steps: int) -> None:
        """Take *steps* steps of any kind, and check each shortening."""
        await self.tract.system("be brief")
        often = (self._say, self._say, self._step, self._step, self._step, self._late)
        some = (self._edit, self._edit, self._annotate, self._annotate, self._fork, self._merge)
        short = (self._compact, self._compact, self._clear, self._expand, self._at_once)
        for _ in range(steps):
            await self._random.choice([*often, *some, *short])(self._some())

    def _some(self) -> AsyncTract:
        return self.store.tract("t", branch=self._random.choice(self._names))

    def _text(self) -> str:
        self._count += 1
        return f"text {self._count} " + "word " * self._random.randrange(12)

    # What grows

    async def _say(self, tract: AsyncTract) -> None:
        role: Any = self._random.choice(["user", "assistant", "user"])
        config = self._random.choice([None, {"n": self._count}])
        said = DialogueContent(role=role, text=self._text())
        await tract.commit(said, generation_config=config)

    async def _step(self, tract: AsyncTract) -> None:
        """Commit what a model thinks and calls, and some of the results."""
        ids = [self._id() for _ in range(self._random.randrange(1, 4))]
        kinds = [self._calls]
        if self._native:
            kinds += [self._thought, self._anthropic, self._responses]
        async with tract.batch() as batch:
            for content in self._random.choice(kinds)(ids):
                batch.commit(content)
        await self._answer(tract, [each for each in ids if self._random.random() < 0.85])

    def _id(self) -> str:
        self._count += 1
        return f"call_{self._count}"

    def _calls(self, ids: Sequence[str]) -> list[BaseModel]:
        return [_io("call", each, {"at": each}) for each in ids]

    def _thought(self, ids: Sequence[str]) -> list[BaseModel]:
        return [ReasoningContent(text=self._text()), *self._calls(ids)]

    def _anthropic(self, ids: Sequence[str]) -> list[BaseModel]:
        thinking = {"type": "thinking", "thinking": self._text(), "signature": "c2ln"}
        uses = [{"type": "tool_use", "id": each, "name": "look", "input": {}} for each in ids]
        return [*from_anthropic([{"role": "assistant", "content": [thinking, *uses]}])]

    def _responses(self, ids: Sequence[str]) -> list[BaseModel]:
        thinking = {"type": "reasoning", "id": f"rs_{ids[0]}", "summary": [], "content": []}
        calls = [
            {
                "type": "function_call",
                "id": f"fc_{each}",
                "call_id": each,
                "name": "look",
                "arguments": "{}",
            }
            for each in ids
        ]
        return [*from_responses([{**thinking, "encrypted_content": "abc"}, *calls])]

    async def _answer(self, tract: AsyncTract, ids: Sequence[str]) -> None:
        shuffled = self._random.sample(ids, len(ids))
        for each in shuffled:
            if self._random.random() < 0.1:
                await self._say(tract)
            await tract.commit(_io("result", each, f"found {self._text()}"))

    async def _late(self, tract: AsyncTract) -> None:
        """Answer a call that was left open."""
        calls = [str(call.id) for call in (await tract.compile()).open_calls]
        await self._answer(tract, calls[:1])

    async def _entry(self, tract: AsyncTract) -> EntryInfo | None:
        entries = await tract.entries(include_skipped=True)
        return self._random.choice(entries) if entries else None

    async def _edit(self, tract: AsyncTract) -> None:
        entry = await self._entry(tract)
        if entry is None or entry.role in INSTRUCTING:
            return
        parts = entry.message.parts
        results = [part for part in parts if isinstance(part, ToolResultPart)]
        if any(isinstance(part, ToolCallPart) for part in parts) or len(entry.messages) > 1:
            return  # its results would be left alone
        content: BaseModel = DialogueContent(role="user", text=self._text())
        if results:
            content = _io("result", str(results[0].call_id), self._text())
        await tract.commit(content, operation="edit", edit_target=entry.commit_hash)

    async def _annotate(self, tract: AsyncTract) -> None:
        entry = await self._entry(tract)
        if entry is not None:
            priority = self._random.choice([Priority.PINNED, Priority.NORMAL, Priority.SKIP])
            await tract.annotate(entry.commit_hash, priority)

    async def _fork(self, tract: AsyncTract) -> None:
        if await tract.head() is not None and len(self._names) < 4:
            self._names.append(f"b{self._count}-{len(self._names)}")
            await tract.fork(self._names[-1])

    async def _merge(self, tract: AsyncTract) -> None:
        other = self._random.choice(self._names)
        if other != tract.branch and await tract.head() and await tract.on(other).head():

            def decide(conflict: MergeConflict) -> Any:
                return self._random.choice(["ours", "theirs"])

            await tract.merge(other, on_conflict=decide)
            await self._check_sound(tract)

    # What shortens

    async def _compact(self, tract: AsyncTract) -> None:
        before = await seen(tract)
        tokens = before.context.token_count
        target = self._random.choice([None, None, tokens * 3 // 4, tokens // 2, 5])
        kept = await self._entry(tract)
        keep = [kept.commit_hash] if kept is not None and self._random.random() < 0.5 else []
        calm, summarise = self._summariser(tract, before)
        plan = self._random.random() < 0.2
        options: dict[str, Any] = {
            "target_tokens": target,
            "keep_recent": self._random.choice([0, 1, 2, 6]),
            "keep": keep,
            "roll_up": self._random.random() < 0.4,
        }

        async def call() -> CompactionResult | None:
            if plan:
                made = await tract.plan_compaction(**options)
                await self._random.choice([self._annotate, self._say])(tract)
                return await tract.compact(summarise, plan=made)
            return await tract.compact(summarise, **options)

        done = await self._tried(tract, before, call, calm=calm and not plan)
        if done is None:
            return
        after = await seen(tract)
        if calm and not plan:
            assert target is None or done.tokens_after <= target
            assert {*keep} & {*before.context.commit_hashes} <= {*after.context.commit_hashes}
        if not options["roll_up"]:  # what an earlier compaction froze keeps its bytes
            assert not {*done.hidden} & {each.commit_hash for each in await tract.compactions()}
        await self._check(tract, done)
        if summarise is not None:
            await self._check_summarised(tract, done)

    def _summariser(self, tract: AsyncTract, before: Seen) -> tuple[bool, Any]:
        """Return whether a summariser leaves the tract alone, and the summariser."""
        kind = self._random.choice(["good", "good", "none", "bad", "meanwhile", "meanwhile"])
        alone = orphans(before.context.messages)

        async def good(request: CompactionRequest) -> str:
            assert orphans(request.context.messages) <= alone
            self._note(request)
            await asyncio.sleep(0)
            return self._random.choice(["short", "short", "a short summary", "", "long " * 60])

        async def bad(request: CompactionRequest) -> str:
            raise self._random.choice([OddError, asyncio.CancelledError])

        async def meanwhile(request: CompactionRequest) -> str:
            self._note(request)
            write = (self._say, self._step, self._late, self._edit, self._annotate, self._compacted)
            await self._random.choice(write)(tract)
            return "a summary"

        made = {"good": good, "none": None, "bad": bad, "meanwhile": meanwhile}
        return kind != "meanwhile", made[kind]

    def _note(self, request: CompactionRequest) -> None:
        """Take down what a summariser was given last."""
        self._summarised = request.context.commit_hashes, spoken(request.context.messages)

    async def _compacted(self, tract: AsyncTract) -> None:
        """Let another caller be first."""
        if self._random.random() < 0.5:
            await tract.clear_tool_results(keep=0)
        else:
            await tract.compact(None, keep_recent=1)

    async def _tried(
        self,
        tract: AsyncTract,
        before: Seen,
        call: Callable[[], Awaitable[CompactionResult | None]],
        *,
        calm: bool,
    ) -> CompactionResult | None:
        """Call; where it raises or has nothing to do, check that nothing was written."""
        task = asyncio.ensure_future(call())
        is_cancelled = self._random.random() < 0.1
        if is_cancelled:
            asyncio.get_running_loop().call_later(self._random.uniform(0, 0.004), task.cancel)
        error: BaseException | None = None
        done = None
        try:
            done = await task
        except (CompactionError, OddError, asyncio.CancelledError) as caught:
            error = caught
        if is_cancelled:  # what a cancelled call was writing has landed once another write has
            await self.store.tract("beside").user("next")
        if isinstance(error, CompactionTargetError) and error.tokens is None:
            assert error.floor <= before.context.token_count or not calm
        if done is None and calm:
            await self._check_nothing(tract, before, error, is_cancelled=is_cancelled)
        return done

    async def _check_nothing(
        self, tract: AsyncTract, before: Seen, error: BaseException | None, *, is_cancelled: bool
    ) -> None:
        """Check that nothing was written, or all of it by a call that was cancelled too late."""
        head = await tract.head()
        if is_cancelled and head != before.context.head_hash:
            made = await tract.get_commit(str(head))
            assert made is not None
            assert (made.operation, made.parent_hash) == ("compact", before.context.head_hash)
            await self._check_sound(tract)
            return
        assert head == before.context.head_hash, repr(error)

    async def _clear(self, tract: AsyncTract) -> None:
        before = await seen(tract)
        done = await tract.clear_tool_results(keep=self._random.randrange(4))
        if done is None:
            assert await tract.head() == before.context.head_hash
            return
        after = await seen(tract)
        assert after.context.commit_hashes == before.context.commit_hashes
        await self._check(tract, done)

    async def _expand(self, tract: AsyncTract) -> None:
        made = [each for each in await tract.compactions() if not each.undone]
        if made:
            last = made[-1].commit_hash == await tract.head()
            await tract.expand((made[-1] if last else self._random.choice(made)).commit_hash)
            await self._check_sound(tract)
            if last:
                before = await tract.compile(at_commit=(await tract.log(3))[-1].commit_hash)
                after = await tract.compile()
                assert after.to_dicts() == before.to_dicts()
                assert plainly(after)[:3] == plainly(before)[:3]

    async def _at_once(self, tract: AsyncTract) -> None:
        """Shorten one branch from several tasks, with a writer beside them."""

        async def summarise(request: CompactionRequest) -> str:
            await asyncio.sleep(0)
            return "a summary"

        before = await seen(tract)
        other = self._beside.tract("t", branch=tract.branch)
        *made, _, _ = await asyncio.gather(
            self._unless_overtaken(tract.compact(summarise, keep_recent=1)),
            self._unless_overtaken(other.compact(summarise, keep_recent=2)),
            tract.compact(None, keep_recent=2),
            other.clear_tool_results(keep=1),
            tract.user(self._text()),
            other.user(self._text()),
        )
        after = await seen(tract)
        assert before.stays.items() <= after.stays.items()
        assert orphans(after.context.messages) <= orphans(before.context.messages)
        for done in made:
            if done is not None:
                await self._check(tract, done)

    async def _unless_overtaken(
        self, compacting: Awaitable[CompactionResult | None]
    ) -> CompactionResult | None:
        """Return what a summary hid; None if three others were quicker, each for one summary."""
        try:
            return await compacting
        except CompactionError as error:
            if "changed each time" not in str(error):
                raise
            return None

    # What must hold

    async def _check(self, tract: AsyncTract, done: CompactionResult) -> None:
        """Check what a shortening left of what was shown by the commit before it."""
        self.done += 1
        made = await tract.get_commit(done.commit_hash)
        assert made is not None
        before, after = await seen(tract, made.parent_hash), await seen(tract, done.commit_hash)
        gone, shown = {*done.hidden}, dict(after.shown)
        assert before.stays.items() <= shown.items()
        assert not gone & {*shown}
        assert orphans(after.context.messages) <= orphans(before.context.messages)
        for at, tokens in (
            (made.parent_hash, done.tokens_before),
            (made.commit_hash, done.tokens_after),
        ):
            context = await tract.compile(at_commit=at)
            assert tokens == context.token_count
            assert tokens == counted(self._counter, context)
        left = [each for each in before.shown if each[0] not in gone]
        new = [each for each in after.shown if each[0] != done.commit_hash]
        assert [each for each, _ in new] == [each for each, _ in left]
        changed = {one[0] for one, other in zip(left, new, strict=True) if one != other}
        assert changed <= {*done.cleared}
        self._check_prefix(before, after, gone | {*done.cleared})
        await self._check_sound(tract)

    async def _check_summarised(self, tract: AsyncTract, done: CompactionResult) -> None:
        """Check that a summariser was given what its summary hides, as it was shown until then."""
        made = await tract.get_commit(done.commit_hash)
        assert made is not None
        shown = dict((await seen(tract, made.parent_hash)).shown)
        assert self._summarised is not None
        hashes, text = self._summarised
        assert hashes == [*done.hidden]
        assert text == spoken([each for named in done.hidden for each in shown[named]])

    def _check_prefix(self, before: Seen, after: Seen, touched: set[str]) -> None:
        """Check that what stands before the first touched entry is the same to the byte."""
        first = next(at for at, (each, _) in enumerate(before.shown) if each in touched)
        assert after.shown[:first] == before.shown[:first]
        count = sum(len(messages) for _, messages in before.shown[:first])
        old, new = before.context.to_dicts()[:count], after.context.to_dicts()[:count]
        assert repr(old) == repr(new)

    async def _check_sound(self, tract: AsyncTract) -> None:
        """Check that every API takes what the branch shows."""
        context = await tract.compile()
        # Two APIs take no list without a message. There is none beside instructions if nobody speaks,
        # and if all that is left are results whose call's message is skipped.
        speaks = any(message.role not in {*INSTRUCTING, "tool"} for message in context.messages)
        for api in APIS:
            request = context.request(api, model=MODELS[api])
            found = problems(api, {"model": MODELS[api], **request}, model=MODELS[api])
            assert [each for each in found if speaks or "not-empty" not in each] == [], (api, found)

    async def undo_all(self) -> None:
        """Shorten several times and undo it; the context must be the same as before."""
        tract = self.tract
        for made in await tract.compactions():
            if not made.undone:
                await tract.expand(made.commit_hash)
        before = await tract.compile()
        hashes = []
        for number in range(self._random.randrange(1, 5)):
            match self._random.randrange(4):
                case 0:
                    done = await tract.compact(lambda request: "short", keep_recent=4 - number)
                case 1:
                    done = await tract.compact(lambda request: "all", keep_recent=0, roll_up=True)
                case 2:
                    done = await tract.compact(None, keep_recent=3)
                case _:
                    done = await tract.clear_tool_results(keep=4 - number)
            if done is not None:
                hashes.append(done.commit_hash)
                assert (await tract.compile()).token_count == done.tokens_after
        if self._random.random() < 0.5:
            self._random.shuffle(hashes)
        for each in reversed(hashes):
            await tract.expand(each)
        after = await tract.compile()
        assert plainly(after)[:3] == plainly(before)[:3]
        assert after.generation_configs == before.generation_configs
        assert after.to_dicts() == before.to_dicts()

    async def everywhere(self) -> list[tuple[Any, ...]]:
        """Return what each branch and some of the commits show, joined and apart."""
        commits = dict[str, AsyncTract]()  # those that branches share are looked at once
        heads = []
        for name in self._names:
            tract = self.store.tract("t", branch=name)
            heads.append(plainly(await tract.compile()))
            commits |= {info.commit_hash: tract for info in await tract.log(None)}
        return heads + [
            plainly(await tract.compile(at_commit=at, aggregate_same_role=joined))
            for at, tract in [*commits.items()][self._seed % _SOME :: _SOME]
            for joined in (True, False)
        ]


def _io(direction: Any, call_id: str, payload: Any) -> ToolIOContent:
    return ToolIOContent(tool_name="look", direction=direction, payload=payload, call_id=call_id)
