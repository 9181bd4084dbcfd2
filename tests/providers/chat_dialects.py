"""How the APIs that speak like Chat Completions differ in what they refuse: data, no code."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What one provider takes."""

    roles: frozenset[str] = frozenset({"system", "user", "assistant", "tool"})
    call_id: re.Pattern[str] = re.compile(r".{1,64}", re.DOTALL)
    parts: frozenset[str] = frozenset({"text", "image_url", "input_audio", "file"})
    """The kinds of parts that a user's message has."""
    thinking_parts: bool = False
    """The assistant's content has its thinking as a part (Mistral's magistral)."""
    user_after_tool: bool = True
    ends_with_assistant: bool = True
    empty_lists: bool = False
    """Contents and calls may be empty lists."""
    reasoning_goes_back: re.Pattern[str] | None = None
    """The models that want the `reasoning_content` of their calls of tools back."""
    images: frozenset[str] = _IMAGES


_LIKE_OPENAI = Dialect()

# "Invalid 'messages[10].tool_calls[0].id': string too long. Expected a string with maximum length
# 40" (langmanus/langmanus#119); a report of 2026 has 64 (jin-bo/agentao#321). Both take 40.
_OPENAI = replace(
    _LIKE_OPENAI,
    roles=_LIKE_OPENAI.roles | {"developer", "function"},
    call_id=re.compile(r".{1,40}", re.DOTALL),
)

DIALECTS = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    # "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9", "Unexpected role 'user'
    # after role 'tool'", "Expected last role User or Tool (or Assistant with prefix True) for
    # serving but got assistant" (opencode#1680, BerriAI/litellm#6323, 0xPlaygrounds/rig#1130).
    "mistral": replace(
        _LIKE_OPENAI,
        call_id=re.compile(r"[a-zA-Z0-9]{9}"),
        parts=_LIKE_OPENAI.parts | {"document_url", "thinking"},
        thinking_parts=True,
        user_after_tool=False,
        ends_with_assistant=False,
        empty_lists=True,
    ),
    # "The `reasoning_content` in the thinking mode must be passed back to the API."
    # (api-docs.deepseek.com/guides/thinking_mode, "Tool Calls")
    "deepseek": replace(_LIKE_OPENAI, reasoning_goes_back=re.compile(r"deepseek-(?:reasoner|v4)")),
    # openrouter.ai/docs/features/multimodal
    "openrouter": replace(
        _LIKE_OPENAI,
        roles=_LIKE_OPENAI.roles | {"developer"},
        parts=_LIKE_OPENAI.parts | {"video_url"},
    ),
    "groq": replace(_LIKE_OPENAI, roles=_LIKE_OPENAI.roles | {"developer"}),
}
"""By provider; one that is not here takes what most do."""


def dialect_of(provider: str) -> Dialect:
    """Return what *provider* takes."""
    return DIALECTS.get(provider, _LIKE_OPENAI)
