"""Items of the Messages API through its format, without a store."""

from __future__ import annotations

from support.items import Through, rendered, same

__all__ = ["API", "FORMAT", "exactly", "messages_of", "rendered", "same", "sent", "streamed"]

API = "anthropic.messages"

_THROUGH = Through(API)
FORMAT = _THROUGH.format
exactly = _THROUGH.exactly
messages_of = _THROUGH.messages_of
sent = _THROUGH.sent
streamed = _THROUGH.streamed
