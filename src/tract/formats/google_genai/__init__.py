"""Google's generateContent, as google-genai speaks it: contents in and out, replies, tools."""
