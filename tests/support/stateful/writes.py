"""Calls that write: single commits, usage reports, forks."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from support.histories import WILD_TEXTS
from support.model import Draft
from support.stateful.base import Machine, on_loop
from support.stateful.drafts import (
    CONFIGS,
    alone,
    annotates,
    appends,
    edits,
    make,
    stage,
)
from support.stateful.opened import Place
from support.stateful.same import same_annotations, same_context, same_infos, spoil
from tract import (
    UNSET,
    CommitInfo,
    Priority,
    PriorityAnnotation,
    TokenUsage,
)

SAID: dict[str, Any] = {"content_type": "dialogue", "role": "user", "text": ""}
ANSWERED: dict[str, Any] = {**SAID, "role": "assistant"}
CALLED: dict[str, Any] = {
    "content_type": "tool_io",
    "tool_name": "search",
    "direction": "call",
    "payload": "",
}
GIVEN: dict[str, Any] = {**CALLED, "direction": "result"}
FLOODS = [[SAID], [SAID, ANSWERED], [SAID, CALLED, CALLED, GIVEN, GIVEN, ANSWERED]]
COUNTS = st.integers(0, 9) | st.integers(0, 2**53)


class Writes(Machine):
    """Rules that write."""

    @rule(data=st.data())
    @on_loop
    async def commit(self, data: st.DataObject) -> None:
        """Make one commit of any kind."""
        await self.commit_one(data)

    @rule(data=st.data())
    @on_loop
    async def commit_some(self, data: st.DataObject) -> None:
        """Make several commits, one after another."""
        for _ in range(data.draw(st.integers(2, 4), "commits")):
            await self.commit_one(data)

    async def commit_one(self, data: st.DataObject, place: Place | None = None) -> None:
        """Commit to some branch, and read it back."""
        place = place or self.place(data)
        changing = ["edit", "edit", "annotate"] if place.tract.commits else []
        kinds = ["append", "say", *changing]
        kind = data.draw(st.sampled_from(kinds), "kind")
        if kind == "append":
            await self._commit(data, place, data.draw(appends(), "draft"))
        elif kind == "say":
            await self._say(data, place)
        elif kind == "edit":
            draft = data.draw(edits(self.a_target(data, place)), "edit")
            await self._commit(data, place, draft)
        else:
            draft = data.draw(annotates(self.a_target(data, place)), "annotation")
            await self._annotate(place, draft)
        await self.look_again(data, place)

    async def _say(self, data: st.DataObject, place: Place) -> None:
        """Commit by the short verbs, which make instructions and dialogues."""
        verb = data.draw(st.sampled_from(["system", "user", "assistant"]))
        text, config = data.draw(WILD_TEXTS), data.draw(CONFIGS)
        name = None if verb == "system" else data.draw(st.none() | st.just("Ann"))
        content = {"content_type": "dialogue", "role": verb, "text": text, "name": name}
        if verb == "system":
            content = {"content_type": "instruction", "text": text}

        async def call() -> Sequence[CommitInfo]:
            named = {} if verb == "system" else {"name": name}
            said = getattr(place.handle, verb)
            return [await said(text, **named, generation_config=config, message="said")]

        await self.write(verb, place, [Draft("append", content, None, "said", None, config)], call)

    async def _annotate(self, place: Place, draft: Draft) -> None:
        target = str(draft.target)
        found: list[PriorityAnnotation] = []

        async def call() -> Sequence[CommitInfo]:
            priority, reason = Priority(draft.content["priority"]), draft.content["reason"]
            found.append(await place.handle.annotate(target, priority, reason=reason))
            info = await place.handle.get_commit(found[0].commit_hash)
            return [info] if info else []

        made = await self.write("annotate", place, [draft], call)
        same_annotations("annotate", found, [commit.annotation() for commit in made])
        if made:
            history = await place.handle.get_annotations(target)
            wanted = place.tract.annotations(place.branch, target)
            same_annotations("get_annotations", history, wanted)

    @precondition(lambda self: not self.flooded and self.unbounded())
    @rule(data=st.data())
    @on_loop
    async def flood(self, data: st.DataObject) -> None:
        """Add many entries at once, so that the history has several portions and chunks; once."""
        self.flooded = True
        place = self.place(data, bounded=False)
        size = data.draw(st.sampled_from([17, 66, 140]), "size")
        kinds = data.draw(st.sampled_from(FLOODS), "kinds")
        text = data.draw(st.sampled_from(["", "a", " !", "\n\n", "/!", "/!"]), "text")
        drafts: list[Draft] = []
        for at in range(size):
            content = {**kinds[at % len(kinds)]}
            field = "payload" if "payload" in content else "text"
            content[field] = f"{text}{'' if at % 5 else at % 7}"
            drafts.append(Draft("append", content, config={"at": at} if at % 5 == 0 else None))

        async def call() -> Sequence[CommitInfo]:
            async with place.handle.batch() as batch:
                for draft in drafts:
                    stage(batch, draft, [], as_model=False)
            return batch.commits

        await self.write("flood", place, drafts, call)
        await self.look_again(data, place)

    @rule(data=st.data())
    @on_loop
    async def record_usage(self, data: st.DataObject) -> None:
        """Record usage, which counts for that head until the API reports again.

        Stores that cannot show the context are left out: they keep the report and then raise.
        """
        place = self.place(data)
        if self.cannot_show(place, place.head):
            return
        for _ in range(data.draw(st.integers(1, 2), "reports")):
            await self._record(data, place)
        await self.look_again(data, place)

    async def _record(self, data: st.DataObject, place: Place) -> None:
        report, counts = self._report(data)
        given: list[Any] = [UNSET, UNSET, place.head, None, "other"]
        head_hash = data.draw(st.sampled_from(given), "head_hash")
        if head_hash == "other":
            head_hash = self.any_hash(data, place)
        head = place.head if head_hash is UNSET else head_hash
        if head in place.tract.commits and self.cannot_show(place, head):
            return
        fault = place.tract.report(place.branch, counts, head_hash)
        call = place.handle.record_usage(report, head_hash=head_hash)
        if fault is not None:
            await self.refused("record_usage", fault, call)
        else:
            setup = place.store.setup
            same_context("record_usage", await call, place.tract, head, setup)

    def _report(self, data: st.DataObject) -> tuple[Any, tuple[int, int, int]]:
        prompt, completion, cached = (
            data.draw(COUNTS),
            data.draw(COUNTS),
            data.draw(st.integers(0, 9)),
        )
        kind = data.draw(st.sampled_from(["openai", "anthropic", "ours"]), "shape")
        if kind == "ours":
            return TokenUsage(prompt, completion), (prompt, completion, prompt + completion)
        if kind == "openai":
            chat = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 7}
            return chat, (prompt, completion, 7)
        report = {
            "input_tokens": prompt,
            "output_tokens": completion,
            "cache_read_input_tokens": cached,
        }
        return report, (prompt + cached, completion, prompt + cached + completion)

    @precondition(lambda self: self.unbounded())
    @rule(data=st.data())
    @on_loop
    async def fork(self, data: st.DataObject) -> None:
        """Fork a branch at some commit, or before the first one."""
        place = self.place(data, bounded=False)
        if place.store.only is not None or not place.tract.commits:
            return
        name = f"fork-{len(place.tract.heads)}"
        commits = [*place.tract.commits, None]
        source = commits[data.draw(st.sampled_from(range(len(commits))), "source")]
        draft = Draft("append", {"content_type": "reasoning", "text": "here"})
        await place.handle.fork(name, at_commit=source)
        place.tract.heads[name] = source
        forked = place._replace(branch=name)
        await self.look_again(data, forked)
        await self.write("fork", forked, [draft], lambda: alone(make(forked.handle, draft)))
        for _ in range(3):
            await self.travel(data, forked)

    async def _commit(self, data: st.DataObject, place: Place, draft: Draft) -> None:
        expected = self.an_expected_head(data, place)
        as_model = data.draw(st.booleans(), "as model")
        given = deepcopy(draft)

        async def call() -> Sequence[CommitInfo]:
            info = await make(place.handle, given, as_model=as_model, expected=expected)
            spoil(given.metadata, given.config)
            return [info]

        made = await self.write(draft.operation, place, [draft], call, expected)
        if made:
            found = await place.handle.get_commit(made[0].commit_hash)
            same_infos("get_commit", [found] if found else [], made)
