"""Reading what a tract consists of, and writing it to another store as it is."""
