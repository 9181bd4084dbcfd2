"""One example of each kind of part: in neutral terms, and as the APIs that have it say it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tract import (
    ContentModel,
    DialogueContent,
    InstructionContent,
    MediaPart,
    MessageContent,
    Native,
    NativePart,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from tract.protocols.parts import Part

__all__ = ["ROWS", "Row"]

Json = dict[str, Any]
Kind = Literal["image", "audio", "video", "document"]

CHAT, RESPONSES = "openai.chat", "openai.responses"
ANTHROPIC, GOOGLE = "anthropic.messages", "google.generate_content"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A kind of part.

    Args:
        title: what the docs call it.
        markers: what shows that a request has it: part of a string, or a key with its value.
        parts: contents that have it in neutral terms; empty if nothing neutral says it.
        items: the same as APIs have it, by the names of the APIs.
    """

    title: str
    markers: tuple[str, ...]
    parts: Sequence[ContentModel] = ()
    items: dict[str, list[Json]] = field(default_factory=dict)


def _says(*parts: Part, role: str = "user") -> MessageContent:
    return MessageContent(role=role, parts=parts)


def _result(*parts: Part, call_id: str = "c_1", **how: Any) -> MessageContent:
    return _says(ToolResultPart(call_id=call_id, name="look", parts=parts, **how), role="tool")


def _call(**how: Any) -> MessageContent:
    given = {"id": "c_1", "name": "look", "arguments": "{}", **how}
    return _says(ToolCallPart(**given), role="assistant")


def _user(api: str, *blocks: Json) -> list[Json]:
    if api == GOOGLE:
        return [{"role": "user", "parts": [*blocks]}]
    return [{"role": "user", "content": [*blocks]}]


def _model(api: str, *blocks: Json) -> list[Json]:
    if api == GOOGLE:
        return [{"role": "model", "parts": [*blocks]}]
    if api == RESPONSES:
        return [*blocks]
    return [{"role": "assistant", "content": [*blocks]}]


PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 3
PDF = b"%PDF-1.7 some pages"
WAV = b"RIFF\x24\0\0\0WAVEfmt sounds"
MP4 = b"\0\0\0\x18ftypmp42 some film"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(kind: Kind, media_type: str, data: bytes) -> Row:
    text = _base64(data)
    url = f"data:{media_type};base64,{text}"
    source = {"type": "base64", "media_type": media_type, "data": text}
    items: dict[str, list[Json]] = {
        GOOGLE: _user(GOOGLE, {"inlineData": {"mimeType": media_type, "data": text}})
    }
    if kind == "image":
        items[CHAT] = _user(CHAT, {"type": "image_url", "image_url": {"url": url}})
        items[RESPONSES] = _user(
            RESPONSES, {"type": "input_image", "image_url": url, "detail": "auto"}
        )
    elif kind == "document":
        file = {"filename": "a.pdf", "file_data": url}
        items[CHAT] = _user(CHAT, {"type": "file", "file": file})
        items[RESPONSES] = _user(RESPONSES, {"type": "input_file", **file})
    elif kind == "audio":
        sound = {"data": text, "format": "wav"}
        items[CHAT] = _user(CHAT, {"type": "input_audio", "input_audio": sound})
    if kind in ("image", "document"):
        items[ANTHROPIC] = _user(ANTHROPIC, {"type": kind, "source": source})
    part = MediaPart(kind=kind, data=data, media_type=media_type)
    return Row(title=f"{_NAMES[kind]} as bytes", markers=(text,), parts=[_says(part)], items=items)


def _url(kind: Kind, media_type: str, suffix: str) -> Row:
    url = f"https://example.com/a.{suffix}"
    file = {"fileData": {"fileUri": url, "mimeType": media_type}}
    items: dict[str, list[Json]] = {GOOGLE: _user(GOOGLE, file)}
    if kind == "image":
        items[CHAT] = _user(CHAT, {"type": "image_url", "image_url": {"url": url}})
        items[RESPONSES] = _user(
            RESPONSES, {"type": "input_image", "image_url": url, "detail": "auto"}
        )
    if kind == "document":
        items[RESPONSES] = _user(RESPONSES, {"type": "input_file", "file_url": url})
    if kind in ("image", "document"):
        source = {"type": "url", "url": url}
        items[ANTHROPIC] = _user(ANTHROPIC, {"type": kind, "source": source})
    part = MediaPart(kind=kind, url=url, media_type=media_type)
    return Row(title=f"{_NAMES[kind]} by URL", markers=(url,), parts=[_says(part)], items=items)


