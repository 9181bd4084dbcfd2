"""A stand-in for the providers' HTTP APIs on the loopback interface, for their real clients."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Body = dict[str, Any]
REPLY = "The next flight to Oslo leaves at 9:40."


class _Refused(Exception):
    """The provider would not accept the request; the text says why."""


@contextmanager
def provider_api() -> Iterator[str]:
    """Serve Chat Completions (`/v1/chat/completions`) and Messages (`/v1/messages`).

    Every call is answered with `REPLY` and its usage, a token a word, at once or as a stream;
    requests that the providers refuse for their messages get status 400.

    Yields:
        The server's URL, without a slash at the end.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, answer = 200, _ENDPOINTS[self.path](request)
        except KeyError as missing:
            status, answer = 404, _error(f"no such endpoint or argument: {missing}")
        except _Refused as refusal:
            status, answer = 400, _error(str(refusal))
        if status == 200 and request.get("stream"):
            self._send(status, _STREAMS[self.path](answer).encode(), "text/event-stream")
        else:
            self._send(status, json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, data: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Keep requests out of the tests' output."""


def _error(message: str) -> Body:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def _words(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).split())


def _checked_messages(request: Body, roles: set[str]) -> list[Body]:
    messages = request["messages"]
    if not messages or not isinstance(messages, list):
        raise _Refused("messages: at least one is required")
    for index, message in enumerate(messages):
        if message["role"] not in roles:
            raise _Refused(f"messages.{index}.role: {message['role']!r} is none of {sorted(roles)}")
    return messages


def _chat_completion(request: Body) -> Body:
    messages = _checked_messages(request, {"system", "developer", "user", "assistant", "tool"})
    prompt, completion = _words(messages), len(REPLY.split())
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": request["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": REPLY},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


def _message(request: Body) -> Body:
    messages = _checked_messages(request, {"user", "assistant"})
    if not isinstance(request["max_tokens"], int):
        raise _Refused("max_tokens: must be an integer")
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [{"type": "text", "text": REPLY}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": _words(messages), "output_tokens": len(REPLY.split())},
    }


_ENDPOINTS: dict[str, Callable[[Body], Body]] = {
    "/v1/chat/completions": _chat_completion,
    "/v1/messages": _message,
}


def _chat_chunks(answer: Body) -> str:
    words = [{"content": word} for word in REPLY.replace(" ", " |").split("|")]
    choices: list[list[Body]] = [
        [{"index": 0, "delta": delta, "finish_reason": None}] for delta in words
    ]
    choices += [[{"index": 0, "delta": {}, "finish_reason": "stop"}], []]
    common = {**answer, "object": "chat.completion.chunk", "usage": None}
    chunks: list[Body] = [{**common, "choices": choice} for choice in choices]
    chunks[-1]["usage"] = answer["usage"]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def _message_events(answer: Body) -> str:
    begun: Body = {**answer, "content": [], "stop_reason": None}
    end: Body = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    words = REPLY.replace(" ", " |").split("|")
    usage: Body = {"output_tokens": len(words)}
    deltas = [{"type": "text_delta", "text": word} for word in words]
    events: list[Body] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": usage},
        {"type": "message_stop"},
    ]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


_STREAMS: dict[str, Callable[[Body], str]] = {
    "/v1/chat/completions": _chat_chunks,
    "/v1/messages": _message_events,
}
