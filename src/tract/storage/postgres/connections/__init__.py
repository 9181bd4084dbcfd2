"""Connections to a server: made, lent, and what runs on them, alone or in batches."""
