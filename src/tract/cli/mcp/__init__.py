"""A server of the Model Context Protocol that lets a model read a store: `tract mcp`.

It needs the extra `asynctract[mcp]`. The documentation has a page on it.
"""
