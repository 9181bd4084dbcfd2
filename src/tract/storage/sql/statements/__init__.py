"""The SQL of every trip, and what dialects make of it."""