_TYPES = {
    "audio": "audio/wav",
    "document": "application/pdf",
    "image": "image/png",
    "video": "video/mp4",
}
_NAMES = {"audio": "sound", "document": "document", "image": "image", "video": "video"}


def _file(owner: str, file_id: str, items: dict[str, list[Json]], kind: Kind = "document") -> Row:
    part = MediaPart(kind=kind, file_id=file_id, media_type=_TYPES[kind])
    return Row(
        title=f"{_NAMES[kind]} kept by {owner}",
        markers=(file_id,),
        parts=[_says(part)],
        items=items,
    )


_GOOGLES = "https://generativelanguage.googleapis.com/v1beta/files"
_OTHERS: tuple[Kind, ...] = ("image", "audio", "video")

MEDIA = [
    _bytes("image", "image/png", PNG),
    _url("image", "image/png", "png"),
    _bytes("document", "application/pdf", PDF),
    _url("document", "application/pdf", "pdf"),
    _bytes("audio", "audio/wav", WAV),
    _url("audio", "audio/wav", "wav"),
    _bytes("video", "video/mp4", MP4),
    _url("video", "video/mp4", "mp4"),
    _file(
        "OpenAI",
        "file-1",
        {
            CHAT: _user(CHAT, {"type": "file", "file": {"file_id": "file-1"}}),
            RESPONSES: _user(RESPONSES, {"type": "input_file", "file_id": "file-1"}),
        },
    ),
    _file(
        "Anthropic",
        "file_1",
        {
            ANTHROPIC: _user(
                ANTHROPIC, {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
            )
        },
    ),
    _file(
        "Google",
        f"{_GOOGLES}/1",
        {
            GOOGLE: _user(
                GOOGLE,
                {
                    "fileData": {
                        "fileUri": f"{_GOOGLES}/1",
                        "mimeType": "application/pdf",
                    }
                },
            )
        },
    ),
    _file(
        "OpenAI",
        "file-2",
        {
            RESPONSES: _user(
                RESPONSES, {"type": "input_image", "file_id": "file-2", "detail": "auto"}
            )
        },
        "image",
    ),
    _file(
        "Anthropic",
        "file_2",
        {
            ANTHROPIC: _user(
                ANTHROPIC, {"type": "image", "source": {"type": "file", "file_id": "file_2"}}
            )
        },
        "image",
    ),
    *(_file("Google", f"{_GOOGLES}/2", {}, kind) for kind in _OTHERS),
    Row(
        title="image's `detail`",
        markers=('"detail": "low"',),
        parts=[_says(MediaPart(kind="image", url="https://example.com/a.png", detail="low"))],
        items={
            CHAT: _user(
                CHAT,
                {
                    "type": "image_url",
                    "image_url": {"url": "https://example.com/a.png", "detail": "low"},
                },
            ),
            RESPONSES: _user(
                RESPONSES,
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
            ),
        },
    ),
    Row(
        title="image of the assistant's",
        markers=(_base64(PNG),),
        parts=[_says(MediaPart(kind="image", data=PNG, media_type="image/png"), role="assistant")],
        items={
            GOOGLE: _model(GOOGLE, {"inlineData": {"mimeType": "image/png", "data": _base64(PNG)}})
        },
    ),
]

WORDS = [
    Row(
        title="text",
        markers=("words",),
        parts=[DialogueContent(role="user", text="words")],
        items={
            CHAT: _user(CHAT, {"type": "text", "text": "words"}),
            RESPONSES: _user(RESPONSES, {"type": "input_text", "text": "words"}),
            ANTHROPIC: _user(ANTHROPIC, {"type": "text", "text": "words"}),
            GOOGLE: _user(GOOGLE, {"text": "words"}),
        },
    ),
    Row(
        title="refusal",
        markers=("I will not.",),
        parts=[_says(RefusalPart(text="I will not."), role="assistant")],
        items={
            CHAT: [{"role": "assistant", "content": None, "refusal": "I will not."}],
            RESPONSES: [
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "refusal", "refusal": "I will not."}],
                }
            ],
        },
    ),
    Row(
        title="speaker's name",
        markers=('"name": "ann"',),
        parts=[DialogueContent(role="user", text="Hi.", name="ann")],
        items={CHAT: [{"role": "user", "content": "Hi.", "name": "ann"}]},
    ),
    Row(
        title="later system message",
        markers=("Be brief.",),
        parts=[InstructionContent(text="Be brief.")],
        items={
            CHAT: [{"role": "developer", "content": "Be brief."}],
            RESPONSES: [{"type": "message", "role": "developer", "content": "Be brief."}],
            ANTHROPIC: [{"role": "system", "content": "Be brief."}],
        },
    ),
    Row(
        title="citations",
        markers=('"quoted',),
        items={
            ANTHROPIC: _model(
                ANTHROPIC,
                {
                    "type": "text",
                    "text": "words",
                    "citations": [
                        {
                            "type": "char_location",
                            "cited_text": '"quoted',
                            "document_index": 0,
                            "document_title": None,
                            "start_char_index": 0,
                            "end_char_index": 6,
                        }
                    ],
                },
            ),
            RESPONSES: [
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [
                        {
                            "type": "output_text",
                            "text": "words",
                            "annotations": [
                                {
                                    "type": "url_citation",
                                    "url": "https://example.com",
                                    "title": '"quoted',
                                    "start_index": 0,
                                    "end_index": 5,
                                }
                            ],
                        }
                    ],
                }
            ],
            CHAT: [
                {
                    "role": "assistant",
                    "content": "words",
                    "annotations": [{"type": "url_citation", "url_citation": {"title": '"quoted'}}],
                }
            ],
        },
    ),
    Row(
        title="cache hint",
        markers=('"cache_control": {"type": "ephemeral"}',),
        items={
            ANTHROPIC: _user(
                ANTHROPIC,
                {"type": "text", "text": "words", "cache_control": {"type": "ephemeral"}},
            ),
            CHAT: _user(
                CHAT, {"type": "text", "text": "words", "cache_control": {"type": "ephemeral"}}
            ),
        },
    ),
]

