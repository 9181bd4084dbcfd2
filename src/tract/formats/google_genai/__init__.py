"""Google's generateContent, as google-genai speaks it: contents in and out, replies, tools."""

from __future__ import annotations

from tract.formats.google_genai.contents import from_google
from tract.formats.google_genai.format import GoogleFormat
from tract.formats.google_genai.public import to_google

__all__ = ["GoogleFormat", "from_google", "to_google"]
