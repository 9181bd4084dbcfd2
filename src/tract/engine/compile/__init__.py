"""From a history to the context that a model gets: fold, rendering, token sums, cache."""
