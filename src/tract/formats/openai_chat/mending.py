"""What of a message an API would refuse, mended on the way out.

A message of this API that was sent before needs none of it. What callers commit themselves may.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tract.formats.fitting import fitting_name
from tract.formats.format import Json, Sent, Writing
from tract.formats.openai_chat.shapes import REASONING, RULES, family

__all__ = ["fits_model", "mended"]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_WITH_DEVELOPERS = frozenset({None, "openai", "gpt-oss", "xai"})
"""The families, with those that are not known, that are instructed by a `developer`, too."""
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
_SAYING = ("tool_calls", "function_call", "refusal", "audio", "reasoning_details")
_GIVES_REASONING_BACK = re.compile(r"deepseek-(?:reasoner|v4)")
_MISTRALS = "prefix"
"""A key that Mistral's messages have; it takes empty lists."""

Lose = Callable[[str, str], None]


def _fit_name(name: str) -> str:
    """Return a speaker's name of letters, digits, `_` and `-`, of which there are at most 64."""
    return _UNFIT.sub("_", name)[:_LONGEST_NAME] or "_"


def mended(item: Json, sent: Sent, writing: Writing) -> Json | None:
    """Return a message that the API takes; None if it is not one. *item* is changed."""

    def lose(what: str, why: str) -> None:
        writing.lose(sent, what, why)

    role = item.get("role")
    if not isinstance(role, str):
        lose("native", "a message without a role")
        return None
    if role not in _ROLES:
        lose("role", f"Chat Completions has no role {role!r}, so it is sent as the user's")
        item["role"] = "user"
    if role == "developer" and family(writing.model) not in _WITH_DEVELOPERS:
        item["role"] = "system"
    _mend_calls(item)
    _mend_names(item, lose)
    _mend_thinking(item, writing.model, lose)
    _mend_content(item)
    _mend_audio(item)
    return item


def _mend_calls(item: Json) -> None:
    calls = item.get("tool_calls")
    if calls is None or (calls == [] and _MISTRALS in item):
        return
    if item["role"] != "assistant" or not isinstance(calls, list) or not calls:
        del item["tool_calls"]
        return
    for call in calls:
        if isinstance(call, dict):
            _mend_call(call)


def _mend_call(call: Json) -> None:
    call.setdefault("type", "function")
    given = "input" if call["type"] == "custom" else "arguments"
    called = call.get(call["type"] if isinstance(call["type"], str) else "function")
    if not isinstance(called, dict):
        return
    if isinstance(called.get("name"), str):
        called["name"] = fitting_name(called["name"], RULES)
    if not isinstance(called.get(given), str):
        called[given] = json.dumps(called.get(given) or {}, ensure_ascii=False)


def _mend_names(item: Json, lose: Lose) -> None:
    called = item.get("function_call")
    if isinstance(called, dict) and isinstance(called.get("name"), str):
        called["name"] = fitting_name(called["name"], RULES)
    name = item.get("name")
    if item["role"] == "function":
        item["name"] = fitting_name(name if isinstance(name, str) else "function", RULES)
    elif name is not None:
        fitted = _fit_name(str(name))
        if fitted != name:
            lose("name", f"names are letters, digits, `_` and `-`, so it is sent as {fitted!r}")
            item["name"] = fitted


def _mend_content(item: Json) -> None:
    content = item.get("content")
    if content is not None and (content != [] or _MISTRALS in item):
        return
    if item["role"] == "assistant" and any(item.get(key) for key in _SAYING):
        if content == []:
            item["content"] = None
    else:
        item["content"] = ""


def _mend_audio(item: Json) -> None:
    """Leave the id of what a model spoke, which is all that the API takes back."""
    audio = item.get("audio")
    if isinstance(audio, dict) and audio.get("id"):
        item["audio"] = {"id": audio["id"]}


def _mend_thinking(item: Json, model: str | None, lose: Lose) -> None:
    if item["role"] != "assistant":
        return
    kept = fits_model(item, model)
    if kept != item:
        lose("thinking", f"{model} did not think it")
        dropped = item.keys() - kept.keys()
        for key in dropped:
            del item[key]
        item.update(kept)
    calls = item.get("tool_calls")
    if model and calls and _GIVES_REASONING_BACK.match(model):
        if not isinstance(item.get("reasoning_content"), str):
            item["reasoning_content"] = ""  # "must be passed back", where there was none, too


def fits_model(item: Json, model: str | None) -> Json:
    """Return *item* without thinking that is known to be of other models than *model*'s."""
    wanted = family(model)
    if wanted is None:
        return item
    kept = dict(item)
    details = kept.get("reasoning_details")
    if isinstance(details, list):
        fit = [each for each in details if _fits(each, wanted)]
        if len(fit) != len(details):
            kept.pop("reasoning", None)
            kept["reasoning_details"] = fit
            if not fit:
                del kept["reasoning_details"]
    if wanted != "mistral" and isinstance(kept.get("content"), list):
        kept["content"] = [each for each in kept["content"] if not _is_thinking(each)]
    if wanted != "anthropic":
        kept.pop("thinking_blocks", None)
    if wanted != "google":
        kept.pop("extra_content", None)
        kept.pop("thought_signature", None)
    if wanted == "openai" and "/" not in str(model):  # not by way of OpenRouter
        for key in (*REASONING, "reasoning_details"):
            kept.pop(key, None)
    if isinstance(kept.get("tool_calls"), list) and wanted != "google":
        kept["tool_calls"] = [_unsigned(call) for call in kept["tool_calls"]]
    return kept


def _is_thinking(part: Any) -> bool:
    """Return True for a part that only Mistral's models have in their content."""
    return isinstance(part, dict) and part.get("type") == "thinking"


def _fits(detail: Any, wanted: str) -> bool:
    made_by = family(detail.get("format")) if isinstance(detail, dict) else None
    return made_by is None or made_by == wanted


def _unsigned(call: Any) -> Any:
    if not isinstance(call, dict) or "extra_content" not in call:
        return call
    return {key: value for key, value in call.items() if key != "extra_content"}
