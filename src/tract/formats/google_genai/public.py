"""`to_google`: messages of any origin as arguments of google-genai's `generate_content`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from tract.formats.format import Sent, Writing
from tract.formats.google_genai.writing import write
from tract.protocols import GoogleArguments, Message

__all__ = ["to_google"]


def to_google(
    messages: Sequence[Message],
    *,
    exact: bool = False,
    model: str | None = None,
    load: Callable[[str], bytes] = lambda _: b"",
) -> GoogleArguments:
    """Return new arguments for `generate_content`: `contents`, and `config` if there is need.

    They are plain dicts with the keys of the REST API, and bytes as base64, which the SDK takes as
    well. A message that came from this API goes out as it came; what the API does not support is
    adapted:

    - System messages of other origin, wherever they stand, are joined into `system_instruction`.
    - The calls of one step are in one content, and their responses in the next, in their order;
      what else the user says stands behind them.
    - Calls that no Gemini model made get the API's own word for that in place of a signature,
      unless *model* is one that does not sign its calls.
    - Empty texts are left out, and so are messages that hold nothing else, names, and thinking that
      another API made.
    - A user's turn is put before a call that would be first, and behind a model that would be last.

    A tool call without its result in *messages*, or a result without its call, is passed through;
    `CompiledContext.to_google` settles those, and says what was left out.

    Args:
        messages: the messages of a context.
        exact: send what was committed, message by message, and mend nothing.
        model: the model that the request goes to, if it is known.
        load: returns the bytes of an attachment by their SHA-256.
    """
    written = write([Sent(message) for message in messages], Writing(exact, load, model))
    return cast(GoogleArguments, written)
