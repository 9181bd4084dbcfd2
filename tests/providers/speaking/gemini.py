"""Gemini's generateContent, as a server speaks it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from providers.answers import Answer, Body, Seal, Speaker, exact, pieces, tokens
from providers.exchanges import Event
from providers.google_generate_content import Part, contents, current_turn

_DUMMIES = (b"skip_thought_signature_validator", b"context_engineering_is_the_way_to_go")


def _whole(answer: Answer, number: int, request: Body) -> Body:
    parts: list[Body] = []
    signature = base64.b64encode(f"{number}: {answer.thinking}??>>".encode()).decode()
    if answer.thinking:
        parts.append({"text": answer.thinking, "thought": True})
    if answer.text:
        parts.append({"text": answer.text})
    for place, call in enumerate(answer.calls):
        called = {"id": f"{number}-{place}", "name": call.name, "args": call.arguments}
        signed = {"thoughtSignature": signature} if place == 0 else {}
        parts.append({"functionCall": called, **signed})
    given, made = tokens(exact(request["contents"])), tokens(exact(parts))
    reason = "MAX_TOKENS" if answer.cut_off else "STOP"
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}
    return {
        "candidates": [candidate],
        "modelVersion": "gemini-3-pro-preview",
        "responseId": f"response-{number}",
        "usageMetadata": {
            "promptTokenCount": given,
            "candidatesTokenCount": made,
            "totalTokenCount": given + made,
        },
    }


def _events(whole: Body) -> Iterator[Event]:
    for part in whole["candidates"][0]["content"]["parts"]:
        if "text" not in part:
            yield _chunk(whole, part)
        for piece in pieces(part.get("text", "")):
            yield _chunk(whole, {**part, "text": piece})
    yield _chunk(whole, {"text": ""}, finishReason="STOP")


def _chunk(whole: Body, part: Body, **fields: str) -> Event:
    candidate = {"content": {"role": "model", "parts": [part]}, "index": 0, **fields}
    return Event(None, {**whole, "candidates": [candidate]})


def _calls(parts: list[Part]) -> list[Body]:
    return [dict(part.fields) for part in parts if "functionCall" in part.fields]


def _signed(parts: list[Part]) -> set[str]:
    """The signatures' bytes: clients write them in either alphabet of base64.

    The two dummies for calls that another model made (ai.google.dev/gemini-api/docs/
    thought-signatures) are none.
    """
    return {
        exact([call["functionCall"], _bytes(call["thoughtSignature"]).hex()])
        for call in _calls(parts)
        if "thoughtSignature" in call and _bytes(call["thoughtSignature"]) not in _DUMMIES
    }


def _bytes(signature: str) -> bytes:
    return base64.b64decode(signature.replace("-", "+").replace("_", "/"))


def _seals(whole: Body) -> list[Seal]:
    ((_, _, parts),) = contents({"contents": [whole["candidates"][0]["content"]]})
    calls = frozenset(call["functionCall"]["id"] for call in _calls(parts))
    return [Seal(calls, value) for value in _signed(parts)]


def _sent(request: Body) -> tuple[set[str], set[str]]:
    # Signatures of the turns before the current one are not asked for.
    current = [part for _, _, parts in current_turn(request) for part in parts]
    ids = {str(call["functionCall"].get("id")) for call in _calls(current)}
    return ids, {each for _, _, parts in contents(request) for each in _signed(parts)}


def _error(message: str) -> Body:
    return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}


SPEAKER = Speaker(
    api="google.generate_content",
    base="",
    whole=_whole,
    events=_events,
    seals=_seals,
    sent=_sent,
    error=_error,
)
