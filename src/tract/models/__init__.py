"""Pydantic values without I/O: contents, commits, annotations, options."""
