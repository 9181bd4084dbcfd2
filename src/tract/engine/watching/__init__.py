"""Watching branches: a watcher holds its place in the history, and reads on when it likes to."""
