"""Queries over generation configs: what they mean, and how they are answered in any dialect."""
