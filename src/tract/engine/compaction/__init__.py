"""Shortening contexts: what can be hidden, and hiding it."""
