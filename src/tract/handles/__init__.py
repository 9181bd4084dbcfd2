"""What callers hold besides stores and tracts: batches, streams and left streams."""
