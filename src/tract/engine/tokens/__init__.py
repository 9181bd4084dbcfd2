"""Token counters, and the vocabulary they need."""
