"""The use cases: committing, compiling, counting, merging, streaming and watching."""
