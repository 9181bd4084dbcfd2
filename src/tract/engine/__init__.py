"""The use cases: hashing, counting, compiling, caching and committing."""