_SIGNED = {"type": "thinking", "thinking": "I must look.", "signature": "c2lnbmF0dXJl"}
_SAYS_SO = {"type": "text", "text": "words"}
THINKING = [
    Row(
        title="thinking, signed",
        markers=("I must look.",),
        parts=[
            _says(
                ThinkingPart(text="I must look.", signature="c2lnbmF0dXJl"),
                TextPart(text="words"),
                role="assistant",
            )
        ],
        items={
            ANTHROPIC: _model(ANTHROPIC, _SIGNED, _SAYS_SO),
            GOOGLE: _model(
                GOOGLE,
                {"text": "I must look.", "thought": True, "thoughtSignature": "c2lnbmF0dXJl"},
                {"text": "words"},
            ),
            CHAT: [{"role": "assistant", "content": "words", "reasoning_content": "I must look."}],
        },
    ),
    Row(
        title="thinking, encrypted or redacted",
        markers=("ZW5jcnlwdGVk",),
        parts=[
            _says(
                ThinkingPart(encrypted="ZW5jcnlwdGVk", id="rs_1"),
                TextPart(text="words"),
                role="assistant",
            )
        ],
        items={
            RESPONSES: _model(
                RESPONSES,
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [],
                    "encrypted_content": "ZW5jcnlwdGVk",
                },
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "words", "annotations": []}],
                },
            ),
            ANTHROPIC: _model(
                ANTHROPIC, {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"}, _SAYS_SO
            ),
        },
    ),
]

_CALLED: dict[str, list[Json]] = {
    CHAT: [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c_1",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"at": "Oslo"}'},
                }
            ],
        }
    ],
    RESPONSES: [
        {"type": "function_call", "call_id": "c_1", "name": "look", "arguments": '{"at": "Oslo"}'}
    ],
    ANTHROPIC: _model(
        ANTHROPIC, {"type": "tool_use", "id": "c_1", "name": "look", "input": {"at": "Oslo"}}
    ),
    GOOGLE: _model(GOOGLE, {"functionCall": {"id": "c_1", "name": "look", "args": {"at": "Oslo"}}}),
}


def _answered(api: str, content: Any, **how: Any) -> list[Json]:
    """Return a call with the result that an API has."""
    match api:
        case "openai.chat":
            answer = [{"role": "tool", "tool_call_id": "c_1", "content": content}]
        case "openai.responses":
            answer = [{"type": "function_call_output", "call_id": "c_1", "output": content}]
        case "anthropic.messages":
            result = {"type": "tool_result", "tool_use_id": "c_1", "content": content, **how}
            answer = _user(ANTHROPIC, result)
        case _:
            response = {"id": "c_1", "name": "look", "response": content, **how}
            answer = _user(GOOGLE, {"functionResponse": response})
    return [*_CALLED[api], *answer]


