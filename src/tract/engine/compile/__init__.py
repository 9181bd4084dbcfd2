"""Compiling a history into the context that a model gets: fold, rendering, token sums, cache."""
