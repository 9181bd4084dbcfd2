"""Requests of each API as they should be, written by hand: tool loops, thinking and media."""

from __future__ import annotations

from typing import Any

Request = dict[str, Any]

_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPgPAAEDAQCR8dPzAAAAAElFTkSuQmCC"
)
_CSV = "data:text/csv;base64,YSxiCg=="
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
_NAMES = ("get_weather", "get_time")

CHAT: list[Request] = [
    {
        "model": "gpt-5.4",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}},
                    {"type": "input_audio", "input_audio": {"data": _PNG, "format": "wav"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": f"call_{name}",
                        "type": "function",
                        "function": {"name": name, "arguments": '{"city": "Oslo"}'},
                    }
                    for name in _NAMES
                ],
            },
            {"role": "tool", "tool_call_id": "call_get_time", "content": "9:40"},
            {
                "role": "tool",
                "tool_call_id": "call_get_weather",
                "content": [{"type": "text", "text": "Snow"}],
            },
            {"role": "assistant", "content": "Snow, at 9:40."},
            {"role": "user", "content": ""},
        ],
        "tools": [
            {"type": "function", "function": {"name": name, "parameters": _SCHEMA}}
            for name in _NAMES
        ],
    },
    {
        "model": "gpt-4",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "get_weather", "arguments": "{}"},
            },
            {"role": "function", "name": "get_weather", "content": "Snow"},
        ],
    },
]

MISTRAL: list[Request] = [
    {
        "model": "mistral-large-latest",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [],
                "tool_calls": [
                    {
                        "id": "a1B2c3D4e",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "a1B2c3D4e", "content": "Snow"},
        ],
    }
]

DEEPSEEK: list[Request] = [
    {
        "model": "deepseek-reasoner",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "I must look.",
                "tool_calls": [
                    {
                        "id": "call_00_a",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_00_a", "content": "Snow"},
        ],
    }
]

RESPONSES: list[Request] = [
    {
        "model": "gpt-5.4",
        "input": [
            {"type": "compaction", "id": "cmp_1", "encrypted_content": "c2ln"},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}"},
                    {"type": "input_file", "file_data": f"data:application/pdf;base64,{_PNG}"},
                ],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2ln"},
            *(
                {
                    "type": "function_call",
                    "id": f"fc_{name}",
                    "call_id": f"call_{name}",
                    "name": name,
                    "arguments": '{"city": "Oslo"}',
                }
                for name in _NAMES
            ),
            {"type": "function_call_output", "call_id": "call_get_time", "output": "9:40"},
            {
                "type": "function_call_output",
                "call_id": "call_get_weather",
                "output": [{"type": "input_text", "text": "Snow"}],
            },
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Snow.", "annotations": []}],
            },
            {"role": "user", "content": "Thanks!"},
            {
                "type": "program",
                "id": "prog_1",
                "call_id": "call_prog_1",
                "code": "1 + 1",
                "fingerprint": "c2ln",
            },
            {
                "type": "program_output",
                "id": "progo_1",
                "call_id": "call_prog_1",
                "result": "2",
                "status": "completed",
            },
        ],
        "tools": [{"type": "function", "name": name, "parameters": _SCHEMA} for name in _NAMES],
    },
]

OPEN_WEIGHTS: list[Request] = [
    {
        "model": "openai.gpt-oss-120b",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "filename": "a.csv", "file_data": _CSV},
                ],
            },
            {
                "type": "program",
                "id": "prog_1",
                "call_id": "call_prog_1",
                "code": "look()",
                "fingerprint": "c2ln",
            },
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "look",
                "arguments": "{}",
                "caller": {"type": "program", "caller_id": "call_prog_1"},
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "Snow"},
            {"type": "reasoning", "id": "msg_1", "summary": [], "content": []},
            {"role": "assistant", "content": "Snow."},
        ],
    },
]

_THOUGHT = [
    {"type": "thinking", "thinking": "I must look.", "signature": "c2lnbmF0dXJl"},
    {"type": "text", "text": "Let me see."},
]
_ASKED = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What is this?"},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": _PNG},
        },
    ],
}
_CALLED = {
    "role": "assistant",
    "content": [
        *_THOUGHT,
        *({"type": "tool_use", "id": f"toolu_{n}", "name": n, "input": {}} for n in _NAMES),
    ],
}
_ANSWERED = {
    "role": "user",
    "content": [
        {"type": "tool_result", "tool_use_id": "toolu_get_time", "content": "9:40"},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_get_weather",
            "content": [{"type": "text", "text": "Snow"}],
        },
    ],
}

MESSAGES: list[Request] = [
    {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [_ASKED, _CALLED, _ANSWERED],
        "tools": [{"name": name, "input_schema": _SCHEMA} for name in _NAMES],
    },
    {
        "model": "claude-opus-4-8",
        "max_tokens": 4096,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Search."},
            {
                "role": "assistant",
                "content": [
                    {"type": "redacted_thinking", "data": "c2ln"},
                    {
                        "type": "server_tool_use",
                        "id": "srvtoolu_1",
                        "name": "web_search",
                        "input": {},
                    },
                    {
                        "type": "web_search_tool_result",
                        "tool_use_id": "srvtoolu_1",
                        "content": [],
                    },
                    {"type": "text", "text": "Nothing."},
                ],
            },
            {"role": "user", "content": "Again."},
            {"role": "system", "content": "Search no more."},
        ],
    },
]


def _part(name: str, **signature: str) -> Request:
    return {"functionCall": {"name": name, "args": {"city": "Oslo"}}, **signature}


GOOGLE: list[Request] = [
    {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is this?"},
                    {"inlineData": {"mimeType": "image/png", "data": _PNG}},
                    {"fileData": {"mimeType": "image/png", "fileUri": "gs://a/b.png"}},
                ],
            },
            {
                "role": "model",
                "parts": [_part("get_weather", thoughtSignature="c2ln"), _part("get_time")],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": name, "response": {"output": "…"}}}
                    for name in _NAMES
                ],
            },
        ],
        "tools": [{"functionDeclarations": [{"name": name} for name in _NAMES]}],
    }
]
