"""What a history is, as plain values: canonical JSON, hashes, and the graph of commits."""
