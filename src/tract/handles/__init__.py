"""What callers hold besides stores and tracts: batches, streams, and the calls of a branch."""
