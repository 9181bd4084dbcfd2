"""Anthropic's Messages API: items in and out, replies whole and streamed, tools."""
