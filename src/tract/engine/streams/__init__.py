"""Streams on their way to a commit: what is kept meanwhile, and how they end."""
