"""Token counters, and the vocabularies that they need."""
