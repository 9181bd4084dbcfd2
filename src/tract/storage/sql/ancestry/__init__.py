"""Walking histories: who descends from whom, in which order, and how far."""
