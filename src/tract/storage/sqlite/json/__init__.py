"""Queries over generation configs, in SQLite's JSON functions."""
