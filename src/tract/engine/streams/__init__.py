"""Streams on their way to a commit: spooling, leases, and how they end."""
