"""The thread of a connection, and the groups of reads and writes that go there."""
