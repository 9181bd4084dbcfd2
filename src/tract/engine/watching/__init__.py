"""Watching branches: each watcher keeps its place in the history and reads at its own pace."""
