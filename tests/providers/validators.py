"""The validators of the four APIs, by the API's name."""

from __future__ import annotations

from providers import anthropic_messages, google_generate_content, openai_chat, openai_responses
from providers.rules import Json

APIS = (
    "openai.chat",
    "openai.responses",
    "anthropic.messages",
    "google.generate_content",
)


def problems(api: str, request: Json, *, provider: str = "", model: str = "") -> list[str]:
    """Return what *provider* would refuse *request* for: each with its JSON path and its rule.

    Args:
        api: The API that the request is for.
        request: The body, or the part of it that is made from a context.
        provider: Who speaks the API; its own provider by default.
        model: The model where it is not in the request (Gemini's is in the URL).
    """
    match api:
        case "openai.chat":
            return openai_chat.problems(request, provider=provider or "openai")
        case "openai.responses" | "openai.responses.compact":
            return openai_responses.problems(request, provider=provider or "openai")
        case "anthropic.messages":
            return anthropic_messages.problems(request)
        case "google.generate_content":
            return google_generate_content.problems(request, model=model)
    raise ValueError(f"no validator for {api!r}; there are {APIS}")
