"""A connection's thread, and the groups of reads and writes that are sent to it."""