_SHOWN_IMAGE = {"type": "base64", "media_type": "image/png", "data": _base64(PNG)}
TOOLS = [
    Row(
        title="function call",
        markers=("Oslo",),
        parts=[_call(arguments='{"at": "Oslo"}'), _result(TextPart(text="Snow."))],
        items={
            api: _answered(api, {"output": "Snow."} if api == GOOGLE else "Snow.")
            for api in _CALLED
        },
    ),
    Row(
        title="custom call",
        markers=("Oslo",),
        parts=[
            _call(arguments="Oslo", kind="custom"),
            _result(TextPart(text="Snow."), kind="custom"),
        ],
        items={
            CHAT: [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c_1",
                            "type": "custom",
                            "custom": {"name": "look", "input": "Oslo"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c_1", "content": "Snow."},
            ],
            RESPONSES: [
                {"type": "custom_tool_call", "call_id": "c_1", "name": "look", "input": "Oslo"},
                {"type": "custom_tool_call_output", "call_id": "c_1", "output": "Snow."},
            ],
        },
    ),
    Row(
        title="signature of a call",
        markers=("c2lnbmF0dXJl",),
        parts=[_call(signature="c2lnbmF0dXJl"), _result(TextPart(text="Snow."))],
        items={
            GOOGLE: [
                {
                    "role": "model",
                    "parts": [
                        {
                            "functionCall": {"id": "c_1", "name": "look", "args": {}},
                            "thoughtSignature": "c2lnbmF0dXJl",
                        }
                    ],
                },
                _answered(GOOGLE, {"output": "Snow."})[1],
            ]
        },
    ),
    Row(
        title="result, as text",
        markers=("Snow.",),
        parts=[_call(), _result(TextPart(text="Snow."))],
        items={
            api: _answered(api, {"output": "Snow."} if api == GOOGLE else "Snow.")
            for api in _CALLED
        },
    ),
    Row(
        title="result with an image",
        markers=(_base64(PNG),),
        parts=[_call(), _result(MediaPart(kind="image", data=PNG, media_type="image/png"))],
        items={
            RESPONSES: _answered(
                RESPONSES,
                [
                    {
                        "type": "input_image",
                        "image_url": f"data:image/png;base64,{_base64(PNG)}",
                        "detail": "auto",
                    }
                ],
            ),
            ANTHROPIC: _answered(ANTHROPIC, [{"type": "image", "source": _SHOWN_IMAGE}]),
            GOOGLE: _answered(
                GOOGLE,
                {"output": ""},
                parts=[{"inlineData": {"mimeType": "image/png", "data": _base64(PNG)}}],
            ),
        },
    ),
    Row(
        title="result with a video",
        markers=(_base64(MP4),),
        parts=[_call(), _result(MediaPart(kind="video", data=MP4, media_type="video/mp4"))],
    ),
    Row(
        title="failed result's mark",
        markers=('"is_error": true', '"error": "No."'),
        parts=[_call(), _result(TextPart(text="No."), is_error=True)],
        items={ANTHROPIC: _answered(ANTHROPIC, "No.", is_error=True)},
    ),
    Row(
        title="call of a provider's own tool",
        markers=("srv_1",),
        parts=[
            _says(
                ToolCallPart(id="srv_1", name="web_search", arguments="{}", kind="server"),
                ToolResultPart(call_id="srv_1", parts=(TextPart(text="Found."),), kind="server"),
                TextPart(text="words"),
                role="assistant",
            )
        ],
        items={
            ANTHROPIC: _model(
                ANTHROPIC,
                {
                    "type": "server_tool_use",
                    "id": "srv_1",
                    "name": "web_search",
                    "input": {"query": "Oslo"},
                },
                {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
                _SAYS_SO,
            ),
            RESPONSES: [
                {
                    "type": "web_search_call",
                    "id": "ws_srv_1",
                    "status": "completed",
                    "action": {"type": "search", "query": "Oslo"},
                }
            ],
            GOOGLE: _model(
                GOOGLE,
                {"executableCode": {"language": "PYTHON", "code": "srv_1"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            ),
        },
    ),
    Row(
        title="what only one API has",
        markers=("hologram",),
        parts=[_says(NativePart(native=Native("another.api", '{"type": "hologram"}')))],
        items={
            CHAT: _user(CHAT, {"type": "hologram"}),
            RESPONSES: [{"type": "hologram", "id": "h_1"}],
            ANTHROPIC: _user(ANTHROPIC, {"type": "hologram"}),
            GOOGLE: _user(GOOGLE, {"hologram": {"depth": 1}}),
        },
    ),
]

ROWS: list[Row] = [*WORDS, *MEDIA, *TOOLS[:-1], *THINKING, TOOLS[-1]]
"""All kinds of parts, in the order of the table."""
