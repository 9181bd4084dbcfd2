"""OpenAI's Responses API: items in and out, replies whole and streamed, tools."""
