"""Examples of commits, and the calls that make them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, TypedDict

from hypothesis import strategies as st
from pydantic import BaseModel

from support.configs import configs
from support.customs import CUSTOM_CONTENTS
from support.histories import LONG_TEXTS, WILD_TEXTS, contents, jsons
from support.model import Content, Draft, expanded
from support.stateful.same import MODELS
from tract import UNSET, AsyncTract, Batch, CommitInfo, CommitOperation, Priority, StagedCommit

_RARELY = st.sampled_from([False] * 24 + [True])
_LONG_CONTENTS = st.builds(
    lambda content, text: {**content, "text": text},
    st.sampled_from(
        [
            {"content_type": "instruction"},
            {"content_type": "dialogue", "role": "user"},
            {"content_type": "memo"},
        ]
    ),
    LONG_TEXTS,
) | st.builds(
    lambda text: {
        "content_type": "tool_io",
        "tool_name": "search",
        "direction": "call",
        "payload": text,
    },
    LONG_TEXTS,
)
_CONTENTS = contents(WILD_TEXTS, jsons(WILD_TEXTS))
CONTENTS: st.SearchStrategy[Content] = _RARELY.flatmap(
    lambda long: _LONG_CONTENTS if long else st.one_of(_CONTENTS, _CONTENTS, CUSTOM_CONTENTS)
)
SECRETS = st.sampled_from(["api_key", "Authorization", "X-API-Key", "passWord", "AccessToken"])
DEGREES: list[Any] = [0, 0.0, 0.5, 1, 1.0, True, False, "1", "", None, [1]]
"""Temperatures that a query may confuse with each other."""
CONFIGS: st.SearchStrategy[dict[str, Any] | None] = st.one_of(
    st.none(),
    st.just({}),
    st.fixed_dictionaries(
        {}, optional={"temperature": st.sampled_from(DEGREES), "a": jsons(WILD_TEXTS)}
    ),
    st.fixed_dictionaries({"temperature": st.sampled_from(DEGREES)}),
    st.dictionaries(SECRETS | WILD_TEXTS, st.dictionaries(SECRETS, jsons(WILD_TEXTS)), max_size=2),
    configs,
)
METADATA: st.SearchStrategy[dict[str, Any] | None] = (
    st.none() | st.just({}) | st.dictionaries(SECRETS | WILD_TEXTS, jsons(WILD_TEXTS), max_size=2)
)
NOTES = st.none() | WILD_TEXTS.map(lambda text: text.replace("\0", ""))
PRIORITIES = st.sampled_from([Priority.SKIP, Priority.SKIP, Priority.NORMAL, Priority.PINNED])


class Options(TypedDict, total=False):
    """Keywords that `commit` accepts here and in batches."""

    message: str | None
    metadata: dict[str, Any] | None
    generation_config: dict[str, Any] | None


@st.composite
def appends(draw: st.DrawFn) -> Draft:
    """Draw commits that add an entry."""
    return Draft("append", draw(CONTENTS), None, draw(NOTES), draw(METADATA), draw(CONFIGS))


@st.composite
def changes(draw: st.DrawFn, target: str | int) -> Draft:
    """Draw edits and annotations of *target*."""
    if draw(st.booleans()):
        return draw(appends())._replace(operation="edit", target=target)
    return draw(annotates(target))


@st.composite
def edits(draw: st.DrawFn, target: str | int) -> Draft:
    """Draw edits of *target*."""
    return draw(appends())._replace(operation="edit", target=target)


@st.composite
def annotates(draw: st.DrawFn, target: str | int) -> Draft:
    """Draw annotations of *target*."""
    return note(target, draw(PRIORITIES), draw(NOTES))


def note(target: str | int, priority: Priority, reason: str | None = None) -> Draft:
    """Return an annotation of *target*."""
    content = {"content_type": "annotation", "priority": priority.value, "reason": reason}
    return Draft("annotate", content, target)


def given_content(content: Content, *, as_model: bool) -> BaseModel | Mapping[str, Any]:
    """Return a content in a form that callers may pass."""
    content = expanded(content)
    if not as_model:
        return content
    fields = {name: value for name, value in content.items() if name != "content_type"}
    return MODELS[content["content_type"]](**fields)


def _options(draft: Draft) -> Options:
    return {
        "message": draft.message,
        "metadata": draft.metadata,
        "generation_config": draft.config,
    }


async def make(
    tract: AsyncTract, draft: Draft, *, as_model: bool = False, expected: Any = UNSET
) -> CommitInfo:
    """Commit a draft; look an annotation's commit up, since its call does not return it."""
    if draft.operation == "annotate":
        annotation = await tract.annotate(
            str(draft.target), Priority(draft.content["priority"]), reason=draft.content["reason"]
        )
        info = await tract.get_commit(annotation.commit_hash)
        assert info is not None
        return info
    return await tract.commit(
        given_content(draft.content, as_model=as_model),
        operation=CommitOperation(draft.operation),
        edit_target=None if draft.target is None else str(draft.target),
        expected_head=expected,
        **_options(draft),
    )


def stage(
    batch: Batch, draft: Draft, staged: list[StagedCommit], *, as_model: bool
) -> StagedCommit:
    """Stage a draft, whose target may be one of those already *staged*."""
    target = staged[draft.target] if isinstance(draft.target, int) else draft.target
    if draft.operation == "annotate":
        assert target is not None
        content = draft.content
        return batch.annotate(target, Priority(content["priority"]), reason=content["reason"])
    return batch.commit(
        given_content(draft.content, as_model=as_model),
        operation=CommitOperation(draft.operation),
        edit_target=target,
        **_options(draft),
    )


async def alone(call: Awaitable[CommitInfo]) -> list[CommitInfo]:
    """Return the one commit of a call."""
    return [await call]
