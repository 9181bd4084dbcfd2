"""OpenAI's Chat Completions API and its many compatible APIs, out and in."""
