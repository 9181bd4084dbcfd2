"""The distributions as they are shipped: what is in them, and whether they work without the sources."""
